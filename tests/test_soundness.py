import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import pairwise

from regimes import inputs, soundness

N = 130
X = np.random.default_rng(1).standard_normal((N, 4))
GRAM = pairwise.rbf_kernel(X)
GRAM = (GRAM + GRAM.T) / 2  # which scikit-learn makes symmetric only up to rounding
EIGENVALUES = np.arange(1, 41.0) ** -1.5


def refused(says, source, **options):
    """Arrays come in by the door that users take; what refuses them is one sentence."""
    with pytest.raises(ValueError, match=says) as raised:
        inputs.read(source, **options)
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith("`source`")


def changed(matrix, place, value):
    matrix = matrix.copy()
    matrix[place] = value
    return matrix


CENTRED = GRAM - 0.5
BAD = {
    "not square": (X, "gram", r"must be a square Gram matrix, got shape \(130, 4\); for features say kind='features'"),
    "not symmetric": (changed(GRAM, (0, 1), 0.9), "gram", r"must be symmetric, but .* reaches [\d.e-]+ of its largest"),
    "negative": (CENTRED, "gram", r"negative eigenvalues on 130 of 130 samples, down to -\d"),
    "zero diagonal": (changed(GRAM, (0, 0), 0), "gram", "1 diagonal entries .* not positive .the smallest is 0"),
    "NaN": (changed(GRAM, (3, 4), np.nan), None, "holds 1 NaN or infinite values of 16900"),
    "infinite": (changed(X, (3, 1), np.inf), None, "holds 1 NaN or infinite values of 520"),
    "constant": (np.full((N, 3), 2.5), None, "all 390 entries of an array are 2.5; there is nothing"),
    "duplicates": (changed(X, [7, 9], X[3]), None, "2 of 130 samples repeat an earlier one .the first is row 7"),
    "few": (X[:99], None, "has 99 samples; at least 100 are needed"),
    "empty": (np.zeros((0, 3)), None, r"is empty \(shape \(0, 3\)\)"),
    "number": (np.ones(()), None, "is one number"),
    "complex": (X + 2j, None, "complex numbers, with imaginary parts up to 2; pass real ones"),
    "objects": (np.array([[{}, 1]] * N, dtype=object), None, "must hold real numbers, got 260 entries of object"),
    "words": (np.array([["a", "b"]] * N), None, "must hold real numbers"),
    "ragged": ([[1, 2], [3]], None, "is no array of numbers"),
    "masked": (np.ma.masked_greater(X, 2), None, "masks .* entries; remove or fill them"),
    "six axes": (X.reshape(N, 1, 1, 1, 2, 2), None, "has 6 axes"),
    "features of three axes": (X.reshape(N, 2, 2), "features", r"reshape it to \(samples, -1\)"),
    "eigenvalues of two axes": (X, "eigenvalues", r"reshape it to \(number,\)"),
    "neither": (np.sort(X[:, 0]), None, "list of 130 numbers, 129 of which are larger .*state kind="),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arrays_are_refused(case):
    array, kind, says = BAD[case]
    refused(says, array, kind=kind)


def test_sparse_matrices_are_refused():
    from scipy import sparse

    refused("is a sparse matrix of shape .130, 4.; pass its .toarray", sparse.csr_array(X))


def test_eigenvalues_are_sorted_and_zeros_left_out_aloud():
    values = np.append(EIGENVALUES, [0.0, -1e-18, 1e-17])
    source = inputs.read(values[::-1], kind="eigenvalues")
    assert np.array_equal(source.array, EIGENVALUES)
    assert "sorted; 3 eigenvalues that are zero up to rounding left out" in source.description
    refused("is a list of 43 numbers, 41 of which are larger .* and 2 not positive; state kind=", values[::-1])
    refused("1 of 41 eigenvalues are negative, down to -0.1", np.append(EIGENVALUES, -0.1), kind="eigenvalues")
    refused("9 positive eigenvalues; at least 10", EIGENVALUES[:9])


def test_close_points_are_not_taken_for_copies():
    x = np.sort(np.random.default_rng(0).uniform(0, 1, 300))[:, None]
    assert np.diff(x[:, 0]).min() < 1e-4
    assert inputs.read(pairwise.rbf_kernel(x, gamma=10)).size == 300
    assert inputs.read(x, kind="inputs").size == 300


@given(st.integers(0, 50), st.floats(1e-3, 1e3))
def test_gram_matrices_of_features_pass_and_those_with_a_negative_eigenvalue_do_not(seed, scale):
    """Low rank, hence with eigenvalues that are zero up to rounding, of either sign."""
    rng = np.random.default_rng(seed)
    phi = rng.standard_normal((120, 8))
    gram = scale * phi @ phi.T
    assert inputs.read(gram).size == 120
    direction = rng.standard_normal(120)
    direction -= phi @ np.linalg.lstsq(phi, direction)[0]
    direction /= np.linalg.norm(direction)
    refused("negative eigenvalues", gram - 1e-4 * scale * np.outer(direction, direction), kind="gram")


def test_negative_eigenvalues_are_looked_for_on_some_samples_of_a_large_matrix(monkeypatch):
    monkeypatch.setattr(soundness, "CHECKED", 50)
    assert "no negative eigenvalue found on 50 of 130 samples" in inputs.read(GRAM).description
    refused("negative eigenvalues on 50 of 130 samples", CENTRED, kind="gram")


# Single precision


def test_single_precision_is_remembered_even_in_a_file_of_doubles(tmp_path):
    single = GRAM.astype(np.float32)
    for array in (single, single.astype(np.float64)):
        np.save(tmp_path / "mine.npy", array)
        source = inputs.read(tmp_path / "mine.npy")
        assert source.kind == "gram"
        assert source.precision == "float32"
        assert source.epsilon == pytest.approx(2**-23)
        assert source.array.dtype == np.float64
        assert "numbers of float32" in source.description
    assert inputs.read(X.astype(np.float16)).precision == "float16"
    assert inputs.read(GRAM).epsilon == 2**-52
    for exact in (np.rint(X * 100), np.rint(X * 256) / 256, np.rint(X * 1e4).astype(int)):
        assert inputs.read(exact).precision == "float64"


def test_gram_matrices_computed_in_single_precision_are_not_taken_for_bad_ones():
    phi = np.random.default_rng(0).standard_normal((600, 20)).astype(np.float32)
    for gram in (phi @ phi.T, pairwise.rbf_kernel(phi / 40)):
        assert gram.dtype == np.float32
        assert np.linalg.eigvalsh(gram.astype(float))[0] < -1e-7 * gram[0, 0]
        assert inputs.read(gram).precision == "float32"


# Arrays on disk


def test_submatrix_takes_rows_and_columns_of_an_array_on_disk(tmp_path, monkeypatch, rng):
    np.save(tmp_path / "gram.npy", GRAM.astype(np.float32))
    mapped = np.load(tmp_path / "gram.npy", mmap_mode="r")
    monkeypatch.setattr(soundness, "_BLOCK", 7)
    rows = rng.permutation(N)[:20]
    part = soundness.submatrix(mapped, rows)
    assert part.dtype == np.float64
    assert part.tolist() == [[float(mapped[i, j]) for j in rows] for i in rows]


def test_asymmetry_is_found_across_blocks(monkeypatch):
    monkeypatch.setattr(soundness, "_BLOCK", 7)
    assert soundness.asymmetry(GRAM) == 0
    assert soundness.asymmetry(changed(GRAM, (3, 100), GRAM[3, 100] + 0.25)) == pytest.approx(0.25)
