import hashlib
import json
import math

import numpy as np
import pytest
import sweep_experiments as given
from hypothesis import assume, example
from hypothesis import given as drawn
from hypothesis import strategies as st

from regimes import cells, experiments, grids


def test_identity_is_sha256_of_canonical_json():
    cell = given.QUICK.cell({"n": 3, "scale": 2})
    arguments = {"n": 3, "scale": 2.0, "word": "a", "pause": 0.0, "log": ""}
    text = json.dumps(
        {"experiment": "test-quick", "version": 1, "arguments": arguments}, sort_keys=True, separators=(",", ":")
    )
    assert cell.arguments == arguments
    assert cell.digest == hashlib.sha256(text.encode()).hexdigest()


def test_identity_does_not_change_with_time():
    """Changing this test means that nobody's store is found again."""
    cell = given.TYPED.cell({"whole": 3, "real": math.inf, "some": [0.1, -0.0], "word": "é"})
    assert cell.digest == "6d1d72004e69668b121ee7b844f6ef86788e32941d4dc3c5d75a0bf9e288dcb8"
    assert (cell.seed(0), cell.seed(1)) == (7546826029589536481, 1818585253974283757)


def test_seeds_are_of_63_bits_and_differ():
    cell = [given.QUICK.cell({"n": n}) for n in range(1, 2000)]
    seeds = {one.seed(s) for one in cell for s in (0, 1)}
    assert len(seeds) == 2 * len(cell)
    assert 0 <= min(seeds) < 2**60 < 2**62 < max(seeds) < 2**63


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"whole": 1000, "real": 1}, {"real": 1.0, "whole": 1e3}),
        ({"whole": 1, "real": 0.0}, {"whole": np.int64(1), "real": -0.0}),
        ({"whole": 1, "real": 1, "maybe": None}, {"whole": 1, "real": 1}),
        ({"whole": 1, "real": 1, "some": (1, 2)}, {"whole": 1, "real": 1, "some": [1.0, 2.0]}),
    ],
)
def test_same_values_are_the_same_cell(one, other):
    assert given.TYPED.cell(one) == given.TYPED.cell(other)


@pytest.mark.parametrize(
    "other",
    [{"whole": 2}, {"real": math.inf}, {"word": "1"}, {"truth": True}, {"maybe": 0}, {"some": []}, {"some": [1, 2]}],
)
def test_other_values_are_another_cell(other):
    base = {"whole": 1, "real": 1}
    assert given.TYPED.cell(base).digest != given.TYPED.cell(base | other).digest


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"real": 1}, "`whole` must be given for test-typed"),
        ({"whole": 1, "real": 1, "whol": 2}, "'whol' is no argument of test-typed; did you mean whole?"),
        ({"whole": 1, "real": 1, "zzz": 2}, "there are whole, real, word"),
        ({"whole": 1, "real": 1, "seed": 2}, "`seed` is no argument of a cell, whose seed comes from its other"),
        ({"whole": 1.5, "real": 1}, "`whole` must be a whole number, got 1.5"),
        ({"whole": True, "real": 1}, "`whole` must be a whole number, got True"),
        ({"whole": 1, "real": "1"}, "`real` must be a number, got '1'"),
        ({"whole": 1, "real": math.nan}, "`real` must be a number, got NaN"),
        ({"whole": 1, "real": 1, "truth": 1}, "`truth` must be true or false, got 1"),
        ({"whole": 1, "real": 1, "word": 1}, "`word` must be a word, got 1"),
        ({"whole": 1, "real": 1, "some": 1.0}, "`some` must be a list, got 1.0"),
        ({"whole": 1, "real": 1, "some": ["a"]}, "`some` must be a number, got 'a'"),
        ({"whole": 1, "real": 1, "maybe": {}}, "`maybe` must be a whole number, got {}"),
    ],
)
def test_bad_arguments_get_a_sentence(arguments, message):
    with pytest.raises(ValueError, match=message):
        given.TYPED.cell(arguments)


