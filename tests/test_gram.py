import functools
import os
import pickle
import re
import subprocess
import sys
import types

import numpy as np
import pytest
from sklearn.metrics.pairwise import laplacian_kernel, rbf_kernel
from threadpoolctl import threadpool_info, threadpool_limits

from regimes import _tangents, gram, kernels, modes, ridge

GAUSSIAN = functools.partial(rbf_kernel, gamma=0.3)
LAPLACE = functools.partial(laplacian_kernel, gamma=0.3)


@pytest.fixture
def x(rng):
    return rng.standard_normal((300, 3))


@pytest.fixture(scope="module")
def clients():
    """Dask workers: threads of this process, and processes of their own."""
    distributed = pytest.importorskip("distributed")
    quiet = {"dashboard_address": ":0", "n_workers": 2, "threads_per_worker": 2}
    with (
        distributed.LocalCluster(processes=False, **quiet) as threads,
        distributed.LocalCluster(processes=True, **quiet) as processes,
        distributed.Client(threads) as first,
        distributed.Client(processes) as second,
    ):
        yield {"threads": first, "processes": second}


def linear_kernel_plainly(one, other=None):
    return one @ (one if other is None else other).T


# The matrix


@pytest.mark.parametrize("block", [64, 100, 299, 1000])
def test_blocks_make_the_matrix(x, block):
    assert np.array_equal(gram.build(GAUSSIAN, x, block=block), gram.build(GAUSSIAN, x, block=block).T)
    assert gram.build(GAUSSIAN, x, block=block) == pytest.approx(rbf_kernel(x, gamma=0.3), rel=1e-12)
    assert gram.build(GAUSSIAN, x, x[:70], block=block) == pytest.approx(rbf_kernel(x, x[:70], gamma=0.3), rel=1e-12)


@pytest.mark.parametrize("kind", ["nngp", "ntk"])
def test_blocks_of_a_model_are_what_it_gives_in_one_call(x, kind):
    model = kernels.fully_connected(2, kind=kind)
    assert gram.build(model, x, block=128) == pytest.approx(model(x), rel=1e-12, abs=1e-13)


def test_neural_tangents_runs_in_float64(x):
    stax = _tangents.load().stax
    kernel_fn = stax.serial(stax.Dense(1, W_std=2**0.5), stax.Relu(), stax.Dense(1, W_std=2**0.5))[2]
    ntk = functools.partial(kernel_fn, get="ntk")
    expected = kernels.fully_connected(1)(x)
    found, apart = gram.build(ntk, x, block=150), ~np.eye(300, dtype=bool)
    assert found[apart] == pytest.approx(expected[apart], rel=1e-12, abs=1e-13)
    # The angle between equal inputs is rounded to 1e-8 in the derivative's kernel.
    assert np.diagonal(found) == pytest.approx(np.diagonal(expected), rel=2e-8)
    with pytest.raises(ValueError, match=r"`kernel` must return 300 x 300 entries.* ask for one kernel with `get`"):
        gram.build(kernel_fn, x)


def test_a_kernel_of_two_arguments_gets_both(x):
    def product(one, other):
        return one @ other.T

    assert gram.build(product, x, block=90) == pytest.approx(x @ x.T, rel=1e-12, abs=1e-13)


def test_only_blocks_on_and_above_the_diagonal_are_computed(x):
    entries = []

    def counted(one, other=None):
        other = one if other is None else other
        entries.append(len(one) * len(other))
        return one @ other.T

    gram.build(counted, x, block=100)
    corners = 2 * 3 * 16**2
    assert sum(entries) == 6 * 100**2 + corners
    entries.clear()
    gram.build(counted, x, x, block=100)
    assert sum(entries) == 9 * 100**2


def test_progress_counts_blocks(x):
    calls = []
    gram.build(GAUSSIAN, x, block=100, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(done, 6) for done in range(1, 7)]


# Files


