import dataclasses
import math
import re

import jax
import numpy as np
import pytest
from scipy import linalg, special

from regimes import descent, infinite, kernels, networks, runs, training
from regimes.training import Status, train

MODEL = kernels.fully_connected(1, activation="erf", weight_std=1.3)
DOUBLE = {"precision": "float64"}


@pytest.fixture
def data(rng):
    """Twelve training samples, eight test samples, one smooth target."""
    x, x_test = rng.standard_normal((12, 4)), rng.standard_normal((8, 4))
    weights = rng.standard_normal(4)
    return {"x": x, "y": np.tanh(x @ weights), "test": (x_test, np.tanh(x_test @ weights))}


@pytest.fixture
def classes(data):
    return {"x": data["x"], "y": np.int64(data["y"] > 0), "test": (data["test"][0], np.int64(data["test"][1] > 0))}


def softmax(outputs):
    return special.softmax(outputs, axis=1)


class Loop:
    """One hidden layer of erf units trained by a loop over steps, in the ntk or the standard parameterisation."""

    def __init__(self, network, seed, x):
        (first, _), _, (second, _) = network.init(seed, x, precision="float64")
        self.now = [np.array(first), np.array(second)]
        std = network.model.readout.weight_std
        ntk = network.parameterisation == "ntk"
        self.scales = [std / math.sqrt(len(leaf)) if ntk else 1.0 for leaf in self.now]

    def outputs(self, x):
        return special.erf(x @ self.now[0] * self.scales[0]) @ self.now[1] * self.scales[1]

    def gradient(self, x, residual):
        pre = x @ self.now[0] * self.scales[0]
        back = residual @ self.now[1].T * self.scales[1] * 2 / math.sqrt(math.pi) * np.exp(-(pre**2))
        return [x.T @ back * self.scales[0] / len(x), special.erf(pre).T @ residual * self.scales[1] / len(x)]


@pytest.mark.parametrize("parameterisation", networks.PARAMETERISATIONS)
@pytest.mark.parametrize("how", [{}, {"momentum": 0.8, "schedule": "cosine"}], ids=["plain", "momentum and cosine"])
def test_gradient_descent_is_a_loop_over_steps(data, parameterisation, how):
    network = networks.network(MODEL, 6, parameterisation=parameterisation)
    rate = 0.3 if parameterisation == "ntk" else 0.08
    found = train(network, **data, rate=rate, steps=40, record=[1, 7, 30], seeds=[3], **how, **DOUBLE)
    loop, velocity, y, y_test = Loop(network, 3, data["x"]), 0, data["y"][:, None], data["test"][1][:, None]
    expected, elapsed = [], 0.0
    for step in range(41):
        if step in (0, 1, 7, 30, 40):
            parts = [(data["x"], y), (data["test"][0], y_test)]
            expected.append([np.mean((loop.outputs(x) - target) ** 2) for x, target in parts] + [elapsed])
        gradient = loop.gradient(data["x"], loop.outputs(data["x"]) - y)
        velocity = [how.get("momentum", 0) * (0 if step == 0 else velocity[i]) + gradient[i] for i in range(2)]
        now = rate * (0.5 * (1 + math.cos(math.pi * step / 40)) if "schedule" in how else 1)
        if step < 40:
            loop.now = [leaf - now * by for leaf, by in zip(loop.now, velocity, strict=True)]
        elapsed += now / (1 - how.get("momentum", 0))
    assert found.steps.tolist() == [0, 1, 7, 30, 40]
    assert found.train_loss[0] == pytest.approx([row[0] for row in expected], rel=1e-10)
    assert found.test_loss[0] == pytest.approx([row[1] for row in expected], rel=1e-10)
    assert found.time == pytest.approx([row[2] for row in expected], rel=1e-12)
    (first, _), _, (second, _) = found.parameters(3)
    assert first == pytest.approx(loop.now[0], rel=1e-9)
    assert second == pytest.approx(loop.now[1], rel=1e-9)


