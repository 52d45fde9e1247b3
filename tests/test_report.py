import base64
import itertools
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
import report_runs
import typer
import typer.testing

from regimes import findings, report
from regimes.commands import report as command

ROOT = Path(__file__).parent.parent
EMPTY = {"meta", "img", "br", "wbr", "link", "input", "hr"}


class Tree(HTMLParser):
    """Elements and texts of a page, and whether every element that is opened is closed."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.texts, self.wrong = [], [], [], []
        self.feed(text)
        self.wrong += self.open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data):
        self.texts.append(data)

    def all(self, tag, name=None):
        found = [attributes for element, attributes in self.elements if element == tag]
        return found if name is None else [attributes[name] for attributes in found if name in attributes]

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


@pytest.fixture
def run(tmp_path):
    return report_runs.experiment(tmp_path / "run")


def tree(path):
    found = Tree(path.read_text(encoding="utf-8"))
    assert found.wrong == []
    return found


# One page


def test_page_says_all_that_there_is_to_say(run, tmp_path):
    found = tree(report.write([run], tmp_path / "report.html"))
    text = found.text
    order = [
        "Resolution-limited networks", "1 of 2 claims hold; 1 more could not be decided.", "Beware", "Figure", "Claims",
        "slope of 4/alpha against d in n", "0.74 [0.47, 1.07]", "Tables", "Methods", "Students learn random teachers",
        "4/α = (4/3) d", "Arguments and versions", "regimes network resolution", "dims", "neural-tangents", "Data",
        "How to cite", "The regimes developers", "arxiv.org/abs/2102.06701",
    ]  # fmt: skip
    places = [text.index(words) for words in order]
    assert places == sorted(places)
    assert "seed 7 · regimes 0.1.0" in text
    assert [text.count(words) for words in ("✓ holds", "✗ does not hold", "? undecided")] == [1, 1, 1]


def test_page_holds_the_figure_and_links_to_the_data(run, tmp_path):
    found = tree(report.write([run], tmp_path / "pages" / "report.html"))
    (source,) = found.all("img", "src")
    kind, data = source.split(",")
    assert kind == "data:image/svg+xml;base64"
    assert base64.b64decode(data).decode() == report_runs.SVG
    (alt,) = found.all("img", "alt")
    assert alt.startswith("teacher student. 1 of 2 claims hold")
    links = [link for link in found.all("a", "href") if not link.startswith(("#", "https:"))]
    there = {(tmp_path / "pages" / unquote(link)).resolve() for link in links}
    assert there == {path.resolve() for path in run.iterdir()}


def test_page_asks_for_nothing_and_has_one_script_and_one_style_that_its_policy_names(run, tmp_path):
    found = tree(report.write([run], tmp_path / "report.html"))
    assert [kind for kind in ("link", "iframe", "object", "form") if found.all(kind)] == []
    assert (found.all("script"), found.all("style")) == ([{}], [{}])
    policy = next(
        meta["content"] for meta in found.all("meta") if "content" in meta and "default-src" in meta["content"]
    )
    assert policy.startswith(
        "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; style-src 'sha256-"
    )
    assert "unsafe" not in policy
    # and everything else that could load is an image of data or a link
    assert all(source.startswith("data:image/") for source in found.all("img", "src"))
    assert not [attributes for _, attributes in found.elements if {"srcset", "background", "style"} & set(attributes)]


def test_same_runs_same_page(run, tmp_path):
    pages = [report.write([run], tmp_path / name).read_bytes() for name in ("a.html", "b.html")]
    assert pages[0] == pages[1]


def test_numbers_are_shortened_and_sorted_by_all_their_digits(run, tmp_path):
    text = report.write([run], tmp_path / "report.html").read_text(encoding="utf-8")
    loss = report_runs.Result().tables()["points"]["loss"]
    for value in loss:
        assert f'<td class="number" data-value="{value!r}">{value:.4g}</td>' in text
    assert '<td class="number" data-value="8.0">8</td>' in text


@pytest.mark.parametrize(
    ("text", "numbers", "shown", "value"),
    [
        ("0.123456", True, "0.1235", "0.123456"),
        ("12", True, "12", ""),
        ("28787305195.38282", True, "2.879e+10", "28787305195.38282"),
        ("1e300", True, "1e+300", "1e300"),
        ("-inf", True, "-∞", "-inf"),
        ("nan", True, "", ""),
        ("", True, "", ""),
        ("0.123456", False, "0.123456", ""),
        ("x" * 400, False, "x" * 299 + "…", ""),
    ],
)
def test_cells(text, numbers, shown, value):
    assert report._cell(text, numbers) == (shown, value)


def test_long_tables_say_that_they_are_cut(tmp_path):
    run = report_runs.experiment(tmp_path / "run", rows=400)
    found = tree(report.write([run], tmp_path / "report.html"))
    assert "points: the first 100 of 400 rows" in found.text
    assert len(found.all("tr")) < 200


# Several


def test_several_runs_of_one_experiment_are_told_apart(tmp_path):
    runs = [report_runs.experiment(tmp_path / name) for name in ("a", "b")]
    found = tree(report.write([*runs, runs[0]], tmp_path / "report.html"))  # the same folder twice counts once
    identities = [attributes["id"] for _, attributes in found.elements if "id" in attributes]
    assert len(identities) == len(set(identities))
    assert {"run-1", "run-2"} <= set(identities)
    assert "run-3" not in identities
    labels = [attributes["aria-label"] for _, attributes in found.elements if "aria-label" in attributes]
    assert len(labels) == len(set(labels))
    assert {"#run-1", "#run-2"} <= set(found.all("a", "href"))
    assert found.text.startswith("Report of 2 runs")
    for run in runs:
        assert found.text.count(str(run)) == 2  # among the verdicts and at its own place


def test_headings_never_skip_a_level(tmp_path):
    runs = [report_runs.experiment(tmp_path / name) for name in ("a", "b")]
    for chosen in (runs[:1], runs):
        text = report.page(report.collect(chosen))
        levels = [int(level) for level in re.findall(r"<h(\d)", text)]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert max(b - a for a, b in itertools.pairwise(levels)) == 1


def test_title(run):
    assert "<title>a &lt;b&gt; &amp; c</title>" in report.page(report.collect([run]), title="a <b> & c")


def test_one_folder_need_not_be_a_list(run, tmp_path):
    assert report.collect(run) == report.collect([str(run)]) == report.collect(report.collect([run]))


# What is hostile, large or broken


def test_markup_in_any_text_is_text(tmp_path):
    folder = report_runs.hostile(tmp_path)
    page = report.write([folder], tmp_path / "report.html", title=report_runs.EVIL)
    found = tree(page)
    assert found.all("script") == [{}]
    assert page.read_text(encoding="utf-8").count("<script") == 1
    assert found.text.count("<script>window.hacked = 1</script>") >= 12  # title, verdict, claims, cells, settings, ...
    assert not [name for _, attributes in found.elements for name in attributes if name.startswith("on")]
    links = [link for link in found.all("a", "href") if not link.startswith(("#", "https:"))]
    assert {(tmp_path / unquote(link)).name for link in links} == {"run.json", "java&script#1.csv", "x.svg"}
    assert all((tmp_path / unquote(link)).is_file() for link in links)
    assert "secret" not in found.text


def test_large_figures_and_tables_stay_below_five_megabytes(tmp_path, monkeypatch, unchecked):
    runs = []
    for place in range(12):
        folder = report_runs.experiment(tmp_path / f"r{place}", rows=5)
        wide = pd.DataFrame(np.random.default_rng(place).normal(size=(100, 40))).map(lambda value: f"{value:.16e}")
        wide.to_csv(folder / "points.csv", index=False)
        svg = report_runs.SVG.replace("<path", f"<!--{'x' * 500_000}--><path")
        (folder / "teacher_student.svg").write_text(svg)
        runs.append(folder)
    found = report.collect(runs)
    text = report.page(found)
    assert 3_000_000 < len(text.encode()) < 5_000_000
    assert "is too large for this page; it lies beside it" in text
    assert "the first 25 of 100 rows" in text
    monkeypatch.setattr(report, "LARGEST", 100_000)
    with pytest.raises(ValueError, match=r"more than fits into one page of 0\.1 MB; give fewer \(runs: 1"):
        report.page(found[:1])


def test_large_vectors_give_way_to_pixels(run, tmp_path):
    (run / "teacher_student.svg").write_text(report_runs.SVG.replace("<path", f"<!--{'x' * 800_000}--><path"))
    (source,) = tree(report.write([run], tmp_path / "report.html")).all("img", "src")
    assert source.startswith("data:image/png;base64,")


def test_broken_vectors_give_way_to_pixels_and_broken_pixels_to_words(run, tmp_path):
    (run / "teacher_student.svg").write_text("<svg")
    (source,) = tree(report.write([run], tmp_path / "report.html")).all("img", "src")
    assert source.startswith("data:image/png;base64,")
    (run / "teacher_student.png").write_text("no image")
    found = tree(report.write([run], tmp_path / "report.html"))
    assert found.all("img") == []
    assert "The figure teacher_student.svg cannot be read." in found.text


def test_figure_that_is_gone_is_said_to_be(run, tmp_path):
    for path in run.glob("teacher_student.*"):
        path.unlink()
    found = tree(report.write([run], tmp_path / "report.html"))
    assert found.all("img") == []
    assert "teacher_student.svg is missing from the folder." in found.text


def test_lone_surrogates_have_no_utf_8_and_do_no_harm(tmp_path):
    (tmp_path / "run.json").write_text('{"versions": {}, "summary": "a\\ud800b"}')
    assert "a?b" in tree(report.write([tmp_path], tmp_path / "report.html")).text


def test_an_experiment_that_is_not_known_is_named_and_described_by_its_module(tmp_path):
    record = {"experiment": "teachers", "summary": "All is well.", "versions": {"regimes": "1"}}
    (tmp_path / "run.json").write_text(json.dumps(record))
    text = tree(report.write([tmp_path], tmp_path / "report.html")).text
    assert text.startswith("Teachers")
    assert "A teacher is a random relu network on inputs uniform in the hypercube" in text
    (tmp_path / "run.json").write_text(json.dumps(record | {"experiment": "../teachers"}))
    assert "hypercube" not in tree(report.write([tmp_path], tmp_path / "report.html")).text


@pytest.mark.parametrize("name", ["report.txt", "report", "."])
def test_out_must_be_a_page(run, tmp_path, name):
    with pytest.raises(ValueError, match="`out` must"):
        report.write([run], tmp_path / name)


def test_nothing_given():
    with pytest.raises(ValueError, match="give at least one folder"):
        report.collect([])
    with pytest.raises(ValueError, match="at least one finding"):
        report.page([])


def test_page_is_whole_or_as_it_was(run, tmp_path, monkeypatch):
    page = tmp_path / "report.html"
    page.write_text("old")

    def fails(self, *_, **__):
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "replace", fails)
    with pytest.raises(OSError, match="no space"):
        report.write([run], page)
    assert page.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["report.html"]


# What it says of experiments


def test_every_experiment_has_its_words_and_every_source_is_used():
    words = report._words()
    used = {name for one in words["experiments"].values() for name in one.get("sources", ())}
    assert used == set(words["sources"])
    for name, one in words["experiments"].items():
        assert {"title", "asks", "command"} <= set(one)
        assert one.get("method") or report._described(name) or not (ROOT / "regimes" / f"{name}.py").exists()
        assert all(len(formula) == 2 for formula in one.get("formulas", ()))


def test_citation_is_that_of_the_citation_file():
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    words = report._words()
    assert f'title: "{words["software"]["title"]}"' in text
    assert f"license: {words['software']['license']}" in text
    assert f"- name: {words['software']['authors']}" in text
    cited = {}
    for entry in text.partition("references:")[2].split("- type:")[1:]:
        url = re.search(r"url: (\S+)", entry)
        cited[re.search(r'title: "?(.*?)"?\n', entry)[1]] = url and url[1]
    ours = {one["title"]: one["url"] for one in words["sources"].values()}
    common = set(cited) & set(ours)
    assert len(common) >= 8
    assert {title: cited[title] for title in common} == {title: ours[title] for title in common}


def test_powers_are_superscripts(tmp_path):
    text = report.page(report.collect([report_runs.experiment(tmp_path / "run")]))
    assert "<dt>L ~ n<sup>−α</sup>,  4/α against d</dt>" in text


def contrast(one, other):
    """Ratio of two colours as the Web Content Accessibility Guidelines define it."""

    def luminance(colour):
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_text_stands_out_from_every_ground(theme):
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    text = (ROOT / "regimes" / "report.css").read_text(encoding="utf-8")
    roots = re.findall(r":root \{(.*?)\}", text, re.DOTALL)
    colours = dict(re.findall(r"(--[a-z-]+): (#[0-9a-f]{6})", roots[("light", "dark").index(theme)]))
    texts = ("--ink", "--faint", "--link", "--good", "--bad")
    ratios = {
        (one, on): contrast(colours[one], colours[on]) for one in texts for on in ("--paper", "--card", "--beware")
    }
    assert {pair: ratio for pair, ratio in ratios.items() if ratio < 4.5} == {}


# The command


@pytest.fixture
def call(unchecked):
    """Run the command: what it prints; what it raises comes through."""
    app = typer.Typer()
    app.command()(command.report)

    def run(*arguments):
        found = typer.testing.CliRunner().invoke(app, [str(argument) for argument in arguments])
        if found.exception is not None:
            raise found.exception
        return found.output

    return run


def test_command(call, run, tmp_path):
    page = tmp_path / "out" / "mine.html"
    out = call(run, "--out", page, "--title", "Mine")
    assert "1 of 2 claims hold" in out
    assert f"Written to {page}: 0.0" in out
    assert out.rstrip().endswith("1 run")
    assert tree(page).text.startswith("Mine")


def test_command_refuses_before_it_writes(call, run, tmp_path):
    page = ("--out", tmp_path / "new" / "a.html")
    for arguments, words in (
        ((tmp_path / "absent", *page), "there is no"),
        ((run, tmp_path, *page), "holds no run.json"),
        ((run, "--out", tmp_path), "is a folder"),
        ((run, "--out", run / "run.json" / "a.html"), "`out`: cannot write"),
    ):
        with pytest.raises(ValueError, match=words):
            call(*arguments)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


def test_findings_say_what_they_are(run):
    assert str(findings.read(run)[0]).startswith("teacher_student in ")
