import math

import jax
import numpy as np
import pytest

from regimes import descent, kernels, networks, pruned, training
from regimes.training import train

MODEL = kernels.fully_connected(2, bias_std=0.2)
HOW = {"optimiser": "adam", "rate": 0.01, "schedule": "cosine", "batch": 5, "steps": 30}


@pytest.fixture
def data(rng):
    """Twelve training samples: batches of five, so epochs of two steps."""
    x, x_test = rng.standard_normal((12, 4)), rng.standard_normal((8, 4))
    weights = rng.standard_normal(4)
    return {"x": x, "y": np.tanh(x @ weights), "test": (x_test, np.tanh(x_test @ weights))}


def leaves(tree):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


def weights(tree):
    return np.concatenate([np.ravel(layer[0]) for layer in tree if len(layer)])


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(leaves(one), leaves(other), strict=True))


@pytest.mark.parametrize("parameterisation", networks.PARAMETERISATIONS)
def test_masks_are_those_of_a_brute_force_sort(data, parameterisation):
    network = networks.network(MODEL, 6, parameterisation=parameterisation)
    found = pruned.prune(network, **data, **HOW, rounds=4, seeds=[7])
    fan_in = np.repeat([4, 6, 6], [24, 36, 6])
    scale = np.sqrt(2 / fan_in) if parameterisation == "ntk" else np.ones(66)
    left = list(range(66))
    for number in range(1, 5):
        size = np.abs(weights(found.trainings[number - 1].parameters(7)).astype(float)) * scale
        left = sorted(sorted(left, key=lambda i: -size[i])[: round(66 * 0.8**number)])
        assert np.flatnonzero(weights(found.masks[number][0])).tolist() == left
        for layer in found.masks[number][0]:
            assert not len(layer) or np.all(layer[1] == 1), "biases stay"


def test_density_falls_by_a_fifth_to_the_rounding_of_counts(data):
    found = pruned.prune(networks.network(MODEL, 6), **data, **HOW, rounds=9)
    assert found.density.tolist() == [round(66 * 0.8**number) / 66 for number in range(10)]
    assert found.weights.tolist() == [int(weights(row[0]).sum()) for row in found.masks]
    assert found.biases == 13
    assert found.parameters.tolist() == (found.weights + 13).tolist()
    quartered = pruned.prune(networks.network(MODEL, 6), **data, **HOW, rounds=2, share=0.75)
    assert quartered.weights.tolist() == [66, 16, 4]


@pytest.mark.parametrize("how", [HOW, HOW | {"optimiser": "sgd", "momentum": 0.9}, {"rate": 0.1, "steps": 30}])
def test_pruned_weights_stay_exactly_zero_and_no_others(data, how):
    found = pruned.prune(networks.network(MODEL, 6), **data, **how, rounds=5, seeds=2, rewind=3)
    for training_, row in zip(found.trainings, found.masks, strict=True):
        for seed in (0, 1):
            assert np.array_equal(weights(training_.parameters(seed)) != 0, weights(row[seed]) == 1)


@pytest.mark.parametrize("precision", networks.PRECISIONS)
def test_density_one_is_plain_training_to_the_bit(data, precision):
    network = networks.network(MODEL, 6)
    found = pruned.prune(network, **data, **HOW, rounds=1, seeds=[1, 5], precision=precision)
    plain = train(network, **data, **HOW, seeds=[1, 5], precision=precision)
    np.testing.assert_array_equal(found.loss[0], plain.losses())
    for seed in (1, 5):
        assert same(found.trainings[0].parameters(seed), plain.parameters(seed))


def test_the_dense_network_is_set_back_as_the_others_are(data):
    """What adam remembers begins anew at the step in round 0 too: it is trained from there, without masks."""
    network = networks.network(MODEL, 6)
    found = pruned.prune(network, **data, **HOW, rounds=1, seeds=[1], rewind=7)
    again = train(network, **data, **HOW, seeds=[1], start=found.rewound, span=(7, 30))
    assert same(found.trainings[0].parameters(1), again.parameters(1))
    assert not same(found.trainings[0].parameters(1), train(network, **data, **HOW, seeds=[1]).parameters(1))


def test_weights_are_set_back_to_those_of_the_step(data):
    """The schedule is constant here, so that a training of seven steps ends where one of thirty is at its seventh."""
    network, how = networks.network(MODEL, 6), HOW | {"schedule": "constant"}
    found = pruned.prune(network, **data, **how, rounds=2, seeds=[1], rewind=7, record=[8])
    seventh = train(network, **data, **(how | {"steps": 7}), seeds=[1])
    assert same(found.rewound[0], seventh.parameters(1))
    for number in (1, 2):
        begun = found.trainings[number]
        assert begun.steps[0] == 7
        start = jax.tree.map(np.multiply, seventh.parameters(1), found.masks[number][0])
        outputs = network.apply(start, data["test"][0])[:, 0]
        assert begun.test_loss[0, 0] == pytest.approx(np.mean((outputs - data["test"][1]) ** 2), rel=1e-5)
    zero = pruned.prune(network, **data, **how, rounds=1, seeds=[1])
    assert same(zero.rewound[0], network.init(1, data["x"]))
    assert zero.trainings[1].steps[0] == 0


def test_rounds_and_seeds_share_a_program(data):
    network = networks.network(MODEL, 9)
    pruned.prune(network, **data, **HOW, rounds=4, seeds=2, rewind=4)
    program = descent.program(descent.recipe(network, 12, "mse", "adam", 5, "cosine", 0.0))
    assert program.advance._cache_size() == 2  # with masks and without
    assert program.outputs._cache_size() == 1
    assert program.start._cache_size() == 2  # from step 0 and from step 4


