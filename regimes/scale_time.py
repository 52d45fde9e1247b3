"""Scale-time equivalence: where k features for a time t do what 2k features do in half the time, and where they stop.

Features that are not divided by the root of k, trained at one learning rate, move k times as fast: their loss is
L(k, t) = l(k t) while k is not felt. In units in which features carry 1/sqrt(k), of [dynamics][regimes.dynamics], the
product t' = k t is the time itself, and the equivalence says that L(k, t') does not depend on k. With infinite data it
does from first order in 1/k on; for power laws, a = 1 + alpha, r = beta/a, u = (pi/a)/sin(pi/a),

    L(k, t')/L(inf, t') - 1 = c t'^p/k,
    beta < a:  p = 1/a,              c = 2^(1/a) u r Gamma(1 - r)/Gamma(1 - r + 1/a)
    beta > a:  p = (beta - alpha)/a, c = 2^p a u zeta(beta - alpha)/(Gamma(r) Gamma(1/a)).               (1)

So the equivalence ends on the line t' ~ k^(1+alpha), t ~ k^alpha, for hard targets and t' ~ k^((1+alpha)/(beta-alpha))
for smooth ones, whose amplitude is that of (1). This experiment computes the line from the exact loss, measures it with
random features of real data, and looks for the equivalence in networks: in the standard parameterisation, where the
tangent kernel grows with the width; in that of the tangent kernel, where it does not; and with adam.

Beside it stands the model of a small network as a random subspace of a large one, theta -> R theta, whose distance to
the reference at p t is of order 1/sqrt(p): here to leading order exactly, and bounded.

Source: Boopathy and Fiete 2024 (arXiv:2409.05782) for the equivalence and the random subspace; their proofs were not
available to us, and (1), the leading order and the bound are our own.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float64

from regimes import _checks, breaks, display, dynamics, estimate, flows, iso_loss, kernels, runs, tasks, teachers
from regimes.breaks import TOLERANCE, Line, Subspace
from regimes.iso_loss import KINDS, Networks
from regimes.results import Estimate
from regimes.teachers import Claim

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray
Report = Callable[[str, float], None]
"""Called with (what is being done, share of the whole that is done)."""

FACTOR = 2.0
"""Within this factor a measured break is the predicted one."""
TASKS = ("digits", "photographs")
_TIMES = np.geomspace(0.1, 1e5, 61)
_CASES = ((0.5, 0.5), (1.0, 1.0), (0.5, 1.0), (0.5, 2.5))


class Sizes(NamedTuple):
    """How large the experiment is."""

    data: tuple[str, ...]
    """Real data of the random features."""
    n: int
    """Training samples of the random features."""
    k: tuple[int, ...]
    """Numbers of random features."""
    draws: int
    """Draws of the random features."""
    feature_width: int
    """Units of the networks whose outputs the features are."""
    widths: tuple[int, ...]
    """Widths of the networks."""
    seeds: int
    """Networks of each width."""
    steps: int
    """Steps of the widest network."""
    samples: int
    """Training samples of the networks."""
    subspaces: int
    """Draws of the random subspace at each p."""


@dataclasses.dataclass(frozen=True)
class Features:
    """Random features of real data against the theory from the spectrum of their kernel."""

    task: str
    """Name of the data."""
    k: tuple[int, ...]
    """Numbers of features."""
    time: Float64[Array, " times"]
    """Times t' = k t."""
    loss: Float64[Array, "draws widths times"]
    """Test loss, noise-free linear algebra."""
    kernel: Float64[Array, " times"]
    """Test loss of the infinite-width kernel from the same samples."""
    predicted: Float64[Array, "widths times"]
    """Predicted excess over infinite width."""
    breaks: tuple[Estimate, ...]
    """Measured t' where the mean excess passes TOLERANCE, for each k."""
    expected: Float64[Array, " widths"]
    """Predicted t'."""
    spread: Estimate
    """Largest relative spread of the mean loss at equal k t among k inside the predicted region and the kernel."""

    @property
    def excess(self) -> Float64[Array, "widths times"]:
        """Measured excess over infinite width, mean over draws."""
        return self.loss.mean(axis=0) / self.kernel - 1


