"""Folders as commands write them, small and quick, for the tests of reports."""

import json
import struct
import zlib

import numpy as np
import pandas as pd

SVG = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 400 200" width="400" height="200">
<rect width="400" height="200" fill="#ffffff"/><path d="M 20 20 L 380 180" stroke="#0072b2" fill="none"/></svg>"""
EVIL_SVG = """<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 9 9"
onload="fetch('http://example.invalid/onload')"><script>window.top.hacked = 1; alert(1)</script>
<style>@import url("http://example.invalid/style.css");</style>
<image xlink:href="http://example.invalid/a.png" width="9" height="9"/><rect width="9" height="9"/></svg>"""
EVIL = "<script>window.hacked = 1</script> & \"'</title>"


def png(width, height):
    """A grey image."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    size = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = b"".join(b"\0" + b"\x80" * width for _ in range(height))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


class Result:
    """As experiments return it."""

    name = "teacher_student"
    claims = (
        {"what": "slope of 4/alpha against d in n", "expected": "1", "found": "0.74 [0.47, 1.07]", "holds": True},
        {"what": "the same in k", "expected": "1", "found": "0.47 [0.3, 0.6]", "holds": False},
        {"what": "exponent at d = 9", "expected": "4/9", "found": "0.5 [0.1, 0.9]", "holds": None},
    )

    def __init__(self, rows=30):
        self.rows = rows

    def __str__(self):
        return "Teacher-student in d = 2, 3\n  the same in k: expected 1, found 0.47: does not hold\n  d = 2: n 1.9"

    def tables(self):
        rng = np.random.default_rng(0)
        points = {"n": 2.0 ** np.arange(self.rows), "loss": rng.normal(size=self.rows), "name": self._names()}
        points["stderr"] = [np.nan if place % 3 else place for place in range(self.rows)]
        return {"points": pd.DataFrame(points), "checks": pd.DataFrame(self.claims)}

    def _names(self):
        return [f"teacher {place % 11}" for place in range(self.rows)]

    def record(self):
        return {"run": {"dims": [2, 3], "quick": True, "seed": 7}, "checks": list(self.claims), "noise": {"value": 0.5}}


class Figure:
    """As matplotlib's, as far as it is saved."""

    def savefig(self, path, *, format, dpi=100):
        if format == "svg":
            path.write_text(SVG)
        else:
            path.write_bytes(png(8, 4))


def experiment(folder, rows=30):
    """What an experiment on networks writes."""
    from regimes.commands import console

    console.save(Result(rows), Figure(), folder, {"dims": None, "seed": 7})
    return folder


def hostile(folder):
    """A folder in which every text is markup, and an SVG that would like to run and to load."""
    folder = folder / "a&b <i>#?%41"
    folder.mkdir(parents=True)
    files = ["x.svg", "java&script#1.csv", "../secret.csv"]
    record = {"experiment": EVIL, "summary": EVIL, "files": files, "versions": {EVIL: EVIL}, "settings": {EVIL: EVIL}}
    record["checks"] = [{"what": EVIL, "expected": EVIL, "found": EVIL, "holds": False}]
    (folder / "run.json").write_text(json.dumps(record))
    (folder / "x.svg").write_text(EVIL_SVG)
    (folder.parent / "secret.csv").write_text("secret\n1\n")
    pd.DataFrame({EVIL: [EVIL, "b"], "javascript:alert(1)": [1, 2]}).to_csv(folder / files[1], index=False)
    return folder