@pytest.mark.parametrize("optimiser", ["gd", "adam"])
def test_cross_entropy_is_a_loop_over_steps(classes, optimiser):
    network = networks.network(MODEL, 6, outputs=3)
    found = train(
        network, **classes, loss="cross-entropy", optimiser=optimiser, rate=0.1, steps=20, record=1, seeds=[1], **DOUBLE
    )
    loop, moments = Loop(network, 1, classes["x"]), [[0, 0], [0, 0]]
    for step in range(1, 21):
        gradient = loop.gradient(classes["x"], softmax(loop.outputs(classes["x"])) - np.eye(3)[classes["y"]])
        for i, leaf in enumerate(gradient):
            if optimiser == "adam":  # Kingma and Ba 2015
                moments[0][i] = 0.9 * moments[0][i] + 0.1 * leaf
                moments[1][i] = 0.999 * moments[1][i] + 0.001 * leaf**2
                corrected = moments[0][i] / (1 - 0.9**step), moments[1][i] / (1 - 0.999**step)
                leaf = corrected[0] / (np.sqrt(corrected[1]) + 1e-8)
            loop.now[i] = loop.now[i] - 0.1 * leaf
    outputs = loop.outputs(classes["test"][0])
    right = softmax(outputs)[np.arange(8), classes["test"][1]]
    assert found.test_loss[0, -1] == pytest.approx(-np.mean(np.log(right)), rel=1e-9)
    assert found.test_error[0, -1] == pytest.approx(np.mean(outputs.argmax(axis=1) != classes["test"][1]))
    assert found.time[-1] == (20 if optimiser == "adam" else pytest.approx(2.0))


def test_an_epoch_of_batches_uses_every_sample_once(data):
    network = networks.network(MODEL, 6)
    start = network.init(0, data["x"], precision="float64")

    def moved(optimiser, **how):
        end = train(network, **data, optimiser=optimiser, rate=1e-6, **how, **DOUBLE).parameters(0)
        return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(jax.tree.map(np.subtract, end, start))])

    whole = moved("gd", steps=3)
    assert moved("sgd", batch=4, steps=3) == pytest.approx(whole, rel=1e-4)
    assert np.abs(moved("sgd", batch=4, steps=2) * 1.5 / whole - 1).max() > 0.01
    # Batches of 5 leave 2 of the 12 samples to the next epoch: two epochs of two steps.
    assert np.abs(moved("sgd", batch=5, steps=4) / 4 * 3 / whole - 1).max() > 0.01


def test_every_epoch_has_an_order_of_its_own(data):
    network = networks.network(MODEL, 6)

    def first_weights(steps):
        found = train(network, **data, optimiser="sgd", batch=1, rate=1e-6, steps=steps, **DOUBLE)
        return np.ravel(found.parameters(0)[0][0])

    # The first steps of three epochs, along the gradients of their first samples.
    steps = [first_weights(12 * epoch + 1) - first_weights(12 * epoch) for epoch in (1, 2, 3)]
    assert not all(np.allclose(step, steps[0], rtol=1e-3, atol=0) for step in steps[1:])


@pytest.mark.parametrize("optimiser", ["gd", "flow"])
def test_linearised_network_follows_the_closed_form_of_its_kernel(data, optimiser):
    network = networks.linearised(networks.network(MODEL, 6, centred=True))
    rate = 0.5 * training.stable_rate(network, data["x"])
    found = train(network, **data, optimiser=optimiser, rate=rate, steps=60, record=[5, 20], **DOUBLE)
    start = network.init(0, data["x"], precision="float64")
    gram = network.tangent_kernel(start, data["x"])
    cross = network.tangent_kernel(start, data["test"][0], data["x"])
    for step, loss in zip(found.steps, found.test_loss[0], strict=True):
        if optimiser == "gd":
            left = np.linalg.matrix_power(np.eye(12) - rate / 12 * gram, int(step))
        else:
            left = linalg.expm(-rate * step / 12 * gram)
        outputs = cross @ np.linalg.solve(gram, (np.eye(12) - left) @ data["y"])
        # Steps of 1/eigenvalue: the error of Runge and Kutta's method is 1/120 of the fastest mode.
        assert loss == pytest.approx(np.mean((outputs - data["test"][1]) ** 2), rel=1e-7 if optimiser == "gd" else 0.02)


def test_flow_is_exact_to_fourth_order(data):
    network = networks.linearised(networks.network(MODEL, 6, centred=True))
    start = network.init(0, data["x"], precision="float64")
    gram, errors = network.tangent_kernel(start, data["x"]), []
    left = linalg.expm(-4 / 12 * gram) @ data["y"]
    for steps in (8, 16):
        found = train(network, **data, optimiser="flow", rate=4 / steps, steps=steps, record=1, **DOUBLE)
        errors.append(abs(found.train_loss[0, -1] - np.mean(left**2)))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(4, abs=0.5)


