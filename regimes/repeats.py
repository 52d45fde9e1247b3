"""Whole experiments as cells of a sweep: repeated with other seeds and settings, on many machines, through any fault.

    [experiment]
    name = "network-resolution"      # what `regimes network resolution` does

    [fixed]
    quick = true

    [grid]
    replicate = [0, 1, 2, 3]

One repetition tells an exponent and an interval; several tell whether the interval is honest. A cell keeps the
experiment's own sentences, how many of its claims held, and all its tables, which `gathered` puts one under the other:

    with store.read("resolution.sqlite") as opened:
        slopes = repeats.gathered(opened.frame(), "slopes")
"""

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from regimes import cells

if TYPE_CHECKING:
    import pandas as pd

# Every function below has the arguments of the experiment's `run` that change what it finds, and their defaults.


def verify(
    data: str = "digits",
    target: str = "labels",
    depth: int = 2,
    kind: str = "ntk",
    activation: str = "relu",
    n: int | None = None,
    k: int | None = None,
    noise: float = 0.0,
    trials: int = 8,
    quick: bool = False,
    replicate: int = 0,
    *,
    seed: int,
) -> dict[str, Any]:
    """The four regimes of a kernel on one task; see [four_regimes][regimes.verify.four_regimes]."""
    from regimes import kernels, tasks
    from regimes import verify as experiment

    model = kernels.fully_connected(depth, kind=kind, activation=activation)
    seed = _short(seed)
    found = experiment.four_regimes(
        tasks.load(data, seed=seed), model, target, n=n, k=k, noise=noise, trials=trials, seed=seed, quick=quick
    )
    return _told(found, experiment.tables([found]), found.checks)


def network_variance(
    architectures: list[str] = ["relu", "erf"],  # noqa: B006 (never changed)
    losses: list[str] = ["mse", "cross-entropy"],  # noqa: B006
    batches: list[int] = [16],  # noqa: B006
    shallow: list[str] = ["shallow-relu", "shallow-erf"],  # noqa: B006
    widths: list[int] = [128, 256, 512, 1024],  # noqa: B006
    samples: int = 64,
    seeds: int = 20,
    pool: int = 512,
    sizes: list[int] = [32, 64, 128, 256],  # noqa: B006
    width: int = 32,
    partitions: int = 8,
    steps: int = 25,
    tests: int = 400,
    quick: bool = False,
    replicate: int = 0,
    *,
    seed: int,
) -> dict[str, Any]:
    """Variance-limited scaling of trained networks; see [run][regimes.network_variance.run]."""
    from regimes import network_variance as experiment

    return _run(experiment.run, locals())


def network_resolution(
    dims: list[int] | None = None,
    n: list[int] | None = None,
    widths: list[int] | None = None,
    teachers: int | None = None,
    students: int = 1,
    student_width: int | None = None,
    steps: int | None = None,
    steps_k: int | None = None,
    quick: bool = False,
    replicate: int = 0,
    *,
    seed: int,
) -> dict[str, Any]:
    """Resolution-limited scaling and dimension; see [run][regimes.teacher_student.run]."""
    from regimes import teacher_student as experiment

    return _run(experiment.run, locals())


def network_features(
    source: str = "teacher-student",
    projection: str = "gaussian",
    width: int = 512,
    depth: int = 2,
    steps: int = 400,
    trials: int = 6,
    quick: bool = False,
    replicate: int = 0,
    *,
    seed: int,
) -> dict[str, Any]:
    """The four regimes of frozen features; see [run][regimes.frozen_features.run]."""
    from regimes import frozen_features as experiment

    return _run(experiment.run, locals())


def network_tasks(
    data: str = "digits",
    changes: list[str] | None = None,
    n: list[int] | None = None,
    width: int = 256,
    depth: int = 2,
    steps: int = 600,
    seeds: int = 4,
    trials: int = 8,
    quick: bool = False,
    replicate: int = 0,
    *,
    seed: int,
) -> dict[str, Any]:
    """What changes of the task do to the exponent; see [run][regimes.task_changes.run]."""
    from regimes import task_changes as experiment

    return _run(experiment.run, locals())