@display.shown
@dataclasses.dataclass(frozen=True)
class Result:
    """What [run][regimes.scale_time.run] found."""

    lines: tuple[Line, ...]
    """Theory."""
    features: tuple[Features, ...]
    """Random features of real data."""
    networks: tuple[Networks, ...]
    """Trained networks."""
    subspace: Subspace
    """The random subspace."""
    checks: tuple[Claim, ...]
    """What was expected, what was found."""
    settings: dict[str, Any]
    """Every size and seed."""
    name: str = "scale_time"
    """Stem of its files."""

    def __str__(self) -> str:
        held = sum(one.holds is True for one in self.checks)
        words = {True: "holds", False: "does not hold", None: "undecided"}
        lines = [f"Scale-time equivalence: {held} of {len(self.checks)} claims hold"]
        lines += [
            f"  {one.what}: expected {one.expected}, found {one.found}: {words[one.holds]}" for one in self.checks
        ]
        return "\n".join(lines)

    def tables(self) -> "dict[str, pd.DataFrame]":
        """Data frames: lines, breaks and losses of random features, slopes and losses of networks, subspace, checks."""
        import pandas as pd

        lines = [
            {"alpha": one.alpha, "beta": one.beta, "k": k, "exact": exact, "first_order": first}
            for one in self.lines
            for k, exact, first in zip(one.k, one.exact, one.first_order, strict=True)
        ]
        breaks, losses = [], []
        for each in self.features:
            for row, k in enumerate(each.k):
                found = each.breaks[row]
                breaks.append({"task": each.task, "k": k, "predicted": each.expected[row], **_columns("time", found)})
                columns = each.time, each.excess[row], each.predicted[row]
                for time, excess, predicted in zip(*columns, strict=True):
                    losses.append(
                        {"task": each.task, "k": k, "time": time, "excess": excess, "predicted_excess": predicted}
                    )
        slopes, trained = [], []
        for net in self.networks:
            slopes += [{"kind": net.kind, "loss": at, **_columns("slope", one)} for at, one in net.slopes.items()]
            for (seed, row, record), loss in np.ndenumerate(net.loss):
                place = {"kind": net.kind, "width": net.widths[row], "seed": seed, "scaled_time": net.scaled[record]}
                trained.append({**place, "loss": loss})
        subspace = [
            {
                "p": p,
                "distance": math.sqrt(np.mean(distance**2)),
                "predicted": predicted,
                "of_exponential_bound": one.max(),
                "of_linear_bound": two.max(),
            }
            for p, distance, predicted, one, two in zip(
                self.subspace.p,
                self.subspace.distance.T,
                self.subspace.predicted,
                self.subspace.exponential.T,
                self.subspace.linear.T,
                strict=True,
            )
        ]
        named = {"lines": lines, "breaks": breaks, "features": losses, "slopes": slopes, "networks": trained}
        named |= {"subspace": subspace, "checks": [one._asdict() for one in self.checks]}
        return {name: pd.DataFrame(each) for name, each in named.items()}

    def record(self) -> dict[str, Any]:
        """All that JSON can hold."""
        found = {}
        for one in self.networks:
            found[one.kind] = {
                "rate": one.rate,
                "kernel_slope": one.kernel_slope,
                "large_from_small": dataclasses.asdict(one.large_from_small),
                "small_from_large": dataclasses.asdict(one.small_from_large),
                "additive": one.additive,
                "equivalence": one.equivalence,
            }
        spreads = {one.task: dataclasses.asdict(one.spread) for one in self.features}
        theory = [
            {"alpha": one.alpha, "beta": one.beta, "slope": one.slope, "iso_loss": one.iso_loss, "spread": one.spread}
            for one in self.lines
        ]
        checks = [one._asdict() for one in self.checks]
        return {"run": self.settings, "theory": theory, "spreads": spreads, "networks": found, "checks": checks}


def plan(
    *,
    data: Any = None,
    n: int | None = None,
    k: Any = None,
    draws: int | None = None,
    feature_width: int | None = None,
    widths: Any = None,
    seeds: int | None = None,
    steps: int | None = None,
    quick: bool = False,
) -> Sizes:
    """Sizes of the experiment, those that are not given chosen; see [run][regimes.scale_time.run].

    Raises:
        ValueError: unknown data, fewer than two draws or seeds, fewer than three k or widths; numbers out of range.
    """

    def own(value: Any, small: Any, large: Any) -> Any:
        return (small if quick else large) if value is None else value

    names = own(data, TASKS[:1], TASKS)
    try:
        names = [one.strip() for one in (names.split(",") if isinstance(names, str) else names)]
    except (TypeError, AttributeError):
        raise ValueError(f"`data` must be names out of {', '.join(TASKS)}, got {data!r}.") from None
    if not names or len(set(names)) < len(names):
        raise ValueError(f"`data` must be different ones of {', '.join(TASKS)}, got {names}.")
    chosen_k = _several("k", own(k, (32, 64, 128), (32, 64, 128, 256, 512)), 2, 4096)
    chosen_widths = _several("widths", own(widths, (16, 32, 64), (8, 16, 32, 64, 128, 256)), 4, 1024)
    if sum(width >= iso_loss.LEAST for width in chosen_widths) < 3:
        raise ValueError(f"`widths` must hold three of {iso_loss.LEAST} or more, where exponents are read.")
    return Sizes(
        tuple(_checks.choice("data", one, TASKS) for one in names),
        _checks.count("n", own(n, 300, 500), low=48, high=1400),
        chosen_k,
        _checks.count("draws", own(draws, 3, 20), low=2),
        _checks.count("feature_width", own(feature_width, 64, 512), low=2),
        chosen_widths,
        _checks.count("seeds", own(seeds, 2, 16), low=2),
        _checks.count("steps", own(steps, 200, 600), low=50),
        256 if quick else 512,
        30 if quick else 100,
    )


