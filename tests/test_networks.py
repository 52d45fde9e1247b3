import math
import re

import jax
import numpy as np
import pytest
from scipy import special

from regimes import kernels, networks

ACTIVATIONS = {
    "relu": lambda u: np.maximum(u, 0),
    "erf": special.erf,
    "gelu": lambda u: u * special.ndtr(u),
    "step": lambda u: np.where(u > 0, 1.0, 0.0),
}


@pytest.fixture
def x(rng):
    return rng.standard_normal((6, 5))


@pytest.fixture
def images(rng):
    return rng.standard_normal((3, 4, 4, 2))


def forward(network, parameters, x):
    """Outputs of a fully connected network, and the activations of its last hidden layer."""
    model, h = network.model, x
    layers = [*model.layers, model.readout]
    for layer, values in zip(layers, parameters, strict=True):
        if layer.name != "dense":
            embedding = h = ACTIVATIONS[layer.name](h)
            continue
        weights, bias = values
        if network.parameterisation == "ntk":
            weights = weights * layer.weight_std / math.sqrt(len(weights))
            bias = None if bias is None else layer.bias_std * bias
        h = h @ weights + (0 if bias is None else bias)
    return h, embedding


def flat(parameters):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(parameters)])


@pytest.mark.parametrize("parameterisation", networks.PARAMETERISATIONS)
@pytest.mark.parametrize(("activation", "bias_std"), [("relu", 0.0), ("erf", 0.4), ("gelu", 0.4)])
def test_outputs_and_embedding_are_those_of_a_loop_over_layers(x, activation, bias_std, parameterisation):
    model = kernels.fully_connected(2, activation=activation, bias_std=bias_std)
    network = networks.network(model, 7, outputs=3, parameterisation=parameterisation)
    parameters = network.init(4, x, precision="float64")
    outputs, embedding = forward(network, parameters, x)
    assert network.apply(parameters, x) == pytest.approx(outputs, rel=1e-12, abs=1e-13)
    assert network.embedding(parameters, x) == pytest.approx(embedding, rel=1e-12, abs=1e-13)
    single = network.apply(network.init(4, x), x)
    assert single.dtype == np.float32
    assert single == pytest.approx(outputs, rel=1e-5, abs=1e-5)


def test_one_seed_is_one_network_in_both_parameterisations_and_precisions(x):
    model = kernels.fully_connected(2, bias_std=0.3)
    ntk, standard = (networks.network(model, 9, parameterisation=style) for style in networks.PARAMETERISATIONS)
    one, other = ntk.init(2, x, precision="float64"), standard.init(2, x, precision="float64")
    assert ntk.apply(one, x) == pytest.approx(standard.apply(other, x), rel=1e-12)
    assert np.array_equal(flat(ntk.init(2, x)), np.float32(flat(one)))
    assert not np.array_equal(flat(ntk.init(3, x)), np.float32(flat(one)))


def test_one_seed_is_one_convolutional_network_in_both_parameterisations(images):
    model = kernels.convolutional((1, 1), bias_std=0.3)
    ntk, standard = (networks.network(model, 3, parameterisation=style) for style in networks.PARAMETERISATIONS)
    one, other = ntk.init(2, images, precision="float64"), standard.init(2, images, precision="float64")
    assert ntk.apply(one, images) == pytest.approx(standard.apply(other, images), rel=1e-12)


def test_random_parameters_are_standard_normal_or_scaled(x):
    model = kernels.fully_connected(2, weight_std=1.3, bias_std=0.4)
    one = networks.network(model, 200).init(0, x)
    other = networks.network(model, 200, parameterisation="standard").init(0, x)
    assert one[2][0].std() == pytest.approx(1, rel=0.02)
    assert other[2][0].std() == pytest.approx(1.3 / math.sqrt(200), rel=0.02)
    assert other[2][1] == pytest.approx(0.4 * one[2][1], rel=1e-6)


def test_number_of_parameters(x, images):
    network = networks.network(kernels.fully_connected(2, bias_std=0.1), 8, outputs=3)
    assert network.parameters(x) == (5 * 8 + 8) + (8 * 8 + 8) + (8 * 3 + 3) == flat(network.init(0, x)).size
    network = networks.network(kernels.convolutional((1, 1)), 4)
    assert network.parameters(images) == 9 * 2 * 4 + 9 * 4 * 4 + 4 == flat(network.init(0, images)).size