def test_standard_parameterisation_is_the_other_one_at_a_scaled_rate(rng, data):
    # With as many inputs as units all layers have one fan-in, and one rate does for all of them.
    x, x_test = rng.standard_normal((12, 8)), rng.standard_normal((8, 8))
    task = {"x": x, "y": data["y"], "test": (x_test, data["test"][1])}
    model = kernels.fully_connected(2, weight_std=1.3)
    ntk, standard = (networks.network(model, 8, parameterisation=style) for style in networks.PARAMETERISATIONS)
    one = train(ntk, **task, rate=0.2, steps=30, **DOUBLE)
    other = train(standard, **task, rate=0.2 * 1.3**2 / 8, steps=30, **DOUBLE)
    assert other.test_loss == pytest.approx(one.test_loss, rel=1e-9)


@pytest.mark.parametrize("how", [{"optimiser": "sgd", "batch": 3}, {"early_stopping": True}], ids=["sgd", "gd"])
def test_seeds_side_by_side_are_the_seeds_one_by_one(data, how):
    network = networks.network(MODEL, 6, centred=True)
    options = dict(**data, rate=0.2, steps=50, record=8, **how, **DOUBLE)
    one = train(network, seeds=[0, 5, 2, 7], **options)
    other = train(network, seeds=[0, 5, 2, 7], together=3, **options)
    assert other.test_loss == pytest.approx(one.test_loss, rel=1e-9)
    assert other.kept.tolist() == one.kept.tolist()
    assert len(set(one.test_loss[:, -1])) == 4
    alone = train(network, seeds=[2], **options)
    assert np.array_equal(alone.test_loss[0], one.test_loss[2])
    assert np.array_equal(alone.parameters(2).now[0][0], one.parameters(2).now[0][0])


# Stability


@pytest.mark.parametrize(
    "how", [{}, {"momentum": 0.7}, {"optimiser": "flow"}], ids=["gd", "momentum", "Runge and Kutta"]
)
def test_linear_model_converges_just_below_the_stable_rate_and_diverges_just_above(data, how):
    network = networks.linearised(networks.network(MODEL, 6, centred=True))
    stable = training.stable_rate(network, data["x"], **how)
    below = train(network, **data, rate=0.98 * stable, steps=3000, **how, **DOUBLE)
    above = train(network, **data, rate=1.02 * stable, steps=3000, **how, **DOUBLE)
    assert below.statuses[0] in (Status.CONVERGED, Status.NOT_CONVERGED)
    assert below.train_loss[0, -1] < below.train_loss[0, 0]
    assert above.statuses == (Status.DIVERGED,)
    assert above.stable[0] == pytest.approx(stable, rel=1e-9)
    assert f"the largest stable one at the start is {stable:.4g}." in above.messages[0]
    with pytest.raises(ValueError, match="all 1 seeds diverged: seed 0: the training loss has grown"):
        above.curve()


@pytest.mark.parametrize("outputs", [1, 2])
def test_stable_rate_is_two_over_the_largest_eigenvalue(data, outputs):
    network = networks.network(MODEL, 6, outputs=outputs)
    start, apply = network.init(0, data["x"], precision="float64"), networks.function(network)
    with networks.in_precision("float64"):
        jacobian = jax.jacobian(lambda theta: apply(theta, None, data["x"]).ravel())(start)
        rows = np.concatenate([leaf.reshape(12 * outputs, -1) for leaf in jax.tree.leaves(jacobian)], axis=1)
    top = np.linalg.eigvalsh(rows @ rows.T)[-1] / 12
    norm = np.max(np.sum(rows**2, axis=1))
    assert training.stable_rate(network, data["x"]) == pytest.approx(2 / top, rel=1e-7)
    assert training.stable_rate(network, data["x"], loss="cross-entropy") == pytest.approx(4 / top, rel=1e-7)
    batches = training.stable_rate(network, data["x"], optimiser="sgd", batch=3)
    assert batches == pytest.approx(2 / (top + (norm - top) / 3), rel=1e-7)
    assert training.stable_rate(network, data["x"][:2]) > 0  # too small for Lanczos