def run(
    *,
    data: Any = None,
    n: int | None = None,
    k: Any = None,
    draws: int | None = None,
    feature_width: int | None = None,
    widths: Any = None,
    seeds: int | None = None,
    steps: int | None = None,
    quick: bool = False,
    seed: int = 0,
    checkpoint: Path | str | None = None,
    progress: Report | None = None,
) -> Result:
    """Compute and measure where scale and time are equivalent, and where not.

    Random features are those of the NNGP kernel of one hidden relu layer, on real data with a held-out test set; the
    labels of digits are their classes, those of photographs drawn from the kernel. Gradient flow is exact, from the
    eigenvectors. Networks have two hidden relu layers, start at zero (their initial function is subtracted) and learn
    a teacher of three inputs by full gradient descent on the squared error, at one rate for all widths, half of the
    stable rate of the widest, all to the same width x time; with adam at 0.001, and in the parameterisation of the
    tangent kernel all to the same time. Intervals are at 95 %, over draws of features or over seeds of networks; data
    and teacher are the same in all.

    Args:
        data: digits, photographs; default both.
        n: training samples of the random features; default 500.
        k: numbers of features; default 32 to 512.
        draws: draws of the features; default 20.
        feature_width: units of the networks whose outputs the features are: the more, the closer they are to Gaussian,
            as the theory assumes; default 512.
        widths: of the networks; default 8 to 256.
        seeds: networks of each width; default 16.
        steps: steps of the widest network; default 600.
        quick: less of everything: no numbers to quote.
        seed: seed of everything random.
        checkpoint: folder from which an interrupted run goes on.
        progress: called with (what is being done, share done).

    Raises:
        ValueError: as `plan`; a checkpoint of another run.

    Source: Boopathy and Fiete 2024 (arXiv:2409.05782); see the module.
    """
    sizes = plan(
        data=data,
        n=n,
        k=k,
        draws=draws,
        feature_width=feature_width,
        widths=widths,
        seeds=seeds,
        steps=steps,
        quick=quick,
    )
    seed = _checks.count("seed", seed, low=0)
    say = progress or (lambda what, share: None)
    folder = None if checkpoint is None else Path(checkpoint)
    say("theory", 0.0)
    lines = tuple(breaks.line(alpha, beta) for alpha, beta in _CASES)
    subspace = breaks.subspace(sizes.subspaces, seed)
    features = []
    for place, task in enumerate(sizes.data):

        def report(what: str, share: float, task: str = task, place: int = place) -> None:
            say(f"{task}: {what}", 0.05 + 0.45 * (place + share) / len(sizes.data))

        features.append(_features(task, sizes, seed, folder, report))
    trained = []
    for place, kind in enumerate(KINDS):

        def told(what: str, share: float, kind: str = kind, place: int = place) -> None:
            say(f"networks, {kind}: {what}", 0.5 + 0.5 * (place + share) / len(KINDS))

        trained.append(
            iso_loss.train(
                kind,
                sizes.widths,
                samples=sizes.samples,
                steps=sizes.steps,
                seeds=sizes.seeds,
                seed=seed,
                folder=folder,
                report=told,
            )
        )
    say("done", 1.0)
    checks = _claims(lines, features, trained, subspace)
    settings = {"seed": seed, "quick": quick, **sizes._asdict()}
    return Result(lines, tuple(features), tuple(trained), subspace, checks, settings)


def _several(name: str, value: Any, low: int, high: int) -> tuple[int, ...]:
    found = _checks.sizes(name, value, low=low, high=high)
    if len(found) < 3:
        raise ValueError(f"`{name}` must hold at least 3, got {len(found)}.")
    return tuple(int(one) for one in found)


