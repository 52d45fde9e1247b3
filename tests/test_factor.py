import numpy as np
import oracles
import pytest

from regimes import factor


def gram(rng, n=60):
    return oracles.sphere_gram("NTK", n, 3, rng)


def test_factor_times_its_transpose_is_the_matrix_plus_jitter(rng):
    matrix = gram(rng)
    lower, jitter = factor.cholesky(matrix)
    assert lower @ lower.T == pytest.approx(matrix + jitter * np.eye(60), rel=1e-13)
    assert np.array_equal(lower, np.tril(lower))


def test_ridgeless_jitter_is_the_rounding_error_of_the_factorisation(rng):
    matrix = gram(rng)
    assert factor.cholesky(matrix).jitter == pytest.approx(60 * np.finfo(float).eps * np.diagonal(matrix).mean())
    assert factor.cholesky(matrix, ridge=1e-3).jitter == 0


def test_the_callers_matrix_is_left_alone(rng):
    matrix = gram(rng)
    before = matrix.copy()
    factor.cholesky(matrix)
    factor.cholesky(np.asfortranarray(matrix))
    assert np.array_equal(matrix, before)


def test_a_rank_deficient_matrix_gets_more_jitter_and_says_so(rng):
    thin = rng.standard_normal((300, 3))
    lower, jitter = factor.cholesky(thin @ thin.T)
    assert 0 < jitter < 1e-6 * np.mean(np.sum(thin**2, axis=1))
    assert np.all(np.isfinite(lower))


def test_an_indefinite_matrix_is_refused():
    with pytest.raises(ValueError, match=r"`gram` is not positive definite: .* breaks down at row 2 of 2"):
        factor.cholesky(np.array([[1.0, 2.0], [2.0, 1.0]]))


def test_leave_one_out_equals_separate_inverses_at_every_size(rng):
    matrix = gram(rng)
    sizes = [1, 2, 17, 59, 60]
    lower, jitter = factor.cholesky(matrix)
    found = factor.leave_one_out(lower, sizes)
    for index, n in enumerate(sizes):
        inverse = np.linalg.inv(matrix[:n, :n] + jitter * np.eye(n))
        assert found.kappa[index] == pytest.approx(1 / np.trace(inverse), rel=1e-10)
        assert found.variance[index] == pytest.approx(np.mean(1 / np.diagonal(inverse)), rel=1e-10)


def test_last_pivot_is_the_leave_one_out_variance_of_the_last_sample(rng):
    matrix = gram(rng)
    lower, jitter = factor.cholesky(matrix)
    inverse = np.linalg.inv(matrix + jitter * np.eye(60))
    assert factor.pivots(lower)[-1] == pytest.approx(1 / inverse[-1, -1], rel=1e-10)


def test_mean_pivot_is_the_leave_one_out_variance_averaged_over_orders(rng):
    matrix = gram(rng, 12)
    expected = factor.leave_one_out(factor.cholesky(matrix).lower, [12]).variance[0]
    last = [
        factor.pivots(factor.cholesky(matrix[np.ix_(order, order)]).lower)[-1]
        for order in (np.roll(np.arange(12), shift) for shift in range(12))
    ]
    assert np.mean(last) == pytest.approx(expected, rel=1e-12)


def test_solve_lower_solves(rng):
    lower = factor.cholesky(gram(rng)).lower
    right = rng.standard_normal((60, 4))
    assert lower @ factor.solve_lower(lower, right) == pytest.approx(right, rel=1e-9, abs=1e-11)


def test_sizes_out_of_range_are_refused(rng):
    lower = factor.cholesky(gram(rng, 5)).lower
    with pytest.raises(ValueError, match="`at` must lie between 1 and 5, got 6"):
        factor.leave_one_out(lower, [2, 6])
    with pytest.raises(ValueError, match="strictly increasing"):
        factor.leave_one_out(lower, [3, 2])
