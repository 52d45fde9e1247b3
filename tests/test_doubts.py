import numpy as np
import pytest
from scipy.spatial import distance

from regimes import doubts, inputs
from regimes.forecast import Forecast
from regimes.results import Estimate, LearningCurve

N = 200
BASIS = np.linalg.qr(np.random.default_rng(0).standard_normal((N, N)))[0]


def rotated(values):
    """A Gram matrix with these eigenvalues."""
    matrix = (BASIS * values) @ BASIS.T
    return (matrix + matrix.T) / 2


def said(gram, computed=False, **options):
    source = inputs.read(gram, **options)
    matrix = source.gram()
    values = np.linalg.eigvalsh(matrix)[::-1]
    return doubts.of_sample(source, matrix, values, doubts.lift(values), computed)


def of_results(**changes):
    at = np.array([50.0, 100, 199])
    curve = LearningCurve("n", at, np.array([0.5, 0.4, 0.3]))
    pivots = LearningCurve("n", at, np.array([0.9, 0.8, 0.7]))
    given = {
        "reach": 66.0,
        "forecasts": (Forecast(curve, curve.loss, curve.loss, 0.9, 200.0),),
        "noise": Estimate(0.05, 0.01, 0.1),
        "given": False,
        "total": 1.0,
        "trace": 1.0,
        "measured": curve,
        "pivots": pivots,
        "harmonic": pivots,
        "held_out": None,
    }
    return doubts.of_results(**(given | changes))


def test_sound_sample_raises_no_doubt():
    assert said(rotated(np.arange(1, N + 1.0) ** -1.5), kind="gram") == [
        "200 samples are few: alpha and beta are read up to n = 50, the spectrum up to 66."
    ]
    assert of_results() == []


@pytest.mark.parametrize(("dtype", "first"), [(np.float64, 51), (np.float32, 27)])
def test_floor_of_rounding_is_named_by_its_mode(dtype, first):
    # 10^-(i/3.9) falls below N eps of float64 between modes 50 and 53, below eps of float32 at 28.
    values = 10 ** -(np.arange(N) / 3.9)
    text = " ".join(said(np.maximum(rotated(values), -1).astype(dtype), kind="gram"))
    share = N * np.finfo(np.float64).eps if dtype is np.float64 else np.finfo(np.float32).eps
    assert f"eigenvalues below {share:.1e} of the largest" in text
    mode = int(text.partition("reached at mode ")[2].partition(" ")[0])
    assert mode == pytest.approx(3.9 * -np.log10(share) + 2, abs=2)
    assert mode >= first
    assert "inside what is read (up to 66)" in text


def test_features_in_single_precision_are_good_to_its_square_and_inputs_to_a_kernel_to_double():
    values = np.ones(N)
    x = np.random.default_rng(1).standard_normal((N, 3)).astype(np.float32)
    features, raw = inputs.read(x), inputs.read(x, kind="inputs")
    double = N * np.finfo(np.float64).eps
    assert doubts.rounding_floor(features, values, False) == (double, "float64")  # eps^2 is below
    assert doubts.rounding_floor(raw, values, True) == (double, "float64")
    gram = inputs.read((rotated(np.arange(1, N + 1.0) ** -1)).astype(np.float32), kind="gram")
    assert doubts.rounding_floor(gram, values, False) == (np.finfo(np.float32).eps, "float32")


def test_negative_eigenvalues_of_rounding_are_lifted_and_said():
    values = np.append(np.arange(1, N) ** -1.5, -1e-9)
    assert doubts.lift(values) == pytest.approx(1.01e-9)
    assert doubts.lift(np.append(values[:-1], -1e-18)) == 0
    (text,) = [text for text in said(rotated(values), kind="gram") if "negative" in text]
    assert "1.0e-09 was added to the diagonal" in text


def test_near_copies_are_counted():
    x = np.random.default_rng(2).standard_normal((N, 4))
    assert not [text for text in said(np.exp(-distance.cdist(x, x)), kind="gram") if "near copies" in text]
    x[100:140] = x[:40] + 1e-6
    (text,) = [text for text in said(np.exp(-distance.cdist(x, x)), kind="gram") if "near copies" in text]
    assert text.startswith("80 of 200 samples are near copies")


def test_features_that_are_exhausted_are_counted():
    phi = np.random.default_rng(3).standard_normal((N, 20))
    assert any("the kernel has 20 features: from n = 20 on it is exhausted" in text for text in said(phi))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"noise": Estimate(0.0, 0.0, 0.1)},
            "noise is not told apart from a target that is hard to learn: any variance",
        ),
        ({"noise": Estimate(0.2, 0.1, 0.3)}, "noise dominates: about 0.2 of the loss 0.3"),
        ({"total": 0.25}, "nothing is learnt: at n = 199 the leave-one-out loss is 1.20 times"),
        (
            {"total": 0.4},
            "no better than draws from the kernel's prior: at n = 199 75% of their power is left, of a draw 70%",
        ),
        ({"harmonic": LearningCurve("n", np.array([50.0, 199]), np.array([0.4, 0.3]))}, "far from Gaussian"),
    ],
)
def test_results_raise_the_doubt_that_they_should(changes, says):
    (text,) = of_results(**changes)
    assert says in text


def test_extrapolation_is_said_only_where_there_is_one():
    at = np.array([100.0, 500])
    curve = LearningCurve("n", at, np.array([0.4, 0.3]))
    forecasts = (Forecast(curve, curve.loss, curve.loss, 0.9, 200.0),)
    (text,) = of_results(forecasts=forecasts)
    assert text.startswith("beyond n = 200 the curve is an extrapolation")
    assert text.endswith("up to n = 66.")
    assert of_results(forecasts=forecasts, reach=np.inf) == []


def test_noise_that_was_given_is_no_matter_of_doubt():
    assert of_results(noise=Estimate(0.0, 0.0, 0.1), given=True) == []
    assert of_results(noise=Estimate(0.0, 0.0, 0.1), total=None) == []


def test_lists_say_what_they_were_taken_for():
    source = inputs.read(np.arange(1, 101.0) ** -1.5)
    (text,) = doubts.of_list(source, None)
    assert "beyond the 100 listed are taken as zero" in text
    assert doubts.of_list(source, 150)[1] == "50 of 150 eigenvalues are missing and count as zero."
    single = inputs.read((10 ** -np.arange(0, 10, 0.1)).astype(np.float32))
    assert any("reached at mode 71 of 100 (float32)" in text for text in doubts.of_list(single, None))
