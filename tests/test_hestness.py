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
    assert not found.at_edge.any()  # more is better without end, but the largest is far above the adequate size


def test_the_largest_model_offered_does_not_decide_the_growth():
    """Sizes up to 256 and 1,024 where up to 1,100 are asked for: shards at the edge do not count."""
    n, infinite = N[:, None], 0.3 + N**-0.4
    for most, left in ((256, 5), (1024, 8)):
        sizes = SIZES[: int(math.log2(most))]
        capped = hestness.analyse(N, sizes, planted(n, sizes), floor=0.3)
        assert capped.at_edge[-3:].all()
        assert math.isnan(capped.beta_p.value)
        known = hestness.analyse(N, sizes, planted(n, sizes), limit=infinite, floor=0.3)
        assert (known.at_edge == 0).sum() == left
        reached = known.at_edge == 0
        assert known.adequate[reached] == pytest.approx(5 * N[reached] ** 0.6, rel=0.06)
        assert known.beta_p.value == pytest.approx(0.6, abs=0.03)
        assert known.beta_p.window == (N[reached][0], N[reached][-1])
        assert f"{int(known.at_edge.sum())} of 9 shards at the edge" in str(known)
    few = hestness.analyse(N, SIZES[:3], planted(n, SIZES[:3]), limit=infinite, floor=0.3)
    assert math.isnan(few.beta_p.value)
    assert few.at_edge.all()


def test_an_undetermined_growth_does_not_speak_of_one_repeat():
    table = np.stack([planted(N[:, None], SIZES[:4])] * 3)
    several = hestness.analyse(N, SIZES[:4], table, limit=np.full((3, 9), 0.301), floor=0.3)
    assert several.beta_p.method.endswith("not determined with every repeat left out")
    one = hestness.analyse(N, SIZES[:4], table[:1], limit=np.full((1, 9), 0.301), floor=0.3)
    assert one.beta_p.method.endswith("one repeat")


@pytest.mark.parametrize(
    ("limit", "words"), [(np.ones(3), "shape"), (-np.ones(9), "positive"), (np.full(9, 0.2), "floor")]
)
def test_limits_that_cannot_be_are_refused(table, limit, words):
    with pytest.raises(ValueError, match=words):
        hestness.analyse(N, SIZES, table, limit=limit, floor=0.3)


def test_an_infinite_model_is_trained_on_the_same_shards_and_kept(tmp_path):
    calls = []

    def limit(rows, seed):
        calls.append((tuple(rows), seed))
        return [len(rows) ** -0.4, 2.0]

    trainer = Trainer()
    options = {"smallest": 32, "repeats": 2, "search": "grid", "paired": True, "floor": 0.0, "checkpoint": tmp_path}
    found = hestness.procedure(trainer, 256, [4, 8, 16, 32, 64], limit=limit, **options)
    assert {(rows, seed) for rows, seed in calls} == {(rows, seed) for rows, _, seed in trainer.calls}
    assert found.limit == pytest.approx(np.tile(found.n**-0.4, (2, 1)))
    assert found.tables()["envelope"]["infinite_size_loss"].to_numpy() == pytest.approx(found.n**-0.4)
    done = len(calls)
    again = hestness.procedure(trainer, 256, [4, 8, 16, 32, 64], limit=limit, **options)
    assert len(calls) == done
    assert again.beta_g == found.beta_g


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


def test_the_best_of_equal_settings_is_not_too_good():
    """Sixty settings that are all as good: the smallest of their noisy losses is too small, what is returned is not."""

    def train(rows, size, seed):
        return 1 + 0.1 * np.random.default_rng(seed).standard_normal(60)

    found = hestness.procedure(train, 1024, [1, 2, 4], smallest=4, repeats=30, search="grid", floor=0.0)
    assert found.losses.mean() == pytest.approx(1, abs=3 * 0.1 / math.sqrt(found.losses.size))
    one = hestness.procedure(train, 1024, [1, 2, 4], smallest=4, repeats=1, search="grid", floor=0.0)
    assert one.losses.mean() < 0.85


def test_one_setting_is_chosen_for_each_size_and_shard():
    """The setting that is best on average wins, though another is better in single repeats."""

    def train(rows, size, seed):
        lucky = np.random.default_rng(seed).uniform(0.2, 2.2, 2)
        return [1.0, *lucky]  # means 1, 1.2, 1.2

    found = hestness.procedure(train, 64, [1, 2, 4], smallest=16, repeats=60, search="grid", floor=0.0, paired=True)
    assert np.mean(found.losses == 1) > 0.9
    with pytest.raises(ValueError, match="as many losses each time"):
        hestness.procedure(lambda rows, size, seed: np.ones(size), 64, [1, 2, 4], smallest=16)


