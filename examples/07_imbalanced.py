"""Weighted binary cross-entropy on imbalanced data: breast cancer, few of the cases malignant."""

import sys

import numpy as np
import optax
from flax import nnx
from sklearn.datasets import load_breast_cancer

from lossjax import Objective, losses, training


def main(output="07_imbalanced.png"):
    x, y = load_breast_cancer(return_X_y=True)
    x, malignant = (x - x.mean(0)) / x.std(0), 1 - y
    rng = np.random.default_rng(0)
    train = np.sort(rng.permutation(len(x))[: len(x) // 2])
    test = np.setdiff1d(np.arange(len(x)), train)
    rare = train[(malignant[train] == 0) | (rng.uniform(size=len(train)) < 0.1)]
    x, malignant = x.astype("float32")[:, :5], malignant.astype("float32")
    share = malignant[rare].mean()
    found = {}
    for name, weights in (("no weights", None), ("weighted", {0: 1.0, 1: float(1 / share)})):
        loss = losses.BinaryCrossentropy(from_logits=True)
        objective = Objective(loss, class_weight=weights)
        state = training.init(nnx.Linear(5, 1, rngs=nnx.Rngs(0)), optax.adam(0.02))
        state, history = training.fit(state, objective, (x[rare], malignant[rare]), epochs=60)
        alarm = training.predict(state, x[test])[:, 0] > 0
        found[name] = float(alarm[malignant[test] == 1].mean())
    history.plot(output)
    print(f"{share:.0%} of the training data is malignant. Found of the malignant in the rest:")
    print(", ".join(f"{name} {share:.0%}" for name, share in found.items()) + f"; see {output}.")
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
