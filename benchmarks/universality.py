"""Claim: on photographs the theory predicts the loss of kernel regression to a few per cent.

On the embedded photographs, for several kernels: the exact loss of the kernel's own prior at n (pivots of one half of
the patches) against the prediction from the ridge resolvent of the other half, and against n/tr K_n^-1 without ridge,
which is the same quantity if patches were Gaussian. The script fails if the prediction is off by more than 10 % for
an NTK up to a third of the samples.

Run with `uv run python benchmarks/universality.py`.
"""

import numpy as np

from regimes import equivalents, estimate, kernels, ridge, tasks


def main() -> None:
    task = tasks.image_patches(size=6, seed=0)
    half = len(task) // 2
    at = np.array([32, 100, 320, half // 3])
    print(f"{len(task)} patches; loss by pivots over: the prediction | n/tr K_n^-1, at n = {', '.join(map(str, at))}")
    for model in [kernels.fully_connected(depth, kind=kind) for depth in (1, 2, 3) for kind in ("ntk", "nngp")]:
        gram = model(task.x)
        spectrum = estimate.spectrum(gram[:half, :half], draws=0)
        exact = ridge.pivot_curve(gram[half:, half:], at, trials=4, seed=0).loss
        predicted = exact / equivalents.loss(spectrum, at)
        ridgeless = exact / ridge.kappa_curve(gram[half:, half:], at, trials=4, seed=0).loss
        print(f"{model}: {np.round(predicted, 3)} | {np.round(ridgeless, 3)}")
        assert model.kind == "nngp" or np.all(np.abs(predicted - 1) < 0.1)


if __name__ == "__main__":
    main()
