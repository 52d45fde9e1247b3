import doctest

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.gaussian_process.kernels import RBF
from sklearn.metrics import pairwise

from regimes import _tangents, inputs, kernels, tasks

N = 130
X = np.random.default_rng(1).standard_normal((N, 4))
GRAM = pairwise.rbf_kernel(X)
GRAM = (GRAM + GRAM.T) / 2  # which scikit-learn makes symmetric only up to rounding
Y = X[:, :1] ** 2
EIGENVALUES = np.arange(1, 41.0) ** -1.5


def refused(says, source, **options):
    """The one sentence with which a source is refused."""
    with pytest.raises(ValueError, match=says) as raised:
        inputs.read(source, **options)
    text = str(raised.value)
    assert "\n" not in text
    assert text.startswith("`")
    return text


def saved(folder, name, **arrays):
    path = folder / name
    if path.suffix == ".npy":
        np.save(path, next(iter(arrays.values())))
    elif path.suffix == ".npz":
        np.savez(path, **arrays)
    else:
        path.write_text(arrays["text"])
    return path


def test_example_of_the_docstring_prints_what_stands_below_it():
    result = doctest.testmod(inputs)
    assert result.attempted == 6
    assert result.failed == 0


# What it is


@pytest.mark.parametrize(
    ("array", "kind", "says"),
    [
        (GRAM, "gram", "read as a Gram matrix; square and symmetric"),
        (X, "features", "read as features with the linear kernel"),
        (X.reshape(N, 2, 2, 1), "inputs", "read as inputs"),
        (EIGENVALUES, "eigenvalues", "a descending list of positive numbers"),
        (list(EIGENVALUES), "eigenvalues", "a descending list"),
    ],
)
def test_kind_of_an_array_is_guessed_by_its_shape_and_said(array, kind, says):
    source = inputs.read(array)
    assert source.kind == kind
    assert says in source.description
    assert np.array_equal(source.array, array)
    assert source.array.dtype == np.float64
    assert source.size == len(array)
    assert source.targets is None
    assert source.precision == "float64"


def test_stated_kind_overrules_the_guess():
    assert inputs.read(X, kind="inputs").kind == "inputs"
    assert inputs.read(GRAM, kind="features").kind == "features"
    square = np.random.default_rng(0).standard_normal((N, N))
    refused("square .130 x 130. but no Gram matrix: .* reaches .*state kind= as one of gram, features", square)
    assert inputs.read(square, kind="features").kind == "features"
    refused("`kind` must be one of gram, features, inputs, eigenvalues; got 'kernel'", GRAM, kind="kernel")


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("gram", "gram"),
        ("K", "gram"),
        ("kernel", "gram"),
        ("phi", "features"),
        ("embeddings", "features"),
        ("x", "inputs"),
        ("X", "inputs"),
        ("eigvals", "eigenvalues"),
    ],
)
def test_names_in_an_archive_and_of_a_file_tell_the_kind(tmp_path, key, kind):
    array = {"gram": GRAM, "eigenvalues": EIGENVALUES}.get(kind, GRAM[:, :-1])
    labels = {} if kind == "eigenvalues" else {"y": Y, "notes": X[:3]}
    archive = inputs.read(saved(tmp_path, "mine.npz", **{key: array}, **labels))
    alone = inputs.read(str(saved(tmp_path, f"{key}.npy", array=array)))
    for source in (archive, alone):
        assert source.kind == kind
        assert "by its name" in source.description
        assert np.array_equal(source.array, array)
    assert archive.name == "mine"
    assert "mine.npz" in archive.description
    if kind != "eigenvalues":
        assert archive.targets == pytest.approx(Y - Y.mean())


def test_archive_of_two_matrices_asks_which(tmp_path):
    path = saved(tmp_path, "two.npz", gram=GRAM, x=X, y=Y)
    refused(r"two.npz must hold one array to analyse.*2 of them \(gram, x\).*state kind=", path)
    assert np.array_equal(inputs.read(path, kind="gram").array, GRAM)
    assert np.array_equal(inputs.read(path, kind="inputs").array, X)


def test_archive_of_one_array_is_read_whatever_its_name(tmp_path):
    assert inputs.read(saved(tmp_path, "one.npz", arr_0=X)).kind == "features"
    refused("holds none, of a, b", saved(tmp_path, "none.npz", a=X, b=X))


def text(matrix, header="", index=False):
    rows = [",".join([*([str(i)] if index else []), *map(repr, map(float, row))]) for i, row in enumerate(matrix)]
    return "\n".join([*([header] if header else []), *rows]) + "\n"


