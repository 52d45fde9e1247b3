"""Joint laws: the law of the best ridge, fits to corners, inversions, and the experiment on planted and real grids."""

import math

import numpy as np
import pytest

from regimes import corners, fits, joint_law, joint_surfaces, laws, optima, spectra, teachers, work_plots
from regimes.commands import joint_law as command
from regimes.results import LossSurface
from regimes.tuned_law import tuned_theory

FEW = ("rosenfeld", "kaplan", "tuned-theory")
N, K = 2.0 ** np.arange(5, 12), 2.0 ** np.arange(4, 12)
TRUE = {"guess": 2.0, "alpha": 0.6, "beta": 0.4, "b": 0.8, "c": 0.01, "eta": 0.3}
PLANTED = {
    "rosenfeld": TRUE,
    "chinchilla": {"E": 0.05, "A": 2.0, "B": 3.0, "alpha": 0.5, "beta": 0.4},
    "kaplan": {"size_c": 10.0, "n_c": 20.0, "alpha": 0.4, "beta": 0.6},
    "four-regimes": {"a": 3.0, "alpha": 0.5, "b": 2.0, "beta": 0.4, "c": 0.01},
}


def named(law):
    found = laws.get(law)
    return found if found.scales == ("n", "k") else found.rename(("k", "n"))


def grid(law, parameters):
    return LossSurface(N, K, np.asarray(law(parameters, n=N[:, None], k=K)))


@pytest.mark.parametrize(
    ("alpha", "beta", "noise"), [(0.5, 0.5, 0.0), (0.5, 0.5, 0.3), (0.3, 1.2, 1e-3), (1.5, 4.0, 1e-6), (0.1, 0.2, 0.1)]
)
def test_the_law_of_the_best_ridge_is_theory_at_the_best_ridge(alpha, beta, noise):
    """Against a search for the ridge, which shares nothing with a search for gamma; zero ridge is best in one case."""
    law, k = tuned_theory(), 2.0 ** np.arange(2, 14)
    spectrum = spectra.power_law(alpha, beta, modes=10**14)
    best = optima.optimal_ridge(spectrum, N[:, None], k, noise)
    np.testing.assert_allclose(law([alpha, beta, 1.0, noise], n=N[:, None], k=k), best.loss, rtol=2e-9)
    assert bool(np.any(best.at == 0)) == (beta > alpha)
    np.testing.assert_allclose(law([alpha, beta, 3.0, noise], n=N[:, None], k=k), 3 * best.loss, rtol=2e-9)


@pytest.mark.parametrize("parameters", [(0.5, 0.5, 2.0, 0.3), (0.3, 1.2, 1.0, 1e-3), (0.5, 0.9, 1.0, 1e-4)])
def test_derivatives_of_the_law_of_the_best_ridge(parameters):
    law, point = tuned_theory(), np.array(parameters)
    found = law.jacobian(point, n=N[:, None], k=K)
    for i, value in enumerate(point):
        up, down = (law(list(np.where(np.arange(4) == i, point * (1 + step), point)), n=N[:, None], k=K)
                    for step in (1e-3, -1e-3))  # fmt: skip
        slope = (up - down) / (2e-3 * value)
        scale = np.abs(slope).max()
        np.testing.assert_allclose(found[..., i], slope, rtol=2e-3, atol=1e-4 * scale)


def test_units_divide_the_sizes():
    plain, own = tuned_theory(), tuned_theory(units=True)
    expected = plain([0.5, 0.7, 1.0, 0.1], n=N[:, None] / 3, k=K / 20)
    np.testing.assert_allclose(own([0.5, 0.7, 1.0, 0.1, 3.0, 20.0], n=N[:, None], k=K), expected, rtol=1e-12)


def test_divergence_is_what_a_loop_says():
    rng = np.random.default_rng(0)
    measured, predicted = rng.uniform(1, 2, 7), rng.uniform(1, 2, 7)
    draws = rng.uniform(1, 2, (40, 7))
    each = [(p - m) / m for p, m in zip(predicted, measured, strict=True)]
    mean = sum(each) / 7
    spread = math.sqrt(sum((d - mean) ** 2 for d in each) / 7)
    found = corners.divergence(predicted, measured, draws)
    assert found.mean.value == pytest.approx(mean)
    assert found.spread.value == pytest.approx(spread)
    assert found.worst == pytest.approx(max(map(abs, each)))
    means = sorted(sum((p - m) / m for p, m in zip(row, measured, strict=True)) / 7 for row in draws)
    assert found.mean.low == pytest.approx(min(np.quantile(means, 0.05), mean))
    assert found.mean.high == pytest.approx(max(np.quantile(means, 0.95), mean))
    assert math.isnan(corners.divergence(predicted, measured).mean.low)


