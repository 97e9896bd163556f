"""Values and gradients of PyTorch in float64, where Keras has no such loss: writes torch.json.

`pip install torch && python tests/keras/reference/torch_losses.py`
"""

import json
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional


def ctc():
    """Logits and labels of unequal lengths, both padded with what must not count."""
    z = np.sin(np.arange(4 * 7 * 5).reshape(4, 7, 5) ** 1.5)
    labels = np.array([[1, 2, 2, 4], [3, 1, 3, 3], [4, 4, 1, 1], [2, 2, 2, 2]])
    label_length, logit_length = np.array([4, 2, 0, 1]), np.array([7, 5, 6, 1])

    def loss(z):
        steps = torch.log_softmax(z, -1).transpose(0, 1)
        lengths = torch.tensor(logit_length), torch.tensor(label_length)
        return functional.ctc_loss(steps, torch.tensor(labels), *lengths, reduction="none")

    given = {"labels": labels, "label_length": label_length, "logit_length": logit_length}
    return given | results(loss, z)


def binary():
    """Weights of the labels, and of the positive ones."""
    z = 3 * np.sin(np.arange(15.0).reshape(5, 3) ** 1.5)
    weights = {"label_weight": np.array([2.0, 1.0, 0.1]), "pos_weight": np.array([1.0, 3.0, 0.5])}
    t = np.cos(np.arange(15.0).reshape(5, 3)) / 2 + 0.5

    def loss(z):
        weight, pos_weight = map(torch.tensor, weights.values())
        entropy = functional.binary_cross_entropy_with_logits
        values = entropy(z, torch.tensor(t), weight, pos_weight=pos_weight, reduction="none")
        return values.mean(-1)

    return {"y_true": t, **weights} | results(loss, z)


def results(loss, z):
    leaf = torch.tensor(z, requires_grad=True)
    values = loss(leaf)
    values.sum().backward()
    return {"logits": z, "values": values.detach().numpy(), "gradient": leaf.grad.numpy()}


if __name__ == "__main__":
    found = {"version": torch.__version__}
    for make in (ctc, binary):
        found[make.__name__] = {name: array.tolist() for name, array in make().items()}
    path = Path(__file__).with_name("torch.json")
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
