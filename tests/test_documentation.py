"""What the pages show can be typed: code runs and prints what is said, commands exist, links and files are there.

The README's and the home page's code is in test_readme.py, which also compares what it prints.
"""

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from regimes import cli

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
API = sorted((ROOT / "docs" / "api").glob("*.md"))
BLOCK = re.compile(r"(?:<!-- not run: (?P<reason>[^>]+) -->\n)?^```(?P<language>\w*)\n(?P<code>.*?)^```", re.S | re.M)
NUMBER = re.compile(r"\d[\d,]*\.?\d*")
BEFORE = {  # what a reader has before a page begins
    "hestness.md": """
x = y = x_val = y_val = __import__("numpy").zeros(50_000)
def fit(x, y, width, seed):
    return width, len(y)
def loss(model, x, y):
    return model[1] ** -0.3 + 0.1 * abs(__import__("math").log(model[0] / model[1] ** 0.4)) * model[1] ** -0.3
""",
    "report.md": """
import json, pathlib
for name in ("regimes-verify", "regimes-fit"):
    pathlib.Path(name).mkdir()
    pathlib.Path(name, "run.json").write_text(json.dumps({"arguments": {}, "versions": {"regimes": "0.1.0"}}))
""",
    "sweeps.md": """
import json
from regimes import cells, store, sweep
def repeated(replicate: int = 0, *, seed: int) -> dict:
    return {"tables": json.dumps({"exponents": [{"exponent": 1.0}]})}
cells.register(cells.Experiment("repeated", repeated, version=1))
if __name__ == "__main__":
    sweep.run(sweep.grid("repeated", {"replicate": [0, 1]}), "features.sqlite")
""",
}


def blocks(page, *languages):
    return [found for found in BLOCK.finditer(page.read_text(encoding="utf-8")) if found["language"] in languages]


def commands(page):
    """Command lines of a page; those in the text, unlike those in blocks, may lack arguments."""
    text = page.read_text(encoding="utf-8")
    lines = [(line, True) for found in blocks(page, "", "bash", "console") for line in found["code"].splitlines()]
    lines += [(line, True) for line in re.findall(r"^    \$ (.*)$", text, flags=re.M)]
    lines += [(" ".join(code.split()), False) for code in re.findall(r"(?<!`)`([^`]+)`(?!`)", BLOCK.sub("", text))]
    for line, whole in lines:
        words = re.sub(r"^\$ |^\w+=\S+ |^uv run ", "", line.split("&&")[-1].strip())
        if re.match(r"regimes(\s|$)", words):
            yield shlex.split(words, comments=True)[1:], whole


