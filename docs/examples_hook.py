"""Makes the tutorials and the gallery from `examples/*.py`, and the list of API pages, while mkdocs builds the site.

A tutorial has the docstring of an example, its figures, what it prints, and its code. Figures and printed lines are
taken from `example-output/`, if they are newer than the example; with REGIMES_DOCS_EXECUTE=1 the examples that have
none are run first, and one that fails ends the build.
"""

import ast
import logging
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "example-output"
LOG = logging.getLogger("mkdocs.hooks.examples")


class Example(NamedTuple):
    """A script in its parts."""

    path: Path
    title: str
    claim: str
    text: str
    code: str
    writes: list[str]


def read(path: Path) -> Example:
    """Title from the name of the file, claim and text from the docstring, and the names of the files it leaves."""
    source = path.read_text(encoding="utf-8")
    module = ast.parse(source)
    claim, _, text = (ast.get_docstring(module) or "").partition("\n\n")
    if not claim:
        raise ValueError(f"{path.name}: no docstring to make a page of")
    code = "\n".join(source.splitlines()[module.body[0].end_lineno :]).strip()
    title = path.stem.split("_", 1)[1].replace("_", " ").capitalize().replace("nyquist", "Nyquist")
    writes = [*dict.fromkeys(re.findall(r"\b\d\d_\w+\.png", source)), f"{path.stem}.txt"]
    return Example(path, title, " ".join(claim.split()), text, code, writes)


def left(example: Example, output: Path) -> list[Path]:
    """What it has left in the folder and is not older than the example itself."""
    files = [output / name for name in example.writes]
    return [file for file in files if file.exists() and file.stat().st_mtime >= example.path.stat().st_mtime]


def execute(example: Example, output: Path) -> None:
    """Run it, and keep what it prints; an error ends the build."""
    ran = subprocess.run([sys.executable, example.path], cwd=output.parent, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise RuntimeError(f"{example.path.name} failed:\n{ran.stderr}")
    output.mkdir(exist_ok=True)
    (output / f"{example.path.stem}.txt").write_text(ran.stdout, encoding="utf-8")
    if missing := set(example.writes) - {file.name for file in left(example, output)}:
        raise RuntimeError(f"{example.path.name} names {', '.join(sorted(missing))} and does not write it")


def cells(code: str) -> str:
    """Code in Markdown; if it has cells, a block for each, after its comment."""
    blocks = []
    for cell in re.split(r"^# %%", code, flags=re.M) if code.startswith("# %%") else ["\n" + code]:
        heading, _, rest = cell.partition("\n")
        comment = re.match(r"(?:# .*\n?)*", rest).group() if heading else ""
        words = " ".join([heading.strip(), *(line.removeprefix("# ") for line in comment.splitlines())]).strip()
        body = rest[len(comment) :].strip()
        blocks += [words] * bool(words) + [f"```python\n{body}\n```"] * bool(body)
    return "\n\n".join(blocks)


def page(example: Example, files: list[Path]) -> str:
    """The tutorial."""
    figures = [file for file in files if file.suffix == ".png"]
    parts = [f"# {example.title}", f"**{example.claim}**", example.text]
    parts += [f"![{example.title}, figure {i} of {len(figures)}]({file.name})" for i, file in enumerate(figures, 1)]
    if len(files) < len(example.writes):
        parts.append("*This page was built without running the example: its figures, or what it prints, are missing.*")
    for file in set(files) - set(figures):
        parts.append(f"It prints:\n\n```text\n{file.read_text(encoding='utf-8').rstrip()}\n```")
    return "\n\n".join([*parts, f"## `examples/{example.path.name}`", cells(example.code)]) + "\n"


def gallery(examples: list[Example], output: Path) -> str:
    """A card for each example, with its first figure."""
    cards = ['<div class="grid cards" markdown>']
    for example in examples:
        link = f"tutorials/{example.path.stem}.md"
        figures = [file.name for file in left(example, output) if file.suffix == ".png"]
        pictures = [f"[![{example.title}](tutorials/{name})]({link})" for name in figures[:1]]
        cards.append("- " + "\n\n    ".join([*pictures, f"**[{example.title}]({link})**", example.claim]))
    return "\n\n".join([*cards, "</div>"])


def on_config(config: Any) -> Any:
    """Run what has to be run, and complete the navigation."""
    config.extra["examples"] = examples = [read(path) for path in sorted((ROOT / "examples").glob("[0-9]*.py"))]
    for example in (one for one in examples if len(left(one, OUTPUT)) < len(one.writes)):
        LOG.info("%s has not been run, or has changed since; REGIMES_DOCS_EXECUTE=1 runs it", example.path.name)
        if os.environ.get("REGIMES_DOCS_EXECUTE") == "1":
            execute(example, OUTPUT)
    groups = {name: pages for group in config.nav for name, pages in group.items()}
    groups["Tutorials"] += [{example.title: f"tutorials/{example.path.stem}.md"} for example in examples]
    api = Path(config.docs_dir, "api")
    listed = re.findall(r"\]\((\w+)\.md\)", (api / "index.md").read_text(encoding="utf-8"))
    names = dict.fromkeys([*listed, *sorted(path.stem for path in api.glob("*.md") if path.stem != "index")])
    pages = next(entry["API"] for entry in groups["Reference"] if "API" in entry)
    pages += [{name: f"api/{name}.md"} for name in names if name != "cli"]
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages and their figures."""
    from mkdocs.structure.files import File

    for example in config.extra["examples"]:
        present = left(example, OUTPUT)
        address = f"tutorials/{example.path.stem}.md"
        files.append(File.generated(config, address, content=page(example, present)))
        for figure in (file for file in present if file.suffix == ".png"):
            files.append(File.generated(config, f"tutorials/{figure.name}", abs_src_path=str(figure)))
    return files


def on_page_markdown(markdown: str, config: Any, **_: Any) -> str:
    """Put the gallery where its mark is."""
    return markdown.replace("<!-- examples -->", gallery(config.extra["examples"], OUTPUT))
