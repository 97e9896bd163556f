"""A loss of your own: Huber, written in four lines, against outliers in the targets."""

import sys

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from flax import nnx

import lossjax
from lossjax import losses, training


class MyHuber(lossjax.Loss):
    delta: float = 1.0

    def call(self, y_true, y_pred):
        size = jnp.abs(y_true - y_pred)
        q = jnp.minimum(size, self.delta)
        return jnp.mean(q * (size - 0.5 * q), axis=-1)


def main(output="04_custom_huber.png"):
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (200, 1)).astype("float32")
    y = 2 * x + rng.normal(0, 0.1, x.shape).astype("float32")
    y[:20] += 10  # a tenth of the targets is wrong
    slopes = {}
    for name, loss in (("mse", "mse"), ("huber", MyHuber(delta=0.2))):
        state = training.init(nnx.Linear(1, 1, rngs=nnx.Rngs(0)), optax.adam(0.05))
        state, _ = training.fit(state, loss, (x, y), epochs=40)
        line = state.model
        slopes[name] = float(line.kernel[...][0, 0]), float(line.bias[...][0])
    assert np.isclose(MyHuber(delta=0.2)(y, x), losses.Huber(delta=0.2)(y, x))

    plt.switch_backend("Agg")
    plt.figure()
    plt.plot(x, y, ".", alpha=0.4)
    for name, (slope, bias) in slopes.items():
        plt.plot([-1, 1], [bias - slope, bias + slope], label=name)
    plt.legend()
    plt.savefig(output)
    print(f"2 x + 0 is fitted as (slope, bias): {slopes}; picture in {output}.")
    return slopes


if __name__ == "__main__":
    main(*sys.argv[1:])
