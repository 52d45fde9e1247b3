"""What came of training a network: losses, what became of each seed, the parameters; and the folder that keeps it."""

import dataclasses
import enum
import json
import math
import time as clock
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from regimes import _checks, display, folders
from regimes.networks import Network, Parameters, Tree
from regimes.results import LearningCurve

Array = np.ndarray
_EVERY = 30.0
"""Seconds between two checkpoints of a run that goes on."""


class Status(enum.Enum):
    """What became of one seed; the values are the messages."""

    CONVERGED = "the training loss has stopped falling"
    NOT_CONVERGED = "the training loss was still falling at the last step"
    STOPPED_EARLY = "the parameters kept are those of the least test loss, before the last step"
    DIVERGED = "the training loss has grown beyond its start"


@display.shown
class Progress(NamedTuple):
    """How far a training is."""

    done: int
    """Steps taken, over all seeds."""
    total: int
    """Steps to take, over all seeds."""
    loss: float
    """Mean training loss of the seeds at work, at their last record."""
    seconds_left: float
    """Estimate of the time to the end; NaN until there is one."""

    def __str__(self) -> str:
        left = "" if math.isnan(self.seconds_left) else f", {self.seconds_left:.0f} s left"
        return f"{self.done} of {self.total} steps, training loss {self.loss:.4g}{left}"


@display.shown
@dataclasses.dataclass(frozen=True)
class Training:
    """What came of training one network from several seeds."""

    network: Network
    """What was trained."""
    n: int
    """Number of training samples."""
    seeds: tuple[int, ...]
    """One run each, the rows of the losses."""
    steps: Int64[Array, " records"]
    """Steps after which the losses were measured, 0 first."""
    time: Float64[Array, " records"]
    """Sum of the rates up to there, divided by 1 - momentum: time in units of 1/eigenvalue. For adam, which has no
    such time, the steps."""
    train_loss: Float64[Array, "seeds records"]
    """Mean squared error, or cross-entropy in nats, on the training samples."""
    test_loss: Float64[Array, "seeds records"]
    """The same on the test samples."""
    train_error: Float64[Array, "seeds records"] | None
    """Share of the training samples in a wrong class; None for mse."""
    test_error: Float64[Array, "seeds records"] | None
    """The same on the test samples."""
    statuses: tuple[Status, ...]
    """One per seed."""
    kept: Int64[Array, " seeds"]
    """Record at which the parameters were kept: the last, or that of the least test loss with early stopping."""
    stable: Float64[Array, " seeds"]
    """Largest stable rate of each diverged seed at its start, from the largest eigenvalue of its empirical NTK; NaN
    for the others and for adam."""
    rate: float
    """Learning rate; for the flow, the length of a step."""
    loss: str
    """mse or cross-entropy."""
    optimiser: str
    """gd, sgd, adam or flow."""
    batch: int | None
    """Samples in a batch of sgd and adam; None for all."""
    stacked: Tree = dataclasses.field(repr=False)
    """Parameters kept, all seeds along the first axis; None where they were not to be kept."""
    inputs: Array = dataclasses.field(repr=False)
    """One training sample, for the shape of the parameters."""
    precision: str = "float32"
    """Precision of the training."""

    def parameters(self, seed: int) -> Tree:
        """Parameters kept from one seed, as `Network.apply`, `tangent_kernel` and `embedding` take them.

        Raises:
            ValueError: a seed that was not trained, parameters that were not kept.
        """
        import jax

        if seed not in self.seeds:
            raise ValueError(f"`seed` must be one of those trained, {_listed(self.seeds)}; got {seed!r}.")
        if self.stacked is None:
            raise ValueError("the parameters were not kept; train with keep=True.")
        row = self.seeds.index(seed)
        now = jax.tree.map(lambda leaf: leaf[row], self.stacked)
        if not self.network.anchored:
            return now
        return Parameters(now, self.network.init(seed, self.inputs, precision=self.precision).start)

    def losses(self, which: str = "test") -> Float64[Array, " seeds"]:
        """Loss of each seed where its parameters were kept: test, train, test_error or train_error."""
        return self._table(which)[np.arange(len(self.seeds)), self.kept]

    def curve(self, which: str = "test") -> LearningCurve:
        """Mean loss over the seeds against time (against steps for adam), without step 0 and diverged seeds.

        Args:
            which: test, train, test_error or train_error.

        Raises:
            ValueError: an unknown word, errors of a regression, no seed that did not diverge.
        """
        table = self._table(which)
        good = np.array([status is not Status.DIVERGED for status in self.statuses])
        if not good.any():
            raise ValueError(f"all {len(good)} seeds diverged: {self.messages[0]}")
        along = "steps" if self.optimiser == "adam" else "time"
        lost = f", {np.sum(~good)} of {len(good)} seeds left out, which diverged" if not good.all() else ""
        return LearningCurve.from_trials(
            along,
            self.time[1:],
            table[good, 1:],
            {"n": float(self.n), "k": float(self.network.width), "rate": self.rate},
            f"{which.replace('_', ' ')}, {self.loss}, {self.optimiser} from {len(good)} seeds{lost}",
        )

    @property
    def messages(self) -> tuple[str, ...]:
        """What became of each seed, a sentence each."""
        return tuple(self._message(row) for row in range(len(self.seeds)))

    def _table(self, which: str) -> Array:
        allowed = {"test": self.test_loss, "train": self.train_loss}
        if self.test_error is not None and self.train_error is not None:
            allowed |= {"test_error": self.test_error, "train_error": self.train_error}
        return allowed[_checks.choice("which", which, tuple(allowed))]

    def _message(self, row: int) -> str:
        status, losses = self.statuses[row], self.train_loss[row]
        said = f"seed {self.seeds[row]}: {status.value}"
        if status is Status.DIVERGED:
            said += f", from {losses[0]:.3g} to {losses[-1]:.3g}; the rate was {self.rate:.3g}"
            if math.isfinite(self.stable[row]):
                said += f" and the largest stable one at the start is {self.stable[row]:.4g}"
            else:
                said += "; try a tenth"
        elif status is Status.STOPPED_EARLY:
            at = self.kept[row]
            said += (
                f": {self.test_loss[row, at]:.4g} at step {self.steps[at]}, {self.test_loss[row, -1]:.4g} at the end"
            )
        else:
            said += f": {losses[-1]:.4g} after {self.steps[-1]} steps"
        return said + "."

    def __str__(self) -> str:
        counts = {status: self.statuses.count(status) for status in Status}
        ends = ", ".join(
            f"{count} {status.name.lower().replace('_', ' ')}" for status, count in counts.items() if count
        )
        test = self.losses()
        return (
            f"{self.network}: {self.optimiser} at rate {self.rate:.3g} on {self.loss}, n = {self.n}, "
            f"{len(self.seeds)} seed{'s' * (len(self.seeds) > 1)}, {self.steps[-1]} steps; {ends}; "
            f"test loss {test.mean():.4g}" + (f" -+ {test.std(ddof=1):.2g}" if len(test) > 1 else "")
        )


