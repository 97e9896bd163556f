"""Losses of the margin of a score, or of the score of a class."""

import numpy as np
from mpmath import mp

from cases import Case, Elsewhere
from exact import as_list, mean, row_largest
from lossjax import losses
from samples import CLASSES, sign


def margins(t, p):
    return [b if a > 0 else -b for a, b in zip(t, p, strict=True)]


def perceptron(t, p):
    return mean([max(0, -m) for m in margins(t, p)])


def soft_margin(t, p):
    return mean([mp.log1p(mp.exp(-m)) for m in margins(t, p)])


def exponential(t, p):
    return mean([mp.exp(-m) for m in margins(t, p)])


def modified_huber(t, p):
    return mean([max(0, 1 - m) ** 2 if m >= -1 else -4 * m for m in margins(t, p)])


def multi_margin(label, p, margin=1.0, power=1, class_weight=1.0):
    label, weights = int(label), as_list(class_weight, len(p))
    if not 0 <= label < len(p):
        return mp.zero
    rivals = [b for i, b in enumerate(p) if i != label]
    terms = [max(0, margin - p[label] + b) ** power for b in rivals]
    return weights[label] * mp.fsum(terms) / len(p)


def of_multi_margin(labels, p, config):
    label = labels.astype(int).clip(0, p.shape[-1] - 1)
    own = np.take_along_axis(p, label[:, None], -1)
    size = row_largest(np.maximum(np.abs(p), np.abs(own)))
    if config.get("power", 1) == 1:
        return np.maximum(1, size), None
    beyond = np.maximum(0, config.get("margin", 1) + p - own)
    return row_largest(beyond) * np.maximum(1, size), row_largest(beyond + size[:, None])[:, None]


def multi_label_margin(t, p, margin=1.0):
    pairs = [(i, j) for i in range(len(p)) for j in range(len(p))]
    terms = [t[j] * (1 - t[i]) * max(0, margin - p[j] + p[i]) for i, j in pairs]
    return mp.fsum(terms) / len(p)


def of_multi_label_margin(t, p, _):
    return np.maximum(1, row_largest(p)), None


def some_hold(rng):
    p = np.concatenate([rng.normal(0, s, (20, CLASSES)) for s in (1e-3, 1, 5, 30)])
    return np.float32(rng.integers(0, 2, p.shape)), np.float32(p)


def within_float32(rng):
    """Scores whose exponential is a number."""
    t, p = sign(rng)
    kept = np.abs(p[:, 0]) < 80
    return t[kept], p[kept]


CASES = (
    Case(
        losses.Perceptron,
        exact=perceptron,
        ulps=(1, 1),
        residuals=1,
        extra=2,
        keras=None,
        elsewhere=(Elsewhere("optax", "optax.losses.perceptron_loss(y_pred, y_true).mean()"),),
    ),
    Case(
        losses.SoftMargin,
        exact=soft_margin,
        ulps=(4, 4),
        residuals=1,
        extra=2,
        keras=None,
        elsewhere=(
            Elsewhere(
                "torch",
                "F.soft_margin_loss(y_pred, y_true)",
                note="For labels -1 and 1; torch takes 0 for a label without a side.",
            ),
        ),
    ),
    Case(
        losses.Exponential,
        exact=exponential,
        inputs=within_float32,
        ulps=(2, 2),
        residuals=1,
        extra=2,
        keras=None,
    ),
    Case(losses.ModifiedHuber, exact=modified_huber, ulps=(4, 1), residuals=1, extra=2, keras=None),
    Case(
        losses.MultiMargin,
        ({}, {"margin": 0.5, "power": 2}, {"class_weight": [0.5, 2.0, 1.0, 0.0, 3.0]}),
        exact=multi_margin,
        sizes=of_multi_margin,
        ulps=(4, 2),
        elsewhere=(
            Elsewhere("torch", "F.multi_margin_loss(y_pred, y_true)"),
            Elsewhere(
                "torch",
                "F.multi_margin_loss(y_pred, y_true, p=2, margin=0.5, "
                "weight=torch.tensor([0.5, 2.0, 1.0, 0.0, 3.0], dtype=torch.float64))",
                {"power": 2, "margin": 0.5, "class_weight": [0.5, 2.0, 1.0, 0.0, 3.0]},
                note="torch has no second derivative.",
            ),
        ),
        keras=None,
    ),
    Case(
        losses.MultiLabelMargin,
        ({}, {"margin": 0.5}),
        exact=multi_label_margin,
        sizes=of_multi_label_margin,
        inputs=some_hold,
        ulps=(4, 2),
        elsewhere=(
            Elsewhere(
                "torch",
                "F.multilabel_margin_loss(y_pred, torch.where(y_true == 1, torch.arange(5), -1)"
                ".sort(descending=True).values)",
                note="torch takes the numbers of the labels that hold, then -1.",
            ),
        ),
        keras=None,
    ),
)
