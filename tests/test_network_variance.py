import numpy as np
import pytest
from scipy import special

from regimes import dynamics, excesses, kernels, network_plots, network_variance, networks, spectra, training
from regimes.excesses import ensemble_excess
from regimes.network_variance import Case


def squared(y):
    return lambda outputs: np.mean((outputs[..., 0] - y) ** 2, axis=-1)


def cross_entropy(classes):
    return network_variance._measure("cross-entropy", classes)


def test_the_ensemble_excess_of_the_squared_error_is_the_unbiased_variance(rng):
    outputs, y = rng.standard_normal((7, 1, 30, 1)), rng.standard_normal(30)
    found = ensemble_excess(outputs, squared(y))
    assert found.mean() == pytest.approx(outputs[:, 0, :, 0].var(axis=0, ddof=1).mean(), rel=1e-12)
    again = ensemble_excess(outputs[::-1], squared(y))
    np.testing.assert_allclose(again, found[::-1], rtol=1e-10)  # the order of the seeds does not count


def test_pseudo_values_are_those_of_leaving_members_out(rng):
    outputs, classes = rng.standard_normal((6, 2, 20, 2)), rng.integers(0, 2, 20)
    loss = cross_entropy(classes)

    def estimate(rows):
        many, mean = len(rows), rows.mean(axis=(0, 1))
        left = [loss(np.delete(rows, one, axis=0).mean(axis=(0, 1))) for one in range(many)]
        return np.mean([loss(one) for row in rows for one in row]) - many * loss(mean) + (many - 1) * np.mean(left)

    whole = estimate(outputs)
    slow = [6 * whole - 5 * estimate(np.delete(outputs, one, axis=0)) for one in range(6)]
    np.testing.assert_allclose(ensemble_excess(outputs, loss), slow, rtol=1e-10)


def test_the_jensen_gap_of_few_members_is_not_biased(rng):
    classes, spread = np.zeros(200, dtype=int), 0.3
    loss = cross_entropy(classes)
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    # Logits (u, v) with independent normal u, v: the loss depends on v - u, of variance 2 spread^2.
    exact = weights @ np.log1p(np.exp(np.sqrt(2) * spread * nodes)) / weights.sum() - np.log(2)
    draws = [spread * rng.standard_normal((4, 1, 200, 2)) for _ in range(300)]
    found = np.array([ensemble_excess(one, loss).mean() for one in draws])
    naive = np.array([loss(one).mean() - loss(one.mean(axis=(0, 1))) for one in draws])
    error = found.std() / np.sqrt(len(found))
    assert abs(found.mean() - exact) < 4 * error
    assert naive.mean() == pytest.approx(0.75 * exact, rel=0.03)  # as it is without the correction: 1 - 1/m


def test_gradient_descent_in_a_kernel_is_the_loop(rng):
    phi, test, y = rng.standard_normal((6, 9)), rng.standard_normal((4, 9)), rng.standard_normal(6)
    theta = np.zeros(9)
    for _ in range(17):
        theta -= 0.1 / 6 * phi.T @ (phi @ theta - y)
    found = excesses.descended(phi @ phi.T, test @ phi.T, y, 0.1, 17)
    np.testing.assert_allclose(found, test @ theta, rtol=1e-10)


def test_kernel_excess_is_even_and_odd(rng):
    phi, y = rng.standard_normal((20, 40)), rng.standard_normal(20)
    gram = phi @ phi.T / 40
    noise = rng.standard_normal((20, 20))
    noise = (noise + noise.T) / 2

    def parts(size):
        start = gram + size * noise
        return excesses.kernel_excess(
            (start[:12, :12], start[12:, :12]), (gram[:12, :12], gram[12:, :12]), y[:12], y[12:], 0.2, 30
        )

    even, odd = parts(1e-3)
    other_even, other_odd = parts(2e-3)
    assert other_even / even == pytest.approx(4, rel=0.02)
    assert other_odd / odd == pytest.approx(2, rel=0.02)
    mirrored = parts(-1e-3)
    assert mirrored == pytest.approx((even, -odd), rel=1e-6)