def _columns(name: str, one: Estimate) -> dict[str, float]:
    return {name: one.value, f"{name}_low": one.low, f"{name}_high": one.high}


def _features(name: str, sizes: Sizes, seed: int, folder: Path | None, report: Report) -> Features:
    task = tasks.BUILT_IN[name](seed) if name == "digits" else tasks.image_patches(count=1800, seed=seed)
    model = kernels.fully_connected(1, kind="nngp")
    train, test = task.split(len(task) - sizes.n, seed)
    test = test[: min(1000, 4 * sizes.n)]
    x = np.concatenate([task.x[train[: sizes.n]], task.x[test]])
    report("kernel", 0.0)
    gram, n = model(x), sizes.n
    y = tasks.prior(gram, 8, seed) if task.y is None else np.concatenate([task.y[train[:n]], task.y[test]])
    spectrum = estimate.spectrum(gram[:n, :n], y[:n], draws=0)
    kernel = flows.of_kernel(gram[:n, :n], y[:n], gram[n:, :n], y[n:], _TIMES)
    limit = dynamics.gradient_flow(spectrum, _TIMES, n)
    every = np.array(sizes.k, dtype=np.float64)[:, None]
    predicted = np.asarray(dynamics.gradient_flow(spectrum, _TIMES, n, every) / limit - 1)
    settings = {
        "experiment": "scale_time",
        "task": name,
        "n": n,
        "k": list(sizes.k),
        "feature_width": sizes.feature_width,
        "seed": seed,
    }
    store = None if folder is None else runs.Store(folder / f"features-{name}", settings)
    done = {} if store is None else store.finished(range(sizes.draws))
    for draw in range(sizes.draws):
        report(f"draw {draw + 1}", (1 + draw) / (1 + sizes.draws))
        if draw not in done:
            drawn = int(np.random.default_rng([seed, draw, 3]).integers(2**31))
            phi = model.features(x, sizes.k[-1], drawn, width=sizes.feature_width)
            scaled = [(phi[:n, :k] / k**0.5, phi[n:, :k] / k**0.5) for k in sizes.k]
            rows = [flows.of_features(one, y[:n], test, y[n:], _TIMES)[0] for one, test in scaled]
            done[draw] = {"loss": np.array(rows)}
            if store is not None:
                store.finish(draw, done[draw])
    loss = np.stack([done[draw]["loss"] for draw in range(sizes.draws)])
    expected = np.array([breaks.break_time(spectrum, k, n) for k in sizes.k])
    inside = np.vstack([expected[:, None] >= _TIMES, np.ones((1, len(_TIMES)), dtype=bool)])

    def spread(rows: Array) -> float:
        return breaks.spread(np.vstack([loss[rows].mean(axis=0), kernel]), inside)

    rng = np.random.default_rng([seed, 4])
    tries = [rng.integers(sizes.draws, size=sizes.draws) for _ in range(200)]
    method = "bootstrap over draws of the features"
    score = Estimate.from_draws(spread(np.arange(sizes.draws)), np.array([spread(one) for one in tries]), method=method)
    found = []
    for row in range(len(sizes.k)):
        places = np.array([_crossing(loss[one, row].mean(axis=0) / kernel - 1) for one in tries])
        value = _crossing(loss[:, row].mean(axis=0) / kernel - 1)
        if math.isnan(value) or np.isnan(places).any():
            found.append(Estimate(value, 0.0, math.inf, method=method))
        else:
            low, high = np.exp(math.log(value) + 1.96 * np.log(places).std() * np.array([-1, 1]))
            found.append(Estimate(value, float(low), float(high), method=method))
    return Features(name, sizes.k, _TIMES, loss, kernel, predicted, tuple(found), expected, score)


def _crossing(excess: Array) -> float:
    """First time at which the excess passes TOLERANCE, linear in log t; NaN where it does not."""
    above = np.flatnonzero(excess > TOLERANCE)
    if not len(above) or above[0] == 0:
        return math.nan
    last = int(above[0])
    part = (TOLERANCE - excess[last - 1]) / (excess[last] - excess[last - 1])
    return float(_TIMES[last - 1] * (_TIMES[last] / _TIMES[last - 1]) ** part)


def _apart(slopes: dict[float, Estimate]) -> bool | None:
    """Whether no slope is -1: False where an interval with -1 in it lies within 0.15, None where it is longer.

    A loss that was never reached has an interval without ends, and decides nothing.
    """
    each = [True if -1 not in one else False if teachers.within(one, -1.15, -0.85) else None for one in slopes.values()]
    return False if False in each else None if None in each else True


