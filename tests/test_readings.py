import math

import numpy as np
import oracles
import pytest

from regimes import estimate, readings, resolvents


def planted(rng, size, alpha, modes=6000):
    """Gaussian design whose eigenvalues are an exact power law."""
    features = rng.standard_normal((size, modes)) * np.sqrt(np.arange(1.0, modes + 1) ** -(1 + alpha))
    return features @ features.T


@pytest.mark.parametrize("alpha", [0.4, 0.8])
def test_a_planted_power_law_is_called_one(rng, alpha):
    found = readings.power_law(planted(rng, 500, alpha))
    assert found.holds
    assert str(found).startswith("a power law as far as the sample shows")
    assert found.exponent[-1] == pytest.approx(alpha, abs=0.1)
    assert np.all(found.low < found.exponent)
    assert np.all(found.exponent < found.high)


def test_a_laplace_kernel_on_the_sphere_is_called_a_power_law(rng):
    found = readings.power_law(oracles.sphere_gram("Laplace", 800, 4, rng))
    assert found.holds
    assert found.exponent[-1] == pytest.approx(0.25, abs=0.02)  # 1/dim for a kernel linear in the distance


def test_an_analytic_kernel_is_none_and_its_local_exponent_rises(rng):
    x = rng.standard_normal((600, 3))
    gram = np.exp(-((x[:, None] - x[None]) ** 2).sum(axis=-1) / 4)
    found = readings.power_law(gram)
    assert found.holds is False
    assert "it rises, as for analytic kernels" in found.reason
    assert found.exponent[-1] > 2 * found.exponent[0]


def test_shells_of_a_sphere_in_many_dimensions_are_no_power_law(rng):
    found = readings.power_law(oracles.sphere_gram("NTK", 1000, 7, rng))
    assert found.holds is False
    assert "no power law: the local exponent moves from" in found.reason


def test_few_samples_do_not_tell(rng):
    assert readings.power_law(oracles.sphere_gram("Laplace", 60, 2, rng)).holds is None
    tiny = readings.power_law(oracles.sphere_gram("Laplace", 16, 2, rng))
    assert tiny.holds is None
    assert "too few samples (16)" in tiny.reason
    assert len(tiny.n) == 0


def test_local_exponents_of_a_resolvent_are_those_of_its_matrix(rng):
    gram = planted(rng, 300, 0.6)
    one = readings.power_law(gram, seed=3)
    other = readings.power_law(resolvents.resolvent(gram, uncertainty=True, seed=3))
    assert np.array_equal(one.exponent, other.exponent)
    assert np.array_equal(one.high, other.high)
    with pytest.raises(ValueError, match="resolvent without uncertainty"):
        readings.power_law(resolvents.resolvent(gram))


@pytest.mark.slow
def test_local_exponents_cover_those_of_the_population(rng):
    truth, covered = None, []
    modes = np.arange(1.0, 6001) ** -1.6
    for _ in range(40):
        found = readings.power_law(planted(rng, 300, 0.6), level=0.9)
        if truth is None:  # the same half-decade slopes of the exact n kappa(n)
            from regimes import equivalents, spectra

            log_n = np.log(np.geomspace(0.25, 100, 160))
            exact = np.log(equivalents.solve(spectra.listed(modes, modes), np.exp(log_n)).gamma)
            truth = np.array(
                [
                    -np.polyfit(log_n[near], (log_n + exact)[near], 1)[0]
                    for near in (np.abs(log_n - np.log(n)) <= 0.58 for n in found.n)
                ]
            )
        covered.append((found.low <= truth) & (truth <= found.high))
    # 40 dependent rows of 10: within 80 to 97 % is what 90 % gives.
    assert 0.8 < np.mean(covered) < 0.97, np.mean(covered, axis=0)


def test_side_by_side_holds_every_method_and_one_default_each(rng):
    gram = planted(rng, 240, 0.6)
    y = np.linalg.cholesky(gram) @ rng.standard_normal((240, 2))
    rows = readings.side_by_side(gram, y, splits=2)
    assert [row.method for row in rows if row.quantity == "alpha"] == list(estimate.ALPHA)
    assert [row.method for row in rows if row.quantity == "beta"] == list(estimate.BETA)
    assert [row.method for row in rows if row.default] == ["kappa", "tail", "floor"]
    assert all(row.remark for row in rows)
    assert rows[0].estimate == estimate.alpha(gram, level=0.9, splits=2)
    assert {row.quantity for row in readings.side_by_side(gram, splits=2)} == {"alpha"}


def test_a_method_that_fails_says_so_in_its_row_and_the_others_are_read(rng):
    features = rng.standard_normal((400, 12))
    gram = features @ features.T
    rows = {row.method: row for row in readings.side_by_side(gram, splits=2)}
    failed = rows["kappa"]  # twelve modes cannot be read up to N/4 = 100
    assert math.isnan(failed.estimate.value)
    assert failed.remark.startswith("not read: `gram` has rank 12")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda g: readings.side_by_side(g[:40, :40]), "`gram` must hold at least 48 samples"),
        (lambda g: readings.side_by_side(g, np.ones(3)), "`targets` must have one row per sample"),
        (lambda g: readings.side_by_side(g, np.ones(100), noise=-1.0), "`noise` must be finite and at least 0"),
        (lambda g: readings.power_law(g[:, :50]), "`gram` must be a square Gram matrix"),
    ],
)
def test_bad_input_gets_a_sentence(rng, call, message):
    with pytest.raises(ValueError, match=message):
        call(oracles.sphere_gram("NTK", 100, 3, rng))