def test_paired_runs_share_the_seed_of_their_repeat():
    trainer = Trainer()
    hestness.procedure(trainer, 256, [4, 8, 16], repeats=3, smallest=64, search="grid", paired=True)
    assert len({call[2] for call in trainer.calls}) == 3


def test_a_largest_shard_below_all_samples_differs_between_repeats():
    trainer = Trainer()
    found = hestness.procedure(trainer, 256, [4], repeats=2, largest=64, smallest=16, floor=0.0)
    assert found.n.tolist() == [16, 32, 64]
    largest = [set(rows) for rows, _, _ in trainer.calls if len(rows) == 64]
    assert largest[0] != largest[1]
    assert max(max(rows) for rows in largest) > 64


def test_a_learner_without_sizes_has_a_curve_and_no_growth():
    found = hestness.procedure(Trainer(0.05), 512, [16], repeats=3, smallest=32)
    assert math.isnan(found.beta_p.value)
    assert not found.at_edge.any()
    assert "beta_p" not in str(found)
    assert found.curve.trials.shape == (3, 5)


class Interrupted(Trainer):
    """Fails at one of its calls."""

    def __init__(self, noise, at):
        super().__init__(noise)
        self.at = at

    def __call__(self, rows, size, seed):
        if len(self.calls) == self.at:
            raise KeyboardInterrupt
        return super().__call__(rows, size, seed)


def test_an_interrupted_procedure_goes_on(tmp_path):
    options = {"samples": 256, "sizes": [4, 8, 16, 32], "repeats": 2, "smallest": 32, "floor": 0.0}
    undisturbed = Trainer(0.1)
    whole = hestness.procedure(undisturbed, **options)
    with pytest.raises(KeyboardInterrupt):
        hestness.procedure(Interrupted(0.1, 7), checkpoint=tmp_path, **options)
    rest = Trainer(0.1)
    resumed = hestness.procedure(rest, checkpoint=tmp_path, **options)
    assert len(rest.calls) == len(undisturbed.calls) - 7
    assert np.array_equal(whole.losses, resumed.losses, equal_nan=True)
    assert whole.beta_g == resumed.beta_g
    with pytest.raises(ValueError, match="other seed"):
        hestness.procedure(rest, checkpoint=tmp_path, seed=1, **options)
    with pytest.raises(ValueError, match="other description"):
        hestness.procedure(rest, checkpoint=tmp_path, description="another", **options)
    (tmp_path / "losses.json").write_text("{}")
    with pytest.raises(ValueError, match="remove it"):
        hestness.procedure(rest, checkpoint=tmp_path, **options)


def test_theory_reads_the_exponents_of_power_laws_with_noise():
    """beta_g = -beta/(1+beta) and beta_p = 1/(1+beta), reached slowly: at n of a million within a tenth."""
    law = spectra.power_law(1.0, 1.0, modes=1e8)
    n = np.geomspace(1e6, 1e9, 7)
    found = learners.predicted(law, n, np.geomspace(10, 1e7, 25), noise=0.3, floor=0.3)
    assert found.beta_g.value == pytest.approx(-0.5, abs=0.02)
    assert found.beta_p.value == pytest.approx(0.5, abs=0.05)
    widths = optima.smallest_width(law, n, 0.3)
    assert found.adequate == pytest.approx(widths, rel=0.1)  # another code for the same question


def gaussian_model(modes=300, alpha=1.5, beta=1.5):
    rank = np.arange(1, modes + 1.0)
    return Spectrum(rank ** -(1 + alpha), rank ** -(1 + beta), np.ones(modes))


@pytest.mark.slow
def test_measured_random_features_follow_the_prediction():
    spectrum = gaussian_model(500, 0.5, 0.8)
    learner = learners.gaussian(spectrum, 512, noise=0.2)
    options = {"smallest": 64, "repeats": 10, "floor": 0.2, "search": "grid", "paired": True}
    found = hestness.procedure(learner.train, 512, [4, 16, 64, 256, 1024], limit=learner.limit, **options)
    expected = learners.predicted(spectrum, found.n, found.sizes, noise=0.2, floor=0.2)
    assert found.curve.loss == pytest.approx(expected.curve.loss, abs=4 * found.curve.stderr.max(), rel=0.05)
    assert expected.beta_g.value in found.beta_g
    assert expected.beta_p.value in found.beta_p