def test_the_swapped_training_is_that_from_the_readout_turned_round(rng):
    x, y = rng.standard_normal((10, 5)), np.where(rng.random(10) < 0.5, -1.0, 1.0)
    network = networks.network(kernels.fully_connected(1), 16, centred=True)
    (hidden, _), _, (readout, _) = _leaves(network, x)
    hidden, readout = np.array(hidden), -np.array(readout)  # turned round
    first = _output(hidden, readout, x)
    for _ in range(20):
        z = x @ hidden * np.sqrt(2 / 5)
        residual = (np.maximum(z, 0) @ readout * np.sqrt(2 / 16) - first - y[:, None]) / 10
        step_readout = np.sqrt(2 / 16) * np.maximum(z, 0).T @ residual
        step_hidden = np.sqrt(2 / 5) * x.T @ ((z > 0) * (residual @ readout.T) * np.sqrt(2 / 16))
        hidden, readout = hidden - 0.1 * step_hidden, readout - 0.1 * step_readout
    trained = training.train(network, x, -y, test=(x, -y), rate=0.1, steps=20, precision="float64")
    values = network.apply(trained.parameters(0), x)
    np.testing.assert_allclose(-values, _output(hidden, readout, x) - first, atol=1e-10)


def _leaves(network, x):
    return [layer if len(layer) else (None, None) for layer in network.init(0, x, precision="float64").start]


def _output(hidden, readout, x):
    return np.maximum(x @ hidden * np.sqrt(2 / x.shape[1]), 0) @ readout * np.sqrt(2 / len(readout))


def test_over_a_partition_the_first_order_cancels_and_the_second_counts_the_finite_pool(rng):
    values, loss = rng.standard_normal(64) + 3.0, squared(np.array([0.5]))
    variance = values.var(ddof=1)
    for size in (4, 16, 32):
        excess, gap = [], []
        for _ in range(3000):
            shards = rng.permutation(values).reshape(-1, size).mean(axis=1)[:, None, None]
            excess.append(loss(shards).mean() - loss(shards.mean(axis=0)))
            gap.append(network_variance._gap(shards, loss))
        for found, expected in ((excess, variance * (1 / size - 1 / 64)), (gap, variance / size)):
            assert abs(np.mean(found) - expected) < 4 * np.std(found) / np.sqrt(3000)


def test_along_n_a_linear_model_is_measured_exactly_and_follows_the_theory(rng):
    """Linear regression on 20 white inputs with noise, trained for a given time: closed forms for both."""
    dim, noise, time, steps = 20, 0.5, 4.0, 200
    spectrum = spectra.white(dim, 1.0)
    sizes, pool = np.array([64, 128, 256]), 512
    rows = []
    for _ in range(20):
        x, theta = rng.standard_normal((pool, dim)), rng.standard_normal(dim) / np.sqrt(dim)
        y = x @ theta + np.sqrt(noise) * rng.standard_normal(pool)

        def loss(part, x=x, y=y, theta=theta):
            found = excesses.descended(x[part] @ x[part].T, x[part].T, y[part], time / steps, steps)
            return np.sum((found - theta) ** 2) + noise  # the outputs at the unit vectors are the coefficients

        whole = loss(np.arange(pool))
        rows.append([np.mean([loss(p) for p in np.arange(pool).reshape(-1, n)]) - whole for n in sizes])
    found = network_variance._measurement(
        Case("linear"), "n", "the whole pool", sizes, np.array(rows), {}, 1.0, 1 / (1 / sizes - 1 / pool)
    )
    exact = dynamics.gradient_flow(spectrum, time, sizes.astype(float), noise=noise) - dynamics.gradient_flow(
        spectrum, time, float(pool), noise=noise
    )
    assert np.all(np.abs(found.curve.loss - exact) < 4 * found.curve.stderr + 0.03 * exact)
    assert abs(found.exponent.value - 1) < 0.1


