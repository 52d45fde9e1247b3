"""Hestness' method on domains: the theory's own model, tables of losses, real domains in small, resuming."""

import dataclasses
import io
import json
import math

import numpy as np
import pandas as pd
import pytest

from regimes import hestness, learners, model_growth, work_plots

THEORY = {"domain": "theory", "samples": 256, "smallest": 32, "sizes": (4, 16, 64), "repeats": 6, "quick": True}
DIGITS = {"domain": "digits", "samples": 128, "sizes": (4, 16, 64, 256, 1024), "repeats": 3, "quick": True}


@pytest.fixture(scope="module")
def own():
    return model_growth.run(**THEORY)


@pytest.fixture(scope="module")
def digits():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model_growth, "_POOL", 600)
        patch.setattr(model_growth, "_DRAWS", 3)
        return model_growth.run(learner=("kernel", "random-features"), **DIGITS)


def test_the_theorys_own_model_is_predicted(own):
    one = own["theory", "random-features"]
    assert one.floor_known
    assert one.measured.floor == 1.0
    assert one.asymptotic == pytest.approx((-0.6, 0.4))
    assert one.predicted.beta_g.value in one.measured.beta_g
    assert one.predicted.beta_p.value in one.measured.beta_p
    assert [check.holds for check in own.checks] == [True, True, True]
    assert "in the end -0.600" in str(own)
    assert one.measured.curve.loss == pytest.approx(one.predicted.curve.loss, rel=0.15)


def test_a_wrong_prediction_is_refuted(own, monkeypatch):
    """The spectrum of another target: the claims do not hold."""
    monkeypatch.setattr(model_growth, "_MODES", 300)
    right, real = model_growth._power_law(), learners.predicted
    rank = np.arange(1.0, 301)
    wrong = type(right)(right.eigenvalues, rank**-1.2, np.ones(300))
    monkeypatch.setattr(learners, "predicted", lambda spectrum, *args, **options: real(wrong, *args, **options))
    found = model_growth.run(**THEORY | {"repeats": 16})
    assert found.checks[0].holds is False


@pytest.mark.slow
def test_digits_are_predicted_from_their_spectrum(digits):
    """Both learners within 15 %; random features are worse than the kernel that they sample."""
    for one in digits.growths:
        assert one.measured.floor == 0
        assert one.measured.curve.loss == pytest.approx(one.predicted.curve.loss, rel=0.15)
        assert np.isnan(one.asymptotic).all()
        assert one.predicted.beta_g.low < one.predicted.beta_g.value < one.predicted.beta_g.high
    kernel, features = digits["digits", "kernel"], digits["digits", "random-features"]
    assert math.isnan(kernel.measured.beta_p.value)
    assert kernel.measured.beta_g.value < features.measured.beta_g.value
    assert kernel.measured.curve.loss[-1] < features.measured.curve.loss[-1]
    with pytest.raises(KeyError, match="digits, kernel"):
        digits["digits", "network"]


@pytest.mark.slow
def test_tables_and_record_hold_the_numbers(digits):
    tables = digits.tables()
    exponents = tables["exponents"].set_index("learner")
    features = digits["digits", "random-features"]
    assert exponents.loc["random-features", "beta_p"] == features.measured.beta_p.value
    assert exponents.loc["kernel", "predicted_beta_g_low"] == digits["digits", "kernel"].predicted.beta_g.low
    assert exponents.loc["random-features", "shards_at_edge"] == features.measured.at_edge.sum()
    assert len(tables["runs"]) == 3 * 5 * (1 + 5)
    assert len(tables["envelope"]) == 2 * 5
    assert tables["envelope"]["predicted_loss"].notna().all()
    assert tables["checks"].columns.tolist() == ["what", "expected", "found", "holds"]
    record = digits.record()
    assert record["growths"][1]["measured"]["beta_g"][0] == features.measured.beta_g.value
    assert record["run"]["cells"][0]["samples"] == 128
    assert "claims hold" in str(digits)
    assert "in the end" not in str(digits)
    assert "digits, kernel: beta_g" in str(digits)


