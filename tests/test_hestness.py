import itertools
import math

import numpy as np
import pytest

from regimes import hestness, kernels, learners, optima, spectra, tasks
from regimes.spectrum import Spectrum

N = 2.0 ** np.arange(5, 14)
SIZES = 2.0 ** np.arange(1, 16)


def planted(n, size, floor=0.3):
    """Reducible loss n^-0.4 with the size out of the way, within 20 % of it from 5 n^0.6 on."""
    return floor + n**-0.4 * (1 + n**0.6 / size)


@pytest.fixture(scope="module")
def table():
    return planted(N[:, None], SIZES)


@pytest.mark.parametrize("floor", [0.3, None])
def test_planted_exponents_are_found(table, floor):
    found = hestness.analyse(N, SIZES, table, floor=floor)
    assert found.beta_g.value == pytest.approx(-0.4, abs=0.01)
    assert found.beta_p.value == pytest.approx(0.6, abs=0.02)
    assert found.floor == pytest.approx(0.3, abs=0.01)
    assert found.adequate == pytest.approx(5 * N**0.6, rel=0.06)
    assert found.at_edge.all()  # more is better here, without end


def test_the_envelope_of_equal_models_is_not_biased_by_choosing(rng):
    """All models are as good: the smallest of fifteen noisy losses is too small, what is left out is not."""
    losses = 1 + 0.1 * rng.standard_normal((40, 9, 15))
    found = hestness.analyse(N, SIZES, losses, floor=0.0)
    assert found.curve.loss.mean() == pytest.approx(1.0, abs=3 * 0.1 / math.sqrt(9 * 40))
    assert np.min(losses, axis=2).mean() < 0.85


def test_intervals_cover_the_planted_exponents_as_often_as_stated(rng, table):
    bowl = 0.3 + N[:, None] ** -0.4 * np.exp(0.2 * np.log(SIZES / N[:, None] ** 0.6) ** 2)  # one size is the best
    inside = np.zeros(2)
    repeats = 200
    for i, (name, losses) in enumerate((("beta_g", bowl), ("beta_p", table))):
        truth = getattr(hestness.analyse(N, SIZES, losses, floor=0.3), name).value
        for _ in range(repeats):
            noisy = losses * np.exp(0.005 * rng.standard_normal((5, *losses.shape)))
            estimate = getattr(hestness.analyse(N, SIZES, noisy, floor=0.3), name)
            inside[i] += estimate.low <= truth <= estimate.high
    assert np.all(inside / repeats > 0.8), inside
    assert np.all(inside / repeats < 0.97), inside


def test_three_regions_are_found():
    n = 2.0 ** np.arange(2, 20)
    curve = 0.1 + 0.9 * (1 + (n / 100) ** 2) ** (-0.5 / 2)
    found = hestness.analyse(n, SIZES[:3], np.repeat(curve[:, None], 3, axis=1) * [1.1, 1, 1.1])
    assert found.regions is not None
    assert found.regions["start"].value == pytest.approx(100, rel=0.3)
    assert found.regions["guess"].value == pytest.approx(1.0, rel=0.05)
    assert "power law from n" in str(found)


class Trainer:
    """A training function that remembers what it was asked for."""

    def __init__(self, noise=0.0):
        self.noise, self.calls = noise, []

    def __call__(self, rows, size, seed):
        self.calls.append((tuple(rows), size, seed))
        best = len(rows) ** 0.5
        bowl = 0.2 * math.log(size / best) ** 2
        return (len(rows) ** -0.4 + 0.1) * math.exp(bowl + self.noise * np.random.default_rng(seed).standard_normal())


def test_bracket_finds_what_the_grid_finds_with_less_work():
    lazy, thorough = Trainer(), Trainer()
    options = {"samples": 4096, "sizes": 2.0 ** np.arange(0, 12), "repeats": 2, "smallest": 16}
    found = hestness.procedure(lazy, **options)
    whole = hestness.procedure(thorough, search="grid", **options)
    assert found.curve.loss == pytest.approx(whole.curve.loss, rel=1e-12)
    assert len(lazy.calls) < 0.5 * len(thorough.calls)
    assert not found.at_edge.any()


