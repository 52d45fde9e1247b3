import numpy as np
import pytest
from scipy import linalg

from regimes import infinite, kernels, network_plots, networks, ridge, tangent_kernels, training

SMALL = {
    "tasks": ("digits",),
    "widths": (12, 192),
    "sizes": (16, 32, 64),
    "fresh": 96,
    "tests": 150,
    "seeds": 3,
    "steps": 150,
}


def test_flow_in_a_kernel_is_the_matrix_exponential(rng):
    phi, test, y = rng.standard_normal((8, 12)), rng.standard_normal((5, 12)), rng.standard_normal(8)
    moment = phi.T @ phi / 8
    # theta' = -moment theta + phi^T y / 8, as one linear system
    system = np.block([[-moment, (phi.T @ y / 8)[:, None]], [np.zeros((1, 13))]])
    theta = linalg.expm(3.0 * system)[:12, 12]
    found = tangent_kernels.flow(phi @ phi.T, test @ phi.T, y, 3.0)
    np.testing.assert_allclose(found, test @ theta, rtol=1e-9)


def test_flow_without_end_is_kernel_regression(rng):
    x = rng.standard_normal((30, 6))
    gram = kernels.fully_connected(1)(x)
    y = rng.standard_normal(30)
    outputs = tangent_kernels.flow(gram[:20, :20], gram[20:, :20], y[:20], np.inf)
    expected = ridge.loss_in_n(gram[:20, :20], gram[:20, 20:], y[:20], y[20:], at=[20])[0]
    assert np.mean((outputs - y[20:]) ** 2) == pytest.approx(expected, rel=1e-6)


def test_cumulative_power_and_alignment(rng):
    vectors = linalg.qr(rng.standard_normal((6, 6)))[0]
    values = np.array([6.0, 3.0, 2.0, 1.0, 0.5, 0.25])
    gram = vectors @ np.diag(values) @ vectors.T
    y = vectors @ np.array([1.0, 0.0, 2.0, 0.0, 0.0, 1.0])
    found, power = tangent_kernels.cumulative_power(gram, y)
    np.testing.assert_allclose(found, values / 6, rtol=1e-10)
    np.testing.assert_allclose(power, np.array([1, 1, 5, 5, 5, 6]) / 6, rtol=1e-10)
    assert tangent_kernels.alignment(np.outer(y, y), y) == pytest.approx(1)
    assert tangent_kernels.alignment(gram, y) == pytest.approx((6 + 8 + 0.25) / (np.linalg.norm(values) * 6))


def test_the_initial_kernel_predicts_the_linearised_network():
    split = tangent_kernels._split("digits", 32, 60, 60, 4, 0)
    network = networks.network(kernels.fully_connected(2), 16, centred=True)
    rate = 0.05 * infinite.stable_rate(network, split.x)  # so small that descent is flow
    trained = training.train(
        networks.linearised(network),
        split.x,
        split.y,
        test=(split.x_test, split.y_test),
        rate=rate,
        steps=100,
        precision="float64",
    )
    gram, cross = tangent_kernels._kernels(network, network.init(0, split.x, precision="float64"), split, 32)
    predicted = tangent_kernels._loss(gram, cross, split.y, split.y_test, 100 * rate)
    assert predicted == pytest.approx(float(trained.losses()[0]), rel=0.01)


def test_the_ratio_and_its_interval(rng):
    measured = np.exp(0.1 * rng.standard_normal((6, 4)))
    found = tangent_kernels._ratio(1.3 * measured, measured)
    assert (found.value, found.low, found.high) == pytest.approx((1.3, 1.3, 1.3))
    scattered = tangent_kernels._ratio(np.exp(0.1 * rng.standard_normal((6, 4))), measured)
    other = tangent_kernels._ratio(np.ones((6, 4)), measured[::-1])
    assert other.value == pytest.approx(tangent_kernels._ratio(np.ones((6, 4)), measured).value, rel=1e-12)
    assert scattered.low < 1 < scattered.high
    assert scattered.high - scattered.low > 0.02


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return tangent_kernels.run(**SMALL, checkpoint=tmp_path_factory.mktemp("networks"))


def test_wide_networks_follow_their_initial_kernel_and_narrow_ones_move_it(small):
    narrow, wide = small.widths
    initial = {one.source: one.ratio for one in wide.predictions}["initial kernel"]
    assert abs(initial.value - 1) < 0.06
    far = {one.source: one.ratio for one in narrow.predictions}["initial kernel"]
    assert abs(far.value - 1) > abs(initial.value - 1)
    assert narrow.movement.value > 3 * wide.movement.value
    start, end = narrow.kernels
    assert end.leading.value > start.leading.value
    assert end.alignment.value > start.alignment.value
    final = {one.source: one.ratio for one in narrow.predictions}["final kernel"]
    assert abs(final.value - 1) < 0.15


def test_tables_record_and_figure(small):
    tables = small.tables()
    assert len(tables["verdicts"]) == 6
    assert len(tables["losses"]) == 18
    assert len(tables["kernels"]) == 4
    assert tables["spectra"].groupby(["width", "when"]).power.max().round(9).eq(1).all()
    assert len(small.record()["verdicts"]) == 6
    assert "initial kernel" in str(small)
    assert len(network_plots.tangent_kernels(small).axes) == 2


def test_same_seed_same_result():
    tiny = {**SMALL, "widths": (16,), "sizes": (8, 12, 16), "fresh": 60, "steps": 20, "tests": 40}
    one, again = tangent_kernels.run(**tiny), tangent_kernels.run(**tiny)
    np.testing.assert_array_equal(one.widths[0].measured.trials, again.widths[0].measured.trials)
    for first, second in zip(one.widths[0].predictions, again.widths[0].predictions, strict=True):
        np.testing.assert_allclose(first.curve.trials, second.curve.trials, rtol=1e-9)


def test_verdicts():
    def one(value, low, high):
        estimate = tangent_kernels.Estimate(value, low, high)
        return tangent_kernels.Prediction("initial kernel", None, estimate, estimate)

    assert one(1.02, 0.95, 1.08).holds is True
    assert one(1.02, 0.95, 1.08).verdict == "holds"
    assert one(1.3, 1.2, 1.4).holds is False
    assert one(1.3, 1.2, 1.4).verdict == "too high"
    assert one(0.7, 0.6, 0.8).verdict == "too low"
    assert one(1.1, 1.0, 1.2).holds is None
    assert one(1.0, 0.5, np.nan).holds is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tasks": ("letters",)}, "tasks"),
        ({"tasks": ()}, "at least one"),
        ({"widths": ()}, "widths"),
        ({"widths": (0,)}, "widths"),
        ({"sizes": (16, 32)}, "three"),
        ({"fresh": 20}, "fresh"),
        ({"fresh": 2000}, "fewer"),
        ({"seeds": 2}, "seeds"),
        ({"steps": 0}, "steps"),
        ({"activation": "tanh"}, "activation"),
    ],
)
def test_bad_input(changes, words, unchecked):
    with pytest.raises(ValueError, match=words):
        tangent_kernels.run(**{**SMALL, **changes})
