import types

import numpy as np
import pandas as pd
import pytest
from sklearn import datasets

from regimes import kernels, tasks

# Patches of photographs

SHAPES = ((37, 53), (41, 29))


@pytest.fixture
def pixels(monkeypatch, rng):
    """Two photographs whose pixels all differ; scikit-learn hands them out in place of its own."""
    grey = [np.split(rng.permutation(37 * 53 + 41 * 29), [37 * 53])[i].reshape(SHAPES[i]) / 4000 for i in range(2)]
    images = [np.repeat(one[:, :, None], 3, axis=2) * 255 for one in grey]
    monkeypatch.setattr(datasets, "load_sample_images", lambda: types.SimpleNamespace(images=images))
    return grey


def places(pixels, patches):
    """(photograph, row, column) of each patch, by comparing it with every window of every photograph."""
    size = patches.shape[1]
    windows = [np.lib.stride_tricks.sliding_window_view(grey, (size, size)) for grey in pixels]
    where = [
        (i, row, column) for i, w in enumerate(windows) for row in range(w.shape[0]) for column in range(w.shape[1])
    ]
    known = np.concatenate([of_one.reshape(-1, size * size) for of_one in windows])
    known = (known - known.mean(axis=1, keepdims=True)) / known.std(axis=1, keepdims=True)
    correlation = patches.reshape(len(patches), -1) @ known.T / size**2
    assert correlation.max(axis=1) == pytest.approx(1, abs=1e-9)
    return [where[index] for index in correlation.argmax(axis=1)]


def covered(found, size):
    """All pixels under the patches found."""
    return {(i, row + a, column + b) for i, row, column in found for a in range(size) for b in range(size)}


@pytest.mark.parametrize(
    ("size", "region", "stride"), [(6, None, None), (6, 6, 1), (4, 12, 2), (3, 8, 1), (5, 11, 7), (3, 4, 5)]
)
def test_training_and_test_patches_share_no_pixel(pixels, size, region, stride):
    task = tasks.image_patches(size, region=region, stride=stride)
    found = places(pixels, task.x)
    for seed in range(5):
        train, test = task.split(len(task) // 4, seed)
        assert not covered([found[i] for i in train], size) & covered([found[i] for i in test], size)


def test_patches_of_one_region_do_overlap_when_the_stride_is_small(pixels):
    task = tasks.image_patches(4, region=12, stride=2)
    assert len(covered(places(pixels, task.x), 4)) < 16 * len(task)


@pytest.mark.parametrize(("size", "region", "stride"), [(6, 6, 6), (4, 12, 2), (3, 8, 1), (5, 11, 7)])
def test_patches_are_all_windows_of_all_regions(pixels, size, region, stride):
    expected = [
        (i, row + a, column + b)
        for i, (height, width) in enumerate(SHAPES)
        for row in range(0, height - region + 1, region)
        for column in range(0, width - region + 1, region)
        for a in range(0, region - size + 1, stride)
        for b in range(0, region - size + 1, stride)
    ]
    task = tasks.image_patches(size, region=region, stride=stride)
    assert sorted(places(pixels, task.x)) == sorted(expected)


def test_patches_of_one_region_have_its_number(pixels):
    task = tasks.image_patches(4, region=12, stride=2)
    corner = [(i, row // 12, column // 12) for i, row, column in places(pixels, task.x)]
    assert (
        len(set(zip(corner, task.region.tolist(), strict=True))) == len(set(corner)) == len(set(task.region.tolist()))
    )


def test_patches_have_mean_zero_and_variance_one():
    x = tasks.image_patches().x
    assert x.shape[1:] == (6, 6, 1)
    assert len(x) > 5000
    assert np.abs(x.mean(axis=(1, 2, 3))).max() < 1e-12
    assert x.var(axis=(1, 2, 3)) == pytest.approx(1, abs=1e-10)


def test_nearly_constant_patches_are_left_out(pixels):
    flat, faint, strong = (slice(row, row + 6) for row in (0, 6, 12))
    for image in datasets.load_sample_images().images:
        image[:, :, :] = 128.0
        pattern = np.resize([1.0, -1.0], (6, 6))[:, :, None]  # columns of standard deviation 1
        image[faint, 0:6] += 0.019 * 255 * pattern
        image[strong, 0:6] += 0.021 * 255 * pattern
        assert np.ptp(image[flat]) == 0
    task = tasks.image_patches(6)
    assert len(task) == 2
    assert task.x[:, :, :, 0] == pytest.approx(np.broadcast_to(np.resize([1.0, -1.0], (6, 6)), (2, 6, 6)))


def test_too_many_patches_wanted_says_how_many_there_are(pixels):
    available = len(tasks.image_patches(6))
    assert len(tasks.image_patches(6, count=available)) == available
    with pytest.raises(ValueError, match=f"`count` must be at most {available}, .* got {available + 1}"):
        tasks.image_patches(6, count=available + 1)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"size": 1}, "`size` must be between 2 and 29, got 1"),
        ({"size": 30}, "`size` must be between 2 and 29, got 30"),
        ({"size": 6.0}, "`size` must be a whole number"),
        ({"region": 5}, "`region` must be between 6 and 29, got 5"),
        ({"region": 30}, "`region` must be between 6 and 29, got 30"),
        ({"stride": 0}, "`stride` must be at least 1, got 0"),
        ({"count": 0}, "`count` must be at least 1, got 0"),
    ],
)
def test_patches_that_do_not_fit_are_refused(pixels, options, says):
    with pytest.raises(ValueError, match=says):
        tasks.image_patches(**options)


