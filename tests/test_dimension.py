"""Intrinsic dimension on planted manifolds, and the exponents it implies against interpolation, kernels and theory."""

import dataclasses
import math
import sys
import tracemalloc

import numpy as np
import pytest
from scipy import integrate, interpolate, optimize, spatial, special

from regimes import dimension, profiles, spectra, theory
from regimes.results import Estimate


def sphere(points, dim, rng):
    x = rng.standard_normal((points, dim + 1))
    return x / np.linalg.norm(x, axis=1)[:, None]


def torus(points, dim, rng):
    angle = 2 * np.pi * rng.random((points, dim))
    return np.hstack([np.cos(angle), np.sin(angle)])


def warped(points, dim, rng):
    return np.tanh(rng.standard_normal((points, dim)) @ rng.standard_normal((dim, 40)) / math.sqrt(dim))


def cube(points, dim, rng):
    return rng.random((points, dim))


def gaussian(points, dim, rng):
    return rng.standard_normal((points, dim))


def embedded(x, rng, columns=30):
    """The same points, turned into more columns: all distances are kept."""
    return x @ np.linalg.qr(rng.standard_normal((columns, x.shape[1])))[0].T


MANIFOLDS = {"sphere": sphere, "torus": torus, "warped Gaussian": warped}


@pytest.mark.parametrize("dim", [1, 2, 3, 4])
@pytest.mark.parametrize("name", MANIFOLDS)
def test_low_dimensions_are_found(name, dim, rng):
    x = MANIFOLDS[name](2000, dim, rng)
    found = dimension.intrinsic_dimension(embedded(x, rng, 40), level=0.999)
    # Within the sampling interval, after a bias of up to 5 % from curvature and edges.
    assert 0.95 * found.estimate.low < dim < 1.05 * found.estimate.high
    assert found.estimate.high / found.estimate.low < 1.3


@pytest.mark.parametrize("dim", [6, 8, 12, 20, 30, 50])
def test_bias_stays_in_the_stated_range(dim, rng):
    for draw in (sphere, torus, warped, cube, gaussian):
        value = np.mean([dimension.intrinsic_dimension(draw(1000, dim, rng), scales=[1]).estimate.value for _ in "ab"])
        ranges = [(low, high) for start, end, low, high in dimension._BIAS if start <= value < end]
        assert ranges, f"{draw.__name__}: {dim} was estimated as {value:.1f}, where no caution is given"
        assert ranges[0][0] <= dim / value <= ranges[0][1], draw.__name__


def test_a_caution_comes_with_high_dimensions_and_not_with_low_ones(rng):
    assert dimension.intrinsic_dimension(sphere(1000, 2, rng)).cautions == ()
    high = dimension.intrinsic_dimension(gaussian(1000, 40, rng))
    assert any("lower bound" in str(caution) for caution in high.cautions)


# A torus has no edge, and 600 points of one or two dimensions are close enough not to see that it is bent.
@pytest.mark.parametrize(("dim", "at"), [(1, 1), (2, 1), (1, 8)])
def test_interval_covers_at_its_level_where_there_is_no_bias(dim, at, rng):
    runs = [dimension.intrinsic_dimension(torus(600, dim, rng), at=at, scales=[at], level=0.9) for _ in range(200)]
    covered = np.mean([dim in run.estimate for run in runs])
    assert 0.85 <= covered <= 0.95
    # and the error that takes the ratios as independent, d/sqrt(N) for m = 1, would not do
    spread = np.std([run.estimate.value for run in runs])
    assert spread == pytest.approx(np.mean([run.stderr[0] for run in runs]), rel=0.15)
    if at == 1:
        assert spread > 1.1 * dim / math.sqrt(600)


def test_interval_covers_where_only_some_points_are_asked(rng):
    runs = [
        dimension.intrinsic_dimension(torus(1000, 1, rng), points=200, scales=[1], level=0.9, seed=i)
        for i in range(200)
    ]
    assert all(run.points == 200 for run in runs)
    assert 0.85 <= np.mean([1 in run.estimate for run in runs]) <= 0.95


def density(mu, d, m):
    return d * (mu**d - 1) ** (m - 1) / (special.beta(m, m) * mu ** ((2 * m - 1) * d + 1))


