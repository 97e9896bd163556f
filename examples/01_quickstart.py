"""Train a small classifier of handwritten digits with a lossjax loss.

Run it with `make demo`, or with `python examples/01_quickstart.py --output curve.png`.
"""

import argparse

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from flax import nnx
from rich.console import Console
from rich.progress import Progress
from sklearn.datasets import load_digits

from lossjax import losses

EPOCHS = 20
BATCH = 64


class Classifier(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.hidden = nnx.Linear(64, 128, rngs=rngs)
        self.out = nnx.Linear(128, 10, rngs=rngs)

    def __call__(self, x):
        return self.out(nnx.relu(self.hidden(x)))


def digits(rng):
    """8x8 images as rows of 64 numbers in [0, 1], one fifth of them for validation."""
    x, y = load_digits(return_X_y=True)
    x, y = x.astype(np.float32) / 16, y.astype(np.int32)
    validation, train = np.split(rng.permutation(len(x)), [len(x) // 5])
    return x[train], y[train], x[validation], y[validation]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", default="quickstart.png", help="where the loss curve goes")
    output = parser.parse_args().output

    rng = np.random.default_rng(0)
    x, y, x_val, y_val = digits(rng)
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = optax.adam(1e-3)
    # Split once and train the bare parameters: nnx.jit would walk the model at every step.
    graph, params, rest = nnx.split(Classifier(nnx.Rngs(0)), nnx.Param, ...)
    opt_state = optimizer.init(params)

    def predict(params, x):
        return nnx.merge(graph, params, rest, copy=True)(x)

    # The loss is an argument like any other: another setting of it would not recompile the step.
    @jax.jit
    def train_step(params, opt_state, loss, x, y):
        value, grads = jax.value_and_grad(lambda p: loss(y, predict(p, x)))(params)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, value

    @jax.jit
    def accuracy(params, x, y):
        return jnp.mean(jnp.argmax(predict(params, x), axis=-1) == y)

    console = Console()
    curve = []
    with Progress(console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("training", total=EPOCHS)
        for epoch in range(1, EPOCHS + 1):
            values = []
            for batch in np.split(rng.permutation(len(x)), range(BATCH, len(x), BATCH)):
                params, opt_state, value = train_step(params, opt_state, loss, x[batch], y[batch])
                values.append(value)
            curve.append(np.mean(values))
            score = accuracy(params, x_val, y_val)
            console.print(f"epoch {epoch:2}  loss {curve[-1]:.4f}  validation accuracy {score:.1%}")
            progress.advance(task)

    plt.switch_backend("Agg")  # draws into a file: no display is needed
    plt.plot(range(1, EPOCHS + 1), curve)
    plt.xticks(range(0, EPOCHS + 1, 5))
    plt.xlabel("epoch")
    plt.ylabel(type(loss).__name__)
    plt.savefig(output)
    print(f"Loss curve in {output}. Final validation accuracy: {score:.1%}.")


if __name__ == "__main__":
    main()