def test_same_seed_draws_the_same_patches(pixels):
    one, same, other = (tasks.image_patches(count=40, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one.x, same.x)
    assert np.array_equal(one.region, same.region)
    assert not np.array_equal(one.x, other.x)


def test_fewer_patches_are_the_first_of_more(pixels):
    assert np.array_equal(tasks.image_patches(count=20).x, tasks.image_patches(count=40).x[:20])


# Other inputs and targets


def test_digits_are_normalised_images_with_their_own_labels():
    task, raw = tasks.digits(), datasets.load_digits()
    assert task.x.shape == (1797, 8, 8, 1)
    assert task.y.shape == (1797, 10)
    assert np.abs(task.x.mean(axis=(1, 2, 3))).max() < 1e-12
    assert task.x.var(axis=(1, 2, 3)) == pytest.approx(1, abs=1e-10)
    correlation = [np.corrcoef(task.x[i].ravel(), raw.images[i].ravel())[0, 1] for i in (0, 700, 1796)]
    assert correlation == pytest.approx([1, 1, 1])
    assert np.array_equal(task.y.argmax(axis=1), raw.target)


@pytest.mark.parametrize("dim", [1, 4])
def test_sphere_points_have_the_norm_of_gaussian_ones_and_no_direction(dim):
    x = tasks.sphere(4000, dim, seed=0).x
    assert x.shape == (4000, dim + 1)
    assert np.linalg.norm(x, axis=1) == pytest.approx(np.sqrt(dim + 1))
    assert np.abs(x.T @ x / 4000 - np.eye(dim + 1)).max() < 4 * np.sqrt(2 / 4000)


def test_torus_points_lie_on_circles_and_fill_them():
    x = tasks.torus(4000, 3, seed=0).x
    assert x.shape == (4000, 6)
    assert x[:, :3] ** 2 + x[:, 3:] ** 2 == pytest.approx(2)
    assert np.abs(x.mean(axis=0)).max() < 4 / np.sqrt(4000)
    assert np.abs(x.T @ x / 4000 - np.eye(6)).max() < 4 / np.sqrt(4000)


def test_teacher_student_labels_are_a_scaled_reproducible_function_of_the_inputs():
    one, same, other = (tasks.teacher_student(500, 4, seed, outputs=3) for seed in (1, 1, 2))
    assert np.array_equal(one.x, same.x)
    assert np.array_equal(one.y, same.y)
    assert not np.array_equal(one.x, other.x)
    assert np.abs(one.x).max() <= 1
    assert np.abs(one.y.mean(axis=0)).max() < 1e-12
    assert np.mean(np.sum(one.y**2, axis=1)) == pytest.approx(1)
    assert one.y.shape == (500, 3)


def test_teacher_student_labels_follow_the_inputs_continuously():
    """Nearest neighbours have labels far closer than any two points: y is a function of x, not noise beside it."""
    task = tasks.teacher_student(2000, 2, 0)
    distance = np.linalg.norm(task.x[:, None] - task.x[None], axis=2) + 10 * np.eye(2000)
    assert np.mean((task.y - task.y[distance.argmin(axis=1)]) ** 2) < 0.02


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: tasks.sphere(0, 2, 0), "`n` must be at least 1, got 0"),
        (lambda: tasks.sphere(9, 0, 0), "`dim` must be at least 1, got 0"),
        (lambda: tasks.torus(9, 1.5, 0), "`dim` must be a whole number, got 1.5"),
        (lambda: tasks.teacher_student(1, 2, 0), "`n` must be at least 2, got 1"),
        (lambda: tasks.teacher_student(9, 2, 0, depth=0), "`depth` must be at least 1, got 0"),
        (lambda: tasks.teacher_student(9, 2, 0, width=0), "`width` must be at least 1, got 0"),
        (lambda: tasks.teacher_student(9, 2, 0, outputs=0), "`outputs` must be at least 1, got 0"),
        (lambda: tasks.with_noise(np.zeros((2, 1)), -0.1, 0), "`noise` must be .* at least 0, got -0.1"),
        (lambda: tasks.one_hot(["a", "a"]), "`labels` must hold at least two classes"),
        (lambda: tasks.prior(np.ones((2, 3)), 1, 0), "`gram` must be a square Gram matrix"),
        (lambda: tasks.prior([[1.0, 2.0], [2.0, 1.0]], 1, 0), "`gram` is not positive definite"),
        (lambda: tasks.prior(np.eye(2), 0, 0), "`outputs` must be at least 1, got 0"),
    ],
)
def test_bad_arguments_are_named(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_covariance_of_prior_draws_is_the_gram_matrix():
    x = tasks.sphere(12, 2, seed=0).x
    gram = kernels.fully_connected(1, kind="nngp", bias_std=0.3)(x)
    draws = 100_000
    y = tasks.prior(gram, draws, seed=1)  # each divided by sqrt(draws), so y y^T is a mean
    diagonal = np.diagonal(gram)
    stderr = np.sqrt((gram**2 + np.outer(diagonal, diagonal)) / draws)
    assert np.abs((y @ y.T - gram) / stderr).max() < 4.5


def test_power_of_the_prior_summed_over_outputs_is_the_trace_however_many_there_are():
    gram = np.diag([1.0, 2.0, 3.0])
    for outputs in (1, 7):
        draws = [tasks.prior(gram, outputs, seed) for seed in range(3000)]
        assert draws[0].shape == (3, outputs)
        assert np.mean([np.sum(y**2) for y in draws]) == pytest.approx(6, abs=4 * np.sqrt(2 * 14 / outputs / 3000))


def test_noise_has_its_variance_summed_over_outputs_and_is_independent_of_the_labels(rng):
    y = rng.standard_normal((50_000, 4))
    added = tasks.with_noise(y, 0.8, seed=3) - y
    assert np.var(added, axis=0) == pytest.approx([0.2] * 4, rel=4 * np.sqrt(2 / 50_000))
    assert np.abs(np.corrcoef(np.hstack([added, y]).T) - np.eye(8)).max() < 4.5 / np.sqrt(50_000)
    assert np.array_equal(tasks.with_noise(y, 0.8, seed=3) - y, added)
    assert not np.array_equal(tasks.with_noise(y, 0.8, seed=4) - y, added)


def test_no_noise_leaves_the_labels_as_they_are(rng):
    y = rng.standard_normal((9, 2))
    assert np.array_equal(tasks.with_noise(y, 0, seed=3), y)


def test_one_hot_is_centred_indicator_columns_in_sorted_order():
    y = tasks.one_hot(["b", "a", "b", "c"])
    assert y.tolist() == [[-0.25, 0.5, -0.25], [0.75, -0.5, -0.25], [-0.25, 0.5, -0.25], [-0.25, -0.5, 0.75]]
    assert np.array_equal(tasks.one_hot(np.array([[7], [2], [7]])), tasks.one_hot([1, 0, 1]))


# Splits


def pool(region=None, samples=60):
    return tasks.Task("pool", np.arange(samples, dtype=float)[:, None], region=region)


@pytest.fixture
def regions(rng):
    """Sixty samples in some twenty regions, whose numbers are neither in order nor without gaps."""
    return 7 * rng.integers(0, 20, 60) - 5


def test_split_of_samples_on_their_own_uses_all_of_them_once():
    train, test = pool().split(15, seed=0)
    assert len(test) == 15
    assert sorted([*train, *test]) == list(range(60))


def test_split_keeps_regions_whole(regions):
    for seed in range(20):
        train, test = pool(regions).split(15, seed)
        assert len(test) == 15
        assert not set(regions[train]) & set(regions[test])
        assert len(set(train) | set(test)) == len(train) + len(test)


def test_split_leaves_out_no_more_than_what_the_last_region_has_too_many(regions):
    most = np.bincount(regions + 5).max()
    for seed in range(20):
        train, test = pool(regions).split(15, seed)
        assert 60 - len(train) - len(test) < most


def test_split_draws_every_sample_into_the_test_set_equally_often():
    """Also with regions, all of one size: 400 draws of a quarter."""
    for region in (None, np.arange(60) // 3):
        times = np.bincount(np.concatenate([pool(region).split(15, seed)[1] for seed in range(400)]), minlength=60)
        assert np.abs(times - 100).max() < 4.5 * np.sqrt(400 * 0.25 * 0.75)


def test_split_comes_in_random_order_within_and_between_regions():
    train, test = pool(np.arange(60) // 3).split(30, seed=0)
    for part in (train, test):
        assert np.abs(np.corrcoef(part, np.arange(len(part)))[0, 1]) < 0.6
        assert np.mean(np.diff(part // 3) == 0) < 0.3


def test_same_seed_splits_alike(regions):
    for region in (None, regions):
        one, same, other = (np.concatenate(pool(region).split(15, seed)) for seed in (1, 1, 2))
        assert np.array_equal(one, same)
        assert not np.array_equal(one, other)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("test", "says"), [(0, "between 1 and 59, got 0"), (60, "between 1 and 59, got 60"), (1.5, "whole number, got 1.5")]
)
def test_test_sets_that_leave_no_pool_are_refused(test, says):
    with pytest.raises(ValueError, match=f"`test` must be .*{says}"):
        pool().split(test, seed=0)


def test_test_set_that_leaves_no_region_for_training_is_refused():
    with pytest.raises(ValueError, match="`test` = 31 leaves no region for training; 2 regions"):
        pool(np.arange(60) % 2).split(31, seed=0)


def test_task_prints_as_a_sentence():
    text = str(tasks.Task("pool", np.zeros((5, 2, 2, 1)), np.zeros((5, 3)), description="all of it"))
    assert text == "pool: 5 samples of shape (2, 2, 1), 3 outputs (all of it)"
    assert "no labels" in str(pool())
    assert len(pool()) == 60


# The user's own files

X = np.arange(60.0).reshape(20, 3) ** 2


@pytest.mark.parametrize("name", tasks.BUILT_IN)
def test_built_in_data_load_by_name(name):
    task = tasks.load(name, seed=1)
    assert len(task) > 1000
    assert np.isfinite(task.x).all()


def test_npy_holds_inputs_of_any_shape(tmp_path):
    np.save(tmp_path / "mine.npy", X.reshape(5, 2, 2, 3).astype(np.float32))
    task = tasks.load(str(tmp_path / "mine.npy"))
    assert task.name == "mine"
    assert task.y is None
    assert task.x.dtype == np.float64
    assert np.array_equal(task.x, X.reshape(5, 2, 2, 3))


def test_npz_holds_inputs_and_maybe_labels(tmp_path, rng):
    y = rng.standard_normal((20, 2))
    np.savez(tmp_path / "bare.npz", x=X)
    np.savez(tmp_path / "labelled.npz", x=X, y=y)
    bare, labelled = (tasks.load(str(tmp_path / f"{name}.npz")) for name in ("bare", "labelled"))
    assert bare.y is None
    assert np.array_equal(bare.x, X)
    assert np.array_equal(labelled.x, X)
    assert labelled.y == pytest.approx(y - y.mean(axis=0))


def csv(folder, text, name="mine.csv"):
    (folder / name).write_text(text)
    return tasks.load(str(folder / name))


def table(label=None, values=()):
    """CSV text of X, with one column more, in the middle."""
    head = ["a", label, "b", "c"] if label else ["a", "b", "c"]
    rows = [[row[0], values[i], *row[1:]] if label else row for i, row in enumerate(X)]
    return "\n".join(",".join(str(cell) for cell in row) for row in [head, *rows])


def test_csv_without_a_label_column_is_all_inputs(tmp_path):
    task = csv(tmp_path, table())
    assert task.y is None
    assert np.array_equal(task.x, X)


@pytest.mark.parametrize("label", ["y", "target", "label", "class", "Label"])
def test_csv_column_with_a_labels_name_holds_them(tmp_path, label):
    values = np.linspace(0, 1, 20)
    task = csv(tmp_path, table(label, values))
    assert np.array_equal(task.x, X)
    assert task.y == pytest.approx(values[:, None] - 0.5)


@pytest.mark.parametrize("values", [["cat", "dog"] * 10, [3, 7] * 10, [True, False] * 10, [1.0, 2.0] * 10])
def test_labels_that_are_words_or_few_whole_numbers_are_classes(tmp_path, values):
    expected = tasks.one_hot(values)
    assert np.array_equal(csv(tmp_path, table("y", values)).y, expected)
    np.savez(tmp_path / "mine.npz", x=X, y=np.array(values))
    assert np.array_equal(tasks.load(str(tmp_path / "mine.npz")).y, expected)


@pytest.mark.parametrize("values", [range(20), [0.5, 1.5] * 10, [1, 2, 3, 4] * 5])
def test_labels_that_are_many_numbers_are_values(tmp_path, values):
    expected = np.array(list(values), float)[:, None]
    assert csv(tmp_path, table("y", list(values))).y == pytest.approx(expected - expected.mean())


BAD_ARRAYS = {
    "npy with NaN": ("npy", np.where(X == 0, np.nan, X), "x in .* holds 1 NaN or infinite values of 60"),
    "npy of a vector": ("npy", np.ones(5), r"must have shape \(samples, ...\), got \(5,\)"),
    "npy of a number": ("npy", np.ones(()), "must have shape"),
    "npy without samples": ("npy", np.zeros((0, 3)), r"is empty \(shape \(0, 3\)\)"),
    "npy of words": ("npy", np.array([["a", "b"]]), "x in .* must be numeric"),
    "npz without x": ("npz", {"inputs": X, "z": X}, "must hold an array named x, it holds inputs, z"),
    "npz with NaN": ("npz", {"x": X + np.nan}, "holds 60 NaN"),
    "npz with a shorter y": ("npz", {"x": X, "y": np.ones(19)}, r"20 rows, got shape \(19,\)"),
    "npz with one y": ("npz", {"x": X, "y": np.ones(())}, r"20 rows, got shape \(\)"),
    "npz with NaN in y": ("npz", {"x": X, "y": np.full(20, np.nan)}, "y in .* holds 20 NaN"),
    "npz with y of three axes": ("npz", {"x": X, "y": np.ones((20, 1, 1))}, "y in .* must have 1 or 2 axes"),
    "npz with one class": ("npz", {"x": X, "y": ["a"] * 20}, "at least two classes"),
}
BAD_TEXTS = {
    "empty": (".csv", b"", "the file .* is empty"),
    "text columns": (".csv", b"a,b,c\n1,red,x\n2,blue,y\n", "columns must be numbers, .* look at b, c"),
    "missing value": (".csv", b"a,b\n1,2\n3,\n", "x in .* holds 1 NaN"),
    "unknown suffix": (".txt", b"1 2 3", "must be one of photographs, .* or a .npy, .npz, .csv or .parquet file; got"),
}


def refused(path, says):
    with pytest.raises(ValueError, match=says) as raised:
        tasks.load(str(path))
    assert path.name in str(raised.value), "the file is named"
    assert "\n" not in str(raised.value).strip()


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_bad_array_files_are_refused_by_name(tmp_path, case):
    suffix, content, says = BAD_ARRAYS[case]
    path = tmp_path / f"mine.{suffix}"
    np.save(path, content) if suffix == "npy" else np.savez(path, **content)
    refused(path, says)


@pytest.mark.parametrize("case", BAD_TEXTS)
def test_bad_files_are_refused_by_name(tmp_path, case):
    suffix, content, says = BAD_TEXTS[case]
    path = tmp_path / f"mine{suffix}"
    path.write_bytes(content)
    refused(path, says)


@pytest.mark.parametrize("values", [["cat", "dog", ""] + ["cat"] * 17, [1, 2, ""] + [1] * 17])
def test_missing_labels_are_refused(tmp_path, values):
    with pytest.raises(ValueError, match=r"y in mine.csv. .*(missing|NaN)"):
        csv(tmp_path, table("y", values))


@pytest.mark.parametrize("name", ["", "nope", "Digits", "photographs "])
def test_unknown_data_lists_what_there_is(name):
    with pytest.raises(
        ValueError, match="`data` must be one of photographs, digits, characters, sphere, torus, teacher-student"
    ):
        tasks.load(name)


def test_labels_read_as_classes_are_said_to_be(tmp_path):
    pd.DataFrame({"a": range(30), "y": [0, 1, 2] * 10}).to_csv(tmp_path / "c.csv", index=False)
    assert tasks.load(str(tmp_path / "c.csv")).description == "c.csv, y read as 3 classes"