def test_the_rate_of_the_dense_network_is_that_of_all_rounds(data):
    found = pruned.prune(networks.network(MODEL, 6), **data, steps=10, rounds=3)
    assert len({one.rate for one in found.trainings}) == 1


def test_an_interrupted_pruning_goes_on_to_the_same(data, tmp_path, monkeypatch):
    network = networks.network(MODEL, 6)
    whole = pruned.prune(network, **data, **HOW, rounds=3, seeds=2, rewind=4)
    plain, calls = training.train, []

    def stopping(*arguments, **options):
        calls.append(options.get("span"))
        if len(calls) == 4:
            raise KeyboardInterrupt
        return plain(*arguments, **options)

    monkeypatch.setattr(training, "train", stopping)
    with pytest.raises(KeyboardInterrupt):
        pruned.prune(network, **data, **HOW, rounds=3, seeds=2, rewind=4, checkpoint=tmp_path)
    monkeypatch.setattr(training, "train", plain)
    told = []
    resumed = pruned.prune(
        network,
        **data,
        **HOW,
        rounds=3,
        seeds=2,
        rewind=4,
        checkpoint=tmp_path,
        progress=lambda what, share: told.append((what, share)),
    )
    np.testing.assert_array_equal(resumed.loss, whole.loss)
    assert all(same(a, b) for a, b in zip(resumed.masks[3], whole.masks[3], strict=True))
    assert told[0] == ("dense", 0.0)
    assert told[-1] == ("done", 1.0)
    with pytest.raises(ValueError, match="another training"):
        pruned.prune(network, **data, **HOW, rounds=3, seeds=2, rewind=5, checkpoint=tmp_path)


def test_large_weights_are_worth_more_than_random_ones(rng):
    """A target of two of ten inputs: half of the weights by magnitude do as well as all, half at random do not."""
    x, x_test = rng.standard_normal((400, 10)), rng.standard_normal((400, 10))

    def label(x):
        return np.abs(x[:, 0] + x[:, 1])

    network = networks.network(kernels.fully_connected(1), 24, parameterisation="standard")
    how = {"test": (x_test, label(x_test)), "optimiser": "adam", "rate": 0.01, "batch": 50, "steps": 800}
    found = pruned.prune(network, x, label(x), **how, rounds=6, rewind=40)
    ones = np.zeros(264)
    ones[rng.permutation(264)[: found.weights[-1]]] = 1
    mask = [(ones[:240].reshape(10, 24), None), (), (ones[240:].reshape(24, 1), None)]
    drawn = train(network, x, label(x), **how, masks=[mask]).losses()[0]
    assert found.loss[-1, 0] < 1.1 * found.loss[0, 0]
    assert drawn > 2 * found.loss[-1, 0]


def test_prints_as_a_sentence(data):
    found = pruned.prune(networks.network(MODEL, 6), **data, **HOW, rounds=2)
    assert str(found).startswith(
        str(found.network) + ": pruned in 2 rounds from 66 to 42 weights (density 0.636), 1 seed;"
    )


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"rounds": -1}, "`rounds` must be at least 0"),
        ({"rounds": 30}, "`rounds` must be at most 21 to leave one of 66 weights"),
        ({"share": 0}, "`share` must be finite and more than 0"),
        ({"share": 1.0}, "`share` must be less than 1"),
        ({"share": math.nan}, "`share` must be finite"),
        ({"rewind": 30}, "`rewind` must be between 0 and 29"),
        ({"steps": 0}, "`steps`"),
        ({"seeds": []}, "`seeds` must be different whole numbers"),
        ({"masks": []}, "`masks` is set by the pruning"),
        ({"keep": False}, "`keep` is set by the pruning"),
        ({"y": [1.0]}, "`y` must have one row per sample"),
    ],
)
def test_bad_arguments_are_named(data, bad, says):
    with pytest.raises(ValueError, match=says):
        pruned.prune(networks.network(MODEL, 6), **(data | HOW | bad))


def test_a_centred_network_is_refused(data):
    with pytest.raises(ValueError, match="`network` must be neither centred nor expanded"):
        pruned.prune(networks.network(MODEL, 6, centred=True), **data, **HOW)


def test_the_largest_of_few(data):
    network = networks.network(kernels.fully_connected(1), 2, parameterisation="standard")
    tree = [(np.array([[1.0, -3.0], [2.0, 0.5]]), None), (), (np.array([[-4.0], [0.1]]), None)]
    ones = jax.tree.map(np.ones_like, tree)
    kept = pruned.mask_largest(network, tree, ones, 2)
    assert weights(kept).tolist() == [0, 1, 0, 0, 1, 0]
    again = pruned.mask_largest(network, jax.tree.map(np.zeros_like, tree), kept, 1)  # equal ones: the first
    assert weights(again).tolist() == [0, 1, 0, 0, 0, 0]
    with pytest.raises(ValueError, match="`count` must be between 0 and 1, got 2"):
        pruned.mask_largest(network, tree, again, 2)


def test_a_seed_that_has_diverged_is_left_out_from_there_on(data):
    options = HOW | {"optimiser": "gd", "batch": None, "schedule": "constant", "rate": 100.0}
    found = pruned.prune(networks.network(MODEL, 6), **data, **options, rounds=8, share=0.4)
    assert np.isnan(found.loss).all()
    assert [np.count_nonzero(weights(mask[0])) for mask in found.masks] == found.weights.tolist()
    tree = networks.network(MODEL, 6).init(0, data["x"])
    tree[0] = (tree[0][0] * np.nan, tree[0][1])
    with pytest.raises(ValueError, match="`parameters` must be finite"):
        pruned.mask_largest(networks.network(MODEL, 6), tree, jax.tree.map(np.ones_like, tree), 3)