def test_the_corner():
    found = corners.corner_of(N, K)
    for i, n in enumerate(N):
        for j, k in enumerate(K):
            assert found[i, j] == (n <= 2048 / 8 and k <= 2048 / 16)
    assert found.sum() == 16


@pytest.mark.parametrize("law", list(PLANTED))
def test_what_follows_a_law_is_extrapolated_by_it(law):
    surface = grid(named(law), PLANTED[law])
    found = corners.extrapolate(surface, law, guess=TRUE["guess"], bootstrap=0)
    assert found.outside.worst < 1e-5
    assert found.outside.points == 56 - 16
    for name, value in PLANTED[law].items():
        assert found.fit.parameters[name] == pytest.approx(value, rel=1e-3)
    if law != "chinchilla":  # and by no other one
        assert corners.extrapolate(surface, "chinchilla", guess=2.0, bootstrap=0).outside.worst > 0.01


def test_theory_extrapolates_theory():
    surface = grid(tuned_theory(), [0.4, 0.8, 2.0, 0.05])
    found = corners.extrapolate(surface, "tuned-theory", guess=5.0)
    assert found.outside.worst < 1e-6
    assert found.fit["beta"].value == pytest.approx(0.8, rel=1e-5)


@pytest.mark.parametrize("law", ["rosenfeld", "four-regimes", "tuned-theory"])
def test_what_is_held_out_takes_no_part_in_the_fit(law):
    rng = np.random.default_rng(1)
    surface = grid(named("four-regimes"), PLANTED["four-regimes"])
    corner = corners.corner_of(N, K)
    changed = np.where(corner, surface.loss, surface.loss * rng.uniform(0.2, 5, corner.shape))
    one = corners.extrapolate(surface, law, guess=2.0, bootstrap=5)
    other = corners.extrapolate(LossSurface(N, K, changed), law, guess=2.0, bootstrap=5)
    assert one.fit.parameters == other.fit.parameters
    np.testing.assert_array_equal(one.predicted, other.predicted)
    assert one.inside == other.inside or math.isnan(one.inside.mean.low)
    assert one.outside.mean.value != other.outside.mean.value
    moved = np.where(corner, surface.loss * rng.uniform(0.9, 1.1, corner.shape), surface.loss)
    assert corners.extrapolate(LossSurface(N, K, moved), law, guess=2.0, bootstrap=0).fit.parameters != (
        one.fit.parameters
    )


def test_losses_that_are_missing_are_left_out():
    surface = grid(named("kaplan"), PLANTED["kaplan"])
    loss = surface.loss.copy()
    loss[0, 0] = loss[-1, -1] = math.nan
    found = corners.extrapolate(LossSurface(N, K, loss), "kaplan", guess=2.0, bootstrap=0)
    assert found.inside.points + found.outside.points == 54
    assert found.outside.worst < 1e-6


def test_what_is_needed_is_the_inverse():
    law, k = named("rosenfeld"), np.array([20.0, 100.0, 700.0, 5000.0])
    expected = law.inverse(TRUE, 0.4, "n", k=k)
    found = corners.needed(law, TRUE, 0.4, k, (1, 1e9))
    assert np.isfinite(expected).any()
    np.testing.assert_allclose(found, np.where(expected < 1e9, expected, math.nan), rtol=1e-6)
    assert np.isnan(corners.needed(law, TRUE, 0.4, k, (1, 2))).all()


def test_every_ridge_from_one_decomposition():
    rng = np.random.default_rng(2)
    for n, k in ((12, 30), (30, 12)):
        phi, test = rng.standard_normal((n, k)), rng.standard_normal((40, k))
        y, y_test = rng.standard_normal((n, 2)), rng.standard_normal((40, 2))
        found = joint_surfaces.ridges(phi, test, y, y_test)
        unit = np.mean(np.diagonal(phi @ phi.T / k))
        for ridge, loss in zip(joint_surfaces.RIDGES, found, strict=True):
            weights = np.linalg.solve(phi.T @ phi / k + ridge * unit * np.eye(k), phi.T @ y / k)
            assert loss == pytest.approx(np.mean(np.sum((y_test - test @ weights) ** 2, axis=1)), rel=1e-5)


def planted(student, x, y, at, *, seeds, filled, **options):
    """Losses of a Rosenfeld law instead of training, with a scatter that seeds decide."""
    assert filled == 2048
    m = student.parameters(x[:1])
    loss = named("rosenfeld")(TRUE | {"guess": 1.0}, n=np.array(at, dtype=float), k=float(m))
    loss = loss * math.exp(1e-6 * (seeds[0] % 1000))
    return teachers.Trained(loss[None], loss[None], loss[None], 0, None)


