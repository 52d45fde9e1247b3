import os
import sys

import numpy as np
import pytest
import scipy.linalg  # noqa: F401  (loads SciPy's own BLAS, so that it is limited too)
from hypothesis import settings
from threadpoolctl import threadpool_limits

if "PYTEST_XDIST_WORKER" in os.environ:  # one process per core already
    threadpool_limits(1)

settings.register_profile("regimes", deadline=None, derandomize=True)
settings.load_profile("regimes")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def unchecked(monkeypatch):
    """Annotations are not checked, as for every user: what comes in reaches the checks and messages of regimes."""
    import jaxtyping

    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.fixture
def regimes(monkeypatch, capsys, unchecked):
    """Run the command line in this process: (exit code, standard output, standard error)."""
    from regimes import cli

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["regimes", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as stopped:
            code = stopped.code or 0
        return code, *capsys.readouterr()

    return run
