import math
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from regimes import differentiable, equivalents, spectra
from regimes._precision import float64
from regimes.spectrum import Spectrum

INF = math.inf


def law(beta, modes=1000, tail=False):
    return spectra.power_law(0.5, beta, modes=modes, tail=tail)


LEVELS = Spectrum(np.array([1.0, 0.1, 0.01]), np.array([1.0, 0.5, 0.2]), np.array([1.0, 7.0, 90.0]), 0.1, 0.2)
SHORT = spectra.power_law(0.5, 1.2, modes=120, tail=True)
POINT = {"n": 20.0, "k": 50.0, "ridge": 0.25, "noise": 0.125}  # exact in float32


@pytest.fixture(params=[False, True], ids=["x64 off", "x64 on"])
def flag(request):
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", request.param)
    yield request.param
    assert jax.config.jax_enable_x64 is request.param
    jax.config.update("jax_enable_x64", before)


def static(arguments):
    return differentiable.loss(**arguments)


def arguments(spectrum=SHORT, **given):
    return {**differentiable.arguments(spectrum), **{name: np.asarray(value) for name, value in given.items()}}


COMPILED = jax.jit(jax.grad(static))


def gradient(given):
    """All derivatives of the loss, in float64, as NumPy arrays."""
    with float64():
        return jax.tree.map(np.asarray, COMPILED(given))


def richardson(function, at, step):
    """Central differences at two steps, extrapolated: an error of order step^4."""
    slopes = [(function(at + h) - function(at - h)) / (2 * h) for h in (step, 2 * step)]
    return (4 * slopes[0] - slopes[1]) / 3


@pytest.mark.parametrize("spectrum", [law(0.5), law(1.2, 300, tail=True), law(3.0), LEVELS], ids=str)
def test_loss_gamma_and_kappa_are_those_of_the_numpy_solver(spectrum):
    n = np.array([0.5, 5, 50, 99, 100, 101, 500, INF])[:, None, None, None]
    k = np.array([5, 50, 100, 99.9, 300, 3000, INF])[:, None, None]
    ridge, noise = np.array([0, 1e-14, 1e-6, 0.01, 3, 1e8])[:, None], np.array([0, 0.3])
    found = differentiable.loss(**arguments(spectrum, n=n, k=k, ridge=ridge, noise=noise))
    np.testing.assert_allclose(found, equivalents.loss(spectrum, n, k, ridge, noise), rtol=1e-10)
    kernel = {"multiplicity": spectrum.multiplicity, "tail": spectrum.tail}
    point = equivalents.solve(spectrum, n, k, ridge)
    np.testing.assert_allclose(differentiable.gamma(spectrum.eigenvalues, n, k, ridge, **kernel), point.gamma, 1e-10)
    # atol: at n = k with a tiny ridge NumPy's df1 is off by rounding.
    np.testing.assert_allclose(
        differentiable.kappa(spectrum.eigenvalues, n, k, ridge, **kernel), point.kappa, rtol=1e-10, atol=1e-16
    )


def test_loss_is_infinite_at_n_equal_k_without_ridge():
    assert differentiable.loss(**arguments(n=50.0, k=50.0)) == INF


# Computed by an independent script (double contour sum with separate solves along rays), checked by Monte Carlo.
@pytest.mark.parametrize(
    ("beta", "given", "expected"),
    [
        (0.5, {"n": 50, "k": 200}, [1.4110989, 0.72273559, 0.5210239, 0.56042218]),
        (1.2, {"n": 200, "k": 50, "noise": 0.1}, [0.59699347, 0.22416441, 0.18097388, 0.20338564]),
    ],
)
def test_golden_losses_at_finite_time(beta, given, expected):
    found = differentiable.loss(**arguments(law(beta), **given, time=[1, 10, 100, 1000]))
    np.testing.assert_allclose(found, expected, rtol=0, atol=6e-9)  # the digits printed


def test_losses_at_special_times_and_sizes():
    spectrum = law(0.5)
    lam, times = spectrum.eigenvalues, np.array([1e-6, 0.1, 1, 10, 1e4])
    exact = [np.sum(spectrum.power * np.exp(-2 * lam * t)) for t in times]
    np.testing.assert_allclose(differentiable.loss(**arguments(spectrum, n=INF, time=times)), exact, rtol=1e-11)
    n, k = np.array([30.0, 60, 200, INF])[:, None, None], np.array([30.0, 90, 2000, INF])[:, None]
    ridge = np.array([0.0, 1e-3])
    given = {"n": n, "k": k, "ridge": ridge, "noise": 0.2}
    start = differentiable.loss(**arguments(SHORT, **given, time=0.0))
    np.testing.assert_allclose(start, SHORT.total_power + 0.2, rtol=1e-14)
    late, end = (differentiable.loss(**arguments(SHORT, **given, time=t)) for t in (1e30, INF))
    assert np.isinf(end[0, 0, 0])
    finite = np.isfinite(end)
    np.testing.assert_allclose(late[finite], end[finite], rtol=1e-10)
    np.testing.assert_array_equal(end, differentiable.loss(**arguments(SHORT, **given)))