def test_an_experiment_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match=r"test-quick: `n` must be at least 1.* It is the cell n = 0, scale = 1.0, "):
        given.QUICK.cell({"n": 0})


@pytest.mark.usefixtures("unchecked")
def test_an_experiment_that_cannot_be_one():
    with pytest.raises(ValueError, match="must take a `seed`"):
        cells.Experiment("x", len, 1)
    with pytest.raises(ValueError, match="must name its arguments, not take"):
        cells.Experiment("x", lambda *a, seed: {}, 1).cell({})
    with pytest.raises(ValueError, match="at the top of a module"):
        cells.register(cells.Experiment("x", lambda seed: {}, 1))
    with pytest.raises(ValueError, match="`files` names 'b'"):
        cells.Experiment("x", lambda a, seed: {}, 1, files=("b",))
    with pytest.raises(ValueError, match="`version` must be at least 1"):
        cells.Experiment("x", lambda a, seed: {}, 0)
    with pytest.raises(ValueError, match=r"'kernel-lost' is no experiment; did you mean kernel-loss\?"):
        cells.get("kernel-lost")


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@drawn(PLAIN)
@example([math.inf, -math.inf, 1e-320, 0.1])
def test_what_is_encoded_is_read_back_to_the_last_bit(value):
    assume("float" not in str(value))
    text = cells.encoded(value)
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert cells.decoded(text) == value
    assert cells.encoded(cells.decoded(text)) == text


def test_nan_is_read_back():
    assert math.isnan(cells.decoded(cells.encoded({"a": math.nan}))["a"])


# Files


def test_the_content_of_a_file_is_its_identity(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(3))
    first = given.READING.cell({"n": 1, "data": "a.npy"}, folder=tmp_path)
    assert first.files == {"data": str((tmp_path / "a.npy").resolve())}
    assert first.arguments["data"] == "a.npy"
    (tmp_path / "a.npy").rename(tmp_path / "b.npy")
    assert given.READING.cell({"n": 1, "data": "b.npy"}, folder=tmp_path).digest == first.digest
    np.save(tmp_path / "b.npy", np.arange(4))
    assert given.READING.cell({"n": 1, "data": "b.npy"}, folder=tmp_path).digest != first.digest
    assert given.READING.cell({"n": 1}, folder=tmp_path).files == {}


@pytest.mark.parametrize("way", ["up", "absolute", "link"])
def test_files_cannot_leave_the_folder_unasked(tmp_path, way):
    inside = tmp_path / "inside"
    inside.mkdir()
    np.save(tmp_path / "secret.npy", np.arange(3))
    (inside / "link.npy").symlink_to(tmp_path / "secret.npy")
    named = {"up": "../secret.npy", "absolute": str(tmp_path / "secret.npy"), "link": "link.npy"}[way]
    arguments = {"n": 1, "data": named}
    with pytest.raises(ValueError, match=r"lies outside the folder of the sweep file.*--allow-outside"):
        given.READING.cell(arguments, folder=inside, allow_outside=False)
    assert given.READING.cell(arguments, folder=inside, allow_outside=True).files
    with pytest.raises(ValueError, match=r"there is no file 'none.npy'"):
        given.READING.cell({"n": 1, "data": "none.npy"}, folder=inside)


# Grids


def test_a_grid_is_all_combinations_each_once():
    sweep = grids.grid("test-quick", {"n": [1, 2, 2], "scale": [1, 2]}, fixed={"word": "x"}, cells=[{"n": 1}, {"n": 9}])
    assert [(c.arguments["n"], c.arguments["scale"]) for c in sweep.cells] == [(1, 1), (1, 2), (2, 1), (2, 2), (9, 1)]
    assert {c.arguments["word"] for c in sweep.cells} == {"x"}
    assert sweep.duplicates == 3
    assert str(sweep) == "5 cells of test-quick (3 named twice and left out), seed 0"


def test_cells_of_a_grid_are_the_cells_one_by_one():
    sweep = grids.grid("kernel-loss", {"k": [math.inf, 8], "n": [4, 5]}, fixed={"ridge": 1})
    assert sweep.cells == tuple(
        cells.get("kernel-loss").cell({"k": k, "n": n, "ridge": 1.0}) for k in (math.inf, 8) for n in (4, 5)
    )