def test_a_file_holds_the_same_matrix_and_appears_when_complete(x, tmp_path):
    seen = []
    out = tmp_path / "gram.npy"
    found = gram.build(GAUSSIAN, x, block=100, out=out, progress=lambda *_: seen.append(out.exists()))
    assert not any(seen)
    assert isinstance(found, np.memmap)
    assert np.array_equal(found, gram.build(GAUSSIAN, x, block=100))
    assert np.array_equal(np.load(out), found)
    assert not found.flags.writeable
    rectangle = gram.build(GAUSSIAN, x, x[:50], block=100, out=tmp_path / "cross.npy")
    assert np.array_equal(rectangle, gram.build(GAUSSIAN, x, x[:50], block=100))


def test_a_file_that_fails_leaves_nothing_and_spares_the_old_one(x, tmp_path):
    out = tmp_path / "gram.npy"
    np.save(out, np.ones(3))
    x[250, 1] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        gram.build(linear_kernel_plainly, x, block=100, out=out)
    assert np.array_equal(np.load(out), np.ones(3))
    assert [path.name for path in tmp_path.iterdir()] == ["gram.npy"]


def test_samples_may_be_a_file(x, tmp_path):
    np.save(tmp_path / "x.npy", x)
    assert np.array_equal(gram.build(GAUSSIAN, tmp_path / "x.npy", block=64), gram.build(GAUSSIAN, x, block=64))


@pytest.mark.parametrize("content", ["objects", "pickle", "empty", "text"])
def test_a_file_of_objects_is_refused(tmp_path, content):
    path = tmp_path / "x.npy"
    if content == "objects":
        np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    else:
        path.write_bytes({"pickle": pickle.dumps([1.0]), "empty": b"", "text": b"1 2 3"}[content])
    with pytest.raises(ValueError, match=r"`x`: .*x\.npy is not a \.npy file of numbers"):
        gram.build(GAUSSIAN, path)


# Memory

CHILD = """
import functools, re, sys
from pathlib import Path
import numpy as np
from sklearn.metrics.pairwise import rbf_kernel
from regimes import gram, kernels, modes

def status(name):
    return 1024 * int(re.search(name + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text()).group(1))

def peak(work):  # above what is held before; the 5 makes the peak start again from there
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    work()
    return status("VmHWM") - before

x = np.random.default_rng(0).standard_normal((3500, 3))
for kernel in (kernels.fully_connected(1), functools.partial(rbf_kernel, gamma=1.0)):
    gram.build(kernel, x[:64], block=32)
    modes.top_spectrum(kernel, x[:64], 3, block=32)
    print(peak(lambda: modes.top_spectrum(kernel, x, 20, memory=40e6)))
    print(peak(lambda: gram.build(kernel, x, memory=40e6, out=sys.argv[1])))
    print(peak(lambda: gram.build(kernel, x, memory=140e6)))
"""


@pytest.mark.slow
@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="peak memory is read as Linux gives it")
def test_memory_is_kept(tmp_path):
    command = [sys.executable, "-c", CHILD, str(tmp_path / "gram.npy")]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    for top, file, whole in np.array(result.stdout.split(), dtype=float).reshape(2, 3):
        # Compiling for the shapes of the blocks takes 10 MB or so beside.
        assert 5e6 < top < 40e6 + 15e6
        assert 5e6 < file < 40e6 + 15e6
        assert 8 * 3500**2 < whole < 140e6 + 15e6


def test_required_is_what_build_asks_for(x):
    bytes_needed = gram.required(300, block=64)
    assert bytes_needed == 8 * 300**2 + 6 * 8 * 64**2
    gram.build(GAUSSIAN, x, memory=bytes_needed)
    with pytest.raises(ValueError, match=r"`memory` is 917 kB, but a 300 x 300 Gram matrix takes 917 kB"):
        gram.build(GAUSSIAN, x, memory=bytes_needed - 1)
    assert gram.required(10, 20) == 8 * 200 + 6 * 8 * 20**2


# Products


