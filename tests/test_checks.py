import numpy as np
import pytest
from scipy import sparse

from regimes import _checks

pytestmark = pytest.mark.usefixtures("unchecked")


def message(call, *args, **options):
    with pytest.raises(ValueError, match=r"^`it` ") as raised:
        call("it", *args, **options)
    text = str(raised.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    ("value", "options", "says"),
    [
        ("word", {}, ["numeric", "str"]),
        ([[1.0], [1.0, 2.0]], {}, ["numeric", "list"]),
        (None, {}, ["NaN", "1"]),
        ([1.0, np.nan, np.inf], {}, ["2 NaN or infinite values of 3"]),
        ([-np.inf], {}, ["1 NaN or infinite values of 1"]),
        ([], {}, ["empty", "(0,)"]),
        (np.zeros((3, 0)), {}, ["empty", "(3, 0)"]),
        (np.zeros((2, 3)), {"ndim": 1}, ["1 axis", "(2, 3)"]),
        (np.zeros((2, 3)), {"ndim": (1, 3)}, ["1 or 3 axes", "(2, 3)"]),
        (1.0, {"ndim": 1}, ["1 axis", "()"]),
        (1 - 3j, {}, ["complex numbers", "up to 3;", "pass real ones"]),
        ([1.0, 2j], {}, ["complex numbers", "up to 2;"]),
        (np.array([[1.0, 2.0 + 0.125j]], dtype=np.complex64), {"ndim": 1}, ["complex numbers", "up to 0.12;"]),
        (np.ones(3, dtype=complex), {}, ["complex numbers", "up to 0;"]),
        (np.zeros((0, 2), dtype=complex), {}, ["complex numbers", "up to 0;"]),
        (sparse.eye_array(3, dtype=complex), {}, ["numeric", "array"]),
        (np.array([1.0, 2j], dtype=object), {}, ["numeric", "ndarray", "complex"]),
    ],
)
def test_finite_array_says_what_came(value, options, says):
    text = message(_checks.finite_array, value, **options)
    assert all(part in text for part in says), text


@pytest.mark.parametrize("value", [[1, 2], np.float32([1, 2]), (True, 2), np.arange(1, 3)])
def test_finite_array_returns_float64(value):
    array = _checks.finite_array("it", value, ndim=1)
    assert array.dtype == np.float64
    assert array.tolist() == [1, 2]


def test_refuse_complex_begins_with_the_subject_and_lets_real_numbers_pass():
    with pytest.raises(ValueError, match=r"^`it`: a file holds complex numbers, with imaginary parts up to 4; pass"):
        _checks.refuse_complex("`it`: a file", np.array([1, -4j]))
    for real in (1.5, [1, 2], np.arange(3), np.array(["a"]), np.zeros(0)):
        _checks.refuse_complex("`it`", real)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (np.eye(2) + 1e-9j, ["complex numbers", "up to 1e-09;"]),
        (np.zeros((2, 3)), ["square", "(2, 3)", "phi @ phi.T"]),
        (np.zeros(3), ["2 axes", "(3,)"]),
        ([[2.0, 1.0], [0.5, 2.0]], ["symmetric", "2.5e-01", "(K + K.T) / 2"]),
        ([[2.0, np.nan], [np.nan, 2.0]], ["2 NaN"]),
        (np.diag([1.0, 0.0, -1.0]), ["2 diagonal entries", "not positive"]),
        (np.zeros((2, 2)), ["2 diagonal entries"]),
    ],
)
def test_gram_matrix_says_what_is_wrong(value, says):
    text = message(_checks.gram_matrix, value)
    assert all(part in text for part in says), text


@pytest.mark.parametrize("place", [(0, 999), (999, 0), (600, 513), (513, 600), (511, 512)])
def test_gram_matrix_finds_asymmetry_wherever_it_is(place):
    gram = np.eye(1000)
    gram[place] = 1e-6
    assert "symmetric" in message(_checks.gram_matrix, gram)


