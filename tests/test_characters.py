"""Text as a task: windows by hand, blocks that do not touch, the sonnets as they are."""

import collections
import math

import numpy as np
import pytest

from regimes import characters, tasks

TEXT = "It's  a CAT;\na cat!\n\nThe dog.\n"


def spelt(codes):
    return "".join(characters.ALPHABET[code] for code in codes)


def test_text_is_reduced_to_its_letters():
    assert characters.reduced(TEXT) == ["it's a cat a cat", "the dog"]
    assert characters.reduced("O’er\r\n\r\n--- é ---") == ["o'er"]  # a block without letters is none
    long = characters.reduced("ab " * 1000)
    assert [len(block) for block in long] == [1000, 1000, 999]


def test_windows_are_those_found_by_hand():
    found = characters.windows(TEXT, context=3)
    told = [(spelt(b), spelt([f])) for b, f in zip(found.before, found.following, strict=True)]
    first, second = "it's a cat a cat", "the dog"
    assert told == [(block[at - 3 : at], block[at]) for block in (first, second) for at in range(3, len(block))]
    assert found.block.tolist() == [0] * 13 + [1] * 4


def test_no_window_straddles_two_blocks():
    found = characters.windows(context=8)
    blocks = [block for block in characters.reduced(characters.sonnets()) if len(block) > 8]
    for at in np.random.default_rng(0).choice(len(found.following), 300, replace=False):
        whole = spelt(found.before[at]) + spelt([found.following[at]])
        assert whole in blocks[found.block[at]]
    assert len(found.following) == sum(len(block) - 8 for block in blocks)


def test_the_sonnets_are_all_there():
    text = characters.sonnets()
    sonnets = text.strip().split("\n\n")
    assert len(sonnets) == 154
    lines = [len(one.splitlines()) for one in sonnets]
    assert (lines[98], lines[125]) == (15, 12)  # as printed in 1609
    assert collections.Counter(lines)[14] == 152
    assert sonnets[17].startswith("Shall I compare thee to a summer's day?")
    assert "Gutenberg" not in text
    assert not any(one.isupper() and set(one) <= set("IVXLC") for one in text.split() if len(one) > 1)
    assert len(characters.reduced(text)) == 154


def test_the_task_holds_indicators_and_regions():
    task = tasks.characters(500, context=4, seed=3)
    assert task.x.shape == (500, 4 * 28)
    assert np.mean(task.x**2) == pytest.approx(1)
    assert (np.count_nonzero(task.x.reshape(500, 4, 28), axis=2) == 1).all()
    np.testing.assert_allclose(task.y.mean(axis=0), 0, atol=1e-12)
    every = characters.windows(context=4)
    kept = np.random.default_rng(3).permutation(len(every.following))[:500]
    np.testing.assert_array_equal(np.argmax(task.y, axis=1), every.following[kept])
    np.testing.assert_array_equal(np.argmax(task.x.reshape(500, 4, 28), axis=2), every.before[kept])
    train, test = task.split(100, seed=0)
    assert not set(task.region[train]) & set(task.region[test])
    np.testing.assert_array_equal(task.x, tasks.characters(500, context=4, seed=3).x)
    assert not np.array_equal(task.x, tasks.characters(500, context=4, seed=4).x)


def test_more_context_tells_more():
    """Conditional entropies counted from pairs and triples fall: the task can be learnt, and its order is kept."""
    found = characters.windows(context=2)
    levels = []
    for context in (0, 1, 2):
        seen = collections.defaultdict(collections.Counter)
        for before, following in zip(found.before[:, 2 - context :], found.following, strict=True):
            seen[spelt(before)][following] += 1
        entropy = 0.0
        for counts in seen.values():
            whole = sum(counts.values())
            entropy -= sum(count * math.log2(count / whole) for count in counts.values())
        levels.append(entropy / len(found.following))
    assert levels[0] == pytest.approx(4.1, abs=0.1)  # English letters with spaces
    assert levels[1] < levels[0] - 0.6
    assert levels[2] < levels[1] - 0.3


def test_a_text_of_your_own():
    task = tasks.characters(None, context=3, text=TEXT)
    assert len(task) == 17
    assert "a text" in task.description


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"count": 10**6}, "`count` must be at most"),
        ({"count": 1}, "`count`"),
        ({"context": 0}, "`context`"),
        ({"context": 1000}, "`context`"),
        ({"text": "one block is not enough"}, "at least two blocks"),
        ({"text": ""}, "got 0"),
        ({"text": 7}, "`text` must be a string"),
        ({"seed": -1}, "`seed`"),
    ],
)
def test_what_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        tasks.characters(**arguments)
