"""Reports in a real browser: an installed Chromium or Chrome, which nothing here downloads."""

import shutil

import pytest
import report_runs

from regimes import report

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: uv sync --group tests")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PHONE, SCREEN = {"width": 375, "height": 720}, {"width": 1100, "height": 800}
THEMES = ("light", "dark")


@pytest.fixture(scope="module")
def browser():
    found = next((path for path in map(shutil.which, BROWSERS) if path), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is installed")
    with playwright.sync_playwright() as made:
        opened = made.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """One run; and two with one of them hostile."""
    folder = tmp_path_factory.mktemp("reports")
    run = report_runs.experiment(folder / "run")
    return {
        "one": report.write([run], folder / "one.html"),
        "hostile": report.write([run, report_runs.hostile(folder)], folder / "hostile.html"),
    }


@pytest.fixture
def opened(browser, pages):
    """Open a page: (page, what the browser complained of or asked for)."""
    contexts = []

    def visit(name, theme="light", size=SCREEN):
        context = browser.new_context(color_scheme=theme, viewport=size)
        contexts.append(context)
        page, told = context.new_page(), []
        page.on("console", lambda message: told.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: told.append(f"error: {error}"))
        page.on("dialog", lambda dialog: told.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: told.append(f"request: {request.url}"))
        page.goto(pages[name].as_uri())
        return page, told

    yield visit
    for context in contexts:
        context.close()


def asked(told):
    return [text for text in told if not text.startswith(("request: data:", "request: file:"))]


@pytest.mark.parametrize("name", ["one", "hostile"])
def test_page_opens_from_a_file_without_a_word_and_asks_no_host(opened, pages, name):
    page, told = opened(name)
    page.wait_for_load_state("networkidle")
    assert asked(told) == []
    assert [text for text in told if text.startswith("request: file:")] == [f"request: {pages[name].as_uri()}"]
    assert page.evaluate("window.hacked") is None
    shown = page.evaluate("[...document.images].map((one) => one.complete && one.naturalWidth > 0)")
    assert shown == [True] * (1 if name == "one" else 2)


@pytest.mark.parametrize("theme", THEMES)
def test_no_accessibility_rule_is_broken(opened, theme):
    page, _ = opened("one", theme)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    found = axe.Axe().run(page).response
    broken = [(one["id"], [node["html"] for node in one["nodes"]]) for one in found["violations"]]
    assert broken == []
    assert len(found["passes"]) > 30
    assert "color-contrast" in {one["id"] for one in found["passes"]}


def test_the_check_of_accessibility_sees_what_is_wrong(opened):
    page, _ = opened("one")
    page.evaluate("document.querySelector('img').removeAttribute('alt')")
    page.evaluate("document.querySelector('.first').className = 'unreadable'")
    page.evaluate("document.querySelector('.unreadable').style.color = '#dddddd'")
    broken = {one["id"] for one in axe.Axe().run(page).response["violations"]}
    assert {"image-alt", "color-contrast"} <= broken


@pytest.mark.parametrize("theme", THEMES)
def test_themes_are_those_of_the_system(opened, theme):
    page, _ = opened("one", theme)
    channels = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (min(channels) > 200) if theme == "light" else (max(channels) < 60)


@pytest.mark.parametrize("size", [PHONE, SCREEN], ids=["phone", "screen"])
@pytest.mark.parametrize("name", ["one", "hostile"])
def test_page_is_no_wider_than_the_screen(opened, name, size):
    page, _ = opened(name, size=size)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]


# Sorting


def column(page, place):
    """The cells of a column of the table of points."""
    rows = "[...[...document.querySelectorAll('table.sorts')].at(-1).tBodies[0].rows]"
    return page.evaluate(f"{rows}.map((row) => row.cells[{place}].dataset.value ?? row.cells[{place}].textContent)")


def points(page):
    page.locator("summary", has_text="points").click()
    return page.locator("table.sorts").last


def test_click_sorts_numbers_by_all_their_digits_and_texts_in_their_order(opened):
    page, _ = opened("one")
    table = points(page)
    frame = report_runs.Result().tables()["points"]
    heading = table.locator("th", has_text="loss")
    assert heading.get_attribute("aria-sort") is None
    heading.locator("button").click()
    assert heading.get_attribute("aria-sort") == "ascending"
    assert [float(cell) for cell in column(page, 1)] == sorted(frame["loss"])
    heading.locator("button").click()
    assert heading.get_attribute("aria-sort") == "descending"
    assert [float(cell) for cell in column(page, 1)] == sorted(frame["loss"], reverse=True)
    table.locator("th", has_text="name").locator("button").click()
    assert heading.get_attribute("aria-sort") is None
    numbers = sorted(place % 11 for place in range(30))
    assert column(page, 2) == [f"teacher {number}" for number in numbers]  # teacher 2 before teacher 10


def test_empty_cells_come_last_either_way(opened):
    page, _ = opened("one")
    button = points(page).locator("th", has_text="stderr").locator("button")
    for ascending in (True, False):
        button.click()
        cells = column(page, 3)
        filled = [float(cell) for cell in cells if cell]
        assert filled == sorted(filled, reverse=not ascending)
        assert cells == [*cells[: len(filled)], *[""] * (30 - len(filled))]
        assert len(filled) == 10


def test_keyboard_alone_unfolds_and_sorts(opened):
    page, _ = opened("one")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "To the verdict"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    for wanted in ("points", "loss"):
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.textContent").startswith(wanted):
                break
        else:
            pytest.fail(f"the keyboard does not come to {wanted}")
        page.keyboard.press("Enter" if wanted == "points" else "Space")
    assert [float(cell) for cell in column(page, 1)] == sorted(report_runs.Result().tables()["points"]["loss"])


# Pictures, to be looked at in the folder of the test


@pytest.mark.parametrize(("theme", "size"), [("light", SCREEN), ("dark", SCREEN), ("light", PHONE)])
def test_screenshots(opened, tmp_path, theme, size):
    page, _ = opened("one", theme, size)
    path = tmp_path / f"{theme}-{size['width']}.png"
    page.screenshot(path=path, full_page=True)
    assert path.stat().st_size > 20_000


def test_print_is_black_on_white_and_unfolded(opened, tmp_path):
    page, _ = opened("one", "dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    folded = "document.querySelectorAll('details:not([open])').length"
    assert page.evaluate(folded) > 0
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate(folded) == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate(folded) > 0
    page.screenshot(path=tmp_path / "print.png", full_page=True)
    page.pdf(path=tmp_path / "print.pdf")
    assert (tmp_path / "print.pdf").read_bytes()[:5] == b"%PDF-"