def test_infinite_n_is_one_resolvent():
    spectrum, k, t = law(1.2, 300), 60.0, 40.0
    # e^{-2ts} averaged over the spectrum of the feature kernel is the inverse Laplace transform, at 2t, of
    # sum v^2 gamma(z)/(lambda+gamma(z))/z, here by Talbot's classical contour with gamma from Newton's method.
    angle = (np.arange(40) + 0.5) * 2 * np.pi / 40 - np.pi
    z = 40 / (2 * t) * (0.5017 * angle / np.tan(0.6407 * angle) - 0.6122 + 0.2645j * angle)
    speed = 40 / (2 * t) * (0.5017 / np.tan(0.6407 * angle) - 0.5017 * 0.6407 * angle / np.sin(0.6407 * angle) ** 2)
    lam, total = spectrum.eigenvalues, 0.0
    for point, derivative in zip(z, speed + 40 / (2 * t) * 0.2645j, strict=True):
        gamma = 1e3 * point
        for scale in np.geomspace(1e3, 1, 200):  # down the ray from where gamma = z
            for _ in range(4):
                learnt = lam / (lam + gamma)
                y = 1 - learnt.sum() / k
                gamma = gamma - (gamma * y - scale * point) / (y + np.sum(learnt * (1 - learnt)) / k)
        total += np.exp(2 * t * point) * derivative / (40j * point) * np.sum(spectrum.power * gamma / (lam + gamma))
    assert differentiable.loss(**arguments(spectrum, n=INF, k=k, time=t)) == pytest.approx(total.real, rel=1e-10)


@pytest.mark.parametrize(
    "given",
    [POINT, {**POINT, "ridge": 0.0}, {**POINT, "n": 60.0, "ridge": 0.0}, {**POINT, "n": 50.0, "ridge": 1e-3}],
    ids=str,
)
def test_every_derivative_is_that_of_the_numpy_solver(given):
    found = gradient(arguments(**given))
    for name in given:
        if given[name] == 0:  # only the derivative from above exists; it has a test of its own
            continue
        step = given[name] * (1e-4 if given["n"] == given["k"] else 1e-3)  # the peak is narrow
        numeric = richardson(lambda x, name=name: equivalents.loss(SHORT, **{**given, name: x}), given[name], step)
        assert float(found[name]) == pytest.approx(numeric, rel=1e-7), name
    for name, level in (("eigenvalues", 0), ("eigenvalues", 7), ("power", 3), ("multiplicity", 2)):
        start = getattr(SHORT, name)

        def changed(value, name=name, level=level, start=start):
            values = start.copy()
            values[level] = value
            return float(static({**arguments(**given), name: values}))

        numeric = richardson(changed, start[level], 1e-3 * start[level])
        assert float(found[name][level]) == pytest.approx(numeric, rel=1e-7), (name, level)
    for name in ("tail", "tail_power"):
        numeric = richardson(
            lambda value, name=name: float(static({**arguments(**given), name: value})),
            getattr(SHORT, name),
            1e-3 * getattr(SHORT, name),
        )
        assert float(found[name]) == pytest.approx(numeric, rel=1e-7), name


@pytest.mark.parametrize(("n", "k"), [(20.0, 50.0), (50.0, 20.0), (20.0, INF), (INF, 20.0), (500.0, 900.0), (INF, INF)])
def test_derivatives_at_ridge_zero_and_infinite_sizes_are_finite_and_right(n, k):
    spectrum = law(1.2, 120)  # no tail: 500 samples are more than there are modes
    found = gradient(arguments(spectrum, n=n, k=k, ridge=0.0, noise=0.1))
    assert all(np.isfinite(value).all() for value in found.values())
    if math.isinf(n):
        assert found["n"] == 0
        assert found["ridge"] == 0
    else:
        at = [equivalents.loss(spectrum, n, k, h, 0.1) for h in np.array([0, 1, 2, 3]) * 1e-4]
        assert float(found["ridge"]) == pytest.approx(np.dot([-11, 18, -9, 2], at) / 6e-4, rel=1e-5)


