import tracemalloc

import numpy as np
import oracles
import pytest

from regimes import equivalents, factor


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


def test_inverses_equal_separate_inverses_at_every_size(rng):
    matrix, y = gram(rng), rng.standard_normal((60, 3))
    lower = factor.cholesky(matrix, 0.05).lower
    for at in (np.arange(1, 61), [1, 2, 17, 59, 60], [30]):
        parts = list(factor.inverses(lower, at, y))  # kept, as each is a copy
        assert [part.size for part in parts] == list(at)
        for n, diagonal, coefficients in parts:
            inverse = np.linalg.inv(matrix[:n, :n] + 0.05 * np.eye(n))
            assert diagonal == pytest.approx(np.diagonal(inverse), rel=1e-11)
            assert coefficients == pytest.approx(inverse @ y[:n], rel=1e-10, abs=1e-11)
    assert next(factor.inverses(lower, [20])).coefficients.shape == (20, 0)


def test_inverses_need_one_more_matrix_and_no_more(rng):
    size = 500
    lower, y = factor.cholesky(gram(rng, size), 0.05).lower, rng.standard_normal((size, 4))
    tracemalloc.start()
    for _ in factor.inverses(lower, np.arange(1, size + 1), y):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * (size**2 + 30 * size)


@pytest.mark.parametrize("ridge", [1e-6, 0.3])
def test_training_losses_equal_refits(rng, ridge):
    matrix, y = gram(rng), rng.standard_normal((60, 3))
    sizes = [1, 2, 25, 60]
    found = factor.training_losses(factor.cholesky(matrix, ridge).lower, y, sizes, ridge=ridge)
    for index, n in enumerate(sizes):
        part = matrix[:n, :n]
        errors = oracles.leave_one_out_refits(part, y[:n], ridge)
        assert found.leave_one_out[index] == pytest.approx(errors.mean(), rel=1e-10)
        assert found.leave_one_out_spread[index] == pytest.approx(errors.std(), rel=1e-9, abs=1e-12)
        fit = part @ np.linalg.solve(part + ridge * np.eye(n), y[:n])
        assert found.train[index] == pytest.approx(np.sum((y[:n] - fit) ** 2) / n, rel=1e-8)
        assert found.gcv[index] == pytest.approx(oracles.generalised_cross_validation(part, y[:n], ridge), rel=1e-8)
        assert found.kappa[index] == pytest.approx(1 / np.trace(np.linalg.inv(part + ridge * np.eye(n))), rel=1e-10)
    assert found.gcv == pytest.approx(equivalents.gcv(found.train, sizes, ridge, found.kappa), rel=1e-12)


def test_spread_of_cross_validation_is_that_of_the_squares_whose_mean_it_is(rng):
    matrix, y = gram(rng), rng.standard_normal((60, 2))
    found = factor.training_losses(factor.cholesky(matrix, 0.1).lower, y, [60], ridge=0.1)
    inverse = np.linalg.inv(matrix + 0.1 * np.eye(60))
    squares = np.sum((60 * inverse @ y / np.trace(inverse)) ** 2, axis=1)
    assert found.gcv[0] == pytest.approx(squares.mean(), rel=1e-10)
    assert found.gcv_spread[0] == pytest.approx(squares.std(), rel=1e-10)


def test_training_losses_refuse_sizes_out_of_range(rng):
    lower = factor.cholesky(gram(rng, 5)).lower
    with pytest.raises(ValueError, match="`at` must lie between 1 and 5, got 0"):
        factor.training_losses(lower, np.ones((5, 1)), [0, 3], ridge=0.0)
