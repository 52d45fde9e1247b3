import re

import numpy as np
import pandas as pd
import pytest

from regimes import curves
from regimes.results import LearningCurve, LossSurface

N = np.array([100.0, 200, 400, 800, 1600])
LOSS = 3 * N**-0.4 + 0.05
GRID = pd.DataFrame([{"n": n, "k": k, "loss": 1 / n + 1 / k} for k in (8, 16, 32) for n in (10, 20, 40, 80)])
TWO_MODELS = pd.DataFrame({"model": ["b"] * 5 + ["a"] * 5, "n": [*N, *N], "loss": [*LOSS, *(2 * LOSS)]})


def one(source, **options):
    (found,) = curves.read(source, **options)
    return found


# Where tables come from


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet"])
def test_a_file_gives_the_curve_that_was_written_to_it(tmp_path, ending):
    path = tmp_path / f"mine.{ending}"
    frame = pd.DataFrame({"n": N, "loss": LOSS})
    if ending == "parquet":
        frame.to_parquet(path, index=False)
    else:
        frame.to_csv(path, index=False)
    found = one(str(path))
    np.testing.assert_array_equal(found.scales["n"], N)
    np.testing.assert_allclose(found.loss, LOSS, rtol=1e-15)
    assert (found.name, dict(found.key), found.notes) == (path.name, {}, ())


def test_a_frame_and_a_mapping_give_the_same_as_a_file():
    columns = {"n": N, "loss": LOSS}
    for source in (columns, pd.DataFrame(columns)):
        np.testing.assert_array_equal(one(source).loss, LOSS)


# Which column is which


@pytest.mark.parametrize(
    ("heading", "scale"),
    [("Seen Examples", "n"), ("size_train", "n"), ("tokens", "n"), ("Params", "size"), ("model-size", "size"),
     ("features", "k"), ("epochs", "time"), ("density", "density"), ("width", "width")],
)  # fmt: skip
def test_headings_that_are_called_like_a_scale_are_found(heading, scale):
    assert list(one({heading: N, "Test_Loss": LOSS}).scales) == [scale]


@pytest.mark.parametrize(
    ("x", "scales"),
    [("labels", ["n"]), ("size=labels", ["size"]), ("params", ["size"]), ("n=labels,size=params", ["n", "size"]),
     ({"time": "labels"}, ["time"])],
)  # fmt: skip
def test_named_columns_are_the_scales(x, scales):
    assert list(one({"labels": N, "params": 2 * N, "loss": LOSS}, x=x).scales) == scales


def test_loss_and_standard_error_are_found_and_can_be_named():
    table = {
        "n": N,
        "error": LOSS,
        "other": 2 * LOSS,
        "sem": 0.01 * LOSS,
        "sd": 0.1 * LOSS,
        "runs": [25, 25, 25, 25, 4],
    }
    found = one(table)
    np.testing.assert_array_equal(found.loss, LOSS)
    np.testing.assert_array_equal(found.stderr, 0.01 * LOSS)
    named = one(table, y="other", stderr="sd", count="runs")
    np.testing.assert_array_equal(named.loss, 2 * LOSS)
    np.testing.assert_allclose(named.stderr, 0.1 * LOSS / np.array([5, 5, 5, 5, 2]))


def test_groups_keep_their_order_and_their_rows():
    first, second = curves.read(TWO_MODELS, by="model")
    assert [(found.name, dict(found.key)) for found in (first, second)] == [
        ("b", {"model": "b"}),
        ("a", {"model": "a"}),
    ]
    np.testing.assert_array_equal(second.loss, 2 * LOSS)


def test_two_columns_can_tell_curves_apart_and_one_without_a_value_does_too():
    table = pd.concat([TWO_MODELS.assign(task="x"), TWO_MODELS.assign(task=None)])
    found = curves.read(table, by="model, task")
    assert len(found) == 4
    assert all(len(each.loss) == 5 for each in found)


def test_a_column_that_tells_curves_apart_and_is_a_scale_says_what_was_held():
    found = curves.read(GRID, by="k")
    assert [each.name for each in found] == ["8", "16", "32"]
    assert found[1].varying == ("n",)
    (line,) = found[1].lines()
    assert line.fixed["k"] == 16
    assert "size" not in curves.read(TWO_MODELS.rename(columns={"model": "size"}), by="size")[0].scales  # words


# Rows that cannot be used


def test_rows_are_sorted_and_those_without_numbers_are_left_out_and_counted():
    table = {"n": [400.0, np.nan, 100, 200, -5, 800], "loss": [0.3, 0.2, 0.5, 0.4, 0.1, np.inf]}
    found = one(table)
    np.testing.assert_array_equal(found.scales["n"], [100, 200, 400])
    np.testing.assert_array_equal(found.loss, [0.5, 0.4, 0.3])
    assert found.notes == ("3 of 6 rows left out: no number for the loss, or none above 0 for a scale",)