class Store:
    """A folder of finished seeds and of the group under way. Arrays only, nothing that runs when it is read."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.folder, self.written = folder, clock.monotonic()
        path = folder / "settings.json"
        settings = json.loads(json.dumps(settings))
        if path.exists():
            try:
                before = json.loads(path.read_text(encoding="utf-8"))["settings"]
            except (ValueError, KeyError, TypeError):
                raise ValueError(
                    f"`checkpoint` holds {path.name}, which cannot be read: take another folder."
                ) from None
            if before != settings:
                other = [name for name in settings if before.get(name) != settings[name]]
                raise ValueError(
                    f"`checkpoint` {folder} is of another training: it differs in {', '.join(other)}; "
                    "take another folder."
                )
        else:
            about = {"settings": settings, "versions": folders.versions()}
            folders.write(folder, {"settings.json": lambda file: folders.write_json(file, about)})

    def finished(self, seeds: Sequence[int]) -> dict[int, dict[str, Array]]:
        """What was returned of those seeds that are done."""
        paths = {seed: self.folder / f"seed-{seed}.npz" for seed in seeds}
        return {seed: self._read(path) for seed, path in paths.items() if path.exists()}

    def finish(self, seed: int, run: dict[str, Array]) -> None:
        """Keep what was returned of a seed."""
        self._write(f"seed-{seed}.npz", run)

    def under_way(self, group: Sequence[int], together: int) -> dict[str, Array] | None:
        """The state of this group of seeds, if it was saved."""
        path = self.folder / "under-way.npz"
        if not path.exists():
            return None
        saved = self._read(path)
        return saved if saved["group"].tolist() == list(group) and int(saved["together"]) == together else None

    def save(self, state: dict[str, Array]) -> None:
        """Save the state of a group under way, in place of the one before."""
        self._write("under-way.npz", state)
        self.written = clock.monotonic()

    def due(self) -> bool:
        """Whether it is time to save."""
        return clock.monotonic() - self.written >= _EVERY

    def forget(self) -> None:
        """Drop the state of the group that was under way."""
        (self.folder / "under-way.npz").unlink(missing_ok=True)

    def _write(self, name: str, arrays: dict[str, Array]) -> None:
        def save(path: Path) -> None:
            with path.open("wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]

        folders.write(self.folder, {name: save})

    def _read(self, path: Path) -> dict[str, Array]:
        try:
            with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                return {name: file[name] for name in file.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"`checkpoint` holds {path.name}, which cannot be read ({error}): delete it.") from None


def _listed(seeds: Sequence[int]) -> str:
    return ", ".join(str(seed) for seed in seeds[:8]) + (", ..." if len(seeds) > 8 else "")