def test_diverged_seed_is_a_result_and_left_out_of_the_curve(data):
    network = networks.network(MODEL, 6)
    found = train(network, **data, rate=0.3, steps=20, seeds=3)
    worse = np.array(found.train_loss)
    worse[1] = [*worse[1][:3], *[np.nan] * (worse.shape[1] - 3)]
    statuses = tuple(training._status(found.steps, row, len(row) - 1, False) for row in worse)
    assert statuses[1] is Status.DIVERGED
    assert statuses[0] is not Status.DIVERGED
    curve = dataclasses.replace(found, train_loss=worse, statuses=statuses).curve()
    assert curve.trials.shape == (2, len(found.steps) - 1)
    assert "1 of 3 seeds left out, which diverged" in curve.source
    assert curve.loss == pytest.approx(found.test_loss[[0, 2], 1:].mean(axis=0))
    assert curve.along == "time"


# Statuses, early stopping


def test_statuses_of_losses():
    at = np.array([0, 1, 10, 50, 100])
    judge = training._status
    assert judge(at, np.array([1, 0.9, 0.5, 0.5, 0.4999]), 4, False) is Status.CONVERGED
    assert judge(at, np.array([1, 0.9, 0.5, 1e-6, 1e-9]), 4, False) is Status.CONVERGED
    assert judge(at, np.array([1, 0.9, 0.5, 0.5, 0.4]), 4, False) is Status.NOT_CONVERGED
    assert judge(at, np.array([1, 0.9, 0.5, 0.5, 0.4]), 2, True) is Status.STOPPED_EARLY
    assert judge(at, np.array([1, 0.9, 0.5, 0.5, 1.1]), 4, False) is Status.DIVERGED
    assert judge(at, np.array([1, 0.9, np.inf, np.nan, np.nan]), 4, False) is Status.DIVERGED


def test_early_stopping_keeps_the_parameters_of_the_least_test_loss(rng):
    x, x_test = rng.standard_normal((12, 4)), rng.standard_normal((40, 4))
    network = networks.network(MODEL, 32)
    noisy = {"x": x, "y": x[:, 0] + 2 * rng.standard_normal(12), "test": (x_test, x_test[:, 0])}
    found = train(network, **noisy, steps=2000, seeds=2, early_stopping=True, **DOUBLE)
    assert found.statuses == (Status.STOPPED_EARLY,) * 2
    assert found.kept.tolist() == found.test_loss.argmin(axis=1).tolist()
    assert found.losses().tolist() == found.test_loss.min(axis=1).tolist()
    for seed in (0, 1):
        outputs = network.apply(found.parameters(seed), x_test)[:, 0]
        assert np.mean((outputs - x_test[:, 0]) ** 2) == pytest.approx(found.losses()[seed], rel=1e-10)
    assert "those of the least test loss, before the last step" in found.messages[0]


# Infinite width


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["relu", "erf"])
def test_trained_predictions_tend_to_those_of_the_kernel_at_rate_1_over_width(rng, activation):
    x, x_test = rng.standard_normal((16, 4)), rng.standard_normal((32, 4))
    task = {"x": x, "y": np.tanh(x[:, 0]), "test": (x_test, np.tanh(x_test[:, 0]))}
    model, widths = kernels.fully_connected(2, activation=activation), 2 ** np.arange(5, 10)
    limit_of = networks.network(model, 1, centred=True)
    how = {"rate": 0.5 * infinite.stable_rate(limit_of, x), "steps": 60, "record": 1}
    limit = infinite.train(limit_of, **task, **how)
    squared = []
    for width in widths:
        network = networks.network(model, int(width), centred=True)
        found = train(network, **task, **how, seeds=12)
        outputs = np.array([network.apply(found.parameters(seed), x_test) for seed in found.seeds])
        squared.append(np.mean((outputs - limit.outputs[-1]) ** 2))
    # The fluctuations of the outputs and the squared shift of their mean: 1/width and 1/width^2.
    slope = np.polyfit(np.log(widths), np.log(squared), 1)[0]
    assert -1.25 < slope < -0.8
    assert squared[-1] < 0.02 * np.mean(limit.outputs[-1] ** 2)


