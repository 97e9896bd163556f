"""Losses by hand: mean squared error, weighted, and cross-entropy with clipping."""

import sys

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from lossjax import losses


def mse(t, p):
    return jnp.mean((t - p) ** 2)


def weighted_mse(t, p, w):
    return jnp.sum(w * jnp.mean((t - p) ** 2, axis=-1)) / len(t)  # by samples, not by weights


def cross_entropy(t, p):
    p = p / jnp.sum(p, axis=-1, keepdims=True)
    return jnp.mean(-jnp.sum(t * jnp.log(jnp.clip(p, 1e-7, 1 - 1e-7)), axis=-1))


def main(output="05_by_hand.png"):
    rng = np.random.default_rng(0)
    t, w = jnp.eye(4)[rng.integers(0, 4, 16)], jnp.asarray(rng.uniform(0, 2, 16), jnp.float32)
    p = jnp.asarray(rng.dirichlet(np.ones(4), 16), jnp.float32)
    pairs = {
        "mse": (mse(t, p), losses.MeanSquaredError()(t, p)),
        "weighted mse": (weighted_mse(t, p, w), losses.MeanSquaredError()(t, p, w)),
        "cross-entropy": (cross_entropy(t, p), losses.CategoricalCrossentropy()(t, p)),
    }
    for name, (hand, library) in pairs.items():
        print(f"{name:14} by hand {hand:.7f}, lossjax {library:.7f}")

    plt.switch_backend("Agg")
    plt.figure()
    plt.bar(range(3), [hand for hand, _ in pairs.values()], 0.4, label="by hand")
    plt.bar(np.arange(3) + 0.4, [value for _, value in pairs.values()], 0.4, label="lossjax")
    plt.xticks(np.arange(3) + 0.2, list(pairs))
    plt.legend()
    plt.savefig(output)
    return pairs


if __name__ == "__main__":
    main(*sys.argv[1:])