def test_shards_of_a_network_with_a_trained_readout_are_those_of_its_kernel():
    model = kernels.fully_connected(1, kind="nngp", activation="erf")
    data = network_variance._split(None, 64, 100, 0)
    meter = network_variance._Meter(None, 1.0)
    found, _ = network_variance._in_n(model, Case("erf"), data, np.array([8, 16, 32]), 64, 12, 15, 4, 0, meter)
    network = networks.network(model, 12, centred=True)
    rate = 0.25 * network_variance.infinite.stable_rate(network, data.x)
    y, y_test = data.targets("mse"), data.targets("mse", test=True)
    start = network.init(500, data.x, precision="float64")
    gram, cross = network.tangent_kernel(start, data.x), network.tangent_kernel(start, data.x_test, data.x)
    order = np.random.default_rng([0, 2, 0]).permutation(64)

    def loss(part):
        outputs = excesses.descended(gram[np.ix_(part, part)], cross[:, part], y[part], rate, 15)
        return np.mean((outputs - y_test) ** 2)

    expected = [np.mean([loss(p) for p in order.reshape(-1, n)]) - loss(order) for n in (8, 16, 32)]
    np.testing.assert_allclose(found.sign * found.curve.trials[0], expected, rtol=1e-3, atol=1e-5)


def test_rare_inputs_against_all_samples_of_three():
    rate, large, chance = 0.05, 100.0, 0.01
    exact = 0.0
    for one in range(8):
        squares = np.array([large if one >> bit & 1 else 1.0 for bit in range(3)])
        weight = np.prod([chance if value == large else 1 - chance for value in squares])
        exact += weight * (1 - rate * squares.mean()) ** 8 * (1 - chance + chance * large)
    assert excesses.rare_inputs([3], [4])[0, 0] == pytest.approx(exact, rel=1e-10)


def test_rare_inputs_fall_as_one_over_n_only_while_the_steps_are_few():
    n = np.array([1000, 2000, 4000])
    mean = 0.99 + 0.01 * 100
    limit = mean * (1 - 0.05 * mean) ** np.array([20, 2000])  # the mean of x^2 itself
    few = excesses.rare_inputs(n, [10])[:, 0] - limit[0]
    assert np.polyfit(np.log(n), np.log(few), 1)[0] == pytest.approx(-1, abs=0.05)
    assert excesses.rare_inputs([128], [1000])[0, 0] > 1e100
    assert limit[1] < 1e-40


SMALL = {
    "architectures": ("erf",),
    "losses": ("mse",),
    "batches": (),
    "shallow": ("shallow-erf",),
    "widths": (32, 64, 128),
    "samples": 24,
    "seeds": 12,
    "pool": 128,
    "sizes": (16, 32, 64),
    "partitions": 6,
    "steps": 15,
    "tests": 100,
}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return network_variance.run(**SMALL, checkpoint=tmp_path_factory.mktemp("networks"))


@pytest.mark.slow
def test_excesses_fall_as_one_over_the_size(small):
    found = {(one.case.architecture, one.quantity): one for one in small.measurements}
    spread = found["erf", "the mean of the ensemble"]
    assert abs(spread.exponent.value - 1) < 0.25
    assert 1.0 in spread.exponent
    assert spread.sign == 1
    lazy = found["erf", "the linearised network"]
    assert abs(lazy.exponent.value - 1) < 0.35
    assert 1.0 in lazy.exponent
    shards = found["erf", "the whole pool"]
    assert abs(shards.exponent.value - 1) < 0.35
    assert 1.0 in shards.exponent
    # The first order, left in, drowns what is measured; taken off, the scatter is smaller by far.
    with_, without = (found["shallow-erf", f"the infinite network{end}"] for end in (", first order left in", ""))
    assert without.curve.stderr[-1] < 0.5 * with_.curve.stderr[-1]
    halves = [one.exponent.value for one in small.failures]
    assert np.allclose(halves, [0.5, 0.25], atol=0.12)


