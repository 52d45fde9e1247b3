import re

import jax
import numpy as np
import oracles_kernels as oracles
import pytest

from regimes import kernels


@pytest.fixture
def x(rng):
    return rng.standard_normal((6, 5))


@pytest.fixture
def images(rng):
    return rng.standard_normal((3, 4, 4, 2))


def by_pairs(oracle, x, y, *options):
    """{kind: Gram matrix} from an oracle of one pair."""
    both = np.array([[oracle(one, other, *options) for other in y] for one in x])
    return {"nngp": both[:, :, 0], "ntk": both[:, :, 1]}


# Infinite width


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", ["nngp", "ntk"])
def test_relu_kernels_are_the_arc_cosine_recursions(x, rng, depth, kind):
    model, which = kernels.fully_connected(depth, kind=kind), ["nngp", "ntk"].index(kind)
    y = rng.standard_normal((4, 5))
    assert model(x, y) == pytest.approx(oracles.relu_by_arc_cosines(x, y, depth)[which], rel=1e-12, abs=1e-12)
    gram, expected = model(x), oracles.relu_by_arc_cosines(x, x, depth)[which]
    apart = ~np.eye(6, dtype=bool)
    assert gram[apart] == pytest.approx(expected[apart], rel=1e-12, abs=1e-12)
    # The angle between equal inputs is rounded to 1e-8 in the derivative's kernel.
    diagonal = np.sum(x**2, axis=1) * 2 / 5 * (1 if kind == "nngp" else depth + 1)
    assert np.diagonal(gram) == pytest.approx(diagonal, rel=1e-13 if kind == "nngp" else 2e-8)


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("activation", ["relu", "erf", "gelu"])
@pytest.mark.parametrize("kind", ["nngp", "ntk"])
def test_kernels_with_biases_are_the_layer_by_layer_recursion(x, rng, depth, activation, kind):
    y = rng.standard_normal((3, 5))
    model = kernels.fully_connected(depth, kind=kind, activation=activation, weight_std=1.3, bias_std=0.4)
    expected = by_pairs(oracles.fully_connected, x, y, depth, activation, 1.3, 0.4)[kind]
    assert model(x, y) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("depth", "bias_std"), [(1, 0.0), (1, 0.5), (3, 0.5)])
def test_step_kernel_is_arc_cosine_of_degree_0(x, rng, depth, bias_std):
    y = rng.standard_normal((3, 5))
    model = kernels.fully_connected(depth, kind="nngp", activation="step", weight_std=1.2, bias_std=bias_std)
    expected = by_pairs(oracles.fully_connected, x, y, depth, "step", 1.2, bias_std)["nngp"]
    assert model(x, y) == pytest.approx(expected, rel=1e-12 if depth == 1 else 1e-8)
    assert np.diagonal(model(x)) == pytest.approx(np.full(6, 1.44 / 2 + bias_std**2), rel=1e-8)


def test_erf_kernel_of_one_layer_is_the_arcsine_of_williams(x):
    cov = x @ x.T / 5
    variance = 1 + 2 * np.diagonal(cov)
    expected = 2 / np.pi * np.arcsin(2 * cov / np.sqrt(np.outer(variance, variance)))
    model = kernels.fully_connected(1, kind="nngp", activation="erf", weight_std=1.0)
    assert model(x) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("blocks", "activation"), [((1,), "relu"), ((1, 1), "erf"), ((2, 1), "relu")])
@pytest.mark.parametrize("kind", ["nngp", "ntk"])
def test_convolutional_kernels_are_the_recursion_over_pairs_of_pixels(images, blocks, activation, kind):
    model = kernels.convolutional(blocks, kind=kind, activation=activation, weight_std=1.3, bias_std=0.2)
    x, y = images[:2], images[1:]
    expected = by_pairs(oracles.convolutional, x, y, blocks, activation, 1.3, 0.2)[kind]
    assert model(x, y) == pytest.approx(expected, rel=1e-7)