def test_wide_network_trained_on_cross_entropy_is_near_its_limit(classes):
    network = networks.network(MODEL, 1024, outputs=2, centred=True)
    how = {"loss": "cross-entropy", "rate": 0.5, "steps": 60, "record": [10]}
    limit = infinite.train(network, **classes, **how)
    found = train(network, **classes, **how, seeds=4)
    assert found.test_loss.mean(axis=0) == pytest.approx(limit.test_loss, rel=0.03)
    assert limit.test_loss[-1] < 0.7 * limit.test_loss[0]


# Checkpoints


class StopError(Exception):
    pass


@pytest.mark.parametrize("together", [1, 2])
def test_interrupted_training_goes_on_to_the_same_bits(tmp_path, monkeypatch, data, together):
    monkeypatch.setattr(runs, "_EVERY", 0.0)
    network = networks.network(MODEL, 6, centred=True)
    how = data | {"optimiser": "sgd", "batch": 5, "momentum": 0.5, "rate": 0.05, "steps": 200, "seeds": 4}
    how |= {"early_stopping": True, "together": together}
    whole = train(network, **how)

    def stop_at(steps):
        def progress(now):
            if now.done >= steps:
                raise StopError

        return progress

    told = []
    for steps in (130, 333, 590):
        with pytest.raises(StopError):
            train(network, **how, checkpoint=tmp_path, progress=stop_at(steps))
    found = train(network, **how, checkpoint=tmp_path, progress=told.append)
    for name in ("train_loss", "test_loss", "kept"):
        assert np.array_equal(getattr(found, name), getattr(whole, name)), name
    for one, other in zip(jax.tree.leaves(found.stacked), jax.tree.leaves(whole.stacked), strict=True):
        assert np.array_equal(one, other)
    assert told[0].done >= 500  # it went on and did not start again
    assert told[-1].done == told[-1].total == 800
    assert sorted(path.name for path in tmp_path.iterdir()) == [*(f"seed-{i}.npz" for i in range(4)), "settings.json"]

    monkeypatch.setattr(training, "_train_group", None)  # nothing is left to train
    again = train(network, **how, checkpoint=tmp_path)
    assert np.array_equal(again.test_loss, whole.test_loss)
    with pytest.raises(ValueError, match=r"is of another training: it differs in rate, record; take another"):
        train(network, **how | {"rate": 0.06, "steps": 100}, checkpoint=tmp_path)
    (tmp_path / "seed-0.npz").write_bytes(b"PK\3\4 and no more")
    with pytest.raises(ValueError, match=r"`checkpoint` holds seed-0.npz, which cannot be read"):
        train(network, **how, checkpoint=tmp_path)
    (tmp_path / "settings.json").write_text("{}")
    with pytest.raises(ValueError, match=r"`checkpoint` holds settings.json, which cannot be read"):
        train(network, **how, checkpoint=tmp_path)


def test_more_seeds_are_added_to_a_folder(tmp_path, data):
    network = networks.network(MODEL, 6)
    how = dict(**data, rate=0.2, steps=20, record=3)
    train(network, **how, seeds=[1], checkpoint=tmp_path)
    told = []
    more = train(network, **how, seeds=[0, 1, 2], checkpoint=tmp_path, progress=told.append)
    assert np.array_equal(more.test_loss, train(network, **how, seeds=3).test_loss)
    assert told[0].done == 20
    assert told[0].total == 60