@pytest.mark.parametrize("block", [64, 100, 1000])
def test_products_are_those_of_the_matrix(x, rng, block):
    vectors, whole = rng.standard_normal((300, 4)), rbf_kernel(x, gamma=0.3)
    assert gram.multiply(GAUSSIAN, x, vectors, block=block) == pytest.approx(whole @ vectors, rel=1e-11, abs=1e-12)
    found = gram.multiply(GAUSSIAN, x, vectors[:70, 0], x[:70], block=block)
    assert found[:, 0] == pytest.approx(whole[:, :70] @ vectors[:70, 0], rel=1e-11, abs=1e-12)
    assert gram.multiply(whole, None, vectors, block=block) == pytest.approx(whole @ vectors, rel=1e-11, abs=1e-12)


# Subsets


def test_subsets_are_disjoint_as_long_as_they_can_be():
    parts = gram.subsets(100, 30, 5, seed=1)
    assert [len(part) for part in parts] == [30] * 5
    assert len(np.unique(np.concatenate(parts[:3]))) == 90
    assert all(len(np.unique(part)) == 30 and part.min() >= 0 and part.max() < 100 for part in parts)
    assert not np.array_equal(parts[0], parts[3])
    again = gram.subsets(100, 30, 3, seed=1)
    assert all(np.array_equal(one, other) for one, other in zip(parts, again, strict=False))
    # In random order: every place sees every sample.
    first = np.array([gram.subsets(10, 3, seed=seed)[0] for seed in range(300)])
    assert np.all(np.abs(first.mean(axis=0) - 4.5) < 4 * 2.9 / 300**0.5)


def test_the_loss_read_from_subsets_is_that_of_the_whole(x):
    at, matrix = [20, 40, 80], gram.build(LAPLACE, x)
    whole = ridge.pivot_curve(matrix, at, trials=60)
    parts = gram.subsets(300, 100, 30)
    curves = np.array([ridge.pivot_curve(matrix[np.ix_(part, part)], at, trials=4).loss for part in parts])
    error = np.hypot(curves.std(axis=0) / 30**0.5, whole.stderr)
    assert np.all(np.abs(curves.mean(axis=0) - whole.loss) < 3.5 * error)
    assert np.all(error < 0.03 * whole.loss)


# Dask


@pytest.mark.parametrize("where", ["threads", "processes"])
def test_workers_give_the_same_bits(x, rng, clients, where, tmp_path):
    vectors = rng.standard_normal((300, 3))
    with threadpool_limits(1):
        serial = gram.build(GAUSSIAN, x, block=64), gram.multiply(GAUSSIAN, x, vectors, block=64)
        cross = gram.build(GAUSSIAN, x, x[:77], block=64)
        top = modes.top_spectrum(GAUSSIAN, x, 10, targets=vectors, block=64)
        moments = modes.covariance(np.exp, vectors, x=x)
    client = clients[where]
    assert np.array_equal(gram.build(GAUSSIAN, x, block=64, scheduler=client), serial[0])
    assert np.array_equal(gram.build(GAUSSIAN, x, block=64, scheduler=client, out=tmp_path / "k.npy"), serial[0])
    assert np.array_equal(gram.multiply(GAUSSIAN, x, vectors, block=64, scheduler=client), serial[1])
    assert np.array_equal(gram.build(GAUSSIAN, x, x[:77], block=64, scheduler=client), cross)
    with threadpool_limits(1):
        parallel = modes.top_spectrum(GAUSSIAN, x, 10, targets=vectors, block=64, scheduler=client)
    assert np.array_equal(parallel.eigenvalues, top.eigenvalues)
    assert np.array_equal(parallel.power, top.power)
    assert np.array_equal(modes.covariance(np.exp, vectors, x=x, scheduler=client).matrix, moments.matrix)


def test_workers_compute_the_kernels_of_networks(x, clients):
    model = kernels.fully_connected(1)
    found = gram.build(model, x, block=150, scheduler=clients["processes"].scheduler.address)
    assert found == pytest.approx(model(x), rel=1e-12, abs=1e-13)