def test_gram_matrix_allows_rounding_and_returns_the_values_that_came():
    gram = np.array([[2, 1 + 1e-9], [1, 2]])
    assert np.array_equal(_checks.gram_matrix("it", gram), gram)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (np.zeros(3), ["expected 4 rows", "(3,)"]),
        (np.zeros((3, 4)), ["expected 4 rows", "(3, 4)"]),
        (np.zeros((4, 1, 1)), ["1 or 2 axes", "(4, 1, 1)"]),
        ([0, 0, 0, np.nan], ["1 NaN"]),
    ],
)
def test_targets_says_how_many_rows_came(value, says):
    text = message(_checks.targets, value, 4)
    assert all(part in text for part in says), text


def test_targets_makes_a_vector_one_column():
    assert _checks.targets("it", [1, 2, 3], 3).tolist() == [[1], [2], [3]]
    assert _checks.targets("it", [[1, 2], [3, 4]], 2).tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ([1, 2.5, 3], ["whole numbers", "2.5"]),
        ([0, 1], ["between 1 and 9", "got 0"]),
        ([1, 10], ["between 1 and 9", "got 10"]),
        ([1, 3, 3], ["strictly increasing", "[1, 3, 3]"]),
        ([3, 1], ["strictly increasing", "[3, 1]"]),
        ([], ["empty"]),
        ([[1, 2]], ["0 or 1 axes", "(1, 2)"]),
        ("all", ["numeric", "str"]),
    ],
)
def test_sizes_says_which_size_is_wrong(value, says):
    text = message(_checks.sizes, value, low=1, high=9)
    assert all(part in text for part in says), text


@pytest.mark.parametrize(("value", "expected"), [([1, 9], [1, 9]), (4, [4]), (np.array([2.0, 3.0]), [2, 3])])
def test_sizes_returns_whole_numbers(value, expected):
    sizes = _checks.sizes("it", value, low=1, high=9)
    assert sizes.dtype == np.int64
    assert sizes.tolist() == expected


@pytest.mark.parametrize(
    ("value", "options", "says"),
    [
        (0, {}, ["at least 1", "got 0"]),
        (-1, {"low": 0}, ["at least 0", "got -1"]),
        (10, {"high": 9}, ["between 1 and 9", "got 10"]),
        (0, {"high": 9}, ["between 1 and 9", "got 0"]),
        (2.0, {}, ["whole number", "got 2.0"]),
        (True, {}, ["whole number", "got True"]),
        ("3", {}, ["whole number", "got '3'"]),
        (None, {}, ["whole number", "got None"]),
    ],
)
def test_count_says_what_came(value, options, says):
    text = message(_checks.count, value, **options)
    assert all(part in text for part in says), text


@pytest.mark.parametrize("value", [1, 9, np.int32(4)])
def test_count_returns_a_python_int(value):
    result = _checks.count("it", value, high=9)
    assert type(result) is int
    assert result == value


@pytest.mark.parametrize(
    ("value", "options", "says"),
    [
        (np.nan, {}, ["finite", "nan"]),
        (np.inf, {}, ["finite", "inf"]),
        (-0.1, {"low": 0}, ["at least 0", "-0.1"]),
        (0, {"low": 0, "strict": True}, ["more than 0", "got 0"]),
        ("much", {}, ["a number", "'much'"]),
        ([1, 2], {}, ["a number", "[1, 2]"]),
        (None, {}, ["a number", "None"]),
    ],
)
def test_number_says_what_came(value, options, says):
    text = message(_checks.number, value, **options)
    assert all(part in text for part in says), text


@pytest.mark.parametrize(("value", "options"), [(0, {"low": 0}), (-3, {}), (1e-300, {"low": 0, "strict": True})])
def test_number_returns_a_float(value, options):
    result = _checks.number("it", value, **options)
    assert type(result) is float
    assert result == value


@pytest.mark.parametrize("value", ["mauve", "", None, 3, "RED"])
def test_choice_lists_the_words_and_says_what_came(value):
    text = message(_checks.choice, value, ("red", "green"))
    assert "one of red, green" in text
    assert repr(value) in text


def test_choice_returns_the_word():
    assert _checks.choice("it", "green", ("red", "green")) == "green"
