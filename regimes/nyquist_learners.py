"""Nyquist learners: band-limited targets learnt to the last digit at a finite number of samples, and by a power law.

A target in B modes of a domain is learnt from n samples, by a learner that has these modes and no others, and by
kernels that have them all. The domains are the circle (frequencies up to a highest one), the torus T^2 (the B largest
modes of a product kernel), the sphere S^2 (harmonics up to a degree) and 6 x 6 patches of photographs (polynomials of
degree two in the low frequencies of the patch). Beside every measurement stands what theory predicts from the spectrum.

    limited       B modes: nothing is left from n = B on, as `nyquist.rate` says
    wider         twice or four times the modes that the target needs: nothing is left from so many samples on. Regular
                  points of the circle need fewer, as frequencies up to F are told from those of the target, up to f,
                  from F + f + 1 points on
    narrower      half of them: what is beyond the band stays and acts as noise
    unlimited     a kernel with a power law of modes: the loss is a power law in n, for ever (periodic
                  Ornstein-Uhlenbeck on the circle, its product on the torus, Laplace on the sphere; on patches the NTK
                  of a relu network, of the whole patch and of its low frequencies alone)
    noise         with label noise the rate is a peak on random points, and nothing but sigma^2 B/n on regular ones

Limited learners are fitted in the coordinates of their modes. With their Gram matrix rounding would be amplified by the
square of the condition number, and random points near the rate would not show what they know. Beyond a condition number
of `WORST`, which random points of the circle reach with some hundred modes, double precision does not show it either.
"""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64

from regimes import _checks, display, equivalents, nyquist, runs
from regimes.bands import DOMAINS, Setting, Sizes
from regimes.results import Estimate, LearningCurve, log_slope
from regimes.teachers import Claim, exponent, log_mean

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray
Report = Callable[[str, float], None]
"""Called with (what is being done, share of the whole that is done)."""

COMPLETE = 1e-6
"""Loss, as a share of the target's power, below which it counts as learnt."""
ORDERS = 6.0
"""Orders of magnitude by which the loss must fall at the rate."""
FAR = 4
"""Times the rate, from where on losses that do not vanish are compared with the predicted ones at every n."""
WORST = math.sqrt(COMPLETE) / float(np.finfo(np.float64).eps)
"""Condition number of the modes on the points from which on rounding alone may leave more than `COMPLETE`."""


@display.shown
@dataclasses.dataclass(frozen=True)
class Case:
    """One learner on one domain."""

    domain: str
    """circle, torus, sphere or photographs."""
    learner: str
    """What it is, in words."""
    design: str
    """random or regular points."""
    noise: float
    """Variance of the label noise."""
    band: float
    """Modes of the target."""
    rate: float
    """Samples at which nothing is left: as [rate][regimes.nyquist.rate] says, on regular points of the circle the sum
    of the highest frequencies of target and learner, plus one; infinite where there is always more."""
    measured: LearningCurve
    """Loss against n, a row per set of points; `loss` is the mean."""
    predicted: LearningCurve
    """What theory says: exact on regular points, the deterministic equivalent on random ones."""
    condition: Float64[Array, "trials sizes"]
    """Condition number of the learner's modes on each set of points; NaN for kernels."""

    @property
    def worst(self) -> float:
        """Largest condition number at the rate; NaN without a rate."""
        here = self.measured.at == self.rate
        return float(self.condition[:, here].max()) if here.any() else math.nan

    @property
    def typical(self) -> Float64[Array, " sizes"]:
        """Geometric mean over the sets of points: a few sets with points that nearly coincide rule the other."""
        assert self.measured.trials is not None
        return log_mean(np.maximum(self.measured.trials, 1e-300))

    @property
    def complete(self) -> float:
        """Smallest measured n from which on every set of points leaves less than `COMPLETE`; infinite if none does."""
        assert self.measured.trials is not None
        above = np.flatnonzero(self.measured.trials.max(axis=0) >= COMPLETE)
        first = int(above[-1]) + 1 if len(above) else 0
        return float(self.measured.at[first]) if first < len(self.measured.at) else math.inf

    @property
    def drop(self) -> float:
        """Orders of magnitude by which the loss falls from one sample below the rate to the rate; NaN without one."""
        if not math.isfinite(self.rate) or self.rate not in self.measured.at:
            return math.nan
        where = int(np.searchsorted(self.measured.at, self.rate))
        return float(np.log10(self.typical[where - 1] / self.typical[where]))

    @property
    def window(self) -> slice:
        """Places from which exponents are read: from twice the modes of the target on."""
        return slice(int(np.searchsorted(self.measured.at, 2 * self.band)), None)

    @property
    def exponent(self) -> Estimate:
        """Of the loss without noise beyond twice the band."""
        assert self.measured.trials is not None
        return exponent(self.measured.at[self.window], self.measured.trials[:, self.window])

    @property
    def predicted_exponent(self) -> float:
        """The same of the prediction."""
        return -log_slope(self.predicted.at[self.window], self.predicted.loss[self.window])

    @property
    def limited(self) -> bool:
        """Whether the learner has a rate."""
        return math.isfinite(self.rate)

    @property
    def done(self) -> bool:
        """Whether it is a learner that learns all: a rate, no noise, and the whole band of the target."""
        return bool(self.limited and not self.noise and self.predicted.loss[-1] < COMPLETE)

    def errors(self, low: float = 0.0, high: float = math.inf) -> Float64[Array, " sizes"]:
        """|predicted/measured - 1| of mean losses at each n from `low` to `high`."""
        where = (self.measured.at >= low) & (self.measured.at <= high)
        return np.abs(self.predicted.loss[where] / self.measured.loss[where] - 1)

    def error(self, low: float = 0.0, high: float = math.inf) -> float:
        """Median of `errors`; NaN where there is none."""
        found = self.errors(low, high)
        return float(np.median(found)) if len(found) else math.nan