def test_widths_are_trained_in_turn(tmp_path, data):
    several = [networks.network(MODEL, width) for width in (4, 8)]
    found = training.train_all(
        several, **data, rate=lambda network: 1.6 / network.width, steps=10, seeds=2, checkpoint=tmp_path
    )
    assert [one.network.width for one in found] == [4, 8]
    assert [one.rate for one in found] == [0.4, 0.2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000-width-4", "001-width-8"]


# Memory


RELU, GELU = kernels.fully_connected(2), kernels.fully_connected(3, activation="gelu")
IMAGES = kernels.convolutional((1, 1))


@pytest.mark.parametrize(
    ("model", "width", "shape", "together", "how", "order"),
    [
        (RELU, 64, (500, 20), 1, {}, None),
        (RELU, 512, (64, 20), 1, {}, None),
        (RELU, 64, (1000, 20), 1, {"optimiser": "sgd", "batch": 50}, None),
        (RELU, 256, (200, 20), 3, {"optimiser": "adam"}, None),
        (RELU, 256, (200, 20), 1, {"momentum": 0.9}, 1),
        (RELU, 64, (500, 20), 1, {}, 2),
        (RELU, 128, (300, 20), 1, {"optimiser": "flow"}, None),
        (GELU, 64, (500, 20), 2, {}, None),
        (IMAGES, 16, (50, 16, 16, 3), 1, {}, None),
    ],
)
def test_estimate_of_memory_is_what_the_compiled_program_takes(rng, model, width, shape, together, how, order):
    network, rows, batch = networks.network(model, width), shape[0], how.get("batch")
    network = network if order is None else networks.taylor(network, order)
    x, y, single = rng.standard_normal(shape).astype(np.float32), np.zeros((rows, 1), np.float32), np.float32
    recipe = descent.recipe(
        network, rows, "mse", how.get("optimiser", "gd"), batch, "constant", how.get("momentum", 0.0)
    )
    program = descent.program(recipe)
    estimate = network.memory(x, rows=batch, states=training._states(recipe), seeds=together)
    start = jax.tree.map(lambda leaf: np.repeat(leaf[None], together, axis=0), network.init(0, x))
    start = start.now if order else start
    keys, offset = descent.keys(range(together)), np.zeros((together, rows, 1), single)
    state = program.start(keys, start, rows, 0)
    lowered = program.advance.lower(
        state, start if order else None, offset, keys, None, x, y, single(0.1), np.int32(5), np.int32(0), np.int32(5)
    )
    measured = lowered.compile().memory_analysis()
    taken = measured.temp_size_in_bytes + measured.argument_size_in_bytes
    taken += measured.output_size_in_bytes - measured.alias_size_in_bytes
    assert 0.5 < estimate / taken < 2


# A start of one's own, masks, a part of a training


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))


@pytest.mark.parametrize("how", [{"optimiser": "sgd", "batch": 5}, {"optimiser": "gd"}], ids=["sgd", "gd"])
def test_a_training_in_two_parts_is_the_whole_to_the_bit(data, how):
    """Cut in the middle of an epoch, of two batches here, under a rate that falls all the way."""
    network, seeds = networks.network(MODEL, 6), [3, 4]
    options = {**data, **how, "rate": 0.1, "steps": 20, "schedule": "cosine", "record": [7, 15], "seeds": seeds}
    whole = train(network, **options)
    first = train(network, **options, span=(0, 7))
    second = train(network, **options, span=(7, 20), start=[first.parameters(seed) for seed in seeds])
    assert first.steps.tolist() == [0, 7]
    assert second.steps.tolist() == [7, 15, 20]
    np.testing.assert_array_equal(second.test_loss, whole.test_loss[:, 1:])
    assert second.time == pytest.approx(whole.time[1:], rel=1e-12)
    assert all(same(second.parameters(seed), whole.parameters(seed)) for seed in seeds)


def test_masked_weights_are_zero_and_the_others_descend_as_in_a_loop(data):
    network = networks.network(MODEL, 6)
    masks = [np.tile([1.0, 0.0, 1.0], 8).reshape(4, 6), np.array([1.0, 1, 0, 1, 1, 0])[:, None]]
    tree = [(masks[0], None), (), (masks[1], None)]
    found = train(network, **data, rate=0.3, steps=12, seeds=[3], masks=[tree], **DOUBLE)
    loop, y = Loop(network, 3, data["x"]), data["y"][:, None]
    loop.now = [leaf * mask for leaf, mask in zip(loop.now, masks, strict=True)]
    for _ in range(12):
        gradient = loop.gradient(data["x"], loop.outputs(data["x"]) - y)
        loop.now = [leaf - 0.3 * by * mask for leaf, by, mask in zip(loop.now, gradient, masks, strict=True)]
    for leaf, expected, mask in zip(jax.tree.leaves(found.parameters(3)), loop.now, masks, strict=True):
        assert leaf == pytest.approx(expected, rel=1e-9)
        assert np.all(leaf[mask == 0] == 0)
    assert found.test_loss[0, -1] == pytest.approx(
        np.mean((loop.outputs(data["test"][0])[:, 0] - data["test"][1]) ** 2)
    )


