"""Kernel and random-feature theory of neural scaling regimes: what the theory predicts, what is measured, how they fit.

A loss falls as a power of the number of samples n or of features k, with an exponent that depends on what limits it:
Bahri et al.'s four regimes, resolution- and variance-limited, in n and in k. Both columns, predicted and measured, are
of one type, `LearningCurve`, so that comparing them is a subtraction.

    >>> import regimes as rg
    >>> spectrum = rg.spectra.power_law(0.5, modes=1e6)  # eigenvalues i^-(1+alpha), target from the kernel's prior
    >>> rg.exponents(spectrum).resolution_n
    <Estimate: 0.497>
    >>> curve = rg.predict_curve(spectrum, n=[16, 32, 64, 128, 256, 512], k=1e5)
    >>> curve  # doctest: +ELLIPSIS
    <LearningCurve: loss along n from 16 to 512 (6 points, k = 100000, ridge = 0, noise = 0): 0.8981 to 0.1668 ...>
    >>> rg.classify.classify(curve).regime.value
    'resolution-limited in n'

The ten calls that matter, by job:

Predict, from a spectrum or from your data
    rg.exponents(spectrum)                the four exponents, each with its interval
    rg.predict_curve(spectrum, n=[...])   the loss along n, k, ridge or time
    rg.phase_map(spectrum)                what limits the loss, over n and k
    rg.predict.predict(source)            exponents and learning curve of embeddings, a Gram matrix or raw inputs

Verify, by measuring
    rg.four_regimes(task, model)          the four regimes of a kernel and its random features, beside the prediction
    rg.classify.classify(curve)           which regime a curve is in, and on what evidence; it may stay undecided
    rg.training.train(...)                networks of finite width, many of them at once

Import, what others measured
    rg.inputs.read("embeddings.npy")      arrays, files and data sets, as `predict` takes them
    rg.curves.read("losses.csv")          measured losses as curves
    rg.curve_fits.analyse(curve)          laws fitted, ranked by what they forecast; `plan` turns them into budgets

Beside them: `spectra`, `kernels` and `tasks` make what these calls take, `laws` and `fits` hold the functional forms,
`plots` draws any result on axes of yours, and `report.write` makes one page of all that a run left behind. Printing a
result tells it in sentences; in a notebook it has a table too. Numbers are float64, sizes may be infinite, and bad
input raises a ValueError that names the argument. In the shell: `regimes --help`.

The names are listed in `__init__.pyi` and load on first use.
"""

import importlib.metadata

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__version__ = importlib.metadata.version("regimes")