def test_an_interrupted_run_goes_on(own, tmp_path, monkeypatch):
    real, calls = hestness.procedure, []

    def interrupted(train, *args, **options):
        def some(rows, size, seed):
            if len(calls) == 20:
                raise KeyboardInterrupt
            calls.append(size)
            return train(rows, size, seed)

        return real(some, *args, **options)

    monkeypatch.setattr(hestness, "procedure", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model_growth.run(checkpoint=tmp_path, **THEORY)
    saved = json.loads((tmp_path / "theory-random-features" / "losses.json").read_text())
    assert len(saved["losses"]) == 20
    monkeypatch.setattr(hestness, "procedure", real)
    again = model_growth.run(checkpoint=tmp_path, **THEORY)
    np.testing.assert_array_equal(again.growths[0].measured.losses, own.growths[0].measured.losses)
    with pytest.raises(ValueError, match="`checkpoint`"):
        model_growth.run(checkpoint=tmp_path, **THEORY | {"noise": 0.5})
    with pytest.raises(ValueError, match="`checkpoint`"):
        model_growth.run(checkpoint=tmp_path, **THEORY | {"noise": 1.0000001})
    with pytest.raises(ValueError, match="`checkpoint`"):
        model_growth.run(checkpoint=tmp_path, **THEORY, seed=1)


@pytest.mark.slow
def test_too_few_models_decide_nothing(digits):
    """Sixteen features for a kernel's loss: no size, no claim, and it says so."""
    found = model_growth.run(learner="random-features", **DIGITS | {"sizes": (4, 8, 16)})
    one = found.growths[0].measured
    assert one.at_edge.sum() >= 4
    assert math.isnan(one.beta_p.value)
    assert [check.holds for check in found.checks if "beta_p" in check.what] == [None]
    assert f"{int(one.at_edge.sum())} of 5 shards at the edge of the models offered" in str(found)
    enough = digits["digits", "random-features"].measured
    assert enough.at_edge.sum() < one.at_edge.sum()
    assert math.isfinite(enough.beta_p.value)


def test_the_same_seed_gives_the_same_and_another_another(own):
    same, other = (model_growth.run(**THEORY, seed=seed) for seed in (0, 1))
    np.testing.assert_array_equal(same.growths[0].measured.losses, own.growths[0].measured.losses)
    assert not np.array_equal(other.growths[0].measured.losses, own.growths[0].measured.losses)


def planted(seeds=3):
    rows = []
    for seed in range(seeds):
        for n in 2.0 ** np.arange(5, 12):
            for size in 2.0 ** np.arange(1, 13):
                wobble = math.exp(0.002 * np.random.default_rng([seed, int(n), int(size)]).standard_normal())
                rows.append((n, size, seed, (0.3 + n**-0.4 * (1 + n**0.6 / size)) * wobble))
    return pd.DataFrame(rows, columns=["n", "size", "seed", "loss"])


def test_a_table_of_losses_gives_the_planted_exponents(tmp_path):
    table = planted()
    shuffled = table.sample(frac=1, random_state=0)
    shuffled.to_csv(tmp_path / "mine.csv", index=False)
    found = model_growth.from_table(tmp_path / "mine.csv", floor=0.3)
    one = found["mine", "losses"]
    assert one.measured.beta_g.value == pytest.approx(-0.4, abs=0.03)
    assert one.measured.beta_p.value == pytest.approx(0.6, abs=0.05)
    assert one.measured.losses.shape == (3, 7, 12)
    assert found.checks == ()
    # Without seeds runs are numbered as they come.
    unnamed = model_growth.from_table(table.drop(columns="seed"), floor=0.3)
    np.testing.assert_array_equal(unnamed.growths[0].measured.losses, one.measured.losses)
    assert len(work_plots.model_growth(found).axes) == 2


@pytest.mark.parametrize(
    "names",
    [
        {"n": "samples", "size": "parameters", "loss": "Test Loss"},
        {"n": "tokens", "size": "model_size", "loss": "val-loss"},
        {"n": "N", "size": "width", "loss": "validation_loss"},
    ],
)
def test_columns_may_be_called_as_elsewhere(names):
    plain, renamed = (model_growth.from_table(t, floor=0.3) for t in (planted(), planted().rename(columns=names)))
    np.testing.assert_array_equal(renamed.growths[0].measured.losses, plain.growths[0].measured.losses)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.drop(columns="size"), r"no size.* Rename a column to size \(or parameters"),
        (lambda t: t.rename(columns={"loss": "badness"}), "no loss but n, size, seed, badness"),
        (lambda t: t.assign(loss="much"), "loss must hold numbers"),
        (lambda t: t.assign(loss=np.nan), "loss"),
        (lambda t: t.assign(loss=-1.0), "positive"),
        (lambda t: t[t.n < 100], "at least three n"),
        (lambda t: t[t["size"] < 5], "three sizes or one"),
        (lambda t: t.assign(seed=1), "two losses for n = 32, size = 2"),
        (lambda t: t.assign(seed=np.nan), "missing values"),
        (lambda t: t[(t.n > 32) | (t.seed == 0)], "each shard of each repeat"),
        (lambda t: t.iloc[:0], "table"),
    ],
)
def test_tables_that_say_nothing_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        model_growth.from_table(change(planted()))