def test_pooling_leaves_out_an_odd_last_row_and_column(rng):
    x = rng.standard_normal((2, 5, 3, 1))
    expected = by_pairs(oracles.convolutional, x, x, (1, 1), "relu", np.sqrt(2), 0.0)["ntk"]
    assert kernels.convolutional((1, 1))(x) == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("kind", ["nngp", "ntk"])
def test_convolutional_kernel_of_images_of_two_kinds_of_block(rng, kind):
    # Compiled with XLA's own fusion, the nngp of 8 x 8 images against others crashed the process.
    x = rng.standard_normal((12, 8, 8, 1))
    model = kernels.convolutional((1,), kind=kind)
    whole = model(x)
    assert model(x[:8], x[4:]) == pytest.approx(whole[:8, 4:], rel=1e-7)
    assert model(x, block=8) == pytest.approx(whole, rel=1e-7)


@pytest.mark.parametrize("kind", ["nngp", "ntk"])
def test_inputs_are_flattened_for_a_fully_connected_network(images, kind):
    model = kernels.fully_connected(2, kind=kind)
    assert np.array_equal(model(images), model(images.reshape(3, -1)))


@pytest.mark.parametrize(("block", "kind"), [(1, "ntk"), (4, "ntk"), (4, "nngp")])
def test_kernel_in_blocks_is_the_whole_kernel_also_on_the_diagonal(x, rng, block, kind):
    model, y = kernels.fully_connected(2, kind=kind), rng.standard_normal((5, 5))
    whole, parts = model(x), model(x, block=block)
    apart = ~np.eye(6, dtype=bool)
    assert parts[apart] == pytest.approx(whole[apart], rel=1e-12, abs=1e-13)
    assert np.diagonal(parts) == pytest.approx(np.diagonal(whole), rel=1e-13 if kind == "nngp" else 2e-8)
    assert parts == pytest.approx(parts.T, rel=1e-14)
    assert model(x, y, block=block) == pytest.approx(model(x, y), rel=1e-12, abs=1e-13)


@pytest.mark.parametrize("make", [kernels.fully_connected, kernels.convolutional])
def test_cross_kernel_is_transposed_when_its_inputs_are_exchanged(images, make):
    model = make(kind="ntk")
    x, y = images[:1], images[1:]
    assert model(x, y) == pytest.approx(model(y, x).T, rel=1e-12)
    assert model(images)[:1, 1:] == pytest.approx(model(x, y), rel=1e-12)


@pytest.mark.parametrize("flag", [False, True], ids=["x64 off", "x64 on"])
def test_float64_inside_and_the_callers_flag_untouched(x, flag):
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", flag)
    try:
        gram, phi = SMALL(np.float32(x)), SMALL.features(np.float32(x), 88, 3, width=4)
        after = jax.config.jax_enable_x64
    finally:
        jax.config.update("jax_enable_x64", before)
    assert after is flag
    assert gram.dtype == phi.dtype == np.float64
    exact = np.float32(x).astype(np.float64)
    assert gram == pytest.approx(oracles.relu_by_arc_cosines(exact, exact, 2)[1], rel=2e-8, abs=1e-12)
    assert not np.array_equal(phi, np.float32(phi))


# Random features. Compiling them takes longer than computing them: k = 600 is blocks of 512 and 88, compiled once.

SMALL = kernels.fully_connected(2, kind="ntk")


@pytest.mark.parametrize("kind", ["nngp", "ntk"])
def test_first_k_of_2k_features_are_the_k_features(x, kind):
    model = kernels.fully_connected(2, kind=kind)
    more = model.features(x, 600, seed=3, width=4)
    assert more.shape == (6, 600)
    for k in (512, 513):
        assert model.features(x, k, seed=3, width=4) == pytest.approx(more[:, :k], rel=1e-11, abs=1e-13)


