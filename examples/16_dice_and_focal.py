"""Small regions: Dice + focal as one loss beside plain cross-entropy, digits on a noisy field."""

import sys

import matplotlib.pyplot as plt
import numpy as np
import optax
from flax import nnx
from sklearn.datasets import load_digits

from lossjax import losses, training


class Network(nnx.Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        self.first = nnx.Conv(1, 8, (5, 5), rngs=rngs)
        self.second = nnx.Conv(8, 8, (5, 5), rngs=rngs)
        self.last = nnx.Conv(8, 1, (3, 3), rngs=rngs)

    def __call__(self, x):
        return self.last(nnx.relu(self.second(nnx.relu(self.first(x)))))


class LogitDice(losses.Loss):
    """Dice of the probabilities that logits stand for."""

    couples = "none"

    def call(self, y_true, y_pred):
        return losses.dice(y_true, nnx.sigmoid(y_pred), axis=(1, 2, 3))


def fields(count=640, size=32):
    """Images with a digit somewhere in noise, and the pixels that are its ink: 2 % of them."""
    rng, digits = np.random.default_rng(0), load_digits().images / 16
    image = rng.normal(0, 0.5, (count, size, size, 1))
    ink = np.zeros_like(image)
    for i, (y, x) in enumerate(rng.integers(0, size - 8, (count, 2))):
        image[i, y : y + 8, x : x + 8, 0] += digits[i]
        ink[i, y : y + 8, x : x + 8, 0] = digits[i] > 0.5
    return image.astype("float32"), ink.astype("float32")


def main(output="16_dice_and_focal.png"):
    x, y = fields()
    both = LogitDice() + 0.5 * losses.BinaryFocalCrossentropy(from_logits=True)
    overlap, pictures = {}, {"image": x[512:], "truth": y[512:]}
    for name, loss in (
        ("cross-entropy", losses.BinaryCrossentropy(from_logits=True)),
        ("Dice + focal", both),
    ):
        state = training.init(Network(), optax.adam(0.01))
        state, _ = training.fit(state, loss, (x[:512], y[:512]), epochs=6)
        logits = training.predict(state, x[512:])
        pictures[name] = logits > 0
        overlap[name] = 1 - float(losses.Dice()(y[512:], pictures[name].astype("float32")))
    parts = both.terms(y[512:], logits)
    print(f"Overlap: {overlap}; terms of the last: { {k: float(v) for k, v in parts.items()} }")

    plt.switch_backend("Agg")
    figure, axes = plt.subplots(3, len(pictures), figsize=(8, 6))
    for column, (name, shown) in zip(axes.T, pictures.items(), strict=True):
        column[0].set_title(name)
        for panel, one in zip(column, shown, strict=False):
            panel.imshow(one[..., 0], cmap="gray")
            panel.axis("off")
    figure.savefig(output)
    return overlap


if __name__ == "__main__":
    main(*sys.argv[1:])
