"""The gradient of one big batch: accumulated, sharded over devices, and over processes."""

import functools
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import chex
import jax
import numpy as np
import optax
import pytest
from flax import nnx
from jax import numpy as jnp
from jax.sharding import Mesh

import lossjax
from lossjax import Objective, losses, training
from lossjax.training.metrics import Metrics

ROWS = 24
RNG = np.random.default_rng(0)
X = RNG.normal(size=(ROWS, 3))
Y = RNG.uniform(0.1, 0.9, (ROWS, 2))
# Half of the weights are 0 and the others grow, so that equal parts weigh very differently.
WEIGHT = np.arange(ROWS) ** 2 * (np.arange(ROWS) % 2) / 100.0
MASK = np.arange(ROWS) % 3 != 0


class Network(nnx.Module):
    def __init__(self, dtype):
        rngs = nnx.Rngs(0)
        self.hidden = nnx.Linear(3, 8, rngs=rngs, param_dtype=dtype)
        self.out = nnx.Linear(8, 2, rngs=rngs, param_dtype=dtype)

    def __call__(self, x):
        h = nnx.tanh(self.hidden(x))
        lossjax.add_loss(self.hidden, "activity", 1e-2 * jnp.sum(h**2, -1))
        return nnx.sigmoid(self.out(h))


def decay(params):
    return 1e-2 * sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(params))


# One objective of all: a compilation for each would take minutes. The weights bring the gradients
# to one size, so that none hides behind another.
LOSSES = {
    losses.MeanSquaredError(reduction="sum_over_batch_size"): 1.0,
    losses.MeanSquaredError(reduction="mean_with_sample_weight"): 0.7,
    losses.MeanSquaredError(reduction="sum"): 1 / ROWS,
    losses.Dice(): 1.0,
    losses.Tversky(alpha=0.3, axis=-1): 1.0,
}


def gradient(dtype, batch, loss=None, weights=None, **how):
    """What a step of plain gradient descent with rate 1 takes off the parameters, and its logs."""
    if loss is None:
        loss, weights = list(LOSSES), list(LOSSES.values())
    objective = Objective(loss, weights, regularizers={"decay": decay})
    state = training.init(Network(dtype), optax.sgd(1.0), objective=objective)
    before = jax.tree.map(np.array, state.params)
    state, logs = training.make_step(objective, **how)(state, batch)
    return jax.tree.map(np.subtract, before, jax.device_get(state.params)), jax.device_get(logs)


def batch_of(dtype, rows=ROWS, mask=False):
    batch = {"x": X[:rows], "y": Y[:rows], "sample_weight": WEIGHT[:rows]}
    batch = {name: array.astype(dtype) for name, array in batch.items()}
    return batch | ({"mask": MASK[:rows]} if mask else {})


def assert_equal_gradients(got, want, rtol):
    size = optax.tree.norm(want[0])
    assert optax.tree.norm(jax.tree.map(np.subtract, got[0], want[0])) <= rtol * size
    chex.assert_trees_all_close(got[1], want[1], rtol=rtol)


@pytest.mark.parametrize(
    ("dtype", "rtol"),
    [pytest.param("float32", 1e-6, marks=pytest.mark.thorough), ("float64", 1e-14)],
)
def test_accumulation_is_exact(dtype, rtol):
    with jax.enable_x64(dtype == "float64"):
        for mask in (False, True):
            batch = batch_of(dtype, mask=mask)
            want = gradient(dtype, batch)
            assert optax.tree.norm(want[0]) > 1e-2
            for parts in (3,) if mask else (3, 5):  # 24 rows in 5 parts need padding
                assert_equal_gradients(gradient(dtype, batch, accumulate=parts), want, rtol)


@pytest.mark.parametrize("weight", ["learned", lambda step: 2.0 + step])
def test_learned_weights_and_schedules_accumulate(weight):
    with jax.enable_x64(True):
        batch = batch_of("float64")
        got, want = (
            gradient("float64", batch, "mse", weight, accumulate=parts) for parts in (4, 1)
        )
        assert_equal_gradients(got, want, 1e-14)


def test_the_first_pass_runs_no_model():
    """For losses that are means: the weights of the parts depend on the data alone."""
    batch = training.data.Batch(X, Y, WEIGHT)
    state = training.init(Network("float32"), optax.sgd(1.0))
    for loss, passes in (("mse", 1), (losses.Dice(), 2)):
        program = training.step._step.lower(state, batch, Objective(loss), Metrics(), 4).compile()
        dots = program.as_text().count(" dot(")
        once = training.step._step.lower(state, batch, Objective(loss), Metrics(), 1).compile()
        assert dots == once.as_text().count(" dot(") + 2 * (passes - 1)


TOKENS = RNG.integers(0, 7, (ROWS, 5))
COUNTS = np.where(np.arange(5) < np.arange(ROWS)[:, None] % 6, TOKENS, -1)  # 0 to 5 of each row