def parse(words, whole):
    """Follow the words through the commands, up to a placeholder; what does not exist is an error."""
    command = typer.main.get_command(cli.app)
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        name, *words = words
        if name == "..." or name.isupper():
            return
        assert name in command.commands, f"no command {name} among {sorted(command.commands)}"
        command = command.commands[name]
    options = {text for parameter in command.params for text in (*parameter.opts, *parameter.secondary_opts)}
    unknown = [word for word in words if word.startswith("--") and word.split("=")[0] not in {*options, "--help"}]
    assert not unknown, f"no option {', '.join(unknown)} among {sorted(options)}"
    if whole and not {"--help", "..."} & {*words} and not hasattr(command, "commands"):
        command.make_context("regimes", words)


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=page.name, marks=[pytest.mark.slow] * (page.name in ("sweeps.md", "howto_kernel.md")))
        for page in PAGES
        if page.name not in ("README.md", "index.md") and blocks(page, "python")
    ],
)
def test_the_code_of_a_page_runs_and_prints_what_is_said(page, tmp_path):
    code = "\n".join([BEFORE.get(page.name, ""), *(one["code"] for one in blocks(page, "python") if not one["reason"])])
    (tmp_path / "page.py").write_text(code, encoding="utf-8")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "MPLBACKEND": "agg"}
    script = [sys.executable, "page.py"]
    ran = subprocess.run(script, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() or "print(" not in code
    for shown in re.findall(r"^prints\n\n```text\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.S | re.M):
        # To a tenth, by which the network of another machine's LAPACK may differ.
        assert NUMBER.sub("#", ran.stdout).split() == NUMBER.sub("#", shown).split()
        printed, said = ([float(v.replace(",", "")) for v in NUMBER.findall(part)] for part in (ran.stdout, shown))
        assert printed == pytest.approx(said, rel=0.1, abs=0.02)


def test_few_blocks_are_not_run():
    left_out = [f"{page.name}: {one['reason']}" for page in PAGES for one in blocks(page, "python") if one["reason"]]
    assert len(left_out) <= 3, left_out
    assert set(BEFORE) <= {page.name for page in PAGES if blocks(page, "python")}


@pytest.mark.parametrize("page", [*PAGES, *API], ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_and_options_that_a_page_names_exist(page):
    wrong = []
    for words, whole in commands(page):
        try:
            parse(words, whole)
        except Exception as error:
            wrong.append(f"regimes {shlex.join(words)}: {error}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        "verification",
        "verify --fast",
        "sweep walk a.toml",
        "network resolution --wide 3",
        "fit",
        "predict a.npy --seed x",
    ],
)
def test_the_check_of_commands_would_find_a_wrong_one(wrong):
    with pytest.raises(Exception, match=r"no command|no option|(?i:missing|valid)"):
        parse(wrong.split(), True)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_named_files_are_there(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", BLOCK.sub("", text)):
        if not re.match(r"[a-z]+:", target):
            made = re.fullmatch(r"tutorials/(\w+)\.md", target)  # from an example, when the site is built
            path = ROOT / "examples" / f"{made[1]}.py" if made else page.parent / target
            assert path.exists(), f"{page.name} links to {target}"
    for name in re.findall(r"\b(?:examples|tests|benchmarks|regimes|docs)/[\w/]+\.(?:py|md|toml|sh|png)\b", text):
        assert (ROOT / name).exists(), f"{page.name} names {name}"


@pytest.fixture(scope="module")
def hook():
    spec = importlib.util.spec_from_file_location("examples_hook", ROOT / "docs" / "examples_hook.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


EXAMPLE = '''"""Two and two is four.

Said at length, in 07_sum.png.
"""

# %% Add them,
# slowly.
total = 2 + 2

# %%
from pathlib import Path
Path("example-output").mkdir(exist_ok=True)
Path("example-output/07_sum.png").write_bytes(b"")
print("the sum is", total)
assert total == 4
'''


@pytest.fixture
def example(hook, tmp_path):
    (tmp_path / "examples").mkdir()
    path = tmp_path / "examples" / "07_sum_of_two.py"
    path.write_text(EXAMPLE, encoding="utf-8")
    return path


def test_an_example_becomes_a_page_with_its_figure_and_what_it_prints(hook, example, tmp_path):
    output = tmp_path / "example-output"
    before = hook.page(hook.read(example), hook.left(hook.read(example), output))
    assert "built without running" in before
    assert ".png)" not in before
    hook.execute(hook.read(example), output)
    after = hook.page(hook.read(example), hook.left(hook.read(example), output))
    assert "built without running" not in after
    assert after.startswith("# Sum of two\n\n**Two and two is four.**\n\nSaid at length")
    assert "![Sum of two, figure 1 of 1](07_sum.png)" in after
    assert "```text\nthe sum is 4\n```" in after
    assert "Add them, slowly.\n\n```python\ntotal = 2 + 2\n```\n\n```python\nfrom pathlib" in after
    card = hook.gallery([hook.read(example)], output)
    assert "[![Sum of two](tutorials/07_sum.png)](tutorials/07_sum_of_two.md)" in card


def test_figures_of_an_earlier_version_are_not_shown(hook, example, tmp_path):
    hook.execute(hook.read(example), tmp_path / "example-output")
    later = example.stat().st_mtime + 100
    os.utime(example, (later, later))
    assert hook.left(hook.read(example), tmp_path / "example-output") == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [("total == 4", "total == 5", "AssertionError"), ('"example-output/07_sum.png"', '"other.png"', "07_sum.png")],
)
def test_an_example_that_fails_ends_the_build(hook, example, tmp_path, old, new, said):
    example.write_text(EXAMPLE.replace(old, new), encoding="utf-8")
    with pytest.raises(RuntimeError, match=said):
        hook.execute(hook.read(example), tmp_path / "example-output")


def test_every_example_can_be_made_a_page(hook):
    paths = sorted((ROOT / "examples").glob("[0-9]*.py"))
    assert 1 <= len(paths) <= 15
    for path in paths:
        found = hook.read(path)
        text = hook.page(found, [])
        assert found.claim.endswith((".", "?")), f"{path.name}: the first paragraph is one sentence"
        assert text.count("```") % 2 == 0
        code = "\n".join(re.findall(r"```python\n(.*?)```", text, flags=re.S))
        compile(code, path.name, "exec")
        assert "assert " in code