@display.shown
@dataclasses.dataclass(frozen=True)
class Result:
    """What [run][regimes.nyquist_learners.run] found."""

    cases: tuple[Case, ...]
    """Every learner on every domain."""
    checks: tuple[Claim, ...]
    """What was expected, what was found."""
    settings: dict[str, Any]
    """Every size and seed."""
    name: str = "nyquist_learners"
    """Stem of its files."""

    def __str__(self) -> str:
        good, judged = sum(one.holds is True for one in self.checks), sum(one.holds is not None for one in self.checks)
        limited = [one for one in self.cases if one.done]
        there = [one for one in limited if one.complete == one.rate]
        least = min((one.drop for one in there), default=math.nan)
        lines = [
            f"Nyquist learners: {good} of {judged} claims hold; {len(there)} of {len(limited)} band-limited learners "
            f"are done exactly at the rate, where their loss falls by {least:.0f} orders of magnitude or more; kernels "
            "without a band follow a power law."
        ]
        for one in self.cases:
            head = f"  {one.domain}, {one.learner}, {one.design} points"
            head += f", noise {one.noise:g}" if one.noise else ""
            if one.noise:
                said = f"loss {one.typical[-1]:.4g} (predicted {one.predicted.loss[-1]:.4g}) at {one.measured.at[-1]:g}"
            elif one.limited:
                said = f"rate {one.rate:g}, complete from {one.complete:g}, {one.drop:.1f} orders"
            else:
                said = f"exponent {one.exponent}, predicted {one.predicted_exponent:.2f}"
            lines.append(f"{head}: {said}")
        words = {True: "holds", False: "does not hold", None: "undecided"}
        lines += [
            f"  {one.what}: expected {one.expected}, found {one.found}: {words[one.holds]}" for one in self.checks
        ]
        return "\n".join(lines)

    def tables(self) -> "dict[str, pd.DataFrame]":
        """Data frames: learners (a row per case), losses (a row per n of each), checks."""
        import pandas as pd

        rows, points = [], []
        for one in self.cases:
            about = {"domain": one.domain, "learner": one.learner, "design": one.design, "noise": one.noise}
            row = about | {"band": one.band, "rate": one.rate, "complete": one.complete, "drop": one.drop}
            if not one.limited and not one.noise:
                found = one.exponent
                row |= {"exponent": found.value, "low": found.low, "high": found.high}
                row |= {"predicted": one.predicted_exponent}
            rows.append(row)
            assert one.measured.trials is not None
            each = (one.measured.at, one.measured.loss, one.typical, one.measured.trials.max(axis=0))
            for n, mean, typical, largest, predicted in zip(*each, one.predicted.loss, strict=True):
                losses = {"n": n, "mean": mean, "geometric_mean": typical, "largest": largest, "predicted": predicted}
                points.append(about | losses)
        named = {"learners": rows, "losses": points, "checks": [one._asdict() for one in self.checks]}
        return {name: pd.DataFrame(each) for name, each in named.items()}

    def record(self) -> dict[str, Any]:
        """All that JSON can hold."""
        return {"run": self.settings, "checks": [one._asdict() for one in self.checks]}