def test_shards_are_nested_and_repeats_differ():
    trainer = Trainer()
    hestness.procedure(trainer, 256, [4, 8, 16], repeats=2, smallest=16, search="grid")
    rows = [frozenset(call[0]) for call in trainer.calls]
    first = sorted(set(rows[: len(rows) // 2]), key=len)
    assert [len(one) for one in first] == [16, 32, 64, 128, 256]
    assert all(small < large for small, large in itertools.pairwise(first))
    assert not set(rows[: len(rows) // 2]) & set(rows[len(rows) // 2 :]) - {frozenset(range(256))}
    assert len({call[2] for call in trainer.calls}) == len(trainer.calls)  # every run has a seed of its own


def test_same_seed_same_result_other_seed_another():
    one, same, other = (
        hestness.procedure(Trainer(0.1), 512, [4, 8, 16, 32, 64], repeats=3, seed=seed).losses for seed in (0, 0, 1)
    )
    assert np.array_equal(one, same, equal_nan=True)
    assert not np.array_equal(one, other, equal_nan=True)


def test_theory_reads_the_exponents_of_power_laws_with_noise():
    """beta_g = -beta/(1+beta) and beta_p = 1/(1+beta), reached slowly: at n of a million within a tenth."""
    law = spectra.power_law(1.0, 1.0, modes=1e8)
    n = np.geomspace(1e6, 1e9, 7)
    found = learners.predicted(law, n, np.geomspace(10, 1e7, 25), noise=0.3, floor=0.3)
    assert found.beta_g.value == pytest.approx(-0.5, abs=0.02)
    assert found.beta_p.value == pytest.approx(0.5, abs=0.05)
    widths = optima.smallest_width(law, n, 0.3)
    assert found.adequate == pytest.approx(widths, rel=0.1)  # another code for the same question


def test_measured_random_features_follow_the_prediction():
    lam = np.arange(1, 501.0) ** -1.5
    spectrum = Spectrum(lam, np.arange(1, 501.0) ** -1.8, np.ones(500))
    learner = learners.gaussian(spectrum, 512, noise=0.2)
    found = hestness.procedure(
        learner.train, learner.samples, [4, 16, 64, 256], smallest=64, repeats=6, floor=0.2, search="grid"
    )
    expected = learners.predicted(spectrum, found.n, found.sizes, noise=0.2, floor=0.2)
    assert found.curve.loss == pytest.approx(expected.curve.loss, abs=4 * found.curve.stderr.max(), rel=0.05)
    assert found.beta_g.low <= expected.beta_g.value <= found.beta_g.high


@pytest.mark.slow
def test_random_features_and_networks_learn_digits(unchecked):
    task = tasks.digits()
    small = kernels.fully_connected(1, kind="nngp")
    features = learners.random_features(task, small)
    rows = np.arange(features.samples)
    assert features.samples == 1348
    few, many = (features.train(rows[:count], 200, 0) for count in (50, 1000))
    assert many < 0.6 * few
    trained = learners.network(task, kernels.fully_connected(1), classes=True, steps=60)
    few, many = (trained.train(rows[:count], 32, 0) for count in (30, 500))
    assert many < few
    assert trained.train(rows[:30], 32, 0) == trained.train(rows[:30], 32, 0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"samples": 4}, "`samples`"),
        ({"sizes": [1, 2]}, "`sizes`"),
        ({"sizes": [0, 1, 2]}, "`sizes`"),
        ({"search": "random"}, "`search`"),
        ({"smallest": 512}, "at least 3"),
        ({"repeats": 0}, "`repeats`"),
        ({"train": lambda rows, size, seed: math.nan}, "`train`"),
        ({"train": lambda rows, size, seed: -1.0}, "`train`"),
    ],
)
def test_bad_input_is_named(arguments, words):
    options = {"train": Trainer(), "samples": 1024, "sizes": [4, 8, 16]} | arguments
    with pytest.raises(ValueError, match=words):
        hestness.procedure(options.pop("train"), options.pop("samples"), options.pop("sizes"), **options)


def test_tables_of_another_shape_are_refused(table):
    with pytest.raises(ValueError, match="`losses`"):
        hestness.analyse(N, SIZES[:-1], table)
    with pytest.raises(ValueError, match="each shard"):
        hestness.analyse(N, SIZES, np.full_like(table, np.nan))
    with pytest.raises(ValueError, match="ascend"):
        hestness.analyse(N[::-1], SIZES, table)


def test_tables_hold_every_run(table):
    found = hestness.analyse(N, SIZES, table)
    assert len(found.tables()["runs"]) == table.size
    assert found.tables()["envelope"]["loss"].to_numpy() == pytest.approx(table.min(axis=1))
    assert found.record()["beta_g"][0] == found.beta_g.value


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"floor": 1.0}, "`floor`"),
        ({"level": 2.0}, "`level`"),
        ({"tolerance": 0.0}, "`tolerance`"),
    ],
)
def test_values_that_mean_nothing_are_refused(table, arguments, words):
    with pytest.raises(ValueError, match=words):
        hestness.analyse(N, SIZES, table, **arguments)


def test_sizes_that_are_no_whole_numbers_and_losses_that_are_infinite_are_refused(table):
    with pytest.raises(ValueError, match="whole numbers"):
        hestness.procedure(Trainer(), 256, [1.2, 2, 3])
    with pytest.raises(ValueError, match="finite"):
        hestness.analyse(N, SIZES, np.where(table < 0.5, np.inf, table))
    alone = np.full((2, *table.shape), np.nan)
    alone[0, :, 0], alone[1, :, 1] = table[:, 0], table[:, 1]
    with pytest.raises(ValueError, match="all repeats"):
        hestness.analyse(N, SIZES, alone)


@pytest.mark.parametrize(("samples", "noise", "words"), [(-3, 0.0, "`samples`"), (64, -1.0, "`noise`")])
def test_the_theorys_own_model_refuses_what_it_cannot_draw(samples, noise, words):
    with pytest.raises(ValueError, match=words):
        learners.gaussian(Spectrum(np.ones(3), np.ones(3), np.ones(3)), samples, noise=noise)
