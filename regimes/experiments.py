"""The experiments that a sweep file can name, computed cell by cell.

An experiment of your own is a function of a module and one line that registers it:

    def mean_of_squares(n: int, scale: float = 1.0, *, seed: int) -> dict[str, float]:
        draws = scale * np.random.default_rng(seed).standard_normal(n)
        return {"loss": float(np.mean(draws**2))}

    cells.register(cells.Experiment("mean-of-squares", mean_of_squares, version=1))

`regimes sweep --module my_experiments ...` imports `my_experiments.py` first, so that its experiments are known.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from regimes import _checks, cells, files

# Kernels, tasks and what measures them are imported in the functions that use them: sweeps of other experiments, and
# each of their worker processes, then start in a fraction of the time.

Array = np.ndarray

TARGETS = ("prior", "labels")
DRAWN = ("sphere", "torus", "teacher-student")
"""Tasks whose samples are drawn, as many as are asked for; all others are pools."""


class _Problem(NamedTuple):
    """What one trial is given."""

    x: Array
    train: Array
    test: Array
    y: Array
    kernel: Any
    seed: int


def kernel_loss(
    n: int,
    k: float = math.inf,
    ridge: float = 0.0,
    noise: float = 0.0,
    task: str = "sphere",
    dim: int = 4,
    target: str = "prior",
    outputs: int = 16,
    kernel: str = "ntk",
    depth: int = 2,
    activation: str = "relu",
    length: float | None = None,
    width: int = 64,
    tests: int = 400,
    trials: int = 4,
    replicate: int = 0,
    *,
    seed: int,
) -> dict[str, Any]:
    """Test loss of kernel regression, or of k random features, on n samples.

    Args:
        n: training samples.
        k: random features of a network; inf for the kernel itself.
        ridge: added to the diagonal of the Gram matrix.
        noise: variance of label noise, in training and test labels, so that the loss includes it.
        task: sphere, torus or teacher-student, drawn afresh; photographs, digits, `openml:NAME` or a file, as in
            [tasks.load][regimes.tasks.load].
        dim: dimension of the drawn tasks.
        target: prior draws teachers from the kernel, labels takes the task's own.
        outputs: teachers drawn at once.
        kernel: one of [pairwise.NAMES][regimes.pairwise.NAMES].
        depth: hidden layers of ntk and nngp.
        activation: of ntk and nngp.
        length: of laplace and gaussian; default the median distance.
        width: units per hidden layer of the networks behind the features.
        tests: test samples.
        trials: independent repetitions, over which the loss is averaged.
        replicate: any number: cells that differ in it alone are independent repetitions.
        seed: of all that is random.

    Returns:
        loss, its standard error over trials, and the loss of the zero predictor.
    """
    from regimes import ridge as measured

    losses, powers = [], []
    for trial in range(trials):
        problem = _problem(trial, n, noise, task, dim, target, outputs, kernel, depth, activation, length, tests, seed)
        y, y_test = problem.y[problem.train], problem.y[problem.test]
        if math.isinf(k):
            gram = _gram(problem)
            cross = gram[np.ix_(problem.train, problem.test)]
            inside = gram[np.ix_(problem.train, problem.train)]
            losses.append(measured.loss_in_n(inside, cross, y, y_test, ridge=ridge, at=[n])[0])
        else:
            phi = problem.kernel.features(problem.x, int(k), problem.seed, width=width)
            losses.append(measured.loss_at(phi[problem.train], phi[problem.test], y, y_test, ridge=ridge))
        powers.append(np.sum(y_test**2) / len(y_test))
    spread = float(np.std(losses, ddof=1) / math.sqrt(trials)) if trials > 1 else math.nan
    return {"loss": float(np.mean(losses)), "loss_stderr": spread, "loss_of_zero": float(np.mean(powers))}


def learning_curve(
    n: int,
    smallest: int = 8,
    points: int = 20,
    ridge: float = 0.0,
    noise: float = 0.0,
    task: str = "sphere",
    dim: int = 4,
    target: str = "prior",
    outputs: int = 16,
    kernel: str = "ntk",
    depth: int = 2,
    activation: str = "relu",
    length: float | None = None,
    tests: int = 400,
    trials: int = 4,
    replicate: int = 0,
    *,
    seed: int,
) -> dict[str, Any]:
    """The whole learning curve of kernel regression up to n samples, from one Cholesky factor per trial.

    Args:
        n: largest number of training samples.
        smallest: smallest.
        points: sizes between them, on a logarithmic scale.
        ridge: as in [kernel_loss][regimes.experiments.kernel_loss], like all others.
        noise: as there.
        task: as there.
        dim: as there.
        target: as there.
        outputs: as there.
        kernel: as there.
        depth: as there.
        activation: as there.
        length: as there.
        tests: as there.
        trials: as there.
        replicate: as there.
        seed: as there.

    Returns:
        loss at n, the slope of the loss in excess of the noise over all sizes, and two arrays: the sizes, and the
        losses with a row per trial.
    """
    from regimes import ridge as measured
    from regimes.results import log_slope

    sizes = np.unique(np.rint(np.geomspace(smallest, n, points)).astype(int))
    rows = []
    for trial in range(trials):
        problem = _problem(trial, n, noise, task, dim, target, outputs, kernel, depth, activation, length, tests, seed)
        gram = _gram(problem)
        inside, cross = gram[np.ix_(problem.train, problem.train)], gram[np.ix_(problem.train, problem.test)]
        y, y_test = problem.y[problem.train], problem.y[problem.test]
        rows.append(measured.loss_in_n(inside, cross, y, y_test, ridge=ridge, at=sizes))
    losses = np.array(rows)
    mean = losses.mean(axis=0)
    exponent = -log_slope(sizes, mean - noise) if len(sizes) > 2 else math.nan
    return {"loss": float(mean[-1]), "exponent": exponent, "sizes": sizes, "losses": losses}


def _problem(
    trial: int,
    n: int,
    noise: float,
    task: str,
    dim: int,
    target: str,
    outputs: int,
    kernel: str,
    depth: int,
    activation: str,
    length: float | None,
    tests: int,
    seed: int,
) -> _Problem:
    """Data, labels and kernel of one trial, from seeds of its own."""
    from regimes import pairwise, tasks

    data, split, labels, added, features = (int(s) for s in np.random.SeedSequence([seed, trial]).generate_state(5))
    pool = _drawn(task, n + tests, dim, data) if task in DRAWN else tasks.load(task, seed=data)
    if len(pool) < n + tests:
        raise ValueError(f"`n` + `tests` is {n + tests}, but {pool.name} has {len(pool)} samples.")
    train, test = pool.split(tests, split)
    if len(train) < n:
        raise ValueError(f"`n` is {n}, but {pool.name} leaves {len(train)} samples beside the test set.")
    kept = np.concatenate([train[:n], test])
    x = pool.x[kept]
    chosen = pairwise.named(kernel, x, depth=depth, activation=activation, length=length)
    if target == "prior":
        y = tasks.prior(np.asarray(chosen(x)), outputs, labels)
    elif pool.y is None:
        raise ValueError(f"`target` is labels, but {pool.name} has none; use prior.")
    else:
        y = pool.y[kept]
    y = tasks.with_noise(y, noise, added)
    return _Problem(x, np.arange(n), np.arange(n, n + len(test)), y, chosen, features)


def _gram(problem: _Problem) -> Array:
    return np.asarray(problem.kernel(problem.x))


def _drawn(task: str, count: int, dim: int, seed: int) -> Any:
    from regimes import tasks

    if task == "sphere":
        return tasks.sphere(count, dim, seed)
    return tasks.torus(count, dim, seed) if task == "torus" else tasks.teacher_student(count, dim, seed)


def _built_in(value: str) -> bool:
    """Whether a task is no file; ValueError where it can be neither."""
    from regimes import tasks

    if value in tasks.BUILT_IN or value.startswith(files.OPENML):
        return True
    if not value.endswith(files.FILES):
        raise ValueError(
            "`task`: " + cells.unknown(value, tasks.BUILT_IN, f"task and no {', '.join(files.FILES)} file")
        )
    return False


def _check(arguments: Mapping[str, Any]) -> None:
    """Refuse what cannot be computed."""
    from regimes import kernels, pairwise

    for name in ("n", "outputs", "depth", "tests", "trials", "dim"):
        _checks.count(name, arguments[name])
    for name in ("ridge", "noise"):
        _checks.number(name, arguments[name], low=0)
    _checks.choice("target", arguments["target"], TARGETS)
    _checks.choice("kernel", arguments["kernel"], pairwise.NAMES)
    _checks.choice("activation", arguments["activation"], kernels.ACTIVATIONS)
    if arguments["activation"] == "step" and arguments["kernel"] == "ntk":
        raise ValueError("`activation` step has no NTK; use kernel nngp.")
    if arguments["length"] is not None:
        _checks.number("length", arguments["length"], low=0, strict=True)
    if "smallest" in arguments:
        _checks.count("smallest", arguments["smallest"], high=arguments["n"])
        _checks.count("points", arguments["points"])
        return
    k = arguments["k"]
    if k != math.inf:
        _checks.count("k", int(k) if math.isfinite(k) and k == int(k) else k)
        _checks.count("width", arguments["width"])
        if arguments["kernel"] not in pairwise.NETWORKS:
            known = " and ".join(pairwise.NETWORKS)
            raise ValueError(f"`k` must be inf for {arguments['kernel']}: only {known} have features.")


def _samples(arguments: Mapping[str, Any]) -> int:
    return int(arguments["n"] + arguments["tests"])


def _operations(arguments: Mapping[str, Any]) -> float:
    """Cost of a cell in Gram matrices, factors and features, roughly, and a floor for what every trial costs."""
    size, k = _samples(arguments), arguments.get("k", math.inf)
    features = 0.0 if math.isinf(k) else size * k * (arguments["width"] * arguments["depth"] + min(size, k))
    return float(arguments["trials"] * (3e7 + size**3 + 60 * size**2 + features))


def _bytes(arguments: Mapping[str, Any]) -> float:
    """Memory of a cell: a few matrices beside the packages themselves."""
    size, k = _samples(arguments), arguments.get("k", math.inf)
    return 4e8 + 8.0 * (5 * size**2 + (0 if math.isinf(k) else 3 * size * k))


for _name, _function in (("kernel-loss", kernel_loss), ("learning-curve", learning_curve)):
    cells.register(
        cells.Experiment(
            _name,
            _function,
            version=1,
            files=("task",),
            named=_built_in,
            check=_check,
            cost=_operations,
            memory=_bytes,
        )
    )