@pytest.mark.parametrize("kind", ["ntk", "nngp"])
@pytest.mark.parametrize("parameterisation", networks.PARAMETERISATIONS)
def test_tangent_kernel_of_one_hidden_layer_is_the_sum_over_its_gradients(x, rng, kind, parameterisation):
    model = kernels.fully_connected(1, kind=kind, weight_std=1.3, bias_std=0.4)
    network = networks.network(model, 6, outputs=2, parameterisation=parameterisation)
    y, parameters = rng.standard_normal((4, 5)), network.init(0, x)
    expected = np.zeros((6, 4))
    (weights, bias), _, (readout, _) = parameters
    scale = {"ntk": (1.3**2 / 5, 0.4**2, 1.3**2 / 6), "standard": (1, 1, 1)}[parameterisation]
    inner = {"ntk": (1.3 / math.sqrt(5), 0.4, 1.3 / math.sqrt(6)), "standard": (1, 1, 1)}[parameterisation]
    weights, bias, readout = np.float64(weights), np.float64(bias), np.float64(readout)
    pre = [(inner[0] * z @ weights + inner[1] * bias) for z in (x, y)]
    for i in range(6):
        for j in range(4):
            for c in range(2):
                one, other = pre[0][i], pre[1][j]
                expected[i, j] += scale[2] * np.maximum(one, 0) @ np.maximum(other, 0) + scale[1]
                if kind == "ntk":
                    back = np.sum((one > 0) * (other > 0) * (inner[2] * readout[:, c]) ** 2)
                    expected[i, j] += back * (scale[0] * x[i] @ y[j] + scale[1])
    assert network.tangent_kernel(parameters, x, y) == pytest.approx(expected / 2, rel=1e-10)


def test_tangent_kernel_in_blocks_is_the_whole_one(x, rng):
    network = networks.network(kernels.fully_connected(2), 6, outputs=2, centred=True)
    parameters, y = network.init(0, x), rng.standard_normal((3, 5))
    few = 2.5 * 4 * 8 * 2 * network.parameters(x)
    whole = network.tangent_kernel(parameters, x)
    assert network.tangent_kernel(parameters, x, memory=few) == pytest.approx(whole, rel=1e-12)
    assert network.tangent_kernel(parameters, x, x) == pytest.approx(whole, rel=1e-12)
    cross = network.tangent_kernel(parameters, x, y)
    assert network.tangent_kernel(parameters, x, y, memory=few) == pytest.approx(cross, rel=1e-12)


def test_mean_tangent_kernel_of_wide_networks_is_the_model(x):
    model = kernels.fully_connected(2, activation="erf", bias_std=0.3)
    network = networks.network(model, 256)
    found = np.array([network.tangent_kernel(network.init(seed, x), x) for seed in range(12)])
    error = np.abs(found.mean(axis=0) - model(x))
    assert np.all(error < 4.5 * found.std(axis=0, ddof=1) / math.sqrt(12) + 3 / 256)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_error_of_a_taylor_series_falls_with_the_next_power_of_the_distance(x, rng, order):
    network = networks.network(kernels.fully_connected(2, activation="erf"), 5, outputs=2)
    series = networks.taylor(network, order)
    start = series.init(0, x, precision="float64")
    move = jax.tree.map(lambda leaf: rng.standard_normal(leaf.shape), start.start)

    def error(size):
        now = jax.tree.map(lambda leaf, by: leaf + size * by, start.start, move)
        return np.abs(series.apply(start._replace(now=now), x) - network.apply(now, x)).max()

    assert math.log2(error(0.02) / error(0.01)) == pytest.approx(order + 1, abs=0.2)
    assert np.array_equal(series.apply(start, x), network.apply(start.start, x))


def test_linearised_network_moves_along_its_gradients(x, rng):
    network = networks.linearised(networks.network(kernels.fully_connected(2), 6, centred=True))
    start = network.init(0, x, precision="float64")
    apply = networks.function(networks.network(kernels.fully_connected(2), 6))
    move = jax.tree.map(lambda leaf: 10 * rng.standard_normal(leaf.shape), start.start)
    now = jax.tree.map(np.add, start.start, move)
    with networks.in_precision("float64"):
        jacobian = jax.jacobian(lambda theta: apply(theta, None, x)[:, 0])(start.start)
        flattened = np.concatenate([np.reshape(leaf, (6, -1)) for leaf in jax.tree.leaves(jacobian)], axis=1)
    assert network.apply(start._replace(now=now), x)[:, 0] == pytest.approx(flattened @ flat(move), rel=1e-10)


@pytest.mark.parametrize("parameterisation", networks.PARAMETERISATIONS)
def test_centred_network_starts_at_zero_and_is_the_difference(x, parameterisation):
    model = kernels.fully_connected(2)
    plain = networks.network(model, 6, parameterisation=parameterisation)
    centred = networks.network(model, 6, parameterisation=parameterisation, centred=True)
    start, other = centred.init(0, x, precision="float64"), plain.init(1, x, precision="float64")
    assert np.abs(centred.apply(start, x)).max() < 1e-14
    expected = plain.apply(other, x) - plain.apply(start.start, x)
    assert centred.apply(start._replace(now=other), x) == pytest.approx(expected, rel=1e-10, abs=1e-14)