def _claims(
    lines: Sequence[Line], features: Sequence[Features], trained: Sequence[Networks], subspace: Subspace
) -> tuple[Claim, ...]:
    claims = []
    for one in lines:
        where = f"alpha = {one.alpha:g}, beta = {one.beta:g}"
        claims.append(
            Claim(
                f"theory, {where}: slope of the raw time of the break against k",
                f"{one.expected:.3f} (first order) within 0.15",
                f"{one.slope:.3f}",
                abs(one.slope - one.expected) <= 0.15,
            )
        )
        claims.append(
            Claim(
                f"theory, {where}: first order over exact excess where that is {TOLERANCE:.0%}, k = {one.k[-1]:.0f}",
                f"1 within {TOLERANCE:.0%}, the share that the first order neglects",
                f"{one.first_order_excess:.3f}; the exact t' is {one.exact[-1] / one.first_order[-1]:.3f} of its t'",
                abs(one.first_order_excess - 1) <= TOLERANCE,
            )
        )
    for each in features:
        claims.append(
            Claim(
                f"{each.task}: collapse of random features inside the predicted region",
                "within 10 %",
                f"{each.spread.value:.1%} [{each.spread.low:.1%}, {each.spread.high:.1%}]",
                True if each.spread.high <= TOLERANCE else False if each.spread.low > TOLERANCE else None,
            )
        )
        ratio = [one.value / at for one, at in zip(each.breaks, each.expected, strict=True)]
        known = all(math.isfinite(one) for one in ratio)
        claims.append(
            Claim(
                f"{each.task}: measured over predicted time of the break",
                f"1 within a factor {FACTOR:g}",
                ", ".join(
                    f"{one.value / at:.2f} [{one.low / at:.2f}, {one.high / at:.2f}] at k = {k}"
                    for one, at, k in zip(each.breaks, each.expected, each.k, strict=True)
                ),
                all(1 / FACTOR <= one <= FACTOR for one in ratio) if known else None,
            )
        )
        late, said = each.excess[0, -1], each.predicted[0, -1]
        claims.append(
            Claim(
                f"{each.task}: excess of {each.k[0]} features at the last time, beyond their capacity",
                f"{said:.1f}, within a factor {FACTOR:g}",
                f"{late:.1f}",
                bool(1 / FACTOR <= late / said <= FACTOR),
            )
        )
    for net in trained:
        expected, words = {"standard": (-1.0, "-1 within 0.15"), "ntk": (0.0, "0 within 0.15"), "adam": (-1.0, "")}[
            net.kind
        ]
        found = ", ".join(f"{slope} at a loss of {at:g}" for at, slope in net.slopes.items())
        inside = [teachers.within(slope, expected - 0.15, expected + 0.15) for slope in net.slopes.values()]
        if net.kind == "adam":  # the equivalence is expected to fail
            claims.append(Claim("networks, adam: slope of iso-loss curves", "not -1", found, _apart(net.slopes)))
            continue
        holds = None if None in inside else all(inside)
        words += f" (tangent kernel: {net.kernel_slope:.2f})"
        claims.append(Claim(f"networks, {net.kind}: slope of iso-loss curves", words, found, holds))
        if net.kind == "standard":
            claims.append(
                Claim(
                    "networks, standard: the widest from the narrowest trained longer, and back, relative error",
                    "below 25 %",
                    f"{net.large_from_small.value:.1%} and {net.small_from_large.value:.1%}",
                    max(net.large_from_small.value, net.small_from_large.value) < 0.25,
                )
            )
            claims.append(
                Claim(
                    "networks, standard: off the frontier, error of the equivalence against a sum of powers",
                    "smaller",
                    f"{net.equivalence:.1%} against {net.additive:.1%}",
                    net.equivalence < net.additive,
                )
            )
    root = np.sqrt(np.mean(subspace.distance**2, axis=0))
    claims.append(
        Claim(
            "random subspace: slope of the distance against p at equal p t, and its size over the leading order",
            "-0.5; 1 at the largest p",
            f"{subspace.slope}; {root[-1] / subspace.predicted[-1]:.3f}",
            subspace.slope.low <= -0.5 <= subspace.slope.high,
        )
    )
    claims.append(
        Claim(
            "random subspace: distance over its exponential bound, and over the linear one",
            "below 1",
            f"at most {subspace.exponential.max():.2g} and {subspace.linear.max():.2g}",
            bool(max(subspace.exponential.max(), subspace.linear.max()) < 1),
        )
    )
    return tuple(claims)
