"""Regression with `"mse"`: the progression of diabetes from ten measurements."""

import sys

import optax
from flax import nnx
from sklearn.datasets import load_diabetes

from lossjax import training


class Network(nnx.Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        self.hidden, self.out = nnx.Linear(10, 32, rngs=rngs), nnx.Linear(32, 1, rngs=rngs)

    def __call__(self, x):
        return self.out(nnx.relu(self.hidden(x)))


def main(output="02_regression.png"):
    x, y = load_diabetes(return_X_y=True)
    x, y = (20 * x).astype("float32"), ((y - y.mean()) / y.std()).astype("float32")
    state = training.init(Network(), optax.adam(3e-3))
    best = training.EarlyStopping(patience=10)
    state, history = training.fit(
        state,
        "mse",
        (x, y),
        epochs=60,
        validation_split=0.2,
        metrics={"mae": "mae"},
        callbacks=[best],
    )
    history.plot(output)
    error = min(history["val_loss"])
    print(f"Validation error {error:.3f} of a variance of 1; curves in {output}.")
    return error


if __name__ == "__main__":
    main(*sys.argv[1:])