def test_gram_matrix_in_a_table_with_and_without_header(tmp_path):
    for i, header in enumerate(["", ",".join(map(str, range(N))), ",".join(f"id{j}" for j in range(N))]):
        source = inputs.read(saved(tmp_path, f"{i}.csv", text=text(GRAM, header)))
        assert source.kind == "gram"
        assert np.array_equal(source.array, GRAM)
    header = ",".join(["", *map(str, range(N))])
    refused(
        "looks like a row index; write it with index=False", saved(tmp_path, "i.csv", text=text(GRAM, header, True))
    )


def test_table_holds_inputs_and_labels(tmp_path):
    table = text(np.hstack([X, Y]), "a,b,c,d,y")
    source = inputs.read(saved(tmp_path, "mine.csv", text=table))
    assert source.kind == "inputs"
    assert np.array_equal(source.array, X)
    assert source.targets == pytest.approx(Y - Y.mean())
    other = inputs.read(tmp_path / "mine.csv", column="a")
    assert np.array_equal(other.array, np.hstack([X[:, 1:], Y]))
    assert other.targets == pytest.approx(X[:, :1] - X[:, :1].mean())
    frame = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "label": ["up", "down"] * (N // 2)})
    assert inputs.read(frame).classes == ("down", "up")
    assert inputs.read(pd.DataFrame(X)).kind == "inputs"
    assert inputs.read(pd.DataFrame(GRAM)).kind == "gram"
    refused("no column 'z'; its columns are a, b, c, d, y", tmp_path / "mine.csv", column="z")
    refused("first line must name the columns", saved(tmp_path, "bare.csv", text=text(X)))


def test_list_of_eigenvalues_in_a_table(tmp_path):
    for i, header in enumerate(["", "eigenvalue", "anything"]):
        source = inputs.read(saved(tmp_path, f"{i}.csv", text=text(EIGENVALUES[:, None], header)))
        assert source.kind == "eigenvalues"
        assert np.array_equal(source.array, EIGENVALUES)


def test_one_column_of_inputs_is_told_by_stating_it(tmp_path):
    path = saved(tmp_path, "line.csv", text=text(X[:, :1], "a"))
    refused("is a list of 130 numbers, .* not positive; state kind=", path)
    assert np.array_equal(inputs.read(path, kind="inputs").array, X[:, :1])


def test_parquet_is_read_through_pandas(tmp_path, monkeypatch):
    """With pyarrow where it is installed; what pandas returns is treated the same without."""
    frame = pd.DataFrame(np.hstack([X, Y]), columns=[*"abcd", "y"])
    path = tmp_path / "mine.parquet"
    try:
        frame.to_parquet(path)
    except ImportError:
        path.write_bytes(b"PAR1")
        refused("needs pyarrow; install it, or write a .csv", path)
        monkeypatch.setattr(pd, "read_parquet", lambda _: frame)
    source = inputs.read(path)
    assert source.kind == "inputs"
    assert np.array_equal(source.array, X)
    assert source.targets == pytest.approx(Y - Y.mean())
    frame["colour"] = "red"
    monkeypatch.setattr(pd, "read_parquet", lambda _: frame)
    refused("mine.parquet could not be read as a table: its columns must be numbers, .*look at colour", path)
    monkeypatch.setattr(pd, "read_parquet", lambda _: pd.DataFrame({"a": pd.array([1, None, 3], dtype="Int64")}))
    refused("holds 1 NaN or infinite values of 3", path)


def test_tasks_and_built_in_names_are_inputs_with_their_regions():
    source = inputs.read("digits")
    assert source.kind == "inputs"
    assert np.array_equal(source.array, tasks.digits().x)
    assert np.array_equal(source.targets, tasks.digits().y)
    task = tasks.Task("mine", X, Y, region=np.arange(N) // 2, description="made up")
    again = inputs.read(task).task()
    assert np.array_equal(again.x, X)
    assert np.array_equal(again.region, task.region)
    assert np.array_equal(inputs.read(task).take([4, 1]).region, [2, 0])
    assert inputs.read("sphere", seed=1).size == 4000
    assert not np.array_equal(inputs.read("sphere", seed=1).array, inputs.read("sphere", seed=2).array)
    with pytest.raises(ValueError, match="must be raw inputs for a model to run on, got a Gram matrix"):
        inputs.read(GRAM).task()


# Gram matrices


def test_gram_of_features_is_their_inner_product():
    expected = np.array([[sum(a * b for a, b in zip(one, other, strict=True)) for other in X[:9]] for one in X[:9]])
    assert inputs.read(X).gram(rows=range(9)) == pytest.approx(expected, rel=1e-13)
    assert inputs.read(X).gram().shape == (N, N)


def test_gram_of_a_gram_matrix_is_its_submatrix():
    source = inputs.read(GRAM)
    rows = [5, 2, 77]
    assert np.array_equal(source.gram(), GRAM)
    assert np.array_equal(source.gram(rows=rows), [[GRAM[i, j] for j in rows] for i in rows])
    with pytest.raises(ValueError, match="`kernel` must be None"):
        source.gram(pairwise.rbf_kernel)


@pytest.mark.parametrize(
    "kernel",
    [pairwise.rbf_kernel, RBF(2**-0.5), lambda a, b: np.exp(-0.25 * ((a[:, None] - b) ** 2).sum(axis=-1))],
    ids=["pairwise", "gaussian process", "callable"],
)
def test_gram_of_inputs_through_any_callable(kernel):
    gamma = 1.0 if isinstance(kernel, RBF) else 0.25
    expected = np.exp(-gamma * ((X[:, None] - X) ** 2).sum(axis=-1))
    source = inputs.read(X, kind="inputs")
    assert source.gram(kernel) == pytest.approx(expected, rel=1e-10)
    assert source.gram(kernel, rows=[3, 1]) == pytest.approx(expected[[3, 1]][:, [3, 1]], rel=1e-10)
    assert inputs.read(X).gram(kernel) == pytest.approx(expected, rel=1e-10)
    assert inputs.as_kernel(kernel)(X[:5], X[5:8]) == pytest.approx(expected[:5, 5:8], rel=1e-10)


def test_model_and_kernel_fn_of_neural_tangents_give_the_same_gram_matrix():
    stax = _tangents.load().stax
    layers = [stax.Dense(1, W_std=2**0.5, b_std=0.1), stax.Relu(), stax.Dense(1, W_std=2**0.5, b_std=0.1)]
    kernel_fn = stax.serial(*layers)[2]
    source, images = inputs.read(X, kind="inputs"), inputs.read(X.reshape(N, 2, 2, 1), kind="inputs")
    for get in ("ntk", "nngp"):
        model = kernels.fully_connected(depth=1, kind=get, bias_std=0.1)
        expected = model(X)
        assert np.array_equal(source.gram(model), expected)
        theirs = source.gram(inputs.as_kernel(kernel_fn, get=get))
        assert theirs.dtype == np.float64
        off = ~np.eye(N, dtype=bool)
        assert theirs[off] == pytest.approx(expected[off], rel=1e-10)
        assert theirs == pytest.approx(expected, rel=2**-26)  # an angle of zero is known to the root of the rounding
    named = inputs.as_kernel(lambda a, b: kernel_fn(a, None if a is b else b), get="nngp")
    assert source.gram(named) == pytest.approx(theirs, rel=1e-12)
    flat = inputs.as_kernel(kernel_fn, get="nngp", flatten=True)
    assert images.gram(flat) == pytest.approx(theirs, rel=1e-12)
    assert flat(X[:9], X[9:]) == pytest.approx(theirs[:9, 9:], rel=1e-10)


def test_kernels_in_single_precision_are_accepted_and_made_symmetric():
    noisy = GRAM.astype(np.float32)
    noisy[0, 1] *= 1 + 2e-7
    gram = inputs.as_kernel(lambda a, b: noisy)(X)
    assert gram.dtype == np.float64
    assert np.array_equal(gram, gram.T)
    assert gram == pytest.approx(GRAM, rel=1e-6)


@pytest.mark.parametrize(
    ("kernel", "says"),
    [
        (None, "`kernel` must be given for raw inputs"),
        (GRAM, "must be callable as .* got ndarray; pass a Gram matrix itself as the source"),
        (lambda a, b: 1.0, r"must return a matrix of shape \(130, 130\), .* got shape \(\)"),
        (lambda a, b: a, r"got shape \(130, 4\)"),
        (lambda a, b: a @ a.T * np.nan, "`kernel` holds 16900 NaN"),
        (lambda a, b: (a @ b.T) * 1j, "`kernel`: its result holds complex"),
        (lambda a, b: np.tril(a @ b.T), "`kernel` must be symmetric"),
        (lambda a, b: a @ b, "`kernel` failed on inputs of shape .130, 4.: matmul"),
        (lambda a: a, "`kernel` failed on inputs"),
    ],
)
def test_kernels_that_give_no_gram_matrix_are_refused(kernel, says):
    with pytest.raises(ValueError, match=says):
        inputs.read(X, kind="inputs").gram(kernel)


def test_kernel_of_vectors_says_how_to_flatten_images():
    images = inputs.read(X.reshape(N, 2, 2, 1), kind="inputs")
    with pytest.raises(ValueError, match="flatten=True"):
        images.gram(pairwise.rbf_kernel)
    assert images.gram(inputs.as_kernel(pairwise.rbf_kernel, flatten=True)) == pytest.approx(GRAM, rel=1e-12)


# Some of the samples


@given(st.lists(st.integers(0, N - 1), min_size=1, unique=True))
def test_taking_and_making_the_gram_matrix_commute(rows):
    for source in (inputs.read(GRAM, targets=Y), inputs.read(X, targets=Y)):
        part = source.take(rows)
        assert part.gram() == pytest.approx(source.gram(rows=rows), rel=1e-12, abs=1e-14)
        assert np.array_equal(part.targets, source.targets[rows])
        mask = np.isin(np.arange(N), rows)
        assert np.array_equal(source.take(mask).targets, source.targets[np.sort(rows)])


def test_half_is_random_and_has_half_of_the_samples():
    source = inputs.read(X, targets=Y)
    halves = [source.half(seed) for seed in (0, 0, 1)]
    assert [half.size for half in halves] == [65, 65, 65]
    assert np.array_equal(halves[0].array, halves[1].array)
    assert not np.array_equal(halves[0].array, halves[2].array)
    assert {row.tobytes() for row in halves[2].array} < {row.tobytes() for row in source.array}


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([0, N], "between 0 and 129, got 0 to 130"),
        ([-1], "got -1 to -1"),
        ([1, 1, 2, 2], "must not repeat, but 2 do"),
        ([0.5], "whole numbers or a mask"),
        ([], "whole numbers or a mask"),
        ([True], "a mask must have length 130"),
    ],
)
def test_rows_that_are_not_there_are_refused(rows, says):
    for action in (inputs.read(X).take, lambda rows: inputs.read(GRAM).gram(rows=rows)):
        with pytest.raises(ValueError, match=f"`rows`.*{says}"):
            action(rows)