def test_derivatives_at_finite_time():
    given = {**POINT, "time": 3.0}
    start = arguments(**given)
    found = gradient(start)
    for name in given:

        def changed(value, name=name):
            return float(static({**start, name: value}))

        assert float(found[name]) == pytest.approx(richardson(changed, given[name], 2e-3 * given[name]), rel=1e-7), name
    for name, level in (("eigenvalues", 2), ("power", 3)):

        def changed(value, name=name, level=level):
            values = start[name].copy()
            values[level] = value
            return float(static({**start, name: values}))

        at = start[name][level]
        assert float(found[name][level]) == pytest.approx(richardson(changed, at, 2e-3 * at), rel=1e-7), name
    # n = k without ridge is an ordinary point, the start too.
    peak = gradient(arguments(n=50.0, k=50.0, ridge=0.0, noise=0.125, time=3.0))
    begin = gradient(arguments(**POINT, time=0.0))
    assert all(np.isfinite(value).all() for value in peak.values())
    slope = richardson(lambda n: float(static(arguments(n=n, k=50.0, noise=0.125, time=3.0))), 50.0, 0.1)
    assert float(peak["n"]) == pytest.approx(slope, rel=1e-7)
    assert float(begin["time"]) == pytest.approx(-2 * np.sum(SHORT.power * SHORT.eigenvalues), rel=1e-12)


OF_N = {**differentiable.arguments(SHORT), "k": 50.0, "ridge": 0.25, "noise": 0.125}


def of_n(n):
    return differentiable.loss(**OF_N, n=n)


TRANSFORMS = {
    "jit": (0, lambda: jax.jit(of_n)(20.0)),
    "vmap": (0, lambda: jax.vmap(of_n)(np.array([20.0, 60.0]))[0]),
    "vmap jit": (0, lambda: jax.vmap(jax.jit(of_n))(np.array([20.0, 60.0]))[0]),
    "grad": (1, lambda: jax.grad(of_n)(20.0)),
    "jit grad": (1, lambda: jax.jit(jax.grad(of_n))(20.0)),
    "grad jit": (1, lambda: jax.grad(jax.jit(of_n))(20.0)),
    "vmap grad": (1, lambda: jax.vmap(jax.grad(of_n))(np.array([20.0, 60.0]))[0]),
    "jvp": (1, lambda: jax.jvp(of_n, (20.0,), (1.0,))[1]),
    "hessian": (2, lambda: jax.hessian(of_n)(20.0)),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transformations_with_x64_off_and_on(name, flag):
    order, apply = TRANSFORMS[name]
    if not flag and not hasattr(jax, "enable_x64"):  # before JAX 0.8
        with pytest.raises(ValueError, match="jax_enable_x64"):
            apply()
        return
    found = apply()
    slope = lambda n: richardson(lambda m: equivalents.loss(SHORT, m, 50.0, 0.25, 0.125), n, 0.05)  # noqa: E731
    exact = [
        lambda: equivalents.loss(SHORT, 20.0, 50.0, 0.25, 0.125),
        lambda: slope(20.0),
        lambda: richardson(slope, 20.0, 0.2),
    ][order]()
    assert found.dtype == (jnp.float64 if flag else jnp.float32)
    # With the flag off the result is the float64 result, rounded once.
    assert float(found) == pytest.approx(
        exact, rel=[1e-12, 1e-8, 1e-5][order] if flag else max(6e-8, [0, 0, 1e-5][order])
    )


def test_numbers_give_float64_with_x64_off_and_time_is_refused_under_transformations(flag):
    value = of_n(20.0)
    assert isinstance(value, np.float64)
    assert value == pytest.approx(equivalents.loss(SHORT, 20.0, 50.0, 0.25, 0.125), rel=1e-12)
    if not flag:
        with pytest.raises(ValueError, match="jax_enable_x64"):
            jax.grad(lambda time: differentiable.loss(**OF_N, n=20.0, time=time))(3.0)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"n": 0.0}, "`n` must be positive, got 0"),
        ({"k": -3.0}, "`k` must be positive"),
        ({"n": math.nan}, "`n` must not be NaN"),
        ({"ridge": -0.1}, "`ridge` must be finite and not negative, got -0.1"),
        ({"ridge": INF}, "`ridge` must be finite"),
        ({"noise": -1.0}, "`noise` must be finite and not negative"),
        ({"time": -1.0}, "`time` must be not negative"),
        ({"eigenvalues": np.zeros(3)}, "`eigenvalues` must be positive"),
        ({"power": -np.ones(3)}, "`power` must be not negative"),
        (
            {"power": np.ones(4)},
            r"`power` must have the levels as its last axis.*expected \(..., 3\), got shape \(4,\)",
        ),
        ({"eigenvalues": 1.0}, "`eigenvalues` must have the levels"),
    ],
)
def test_bad_input_is_refused_in_words(given, words):
    with pytest.raises(ValueError, match=words):
        differentiable.loss(**{**arguments(LEVELS, n=20.0), **given})


def test_out_of_range_under_a_transformation_is_nan():
    assert np.isnan(jax.jit(lambda ridge: differentiable.loss(**arguments(LEVELS, n=20.0), ridge=ridge))(-1.0))


def test_importing_the_module_does_not_import_jax():
    code = "import sys, regimes.differentiable; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
