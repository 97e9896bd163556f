"""What is compiled once, what anew, and that no program holds data."""

import contextlib
import gc
import weakref

import jax
import numpy as np
import optax
import pytest
from flax import nnx
from jax import numpy as jnp

import lossjax
from lossjax import Objective, losses, training
from lossjax.training import loop, programs
from lossjax.training.metrics import Metrics

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(20, 3)).astype("f"), RNG.normal(size=(20, 1)).astype("f")
SGD = optax.sgd(0.1)


def fresh(seed=0, tx=SGD):
    return training.init(nnx.Linear(3, 1, rngs=nnx.Rngs(seed)), tx)


def error(y_true, y_pred):
    return jnp.abs(y_true - y_pred)


def run(state, objective=None, data=(X, Y), **how):
    objective = losses.Huber(delta=0.5) if objective is None else objective
    how = {"validation": data, "metrics": {"error": error}, "verbose": False} | how
    end = training.fit(state, objective, data, batch_size=8, epochs=2, **how)[0]
    training.evaluate(end, objective, data, metrics={"error": error})
    training.predict(end, data[0])
    return end


@contextlib.contextmanager
def compiled():
    """The names of what is compiled, or read from the cache on disk."""
    names = []

    def listen(event, duration, **about):
        if event == "/jax/core/compile/backend_compile_duration":
            names.append(about.get("fun_name"))

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield names
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


@pytest.fixture(scope="module")
def state():
    start = fresh()
    run(start)
    return start


def test_a_second_fit_compiles_nothing(state):
    with compiled() as names:
        end = run(state)
        run(end, losses.get(losses.serialize(losses.Huber(delta=0.5))), data=(X + 1, Y - 1))
    assert not names


def test_another_run_is_compiled_and_has_its_own_end(state):
    ends = []
    for how in (
        {"objective": losses.Huber(delta=1.0)},
        {"objective": "mae"},
        {"state": fresh(tx=optax.sgd(0.2))},
        {"accumulate": 2},
        {"metrics": {"error": "mse"}},
    ):
        with compiled() as names:
            ends.append(run(**({"state": state} | how)))
        assert "jit(one)" in names, how
    ends.append(run(state))
    sums = [float(end.model.kernel.get_value().sum()) for end in ends]
    assert len(set(sums[:3] + sums[-1:])) == 4
    np.testing.assert_allclose(sums[3:5], sums[-1], rtol=1e-5)


def test_arrays_of_an_objective_are_no_part_of_the_program(state):
    ends = []
    run(state, losses.Huber(delta=jnp.float32(0.3)))
    with compiled() as names:
        ends += [run(state, losses.Huber(delta=jnp.float32(d))) for d in (0.25, 0.5)]
    assert not names
    kernels = [end.model.kernel.get_value() for end in ends]
    assert not np.allclose(*kernels)
    np.testing.assert_allclose(kernels[1], run(state).model.kernel.get_value(), rtol=1e-6)


def test_programs_hold_no_data_no_state_and_no_arrays_of_objectives():
    x, y = X.copy(), Y.copy()
    start, delta = fresh(), jnp.float32(0.75)
    end = run(start, losses.Huber(delta=delta), (x, y))
    held = [x, y, delta, *jax.tree.leaves((start, end))]
    held = [weakref.ref(a) for a in held]
    del x, y, start, end, delta
    gc.collect()
    assert [ref() for ref in held if ref() is not None] == []


def test_programs_of_numbers_that_are_equal_but_not_the_same():
    make = loop._one
    found = [
        programs.program(make, Objective("mse", weights=w), Metrics()).jitted
        for w in (1, 1.0, np.float32(1))
    ]
    assert len(set(map(id, found))) == 3


def test_few_programs_are_kept():
    for weight in range(programs.MOST + 1):
        programs.program(loop._one, Objective("mse", weights=float(weight)), Metrics())
    assert programs._jitted.cache_info().currsize == programs.MOST


class Table(losses.Loss):
    """A choice that does not compare, as an array."""

    table: object = lossjax.static(default=None)

    def call(self, y_true, y_pred):
        return jnp.mean(self.table[0] * (y_true - y_pred) ** 2, -1)


def test_a_choice_that_does_not_compare_is_compiled_each_time(state):
    wanted = training.evaluate(state, "mse", (X, Y))["loss"]
    for factor in (1.0, 2.0):
        _, history = training.fit(state, Table(np.array([factor, 0.0])), (X, Y), verbose=False)
        np.testing.assert_allclose(history["loss"], factor * wanted, rtol=1e-6)  # of one step