def test_bare_eigenvalues_have_no_samples():
    source = inputs.read(EIGENVALUES)
    for action in (source.gram, lambda: source.take([0]), source.half):
        with pytest.raises(ValueError, match="bare list of eigenvalues"):
            action()
    refused("`targets` need samples", EIGENVALUES, targets=EIGENVALUES)
    assert str(source) == (
        "eigenvalues: 40 eigenvalues (an array, read as eigenvalues; a descending list of positive numbers)"
    )


# Targets


@pytest.mark.parametrize(
    ("targets", "classes", "says"),
    [
        (Y[:, 0], None, "targets centred"),
        (np.hstack([Y, X]), None, "targets centred"),
        (["no", "yes"] * 65, ("no", "yes"), "targets read as 2 classes"),
        (np.arange(N) % 3, ("0", "1", "2"), "targets read as 3 classes"),
        (np.arange(N) % 3 - 1.0, ("-1", "0", "1"), "targets read as 3 classes"),
        (np.arange(N)[:, None] % 3, ("0", "1", "2"), "targets read as 3 classes"),
        (np.arange(N), None, "targets centred"),
    ],
)
def test_targets_are_values_or_classes_and_centred(targets, classes, says):
    source = inputs.read(GRAM, targets=targets)
    array = np.asarray(targets)
    if classes is None:
        expected = array.reshape(N, -1) - array.reshape(N, -1).mean(axis=0)
    else:
        indicator = np.array(
            [[float(str(label) == name or label == name) for name in np.unique(array)] for label in array.ravel()]
        )
        expected = indicator - indicator.mean(axis=0)
    assert source.targets == pytest.approx(expected, abs=1e-12)
    assert source.classes == classes
    assert says in source.description