class Language(nnx.Module):
    """Its kernel is the transposed embedding: the gradient has parts of both uses."""

    def __init__(self):
        self.embed = nnx.Embed(7, 4, rngs=nnx.Rngs(0), param_dtype="float64")
        self.bias = nnx.Param(jnp.linspace(-0.1, 0.1, 7))

    def __call__(self, x):
        return jnp.tanh(self.embed(x)), self.embed.embedding, self.bias


def language_gradient(rows=ROWS, **how):
    """As `gradient`, of a model that returns hidden states and what makes logits of them."""
    loss = losses.LinearCrossEntropy(kernel_layout="vd", ignore_class=-1, z_loss=0.1)
    state = training.init(Language(), optax.sgd(1.0))
    before = jax.tree.map(np.array, state.params)
    step = training.make_step(Objective(loss, log_terms=True), metrics={"right": "acc"}, **how)
    state, logs = step(state, (TOKENS[:rows], COUNTS[:rows]))
    return jax.tree.map(np.subtract, before, jax.device_get(state.params)), jax.device_get(logs)


def test_a_shared_kernel_is_exact():
    """23 rows: the parts are padded."""
    mesh = Mesh(np.array(jax.devices()), ("data",))
    with jax.enable_x64(True):
        want = language_gradient(23)
        assert optax.tree.norm(want[0]) > 1e-2
        assert_equal_gradients(language_gradient(23, accumulate=3, mesh=mesh), want, 1e-14)


@pytest.mark.parametrize("loss", [losses.Circle(), lambda t, p: jnp.mean((t - p) ** 2)])
def test_a_loss_that_couples_the_batch_refuses(loss):
    y = np.arange(ROWS) % 2 if isinstance(loss, losses.Circle) else Y
    with pytest.raises(ValueError, match="parts of a batch cannot be added up for this loss"):
        gradient("float32", (X, y), loss, accumulate=2)


def test_a_scalar_made_in_the_model_refuses():
    class Scalar(Network):
        def __call__(self, x):
            lossjax.add_loss(self, "size", jnp.mean(x))
            return super().__call__(x)

    step = training.make_step("mse", accumulate=2)
    with pytest.raises(ValueError, match="size: give one value per sample, or a Total"):
        step(training.init(Scalar("float32"), optax.sgd(1.0)), (X, Y))


def run_apart(devices, processes=1):
    """This file as a program, in so many processes with so many devices each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    flags = f"--xla_force_host_platform_device_count={devices}"
    started = [
        subprocess.Popen(
            [sys.executable, __file__, str(port), str(processes), str(number)],
            env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(processes)
    ]
    ended = [process.communicate(timeout=600) for process in started]
    for process, (_, errors) in zip(started, ended, strict=True):
        assert process.returncode == 0, errors[-3000:]
    return [json.loads(out.splitlines()[-1]) for out, _ in ended]


@pytest.mark.thorough
@pytest.mark.parametrize(("devices", "processes"), [(8, 1), (1, 2)])
def test_devices_and_processes_give_the_gradient_of_one(devices, processes):
    want = {dtype: results(dtype) for dtype in ("float32", "float64")}
    for found in run_apart(devices, processes):
        assert found.pop("devices") == devices * processes
        for dtype, rtol in (("float32", 1e-6), ("float64", 1e-14)):
            for name in found[dtype]:
                numbers = want[dtype][name]
                error = np.linalg.norm(np.subtract(found[dtype][name], numbers))
                assert error <= rtol * np.linalg.norm(numbers), (dtype, name)


@functools.cache
def results(dtype, processes=1, number=0):
    """Gradient and logs of a step, and the end of a short training, as lists of numbers.

    The data of a step is this process's share; `fit` takes the whole and shares it out itself.
    """
    mesh = Mesh(np.array(jax.devices()), ("data",)) if jax.device_count() > 1 else None
    with jax.enable_x64(dtype == "float64"):
        whole, share = batch_of(dtype), ROWS // processes
        mine = {name: a[number * share : (number + 1) * share] for name, a in whole.items()}
        found = {}
        for parts in (1, 3) if dtype == "float64" else (3,):
            found[f"{parts} parts"] = gradient(dtype, mine, accumulate=parts, mesh=mesh)
        state = training.init(Network(dtype), optax.sgd(0.1))
        data = {name: array[:22] for name, array in whole.items()}  # the last batch is padded
        state, history = training.fit(
            state, "mse", data, batch_size=5, epochs=2, mesh=mesh, validation=data
        )
        found["fit"] = jax.device_get(state.params), history["val_loss"]
        if dtype == "float64" and processes == 1:
            found["language"] = language_gradient(23, accumulate=3, mesh=mesh)
        return {
            name: np.concatenate([np.ravel(a) for a in jax.tree.leaves(tree)]).tolist()
            for name, tree in found.items()
        }


def main(port, processes, number):
    """Print the results of this process."""
    if processes > 1:
        jax.distributed.initialize(f"127.0.0.1:{port}", processes, number)
    found = {dtype: results(dtype, processes, number) for dtype in ("float32", "float64")}
    print(json.dumps(found | {"devices": jax.device_count()}))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