@pytest.mark.slow
def test_intervals_cover_the_predicted_exponents_as_often_as_stated():
    """beta_g and beta_p of the theory over the window, in 40 repetitions of the whole procedure."""
    spectrum, inside, repetitions, found = gaussian_model(), np.zeros(2), 40, []
    learner = learners.gaussian(spectrum, 512, noise=1.0)
    sizes = 2 ** np.arange(2, 8)
    for seed in range(repetitions):
        one = hestness.procedure(
            learner.train,
            512,
            sizes,
            smallest=64,
            repeats=8,
            search="grid",
            floor=1.0,
            paired=True,
            limit=learner.limit,
            seed=seed,
        )
        expected = learners.predicted(spectrum, one.n, one.sizes, noise=1.0, floor=1.0) if seed == 0 else expected
        inside += [expected.beta_g.value in one.beta_g, expected.beta_p.value in one.beta_p]
        found.append([one.beta_g.value, one.beta_p.value])
    assert np.all(inside / repetitions >= 0.8), inside  # 0.9 stated; fewer than 32 of 40 has a chance of 1 %
    off = np.mean(found, axis=0) - [expected.beta_g.value, expected.beta_p.value]
    assert np.all(np.abs(off) < 0.5 * np.std(found, axis=0)), off


def test_the_theorys_own_model_returns_the_loss_over_all_inputs():
    spectrum = gaussian_model(40)
    learner = learners.gaussian(spectrum, 60, noise=0.3)
    losses = learner.train(np.arange(50), 20, 7)
    rng = np.random.default_rng
    z = rng([7, 1]).standard_normal((60, 41))
    teacher = np.sqrt(spectrum.power) * rng([7, 2]).choice([-1.0, 1.0], 40)
    projection = np.sqrt(spectrum.eigenvalues)[:, None] * rng([7, 3]).standard_normal((20, 40)).T / math.sqrt(20)
    phi, y = z[:50, :40] @ projection, z[:50, :40] @ teacher + math.sqrt(0.3) * z[:50, 40]
    fresh = rng(5).standard_normal((200_000, 40))
    for place in (30, 45, 60):
        ridge = learners.RIDGES[place] * 50 * spectrum.eigenvalues.sum()
        w = np.linalg.solve(phi.T @ phi + ridge * np.eye(20), phi.T @ y)
        missed = (fresh @ teacher - fresh @ (projection @ w)) ** 2
        assert losses[place] == pytest.approx(missed.mean() + 0.3, abs=4 * missed.std() / math.sqrt(len(fresh)))
    # Without projections: ridge regression on all modes.
    full = z[:50, :40] * np.sqrt(spectrum.eigenvalues)
    without = learner.limit(np.arange(50), 7)
    for place in (30, 45, 60):
        ridge = learners.RIDGES[place] * 50 * spectrum.eigenvalues.sum()
        w = np.sqrt(spectrum.eigenvalues) * np.linalg.solve(full.T @ full + ridge * np.eye(40), full.T @ y)
        assert without[place] == pytest.approx(np.sum((teacher - w) ** 2) + 0.3, rel=1e-6)
    # Samples are nested: more of them are the same and others, and another seed is another population.
    assert np.array_equal(learner.train(np.arange(50), 20, 7), losses)
    assert not np.array_equal(learner.train(np.arange(50), 20, 8), losses)


def small_task(regions=False):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((80, 3))
    y = np.sin(x @ rng.standard_normal((3, 2)))
    return tasks.Task("small", x, y - y.mean(axis=0), np.repeat(np.arange(16), 5) if regions else None)


def test_kernels_and_random_features_are_plain_ridge_regression():
    task, model = small_task(), kernels.fully_connected(1, kind="nngp", bias_std=0.3)
    by_kernel = learners.kernel(task, model, validation=20, seed=3)
    by_features = learners.random_features(task, model, validation=20, most=32, seed=3)
    assert by_kernel.samples == by_features.samples == 60
    train, test = task.split(20, 3)
    rows = np.array([5, 1, 40, 8, 30, 22, 17, 50])
    gram, at = model(task.x), train[rows]
    losses = by_kernel.train(rows, 1, 0)
    phi = model.features(task.x, 32, 11, width=16)
    many, few = by_features.train(rows, 32, 11), by_features.train(rows, 12, 11)
    for place in (20, 40, 55):
        for found, k, trace in (
            (losses, gram, np.trace(gram) / 80),
            (many, phi @ phi.T / 32, np.sum(phi**2) / 80 / 32),
            (few, phi[:, :12] @ phi[:, :12].T / 12, np.sum(phi**2) / 80 / 32),
        ):
            ridge = learners.RIDGES[place] * 8 * trace
            fit = k[np.ix_(test, at)] @ np.linalg.solve(k[np.ix_(at, at)] + ridge * np.eye(8), task.y[at])
            assert found[place] == pytest.approx(np.mean(np.sum((fit - task.y[test]) ** 2, axis=1)), rel=1e-5)