def plan(
    *,
    domains: Any = None,
    band: int | None = None,
    torus: int | None = None,
    degree: int | None = None,
    block: int | None = None,
    noise: float = 0.1,
    reach: int | None = None,
    targets: int = 16,
    trials: int | None = None,
    quick: bool = False,
) -> Sizes:
    """Sizes of the experiment, those that are not given chosen; see [run][regimes.nyquist_learners.run].

    Raises:
        ValueError: an unknown domain or none, fewer than two trials, numbers out of range.
    """

    def own(value: Any, small: int, large: int) -> int:
        return (small if quick else large) if value is None else value

    try:
        chosen = tuple(DOMAINS) if domains is None else (domains,) if isinstance(domains, str) else tuple(domains)
    except TypeError:
        raise ValueError(f"`domains` must be some of {', '.join(DOMAINS)}; got {domains!r}.") from None
    if not chosen:
        raise ValueError(f"`domains` is empty; take some of {', '.join(DOMAINS)}.")
    for one in chosen:
        _checks.choice("domains", one, tuple(DOMAINS))
    return Sizes(
        tuple(dict.fromkeys(chosen)),
        _checks.count("band", own(band, 10, 20), low=4, high=100),
        _checks.count("torus", own(torus, 21, 49), low=5, high=400),
        _checks.count("degree", own(degree, 4, 7), low=2, high=15),
        _checks.count("block", own(block, 3, 4), low=2, high=5),
        _checks.number("noise", noise, low=0, strict=True),
        _checks.count("reach", own(reach, 8, 16), low=4, high=64),
        _checks.count("targets", targets),
        _checks.count("trials", own(trials, 4, 16), low=2),
    )


def run(
    *,
    domains: Any = None,
    band: int | None = None,
    torus: int | None = None,
    degree: int | None = None,
    block: int | None = None,
    noise: float = 0.1,
    reach: int | None = None,
    targets: int = 16,
    trials: int | None = None,
    quick: bool = False,
    seed: int = 0,
    checkpoint: Path | str | None = None,
    progress: Report | None = None,
) -> Result:
    """Measure the loss of learners with and without a band on targets that have one.

    Targets are random combinations of the B modes, of power 1. Random points are independent and uniform; regular ones
    (on the circle) are equidistant with a random offset. Losses of limited learners are exact, over all inputs; those
    of kernels are over 1,500 test points, none of them trained on.

    Args:
        domains: some of circle, torus, sphere, photographs; default all.
        band: highest frequency on the circle; default 20, which makes 41 modes.
        torus: modes on the torus, or a few more, as equal eigenvalues stay together; default 49.
        degree: highest degree of the harmonics on the sphere; default 7, 64 modes.
        block: side of the block of low frequencies (of the discrete cosine transform) of a patch, the constant left
            out; default 4: 15 coordinates, 136 polynomials.
        noise: variance of the label noise in the cases with noise.
        reach: largest n as a multiple of the rate; default 16.
        targets: targets on each set of points.
        trials: sets of points; default 16.
        quick: smaller bands, fewer sets: no numbers to quote.
        seed: seed of everything random.
        checkpoint: folder in which finished sets are kept; the same call goes on from there.
        progress: called with (what is being done, share done).

    Raises:
        ValueError: as `plan`; a checkpoint of other settings.

    Source: Rosenfeld 2021 (arXiv:2108.07686), chapter on Nyquist learners, for the idea; the rates are those of
    [nyquist][regimes.nyquist].
    """
    sizes = plan(
        domains=domains,
        band=band,
        torus=torus,
        degree=degree,
        block=block,
        noise=noise,
        reach=reach,
        targets=targets,
        trials=trials,
        quick=quick,
    )
    seed = _checks.count("seed", seed, low=0)
    say = progress or (lambda what, share: None)
    folder, cases = None if checkpoint is None else Path(checkpoint), []
    for index, name in enumerate(sizes.domains):
        say(name, index / len(sizes.domains))
        settings = DOMAINS[name](sizes, seed)
        for number, setting in enumerate(settings):
            share = (index + number / len(settings)) / len(sizes.domains)
            say(f"{name}, {setting.learner}, {setting.design} points", share)
            cases.append(_case(setting, number, sizes, seed, folder))
    say("done", 1.0)
    return Result(tuple(cases), _claims(cases), {"seed": seed, "quick": quick, **sizes._asdict()})


