"""The experiment `trained-network` of sweep files: the test loss of finite networks, cell by cell."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from regimes import _checks, cells, experiments


def trained_network(
    n: int,
    width: int = 64,
    task: str = "teacher-student",
    dim: int = 4,
    noise: float = 0.0,
    depth: int = 2,
    activation: str = "relu",
    parameterisation: str = "ntk",
    centred: bool = False,
    loss: str = "mse",
    optimiser: str = "gd",
    rate: float | None = None,
    steps: int = 1000,
    batch: int | None = None,
    schedule: str = "constant",
    momentum: float = 0.0,
    early_stopping: bool = False,
    precision: str = "float32",
    tests: int = 400,
    networks: int = 4,
    replicate: int = 0,
    *,
    seed: int,
) -> dict[str, Any]:
    """Test loss of fully connected networks trained on n samples, all of one draw of the data.

    Args:
        n: training samples.
        width: units in each hidden layer.
        task: teacher-student, drawn afresh; digits, `openml:NAME` or a file with labels, as
            in [tasks.load][regimes.tasks.load].
        dim: dimension of a drawn task.
        noise: variance of label noise, in training and test labels; for mse.
        depth: hidden layers.
        activation: relu, erf or gelu.
        parameterisation: ntk or standard.
        centred: whether the outputs at the start are subtracted.
        loss: mse or cross-entropy, whose classes are the largest columns of the targets.
        optimiser: gd, sgd, adam or flow.
        rate: learning rate; by default from the largest stable one.
        steps: number of steps.
        batch: samples of a batch, for sgd and adam.
        schedule: constant or cosine.
        momentum: of gd and sgd.
        early_stopping: whether the smallest recorded test loss counts, instead of the last.
        precision: float32 or float64.
        tests: test samples.
        networks: networks with seeds of their own, over which the loss is averaged.
        replicate: any number: cells that differ in it alone are independent repetitions.
        seed: of all that is random.

    Returns:
        test_loss, its standard error over the networks that did not diverge, their training loss, how many did, and
        the learning rate; NaN where all diverged.
    """
    from regimes import kernels, tasks, training
    from regimes import networks as finite

    data, split, added, starts = (int(s) for s in np.random.SeedSequence(seed).generate_state(4))
    drawn = task in experiments.DRAWN
    pool = experiments._drawn(task, n + tests, dim, data) if drawn else tasks.load(task, seed=data)
    if pool.y is None:
        raise ValueError(f"`task` {pool.name} has no targets to learn.")
    if len(pool) < n + tests:
        raise ValueError(f"`n` + `tests` is {n + tests}, but {pool.name} has {len(pool)} samples.")
    train, test = pool.split(tests, split)
    if len(train) < n:
        raise ValueError(f"`n` is {n}, but {pool.name} leaves {len(train)} samples beside the test set.")
    train = train[:n]
    outputs = pool.y.shape[1]
    y: Any = np.argmax(pool.y, axis=1) if loss == "cross-entropy" else tasks.with_noise(pool.y, noise, added)
    made = finite.network(
        kernels.fully_connected(depth, activation=activation),
        width,
        outputs=outputs,
        parameterisation=parameterisation,
        centred=centred,
    )
    found = training.train(
        made, pool.x[train], y[train], test=(pool.x[test], y[test]), loss=loss, optimiser=optimiser, rate=rate,
        steps=steps, batch=batch, schedule=schedule, momentum=momentum, early_stopping=early_stopping,
        seeds=[int(s) for s in np.random.default_rng(starts).choice(2**31, networks, replace=False)],
        precision=precision, keep=False,
    )  # fmt: skip
    sound = np.array([status is not training.Status.DIVERGED for status in found.statuses])
    ends, seen = found.losses()[sound], found.losses("train")[sound]
    many = len(ends) > 1
    return {
        "test_loss": float(np.mean(ends)) if len(ends) else math.nan,
        "test_loss_stderr": float(np.std(ends, ddof=1) / math.sqrt(len(ends))) if many else math.nan,
        "train_loss": float(np.mean(seen)) if len(seen) else math.nan,
        "diverged": int(np.sum(~sound)),
        "rate_used": float(found.rate),
    }


def _check(arguments: Mapping[str, Any]) -> None:
    """Refuse what cannot be computed, as far as words and numbers tell."""
    from regimes import descent
    from regimes import kernels as models
    from regimes import networks as finite

    for name in ("n", "width", "dim", "depth", "steps", "tests", "networks"):
        _checks.count(name, arguments[name])
    _checks.number("noise", arguments["noise"], low=0)
    if arguments["rate"] is not None:
        _checks.number("rate", arguments["rate"], low=0, strict=True)
    _checks.choice("precision", arguments["precision"], finite.PRECISIONS)
    if arguments["task"] in ("sphere", "torus", "photographs"):
        raise ValueError(
            f"`task` {arguments['task']} has no targets to learn; use teacher-student or data with labels."
        )
    if arguments["task"] == "teacher-student" and arguments["loss"] == "cross-entropy":
        raise ValueError("`loss` cross-entropy needs classes, which teacher-student has not; use mse or digits.")
    if arguments["loss"] == "cross-entropy" and arguments["noise"]:
        raise ValueError("`noise` is added to targets that are numbers; for cross-entropy leave it out.")
    model = models.fully_connected(arguments["depth"], activation=arguments["activation"])
    made = finite.network(
        model, arguments["width"], parameterisation=arguments["parameterisation"], centred=arguments["centred"]
    )
    names = ("loss", "optimiser", "batch", "schedule", "momentum")
    descent.recipe(made, arguments["n"], *(arguments[name] for name in names))


def _operations(arguments: Mapping[str, Any]) -> float:
    """Cost of a cell in multiplications of training, and a floor for compiling."""
    rows = arguments["batch"] or arguments["n"]
    parameters = arguments["depth"] * arguments["width"] ** 2 + 100 * arguments["width"]
    return float(3e9 + 6 * arguments["networks"] * arguments["steps"] * rows * parameters)


def _bytes(arguments: Mapping[str, Any]) -> float:
    """Memory of a cell: parameters and activations beside the packages themselves."""
    rows, width, depth = arguments["batch"] or arguments["n"], arguments["width"], arguments["depth"]
    return 6e8 + 4.0 * (6 * depth * width**2 + 4 * rows * width * depth)


cells.register(
    cells.Experiment(
        "trained-network",
        trained_network,
        version=1,
        files=("task",),
        named=experiments._built_in,
        check=_check,
        cost=_operations,
        memory=_bytes,
    )
)
