"""`python -m bench training`: a step of `fit`, beside loops by hand, nnx.jit's and Keras's."""

import argparse
import functools
import importlib.util
import os
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np
import optax
from flax import nnx
from jax import numpy as jnp

from bench import contest, environment, harness, options
from bench.progress import collect
from bench.record import OURS, Record, Row, one_line
from lossjax import losses, training

RATE = 1e-3
Pause: TypeAlias = Callable[[], None]
Training: TypeAlias = Callable[[Pause], Any]


class Model(NamedTuple):
    """What is trained, on what: `steps` batches of `batch` rows an epoch."""

    network: Callable[[], nnx.Module]
    keras: Callable[[Any], Any] | None
    inputs: tuple[int, ...]
    classes: int  # 0 for a number to predict
    batch: int
    steps: int
    vocabulary: int = 0

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(0)
        rows = self.batch * self.steps
        if self.vocabulary:
            tokens = rng.integers(0, self.vocabulary, (rows, self.inputs[0] + 1), dtype=np.int32)
            return tokens[:, :-1], tokens[:, 1:]
        x = rng.normal(size=(rows, *self.inputs)).astype(np.float32)
        if self.classes:
            return x, rng.integers(0, self.classes, rows, dtype=np.int32)
        return x, rng.normal(size=(rows, 1)).astype(np.float32)

    @property
    def loss(self) -> losses.Loss:
        if self.classes:
            return losses.SparseCategoricalCrossentropy(from_logits=True)
        return losses.MeanSquaredError()


class Perceptron(nnx.Module):
    def __init__(self, *sizes: int) -> None:
        rngs = nnx.Rngs(0)
        self.hidden = nnx.Linear(sizes[0], sizes[1], rngs=rngs)
        self.out = nnx.Linear(sizes[1], sizes[2], rngs=rngs)

    def __call__(self, x: Any) -> Any:
        return self.out(nnx.relu(self.hidden(x)))