@pytest.mark.parametrize("m", [1, 3, 8])
def test_estimate_maximises_the_likelihood_of_the_ratios(m, rng):
    assert integrate.quad(density, 1, np.inf, args=(3.0, m))[0] == pytest.approx(1, rel=1e-9)
    x = embedded(sphere(400, 3, rng), rng)
    far = np.sort(np.linalg.norm(x[:, None] - x, axis=2), axis=1)
    mu = far[:, 2 * m] / far[:, m]
    best = optimize.minimize_scalar(
        # N - 1 in place of N in the power of d, which makes TwoNN unbiased
        lambda d: math.log(d) - np.sum(np.log(density(mu, d, m))),
        bounds=(0.5, 20),
        method="bounded",
        options={"xatol": 1e-10},
    )
    found = dimension.intrinsic_dimension(x, at=m, scales=[m])
    assert found.estimate.value == pytest.approx(best.x, rel=1e-6)
    assert found.distances[0] == pytest.approx(np.median(far[:, 2 * m]), rel=1e-12)


def test_scales_are_those_of_scikit_dimension(rng):
    skdim = pytest.importorskip("skdim.id")
    x = embedded(sphere(800, 5, rng), rng)
    theirs = skdim.GRIDE(multiscale=True, range_max=64).fit(x)
    ours = dimension.intrinsic_dimension(x, scales=theirs.scales_)
    assert ours.values == pytest.approx(theirs.dimension_scales_, rel=1e-6)
    assert np.mean(ours.stderr / theirs.error_scales_) > 1.05  # theirs takes the ratios as independent
    with np.errstate(divide="ignore"):  # the last point of its empirical distribution
        twonn = skdim.TwoNN(discard_fraction=0, method="mle").fit(x)
    assert ours.estimate.value == pytest.approx(twonn.dimension_, rel=1e-9)


def test_neighbours_of_the_tree_and_of_all_distances_are_the_same(rng):
    x = rng.random((700, 5))
    wide = np.hstack([x, np.zeros((700, 20))])
    one, other = dimension.intrinsic_dimension(x, points=300), dimension.intrinsic_dimension(wide, points=300)
    assert one.values == pytest.approx(other.values, rel=1e-10)
    assert one.stderr == pytest.approx(other.stderr, rel=1e-10)


def test_scale_and_place_do_not_matter(rng):
    x = embedded(sphere(400, 3, rng), rng)
    values = dimension.intrinsic_dimension(x).values
    for changed in (x * 1e200, x * 1e-300, x + 1e5, x.astype(np.float32), x.reshape(400, 5, 6)):
        assert dimension.intrinsic_dimension(changed).values == pytest.approx(values, rel=1e-4)
    kept = x.copy()
    dimension.intrinsic_dimension(x)
    assert np.array_equal(x, kept)


def test_copies_are_dropped(rng):
    x = embedded(sphere(600, 3, rng), rng)
    once = dimension.intrinsic_dimension(x)
    again = dimension.intrinsic_dimension(np.vstack([x, x[:200], x[:50]]))
    assert again.values == pytest.approx(once.values, rel=1e-9)
    assert "250 samples are copies" in str(again.cautions[0])


def test_noise_shows_at_small_distances_and_not_at_large_ones(rng):
    x = embedded(torus(3000, 2, rng), rng)
    clean = dimension.intrinsic_dimension(x)
    noisy = dimension.intrinsic_dimension(x + 0.02 * rng.standard_normal(x.shape), at=32)
    assert noisy.values[0] > 1.5 * clean.values[0]
    assert abs(noisy.estimate.value - 2) < 0.2 * (noisy.values[0] - 2)
    assert any("noise at small distances" in str(caution) for caution in noisy.cautions)
    assert not any("distances" in str(caution) for caution in clean.cautions)


def test_whole_numbers_are_told_by_their_ties(rng):
    x = rng.integers(0, 16, (500, 3))
    assert any("quantised" in str(caution) for caution in dimension.intrinsic_dimension(x).cautions)
    with pytest.raises(ValueError, match="`x` is a lattice"):
        dimension.intrinsic_dimension(np.arange(100.0)[:, None])


def test_images_are_flattened_with_a_caution(rng):
    x = rng.random((200, 4, 5))
    found = dimension.intrinsic_dimension(x)
    assert np.array_equal(found.values, dimension.intrinsic_dimension(x.reshape(200, 20)).values)
    assert "pixels" in str(found.cautions[-1])


