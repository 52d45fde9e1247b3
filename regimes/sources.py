"""Rosenfeld's sources of error as exact shares of the loss: noise, realizability, uncertainty and learning deficiency.

The thesis names four reasons for which a learner errs and bounds the error by their sum. For kernels and features
each of them is a number, and the sum is the loss itself:

    noise          sigma^2, which no learner removes
    realizability  L(inf, k) - sigma^2: what k features cannot express, with any amount of data
    uncertainty    min over the ridge of L(n, k) less the two: what n samples cannot tell, with the best regularisation
    deficiency     L(n, k, ridge, time) less that minimum: what this learner loses by its ridge or stopping time

    budget = sources.budget(spectrum, n=500, k=2000, noise=0.1)
    print(budget)
"""

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from regimes import _checks, display, dynamics, equivalents, optima
from regimes.results import Values
from regimes.spectrum import Spectrum

Array = np.ndarray


@display.shown
class Budget(NamedTuple):
    """The loss as a sum of four parts; the fields have the broadcast shape of the arguments."""

    noise: Values
    """Variance of the label noise."""
    realizability: Values
    """What the features cannot express."""
    uncertainty: Values
    """What the samples cannot tell, at the best ridge."""
    deficiency: Values
    """What the learner itself adds. Negative where its early stopping beats every ridge."""

    @property
    def loss(self) -> Values:
        """Their sum."""
        return np.add(np.add(self.noise, self.realizability), np.add(self.uncertainty, self.deficiency))[()]

    @property
    def dominant(self) -> Any:
        """The name of the largest part."""
        return np.array(self._fields)[np.argmax(np.stack(np.broadcast_arrays(*self)), axis=0)]

    def __str__(self) -> str:
        if np.ndim(self.loss):
            return f"budgets of {np.size(self.loss)} losses from {np.min(self.loss):.4g} to {np.max(self.loss):.4g}"
        if not np.isfinite(self.loss):
            return "infinite loss: as many features as samples and no ridge"
        parts = ", ".join(f"{name} {value:.4g} ({value / self.loss:.1%})" for name, value in self._asdict().items())
        return f"loss {self.loss:.4g}: {parts}"


def budget(
    spectrum: Spectrum, n: Any, k: Any = np.inf, ridge: Any = 0.0, noise: Any = 0.0, time: Any = np.inf
) -> Budget:
    """The four sources of error at each point of the broadcast arguments.

    Uncertainty and deficiency do not depend on how good the prior is that the kernel stands for: a kernel whose
    eigenvalues are not the target's power is charged to uncertainty. `bayes` is the loss without that charge, a lower
    bound of everything at infinite k.

    Args:
        spectrum: kernel and target.
        n: numbers of samples, positive, possibly infinite.
        k: numbers of features, positive, possibly infinite.
        ridge: added to the diagonal of the Gram matrix.
        noise: variance of the label noise.
        time: gradient-flow time; infinite for training to the end.

    Raises:
        ValueError: values that are no numbers, out of range or NaN; shapes that do not go together.

    Valid when: Gaussian universality holds, as for [loss][regimes.equivalents.loss].

    Source: Rosenfeld 2021 (arXiv:2108.07686) for the names; as shares of the deterministic equivalent, here.
    """
    n, k, ridge, noise, time = _together(n=n, k=k, ridge=ridge, noise=noise, time=time)
    (n, k, ridge, noise), shape = equivalents._flat(n=n, k=k, ridge=ridge, noise=noise)
    time = time.ravel()  # checked by `gradient_flow`
    loss = np.asarray(dynamics.gradient_flow(spectrum, time, n, k, ridge, noise))
    realizability = np.asarray(equivalents.loss(spectrum, np.inf, k, 0.0, 0.0))
    best = noise + realizability
    finite = np.isfinite(n)
    if finite.any():
        tuned = optima.optimal_ridge(spectrum, n[finite], k[finite], noise[finite])
        best = best.copy()
        best[finite] = np.maximum(tuned.loss, best[finite])  # rounding of the search
    parts = (noise, realizability, best - noise - realizability, loss - best)
    return Budget(*(np.asarray(part, dtype=np.float64).reshape(shape)[()] for part in parts))


def bayes(spectrum: Spectrum, n: Any, noise: Any = 0.0) -> Values:
    """The smallest loss that any learner reaches on average over targets of this power: ridge regression with them.

    The target is taken as a draw from a Gaussian prior with variance v_i^2 in mode i. Its best learner is the kernel
    with eigenvalues v_i^2 and a ridge equal to the noise.

    Args:
        spectrum: of which only the power and the multiplicities matter.
        n: numbers of samples, positive, possibly infinite.
        noise: variance of the label noise.

    Raises:
        ValueError: a target without power; values that are no numbers, or out of range.
    """
    n, noise = _together(n=n, noise=noise)
    return equivalents.loss(matched(spectrum), n, np.inf, noise, noise)


def matched(spectrum: Spectrum) -> Spectrum:
    """The kernel whose eigenvalues are the target's power: the one for which the target is a draw from the prior.

    Levels without power are left out.

    Raises:
        ValueError: a target without power.
    """
    inside = (spectrum.power > 0) & (spectrum.multiplicity > 0)
    if not inside.any():
        raise ValueError("`spectrum` has a target without power: there is nothing to learn.")
    values = spectrum.power[inside] / spectrum.multiplicity[inside]
    order = np.argsort(-values, kind="stable")
    _checks.finite_array("power", values)
    return dataclasses.replace(
        spectrum,
        eigenvalues=values[order],
        power=spectrum.power[inside][order],
        multiplicity=spectrum.multiplicity[inside][order],
        tail=spectrum.tail_power,
        replicates=(),
    )


def _together(**arguments: Any) -> tuple[Array, ...]:
    """Named numbers as float64 arrays of a common shape."""
    arrays = {}
    for name, value in arguments.items():
        try:
            arrays[name] = np.asarray(value, dtype=np.float64)
        except (TypeError, ValueError):
            raise ValueError(f"`{name}` must be a number or an array of numbers, got {value!r}.") from None
        if not arrays[name].size:
            raise ValueError(f"`{name}` is empty (shape {arrays[name].shape}).")
    try:
        return tuple(np.broadcast_arrays(*arrays.values()))
    except ValueError:
        shapes = ", ".join(f"`{name}` {array.shape}" for name, array in arrays.items() if array.ndim)
        raise ValueError(f"these shapes do not go together: {shapes}; pass arrays that broadcast.") from None
