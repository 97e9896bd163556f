"""Classification with categorical cross-entropy: handwritten digits, labels one-hot."""

import sys

import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from sklearn.datasets import load_digits

from lossjax import losses, training


class Network(nnx.Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        self.hidden, self.out = nnx.Linear(64, 128, rngs=rngs), nnx.Linear(128, 10, rngs=rngs)

    def __call__(self, x):
        return self.out(nnx.relu(self.hidden(x)))


def accuracy(y_true, y_pred):
    return jnp.argmax(y_true, -1) == jnp.argmax(y_pred, -1)


def main(output="03_classification.png"):
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order].astype("float32") / 16, np.eye(10, dtype="float32")[y[order]]
    state = training.init(Network(), optax.adam(2e-3))
    loss = losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.05)
    state, history = training.fit(
        state, loss, (x, y), epochs=20, validation_split=0.2, metrics={"accuracy": accuracy}
    )
    history.plot(output)
    found = history["val_accuracy"][-1]
    print(f"Validation accuracy {found:.1%}; curves in {output}.")
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