def test_few_samples_give_a_wide_interval_and_a_caution(rng):
    found = dimension.intrinsic_dimension(sphere(20, 2, rng))
    assert found.estimate.high / found.estimate.low > 1.5
    assert any("only 20 distinct" in str(caution) for caution in found.cautions)
    assert "m =   1" in str(found)


def test_the_draw_of_points_follows_the_seed(rng):
    x = embedded(sphere(2000, 3, rng), rng)
    one, same, other = (dimension.intrinsic_dimension(x, points=400, seed=seed).values for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_at_gives_the_estimate_of_a_scale(rng):
    found = dimension.intrinsic_dimension(sphere(500, 2, rng), at=4, level=0.8)
    assert dataclasses.replace(found.at(4), method="") == dataclasses.replace(found.estimate, method="")
    with pytest.raises(ValueError, match="`neighbours` must be one of"):
        found.at(3)


def test_memory_is_bounded(rng):
    x = rng.random((20_000, 60))
    tracemalloc.start()
    dimension.intrinsic_dimension(x, points=400)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # One copy and a few blocks; the distances of all points at once would be 64 MB for every 400 of them.
    assert peak < 1.5 * x.nbytes + 5 * 8 * dimension._BLOCK


@pytest.mark.parametrize(("method", "low", "high"), [("mle", 4.3, 5.5), ("corrint", 3.8, 5.5), ("mom", 3.5, 5.5)])
def test_methods_of_scikit_dimension(method, low, high, rng):
    pytest.importorskip("skdim")
    x = embedded(gaussian(400, 5, rng), rng)
    found = dimension.intrinsic_dimension(x, method=method, splits=2)
    assert low < found.estimate.low < found.estimate.value < found.estimate.high < 1.3 * high
    assert "scikit-dimension" in found.method
    assert np.array_equal(found.values, dimension.intrinsic_dimension(x).values)


def test_linear_method_finds_the_linear_dimension(rng):
    pytest.importorskip("skdim")
    x = embedded(sphere(400, 3, rng), rng)
    assert dimension.intrinsic_dimension(x, method="lpca", splits=1).estimate.value == 4


def test_without_scikit_dimension_the_sentence_says_what_to_install(rng, monkeypatch):
    monkeypatch.setitem(sys.modules, "skdim", None)
    with pytest.raises(ValueError, match=r"install regimes\[dimension\]"):
        dimension.intrinsic_dimension(gaussian(200, 3, rng), method="mle")


X = np.random.default_rng(0).random((50, 3))


@pytest.mark.parametrize(
    ("x", "options", "words"),
    [
        (np.full((5, 2), np.nan), {}, "NaN"),
        (np.empty((0, 3)), {}, "empty"),
        (np.ones(30), {}, "one row per sample"),
        (np.ones((1, 4)), {}, "at least 10 distinct"),
        (np.ones((100, 4)), {}, "at least 10 distinct samples, got 1"),
        (X[:9], {}, "got 9"),
        ([["a"]], {}, "numeric"),
        (X * 1j, {}, "complex"),
        (X, {"method": "box"}, "must be one of gride"),
        (X, {"method": "mle"}, "needs 100 distinct"),
        (X, {"at": 25}, "`at` must be at most 24"),
        (X, {"at": 0}, "`at` must be at least 1"),
        (X, {"scales": [1, 30]}, "`scales` must lie between 1 and 24"),
        (X, {"scales": [1.5]}, "`scales` must be whole"),
        (X, {"scales": []}, "`scales` is empty"),
        (X, {"points": 3}, "`points` must be at least 10"),
        (X, {"seed": -1}, "`seed`"),
        (X, {"splits": 0}, "`splits`"),
        (X, {"level": 1.0}, "`level` must lie between"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(x, options, words):
    with pytest.raises(ValueError, match=words):
        dimension.intrinsic_dimension(x, **options)


def exponent_of(table, name):
    return next(row.exponent for row in table if name in row.name)


def slope(sizes, losses):
    return -np.polyfit(np.log(sizes), np.log(losses), 1)[0]


@pytest.mark.parametrize("dim", [1, 2])
def test_interpolation_reaches_the_bounds(dim, rng):
    # A smooth target on a cube, nearest sample and linear interpolation, read in the middle away from the edges.
    def target(x):
        return np.cos(3 * x).sum(axis=1)

    sizes = [200, 400, 800, 1600, 3200]
    losses = []
    for size in sizes:
        rows = []
        for _ in range(6 if dim > 1 else 40):
            x, new = rng.random((size, dim)), 0.25 + 0.5 * rng.random((4000, dim))
            nearest = target(x)[spatial.KDTree(x).query(new)[1]] - target(new)
            if dim == 1:
                order = np.argsort(x[:, 0])
                linear = np.interp(new[:, 0], x[order, 0], target(x[order])) - target(new)
            else:
                linear = interpolate.LinearNDInterpolator(x, target(x))(new) - target(new)
            rows.append([np.mean(np.abs(nearest)), np.mean(nearest**2), np.mean(linear**2)])
        losses.append(np.mean(rows, axis=0))
    lipschitz, smooth, linear = np.array(losses).T
    implied = dimension.exponents(dim)
    assert slope(sizes, lipschitz) == pytest.approx(exponent_of(implied, "1/d").value, rel=0.1)
    assert slope(sizes, smooth) == pytest.approx(exponent_of(implied, "2/d").value, rel=0.1)
    assert slope(sizes, linear) == pytest.approx(exponent_of(implied, "4/d").value, rel=0.1)


def test_order_gives_the_bounds_in_between():
    table = dimension.exponents(5.0, order=1.5)
    assert exponent_of(table, "order").value == pytest.approx(3 / 5)
    assert [row.kind for row in table] == ["bound"] * 4


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize(
    "profile", [profiles.laplace(), profiles.nngp(), profiles.ntk()], ids=["laplace", "nngp", "ntk"]
)
def test_kernel_exponent_is_that_of_its_spectrum_on_the_sphere(profile, dim):
    spectrum = spectra.sphere(profile, dim, degrees=600)
    reach = spectrum.resolved / 4
    read = theory.exponents(spectrum, window=(reach / 30, reach))
    for along, found in (("n", read.resolution_n), ("k", read.resolution_k)):
        implied = exponent_of(dimension.exponents(dim, smoothness=profile, along=along), "kernel")
        assert implied.value == pytest.approx(found.value, rel=0.05)
        assert implied.value == pytest.approx(profile.alpha(dim))


@pytest.mark.parametrize("target", [0.3, 1.1, 4.0, 9.0])
def test_rougher_and_smoother_targets_saturate_as_power_laws_do(target):
    dim, own = 2, 0.5
    spectrum = spectra.power_law(2 * own / dim, 2 * target / dim, modes=1e9)
    at = np.geomspace(1e3, 1e6, 8)
    for along, curve in (("n", theory.predict_curve(spectrum, n=at)), ("k", theory.predict_curve(spectrum, k=at))):
        implied = dimension.exponents(dim, smoothness=own, target=target, along=along)
        assert exponent_of(implied, "kernel").value == pytest.approx(curve.exponent().value, rel=0.03)


def test_a_smooth_kernel_learns_a_rough_target_at_the_rate_of_the_target():
    table = dimension.exponents(3, smoothness=profiles.gaussian(), target=profiles.laplace())
    assert exponent_of(table, "kernel").value == pytest.approx(1 / 3)


def test_interval_of_the_dimension_becomes_that_of_the_exponents():
    d = Estimate(4.0, 3.0, 5.0, 0.9)
    linear = exponent_of(dimension.exponents(d), "4/d")
    assert (linear.value, linear.low, linear.high, linear.level) == (1.0, 0.8, pytest.approx(4 / 3), 0.9)
    kernel = exponent_of(dimension.exponents(d, smoothness=1.0, target=8.0, along="k"), "kernel")
    assert (kernel.value, kernel.low, kernel.high) == pytest.approx((1.5, 1.4, 1 + 2 / 3))


@pytest.mark.parametrize("along", ["n", "k"])
@pytest.mark.parametrize("beta", [None, 1.2])
def test_spectrum_is_read_as_the_theory_predicts_its_loss(along, beta):
    spectrum = spectra.sphere(profiles.laplace(), 4, degrees=100, target=beta)
    at = np.geomspace(32, 300, 24)
    curve = theory.predict_curve(spectrum, n=at) if along == "n" else theory.predict_curve(spectrum, k=at)
    found = exponent_of(dimension.compare(4, spectrum=spectrum, along=along, window=(32, 300)), "loss in")
    assert found.value == pytest.approx(curve.exponent().value, rel=1e-4)


def test_half_samples_of_the_spectrum_become_an_interval():
    halves = tuple(spectra.power_law(alpha) for alpha in (0.48, 0.52, 0.47, 0.53))
    spectrum = dataclasses.replace(spectra.power_law(0.5), replicates=halves)
    found = exponent_of(dimension.compare(4, spectrum=spectrum, window=(20, 200)), "loss in")
    assert found.low < 0.5 < found.high
    assert found.level == 0.95


def test_table_tells_agreement_bound_and_failure():
    measured = Estimate(0.5, 0.45, 0.55, window=(32.0, 300.0), method="fit")
    table = dimension.compare(
        4, measured=measured, spectrum=Estimate(0.51, 0.5, 0.52), smoothness=1.0, target=profiles.ntk()
    )
    verdicts = {row.name: row.verdict for row in table}
    assert verdicts["Lipschitz loss, 1/d"] == "holds, only a bound"
    assert verdicts["smooth loss, 2/d"] == "holds, reached"
    assert verdicts["piecewise linear model, 4/d"] == "violated by 0.500: an assumption fails"
    assert verdicts["kernel of smoothness 1"] == "measured above it by 0.250"
    assert verdicts["alpha"] == "agrees"
    text = str(table)
    assert len(text.splitlines()) == len(table) + 1
    assert "0.500 [0.450, 0.550]" in text


def test_a_wide_measurement_decides_nothing():
    for measured in (
        Estimate(0.5, -0.1, 1.1),
        Estimate(0.5, -math.inf, math.inf),
        Estimate(math.nan, math.nan, math.nan),
    ):
        table = dimension.compare(4, measured=measured)
        assert all("undecided" in row.verdict for row in list(table)[:-1])


def test_without_measurement_the_spectrum_is_the_reference():
    table = dimension.compare(2, spectrum=spectra.sphere(profiles.laplace(), 2), smoothness=0.5, window=(50, 500))
    assert table.rows[-1].verdict == ""
    assert "measured" not in {row.source for row in table}


def test_extrapolation_is_said(rng):
    spectrum = dataclasses.replace(spectra.power_law(0.5), resolved=100.0)
    row = dimension.compare(4, spectrum=spectrum, window=(20, 400)).rows[-1]
    assert "extrapolated beyond 100" in row.assumptions


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: dimension.exponents(0), "`dim` must be finite and more than 0"),
        (lambda: dimension.exponents(math.nan), "`dim`"),
        (lambda: dimension.exponents("four"), "`dim` must be a number"),
        (lambda: dimension.exponents(Estimate(2, -1, 3)), "`dim` must be positive"),
        (lambda: dimension.exponents(2, smoothness=-1), "`smoothness`"),
        (lambda: dimension.exponents(2, target=1.0), "`target` needs"),
        (lambda: dimension.exponents(2, smoothness=profiles.gaussian()), "`smoothness` is infinite"),
        (lambda: dimension.exponents(2, smoothness=1.0, target=profiles.gaussian()), "`target` is infinite"),
        (lambda: dimension.exponents(2, order=0), "`order`"),
        (lambda: dimension.exponents(2, along="t"), "`along` must be one of n, k"),
        (lambda: dimension.compare(2), "at least two"),
        (lambda: dimension.compare(2, measured=0.5), "`measured` must be an Estimate"),
        (lambda: dimension.compare(2, spectrum=0.5), "`spectrum` must be"),
        (lambda: dimension.compare(2, spectrum=spectra.power_law(0.5), window=(50, 60)), "`window` must satisfy"),
        (lambda: dimension.compare(2, spectrum=spectra.power_law(0.5), window=(1e-3, 60)), "`window`"),
        (lambda: dimension.compare(2, spectrum=spectra.white(100), window=(10, 99.99)), "beyond the 100 modes"),
        (lambda: dimension.compare(2, spectrum=spectra.white(100)), "give one that the spectrum reaches"),
        (lambda: dimension.compare(2, measured=Estimate(1, 1, 1), level=0), "`level`"),
    ],
)
def test_bad_arguments_of_the_tables_are_refused_in_a_sentence(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_dimension_and_spectrum_of_a_sphere_meet_in_one_table(rng):
    x = embedded(sphere(2000, 3, rng), rng)
    found = dimension.intrinsic_dimension(x, level=0.99)
    spectrum = spectra.sphere(profiles.laplace(), 3, degrees=300)
    table = dimension.compare(found, spectrum=spectrum, smoothness=profiles.laplace(), window=(200, 4000))
    assert next(row for row in table if row.source == "kernel").verdict == "agrees"