def test_targets_of_every_file_are_the_same(tmp_path):
    words = [f"c{i % 4}" for i in range(N)]
    files = [
        saved(tmp_path, "t.npy", t=np.array(words)),
        saved(tmp_path, "y.npz", y=np.array(words), other=X),
        saved(tmp_path, "one.npz", anything=np.array(words)),
        saved(tmp_path, "t.csv", text="\n".join(["colour", *words])),
        saved(tmp_path, "ids.csv", text="\n".join(["id,label", *(f"{i},{w}" for i, w in enumerate(words))])),
        pd.DataFrame({"label": words}),
    ]
    for path in files:
        source = inputs.read(X, targets=path)
        assert source.classes == ("c0", "c1", "c2", "c3")
        assert np.array_equal(source.targets, tasks.one_hot(words))
    bare = saved(tmp_path, "bare.csv", text=text(np.hstack([Y, X])))
    assert inputs.read(X, targets=bare).targets == pytest.approx(np.hstack([Y, X]) - np.hstack([Y, X]).mean(axis=0))
    assert inputs.read(X, targets=files[4], column="id").classes is None
    two = saved(tmp_path, "two.npz", a=Y, b=Y)
    refused("`targets`: .*two.npz holds a, b; name one as column=", X, targets=two)
    assert inputs.read(X, targets=two, column="b").targets == pytest.approx(Y - Y.mean())
    refused("`column`: the targets have no 'c'; there is a, b", X, targets=two, column="c")