def test_blas_threads_are_the_callers_again_after_workers_in_its_process(x, clients):
    before = [pool["num_threads"] for pool in threadpool_info()]
    gram.build(GAUSSIAN, x, block=64, scheduler=clients["threads"])
    assert [pool["num_threads"] for pool in threadpool_info()] == before


def test_an_error_on_a_worker_is_the_same_sentence(x, clients):
    x[299] = np.nan
    with pytest.raises(ValueError, match=r"`kernel` holds .* NaN .* in rows 0 to 59 against 240 to 299"):
        gram.build(linear_kernel_plainly, x, block=64, scheduler=clients["threads"])


def test_a_scheduler_that_does_not_answer(x):
    pytest.importorskip("distributed")
    with pytest.raises(ValueError, match="`scheduler`: no Dask scheduler answers at 'nonsense://1'"):
        gram.build(GAUSSIAN, x, scheduler="nonsense://1")


# Top eigenmodes


def dense(matrix, targets):
    """Eigenvalues of K/n, descending, and the power of the targets in each."""
    values, vectors = np.linalg.eigh(matrix)
    return values[::-1] / len(matrix), (np.sum((vectors.T @ targets) ** 2, axis=1) / len(matrix))[::-1]


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize(("method", "passes"), [("nystrom", 1), ("nystrom", 2), ("nystrom", 4), ("lanczos", 1)])
def test_top_spectrum_is_that_of_the_whole_matrix_to_the_stated_error(x, rng, method, passes, given):
    y, matrix = rng.standard_normal((300, 2)), laplacian_kernel(x, gamma=0.3)
    values, power = dense(matrix, y)
    kernel, inputs = (matrix, None) if given else (LAPLACE, x)
    found = modes.top_spectrum(kernel, inputs, 12, targets=y, method=method, passes=passes, block=77, vectors=True)
    apart = values[:12] - found.eigenvalues
    assert np.all(np.abs(apart) <= found.error + 1e-13)
    if method == "nystrom":  # lower bounds
        assert apart.min() > -1e-13
    assert found.vectors.T @ found.vectors == pytest.approx(np.eye(12), abs=1e-11)
    relative = {("nystrom", 1): 0.3, ("nystrom", 2): 0.02, ("nystrom", 4): 1e-4, ("lanczos", 1): 1e-12}[method, passes]
    assert found.eigenvalues == pytest.approx(values[:12], rel=relative)
    assert np.all(found.error[:6] < (1 if passes == 1 and method == "nystrom" else relative**0.5) * values[0])
    if passes == 4 or method == "lanczos":
        assert found.power == pytest.approx(power[:12], rel=0.1 if method == "nystrom" else 1e-8)
    assert found.trace == pytest.approx(values.sum(), rel=1e-12)
    assert found.total == pytest.approx(power.sum(), rel=1e-12)


def test_lanczos_by_blocks_is_lanczos_on_the_matrix(x):
    held = modes.top_spectrum(GAUSSIAN, x, 5, method="lanczos")
    streamed = modes.top_spectrum(GAUSSIAN, x, 5, method="lanczos", memory=gram.required(300) - 1, block=100)
    assert streamed.eigenvalues == pytest.approx(held.eigenvalues, rel=1e-12)


@pytest.mark.parametrize("method", ["nystrom", "lanczos"])
def test_a_kernel_of_low_rank_ends_in_zeros(x, method):
    found = modes.top_spectrum(linear_kernel_plainly, x, 6, targets=x[:, 0], method=method)
    exact = np.linalg.eigvalsh(x.T @ x / 300)[::-1]
    assert found.eigenvalues[:3] == pytest.approx(exact, rel=1e-10)
    assert np.all(np.abs(found.eigenvalues[3:]) < 1e-12)
    assert found.power[:3].sum() == pytest.approx(found.total, rel=1e-9)


def test_a_top_spectrum_prints_as_a_sentence(x):
    found = modes.top_spectrum(GAUSSIAN, x, 8)
    assert re.fullmatch(
        r"top 8 eigenvalues 0\.\d+ to 0\.\d+, \d\d\.\d% of the trace, to \S+, by randomised Nystrom, .*", str(found)
    )


