"""Kernel and random-feature theory of neural scaling regimes.

Predicted exponents and learning curves from a kernel spectrum, measured curves from data, and the four
regimes of Bahri et al. (resolution- and variance-limited, in samples and in width) compared one with the other.
The public names are listed in `__init__.pyi` and load on first use.
"""

import importlib.metadata

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__version__ = importlib.metadata.version("regimes")