def test_losses_that_are_not_positive_are_left_out_and_counted():
    found = one({"n": N, "loss": [0.5, 0.0, -0.1, 0.2, 0.1]})
    assert len(found.loss) == 3
    assert "2 of 5 rows left out: the loss is not positive" in found.notes[0]


def test_percent_is_noticed_where_the_heading_says_error_and_fractions_are_not():
    assert "percent" in one({"n": N, "error": 100 * LOSS / 3}).notes[0]
    assert one({"n": N, "error": LOSS / 3}).notes == ()
    assert one({"n": N, "loss": 10 * LOSS}).notes == ()


def test_errors_that_are_missing_are_not_used_and_that_is_said():
    found = one({"n": N, "loss": LOSS, "stderr": [0.1, 0.1, np.nan, 0.1, 0.1]})
    assert found.stderr is None
    assert "standard errors are not used" in found.notes[0]


def test_places_that_repeat_beside_a_column_of_words_ask_for_by():
    assert "pass `by`" in one(TWO_MODELS).notes[0]
    assert one(TWO_MODELS.drop(columns="model")).notes == ()


# As learning curves and surfaces


def test_a_curve_in_each_of_the_axes_becomes_a_learning_curve_with_what_was_held():
    for heading, along in (("n", "n"), ("k", "k"), ("size", "k"), ("width", "k"), ("time", "time")):
        held = "n" if along == "k" else "k"
        (line,) = one({heading: N, held: np.full(5, 64.0), "loss": LOSS}).lines({"noise": 0.1})
        assert isinstance(line, LearningCurve)
        assert (line.along, dict(line.fixed)) == (along, {held: 64.0, "noise": 0.1})
        np.testing.assert_array_equal(line.loss, LOSS)


def test_k_is_not_taken_for_the_size_that_is_held_beside_it():
    (line,) = one({"k": N, "size": np.full(5, 7.0), "loss": LOSS}).lines()
    np.testing.assert_array_equal(line.at, N)
    (line,) = one({"size": N, "k": np.full(5, 7.0), "loss": LOSS}).lines()
    np.testing.assert_array_equal(line.at, N)


def test_a_full_grid_becomes_a_surface_and_one_with_gaps_its_lines_along_n():
    (surface,) = one(GRID.sample(frac=1, random_state=0)).lines()
    assert isinstance(surface, LossSurface)
    np.testing.assert_allclose(surface.loss, 1 / surface.n[:, None] + 1 / surface.k)
    lines = one(GRID.drop(index=[5])).lines()
    assert [(len(line), line.fixed["k"]) for line in lines] == [(4, 8), (3, 16), (4, 32)]
    np.testing.assert_allclose(lines[1].loss, 1 / lines[1].at + 1 / 16)


def test_repeated_places_are_averaged_with_the_error_of_their_mean():
    rng = np.random.default_rng(0)
    draws = LOSS * np.exp(0.1 * rng.standard_normal((4, 5)))
    (line,) = one({"n": np.tile(N, 4), "loss": draws.ravel()}).lines()
    np.testing.assert_allclose(line.loss, draws.mean(axis=0))
    np.testing.assert_allclose(line.stderr, draws.std(axis=0, ddof=1) / 2)
    (line,) = one({"n": np.tile(N, 2), "loss": draws[:2].ravel(), "stderr": np.full(10, 0.02)}).lines()
    np.testing.assert_allclose(line.stderr, 0.02 / np.sqrt(2))
    (line,) = one({"n": np.tile(N, 2), "loss": draws[:2].ravel()}).lines()
    assert line.stderr is None  # two say too little


def test_a_scale_that_is_infinite_throughout_is_held_there():
    """Sweeps write k = inf for the kernel itself; all of its rows were left out once."""
    curve = one({"n": N, "k": np.inf, "loss": LOSS})
    assert curve.varying == ("n",)
    assert curve.notes == ()
    (line,) = curve.lines()
    assert line.fixed == {"k": np.inf}
    assert np.array_equal(line.loss, LOSS)


def test_a_row_without_a_loss_does_not_decide_whether_a_scale_is_infinite_throughout():
    table = {"n": [100, 100, 200], "k": [10, np.inf, np.inf], "loss": [np.nan, 0.4, 0.3]}
    (curve,) = curves.read(table)
    assert curve.loss.tolist() == [0.4, 0.3]


