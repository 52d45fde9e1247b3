import numpy as np
import pytest
from sklearn.metrics import pairwise as oracle

from regimes import inputs, kernels, pairwise

X = np.random.default_rng(0).standard_normal((120, 2, 3))
FLAT = X.reshape(120, 6)


@pytest.mark.parametrize("name", pairwise.SCIKIT_LEARN)
def test_kernels_of_scikit_learn_are_its_own(name):
    x = np.abs(X)
    expected = oracle.pairwise_kernels(np.abs(FLAT), metric=name)
    kernel = pairwise.named(name, x)
    assert kernel(x) == pytest.approx(expected)
    assert kernel(x, x[:7]) == pytest.approx(expected[:, :7])
    assert str(kernel) == f"{name} kernel of scikit-learn"


def test_radial_kernels_have_the_median_distance_as_length_or_the_one_given():
    distances = np.linalg.norm(FLAT[:, None] - FLAT, axis=-1)
    median = np.median(distances[np.triu_indices(120, 1)])
    for name, formula in (("laplace", lambda r: np.exp(-r)), ("gaussian", lambda r: np.exp(-(r**2) / 2))):
        assert pairwise.named(name, X)(X) == pytest.approx(formula(distances / median))
        assert pairwise.named(name, X, length=0.7)(X, X[:5]) == pytest.approx(formula(distances[:, :5] / 0.7))
        assert str(pairwise.named(name, X, length=0.7)) == f"{name} kernel of length 0.7"


def test_networks_are_those_of_kernels():
    assert pairwise.named("nngp", X, depth=1, activation="erf") == kernels.fully_connected(
        1, kind="nngp", activation="erf"
    )
    assert pairwise.named("ntk", X) == kernels.fully_connected(2)


@pytest.mark.parametrize("name", ["laplace", "gaussian", "rbf", "laplacian", "linear", "nngp"])
def test_named_kernels_are_taken_by_the_door(name):
    source = inputs.read(X, kind="inputs")
    assert source.gram(pairwise.named(name, X)).shape == (120, 120)


def test_options_are_those_that_named_takes():
    for name in pairwise.NAMES:
        given = {"depth": 1, "activation": "erf", "length": 2.0}
        pairwise.named(name, X, **{option: given[option] for option in pairwise.options(name)})
    with pytest.raises(ValueError, match=r"`kernel` must be one of ntk, nngp, laplace.*got 'tanh'"):
        pairwise.options("tanh")
    with pytest.raises(ValueError, match="`length` must be finite and more than 0"):
        pairwise.named("laplace", X, length=0)