@pytest.fixture(scope="module")
def runs():
    """Planted networks, the same seed again (its grid alone), and another seed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(teachers, "train_in_n", planted)
        patch.setattr(corners, "LAWS", ("rosenfeld", "tuned-theory"))
        options = {"surfaces": ("networks",), "quick": True, "trials": 2}
        first, other = (joint_law.run(**options, seed=seed) for seed in (0, 1))
        patch.setattr(corners, "extrapolate", lambda *_, **__: first.surfaces[0].of("tuned-theory"))
        patch.setattr(joint_law, "_claims", lambda _: [])
        patch.setattr(joint_law, "_verified", lambda *_: first.surfaces[0].inversions[0])
        return [first, joint_law.run(**options), other]


@pytest.fixture(scope="module")
def exact():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corners, "LAWS", FEW)
        return joint_law.run(surfaces=("theory", "noisy-theory"), quick=True)


def test_a_planted_law_is_extrapolated_and_inverted(runs):
    found = runs[0].surfaces[0]
    assert found.of("rosenfeld").outside.worst < 0.01
    asked = [one for one in found.inversions if one.law == "rosenfeld"]
    assert [one.design for one in asked] == ["cheapest", "given n"]
    for one in asked:
        truth = named("rosenfeld")(TRUE | {"guess": 1.0}, n=one.n, k=one.k)
        assert one.loss.value == pytest.approx(truth, rel=2e-3)
        assert one.loss.value == pytest.approx(one.target, rel=0.03)  # widths are whole numbers
        assert one.size not in found.sizes
        assert one.wanted.low <= one.wanted.value <= one.wanted.high
    assert asked[0].target < found.measured.loss[found.corner].min()
    assert asked[0].n * asked[0].k <= asked[1].n * asked[1].k
    assert [one.holds for one in runs[0].checks if "inverted" in one.what] == [True, True]


def test_the_same_seed_gives_the_same(runs):
    first, again, other = (one.surfaces[0].measured.loss for one in runs)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_exact_surfaces(exact):
    """Theory as a law extrapolates itself; Rosenfeld's law does not follow it, most of all without noise."""
    for one in exact.surfaces:
        assert one.of("tuned-theory").outside.worst < 1e-6
        assert one.of("rosenfeld").inside.spread.value < 0.02 < one.of("rosenfeld").outside.spread.value
        cheapest = next(each for each in one.inversions if each.law == "tuned-theory")
        assert abs(cheapest.difference) < 2e-3
        assert cheapest.loss.low == cheapest.loss.high  # known and not measured
        spectrum = spectra.power_law(0.5, 0.5, modes=10**12)
        noise = 0.3 if one.name == "noisy-theory" else 0.0
        assert cheapest.loss.value == pytest.approx(
            optima.optimal_ridge(spectrum, cheapest.n, cheapest.k, noise).loss, rel=1e-9
        )
    quiet, noisy = (one.of("rosenfeld").outside.spread.value for one in exact.surfaces)
    assert quiet > noisy


def test_claims_follow_the_numbers(exact):
    words = {one.what: one.holds for one in exact.checks}
    theory = exact.surfaces[0]
    outside = theory.of("rosenfeld").outside
    expected = abs(outside.mean.value) <= 0.1 and outside.spread.value <= 0.1
    assert words["theory: held-out divergence of rosenfeld"] == expected
    asked = next(one for one in theory.inversions if one.design == "given n")
    assert words["theory: rosenfeld inverted, given n, against the target"] == (abs(asked.difference) <= 0.15)


def test_tables_record_and_figure(exact):
    tables = exact.tables()
    assert len(tables["laws"]) == 2 * len(FEW)
    assert len(tables["losses"]) == 2 * 7 * 8
    assert tables["losses"]["corner"].sum() == 2 * 16
    assert len(tables["inversions"]) == 2 * (len(FEW) + 1)
    assert exact.record()["surfaces"]["theory"]["corner"] == 16
    assert str(exact).startswith("Joint laws of data and size")
    axes = work_plots.joint_law(exact).axes
    assert len(axes) == 4
    assert [text.get_text() for text in axes[1].get_yticklabels()] == list(FEW)


@pytest.mark.slow
def test_random_features_on_digits_and_resuming(tmp_path):
    """A forecast from the spectrum of 64 digits is nearer to losses at 512 than any law fitted to the corner."""
    options = {"surfaces": "features", "quick": True}
    first = joint_law.run(**options, checkpoint=tmp_path)
    (tmp_path / "features" / "seed-1.npz").unlink()
    resumed = joint_law.run(**options, checkpoint=tmp_path)
    np.testing.assert_array_equal(first.surfaces[0].trials, resumed.surfaces[0].trials)
    one = first.surfaces[0]
    errors = {e.law: math.hypot(e.outside.mean.value, e.outside.spread.value) for e in one.extrapolations}
    assert errors["forecast"] < 0.5 * min(error for law, error in errors.items() if law != "forecast")
    assert np.all(np.diff(one.measured.loss[:, -1]) < 0)
    with pytest.raises(ValueError, match="another training: it differs in seed"):
        joint_law.run(**options, seed=1, checkpoint=tmp_path)