def test_infinite_and_finite_sizes_together_make_no_curve_and_the_way_out_is_said():
    both = {"n": np.tile(N, 2), "k": np.repeat([64, np.inf], 5), "loss": np.tile(LOSS, 2)}
    curve = one(both)
    assert len(curve.loss) == 5
    assert curve.notes == (
        "5 of 10 rows left out: k is infinite there and finite in others; with `by` as the column of k each of its "
        "values makes a curve",
    )
    assert [part.scales["k"][0] for part in curves.read(both, by="k")] == [64, np.inf]


def test_numbers_with_a_percent_sign_are_refused_with_what_to_write():
    with pytest.raises(ValueError, match=r"that of row 2 is '12\.5 %'; write percent as bare numbers or as fractions"):
        curves.read({"n": [1, 2], "loss": ["13", "12.5 %"]})


def test_a_table_without_header_is_refused_unless_its_columns_are_named_by_number(tmp_path):
    path = tmp_path / "bare.csv"
    pd.DataFrame({"n": N, "loss": LOSS}).to_csv(path, index=False, header=False)
    with pytest.raises(ValueError, match="its first line must name the columns, but holds numbers only: write such"):
        curves.read(path)
    (curve,) = curves.read(path, x="n=0", y="1")
    assert np.array_equal(curve.loss, LOSS)


# Bad input

BAD = {
    "there is no file": ("missing.csv", {}),
    "must be a .csv, .csv.gz or .parquet file": ("losses.txt", {}),
    "must be a path, a pandas DataFrame or a mapping; got int": (3, {}),
    "holds no rows": (pd.DataFrame({"n": [], "loss": []}), {}),
    "`x`: there is no column 'tokens'; the columns are model, n, loss": (TWO_MODELS, {"x": "tokens"}),
    "`x`: none of the columns a, loss is called like a scale": ({"a": N, "loss": LOSS}, {}),
    "`x` names a scale twice": (TWO_MODELS, {"x": "n=n,n=loss"}),
    "`x` must be one of n, k, size": (TWO_MODELS, {"x": "colour=n"}),
    "`x` must be a column or scale=column": (TWO_MODELS, {"x": "n=n,loss"}),
    "`y`: there is no column 'nope'": (TWO_MODELS, {"y": "nope"}),
    "`y`: none of the columns n, a has a heading that says so": ({"n": N, "a": LOSS}, {}),
    "column 'n' cannot be two of": (TWO_MODELS, {"y": "n"}),
    "`by`: there is no column 'task'": (TWO_MODELS, {"by": "task"}),
    "`stderr`: there is no column": (TWO_MODELS, {"stderr": "sd"}),
    "`count` needs `stderr`": (TWO_MODELS, {"count": "n"}),
    "column 'loss' must hold numbers; that of row 2 is 'low'": ({"n": [1, 2], "loss": ["0.5", "low"]}, {}),
    "two columns of the same name": (pd.DataFrame([[1, 2, 3]], columns=["n", "loss", "loss"]), {}),
}


@pytest.mark.parametrize("words", BAD)
def test_a_table_that_cannot_be_read_is_refused_in_a_sentence(words, unchecked):
    source, options = BAD[words]
    with pytest.raises(ValueError, match=re.escape(words)):
        curves.read(source, **options)


def test_a_heading_that_repeats_in_a_file_is_refused_although_pandas_renames_it(tmp_path):
    path = tmp_path / "twice.csv"
    path.write_text("n,loss,loss\n100,0.5,0.4\n200,0.4,0.3\n")
    with pytest.raises(ValueError, match="two columns of the same name among n, loss, loss"):
        curves.read(path)


@pytest.mark.parametrize(
    ("table", "fixed", "words"),
    [
        ({"density": N, "loss": LOSS}, {}, "in the table density varies"),
        ({"n": N, "time": 2 * N, "loss": LOSS}, {}, "n, time vary"),
        ({"n": N[:1], "loss": LOSS[:1]}, {}, "nothing varies"),
        ({"n": N, "loss": -LOSS}, {}, "no points: 5 of 5 rows left out"),
        ({"n": N, "loss": LOSS}, {"n": 3.0}, "n varies in the table, so it cannot be held at 3"),
    ],
)
def test_what_is_no_curve_in_n_k_or_time_is_refused(table, fixed, words):
    with pytest.raises(ValueError, match=words):
        one(table).lines(fixed)


@pytest.mark.parametrize("values", [[True, False, True], [1 + 2j, 1, 2], pd.to_datetime(["2020-01-01"] * 3)])
def test_columns_that_are_no_real_numbers_are_refused(values):
    with pytest.raises(ValueError, match="real numbers"):
        curves.read(pd.DataFrame({"n": [1, 2, 3], "loss": values}))