def test_stated_targets_win_over_those_of_the_file(tmp_path):
    path = saved(tmp_path, "mine.npz", x=X, y=-Y)
    assert inputs.read(path, targets=Y).targets == pytest.approx(Y - Y.mean())


@pytest.mark.parametrize(
    ("targets", "says"),
    [
        (Y[:-1], r"one row per sample: expected 130 rows, got shape \(129, 1\)"),
        (np.ones(()), r"130 rows, got shape \(\)"),
        (np.where(Y > 1, np.nan, Y), "holds .* NaN or missing values of 130"),
        (np.full(N, 0.3), "is the same for all samples"),
        (np.full(N, 3), "at least two classes"),
        (Y + 1j, "complex numbers, with imaginary parts up to 1;"),
        ("none.npy", "there is no file 'none.npy'"),
        (np.ones((N, 1, 1)), "1 or 2 axes"),
    ],
)
def test_bad_targets_are_refused(targets, says):
    assert refused(says, GRAM, targets=targets).startswith("`targets`")


# Bad input


def changed(matrix, place, value):
    matrix = matrix.copy()
    matrix[place] = value
    return matrix


FILES = {
    "missing": ("none.npy", None, "there is no file"),
    "ending": ("mine.txt", b"1 2", "one of photographs, .*openml:NAME, or a .npy, .npz, .csv or .parquet file"),
    "words": ("mine.csv", b"a,b\n1,red\n2,blue\n", "could not be read as a table: its columns must be .*look at b"),
}


@pytest.mark.parametrize("case", FILES)
def test_bad_files_are_refused_by_name(tmp_path, case):
    name, content, says = FILES[case]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert name in refused(says, tmp_path / name)


def test_duplicates_are_left_out_when_told_to():
    x = np.vstack([X, X[:5], -0.0 * X[:1], 0.0 * X[:1]])
    y = np.append(Y, np.zeros(7))
    kept = [*range(N), N + 5]
    for source in (x, pairwise.rbf_kernel(x)):
        refused("6 of 137 samples repeat an earlier one .the first is row 130", source)
        once = inputs.read(source, targets=y, drop_duplicates=True)
        assert once.size == N + 1
        assert once.gram() == pytest.approx(inputs.read(source, targets=y, drop_duplicates=True).gram())
        assert once.targets[:, 0] == pytest.approx(y[kept] - y[kept].mean())
        assert "6 repeated samples left out" in once.description
    refused("without its 60 repeated samples has 65 samples", np.vstack([X[:65], X[:60]]), drop_duplicates=True)


# Large files


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_large_arrays_stay_on_disk(tmp_path, monkeypatch, dtype):
    path = saved(tmp_path, "gram.npy", g=GRAM.astype(dtype))
    phi = saved(tmp_path, "phi.npy", g=X.astype(dtype))
    in_memory = inputs.read(path), inputs.read(phi)
    monkeypatch.setattr(inputs, "MAPPED", 1000)
    mapped = inputs.read(path, targets=Y), inputs.read(phi, targets=Y)
    for one, other in zip(mapped, in_memory, strict=True):
        assert isinstance(one.array, np.memmap)
        assert not one.array.flags.writeable
        assert one.precision == other.precision == np.dtype(dtype).name
        assert not isinstance(other.array, np.memmap)
        rows = [5, 3, 100]
        assert np.array_equal(one.gram(), other.gram())
        assert one.gram(rows=rows) == pytest.approx(other.gram(rows=rows), rel=1e-15)
        assert one.take(rows).array.dtype == np.float64
        assert not isinstance(one.take(rows).array, np.memmap)
    refused("must be symmetric", saved(tmp_path, "K.npy", g=changed(GRAM, (0, 1), 0.5)))
    refused("6 of 136 samples repeat", saved(tmp_path, "x.npy", g=np.vstack([X, X[:6]])))
    refused("holds 1 NaN", saved(tmp_path, "x.npy", g=changed(X, (3, 1), np.nan)))