def test_files_that_are_no_tables_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.ones(3))
    with pytest.raises(ValueError, match="`table`"):
        model_growth.from_table(tmp_path / "a.npy")
    with pytest.raises(ValueError, match="there is no file"):
        model_growth.from_table(tmp_path / "none.csv")


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"domain": "speech"}, "`domain`"),
        ({"domain": ()}, "`domain` is empty"),
        ({"domain": 5}, "`domain`"),
        ({"learner": "trees"}, "`learner`"),
        ({"domain": "theory", "learner": "network"}, "`learner` for theory"),
        ({"domain": "teacher-student", "learner": "network-classes"}, "`learner` for teacher-student"),
        ({"samples": 3}, "`samples`"),
        ({"domain": "digits", "samples": 1201}, "at most 1200"),
        ({"smallest": 600}, "`smallest`"),
        ({"sizes": (4, 8)}, "`sizes`"),
        ({"sizes": ()}, "`sizes`"),
        ({"sizes": (1.5, 2, 3)}, "`sizes`"),
        ({"repeats": 1}, "`repeats`"),
        ({"noise": -1.0}, "`noise`"),
        ({"noise": math.nan}, "`noise`"),
        ({"domain": "characters", "learner": "network-classes", "noise": 0.1}, "not to the classes"),
        ({"steps": 0}, "`steps`"),
    ],
)
def test_plans_that_cannot_be_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        model_growth.plan(**arguments)
    with pytest.raises(ValueError, match=words):
        model_growth.run(**arguments)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"tolerance": 0.0}, "`tolerance`"), ({"floor": -1.0}, "`floor`"), ({"seed": -1}, "`seed`")],
)
def test_values_that_mean_nothing_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        model_growth.run(**THEORY, **arguments)


def test_the_plan_says_what_will_be_done():
    cells = model_growth.plan()
    assert {cell.domain for cell in cells} == set(model_growth.DEFAULT)
    assert {"kernel", "random-features", "network", "network-classes"} == {cell.learner for cell in cells}
    assert all(cell.sizes == (1,) for cell in cells if cell.learner == "kernel")
    quick = model_growth.plan(quick=True)
    assert sum(cell.samples for cell in quick) < sum(cell.samples for cell in cells)


@pytest.mark.slow
def test_the_figure_shows_every_domain(own, digits):
    both = model_growth.ModelGrowth(own.growths + digits.growths, (), {})
    figure = work_plots.model_growth(both)
    assert len(figure.axes) == 4
    assert [ax.get_title() for ax in figure.axes[:2]] == ["theory's own model", "digits"]
    shown = figure.axes[1].containers[0].lines[0]
    np.testing.assert_allclose(shown.get_ydata(), digits["digits", "kernel"].measured.curve.loss)
    legend = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert legend[0] == f"kernel: {digits['digits', 'kernel'].measured.beta_g.value:.2f}"


def test_the_figure_shows_a_domain_without_adequate_sizes(own):
    """All models too small: the lower panel says so, and its axis has nothing to be logarithmic about."""
    one = own.growths[0]
    nowhere = np.full_like(one.measured.adequate, np.nan)
    measured = dataclasses.replace(one.measured, adequate=nowhere, floor=9.0)  # and no loss above the floor
    predicted = dataclasses.replace(one.predicted, adequate=nowhere)
    growth = dataclasses.replace(one, measured=measured, predicted=predicted)
    figure = work_plots.model_growth(model_growth.ModelGrowth((growth,), (), {}))
    figure.savefig(io.BytesIO())
    assert [text.get_text() for text in figure.axes[1].texts] == ["not determined"]


@pytest.mark.slow
def test_networks_learn_the_teacher_and_the_text():
    small = {"samples": 256, "smallest": 32, "sizes": (4, 16, 64), "repeats": 2, "steps": 300}
    found = model_growth.run(domain=("teacher-student", "characters"), learner=("network", "network-classes"), **small)
    teacher = found["teacher-student", "network"].measured
    excess = teacher.curve.loss - teacher.floor  # the label noise is no part of what is learnt
    assert excess[-1] < 0.6 * excess[0]
    text = found["characters", "network-classes"].measured.curve.loss
    assert text[-1] < text[0] < math.log(28)  # better than guessing, from the first shard on
