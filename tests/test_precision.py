import threading

import jax
import jax.numpy as jnp
import pytest

from regimes._precision import float64


@pytest.fixture(params=[False, True], ids=["x64 off", "x64 on"])
def flag(request):
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", request.param)
    yield request.param
    jax.config.update("jax_enable_x64", before)


def test_float64_inside_and_the_callers_precision_outside(flag):
    outside = jnp.float64 if flag else jnp.float32
    assert jnp.ones(2).dtype == outside
    with float64():
        assert (jnp.ones(2) / 3).dtype == jnp.float64
        assert jax.jit(lambda x: x / 3)(1.0).dtype == jnp.float64
    assert jnp.ones(2).dtype == outside
    assert jax.config.jax_enable_x64 is flag


def test_flag_is_restored_after_an_exception(flag):
    with pytest.raises(KeyError), float64():
        raise KeyError
    assert jax.config.jax_enable_x64 is flag
    assert jnp.ones(2).dtype == (jnp.float64 if flag else jnp.float32)


def test_float64_can_be_nested(flag):
    with float64():
        with float64():
            pass
        assert jnp.ones(2).dtype == jnp.float64
    assert jax.config.jax_enable_x64 is flag


def test_another_thread_keeps_its_own_precision(flag):
    inside, seen, done = threading.Event(), [], threading.Event()

    def other():
        inside.wait(timeout=60)
        seen.append(jnp.ones(2).dtype)
        done.set()

    thread = threading.Thread(target=other)
    thread.start()
    with float64():
        inside.set()
        assert done.wait(timeout=60)
    thread.join()
    assert seen == [jnp.float64 if flag else jnp.float32]