def test_features_of_one_seed_are_the_same_and_of_another_are_not(x):
    one, same, other = (SMALL.features(x, 88, seed, width=4) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert np.abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.2


@pytest.mark.parametrize(
    ("entries", "what"), [(8, "single rows"), (33, "four rows and two"), (100, "all rows, two features at a time")]
)
def test_features_do_not_depend_on_how_the_work_is_divided(monkeypatch, x, entries, what):
    whole = SMALL.features(x, 88, seed=3, width=4)
    monkeypatch.setattr(kernels, "_ENTRIES", entries // 2)
    assert SMALL.features(x, 88, seed=3, width=4) == pytest.approx(whole, rel=1e-11, abs=1e-13), what


def test_features_have_mean_zero_and_neighbours_are_uncorrelated(x):
    phi = SMALL.features(x, 600, seed=3, width=4)
    phi = phi / np.sqrt(np.mean(phi**2, axis=1, keepdims=True))
    assert np.abs(phi.mean(axis=1)).max() < 4 / np.sqrt(600)
    assert np.abs(np.mean(phi[:, 1:] * phi[:, :-1], axis=1)).max() < 4 / np.sqrt(600)


def mean_error(phi, gram):
    """Largest difference between mean phi phi^T and the kernel, in standard errors."""
    products = phi[:, None, :] * phi[None, :, :]
    stderr = products.std(axis=2, ddof=1) / np.sqrt(phi.shape[1])
    return np.abs((products.mean(axis=2) - gram) / stderr).max()


@pytest.mark.parametrize(("activation", "bias_std"), [("relu", 0.0), ("erf", 0.5), ("gelu", 0.5)])
@pytest.mark.parametrize("kind", ["nngp", "ntk"])
def test_mean_of_features_of_one_hidden_layer_is_the_kernel_even_at_width_1(x, activation, kind, bias_std):
    model = kernels.fully_connected(1, kind=kind, activation=activation, weight_std=1.2, bias_std=bias_std)
    assert mean_error(model.features(x, 20_480, seed=0, width=1), model(x)) < 4.5


def test_mean_of_step_features_is_the_kernel(x):
    model = kernels.fully_connected(1, kind="nngp", activation="step")
    assert mean_error(model.features(x, 20_480, seed=0, width=1), model(x)) < 4.5


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["nngp", "ntk"])
@pytest.mark.parametrize("depth", [1, 2])
def test_gram_matrix_of_features_nears_the_kernel_with_a_squared_error_like_1_over_k(rng, kind, depth):
    x = rng.standard_normal((16, 16))
    model = kernels.fully_connected(depth, kind=kind)
    gram, phi = model(x), model.features(x, 4096, seed=1, width=128)
    at = 2 ** np.arange(6, 13)

    def squared_error(k):
        parts = phi.reshape(16, -1, k)
        return np.mean([np.sum((parts[:, i] @ parts[:, i].T / k - gram) ** 2) for i in range(4096 // k)])

    slope = np.polyfit(np.log(at), np.log([squared_error(k) for k in at]), 1)[0]
    assert -1.12 < slope < -0.88
    assert mean_error(phi, gram) < 4.5
    norms = np.sum(phi**2, axis=0)  # known more closely than any entry: 0.6 % of it
    assert abs(norms.mean() - np.trace(gram)) < 4 * norms.std() / np.sqrt(4096)


@pytest.mark.parametrize(
    ("blocks", "kind"), [((1,), "nngp"), ((1,), "ntk"), pytest.param((1, 1), "nngp", marks=pytest.mark.slow)]
)
def test_convolutional_features_have_the_mean_of_the_kernel(images, blocks, kind):
    model = kernels.convolutional(blocks, kind=kind, bias_std=0.3)
    phi = model.features(images, 1024, seed=0, width=16)
    assert phi.shape == (3, 1024)
    assert mean_error(phi, model(images)) < 4


# Progress and printing


def test_progress_is_told_of_every_block(x):
    seen = []
    kernels.fully_connected(1)(x, block=2, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 6) for done in range(1, 7)]  # three on the diagonal and three above it


def test_progress_is_told_of_every_block_of_a_cross_kernel(x):
    seen = []
    kernels.fully_connected(1)(x, x[:3], block=2, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 6) for done in range(1, 7)]


def test_progress_is_told_of_every_block_of_features(x):
    seen = []
    SMALL.features(x, 600, 0, width=4, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]


def test_no_bar_is_drawn_outside_a_terminal(x, capsys):
    kernels.fully_connected(1)(x, block=1)
    assert capsys.readouterr() == ("", "")


def test_model_prints_as_words():
    assert str(kernels.fully_connected(1)) == "NTK of a fully connected relu network with 1 hidden layer"
    text = "NNGP of a convolutional erf network with 3 hidden layers"
    assert str(kernels.convolutional((2, 1), kind="nngp", activation="erf")) == text


# Bad input

DENSE, CONVOLUTIONAL, STEP = kernels.fully_connected, kernels.convolutional, {"activation": "step"}
FLAT, IMAGES = np.ones((3, 5)), np.ones((3, 4, 4, 1))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: DENSE(0), "`depth` must be at least 1, got 0"),
        (lambda: DENSE(1.5), "`depth` must be a whole number, got 1.5"),
        (lambda: DENSE(kind="ntg"), "`kind` must be one of nngp, ntk; got 'ntg'"),
        (lambda: DENSE(activation="tanh"), "`activation` must be one of relu, erf, gelu, step; got 'tanh'"),
        (lambda: DENSE(weight_std=0), "`weight_std` must be finite and more than 0, got 0"),
        (lambda: DENSE(weight_std=np.nan), "`weight_std` must be finite and more than 0, got nan"),
        (lambda: DENSE(bias_std=-1), "`bias_std` must be finite and at least 0, got -1"),
        (lambda: DENSE(kind="ntk", **STEP), "`activation` step has no NTK"),
        (lambda: CONVOLUTIONAL(kind="ntk", **STEP), "`activation` step has no NTK"),
        (lambda: CONVOLUTIONAL(()), "`blocks` must name at least one block"),
        (lambda: CONVOLUTIONAL((1, 0)), "`blocks` must be at least 1, got 0"),
        (lambda: CONVOLUTIONAL(kind="ntg"), "`kind` must be one of nngp, ntk; got 'ntg'"),
        (lambda: DENSE()(np.ones(5)), "`inputs` must have shape (samples, ...), got (5,)"),
        (lambda: DENSE()(FLAT * np.nan), "`inputs` holds 15 NaN"),
        (lambda: DENSE()(FLAT, FLAT * np.inf), "`others` holds 15 NaN or infinite"),
        (lambda: DENSE()(FLAT, np.ones((3, 4))), "`others` must have samples of shape (5,) like `inputs`, got (4,)"),
        (lambda: DENSE()(np.zeros((0, 5))), "`inputs` is empty"),
        (lambda: DENSE()("words"), "`inputs` must be numeric, got str"),
        (lambda: DENSE()(np.vstack([FLAT, np.zeros(5)])), "`inputs` holds samples that are all zero"),
        (lambda: CONVOLUTIONAL()(np.zeros((1, 4, 4, 1))), "`inputs` holds samples that are all zero"),
        (lambda: CONVOLUTIONAL()(FLAT), "`inputs` must be images of shape (samples, height, width, channels)"),
        (lambda: CONVOLUTIONAL((1, 1, 1))(np.ones((1, 9, 3, 1))), "at least 4 pixels a side, got (9, 3)"),
        (lambda: DENSE().features(FLAT, 0, 0), "`k` must be at least 1, got 0"),
        (lambda: DENSE().features(FLAT, 8.0, 0), "`k` must be a whole number, got 8.0"),
        (lambda: DENSE().features(FLAT, 8, -1), "`seed` must be at least 0, got -1"),
        (lambda: DENSE().features(FLAT, 8, 0.5), "`seed` must be a whole number, got 0.5"),
        (lambda: DENSE().features(FLAT, 8, 0, width=0), "`width` must be at least 1, got 0"),
        (lambda: DENSE().features(FLAT * np.nan, 8, 0), "`inputs` holds 15 NaN"),
        (lambda: DENSE()(FLAT, block=0), "`block` must be at least 1, got 0"),
    ],
)
def test_bad_arguments_are_named(call, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        call()


def test_zero_inputs_are_allowed_where_there_are_biases():
    assert kernels.fully_connected(1, kind="nngp", bias_std=0.5)(np.zeros((1, 2))) == pytest.approx(0.25 + 0.25)