# Features


@pytest.mark.parametrize("form", ["array", "file", "blocks", "pairs", "callable"])
def test_covariance_in_one_pass_is_that_of_the_whole(x, rng, form, tmp_path, monkeypatch):
    monkeypatch.setattr(modes, "_FEATURES", 8 * 64 * 3.0)
    monkeypatch.setattr(modes, "BLOCK", 64)
    y = rng.standard_normal((300, 2))
    np.save(tmp_path / "phi.npy", np.cos(x))
    features, targets, samples = {
        "array": (np.cos(x), y, None),
        "file": (tmp_path / "phi.npy", y, None),
        "blocks": ((np.cos(part) for part in np.array_split(x, 7)), y, None),
        "pairs": (((np.cos(x[i : i + 50]), y[i : i + 50]) for i in range(0, 300, 50)), None, None),
        "callable": (np.cos, y, x),
    }[form]
    found = modes.covariance(features, targets, x=samples)
    assert found.matrix == pytest.approx(np.cos(x).T @ np.cos(x) / 300, rel=1e-12)
    assert found.cross == pytest.approx(np.cos(x).T @ y / 300, rel=1e-10, abs=1e-15)
    assert found.total == pytest.approx(np.sum(y**2) / 300, rel=1e-12)
    assert found.samples == 300


@pytest.mark.parametrize("k", [40, 400])
def test_the_covariance_has_the_spectrum_of_the_gram_matrix(x, k):
    y = np.sin(2 * x[:, :2])
    phi = np.maximum(x @ np.random.default_rng(1).standard_normal((3, k)), 0)
    values, power = dense(phi @ phi.T / k, y)
    few = min(k, 300) - 5
    found = modes.covariance(phi, y).top_spectrum()
    assert found.eigenvalues[:few] == pytest.approx(values[:few], rel=1e-7)
    assert found.power[:few] == pytest.approx(power[:few], rel=1e-4, abs=1e-9)
    assert (found.trace, found.total) == pytest.approx((values.sum(), power.sum()), rel=1e-10)
    assert len(modes.covariance(phi, y).top_spectrum(7).eigenvalues) == 7


def test_a_million_samples_in_one_pass():
    def blocks():
        rng = np.random.default_rng(0)
        for _ in range(100):
            yield rng.standard_normal((10_000, 4)) @ np.diag([1.0, 2.0, 3.0, 4.0])

    found = modes.covariance(blocks())
    assert found.samples == 1_000_000
    error = np.sqrt((1 + np.eye(4)) / 1e6) * np.outer(range(1, 5), range(1, 5))
    assert np.all(np.abs(found.matrix - np.diag([1.0, 4.0, 9.0, 16.0])) < 4 * error)


# Bad input