def test_the_noise_of_validation_is_its_variance_and_not_what_was_drawn():
    """Trained on noisy labels, validated on clean ones, the variance added."""
    task, model = small_task(), kernels.fully_connected(1, kind="nngp", bias_std=0.3)
    train, test = task.split(20, 3)
    rows = np.array([5, 1, 40, 8, 30, 22, 17, 50])
    by_kernel, by_features = (
        make(task, model, validation=20, noise=0.5, seed=3) for make in (learners.kernel, learners.random_features)
    )
    losses, gram, at = by_kernel.train(rows, 1, 0), model(task.x), train[rows]
    y = tasks.with_noise(task.y, 0.5, 3)
    for place in (20, 40, 55):
        ridge = learners.RIDGES[place] * 8 * np.trace(gram) / 80
        fit = gram[np.ix_(test, at)] @ np.linalg.solve(gram[np.ix_(at, at)] + ridge * np.eye(8), y[at])
        assert losses[place] == pytest.approx(np.mean(np.sum((fit - task.y[test]) ** 2, axis=1)) + 0.5, rel=1e-5)
    guess = np.mean(np.sum(task.y[test] ** 2, axis=1)) + 0.5
    phi = by_features.train(rows, 8, 0)
    assert phi.min() > 0.5
    assert phi[-1] == pytest.approx(guess, rel=0.2)
    np.testing.assert_array_equal(by_features.limit(rows, 7), losses)
    deep = learners.random_features(task, kernels.fully_connected(2), validation=20)
    assert deep.limit is None  # at finite width its features have another kernel


def test_gram_matrices_are_of_the_rows_in_use(monkeypatch):
    shapes, real = [], kernels.Model.__call__

    def watched(self, inputs, others=None, **options):
        shapes.append((len(inputs), 0 if others is None else len(others)))
        return real(self, inputs, others, **options)

    monkeypatch.setattr(kernels.Model, "__call__", watched)
    x = np.random.default_rng(0).standard_normal((2000, 3))
    learner = learners.kernel(tasks.Task("many", x, x[:, :1]), kernels.fully_connected(1), validation=50)
    learner.train(np.arange(20), 1, 0)
    assert max(rows * max(columns, rows) for rows, columns in shapes) <= 256**2


def test_no_region_is_on_both_sides():
    task = small_task(regions=True)
    learner = learners.kernel(task, kernels.fully_connected(1, bias_std=0.3), validation=18)
    assert learner.samples == 60  # four whole regions are set aside, and two samples of them are lost


@pytest.mark.slow
def test_random_features_and_networks_learn_digits(unchecked):
    task = tasks.digits()
    small = kernels.fully_connected(1, kind="nngp")
    features = learners.random_features(task, small)
    rows = np.arange(features.samples)
    assert features.samples == 1348
    few, many = (features.train(rows[:count], 200, 0).min() for count in (50, 1000))
    assert many < 0.6 * few
    trained = learners.network(task, kernels.fully_connected(1), classes=True, steps=60)
    with pytest.raises(ValueError, match="not to classes"):
        learners.network(task, kernels.fully_connected(1), classes=True, noise=0.1)
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
        ({"largest": 2048}, "`largest`"),
        ({"train": lambda rows, size, seed: "much"}, "`train`"),
        ({"train": lambda rows, size, seed: []}, "`train`"),
        ({"train": lambda rows, size, seed: [1.0, math.inf]}, "`train`"),
        ({"train": lambda rows, size, seed: math.nan}, "`train`"),
        ({"train": lambda rows, size, seed: -1.0}, "`train`"),
    ],
)
def test_bad_input_is_named(arguments, words):
    options = {"train": Trainer(), "samples": 1024, "sizes": [4, 8, 16]} | arguments
    with pytest.raises(ValueError, match=words):
        hestness.procedure(options.pop("train"), options.pop("samples"), options.pop("sizes"), **options)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"floor": math.nan}, "`floor`"),
        ({"floor": -1.0}, "`floor`"),
        ({"tolerance": 0.0}, "`tolerance`"),
        ({"level": 2.0}, "`level`"),
    ],
)
def test_what_only_the_reading_needs_is_refused_before_training(arguments, words):
    trainer = Trainer()
    with pytest.raises(ValueError, match=words):
        hestness.procedure(trainer, 256, [4, 8, 16], **arguments)
    assert not trainer.calls


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