def network_aspect(
    dim: int = 3,
    depths: list[int] | None = None,
    widths: list[int] | None = None,
    n: list[int] | None = None,
    teachers: int | None = None,
    steps: int | None = None,
    quick: bool = False,
    replicate: int = 0,
    *,
    seed: int,
) -> dict[str, Any]:
    """Depth against width; see [run][regimes.aspect_ratio.run]."""
    from regimes import aspect_ratio as experiment

    return _run(experiment.run, locals())


def network_kernels(
    tasks: list[str] = ["digits", "teacher-student"],  # noqa: B006
    activation: str = "relu",
    depth: int = 2,
    dim: int = 4,
    widths: list[int] = [16, 64, 256],  # noqa: B006
    sizes: list[int] = [32, 64, 128, 256],  # noqa: B006
    fresh: int = 384,
    tests: int = 400,
    seeds: int = 4,
    steps: int = 400,
    quick: bool = False,
    replicate: int = 0,
    *,
    seed: int,
) -> dict[str, Any]:
    """Tangent kernels at the start and after training; see [run][regimes.tangent_kernels.run]."""
    from regimes import tangent_kernels as experiment

    return _run(experiment.run, locals())


def reproduce_joint(
    surfaces: list[str] | None = None,
    task: str = "digits",
    alpha: float = 0.5,
    beta: float = 0.5,
    noise: float = 0.3,
    dim: int = 4,
    n: list[int] | None = None,
    widths: list[int] | None = None,
    trials: int | None = None,
    steps: int | None = None,
    quick: bool = False,
    replicate: int = 0,
    *,
    seed: int,
) -> dict[str, Any]:
    """Joint laws from the small corner; see [run][regimes.joint_law.run]."""
    from regimes import joint_law as experiment

    return _run(experiment.run, locals())


def reproduce_pruning(
    task: str = "teacher-student",
    noise: float | None = None,
    depths: list[int] | None = None,
    widths: list[int] | None = None,
    n: list[int] | None = None,
    rounds: int | None = None,
    steps: int | None = None,
    seeds: int | None = None,
    budgets: list[int] | None = None,
    quick: bool = False,
    replicate: int = 0,
    *,
    seed: int,
) -> dict[str, Any]:
    """The pruning law over depth, width and density; see [run][regimes.pruning.run]."""
    from regimes import pruning as experiment

    return _run(experiment.run, locals())


def reproduce_sources(
    n: list[int] | None = None,
    k: list[int] | None = None,
    trials: int | None = None,
    noise: float = 0.1,
    ridge: float = 0.01,
    time: float = 100.0,
    digits: bool = True,
    teacher_width: int = 8,
    network_n: list[int] | None = None,
    teachers: int | None = None,
    steps: int | None = None,
    quick: bool = False,
    replicate: int = 0,
    *,
    seed: int,
) -> dict[str, Any]:
    """The sources of error, in theory and measured; see [run][regimes.error_sources.run]."""
    from regimes import error_sources as experiment

    return _run(experiment.run, locals())


def reproduce_nyquist(
    domains: list[str] | None = None,
    band: int | None = None,
    torus: int | None = None,
    degree: int | None = None,
    block: int | None = None,
    noise: float = 0.1,
    reach: int | None = None,
    targets: int = 16,
    trials: int | None = None,
    quick: bool = False,
    replicate: int = 0,
    *,
    seed: int,
) -> dict[str, Any]:
    """Learners limited to the band, and others; see [run][regimes.nyquist_learners.run]."""
    from regimes import nyquist_learners as experiment

    return _run(experiment.run, locals())


def reproduce_hestness(
    domain: str | list[str] | None = None,
    learner: str | list[str] | None = None,
    samples: int | None = None,
    smallest: int | None = None,
    sizes: list[int] | None = None,
    repeats: int | None = None,
    noise: float | None = None,
    floor: float | None = None,
    tolerance: float | None = None,
    steps: int | None = None,
    quick: bool = False,
    replicate: int = 0,
    *,
    seed: int,
) -> dict[str, Any]:
    """The best model for each amount of data; see [run][regimes.model_growth.run]."""
    from regimes import model_growth as experiment

    return _run(experiment.run, locals())


