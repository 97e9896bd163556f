"""Cross entropies of two classes."""

import numpy as np
from mpmath import mp

from cases import Case, Elsewhere
from exact import EPS, TOP, clip, largest, mean, smooth
from lossjax import losses


def sigmoid(z):
    return 1 / (1 + mp.exp(-z))


def binary_terms(t, p, from_logits):
    """-t log p - (1 - t) log(1 - p) of each entry."""
    if from_logits:
        yes, no = [sigmoid(z) for z in p], [sigmoid(-z) for z in p]
    else:
        yes = [clip(x, EPS, TOP) for x in p]
        no = [1 - x for x in yes]
    return [-a * mp.log(y) - (1 - a) * mp.log(n) for a, y, n in zip(t, yes, no, strict=True)]


def binary_crossentropy(t, p, from_logits=False, label_smoothing=0.0, axis=-1):
    return mean(binary_terms(smooth(t, label_smoothing, 2), p, from_logits))


def multi_label_soft_margin(t, p, pos_weight=1.0, label_weight=1.0):
    terms = binary_terms(t, p, from_logits=True)
    if pos_weight != 1:
        terms = [
            -pos_weight * a * mp.log(sigmoid(z)) - (1 - a) * mp.log(sigmoid(-z))
            for a, z in zip(t, p, strict=True)
        ]
    return label_weight * mean(terms)


def binary_focal_crossentropy(
    t,
    p,
    apply_class_balancing=False,
    alpha=0.25,
    gamma=2.0,
    from_logits=False,
    label_smoothing=0.0,
):
    t = smooth(t, label_smoothing, 2)
    wrong = [a * sigmoid(-x) + (1 - a) * sigmoid(x) for a, x in zip(t, p, strict=True)]
    if not from_logits:
        wrong = [a * (1 - x) + (1 - a) * x for a, x in zip(t, p, strict=True)]
    balance = [a * alpha + (1 - a) * (1 - alpha) if apply_class_balancing else 1 for a in t]
    terms = zip(balance, wrong, binary_terms(t, p, from_logits), strict=True)
    # A difference at p = 0 or 1 steps out of the range, where w < 0 has no power.
    return mean([b * max(w, 0) ** gamma * e for b, w, e in terms])


def binary_parts(t, p, config):
    t = t * (1 - config.get("label_smoothing", 0)) + config.get("label_smoothing", 0) / 2
    if config.get("from_logits"):
        yes, no = np.exp(-np.logaddexp(0, -p)), np.exp(-np.logaddexp(0, p))
        entropy = t * np.logaddexp(0, -p) + (1 - t) * np.logaddexp(0, p)
        return t, yes, no, yes * no, entropy
    yes = np.clip(p, 1e-7, 1 - 1e-7)
    return t, p, 1 - p, 1, -t * np.log(yes) - (1 - t) * np.log1p(-yes)


def of_binary(t, p, config):
    t, yes, no, slope, _ = binary_parts(t, p, config)
    yes, no = (np.maximum(x, 1e-45) for x in (yes, no))
    return None, largest(t * slope / yes, (1 - t) * slope / no)


def of_multi_label_soft_margin(t, p, config):
    return of_binary(t, p, {"from_logits": True})


def of_binary_focal(t, p, config):
    gamma = config.get("gamma", 2.0)
    t, yes, no, slope, entropy = binary_parts(t, p, config)
    wrong = np.maximum(t * no + (1 - t) * yes, 1e-30)
    by_wrong = gamma * wrong ** (gamma - 1) * (1 - 2 * t) * slope * entropy
    yes, no = (np.maximum(x, 1e-30) for x in (yes, no))
    by_entropy = wrong**gamma * slope * largest(t / yes, (1 - t) / no)
    return None, largest(by_wrong, by_entropy)


CASES = (
    Case(
        losses.BinaryCrossentropy,
        (
            {},
            {"label_smoothing": 0.2},
            {"from_logits": True},
            {"from_logits": True, "label_smoothing": 0.2, "axis": 0},
        ),
        measured=({"label_smoothing": 0.001, "from_logits": True},),
        exact=binary_crossentropy,
        elsewhere=(
            Elsewhere("torch", "F.binary_cross_entropy(y_pred, y_true)"),
            Elsewhere(
                "torch", "F.binary_cross_entropy_with_logits(y_pred, y_true)", {"from_logits": True}
            ),
            Elsewhere(
                "torch",
                "F.binary_cross_entropy_with_logits(y_pred, y_true, pos_weight="
                "torch.tensor([1, 2, 3, 4, 5]), weight=torch.tensor([0.5, 1, 1, 1, 2]))",
                {
                    "from_logits": True,
                    "pos_weight": [1.0, 2.0, 3.0, 4.0, 5.0],
                    "label_weight": [0.5, 1.0, 1.0, 1.0, 2.0],
                },
            ),
            Elsewhere(
                "optax",
                "optax.losses.sigmoid_binary_cross_entropy(y_pred, y_true).mean()",
                {"from_logits": True},
            ),
        ),
        sizes=of_binary,
        ulps=(6, 6),
        residuals=1,
        extra=5,
    ),
    Case(
        losses.MultiLabelSoftMargin,
        ({}, {"pos_weight": 3.0, "label_weight": 0.5}),
        exact=multi_label_soft_margin,
        sizes=of_multi_label_soft_margin,
        ulps=(6, 6),
        elsewhere=(
            Elsewhere(
                "torch",
                "F.multilabel_soft_margin_loss(y_pred, y_true, weight=2 * torch.ones(5))",
                {"label_weight": 2.0},
            ),
        ),
        residuals=1,
        extra=5,
        keras=None,
    ),
    Case(
        losses.BinaryFocalCrossentropy,
        (
            {},
            {"apply_class_balancing": True, "alpha": 0.4, "gamma": 1.5},
            {"from_logits": True, "gamma": 3.0},
            {"from_logits": True, "label_smoothing": 0.2},
        ),
        measured=(
            {"label_smoothing": 0.001, "from_logits": True},
            {"gamma": 0.5, "from_logits": True},
        ),
        at_edges=({"gamma": 0.0}, {"gamma": 0.5}),
        exact=binary_focal_crossentropy,
        elsewhere=(
            Elsewhere(
                "optax",
                "optax.losses.sigmoid_focal_loss(y_pred, y_true, gamma=2.0).mean()",
                {"from_logits": True},
            ),
            Elsewhere(
                "torchvision",
                "torchvision.ops.sigmoid_focal_loss(y_pred, y_true, alpha=0.25, reduction='mean')",
                {"from_logits": True, "apply_class_balancing": True},
            ),
        ),
        sizes=of_binary_focal,
        ulps=(12, 12),  # (1 - p_t)^gamma: gamma times the error of p_t
        residuals=1,
        extra=5,
    ),
)