def test_networks_trained_for_real_resume(tmp_path):
    """A few steps only; an interrupted run is the same as an undisturbed one."""
    sizes = joint_law.plan(quick=True, steps=20)
    whole = joint_surfaces.trained(sizes, 0).measure([32, 2048], 8, False)
    kept = joint_surfaces.trained(sizes, 0, tmp_path).measure([32], 8, False)
    again = joint_surfaces.trained(sizes, 0, tmp_path).measure([32, 2048], 8, False)
    np.testing.assert_array_equal(whole, again)
    np.testing.assert_array_equal(kept[:, 0], again[:, 0])
    fresh = joint_surfaces.trained(sizes, 0, tmp_path).measure([32], 8, True)
    assert fresh[0, 0] != kept[0, 0]
    assert joint_surfaces.parameters(sizes, 8) == joint_surfaces.student(8).parameters(np.zeros((1, sizes.dim)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"surfaces": "nothing"}, "`surfaces` must be one of theory"),
        ({"surfaces": ()}, "`surfaces` must name at least one"),
        ({"surfaces": ("theory", "theory")}, "each once"),
        ({"task": "cats"}, "`task` must be one of digits"),
        ({"alpha": 0}, "`alpha`"),
        ({"beta": math.nan}, "`beta`"),
        ({"noise": -1}, "`noise`"),
        ({"dim": 0}, "`dim`"),
        ({"n": (32, 64, 128, 256)}, "`n` must hold at least 4 sizes up to 32"),
        ({"n": (64, 32)}, "`n` must be strictly increasing"),
        ({"widths": (8, 16, 32, 64)}, "`widths` must hold at least 4"),
        ({"widths": ()}, "`widths` is empty"),
        ({"trials": 0}, "`trials`"),
        ({"steps": 1}, "`steps`"),
        ({"seed": -1}, "`seed`"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        joint_law.run(**arguments)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: corners.divergence([1.0], [1.0, 2.0]), "`predicted` must be as long as"),
        (lambda: corners.divergence([1.0], [0.0]), "`measured` must be positive"),
        (lambda: corners.divergence([1.0], [math.nan]), "`measured` holds 1 NaN"),
        (lambda: corners.corner_of([1, 2, 2], K), "`n` must be positive and strictly increasing"),
        (lambda: corners.corner_of(N, [3.0]), "`k` must hold at least 4 sizes"),
        (lambda: corners.corner_of(N, K, (0.5, 16)), "`shares`"),
        (lambda: corners.extrapolate(grid(named("kaplan"), PLANTED["kaplan"]), "hestness", guess=1.0), "`law` must be"),
        (lambda: corners.extrapolate(grid(named("kaplan"), PLANTED["kaplan"]), "kaplan", guess=0.0), "`guess`"),
    ],
)
def test_bad_grids(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_an_unknown_law_is_refused(exact):
    with pytest.raises(ValueError, match="`law` must be one of rosenfeld"):
        exact.surfaces[0].of("power")


def test_a_corner_that_cannot_be_fitted_is_no_crash(monkeypatch):
    surface = LossSurface(N, K, np.ones((len(N), len(K))))
    found = corners.extrapolate(surface, "four-regimes", guess=1.0)
    assert found.fit is None
    assert math.isnan(found.outside.mean.value)
    assert fits.Status.DEGENERATE in fits.FAILURES


def test_the_command_writes_what_it_found(tmp_path, monkeypatch, capsys, exact):
    asked = {}
    monkeypatch.setattr(joint_law, "run", lambda **options: asked.update(options) or exact)
    command.command(surfaces="theory, noisy-theory", widths="6,8,12,16,24,48,80", quick=True, out=tmp_path / "out")
    assert asked["surfaces"] == ("theory", "noisy-theory")
    assert asked["widths"] == [6, 8, 12, 16, 24, 48, 80]
    printed = capsys.readouterr().out
    assert "held out" in printed
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names >= {"joint_law.png", "joint_law.svg", "laws.csv", "inversions.csv", "losses.csv", "run.json"}
    with pytest.raises(ValueError, match="`n` must be numbers"):
        command.command(n="a,b", out=tmp_path / "no")
    with pytest.raises(ValueError, match="`surfaces` must be one of"):
        command.command(surfaces="theory,cats", out=tmp_path / "no")
    assert not (tmp_path / "no").exists()