class Convolutions(nnx.Module):
    def __init__(self) -> None:
        rngs = nnx.Rngs(0)
        self.first = nnx.Conv(1, 16, (3, 3), rngs=rngs)
        self.second = nnx.Conv(16, 32, (3, 3), rngs=rngs)
        self.out = nnx.Linear(7 * 7 * 32, 10, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        for layer in (self.first, self.second):
            x = nnx.max_pool(nnx.relu(layer(x)), (2, 2), (2, 2))
        return self.out(x.reshape(len(x), -1))


class Block(nnx.Module):
    def __init__(self, width: int, rngs: nnx.Rngs) -> None:
        self.norms = nnx.List([nnx.LayerNorm(width, rngs=rngs) for _ in range(2)])
        self.attention = nnx.MultiHeadAttention(4, width, decode=False, rngs=rngs)
        self.up = nnx.Linear(width, 4 * width, rngs=rngs)
        self.down = nnx.Linear(4 * width, width, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        mask = nnx.make_causal_mask(x[..., 0])
        x = x + self.attention(self.norms[0](x), mask=mask)
        return x + self.down(nnx.gelu(self.up(self.norms[1](x))))


class Language(nnx.Module):
    def __init__(self, vocabulary: int = 8192, width: int = 128) -> None:
        rngs = nnx.Rngs(0)
        self.embed = nnx.Embed(vocabulary, width, rngs=rngs)
        self.blocks = nnx.List([Block(width, rngs) for _ in range(2)])
        self.out = nnx.Linear(width, vocabulary, rngs=rngs)

    def __call__(self, tokens: Any) -> Any:
        x = self.embed(tokens)
        for block in self.blocks:
            x = block(x)
        return self.out(x)


def keras_perceptron(keras: Any, *sizes: int) -> Any:
    dense = keras.layers.Dense
    return [keras.Input(sizes[:1]), dense(sizes[1], "relu"), dense(sizes[2])]


def keras_convolutions(keras: Any) -> Any:
    layers = keras.layers
    blocks = [
        layer
        for width in (16, 32)
        for layer in (
            layers.Conv2D(width, 3, padding="same", activation="relu"),
            layers.MaxPool2D(),
        )
    ]
    return [keras.Input((28, 28, 1)), *blocks, layers.Flatten(), layers.Dense(10)]


MODELS = {
    "mlp": Model(
        lambda: Perceptron(10, 64, 1),
        lambda keras: keras_perceptron(keras, 10, 64, 1),
        (10,),
        0,
        32,
        320,
    ),
    "digits": Model(
        lambda: Perceptron(64, 128, 10),
        lambda keras: keras_perceptron(keras, 64, 128, 10),
        (64,),
        10,
        64,
        160,
    ),
    "cnn": Model(Convolutions, keras_convolutions, (28, 28, 1), 10, 128, 4),
    "language": Model(Language, None, (128,), 8192, 8, 3, 8192),
}


class Paced:
    """A training that goes on for one epoch at a time, and waits in between.

    So trainings that loop over epochs themselves can take turns.
    """

    def __init__(self, train: Training) -> None:
        self._go, self._over = threading.Semaphore(0), False
        self._done: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, args=(train,), daemon=True).start()

    def _run(self, train: Training) -> None:
        self._go.acquire()
        try:
            train(self._pause)
        except BaseException as error:
            self._done.put(error)

    def _pause(self) -> None:
        self._done.put(None)
        self._go.acquire()
        if self._over:
            raise SystemExit

    def epoch(self) -> None:
        """One more; what goes wrong in it is raised here."""
        self._go.release()
        error = self._done.get()
        if error is not None:
            raise error

    def end(self) -> None:
        self._over = True
        self._go.release()


FOREVER = 10**6


def ours(model: Model, steps_per_call: Any) -> Training:
    def train(pause: Pause) -> None:
        training.fit(
            training.init(model.network(), optax.adam(RATE)),
            model.loss,
            model.data(),
            epochs=FOREVER,
            batch_size=model.batch,
            steps_per_call=steps_per_call,
            callbacks=[lambda *_: pause()],
            verbose=False,
        )

    return train


def by_hand(model: Model) -> Training:
    """Split once, plain dicts, everything donated, the mean loss kept on the device."""

    def train(pause: Pause) -> None:
        graph, *states = nnx.split(model.network(), nnx.Param, ...)
        params, rest = map(nnx.to_pure_dict, states)
        tx, loss = optax.adam(RATE), model.loss

        @functools.partial(jax.jit, donate_argnums=(0, 1, 2))
        def step(params: Any, opt_state: Any, total: Any, x: Any, y: Any) -> Any:
            def objective(params: Any) -> Any:
                return loss(y, nnx.merge(graph, params, rest)(x))

            value, grads = jax.value_and_grad(objective)(params)
            updates, opt_state = tx.update(grads, opt_state, params)
            return optax.apply_updates(params, updates), opt_state, total + value

        params, opt_state = jax.tree.map(jnp.copy, (params, tx.init(params)))
        x, y = model.data()
        rng = np.random.default_rng(0)
        while True:
            order, total = rng.permutation(len(x)), jnp.zeros(())
            for start in range(0, len(x), model.batch):
                rows = order[start : start + model.batch]
                params, opt_state, total = step(params, opt_state, total, x[rows], y[rows])
            float(total)
            pause()

    return train


def by_nnx_jit(model: Model) -> Training:
    """The loop of flax's documentation."""

    def train(pause: Pause) -> None:
        network, loss = model.network(), model.loss
        optimizer = nnx.Optimizer(network, optax.adam(RATE), wrt=nnx.Param)
        metrics = nnx.MultiMetric(loss=nnx.metrics.Average("loss"))

        @nnx.jit
        def step(network: Any, optimizer: Any, metrics: Any, x: Any, y: Any) -> None:
            value, grads = nnx.value_and_grad(lambda network: loss(y, network(x)))(network)
            metrics.update(loss=value)
            optimizer.update(network, grads)

        x, y = model.data()
        rng = np.random.default_rng(0)
        while True:
            order = rng.permutation(len(x))
            for start in range(0, len(x), model.batch):
                rows = order[start : start + model.batch]
                step(network, optimizer, metrics, x[rows], y[rows])
            float(metrics.compute()["loss"])
            metrics.reset()
            pause()

    return train


def by_keras(model: Model) -> Training:
    def train(pause: Pause) -> None:
        os.environ["KERAS_BACKEND"] = "jax"
        import keras

        network = keras.Sequential(model.keras(keras) if model.keras else [])
        sparse = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        network.compile(keras.optimizers.Adam(RATE), sparse if model.classes else "mse")

        class Pausing(keras.callbacks.Callback):
            def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
                pause()

        x, y = model.data()
        how = {"batch_size": model.batch, "epochs": FOREVER, "verbose": 0}
        network.fit(x, y, callbacks=[Pausing()], **how)

    return train


def trainings(model: Model) -> dict[str, Training]:
    found = {
        OURS: ours(model, 1),
        "lossjax auto": ours(model, "auto"),
        "by hand": by_hand(model),
        "nnx.jit": by_nnx_jit(model),
    }
    return found | ({"keras": by_keras(model)} if model.keras and has_keras() else {})


def has_keras() -> bool:
    return importlib.util.find_spec("keras") is not None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add_rounds(parser, rounds=11, seconds=60)
    add = parser.add_argument
    add("--models", nargs="+", choices=MODELS, default=list(MODELS), help="what is trained")
    add("--device", choices=environment.PLATFORMS, help="default: the best that jax sees")
    add("--json", metavar="FILE", help="write the record of the run")


def run(args: argparse.Namespace) -> Record:
    began = environment.start()

    def work(name: str, progress: harness.Progress) -> list[Row]:
        return rows(name, args.rounds, args.seconds, progress)

    found = collect(args.models, str, work)
    missing = {} if has_keras() else {"keras": "it is not installed"}
    return environment.record("training", args.argv, began, missing, found)


def rows(name: str, rounds: int, seconds: float, progress: harness.Progress) -> list[Row]:
    """Seconds a step of every training of a model; all take turns, epoch by epoch."""
    model = MODELS[name]
    paced = {key: Paced(train) for key, train in trainings(model).items()}
    errors = {}
    for key, one in paced.items():
        try:
            for _ in range(2):  # compiled, and at rest
                one.epoch()
        except Exception as error:  # whatever one fails with, the others go on
            errors[key] = one_line(error)

    def take(key: str) -> float:
        start = time.perf_counter()
        paced[key].epoch()
        return (time.perf_counter() - start) / model.steps

    keys = [key for key in paced if key not in errors]
    samples = harness.interleave(keys, take, rounds, seconds, progress=progress)
    for one in paced.values():
        one.end()
    shape = (model.batch, *model.inputs)
    target = jax.default_backend()

    def row(key: str, **values: Any) -> Row:
        return Row(name, "none", shape, "float32", key, target, values)

    measured = [row(k, seconds=[contest.rounded(s) for s in v]) for k, v in samples.items()]
    return measured + [row(key, error=text) for key, text in errors.items()]
