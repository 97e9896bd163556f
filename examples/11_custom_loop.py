"""A loop of your own with `make_step`, and an equinox model."""

import sys

import equinox as eqx
import jax
import matplotlib.pyplot as plt
import numpy as np
import optax
from sklearn.datasets import load_wine

from lossjax import losses, training


def main(output="11_custom_loop.png"):
    x, y = load_wine(return_X_y=True)
    x, y = ((x - x.mean(0)) / x.std(0)).astype("float32"), y.astype(np.int32)
    model = eqx.nn.MLP(13, 3, 16, 1, key=jax.random.key(0))
    state = training.init(model, optax.adam(0.01))
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    step = training.make_step(loss, accumulate=2)  # two halves of a batch, exactly
    rng, curve = np.random.default_rng(0), []
    for _ in range(30):
        order = rng.permutation(len(x))
        for batch in np.array_split(order, 4):
            state, logs = step(state, (x[batch], y[batch]))
            curve.append(logs["loss"])  # still on the device: nobody waits for it
    curve = jax.device_get(curve)
    right = float(np.mean(np.argmax(jax.vmap(state.model)(x), -1) == y))

    plt.switch_backend("Agg")
    plt.figure()
    plt.plot(curve)
    plt.xlabel("step")
    plt.ylabel("loss")
    plt.savefig(output)
    print(f"{right:.1%} of the wines are told apart; curve in {output}.")
    return right


if __name__ == "__main__":
    main(*sys.argv[1:])