def _case(setting: Setting, number: int, sizes: Sizes, seed: int, folder: Path | None) -> Case:
    domain = list(DOMAINS).index(setting.domain)
    store = None
    if folder is not None:
        about = {"seed": seed, "learner": setting.learner, "noise": setting.noise, **sizes._asdict()}
        about |= {"trials": 0, "domains": 0}  # more of them go on from what there is
        store = runs.Store(folder / setting.domain / str(number), about)
    rows = []
    for trial in range(sizes.trials):
        kept = store.finished([trial]) if store is not None else {}
        if trial in kept:
            rows.append(kept[trial]["losses"])
            continue
        rows.append(setting.loss(np.random.default_rng([seed, domain, number, trial])))
        if store is not None:
            store.finish(trial, {"losses": rows[-1]})
    at = setting.at.astype(np.float64)
    if setting.exact is not None:
        expected, source = setting.exact(setting.at), "exact, regular points"
    else:
        expected = np.asarray(equivalents.loss(setting.spectrum, at, np.inf, 0.0, setting.noise))
        source = "deterministic equivalent"
    losses, conditions = np.array(rows).swapaxes(0, 1)
    fixed = {"k": math.inf, "ridge": 0.0, "noise": setting.noise}
    return Case(
        setting.domain,
        setting.learner,
        setting.design,
        setting.noise,
        setting.band,
        nyquist.rate(setting.spectrum, tolerance=0.999).learner if setting.rate is None else setting.rate,
        LearningCurve.from_trials("n", at, losses, fixed, "measured"),
        LearningCurve("n", at, expected, None, None, fixed, source),
        conditions,
    )


def _claims(cases: list[Case]) -> tuple[Claim, ...]:
    claims = []
    for domain in dict.fromkeys(one.domain for one in cases):
        mine = [one for one in cases if one.domain == domain]
        for one in (one for one in mine if one.done):
            what = f"{domain}, {one.learner}, {one.design} points"
            good = bool(one.complete == one.rate and one.drop >= ORDERS)
            rounded = not good and one.worst > WORST
            why = f", condition number up to {one.worst:.1g}: rounding" if rounded else ""
            found = f"from {one.complete:g} on, {one.drop:.1f} orders{why}"
            claims.append(
                Claim(
                    f"{what}: complete",
                    f"every set from {one.rate:g} on, by {ORDERS:g} orders or more",
                    found,
                    None if rounded else good,
                )
            )
            below = one.errors(0, 0.9 * one.rate)
            off = float(np.median(below))
            claims.append(
                Claim(
                    f"{what}: loss up to 0.9 of the rate, median over n",
                    "predicted within 10 %",
                    f"{off:.1%} (largest {below.max():.1%})",
                    bool(off <= 0.1),
                )
            )
        for one in mine:
            if one.limited or one.noise:
                continue
            seen, expected = one.exponent, one.predicted_exponent
            claims.append(
                Claim(
                    f"{domain}, {one.learner}, {one.design}: exponent",
                    f"{expected:.2f} within 15 %",
                    str(seen),
                    bool(abs(seen.value / expected - 1) <= 0.15),
                )
            )
            left = float(one.typical[one.measured.at >= 2 * one.band][0])
            claims.append(
                Claim(
                    f"{domain}, {one.learner}, {one.design}: loss at twice the band",
                    f"above {COMPLETE:g}",
                    f"{left:.2g}",
                    bool(left > COMPLETE),
                )
            )
        for one in (one for one in mine if one.noise and one.limited):
            worst = float(one.errors(FAR * one.rate).max())
            what = f"{domain}, noise {one.noise:g}, {one.design}: loss at every n from {FAR} times the rate on"
            claims.append(Claim(what, "predicted within 5 %", f"{worst:.1%} at worst", bool(worst <= 0.05)))
            off = one.error(1.9 * one.rate, 2.1 * one.rate)
            what = f"{domain}, noise {one.noise:g}, {one.design}: loss at twice the rate"
            claims.append(Claim(what, "predicted within 10 %", f"{off:.0%}", bool(off <= 0.1)))
            at_rate = float(one.measured.loss[one.measured.at == one.rate][0] / one.noise)
            peak = bool(at_rate > 5)
            if one.design == "regular":
                claims.append(
                    Claim(f"{domain}, regular points: loss at the rate over the noise", "2, no peak", f"{at_rate:.2f}",
                          bool(abs(at_rate - 2) < 0.3))
                )  # fmt: skip
            else:
                claims.append(
                    Claim(f"{domain}, random points: loss at the rate over the noise", "a peak, above 5",
                          f"{at_rate:.3g}", peak)
                )  # fmt: skip
        for one in (one for one in mine if one.limited and not one.noise and not one.done):
            worst = float(one.errors(FAR * one.rate).max())
            what = f"{domain}, {one.learner}: floor, at every n from {FAR} times its rate on"
            claims.append(Claim(what, "predicted within 10 %", f"{worst:.1%} at worst", bool(worst <= 0.1)))
    return tuple(claims)