def test_order_splitting_and_extension_change_no_cell():
    whole = grids.grid("test-quick", {"n": [1, 2, 3], "scale": [1, 2]})
    turned = grids.grid("test-quick", {"scale": [2, 1], "n": [3, 1, 2]})
    parts = [grids.grid("test-quick", {"n": [n], "scale": [1, 2, 7]}) for n in (3, 2, 1)]
    assert {c.digest for c in whole.cells} == {c.digest for c in turned.cells}
    assert {c.digest for c in whole.cells} < {c.digest for part in parts for c in part.cells}


FILE = """
[experiment]
name = "test-quick"
seed = 7

[fixed]
word = "x"

[grid]
n = [1, 2]
scale = [1, 0.5]

[[cells]]
n = 9
"""


def test_a_sweep_file(tmp_path):
    (tmp_path / "a.toml").write_text(FILE)
    sweep = grids.read(tmp_path / "a.toml")
    assert (len(sweep), sweep.seed, sweep.store) == (5, 7, tmp_path / "a.sqlite")
    assert sweep.cells[-1].arguments == {"n": 9, "scale": 1.0, "word": "x", "pause": 0.0, "log": ""}


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[grid]", "[gird]", r"a.toml: 'gird' is no table of a sweep file; did you mean grid\?"),
        ("seed = 7", "sede = 7", r"in `\[experiment\]`: 'sede' is no setting; did you mean seed\?"),
        ("seed = 7", "seed = -7", "`seed` must be at least 0"),
        ('"test-quick"', '"test-qick"', "'test-qick' is no experiment; did you mean test-quick"),
        ('name = "test-quick"', "", "must have a `name`; there are kernel-loss, learning-curve"),
        ("scale = [", "scael = [", r"in `grid`: 'scael' is no argument of test-quick; did you mean scale\?"),
        ("word =", "words =", r"in `fixed`: 'words' is no argument of test-quick; did you mean word\?"),
        ("word =", "n = 3 #", "`n` is in `grid` and in `fixed`"),
        ("n = [1, 2]", "n = 3", "`n` in `grid` must be a list of values, got 3"),
        ("n = [1, 2]", "n = []", "empty list"),
        ("n = [1, 2]", "", "`n` must be given for test-quick, in `fixed` or in `grid`"),
        ("n = [1, 2]", "n = [1, 'a']", "`n` must be a whole number, got 'a'"),
        ("n = 9", "m = 9", r"in `cells`: 'm' is no argument of test-quick"),
        ("[[cells]]", "[cells]", r"`cells` must be written as \[\[cells\]\]"),
        ("seed = 7", "version = 2", "for version 2 of test-quick, whose version is now 1"),
        ("seed = 7", 'store = "../x.sqlite"', "`store`: '../x.sqlite' lies outside the folder"),
        ("seed = 7", "store = 3", "`store` must be the path of a file, got 3"),
        ("[fixed]", "[fixed", "is not TOML"),
    ],
)
def test_a_wrong_sweep_file_gets_a_sentence(tmp_path, old, new, message):
    assert old in FILE
    (tmp_path / "a.toml").write_text(FILE.replace(old, new))
    with pytest.raises(ValueError, match=message):
        grids.read(tmp_path / "a.toml")