@pytest.mark.parametrize("kind", ["ntk", "nngp"])
def test_convolutional_network(images, kind):
    network = networks.network(kernels.convolutional((1, 1), kind=kind), 4, outputs=2)
    parameters = network.init(0, images, precision="float64")
    embedding, readout = network.embedding(parameters, images), parameters[-1][0]
    assert embedding.shape == (3, 4)
    assert network.apply(parameters, images) == pytest.approx(embedding @ readout * math.sqrt(2 / 4), rel=1e-12)
    gram = network.tangent_kernel(parameters, images)
    if kind == "nngp":
        assert gram == pytest.approx(embedding @ embedding.T * 2 / 4, rel=1e-10)
    else:
        assert np.linalg.eigvalsh(gram - embedding @ embedding.T * 2 / 4).min() > 0


def test_results_do_not_depend_on_how_rows_are_divided(monkeypatch, x):
    network = networks.network(kernels.fully_connected(2), 6)
    parameters = network.init(0, x)
    whole, embedding = network.apply(parameters, x), network.embedding(parameters, x)
    monkeypatch.setattr(networks, "_ENTRIES", 3 * network.activations(x))
    assert network.apply(parameters, x) == pytest.approx(whole, rel=1e-5)
    assert network.embedding(parameters, x) == pytest.approx(embedding, rel=1e-12)


@pytest.mark.parametrize("flag", [False, True], ids=["x64 off", "x64 on"])
def test_precision_is_the_callers_choice_and_the_flag_untouched(x, flag):
    network, before = networks.network(kernels.fully_connected(1), 4), jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", flag)
    try:
        single = network.apply(network.init(0, x), x)
        double = network.apply(network.init(0, x, precision="float64"), x)
        after = jax.config.jax_enable_x64
    finally:
        jax.config.update("jax_enable_x64", before)
    assert after is flag
    assert (single.dtype, double.dtype) == (np.float32, np.float64)
    assert single == pytest.approx(double, rel=1e-5)


def test_network_prints_as_a_sentence():
    model = kernels.fully_connected(2, kind="nngp")
    assert str(networks.network(model, 64, outputs=3)) == (
        "fully connected relu network with 2 hidden layers of 64 units and 3 outputs, NTK parameterisation, "
        "readout trained only"
    )
    network = networks.network(kernels.convolutional((1,)), 1, parameterisation="standard", centred=True)
    assert str(networks.linearised(network)) == (
        "linearised convolutional relu network with 1 hidden layer of 1 channel and 1 output, "
        "standard parameterisation, centred"
    )
    assert "Taylor-expanded (order 2)" in str(networks.taylor(network, 2))


MODEL, FLAT = kernels.fully_connected(1), np.ones((3, 5))
SMALL = networks.network(MODEL, 4)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: networks.network(MODEL, 0), "`width` must be at least 1, got 0"),
        (lambda: networks.network(MODEL, 8.5), "`width` must be a whole number, got 8.5"),
        (lambda: networks.network(MODEL, 8, outputs=0), "`outputs` must be at least 1, got 0"),
        (lambda: networks.network("relu", 8), "`model` must come from kernels.fully_connected or"),
        (lambda: networks.network(MODEL, 8, parameterisation="mup"), "must be one of ntk, standard; got 'mup'"),
        (lambda: networks.taylor(SMALL, 0), "`order` must be between 1 and 4, got 0"),
        (lambda: networks.linearised(networks.taylor(SMALL, 2)), "`network` is expanded to order 2 already"),
        (lambda: SMALL.init(-1, FLAT), "`seed` must be between 0 and 4294967295, got -1"),
        (lambda: SMALL.init(0, FLAT, precision="half"), "`precision` must be one of float32, float64; got 'half'"),
        (lambda: SMALL.init(0, FLAT * np.nan), "`inputs` holds 15 NaN"),
        (lambda: SMALL.apply(SMALL.init(0, FLAT), FLAT * np.inf), "`inputs` holds 15 NaN or infinite"),
        (lambda: SMALL.tangent_kernel(SMALL.init(0, FLAT), FLAT, FLAT[:, :4]), "samples of shape (5,) like `inputs`"),
        (lambda: SMALL.tangent_kernel(SMALL.init(0, FLAT), FLAT, memory=100), "holds no two gradients of 192 bytes"),
        (lambda: SMALL.apply(SMALL.init(0, FLAT), FLAT[:, :4]), "`inputs` must have samples of 5 numbers"),
    ],
)
def test_bad_arguments_are_named(call, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        call()
