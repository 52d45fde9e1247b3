import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from regimes import budgets, equivalents, error_sources, ridge, sources, spectra, teachers, work_plots
from regimes.commands import error_sources as commands
from regimes.spectrum import Spectrum

SMALL = {"n": (24, 60), "k": (16, 340), "trials": 4, "network_n": (16, 64), "teachers": 3, "steps": 10}


def planted(student, x, y, at, *, seeds, **options):
    """8/(width n) for student t, times 1 + t/10; at many samples 0.01/width; the best step has half of the last one."""
    (teacher,) = [t for seed in (0, 1, 2) for t in range(3) if error_sources._seeds(seed, t) == seeds]
    scale = 1 + 0.1 * teacher
    last = np.array([0.01 / student.width if n >= 4096 else 8 / (student.width * n) for n in at]) * scale
    last = np.tile(last, (2, 1))
    return teachers.Trained(last / 2, last / 10, last, 0, None)


@pytest.fixture(scope="module")
def planted_runs(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(teachers, "train_in_n", planted)
        folder = tmp_path_factory.mktemp("sources")
        return [
            error_sources.run(**SMALL, digits=False, quick=True, seed=1, checkpoint=folder),
            error_sources.run(**SMALL, digits=False, quick=True, seed=1),
            error_sources.run(**SMALL, digits=False, quick=True, seed=2),
        ], folder


@pytest.fixture
def result(planted_runs):
    return planted_runs[0][0]


def values(result):
    points = [one for one in result.points if one.task == "gaussian"]
    return [one.measured.parts[part].value for one in points for part in budgets.PARTS]


def test_the_parts_of_the_surfaces_add_up_to_the_loss_of_another_formula(result):
    for surface in result.surfaces:
        assert surface.gap < 1e-10
        parts = [getattr(surface.budget, part) for part in budgets.PARTS]
        noise = 0.1 if "endless" in surface.title else 0.0
        spectrum = spectra.power_law(0.5, 1.0, modes=1e5) if noise else budgets.modes()
        loss = equivalents.decompose(spectrum, surface.n[:, None], surface.k, 0.01, noise).total
        np.testing.assert_allclose(sum(parts), loss, rtol=1e-10)
    assert np.all(result.surfaces[1].budget.realizability < 1e-12)
    assert "realizability" in result.surfaces[0].budget.dominant
    assert "realizability" not in result.surfaces[1].budget.dominant


def test_losses_are_those_of_plain_linear_algebra(rng):
    phi, y = rng.standard_normal((60, 12)), rng.standard_normal((60, 2))
    tried, own = budgets.losses(phi, y, 20, 40, 0.3, 7.0)
    gram, scores = phi[:20].T @ phi[:20], phi[:20].T @ y[:20]

    def loss(theta):
        return np.mean(np.sum((phi[40:] @ theta - y[40:]) ** 2, axis=1))

    assert own[0] == pytest.approx(loss(np.linalg.solve(gram + 0.3 * np.eye(12), scores)))
    theta = np.zeros((12, 2))
    for _ in range(20_000):  # gradient flow by small steps
        theta = theta - 7.0 / 20_000 / 20 * (gram @ theta - scores)
    assert own[1] == pytest.approx(loss(theta), rel=1e-3)
    assert tried[26] == pytest.approx(loss(np.linalg.solve(gram + 20 * np.eye(12), scores)))
    assert budgets.losses(phi, y, 20, 40, 0.0, 7.0)[1][0] == pytest.approx(loss(np.linalg.solve(gram, scores)))


def test_the_limit_of_more_features_than_rank_is_that_of_the_rank(rng):
    columns = rng.standard_normal((90, 10))
    y = rng.standard_normal((90, 1))
    wide = columns @ rng.standard_normal((10, 70))
    assert budgets._limit(wide, y) == pytest.approx(ridge.limit_in_n(columns, y), rel=1e-8)


def test_parts_of_trials_are_differences_of_their_means():
    limit, own, whole = np.array([2.0, 2.2, 2.1]), np.array([5.0, 5.1, 4.0]), np.array([1.0, 1.1, 0.9])
    tried = np.array([[4.0, 3.0, 3.5], [3.0, 3.1, 3.6], [3.2, 3.0, 9.0]])
    found = budgets.of_trials(limit, tried, own, whole=whole)
    # best for the others: of trials 2 and 3, 1 and 3, 1 and 2 the second ridge
    expected = [1.0, 1.1, np.mean([3.0, 3.1, 3.0]) - 2.1, 4.7 - np.mean([3.0, 3.1, 3.0])]
    assert [found.parts[part].value for part in budgets.PARTS] == pytest.approx(expected)
    assert found.loss.value == pytest.approx(sum(expected))
    width = stats.t.ppf(0.975, 2) * np.std(whole, ddof=1) / math.sqrt(3)
    assert found.parts["noise"].high == pytest.approx(1 + width)
    known = budgets.of_trials(limit, tried, own, 0.5)
    assert (known.parts["noise"].low, known.parts["noise"].high) == (0.5, 0.5)
    assert known.parts["realizability"].value == pytest.approx(1.6)


def test_the_ridge_is_chosen_without_the_trial_itself():
    """A ridge that is best in one trial only by luck is not chosen there."""
    tried = np.tile([1.0, 2.0], (3, 1))
    tried[0] = [1.0, 0.0]
    found = budgets.of_trials(np.zeros(3), tried, np.ones(3), 0.0)
    assert found.parts["uncertainty"].value == pytest.approx(1.0)


def test_planted_losses_give_their_budgets(result):
    assert [(one.width, one.n) for one in result.students] == [(w, n) for w in (4, 8, 16, 64) for n in (16, 64)]
    for one in result.students:
        mean = 8 / (one.width * one.n) * 1.1
        assert one.loss.value == pytest.approx(mean)
        assert one.many.value == pytest.approx(0.01 / one.width / 2 * 1.1)
        assert one.ratio.value == pytest.approx(8 / one.width)
        if one.width < 8:
            assert one.parts is None
            continue
        assert one.parts["uncertainty"].value == pytest.approx(0.5 * 8 / (64 * one.n) * 1.1)  # that of the widest
        assert sum(part.value for part in one.parts.values()) == pytest.approx(mean)
        assert one.parts["realizability"].value == 0
    named = {one.what: one for one in result.checks}
    assert named["networks, n = 16: loss at 8 times the teacher's width over that at it"].holds
    assert named["networks, n = 64: what a width of 4 cannot express, at most"].holds


def test_what_a_narrow_student_cannot_express_may_be_most_of_its_loss(result):
    bound = dataclasses.replace(result.students[0].many, value=result.students[0].loss.value)
    students = [dataclasses.replace(one, many=bound) for one in result.students]
    found = {one.what: one for one in error_sources._claims(result.surfaces, result.points, students, 8)}
    assert found["networks, n = 16: what a width of 4 cannot express, at most"].holds is False


def test_measured_parts_are_near_the_predicted_ones(result):
    gaussian = [one for one in result.points if one.task == "gaussian"]
    assert np.median([abs(one.off(part)) for one in gaussian for part in budgets.PARTS]) < 0.1
    assert all(one.measured.parts["noise"].value == pytest.approx(0.1, rel=0.2) for one in gaussian)
    assert all(abs(one.measured.parts["realizability"].value) < 1e-9 for one in gaussian if one.k == 340)
    for one in result.points:
        assert sum(e.value for e in one.measured.parts.values()) == pytest.approx(one.measured.loss.value)
        assert float(one.predicted.loss) == pytest.approx(one.anew.value, rel=0.6)


def test_the_same_seed_gives_the_same_and_a_run_goes_on_to_the_same(planted_runs, monkeypatch):
    (first, again, other), folder = planted_runs
    assert values(first) == values(again)
    assert values(first)[:8] != values(other)[:8]
    assert other.noise is None
    sizes = error_sources.plan(**SMALL, quick=True)
    (folder / "gaussian" / "seed-2.npz").unlink()
    calls = []
    real = budgets.trial
    monkeypatch.setattr(budgets, "trial", lambda task, number, *rest: calls.append(number) or real(task, number, *rest))
    task = budgets.Gaussian(sizes.n, sizes.k, sizes.noise, 1)
    points = error_sources._measure(task, sizes, 1, folder, lambda what, share: None)
    assert calls == [2]
    assert [one.measured.loss for one in points] == [
        one.measured.loss for one in first.points if one.task == "gaussian"
    ]


def test_networks_are_drawn_by_the_seed_of_the_run(monkeypatch):
    """Two of their own for each teacher and run, the same for all widths."""
    drawn = {}

    def spy(student, *arguments, seeds, **options):
        drawn.setdefault(student.width, []).append(tuple(seeds))
        return planted(student, *arguments, seeds=seeds, **options)

    monkeypatch.setattr(teachers, "train_in_n", spy)
    sizes = error_sources.plan(network_n=(16,), teachers=3, steps=10, quick=True)
    every = []
    for seed in (0, 1):
        drawn.clear()
        error_sources._networks(sizes, 8, seed, None, lambda what, share: None)
        assert len({tuple(seeds) for seeds in drawn.values()}) == 1
        every += list(dict.fromkeys(drawn[8]))
    numbers = [number for pair in every for number in pair]
    assert len(numbers) == len(set(numbers)) == 2 * 2 * 3


def test_the_repeatability_of_the_loss_is_judged_and_called_so(result):
    (name,) = [claim.what for claim in result.checks if "repeatability" in claim.what]
    for factor, holds in ((1.0, True), (3.0, False)):
        points = [
            dataclasses.replace(
                one, anew=dataclasses.replace(one.measured.loss, value=factor * one.measured.loss.value)
            )
            for one in result.points
        ]
        found = {one.what: one for one in error_sources._claims(result.surfaces, points, result.students, 8)}
        assert found[name].holds is holds


def test_a_checkpoint_of_other_settings_is_refused(planted_runs):
    sizes = error_sources.plan(**SMALL | {"noise": 0.3}, quick=True)
    task = budgets.Gaussian(sizes.n, sizes.k, sizes.noise, 1)
    with pytest.raises(ValueError, match="differs in noise"):
        error_sources._measure(task, sizes, 1, planted_runs[1], lambda what, share: None)


def test_tables_text_and_figure(result):
    tables = result.tables()
    assert set(tables) == {"surfaces", "points", "students", "checks"}
    assert len(tables["points"]) == len(result.points) * 6
    assert len(tables["surfaces"]) == 2 * 13**2
    assert "err mostly by" in str(result)
    assert result.record()["run"]["seed"] == 1
    figure = work_plots.error_sources(result)
    assert len(figure.axes) == 4
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(budgets.PARTS)


def test_a_teacher_is_within_its_own_students():
    """The weights of the teacher themselves, rescaled, as a student: no loss."""
    one = error_sources.realizable(3, 8, 5)
    x = np.random.default_rng(3).uniform(-1, 1, (500, 3))
    y = one.labels(x)
    assert np.var(y) == pytest.approx(1, rel=0.2)
    raw = one.network.apply(one.parameters, x)
    design = np.column_stack([np.ones(500), raw])
    assert np.abs(y - design @ np.linalg.lstsq(design, y, rcond=None)[0]).max() < 1e-12


@pytest.mark.slow
def test_random_features_of_digits_are_predicted_from_other_digits():
    sizes = error_sources.plan(n=(64,), k=(32,), trials=4, noise=0.2, quick=True)
    task = budgets.Digits(sizes.n, sizes.k, sizes.noise, 1)
    points = error_sources._measure(task, sizes, 1, None, lambda what, share: None)
    assert {one.learner for one in points} == {"ridge", "stopped"}
    for one in points:
        assert max(abs(one.off(part)) for part in budgets.PARTS) < 0.1
        assert one.measured.parts["noise"].value == 0.2
        assert one.repeats
    assert task.read.high > 0.1  # noise was added, and some of the labels is never learnt


@pytest.mark.slow
def test_the_intervals_of_the_parts_cover_the_theory(rng):
    """Gaussian features, 120 repeats of eight trials: 95 % intervals, each part 88 to 100 % (three standard errors)."""
    count, n, k, noise, repeats, trials = 100, 48, 40, 0.1, 120, 8
    lam, power = np.arange(1, count + 1.0) ** -1.5, np.arange(1, count + 1.0) ** -2.0
    expected = sources.budget(Spectrum(lam, power, np.ones(count)), n, k, 0.05, noise)
    inside = dict.fromkeys(budgets.PARTS, 0)
    pool = 300
    for _ in range(repeats):
        limit, tried, own, whole = [], [], [], []
        for _ in range(trials):
            z = rng.standard_normal((pool + 400, count))
            y = z @ (np.sqrt(power) * rng.choice([-1, 1], count)) + math.sqrt(noise) * rng.standard_normal(len(z))
            phi = (z * np.sqrt(lam)) @ rng.standard_normal((count, k)) / math.sqrt(k)
            limit.append(budgets._limit(phi[:pool], y[:pool, None]))
            whole.append(budgets._limit(z[:pool], y[:pool, None]))
            several, each = budgets.losses(phi, y[:, None], n, pool, 0.05, 10.0)
            tried.append(several)
            own.append(each[0])
        found = budgets.of_trials(limit, tried, own, whole=np.array(whole))
        for part in budgets.PARTS:
            one = found.parts[part]
            inside[part] += one.low <= getattr(expected, part) <= one.high
    coverage = {part: hits / repeats for part, hits in inside.items()}
    assert min(coverage.values()) >= 0.88, coverage


@pytest.mark.slow
def test_networks_trained_for_real_err_less_with_more_samples(tmp_path):
    sizes = error_sources.plan(network_n=(32, 512), teachers=3, steps=600, quick=True)
    found = error_sources._networks(sizes, 8, 0, tmp_path, lambda what, share: None)
    by = {(one.width, one.n): one for one in found}
    assert by[64, 512].loss.value < 0.3 * by[64, 32].loss.value
    assert by[64, 512].ratio.value < 1  # wider than needed is better still
    assert by[8, 512].parts["deficiency"].value > 0
    again = error_sources._networks(sizes, 8, 0, tmp_path, lambda what, share: None)
    assert [one.loss for one in again] == [one.loss for one in found]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": ()}, "`n` is empty"),
        ({"n": (64, 32)}, "`n` must be strictly increasing"),
        ({"n": (32, math.nan)}, "`n` holds 1 NaN"),
        ({"n": "many"}, "`n` must be numeric"),
        ({"n": (512, 1024)}, "`n` has no value below 512"),
        ({"k": (600,)}, "`k` has no value below 512"),
        ({"k": (1,)}, "`k` must lie between 2"),
        ({"k": (32.5,)}, "`k` must be whole"),
        ({"trials": 2}, "`trials` must be at least 3"),
        ({"noise": -0.1}, "`noise`"),
        ({"noise": math.nan}, "`noise`"),
        ({"ridge": -1.0}, "`ridge`"),
        ({"time": 0}, "`time`"),
        ({"teacher_width": 1}, "`teacher_width`"),
        ({"network_n": (2,)}, "`network_n` must lie between 4"),
        ({"teachers": 2}, "`teachers` must be at least 3"),
        ({"steps": 1}, "`steps`"),
        ({"seed": -1}, "`seed`"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        error_sources.run(**arguments)


def test_sizes_beyond_the_digits_are_measured_without_them():
    assert error_sources.plan(n=(1024,), k=(600,), digits=False).n == (1024,)
    with pytest.raises(ValueError, match="`n` has no value below 512"):
        budgets.Digits((1024,), (32,), 0.1, 0)


def test_digits_are_measured_or_not(unchecked):
    with pytest.raises(ValueError, match="`digits` must be True or False, got 'no'"):
        error_sources.plan(digits="no")


def test_words_for_numbers_are_named(unchecked):
    with pytest.raises(ValueError, match="`ridge` must be a number"):
        error_sources.run(ridge="best")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"noise": None}, "`noise`, where it is known, or `whole`"),
        ({"whole": np.ones(3)}, "one of them"),
        ({"noise": -1.0}, "`noise`"),
        ({"limit": np.ones(2)}, "the same three or more trials"),
        ({"own": np.array([1.0, math.nan, 1.0])}, "`own` holds 1 NaN"),
        ({"tried": np.ones(3)}, "`tried` must have 2 axes"),
    ],
)
def test_of_trials_refuses_what_does_not_fit(changes, message):
    arguments = {"limit": np.ones(3), "tried": np.ones((3, 2)), "own": np.ones(3), "noise": 0.1} | changes
    with pytest.raises(ValueError, match=message):
        budgets.of_trials(**arguments)


def test_the_command_writes_what_it_found(monkeypatch, tmp_path, unchecked, capsys):
    monkeypatch.setattr(teachers, "train_in_n", planted)
    commands.command(
        n="24", k="16", trials=3, digits=False, network_n="16", teachers=3, quick=True, out=tmp_path / "out"
    )
    assert "Sources of error" in capsys.readouterr().out
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names >= {"error_sources.png", "error_sources.svg", "surfaces.csv", "points.csv", "students.csv", "run.json"}


def test_the_command_refuses_before_it_begins(tmp_path, unchecked):
    with pytest.raises(ValueError, match="`k` must be numbers separated by commas"):
        commands.command(k="16,x", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