def test_other_files_get_a_sentence(tmp_path):
    with pytest.raises(ValueError, match=r"must end in .toml"):
        grids.read(tmp_path / "a.json")
    with pytest.raises(ValueError, match="there is no sweep file"):
        grids.read(tmp_path / "a.toml")
    (tmp_path / "a.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="is not TOML"):
        grids.read(tmp_path / "a.toml")


def test_too_many_cells_are_refused_before_they_are_made():
    many = list(range(1, 1000))
    with pytest.raises(ValueError, match="the grid has 997,002,999 cells"):
        grids.grid("kernel-loss", {"n": many, "tests": many, "replicate": many})


# The experiments that come with the package


SMALL = {"n": 24, "tests": 12, "trials": 2, "dim": 2, "outputs": 3}


@pytest.mark.parametrize(
    "more", [{}, {"k": 8, "width": 4, "ridge": 0.1}, {"kernel": "laplace", "task": "torus", "ridge": 0.1}]
)
def test_kernel_loss_is_that_of_an_obvious_calculation(more):
    arguments = cells.get("kernel-loss").cell(SMALL | {"noise": 0.25} | more).arguments
    found = experiments.kernel_loss(**arguments, seed=5)
    losses = []
    for trial in range(2):
        problem = experiments._problem(
            trial, *(arguments[a] for a in ("n", "noise", "task", "dim", "target", "outputs", "kernel", "depth",
                     "activation", "length", "tests")), 5,
        )  # fmt: skip
        x, y, (train, test) = problem.x, problem.y, (problem.train, problem.test)
        gram = problem.kernel(x)
        if "k" in more:
            phi = problem.kernel.features(x, 8, problem.seed, width=4)
            gram = phi @ phi.T / 8
        ridge = arguments["ridge"] or 1e-12
        weights = np.linalg.solve(gram[np.ix_(train, train)] + ridge * np.eye(24), y[train])
        losses.append(np.mean(np.sum((y[test] - gram[np.ix_(test, train)] @ weights) ** 2, axis=1)))
    assert found["loss"] == pytest.approx(np.mean(losses), rel=1e-6)
    assert found["loss_stderr"] == pytest.approx(np.std(losses, ddof=1) / 2**0.5, rel=1e-6)


def test_a_learning_curve_ends_where_the_loss_is():
    point = experiments.kernel_loss(**SMALL, seed=3)
    curve = experiments.learning_curve(**SMALL, points=5, seed=3)
    assert curve["sizes"][[0, -1]].tolist() == [8, 24]
    assert curve["losses"].shape == (2, 5)
    assert curve["loss"] == pytest.approx(point["loss"], rel=1e-12)
    assert curve["exponent"] > 0


def test_labels_of_digits_are_learnt():
    found = experiments.kernel_loss(n=300, task="digits", target="labels", trials=1, tests=100, seed=0)
    assert found["loss"] < 0.35 * found["loss_of_zero"]
    assert math.isnan(found["loss_stderr"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "`n` must be at least 1"),
        ({"n": 5, "k": 2.5}, "`k` must be a whole number"),
        ({"n": 5, "k": 8, "kernel": "laplace"}, "`k` must be inf for laplace: only ntk and nngp have features"),
        ({"n": 5, "kernel": "laplac"}, "`kernel` must be one of ntk"),
        ({"n": 5, "task": "spere"}, r"'spere' is no task and no .npy.* file; did you mean sphere\?"),
        ({"n": 5, "task": "spere.npy"}, "there is no file 'spere.npy'"),
        ({"n": 5, "ridge": -1}, "`ridge` must be finite and at least 0"),
        ({"n": 5, "activation": "step"}, "`activation` step has no NTK"),
        ({"n": 5, "target": "prio"}, "`target` must be one of prior, labels"),
    ],
)
def test_experiments_refuse_what_cannot_be(arguments, message):
    with pytest.raises(ValueError, match=message):
        cells.get("kernel-loss").cell(arguments)


def test_a_pool_too_small_is_said(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).standard_normal((20, 3)))
    with pytest.raises(ValueError, match="`n` \\+ `tests` is 30, but x has 20 samples"):
        experiments.kernel_loss(n=20, tests=10, task=str(tmp_path / "x.npy"), seed=0)
    with pytest.raises(ValueError, match="`target` is labels, but x has none"):
        experiments.kernel_loss(n=10, tests=5, task=str(tmp_path / "x.npy"), target="labels", seed=0)


def test_a_name_without_its_first_word_is_near():
    assert "did you mean reproduce-nyquist?" in cells.unknown("nyquist", ["verify", "reproduce-nyquist"], "experiment")
    assert "there are verify." in cells.unknown("", ["verify"], "experiment")