def scaled_by_block(one, other=None):
    """A kernel that takes its length scale from the block it is asked for."""
    other = one if other is None else other
    return rbf_kernel(one, other, gamma=1 / np.var(np.vstack([one, other])))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: gram.build(lambda a, b: (a @ b.T)[:-1], x), "must return 300 x 300 entries .* got shape (299, 300)"),
        (
            lambda x: gram.build(lambda a, b: (a @ b.T).astype(np.float32), x),
            "`kernel` must return float64, got float32",
        ),
        (lambda x: gram.build(lambda a, b: 1j * a @ b.T, x), "`kernel` must return float64, got complex128"),
        (
            lambda x: gram.build(lambda a, b: a[:, :1] - b[:, :1].T, x, block=100),
            "`kernel` must be symmetric .* in rows 0 to 99 against 0 to 99",
        ),
        (
            lambda x: gram.build(scaled_by_block, x, block=100),
            "the same for every block .* in rows 0 to 99 against 100 to 199",
        ),
        (lambda x: gram.build(3, x), "`kernel` must be callable as kernel(x, other), got int"),
        (lambda x: gram.build(GAUSSIAN, []), "`x` must be samples of numbers"),
        (lambda x: gram.build(GAUSSIAN, np.array(["a"])), "`x` must be samples of numbers"),
        (
            lambda x: gram.build(GAUSSIAN, x, memory=1e5),
            "`memory` is 100 kB, but a 300 x 300 Gram matrix takes 917 kB .* `out`, .*`modes.top_spectrum`.*`subsets`",
        ),
        (lambda x: gram.multiply(GAUSSIAN, x, x, memory=1e5), "a block of 64 rows takes 197 kB: raise it"),
        (
            lambda x: gram.build(GAUSSIAN, x, out="nowhere/gram.npy"),
            "`out` must be a .npy file in a folder that exists",
        ),
        (lambda x: gram.build(GAUSSIAN, x, out="gram.npz"), "`out` must be a .npy file"),
        (lambda x: gram.multiply(GAUSSIAN, x, x[:5]), "`vectors` must have one row per sample: expected 300"),
        (lambda x: gram.multiply(x, None, x), "square float64 matrix, got float64 of shape (300, 3)"),
        (lambda x: gram.multiply(x @ x.T, x, x), "`x` and `other` must be None when `kernel` is a matrix"),
        (lambda x: gram.multiply(GAUSSIAN, None, x), "`x` must be given with a kernel"),
        (lambda x: gram.multiply(np.triu(np.ones((9, 9))), None, np.ones(9)), "the Gram matrix must be symmetric"),
        (lambda x: gram.subsets(10, 11), "`size` must be between 1 and 10, got 11"),
        (lambda x: modes.top_spectrum(GAUSSIAN, x, 301), "`rank` must be between 1 and 300, got 301"),
        (lambda x: modes.top_spectrum(GAUSSIAN, x, 9, method="power"), "`method` must be one of nystrom, lanczos"),
        (lambda x: modes.top_spectrum(GAUSSIAN, x, 99, memory=1e6), "99 eigenvectors of 300 samples take .* `rank`"),
        (lambda x: modes.top_spectrum(lambda a, b: -a @ b.T, x, 2), "`kernel` must be positive semi-definite"),
        (lambda x: modes.covariance(x, memory=100), "`memory` is 100 bytes, but the covariance of 3 features takes"),
        (lambda x: modes.covariance(iter([x]), memory=100), "the covariance of 3 features takes"),
        (lambda x: modes.covariance([x, x[:, :2]]), "as many columns in every block"),
        (lambda x: modes.covariance([x], np.ones(7)), "`targets` must have one row per sample"),
        (lambda x: modes.covariance([x[:9]], np.ones(12)), "`targets` must have one row per sample: expected 9 rows"),
        (lambda x: modes.covariance(x, np.ones(7)), "`targets` must have one row per sample"),
        (lambda x: modes.covariance(np.cos), "`x` must be given with a callable"),
        (lambda x: modes.covariance([]), "`features` is empty"),
        (lambda x: modes.covariance(3), "`features` must be an array, an iterable of blocks or a callable, got int"),
        (lambda x: modes.covariance([x * np.nan]), "`features` holds 900 NaN"),
        (lambda x: gram.required(0), "`n` must be at least 1"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_bad_input_gets_a_sentence(call, message, x):
    pattern = re.sub(r"[()]", lambda m: "\\" + m.group(), message)
    with pytest.raises(ValueError, match=pattern):
        call(x)


def test_nan_in_a_block_names_it(x):
    x[150, 0] = np.nan
    with pytest.raises(
        ValueError, match=r"`kernel` holds 100 NaN or infinite values in rows 0 to 99 against 100 to 199, .* \(0, 150\)"
    ):
        gram.build(linear_kernel_plainly, x, block=100)


def test_a_disk_too_small_is_refused_before_work(x, tmp_path, monkeypatch):
    monkeypatch.setattr(gram.shutil, "disk_usage", lambda _: types.SimpleNamespace(free=1000))
    with pytest.raises(ValueError, match=r"`out`: .* takes 720 kB, but only 1 kB are free"):
        gram.build(GAUSSIAN, x, out=tmp_path / "gram.npy")
    assert list(tmp_path.iterdir()) == []