@pytest.mark.parametrize("optimiser", ["adam", "flow", "sgd"])
def test_every_optimiser_leaves_masked_weights_at_zero(data, optimiser):
    network = networks.network(MODEL, 6)
    start = [network.init(seed, data["x"]) for seed in (0, 1)]
    masks = [jax.tree.map(lambda leaf: (np.abs(leaf) > 0.5).astype(float), tree) for tree in start]
    how = {"batch": 4} if optimiser != "flow" else {}
    found = train(
        network, **data, optimiser=optimiser, **how, rate=0.1, steps=9, seeds=2, masks=masks, start=start, together=2
    )
    for seed in (0, 1):
        for leaf, mask in zip(jax.tree.leaves(found.parameters(seed)), jax.tree.leaves(masks[seed]), strict=True):
            assert np.all((leaf != 0) == (mask == 1))


def test_a_folder_knows_its_start_and_masks(tmp_path, data):
    network = networks.network(MODEL, 6)
    tree = network.init(5, data["x"])
    ones = jax.tree.map(np.ones_like, tree)
    options = {**data, "rate": 0.1, "steps": 4, "checkpoint": tmp_path}
    once = train(network, **options, start=[tree], masks=[ones], span=[1, 3])
    again = train(network, **options, start=[tree], masks=[ones], span=[1, 3])
    assert same(once.parameters(0), again.parameters(0))
    halved = jax.tree.map(lambda leaf: leaf / 2, tree)
    for other, named in (
        ({"start": [halved], "masks": [ones], "span": [1, 3]}, "given start"),
        ({"start": [tree], "masks": [jax.tree.map(np.zeros_like, tree)], "span": [1, 3]}, "given masks"),
        ({"start": [tree], "masks": [ones], "span": [2, 3]}, "record"),
    ):
        with pytest.raises(ValueError, match=f"another training: it differs in {named}"):
            train(network, **options, **other)
    with pytest.raises(ValueError, match="another training: it differs in whole"):
        train(network, **{**options, "steps": 5, "record": [2]}, start=[tree], masks=[ones], span=[1, 3])


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"span": (0, 30)}, "`span` must lie between 0 and 20"),
        ({"span": (5, 2)}, "`span` must be strictly increasing"),
        ({"span": (0, 2, 4)}, "`span` must be the first and the last step, got 3"),
        ({"span": (3,)}, "`span` must be the first and the last step, got 1"),
        ({"start": "here"}, "`start` must be a list of parameters, one for each of 1 seeds, got str"),
        ({"start": []}, "`start` must be a list of parameters, one for each of 1 seeds, got 0"),
        ({"start": [[np.ones((4, 5)), np.ones((5, 1))]]}, r"`start` must have arrays of shapes \(4, 6\), \(6, 1\)"),
        ({"start": [[np.full((4, 6), np.nan), np.ones((6, 1))]]}, "`start` holds 24 NaN"),
        ({"masks": [[np.full((4, 6), 0.5), np.ones((6, 1))]]}, "`masks` must hold 1 for a weight"),
    ],
)
def test_bad_starts_masks_and_spans_are_named(data, bad, says):
    with pytest.raises(ValueError, match=says):
        train(networks.network(MODEL, 6), **data, rate=0.1, steps=20, **bad)


def test_a_centred_network_has_no_start_of_ones_own(data):
    network = networks.network(MODEL, 6, centred=True)
    with pytest.raises(ValueError, match="`masks` is for plain networks"):
        train(network, **data, rate=0.1, steps=2, masks=[network.init(0, data["x"]).now])


# Inputs and outputs


def test_training_prints_as_a_sentence(data):
    found = train(networks.network(MODEL, 6), **data, rate=0.3, steps=20, seeds=2)
    assert str(found).startswith(
        "fully connected erf network with 1 hidden layer of 6 units and 1 output, NTK parameterisation: "
        "gd at rate 0.3 on mse, n = 12, 2 seeds, 20 steps; 2 "
    )
    assert str(training.Progress(3, 10, 0.5, math.nan)) == "3 of 10 steps, training loss 0.5"
    assert str(training.Progress(3, 10, 0.5, 7.2)) == "3 of 10 steps, training loss 0.5, 7 s left"


def test_default_rate_is_half_of_the_stable_one_at_seed_0(data):
    network = networks.network(MODEL, 6)
    found = train(network, **data, steps=1, seeds=[4], momentum=0.5)
    assert found.rate == pytest.approx(0.25 * training.stable_rate(network, data["x"]))
    assert train(network, **data, steps=1, optimiser="adam").rate == pytest.approx(1e-3 * math.sqrt(6))


NETWORK, PAIR = networks.network(MODEL, 4), networks.network(MODEL, 4, outputs=2)
X, Y, LABELS = np.ones((6, 3)), np.ones(6), np.arange(6) % 2


