"""Draws layers.svg and writes the table of architecture.md from the table that tests/test_architecture.py keeps true.

Run it with `python docs/layers.py`.
"""

import ast
import re
import textwrap
from pathlib import Path

HERE = Path(__file__).parent
COLUMNS = {  # column: width, background, ink
    "theory": (230, "#e3effa", "#0072B2"),
    "inference": (230, "#e8f3ea", "#2e7d4f"),
    "experiment": (230, "#fdeee0", "#c25a00"),
    "shared": (330, "#eeeeee", "#555555"),
}
LINE, LETTER, GAP, LEFT, TOP = 17, 7.2, 10, 60, 50


def modules() -> dict[tuple[int, str], list[str]]:
    """Names by layer and column, of those modules that exist."""
    source = (HERE.parent / "tests" / "test_architecture.py").read_text(encoding="utf-8")
    table = next(
        ast.literal_eval(node.value)
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "TABLE"
    )
    package = HERE.parent / "regimes"
    found: dict[tuple[int, str], list[str]] = {}
    for name, place in table.items():
        path = package / name.replace(".", "/")
        if path.is_dir() or path.with_suffix(".py").is_file():
            found.setdefault(place, []).append(name)
    return found


def markdown(found: dict[tuple[int, str], list[str]]) -> str:
    """The table, highest layer first."""
    rows = [f"| layer | {' | '.join(COLUMNS)} |", "|---" * (1 + len(COLUMNS)) + "|"]
    for layer in sorted({layer for layer, _ in found}, reverse=True):
        cells = [" ".join(found.get((layer, column), [])) for column in COLUMNS]
        rows.append(f"| {layer} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def drawing(found: dict[tuple[int, str], list[str]]) -> str:
    """The same as a picture."""
    layers = sorted({layer for layer, _ in found}, reverse=True)
    lines = {
        place: textwrap.wrap(" ".join(names), int((COLUMNS[place[1]][0] - 24) / LETTER), break_on_hyphens=False)
        for place, names in found.items()
    }
    parts, y = [], TOP + 8.0
    for layer in layers:
        height = LINE * max(len(lines.get((layer, column), [])) for column in COLUMNS) + 12
        middle = y + height / 2 + 5
        parts.append(f'<text x="{LEFT / 2 + 6}" y="{middle}" text-anchor="middle" fill="#555555">{layer}</text>')
        x = LEFT
        for column, (width, _, ink) in COLUMNS.items():
            if (layer, column) in lines:
                parts.append(
                    f'<rect x="{x + 5}" y="{y}" width="{width - 10}" height="{height}" rx="4" fill="#ffffff" '
                    f'stroke="{ink}" stroke-width="1.3"/>'
                )
                text = lines[(layer, column)]
                for row, words in enumerate(text):
                    at = y + height / 2 + 5 + LINE * (row - (len(text) - 1) / 2)
                    parts.append(f'<text x="{x + width / 2}" y="{at}" text-anchor="middle">{words}</text>')
            x += width + GAP
        y += height + 8
    x = LEFT
    head = []
    for column, (width, fill, ink) in COLUMNS.items():
        head.append(f'<rect x="{x}" y="{TOP}" width="{width}" height="{y - TOP}" rx="6" fill="{fill}"/>')
        head.append(
            f'<text x="{x + width / 2}" y="{TOP - 12}" text-anchor="middle" font-weight="bold" fill="{ink}">'
            f"{column}</text>"
        )
        x += width + GAP
    size = f"{x + 4} {y + 14:.0f}"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" role="img" aria-labelledby="t d" '
            'font-family="sans-serif" font-size="13" fill="#111111">',
            '<title id="t">The layers of regimes</title>',
            '<desc id="d">Four columns, theory, inference, experiment and shared, in layers, the highest at the top. '
            "Imports point downwards. The table below the picture says the same.</desc>",
            '<rect width="100%" height="100%" fill="#ffffff"/>',
            *head,
            *parts,
            "</svg>",
            "",
        ]
    )


if __name__ == "__main__":
    found = modules()
    (HERE / "layers.svg").write_text(drawing(found), encoding="utf-8")
    page = HERE / "architecture.md"
    text = page.read_text(encoding="utf-8")
    table = re.compile(r"\| layer \|.*?\n(?=\n)", re.DOTALL)
    page.write_text(table.sub(lambda _: markdown(found) + "\n", text, count=1), encoding="utf-8")
