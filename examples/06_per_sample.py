"""Return one value per sample: a custom loss that returns its mean loses the weights."""

import sys

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from flax import nnx
from sklearn.datasets import load_diabetes

from lossjax import training


def per_sample(y_true, y_pred):
    return jnp.mean((y_true - y_pred) ** 2, axis=-1)


def scalar(y_true, y_pred):  # the mistake: already averaged, so no weight finds its sample
    return jnp.mean((y_true - y_pred) ** 2)


def main(output="06_per_sample.png"):
    x, y = load_diabetes(return_X_y=True)
    x, y = (20 * x[:, 2:3]).astype("float32"), (y[:, None] / 100).astype("float32")
    heavy = y[:, 0] > np.median(y)
    weight = np.where(heavy, 1.0, 0.1).astype("float32")  # severe cases count most
    errors, lines = {}, {}
    for loss in (per_sample, scalar):
        state = training.init(nnx.Linear(1, 1, rngs=nnx.Rngs(0)), optax.adam(0.02))
        state, _ = training.fit(state, loss, (x, y, weight), epochs=100)
        lines[loss.__name__] = training.predict(state, x)
        errors[loss.__name__] = float(np.mean((lines[loss.__name__] - y)[heavy] ** 2))

    plt.switch_backend("Agg")
    plt.figure()
    plt.plot(x, y, ".", alpha=0.3)
    for name, line in lines.items():
        plt.plot(x, line, label=name)
    plt.legend()
    plt.savefig(output)
    print(f"Error where the weight is: {errors}; picture in {output}.")
    return errors


if __name__ == "__main__":
    main(*sys.argv[1:])
