"""Iterative magnitude pruning of the package's networks.

A network is trained, a fifth of its remaining weights with the least magnitude is set to zero for good, the others are
set back to their values at an early step, and the training from there is gone through again; and so on, round after
round. Magnitudes are compared over all layers at once, in the scale in which weights act: |w| weight_std/sqrt(fan-in)
in the ntk parameterisation, where all weights begin with the same variance, and |w| in the standard one. So both
parameterisations prune a network of one seed alike at the start. Biases are not pruned and not counted.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from regimes import _checks, descent, display, training
from regimes.networks import Network, Tree
from regimes.runs import Status, Training

Array = np.ndarray
SHARE = 0.2
"""Share of the remaining weights that a round takes away."""


@display.shown
@dataclasses.dataclass(frozen=True)
class Pruned:
    """One network pruned round after round, from several seeds; round 0 is the dense network."""

    network: Network
    """What was pruned."""
    seeds: tuple[int, ...]
    """One network each."""
    density: Float64[Array, " rounds_and_1"]
    """Share of the weights that is left."""
    weights: Int64[Array, " rounds_and_1"]
    """Weights left."""
    biases: int
    """Biases, all of them kept."""
    loss: Float64[Array, "rounds_and_1 seeds"]
    """Test loss where the parameters were kept; NaN from the round on in which a training diverged."""
    train_loss: Float64[Array, "rounds_and_1 seeds"]
    """Training loss there."""
    masks: tuple[tuple[Tree, ...], ...] = dataclasses.field(repr=False)
    """`masks[round][seed]`: 1 for a weight that is left."""
    rewound: tuple[Tree, ...] = dataclasses.field(repr=False)
    """Parameters of each seed at the step to which they are set back, before any mask."""
    trainings: tuple[Training, ...] = dataclasses.field(repr=False)
    """One for each round, with all else: parameters, curves, messages."""

    @property
    def parameters(self) -> Int64[Array, " rounds_and_1"]:
        """Weights left and biases."""
        return self.weights + self.biases

    def __str__(self) -> str:
        mean = np.exp(np.mean(np.log(self.loss), axis=1))
        return (
            f"{self.network}: pruned in {len(self.density) - 1} rounds from {self.weights[0]} to {self.weights[-1]} "
            f"weights (density {self.density[-1]:.3g}), {len(self.seeds)} seed{'s' * (len(self.seeds) > 1)}; test loss "
            f"from {mean[0]:.4g} to {mean[-1]:.4g}"
        )


def prune(
    network: Network,
    x: Any,
    y: Any,
    *,
    test: tuple[Any, Any],
    rounds: int = 10,
    share: float = SHARE,
    rewind: int = 0,
    steps: int = 1000,
    seeds: Sequence[int] | int = 1,
    checkpoint: Path | str | None = None,
    progress: Callable[[str, float], None] | None = None,
    **options: Any,
) -> Pruned:
    """Train a network, prune it globally by magnitude, set it back, train it again, several times.

    Round r has round((1 - share)^r weights) weights left, the largest of those of round r - 1 after training. Each
    round goes on from step `rewind` with the same schedule and order of the batches; what the optimiser remembers
    (momentum, moments of adam) begins anew there, in the dense network of round 0 too, so that rounds differ by their
    masks alone: adam's moments would keep the first steps for a thousand more. One compiled program serves all rounds,
    and another the dense network.

    Args:
        network: what to prune; not centred and not expanded.
        x: training samples.
        y: their targets.
        test: test samples and their targets.
        rounds: how often to prune.
        share: share of the remaining weights taken away each time.
        rewind: step to which the weights are set back; 0 for the random ones.
        steps: steps of the dense training.
        seeds: how many networks, or which.
        checkpoint: folder with a folder for each round in it; the same call goes on from there.
        progress: called with (what is being done, share done).
        options: as for [training.train][regimes.training.train].

    Raises:
        ValueError: as `training.train`; no weight left, a rewind that is not before the last step, a share outside
            (0, 1), options that this sets itself.

    Source: Frankle et al. 2020 (arXiv:1912.05671); Rosenfeld et al. 2021 (arXiv:2006.10621).
    """
    import jax

    rounds, steps = _checks.count("rounds", rounds, low=0), _checks.count("steps", steps)
    share = _checks.number("share", share, low=0, strict=True)
    if share >= 1:
        raise ValueError(f"`share` must be less than 1, got {share:g}.")
    rewind = _checks.count("rewind", rewind, low=0, high=steps - 1)
    own = [name for name in ("start", "masks", "span", "keep") if name in options]
    if own:
        raise ValueError(f"`{own[0]}` is set by the pruning; leave it out.")
    numbers = descent.seed_numbers(seeds)
    inputs = network.model.checked("x", x)
    drawn = [network.init(seed, inputs, precision=options.get("precision", "float32")) for seed in numbers]
    if network.anchored:
        raise ValueError("`network` must be neither centred nor expanded: its weights would not act by themselves.")
    total = sum(leaf.size for leaf in _weights(drawn[0]))
    left = np.array([round(total * (1 - share) ** number) for number in range(rounds + 1)])
    if left[-1] < 1:
        most = math.floor(math.log(0.5 / total) / math.log1p(-share))
        raise ValueError(f"`rounds` must be at most {most} to leave one of {total} weights, got {rounds}.")
    say = progress or (lambda what, done: None)
    folder = None if checkpoint is None else Path(checkpoint)

    def trained(name: str, **more: Any) -> Training:
        own = None if folder is None else folder / name
        settings: dict[str, Any] = {"test": test, "steps": steps, "seeds": numbers, "checkpoint": own}
        return training.train(network, x, y, **settings, **(options | more))

    masks = [[jax.tree.map(np.ones_like, tree) for tree in drawn]]
    say("dense", 0.0)
    rewound, dense = drawn, {}
    if rewind:
        early = trained("rewind", span=(0, rewind), record=1, early_stopping=False)
        rewound = [early.parameters(seed) for seed in numbers]
        dense = {"start": rewound, "span": (rewind, steps), "rate": early.rate}
    trainings = [trained("round-000", **dense)]  # without masks, and without a rewind plain training to the bit
    options = options | {"rate": trainings[0].rate}
    for number in range(1, rounds + 1):
        say(f"{left[number]} of {total} weights", number / (rounds + 1))
        ended = [trainings[-1].parameters(seed) for seed in numbers]
        # A seed that has diverged is trained on beside the others, by any mask: its losses are left out from there on.
        ended = [end if _sound(end) else begin for end, begin in zip(ended, drawn, strict=True)]
        masks.append(
            [mask_largest(network, end, mask, int(left[number])) for end, mask in zip(ended, masks[-1], strict=True)]
        )
        trainings.append(trained(f"round-{number:03d}", masks=masks[-1], start=rewound, span=(rewind, steps)))
    say("done", 1.0)
    bad = np.array([[status is Status.DIVERGED for status in one.statuses] for one in trainings])
    bad = np.logical_or.accumulate(bad, axis=0)
    return Pruned(
        network,
        numbers,
        left / total,
        left,
        sum(leaf.size for leaf in jax.tree.leaves(drawn[0])) - total,
        np.where(bad, np.nan, [one.losses("test") for one in trainings]),
        np.where(bad, np.nan, [one.losses("train") for one in trainings]),
        tuple(tuple(row) for row in masks),
        tuple(rewound),
        tuple(trainings),
    )


def mask_largest(network: Network, parameters: Tree, mask: Tree, count: int) -> Tree:
    """The mask of the `count` largest remaining weights of all layers together; biases stay.

    Args:
        network: whose parameterisation and layers give the scale in which weights act.
        parameters: those of the trained network.
        mask: arrays like them, 1 for what remains.
        count: weights to keep, at most those that remain.

    Raises:
        ValueError: a count beyond the weights that remain, weights that are not finite.
    """
    if not _sound(parameters):
        raise ValueError("`parameters` must be finite to be compared; this training has diverged.")
    sizes = [np.abs(leaf) for leaf in _effective(network, parameters)]
    alive = np.concatenate([leaf.ravel() for leaf in _weights(mask)]) == 1
    count = _checks.count("count", count, low=0, high=int(alive.sum()))
    flat = np.where(alive, np.concatenate([leaf.ravel() for leaf in sizes]), -1.0)
    kept = np.zeros(flat.size, dtype=bool)
    kept[np.argsort(-flat, kind="stable")[:count]] = True
    parts = iter(np.split(kept, np.cumsum([leaf.size for leaf in sizes])[:-1]))
    made = []
    for layer in mask:
        if len(layer):
            weights, bias = layer
            layer = (next(parts).reshape(weights.shape).astype(weights.dtype), bias)
        made.append(layer)
    return made


def _sound(tree: Tree) -> bool:
    return all(bool(np.isfinite(leaf).all()) for leaf in _weights(tree))


def _weights(tree: Tree) -> list[Array]:
    """Weights without biases, layer by layer."""
    return [np.asarray(layer[0]) for layer in tree if len(layer)]


def _effective(network: Network, tree: Tree) -> list[Array]:
    """Weights in the scale in which they act on the activations."""
    found = [leaf.astype(np.float64) for leaf in _weights(tree)]
    if network.parameterisation == "standard":
        return found
    layers = [*network.model.layers, network.model.readout]
    stds = [layer.weight_std for layer, leaves in zip(layers, tree, strict=True) if len(leaves)]
    return [leaf * std / math.sqrt(math.prod(leaf.shape[:-1])) for leaf, std in zip(found, stds, strict=True)]