@pytest.mark.slow
def test_same_seed_same_result_and_another_seed_another():
    tiny = {
        **SMALL,
        "shallow": (),
        "widths": (4, 8, 16),
        "seeds": 4,
        "partitions": 4,
        "sizes": (32, 48, 64),
        "pool": 192,
    }
    one, again, other = (network_variance.run(**tiny, seed=seed) for seed in (1, 1, 2))
    for first, second, third in zip(one.checks, again.checks, other.checks, strict=True):
        np.testing.assert_array_equal(first.curve.trials, second.curve.trials)
        assert not np.array_equal(first.curve.trials, third.curve.trials)


@pytest.mark.slow
def test_tables_record_and_figure(small):
    tables = small.tables()
    assert len(tables["exponents"]) == len(small.checks) == 10
    assert set(tables["points"].columns) >= {"architecture", "axis", "size", "excess", "stderr"}
    assert len(small.record()["verdicts"]) == 10
    assert str(small).startswith("variance-limited exponents")
    assert "shallow-erf, mse, gd" in str(small)
    assert len(network_plots.network_variance(small).axes) == 6


def test_verdicts():
    def one(exponents, expected=1.0):
        at = np.array([10, 20, 40])
        trials = np.array([at**-e for e in exponents])
        return network_variance._measurement(Case("relu"), "width", "x", at, trials, {}, expected)

    assert one([0.98, 1.0, 1.02, 1.01]).holds is True
    assert one([0.7, 0.71, 0.72, 0.7]).holds is False
    assert "below 1 by 0.29" in one([0.7, 0.71, 0.72, 0.7]).verdict
    assert one([0.5, 1.5, 1.0, 0.2]).holds is None
    lowered = network_variance._measurement(
        Case("relu"), "width", "x", np.array([10, 20, 40]), -np.array([[0.1, 0.05, 0.025]] * 4), {}, 1.0
    )
    assert lowered.sign == -1
    assert lowered.exponent.value == pytest.approx(1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"architectures": ("tanh",)}, "architectures"),
        ({"architectures": ()}, "at least one"),
        ({"losses": ("hinge",)}, "losses"),
        ({"widths": (32, 64)}, "three"),
        ({"widths": (32, 64, 64)}, "strictly increasing"),
        ({"seeds": 3}, "seeds"),
        ({"sizes": (16, 33, 64)}, "whole shards"),
        ({"sizes": (16, 64, 128)}, "sizes"),
        ({"batches": (25,)}, "batches"),
        ({"tests": 5000}, "more than"),
        ({"steps": 0}, "steps"),
        ({"data": (np.ones((3, 2)), [0, 1])}, "class"),
        ({"data": (np.ones((300, 2)), np.full(300, 2))}, "0 or 1"),
        ({"data": (np.ones((300, 2)), np.zeros(300))}, "both classes"),
        ({"data": np.ones(3)}, "two arrays"),
    ],
)
def test_bad_input(changes, words, unchecked):
    with pytest.raises(ValueError, match=words):
        network_variance.run(**{**SMALL, **changes})


def test_fewer_than_three_members(rng):
    with pytest.raises(ValueError, match="3 members"):
        ensemble_excess(rng.standard_normal((2, 1, 4, 1)), squared(np.zeros(4)))


def test_two_classes_swapped_give_the_same_cross_entropy(rng):
    outputs, classes = rng.standard_normal((5, 7, 2)), rng.integers(0, 2, 7)
    np.testing.assert_allclose(cross_entropy(classes)(outputs), cross_entropy(1 - classes)(-outputs), rtol=1e-12)
    slow = -np.log(special.softmax(outputs, axis=-1)[:, np.arange(7), classes]).mean(axis=1)
    np.testing.assert_allclose(cross_entropy(classes)(outputs), slow, rtol=1e-12)
