import math
import re

import numpy as np
import pytest
from scipy import integrate, linalg, special

from regimes import _tangents, infinite, kernels, networks
from regimes.infinite import train

MODEL = kernels.fully_connected(2, activation="erf", weight_std=1.3, bias_std=0.3)
CENTRED, PLAIN = (networks.network(MODEL, 1, centred=centred, outputs=2) for centred in (True, False))


@pytest.fixture
def data(rng):
    x, x_test = rng.standard_normal((10, 4)), rng.standard_normal((7, 4))
    weights = rng.standard_normal((4, 2))
    return {"x": x, "y": np.tanh(x @ weights), "test": (x_test, np.tanh(x_test @ weights))}


@pytest.fixture
def classes(data):
    (x_test, y_test), y = data["test"], data["y"]
    return {"x": data["x"], "y": y.argmax(axis=1), "test": (x_test, y_test.argmax(axis=1)), "loss": "cross-entropy"}


@pytest.mark.parametrize(
    "how", [{}, {"momentum": 0.8}, {"schedule": "cosine"}, {"momentum": 0.3, "schedule": "cosine"}], ids=str
)
def test_gradient_descent_is_a_loop_over_steps_in_function_space(data, how):
    found = train(CENTRED, **data, rate=0.4, steps=50, record=[0, 3, 20], **how)
    gram, cross = MODEL(data["x"]), MODEL(data["test"][0], data["x"])
    outputs, test_outputs, velocity, losses = np.zeros((10, 2)), np.zeros((7, 2)), np.zeros((10, 2)), []
    for step in range(51):
        if step in (0, 3, 20, 50):
            errors = [np.sum((outputs - data["y"]) ** 2) / 10, np.sum((test_outputs - data["test"][1]) ** 2) / 7]
            losses.append(errors)
        velocity = how.get("momentum", 0) * velocity + (data["y"] - outputs) / 10
        rate = 0.4 * (0.5 * (1 + math.cos(math.pi * step / 50)) if "schedule" in how else 1)
        outputs, test_outputs = outputs + rate * gram @ velocity, test_outputs + rate * cross @ velocity
    assert found.train_loss == pytest.approx([row[0] for row in losses], rel=1e-9)
    assert found.test_loss == pytest.approx([row[1] for row in losses], rel=1e-9)
    assert np.all(found.variance == 0)


@pytest.mark.parametrize("rate", [0.05, 0.4, 1.3, 2.2], ids=["slow", "fair", "overshooting", "diverging"])
def test_every_mode_is_followed_whatever_its_rate(data, rate):
    gram, cross = MODEL(data["x"]), MODEL(data["test"][0], data["x"])
    rate *= 10 / np.linalg.eigvalsh(gram)[-1]
    found = train(CENTRED, **data, rate=rate, steps=30, record=1)
    left = np.linalg.matrix_power(np.eye(10) - rate / 10 * gram, 30)
    outputs = cross @ np.linalg.solve(gram, (np.eye(10) - left) @ data["y"])
    assert found.outputs[-1] == pytest.approx(outputs, rel=1e-8)
    assert found.train_loss[-1] == pytest.approx(np.sum((left @ data["y"]) ** 2) / 10, rel=1e-8)


@pytest.mark.parametrize("optimiser", ["gd", "flow"])
def test_loss_of_an_ensemble_is_that_of_the_mean_and_the_variance(data, optimiser):
    found = train(PLAIN, **data, optimiser=optimiser, rate=0.4, steps=40, record=1)
    gram, cross = MODEL(data["x"]), MODEL(data["test"][0], data["x"])
    output = kernels.fully_connected(2, kind="nngp", activation="erf", weight_std=1.3, bias_std=0.3)
    both = output(np.concatenate([data["x"], data["test"][0]]))
    if optimiser == "gd":
        left = np.linalg.matrix_power(np.eye(10) - 0.04 * gram, 40)
    else:
        left = linalg.expm(-0.4 * 40 / 10 * gram)
    pull = cross @ np.linalg.solve(gram, np.eye(10) - left)  # f* = g* + pull (y - g)
    linear = np.hstack([-pull, np.eye(7)])
    variance = np.diagonal(linear @ both @ linear.T)
    error = np.sum((pull @ data["y"] - data["test"][1]) ** 2, axis=1)
    assert found.variance[-1] == pytest.approx(variance, rel=1e-7)
    assert found.test_loss[-1] == pytest.approx(np.mean(error + 2 * variance), rel=1e-8)
    trained = np.trace(left @ both[:10, :10] @ left.T)
    assert found.train_loss[-1] == pytest.approx((np.sum((left @ data["y"]) ** 2) + 2 * trained) / 10, rel=1e-8)
    assert found.variance[0] == pytest.approx(np.diagonal(both)[10:], rel=1e-10)


