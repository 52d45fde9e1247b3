import numpy as np
import pytest
from hypothesis import settings

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
