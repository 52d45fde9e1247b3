import math

import numpy as np
import pytest

from regimes import dynamics, equivalents, phases, spectra

INF = math.inf
PRIOR = spectra.power_law(0.5)


def name_at(spectrum, n, k, **given):
    return phases.phase_map(spectrum, n=[n], k=[k], **given).phase[0, 0]


@pytest.mark.parametrize(
    ("n", "k", "given", "expected"),
    [
        (10, 900, {}, "data"),
        (900, 10, {}, "width"),
        (100, 100, {}, "interpolation"),
        (100, 110, {}, "interpolation"),
        (110, 100, {}, "interpolation"),
        (900, 9e4, {"noise": 1.0}, "noise"),
        (90, 900, {"ridge": 1e3}, "small"),
        (90, 900, {"ridge": 5.0}, "ridge"),
        (100, 100, {"ridge": 5.0}, "ridge"),
        (10, 900, {"ridge": 1e-6}, "data"),
        (90, 900, {"time": 1.0}, "time"),
        (100, 100, {"time": 1.0}, "time"),
        (10, 900, {"time": 1e6}, "data"),
        (1e-2, 50, {}, "small"),
        (50, 1e-2, {}, "small"),
    ],
)
def test_each_phase_is_where_it_should_be(n, k, given, expected):
    assert name_at(spectra.power_law(0.5, modes=10**7), n, k, **given) == expected


def test_a_smooth_target_with_noise_is_all_noise_along_n_and_not_along_k():
    smooth = spectra.power_law(0.5, 2.0, modes=10**6)
    assert name_at(smooth, 1e3, 1e5, noise=0.3) == "noise"
    assert name_at(smooth, 1e5, 10, noise=0.001) == "width"


def test_nothing_is_learnt_of_a_flat_target_from_few_samples():
    flat = spectra.white(1000)
    names = phases.phase_map(flat, n=[5.0, 50, 95, 105], k=[800.0]).phase[:, 0]
    # The bias of white features is (1 - m/1000)^2: 0.9 at m = 51.3.
    assert names.tolist() == ["small", "small", "data", "data"]


def test_where_everything_is_learnt_nothing_is_near_interpolation():
    found = phases.phase_map(spectra.white(20), n=[25.0, 30.0], k=[25.0, 30.0, 40.0])
    assert (found.surface.loss == 0).all()
    assert set(found.phase.ravel()) == {"data", "width"}
    assert np.isnan(found.peak).all()


@pytest.mark.parametrize("ridge", [0.0, 0.01, 1.0])
@pytest.mark.parametrize("noise", [0.0, 0.3])
@pytest.mark.parametrize("time", [INF, 10.0])
def test_the_shares_sum_to_the_loss(ridge, noise, time):
    n, k = np.geomspace(2, 500, 9), np.geomspace(3, 400, 8)
    found = phases.phase_map(PRIOR, n=n, k=k, ridge=ridge, noise=noise, time=time)
    assert np.isfinite(found.surface.loss).all()
    assert sum(found.shares) == pytest.approx(found.surface.loss, rel=1e-13)
    assert (found.shares.irreducible == noise).all()
    assert (found.shares.limit >= 0).all()
    if math.isinf(time):
        assert (found.shares.time == 0).all()
    if ridge == 0 and math.isinf(time):  # the closed form of the excess
        m, gap = np.minimum(n[:, None], k), np.abs(n[:, None] - k)
        unlearnt = equivalents.unlearnt_power(PRIOR, equivalents.solve(PRIOR, m).gamma)
        assert found.shares.excess == pytest.approx(m * (unlearnt + noise) / gap, rel=1e-8)


def test_on_the_diagonal_the_excess_is_infinite_without_ridge():
    found = phases.phase_map(PRIOR, n=[10.0, 20.0], k=[10.0, 20.0])
    assert np.isinf(found.surface.loss).tolist() == [[True, False], [False, True]]
    assert np.isinf(found.shares.excess).tolist() == [[True, False], [False, True]]
    early = phases.phase_map(PRIOR, n=[10.0, 20.0], k=[10.0, 20.0], time=50.0)
    assert all(np.isfinite(part).all() for part in early.shares)
    assert sum(early.shares) == pytest.approx(early.surface.loss, rel=1e-13)


def test_shares_at_a_finite_time_are_those_of_the_flow():
    n, k, time, noise = np.array([20.0, 90.0]), np.array([30.0, 200.0]), 5.0, 0.3
    found = phases.phase_map(PRIOR, n=n, k=k, noise=noise, time=time).shares
    for row, column in np.ndindex(2, 2):
        smaller = (n[row], INF) if n[row] < k[column] else (INF, k[column])
        flow, end = (dynamics.gradient_flow(PRIOR, t, *smaller, 0, noise) for t in (time, INF))
        whole = dynamics.gradient_flow(PRIOR, time, n[row], k[column], 0, noise)
        assert found.limit[row, column] == pytest.approx(end - noise, rel=1e-12)
        assert found.time[row, column] == pytest.approx(flow - end, rel=1e-9)
        assert found.excess[row, column] == pytest.approx(whole - flow, rel=1e-9)


def test_stopping_early_keeps_noise_from_being_fitted():
    smooth = spectra.power_law(0.5, 2.0, modes=10**6)
    assert name_at(smooth, 1e3, 1e5, noise=0.3, time=1e9) == "noise"
    assert name_at(smooth, 1e3, 1e5, noise=0.3, time=3.0) != "noise"


