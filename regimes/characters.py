"""Text as a task: the next character from the ones before it.

The text in the package is the 154 sonnets of William Shakespeare, first printed in 1609 and in the public domain. Its
wording is that of Project Gutenberg's e-book 1041, without what the e-book adds; any other text can be read instead.
Text is read in blocks, a sonnet or a paragraph each, and no window reaches across two of them: blocks that are kept for
validation share no character with those that are trained on.
"""

import re
from importlib import resources
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int64

from regimes import _checks

Array = np.ndarray

ALPHABET = " 'abcdefghijklmnopqrstuvwxyz"
"""What a text is reduced to: a character's code is its place here."""
LONGEST = 1000
"""Characters of a block at most: longer paragraphs are cut."""


class Windows(NamedTuple):
    """Every place in a text with enough characters of its block before it."""

    before: Int64[Array, "windows context"]
    """Codes of the characters before, in reading order."""
    following: Int64[Array, " windows"]
    """Code of the character that follows them."""
    block: Int64[Array, " windows"]
    """Number of the block that the window lies in."""


def sonnets() -> str:
    """Shakespeare's sonnets, an empty line between one and the next."""
    return resources.files("regimes").joinpath("data", "sonnets.txt").read_text(encoding="ascii")


def reduced(text: str) -> list[str]:
    """The blocks of a text in the letters of `ALPHABET`.

    Blocks are divided by empty lines, and cut where they are longer than `LONGEST`. Capitals become small letters;
    runs of anything that is no letter and no apostrophe, ends of lines among them, become one space.

    Args:
        text: any text; accents and other scripts are lost.

    Raises:
        ValueError: not a string.
    """
    if not isinstance(text, str):
        raise ValueError(f"`text` must be a string, got {type(text).__name__}.")
    blocks = []
    for paragraph in re.split(r"\n\s*\n", text.replace("\r\n", "\n").replace("’", "'")):
        plain = re.sub(r"[^a-z']+", " ", paragraph.lower()).strip()
        blocks += [plain[start : start + LONGEST] for start in range(0, len(plain), LONGEST)]
    return blocks


def windows(text: str | None = None, *, context: int = 8) -> Windows:
    """All windows of a text, block by block in reading order.

    Args:
        text: the sonnets by default.
        context: characters before the one that follows.

    Raises:
        ValueError: a context that is no positive number; a text without two blocks that are long enough.
    """
    context = _checks.count("context", context, high=LONGEST - 1)
    blocks = [block for block in reduced(sonnets() if text is None else text) if len(block) > context]
    if len(blocks) < 2:
        raise ValueError(
            f"`text` must hold at least two blocks (divided by empty lines) of more than {context} characters, "
            f"got {len(blocks)}."
        )
    code = {letter: place for place, letter in enumerate(ALPHABET)}
    found: list[Any] = []
    for block in blocks:
        codes = np.array([code[letter] for letter in block], dtype=np.int64)
        found.append(np.lib.stride_tricks.sliding_window_view(codes, context + 1))
    every = np.concatenate(found)
    return Windows(
        np.ascontiguousarray(every[:, :-1]),
        np.ascontiguousarray(every[:, -1]),
        np.repeat(np.arange(len(blocks)), [len(one) for one in found]),
    )
