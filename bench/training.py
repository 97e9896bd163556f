"""`python -m bench training`: a step of `fit`, beside loops by hand, nnx.jit's and Keras's."""

import argparse
import functools
import itertools
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np
import optax
from flax import nnx
from jax import numpy as jnp

from bench import contest, harness, options
from bench.jobs import Job, Plan
from bench.peers.on_jax import Keras
from bench.record import OURS, Row, one_line
from lossjax import losses, training

KERAS = Keras()
RATE = 1e-3
FOREVER = 10**6
Pause: TypeAlias = Callable[[], None]
Training: TypeAlias = Callable[[Pause], None]
Batch: TypeAlias = tuple[np.ndarray, np.ndarray]


class Model(NamedTuple):
    """What is trained, on what: `steps` batches of `batch` rows an epoch."""

    network: Callable[[], nnx.Module]
    keras: Callable[[Any], list[Any]] | None
    inputs: tuple[int, ...]
    classes: int  # 0 for a number to predict
    batch: int
    steps: int
    tokens: bool = False  # the inputs are classes too

    def data(self) -> Batch:
        rng = np.random.default_rng(0)
        rows = self.batch * self.steps
        if self.tokens:
            tokens = rng.integers(0, self.classes, (rows, self.inputs[0] + 1), dtype=np.int32)
            return tokens[:, :-1], tokens[:, 1:]
        x, y = (rng.normal(size=(rows, *sizes)).astype(np.float32) for sizes in (self.inputs, [1]))
        return x, rng.integers(0, self.classes, rows, dtype=np.int32) if self.classes else y

    def epochs(self) -> Iterator[Iterator[Batch]]:
        """The batches of one after the other, each shuffled anew, without end."""
        x, y = self.data()
        rng = np.random.default_rng(0)
        while True:
            order = np.split(rng.permutation(len(x)), self.steps)
            yield ((x[rows], y[rows]) for rows in order)

    @property
    def loss(self) -> losses.Loss:
        if self.classes:
            return losses.SparseCategoricalCrossentropy(from_logits=True)
        return losses.MeanSquaredError()


def perceptron_of(*sizes: int) -> nnx.Module:
    rngs = nnx.Rngs(0)
    first, last = (nnx.Linear(*pair, rngs=rngs) for pair in itertools.pairwise(sizes))
    return nnx.Sequential(first, nnx.relu, last)


def convolutions() -> nnx.Module:
    rngs = nnx.Rngs(0)
    half = functools.partial(nnx.max_pool, window_shape=(2, 2), strides=(2, 2))
    convolutions = [nnx.Conv(*pair, (3, 3), rngs=rngs) for pair in ((1, 16), (16, 32))]
    layers = [layer for one in convolutions for layer in (one, nnx.relu, half)]
    last = nnx.Linear(7 * 7 * 32, 10, rngs=rngs)
    return nnx.Sequential(*layers, lambda x: x.reshape(len(x), -1), last)