def call(network=NETWORK, x=X, y=Y, test=(X, Y), **how):
    return lambda: train(network, x, y, test=test, **how)


def classify(y=LABELS, network=PAIR, **how):
    return call(network, y=y, test=(X, LABELS), loss="cross-entropy", **how)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (call(loss="hinge"), "`loss` must be one of mse, cross-entropy; got 'hinge'"),
        (call(optimiser="lion"), "`optimiser` must be one of gd, sgd, adam, flow; got 'lion'"),
        (call(schedule="linear"), "`schedule` must be one of constant, cosine; got 'linear'"),
        (call(precision="bf16"), "`precision` must be one of float32, float64; got 'bf16'"),
        (call(x=X * np.nan), "`x` holds 18 NaN"),
        (call(y=Y * np.nan), "`y` holds 6 NaN"),
        (call(y=Y[:5]), "`y` must have one row per sample: expected 6 rows"),
        (call(y=np.ones((6, 2))), "`y` must have 1 column, one per output of the network, got 2"),
        (call(test=X), "`test` must be two arrays"),
        (call(test=(X[:, :2], Y)), "`test` must have samples of shape (3,) like `x`, got (2,)"),
        (call(test=(X, Y[:3])), "`test` must have one row per sample"),
        (classify(network=NETWORK), "cross-entropy needs a network with one output per class"),
        (classify(y=LABELS + 1), "`y` must hold whole numbers from 0 to 1, one class per output, got 2"),
        (classify(y=LABELS / 2), "`y` must hold whole numbers from 0 to 1, one class per output, got 0.5"),
        (classify(y=-LABELS), "got -1"),
        (classify(y=LABELS[:4]), "`y` must have one class per sample: expected 6, got 4"),
        (call(steps=0), "`steps` must be between 1 and 2147483647, got 0"),
        (call(rate=0.0), "`rate` must be finite and more than 0"),
        (call(rate=np.nan), "`rate` must be finite and more than 0, got nan"),
        (call(batch=3), "`batch` is for sgd and adam; gd takes all samples"),
        (call(optimiser="sgd"), "`batch` must be given for sgd"),
        (call(optimiser="sgd", batch=7), "`batch` must be between 1 and 6, got 7"),
        (call(momentum=1.0), "`momentum` must be less than 1, got 1"),
        (call(optimiser="adam", momentum=0.5), "`momentum` is for gd and sgd; adam has none"),
        (call(optimiser="flow", schedule="cosine"), "`schedule` must be constant for the flow"),
        (call(record=[3, 2]), "`record` must be strictly increasing"),
        (call(record=[2000]), "`record` must lie between 0 and 1000, got 2000"),
        (call(record=0), "`record` must be at least 1, got 0"),
        (call(seeds=0), "`seeds` must be at least 1, got 0"),
        (call(seeds=[]), "`seeds` must be different whole numbers, at least one; got none"),
        (call(seeds=[1, 1]), "`seeds` must be different whole numbers, at least one; got 1, 1"),
        (call(seeds=[-1]), "`seeds` must be between 0 and 4294967295, got -1"),
        (call(memory=100), "`memory` of 100 bytes is less than the"),
        (call(memory=2000, together=5, seeds=5), "`together` must be at most"),
        (call(together=0), "`together` must be at least 1, got 0"),
        (lambda: training.stable_rate(NETWORK, X, optimiser="adam"), "adam has no largest stable rate"),
        (lambda: call(steps=1, keep=False)().parameters(0), "the parameters were not kept"),
        (lambda: call(steps=1)().parameters(7), "`seed` must be one of those trained, 0; got 7"),
        (lambda: call(steps=1)().curve("test_error"), "`which` must be one of test, train; got 'test_error'"),
    ],
)
def test_bad_arguments_are_named(bad, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        bad()


@pytest.mark.parametrize("flag", [False, True], ids=["x64 off", "x64 on"])
def test_callers_flag_is_untouched(data, flag):
    network, before = networks.network(MODEL, 6), jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", flag)
    try:
        found = train(network, **data, rate=0.2, steps=5)
        after = jax.config.jax_enable_x64
    finally:
        jax.config.update("jax_enable_x64", before)
    assert after is flag
    assert found.parameters(0)[0][0].dtype == np.float32