def reproduce_scale_time(
    data: str | list[str] | None = None,
    n: int | None = None,
    k: list[int] | None = None,
    draws: int | None = None,
    feature_width: int | None = None,
    widths: list[int] | None = None,
    seeds: int | None = None,
    steps: int | None = None,
    quick: bool = False,
    replicate: int = 0,
    *,
    seed: int,
) -> dict[str, Any]:
    """Scale-time equivalence and its end; see [run][regimes.scale_time.run]."""
    from regimes import scale_time as experiment

    return _run(experiment.run, locals())


def reproduce_phenomena(
    data: str | list[str] | None = None,
    draws: int | None = None,
    seeds: int | None = None,
    steps: int | None = None,
    noise: float = 0.05,
    quick: bool = False,
    replicate: int = 0,
    *,
    seed: int,
) -> dict[str, Any]:
    """Double descent and four phenomena; see [run][regimes.phenomena.run]."""
    from regimes import phenomena as experiment

    return _run(experiment.run, locals())


def gathered(frame: "pd.DataFrame", table: str) -> "pd.DataFrame":
    """One table of all repetitions, one under the other, with the settings of each in front of its rows.

    Args:
        frame: of a store, as `store.read(path).frame()` gives it, or its export.
        table: name of the table, as the experiment's command names its file: "slopes" for slopes.csv.

    Raises:
        ValueError: a frame of other experiments, a table that none of the cells has.
    """
    import pandas as pd

    if "tables" not in frame:
        raise ValueError("`frame` has no column `tables`: it is not of one of the experiments of regimes.repeats.")
    parts, known = [], set[str]()
    told = {"summary", "tables", "held", "missed", "undecided", "error"}
    for _, row in frame[frame["tables"].notna()].iterrows():
        tables = json.loads(row["tables"])
        known |= set(tables)
        if table in tables:
            part = pd.DataFrame(tables[table])
            for name in reversed([str(name) for name in frame if name not in told and name not in part]):
                part.insert(0, name, [row[name]] * len(part))
            parts.append(part)
    if not parts:
        raise ValueError(f"`table`: {cells.unknown(table, sorted(known), 'table of these cells')}")
    return pd.concat(parts, ignore_index=True)


def _run(run: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The experiment with the arguments of a cell."""
    arguments = {name: value for name, value in given.items() if name not in ("replicate", "seed", "experiment")}
    found = run(**arguments, seed=_short(given["seed"]))
    return _told(found, found.tables(), found.checks)


def _told(found: Any, tables: Mapping[str, Any], claims: Any) -> dict[str, Any]:
    holds = [one.holds if hasattr(one, "holds") else one[-1].holds for one in claims]
    rows = {name: json.loads(frame.to_json(orient="records", double_precision=15)) for name, frame in tables.items()}
    return {
        "held": sum(one is True for one in holds),
        "missed": sum(one is False for one in holds),
        "undecided": sum(one is None for one in holds),
        "summary": str(found),
        "tables": json.dumps(rows, separators=(",", ":")),
    }


def _short(seed: int) -> int:
    """A seed that every experiment takes."""
    return seed % 2**20


def _replicable(arguments: Mapping[str, Any]) -> None:
    if arguments["replicate"] < 0:
        raise ValueError(f"`replicate` must be 0 or more, got {arguments['replicate']}.")


_WHOLE = (
    verify,
    network_variance,
    network_resolution,
    network_features,
    network_tasks,
    network_aspect,
    network_kernels,
    reproduce_joint,
    reproduce_pruning,
    reproduce_sources,
    reproduce_nyquist,
    reproduce_hestness,
    reproduce_scale_time,
    reproduce_phenomena,
)
_VERSIONS = {reproduce_joint: 2, reproduce_scale_time: 2}
"""Of those whose defaults have changed."""
for _each in _WHOLE:
    cells.register(
        cells.Experiment(
            _each.__name__.replace("_", "-"),
            _each,
            version=_VERSIONS.get(_each, 1),
            check=_replicable,
            memory=lambda _: 2e9,
        )
    )