def test_flow_of_the_ensemble_is_that_of_neural_tangents(data):
    found = train(PLAIN, **data, optimiser="flow", rate=0.7, steps=9, record=1)
    tangents = _tangents.load()
    _, _, kernel = networks._stax(PLAIN)
    with networks.in_precision("float64"):
        predict = tangents.predict.gradient_descent_mse_ensemble(kernel, data["x"], data["y"], diag_reg=0.0)
        # neural-tangents descends the mean over samples and outputs.
        mean, covariance = predict(t=0.7 * 9 * 2, x_test=data["test"][0], get="ntk", compute_cov=True)
        assert found.outputs[-1] == pytest.approx(np.asarray(mean), rel=1e-6)
        assert found.variance[-1] == pytest.approx(np.diagonal(np.asarray(covariance)), rel=1e-5)


@pytest.mark.parametrize("network", [CENTRED, PLAIN], ids=["centred", "plain"])
def test_training_ends_at_the_interpolant(data, network):
    found = train(network, **data, steps=10**7, record=1)
    assert found.test_loss[-1] == pytest.approx(found.end, rel=1e-6)
    gram, cross = MODEL(data["x"]), MODEL(data["test"][0], data["x"])
    assert found.outputs[-1] == pytest.approx(cross @ np.linalg.solve(gram, data["y"]), rel=1e-5)
    assert found.train_loss[-1] < 1e-9


def test_repeated_samples_do_not_stop_it(data):
    twice = {"x": np.repeat(data["x"], 2, axis=0), "y": np.repeat(data["y"], 2, axis=0), "test": data["test"]}
    one, other = train(CENTRED, **data, rate=0.4, steps=100), train(CENTRED, **twice, rate=0.4, steps=100)
    assert other.test_loss == pytest.approx(one.test_loss, rel=1e-9)
    assert other.end == pytest.approx(one.end, rel=1e-6)


@pytest.mark.parametrize("how", [{}, {"momentum": 0.6, "schedule": "cosine"}], ids=["plain", "momentum and cosine"])
def test_cross_entropy_is_a_loop_over_steps_in_function_space(classes, how):
    found = train(CENTRED, **classes, rate=0.6, steps=40, record=[0, 15], **how)
    gram, cross = MODEL(classes["x"]), MODEL(classes["test"][0], classes["x"])
    outputs, test_outputs, velocity, losses = np.zeros((10, 2)), np.zeros((7, 2)), np.zeros((10, 2)), []
    for step in range(41):
        if step in (0, 15, 40):
            chances = special.softmax(test_outputs, axis=1)[np.arange(7), classes["test"][1]]
            losses.append(-np.mean(np.log(chances)))
        residual = np.eye(2)[classes["y"]] - special.softmax(outputs, axis=1)
        velocity = how.get("momentum", 0) * velocity + residual / 10
        rate = 0.6 * (0.5 * (1 + math.cos(math.pi * step / 40)) if how else step < 40)
        outputs, test_outputs = outputs + rate * gram @ velocity, test_outputs + rate * cross @ velocity
    assert found.test_loss == pytest.approx(losses, rel=1e-9)
    assert found.outputs[-1] == pytest.approx(test_outputs, rel=1e-9)
    assert found.test_error[-1] == np.mean(test_outputs.argmax(axis=1) != classes["test"][1])
    assert math.isnan(found.end)


def test_flow_of_cross_entropy_is_its_differential_equation(classes):
    found = train(CENTRED, **classes, optimiser="flow", rate=0.5, steps=60, record=1)
    gram, cross = MODEL(classes["x"]), MODEL(classes["test"][0], classes["x"])
    targets = np.eye(2)[classes["y"]]

    def slope(_, flat):
        return ((targets - special.softmax(gram @ flat.reshape(10, 2), axis=1)) / 10).ravel()

    solved = integrate.solve_ivp(slope, (0, 30), np.zeros(20), rtol=1e-10, atol=1e-12)
    assert found.outputs[-1] == pytest.approx(cross @ solved.y[:, -1].reshape(10, 2), rel=2e-4)


def test_cross_entropy_of_random_starts_has_a_standard_error(classes):
    few, many = (train(PLAIN, **classes, rate=0.5, steps=30, record=1, draws=draws) for draws in (400, 6400))
    assert few.stderr[-1] / many.stderr[-1] == pytest.approx(4, rel=0.3)
    assert abs(few.test_loss[-1] - many.test_loss[-1]) < 4 * few.stderr[-1]
    output = kernels.fully_connected(2, kind="nngp", activation="erf", weight_std=1.3, bias_std=0.3)
    assert many.variance[0] == pytest.approx(np.diagonal(output(classes["test"][0])), rel=0.1)
    assert few.test_loss[-1] == train(PLAIN, **classes, rate=0.5, steps=30, record=1, draws=400).test_loss[-1]


