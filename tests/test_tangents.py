"""neural-tangents opened by `regimes._tangents.load()`: its numbers, and that nothing else is disturbed.

Every test runs fresh interpreters, in which any warning is an error: what is imported, and in which order, is what is
tested. They hold on the oldest supported JAX as well as on the newest.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent

# At coinciding points the NTK of Relu and both kernels of Sign depend on an angle that is 0 and computed as
# arctan2(sqrt(a - b), c) with a equal to b up to rounding: the angle is of the order of the root of the machine
# epsilon, 1.5e-8, whichever way the rounding falls, and its share of pi enters once per layer.
COINCIDING = re.compile(r"(analytic/Sign/\d/\w+|analytic/Relu/\d/ntk|batch/ntk|convolution/\w+/ntk)/square")


def fresh(*arguments: str) -> str:
    """Run Python and return what it prints."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_", "XLA_"))}
    environment["JAX_PLATFORMS"] = "cpu"
    command = [sys.executable, "-W", "error", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr, done.stderr  # from where it cannot be raised
    return done.stdout


@pytest.mark.slow  # compiles all over; .ci/run asks for it under the oldest versions too
def test_numbers_are_those_of_the_published_release() -> None:
    """Compare with neural-tangents as published on JAX 0.5.3: `tangents_numbers.py` tells how the file was made."""
    found = json.loads(fresh(str(HERE / "tangents_numbers.py")))
    golden = json.loads((HERE / "golden" / "tangents.json").read_text())
    assert found.keys() == golden.keys()
    different = []
    for name, value in golden.items():
        expected, got = np.asarray(value), np.asarray(found[name])
        assert got.shape == expected.shape, name
        relative = np.full(expected.shape, 1e-12)
        if COINCIDING.fullmatch(name):
            np.fill_diagonal(relative, 1e-7)
        if (np.abs(got - expected) > 1e-13 + relative * np.abs(expected)).any():
            different.append(f"{name}: {np.abs(got - expected).max():.1e}")
    assert not different


def test_jax_is_left_as_it_was() -> None:
    """Compare the public modules of JAX before and after: only further modules may have been loaded into them."""
    fresh(
        "-c",
        """
import importlib, sys, types, warnings
import jax, jax.core, jax.extend.core, jax.interpreters.ad, jax.numpy, jax.experimental.ode, jax.example_libraries.stax
from regimes import _tangents

def absent():
    wanted = {
        "jax": ("util",),
        "jax.core": ("ClosedJaxpr", "Jaxpr", "JaxprEqn", "Literal", "Primitive", "Value", "Var", "jaxpr_as_fun"),
        "jax.interpreters.ad": ("zeros_like_p",),
    }
    with warnings.catch_warnings(action="ignore"):  # some are there and deprecated
        return [(m, n) for m, names in wanted.items() for n in names if not hasattr(sys.modules[m], n)]

def importable(name):
    with warnings.catch_warnings(action="ignore"):
        try:
            importlib.import_module(name)
        except ImportError:
            return False
    return True

had_util = importable("jax.util")
public = [n for n in sys.modules if n.split(".")[0] == "jax" and not any(p.startswith("_") for p in n.split("."))]
assert len(public) > 10
before = {name: dict(vars(sys.modules[name])) for name in public}
missing = absent()
_tangents.load()
assert absent() == missing
assert ("jax.util" in sys.modules) == had_util == importable("jax.util")
for name, old in before.items():
    new = vars(sys.modules[name])
    assert old.keys() <= new.keys(), name
    assert all(new[key] is value for key, value in old.items()), name
    for key in new.keys() - old.keys():
        assert isinstance(new[key], types.ModuleType) and new[key].__name__.startswith("jax"), (name, key)
""",
    )


@pytest.mark.parametrize("x64", [False, True])
def test_flags_and_warning_filters_are_left_as_they_were(x64: bool) -> None:
    """Compare them, and see that JAX has not yet chosen its devices, which would settle further flags."""
    fresh(
        "-c",
        f"""
import warnings
import jax
jax.config.update("jax_enable_x64", {x64})
import scipy.linalg, jax.experimental.ode, jax.example_libraries.stax
flags, filters, identity = dict(jax.config.values), list(warnings.filters), id(warnings.filters)
from regimes import _tangents
_tangents.load()
assert dict(jax.config.values) == flags
assert jax.config.jax_enable_x64 is {x64}
assert list(warnings.filters) == filters and id(warnings.filters) == identity
jax.config.update("jax_num_cpu_devices", 2)  # refused once the devices are chosen
assert jax.device_count() == 2
""",
    )


def test_no_other_framework_is_imported() -> None:
    """neural-tangents' experimental sub-package, which would import TensorFlow, is an empty module."""
    fresh(
        "-c",
        """
import sys
from regimes import _tangents
nt = _tangents.load()
assert not {"tensorflow", "tf2jax", "torch", "flax"} & sys.modules.keys()
assert nt.__name__ == "neural_tangents" and nt.__version__ == "0.6.5"
assert not [name for name in vars(nt.experimental) if not name.startswith("__")]
""",
    )


# Names that JAX no longer has: one that is looked up in `jax.core`, and one that the door moves there from
# `jax.extend.core`, where it has to (the oldest JAX still has it in both).
@pytest.mark.parametrize(("module", "name"), [("jax.core", "ShapedArray"), ("jax.extend.core", "Var")])
def test_unsupported_jax_is_one_readable_error(module: str, name: str) -> None:
    """Take away a name that is needed, then give it back: an error that names the versions, then a module."""
    fresh(
        "-c",
        f"""
import importlib, sys, warnings
import jax, jax.core, jax.extend.core
from regimes import _tangents

with warnings.catch_warnings(action="ignore"):
    needed = "{module}" == "jax.core" or not hasattr(jax.core, "{name}")
holder = importlib.import_module("{module}")
kept = getattr(holder, "{name}")
core, filters = set(vars(jax.core)), list(warnings.filters)
del holder.{name}
for _ in range(2 if needed else 0):
    try:
        _tangents.load()
    except ImportError as error:
        message = str(error)
    else:
        raise AssertionError("opened without {name}")
    assert "{name}" in message and "KeyError" not in message, message
    for version in (jax.__version__, "0.6.5", *_tangents.TESTED_JAX):
        assert version in message, message
    assert "\\n" not in message
    assert not [found for found in sys.modules if found.startswith("neural_tangents")]
    assert list(warnings.filters) == filters
    util = sys.modules.get("jax.util")
    assert util is None or hasattr(util, "__file__")  # JAX's own
setattr(holder, "{name}", kept)
assert set(vars(jax.core)) == core
nt = _tangents.load()
assert _tangents.load() is nt is sys.modules["neural_tangents"]
assert nt.stax.serial(nt.stax.Dense(1))[2](jax.numpy.ones((1, 2)), None, "nngp").shape == (1, 1)
""",
    )


def test_module_imported_by_the_caller_is_returned() -> None:
    """Whatever `neural_tangents` the caller has imported, the door returns that."""
    fresh(
        "-c",
        """
import sys, types
own = sys.modules["neural_tangents"] = types.ModuleType("neural_tangents")
own.stax = types.ModuleType("neural_tangents.stax")
from regimes import _tangents
assert _tangents.load() is own
assert [name for name in sys.modules if name.startswith("neural_tangents")] == ["neural_tangents"]
""",
    )


def test_opens_after_an_import_that_failed() -> None:
    """The caller's own attempt, which fails without TensorFlow or on current JAX, may have left parts behind."""
    fresh(
        "-c",
        """
import sys, warnings
with warnings.catch_warnings(action="ignore"):
    try:
        import neural_tangents
    except Exception:
        pass
import jax
from regimes import _tangents
nt = _tangents.load()
assert nt is sys.modules["neural_tangents"]
kernel_fn = nt.stax.serial(nt.stax.Dense(1), nt.stax.Relu(), nt.stax.Dense(1))[2]
assert kernel_fn(jax.numpy.ones((2, 3)), None, "ntk").shape == (2, 2)
""",
    )


def test_threads_get_one_module() -> None:
    """Several threads at once find the same module, all of it there."""
    fresh(
        "-c",
        """
import sys, threading
from concurrent.futures import ThreadPoolExecutor
from regimes import _tangents

sys.setswitchinterval(1e-5)
together = threading.Barrier(8)

def opened(_):
    together.wait()
    nt = _tangents.load()
    return nt, nt.batch, nt.predict.gradient_descent_mse_ensemble, nt.monte_carlo_kernel_fn, nt.Kernel

with ThreadPoolExecutor(8) as pool:
    found = list(pool.map(opened, range(8)))
assert len(set(found)) == 1
""",
    )
