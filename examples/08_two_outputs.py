"""Two outputs, two losses, two weights: which digit it is, and how much ink it takes."""

import sys

import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from sklearn.datasets import load_digits

from lossjax import Objective, losses, training


class Network(nnx.Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        self.hidden = nnx.Linear(64, 64, rngs=rngs)
        self.digit, self.ink = nnx.Linear(64, 10, rngs=rngs), nnx.Linear(64, 1, rngs=rngs)

    def __call__(self, x):
        h = nnx.relu(self.hidden(x))
        return {"digit": self.digit(h), "ink": self.ink(h)}


def accuracy(y_true, y_pred):
    return y_true == jnp.argmax(y_pred, -1)


def main(output="08_two_outputs.png"):
    x, digit = load_digits(return_X_y=True)
    x = x.astype("float32") / 16
    y = {"digit": digit.astype(np.int32), "ink": x.mean(1, keepdims=True)}
    objective = Objective(
        {"digit": losses.SparseCategoricalCrossentropy(from_logits=True), "ink": "mse"},
        weights={"digit": 1.0, "ink": 10.0},
    )
    state = training.init(Network(), optax.adam(2e-3))
    state, history = training.fit(
        state,
        objective,
        (x, y),
        epochs=20,
        validation_split=0.2,
        metrics={"accuracy": Objective({"digit": accuracy})},
    )
    history.plot(output)
    last = history.epochs[-1]
    print({name: round(value, 4) for name, value in last.items()}, f"curves in {output}.")
    return last


if __name__ == "__main__":
    main(*sys.argv[1:])