def test_starts_of_test_samples_are_correlated_with_the_training_samples(data):
    start = infinite._start(PLAIN, data["x"], data["test"][0][:3])
    train_outputs, test_outputs = infinite._drawn(start, 20_000, 2, seed=0)
    for i in range(3):
        products = train_outputs[:, :, 0] * test_outputs[i, :, 0]
        stderr = products.std(axis=1) / math.sqrt(20_000)
        assert np.all(np.abs(products.mean(axis=1) - start.cross[i]) < 4.5 * stderr)
    assert np.mean(test_outputs**2, axis=(1, 2)) == pytest.approx(start.test, rel=0.05)


@pytest.mark.parametrize("kind", ["ntk", "nngp"])
@pytest.mark.parametrize("parameterisation", networks.PARAMETERISATIONS)
def test_kernel_is_the_mean_empirical_one(data, kind, parameterisation):
    model = kernels.fully_connected(1, kind=kind, weight_std=1.3, bias_std=0.3)  # exact for one hidden layer
    network = networks.network(model, 4, parameterisation=parameterisation)
    found = np.array([network.tangent_kernel(network.init(seed, data["x"]), data["x"]) for seed in range(200)])
    expected = infinite.kernel(network, data["x"])
    assert np.all(np.abs(found.mean(axis=0) - expected) < 4.5 * found.std(axis=0, ddof=1) / math.sqrt(200))
    # Angles between equal inputs are rounded to 1e-8.
    assert infinite.kernel(network, data["x"], data["x"][:4]) == pytest.approx(expected[:, :4], rel=1e-7)


def test_standard_kernel_in_blocks_is_the_whole_one(monkeypatch, data):
    network = networks.network(MODEL, 16, parameterisation="standard")
    whole, cross = infinite.kernel(network, data["x"]), infinite.kernel(network, data["x"], data["test"][0])
    monkeypatch.setattr(kernels, "BLOCK", 4)
    assert infinite.kernel(network, data["x"]) == pytest.approx(whole, rel=1e-9)
    assert infinite.kernel(network, data["x"], data["test"][0]) == pytest.approx(cross, rel=1e-9)


def test_stable_rate_is_two_over_the_largest_eigenvalue(data):
    top = np.linalg.eigvalsh(MODEL(data["x"]))[-1] / 10
    assert infinite.stable_rate(PLAIN, data["x"]) == pytest.approx(2 / top)
    assert infinite.stable_rate(PLAIN, data["x"], momentum=0.5) == pytest.approx(3 / top)
    assert infinite.stable_rate(PLAIN, data["x"], loss="cross-entropy") == pytest.approx(4 / top)
    norm = np.diagonal(MODEL(data["x"])).max()
    batches = infinite.stable_rate(PLAIN, data["x"], optimiser="sgd", batch=2)
    assert batches == pytest.approx(2 / (top + (norm - top) / 2))
    assert train(PLAIN, **data, steps=1).rate == pytest.approx(1 / top)


def test_limit_prints_as_a_sentence_and_gives_a_curve(data):
    found = train(CENTRED, **data, rate=0.4, steps=20, record=3)
    assert str(found).startswith("infinitely wide fully connected erf network with 2 hidden layers of 1 unit and")
    assert "at infinite time" in str(found)
    curve = found.curve()
    assert curve.at == pytest.approx(0.4 * found.steps[1:])
    assert (curve.along, curve.fixed["k"]) == ("time", math.inf)


X, Y = np.ones((6, 3)), np.ones((6, 2))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"optimiser": "sgd"}, "`optimiser` must be one of gd, flow at infinite width; got 'sgd'"),
        ({"optimiser": "adam"}, "adam does not follow the kernel"),
        ({"loss": "hinge"}, "`loss` must be one of mse, cross-entropy; got 'hinge'"),
        ({"rate": -1.0}, "`rate` must be finite and more than 0, got -1.0"),
        ({"steps": 0}, "`steps` must be between 1 and"),
        ({"x": X * np.nan}, "`x` holds 18 NaN"),
        ({"y": Y[:3]}, "`y` must have one row per sample"),
        ({"test": (X[:, :2], Y)}, "`test` must have samples of shape (3,) like `x`"),
        ({"optimiser": "flow", "momentum": 0.5}, "`momentum` is for gd and sgd; flow has none"),
        ({"loss": "cross-entropy", "y": Y[:, 0], "test": (X, Y[:, 0]), "draws": 1}, "`draws` must be at least 2"),
    ],
)
def test_bad_arguments_are_named(how, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        train(PLAIN, **{"x": X, "y": Y, "test": (X, Y)} | how)