def test_the_peak_is_at_k_without_ridge_and_moves_or_vanishes_with_it():
    k = np.array([10.0, 40.0, 100.0])
    free = phases.phase_map(PRIOR, n=k, k=k).peak
    assert free == pytest.approx(k, rel=1e-12)
    little = phases.phase_map(PRIOR, n=k, k=k, ridge=1e-4, noise=0.1).peak
    assert little == pytest.approx(k, rel=0.1)
    ridged = phases.phase_map(PRIOR, n=k, k=k, ridge=0.02, noise=0.3).peak
    assert np.isfinite(ridged).all()
    assert (np.abs(ridged / k - 1) > 0.01).any()
    for width, at in zip(k, ridged, strict=True):  # it is a maximum of the loss
        near = equivalents.loss(PRIOR, at * np.array([0.97, 1.0, 1.03]), width, 0.02, 0.3)
        assert near[1] > max(near[0], near[2])
    assert np.isnan(phases.phase_map(PRIOR, n=k, k=k, ridge=20.0).peak).all()
    assert np.isfinite(phases.phase_map(PRIOR, n=k, k=k, time=1e6).peak).all()
    assert np.isnan(phases.phase_map(PRIOR, n=k, k=k, time=1.0).peak).all()


def test_regimes_along_n_and_along_k():
    found = phases.phase_map(PRIOR, n=[10.0, 100.0, 900.0], k=[10.0, 100.0, 900.0])
    assert found.along_n()[0, 2] == "resolution_n"
    assert found.along_k()[0, 2] == "variance_k"
    assert found.along_n()[2, 0] == "variance_n"
    assert found.along_k()[2, 0] == "resolution_k"
    assert found.along_n()[1, 1] == found.along_k()[1, 1] == "interpolation"
    assert not {"data", "width"} & set(found.along_n().ravel()) | {"data", "width"} & set(found.along_k().ravel())


def test_crossovers_lie_between_neighbours_of_different_phases():
    found = phases.phase_map(PRIOR, noise=0.3, ridge=0.05)
    n, k = found.surface.n, found.surface.k
    total = 0
    for (one, other), points in found.crossovers.items():
        assert phases.PHASES.index(one) < phases.PHASES.index(other)
        total += len(points)
        for where, width in points:
            rows, columns = (
                np.flatnonzero(np.abs(np.log(axis / at)) < 0.6 * np.log(axis[1] / axis[0]))
                for axis, at in ((n, where), (k, width))
            )
            assert len(rows) * len(columns) == 2
            assert set(found.phase[np.ix_(rows, columns)].ravel()) == {one, other}
    changes = (found.phase[1:] != found.phase[:-1]).sum() + (found.phase[:, 1:] != found.phase[:, :-1]).sum()
    assert total == changes > 0
    assert phases.phase_map(PRIOR, n=[10.0], k=[900.0]).crossovers == {}


@pytest.mark.parametrize("given", [{}, {"noise": 0.3}, {"ridge": 1.0, "noise": 0.3}, {"time": 10.0}])
def test_the_default_map(given):
    found = phases.phase_map(PRIOR, **given)
    points = 31 if "time" in given else 61
    assert found.phase.shape == found.surface.loss.shape == (points, points)
    assert (found.surface.n[0], found.surface.n[-1]) == pytest.approx((2, PRIOR.resolved))
    assert sum(found.fractions.values()) == pytest.approx(1)
    assert set(found.fractions) == set(found.phase.ravel())
    text = str(found)
    assert text.startswith("loss surface, ")
    assert "% " in text
    assert "data: limited by data" in text
    assert f"interpolation peak at {np.isfinite(found.peak).sum()} of {points} values of k" in text
    if not given:  # without noise the prior's map is symmetric
        assert found.fractions["data"] == found.fractions["width"]


@pytest.mark.parametrize(
    "spectrum",
    [
        spectra.listed([1.0, 0.5, 0.2]),
        spectra.listed([1.0]),
        spectra.white(20),
        spectra.white(0.3),
        spectra.white(20, 0.0),
        spectra.power_law(0.5, modes=15),
    ],
)
@pytest.mark.parametrize(
    "given", [{}, {"noise": 0.3}, {"ridge": 1.0}, {"ridge": 0.1, "noise": 0.1}, {"time": 3.0, "noise": 0.1}]
)
def test_few_modes_give_no_nan(spectrum, given):
    sizes = [0.5, 1.0, 2.0, 3.0, 5.0, 20.0, 40.0]
    for found in (phases.phase_map(spectrum, **given), phases.phase_map(spectrum, n=sizes, k=sizes, **given)):
        assert not np.isnan(found.surface.loss).any()
        assert not any(np.isnan(part).any() for part in found.shares)
        assert set(found.phase.ravel()) <= set(phases.PHASES)
        assert (np.diff(found.surface.n) > 0).all()


def test_fitted_noise_at_as_many_samples_as_modes_is_infinite():
    found = phases.phase_map(spectra.white(20), n=[20.0], k=[40.0], noise=0.1)
    assert found.shares.limit[0, 0] == found.surface.loss[0, 0] == INF
    assert found.phase[0, 0] == "noise"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"n": [2.0, 1.0]}, "`n` must be positive and ascending"),
        ({"n": [0.0, 1.0]}, "`n` must be positive and ascending"),
        ({"k": [3.0, 3.0]}, "`k` must be positive and ascending"),
        ({"n": [1.0, INF]}, "`n` holds 1 NaN or infinite"),
        ({"n": 5.0}, "`n` must have 1 axis"),
        ({"k": []}, "`k` is empty"),
        ({"ridge": -1.0}, "`ridge` must be finite and not negative"),
        ({"noise": -1.0}, "`noise` must be finite and not negative"),
        ({"time": 0.0}, "`time` must be positive, got 0"),
        ({"time": math.nan}, "`time` must be positive, got nan"),
    ],
)
def test_bad_input_gets_a_sentence(given, message):
    with pytest.raises(ValueError, match=message):
        phases.phase_map(PRIOR, **given)