class Block(nnx.Module):
    def __init__(self, width: int, rngs: nnx.Rngs) -> None:
        up, down = (
            nnx.Linear(*sizes, rngs=rngs) for sizes in ((width, 4 * width), (4 * width, width))
        )
        self.norm = nnx.LayerNorm(width, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(4, width, decode=False, rngs=rngs)
        self.feed = nnx.Sequential(nnx.LayerNorm(width, rngs=rngs), up, nnx.gelu, down)

    def __call__(self, x: Any) -> Any:
        x = x + self.attention(self.norm(x), mask=nnx.make_causal_mask(x[..., 0]))
        return x + self.feed(x)


def language(vocabulary: int = 8192, width: int = 128) -> nnx.Module:
    rngs = nnx.Rngs(0)
    blocks = [Block(width, rngs) for _ in range(2)]
    embed = nnx.Embed(vocabulary, width, rngs=rngs)
    return nnx.Sequential(embed, *blocks, nnx.Linear(width, vocabulary, rngs=rngs))


def keras_convolutions(layers: Any) -> list[Any]:
    convolution = functools.partial(layers.Conv2D, kernel_size=3, padding="same", activation="relu")
    pooled = [layer for n in (16, 32) for layer in (convolution(n), layers.MaxPool2D())]
    return [layers.Input((28, 28, 1)), *pooled, layers.Flatten(), layers.Dense(10)]


def perceptron(*sizes: int, batch: int, steps: int) -> Model:
    def keras(layers: Any) -> list[Any]:
        first, hidden, last = sizes
        return [layers.Input((first,)), layers.Dense(hidden, "relu"), layers.Dense(last)]

    network = functools.partial(perceptron_of, *sizes)
    return Model(network, keras, sizes[:1], sizes[-1] if sizes[-1] > 1 else 0, batch, steps)


MODELS = {
    "mlp": perceptron(10, 64, 1, batch=32, steps=320),
    "digits": perceptron(64, 128, 10, batch=64, steps=160),
    "cnn": Model(convolutions, keras_convolutions, (28, 28, 1), 10, batch=128, steps=4),
    "language": Model(language, None, (128,), 8192, batch=8, steps=3, tokens=True),
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


def ours(model: Model, steps_per_call: Any, pause: Pause) -> None:
    state = training.init(model.network(), optax.adam(RATE))
    how: dict[str, Any] = {"batch_size": model.batch, "epochs": FOREVER, "verbose": False}
    how |= {"steps_per_call": steps_per_call, "callbacks": [lambda *_: pause()]}
    training.fit(state, model.loss, model.data(), **how)


def by_hand(model: Model, pause: Pause) -> None:
    """Split once, plain dicts, everything donated, the mean loss kept on the device."""
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
    for batches in model.epochs():
        total = jnp.zeros(())
        for x, y in batches:
            params, opt_state, total = step(params, opt_state, total, x, y)
        float(total)
        pause()


def by_nnx_jit(model: Model, pause: Pause) -> None:
    """The loop of flax's documentation."""
    network, loss = model.network(), model.loss
    optimizer = nnx.Optimizer(network, optax.adam(RATE), wrt=nnx.Param)
    metrics = nnx.MultiMetric(loss=nnx.metrics.Average("loss"))

    @nnx.jit
    def step(network: Any, optimizer: Any, metrics: Any, x: Any, y: Any) -> None:
        value, grads = nnx.value_and_grad(lambda network: loss(y, network(x)))(network)
        metrics.update(loss=value)
        optimizer.update(network, grads)

    for batches in model.epochs():
        for x, y in batches:
            step(network, optimizer, metrics, x, y)
        float(metrics.compute()["loss"])
        metrics.reset()
        pause()


def by_keras(model: Model, pause: Pause) -> None:
    keras = KERAS.library
    network = keras.Sequential(model.keras(keras.layers) if model.keras else [])
    sparse = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.Adam(RATE), sparse if model.classes else "mse")
    pausing = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: pause())
    how = {"batch_size": model.batch, "epochs": FOREVER, "verbose": 0}
    network.fit(*model.data(), callbacks=[pausing], **how)


def trainings(model: Model) -> dict[str, Training]:
    found: dict[str, Training] = {
        OURS: functools.partial(ours, model, 1),
        "lossjax auto": functools.partial(ours, model, "auto"),
        "by hand": functools.partial(by_hand, model),
        "nnx.jit": functools.partial(by_nnx_jit, model),
    }
    if model.keras and not KERAS.missing:
        found[KERAS.name] = functools.partial(by_keras, model)
    return found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add_rounds(parser, rounds=11, seconds=60)
    text = "what is trained"
    parser.add_argument("--models", nargs="+", choices=MODELS, default=[*MODELS], help=text)


def plan(args: argparse.Namespace) -> Plan:
    how = args.rounds, args.seconds
    jobs = [Job(name, functools.partial(rows, name, *how)) for name in args.models]
    return Plan(jobs, {KERAS.name: KERAS.missing} if KERAS.missing else {})


def rows(name: str, rounds: int, seconds: float, progress: harness.Progress) -> list[Row]:
    """Seconds a step of every training of a model; all take turns, epoch by epoch."""
    model = MODELS[name]
    paced = {key: Paced(train) for key, train in trainings(model).items()}
    values: dict[str, Any] = {}
    for key, one in paced.items():
        try:
            for _ in range(2):  # compiled, and at rest
                one.epoch()
        except Exception as error:  # whatever one fails with, the others go on
            values[key] = {"error": one_line(error)}

    def take(key: str) -> float:
        start = time.perf_counter()
        paced[key].epoch()
        return (time.perf_counter() - start) / model.steps

    samples = harness.interleave(
        [key for key in paced if key not in values], take, rounds, seconds, progress=progress
    )
    for one in paced.values():
        one.end()
    values |= {key: {"seconds": [*map(contest.rounded, some)]} for key, some in samples.items()}
    case = name, "none", (model.batch, *model.inputs), "float32"
    return [Row(*case, key, jax.default_backend(), values[key]) for key in paced]
