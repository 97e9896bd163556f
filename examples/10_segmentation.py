"""Segmentation with Dice, binary cross-entropy and their sum: the ink of digits behind noise."""

import sys

import matplotlib.pyplot as plt
import numpy as np
import optax
from flax import nnx
from sklearn.datasets import load_digits

from lossjax import Objective, losses, training


class Network(nnx.Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        self.first = nnx.Conv(1, 8, (3, 3), rngs=rngs)
        self.last = nnx.Conv(8, 1, (3, 3), rngs=rngs)

    def __call__(self, x):
        return nnx.sigmoid(self.last(nnx.relu(self.first(x))))


def main(output="10_segmentation.png"):
    image = load_digits().images[:640, ..., None].astype("float32") / 16
    mask = (image > 0.5).astype("float32")
    noisy = image + np.random.default_rng(0).normal(0, 0.3, image.shape).astype("float32")
    x, y, x_test, y_test = noisy[:512], mask[:512], noisy[512:], mask[512:]
    dice = losses.Dice(axis=(1, 2, 3))
    overlap, pictures = {}, {"image": x_test, "truth": y_test}
    for name, loss in (("Dice", dice), ("BCE", "bce"), ("both", [dice, "bce"])):
        state = training.init(Network(), optax.adam(0.01))
        state, _ = training.fit(state, Objective(loss), (x, y), epochs=8)
        pictures[name] = training.predict(state, x_test) > 0.5
        overlap[name] = 1 - float(dice(y_test, pictures[name].astype("float32")))

    plt.switch_backend("Agg")
    figure, axes = plt.subplots(4, len(pictures), figsize=(8, 7))
    for column, (name, shown) in zip(axes.T, pictures.items(), strict=True):
        column[0].set_title(name)
        for panel, one in zip(column, shown, strict=False):
            panel.imshow(one[..., 0], cmap="gray")
            panel.axis("off")
    figure.savefig(output)
    print(f"Overlap with the true masks: {overlap}; pictures in {output}.")
    return overlap


if __name__ == "__main__":
    main(*sys.argv[1:])
