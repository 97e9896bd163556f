"""Cross entropies of several classes, given one-hot or as numbers."""

import numpy as np
from mpmath import mp

from cases import Case, Elsewhere
from exact import as_list, largest, probabilities, row_largest, smooth
from lossjax import losses
from samples import magnitudes, unit_interval


def cross_entropy(t, q):
    return -mp.fsum(a * mp.log(b) for a, b in zip(t, q, strict=True) if a)


def categorical_crossentropy(t, p, from_logits=False, label_smoothing=0.0, axis=-1):
    return cross_entropy(smooth(t, label_smoothing, len(t)), probabilities(p, from_logits))


def categorical_focal_crossentropy(
    t, p, alpha=0.25, gamma=2.0, from_logits=False, label_smoothing=0.0
):
    alpha = as_list(alpha, len(t))
    t, q = smooth(t, label_smoothing, len(t)), probabilities(p, from_logits)
    terms = zip(alpha, t, q, strict=True)
    return -mp.fsum(c * (1 - b) ** gamma * a * mp.log(b) for c, a, b in terms if a)


def sparse_categorical_crossentropy(label, p, from_logits=False, ignore_class=None):
    if label == ignore_class or not 0 <= label < len(p):
        return mp.zero
    return -mp.log(probabilities(p, from_logits)[int(label)])


def sparse_categorical_focal_crossentropy(
    label, p, alpha=0.25, gamma=2.0, from_logits=False, ignore_class=None
):
    if label == ignore_class or not 0 <= label < len(p):
        return mp.zero
    one_hot = [mp.one if i == label else mp.zero for i in range(len(p))]
    return categorical_focal_crossentropy(one_hot, p, alpha, gamma, from_logits)


def categorical_generalized_cross_entropy(label, p, q=0.5):
    return (1 - p[int(label)] ** q) / q


def class_parts(t, p, config):
    """Smoothed targets, log q, q, d log q_i / dy_i, and the share of the others in it."""
    amount = config.get("label_smoothing", 0)
    t = t * (1 - amount) + amount / t.shape[-1]
    if config.get("from_logits"):
        log_q = p - np.logaddexp.reduce(p, -1, keepdims=True)
        return t, log_q, np.exp(log_q), 1, np.exp(log_q)
    total = np.sum(p, -1, keepdims=True)
    log_q = np.log(np.clip(p / total, 1e-7, 1 - 1e-7))
    inside = (p / total > 1e-7) & (p / total < 1 - 1e-7)
    return t, log_q, np.exp(log_q), inside / p, np.ones_like(p) / total


def rounded_log(log_q):
    """A sum near 1 is rounded before its logarithm: log q has an ulp of 1 at least."""
    return np.maximum(1, np.abs(log_q))


def of_categorical(t, p, config):
    t, log_q, _, own, shared = class_parts(t, p, config)
    mass = np.sum(np.abs(t), -1, keepdims=True)
    # exp(log q) has the rounding of log q
    by_share = mass * shared * (rounded_log(log_q) if config.get("from_logits") else 1)
    return row_largest(t * rounded_log(log_q)), largest(t * own, by_share)


def counted(labels, p, config):
    """One-hot, and all 0 where the label does not count."""
    t = np.float64(labels[:, None] == np.arange(p.shape[-1]))
    return t * (labels[:, None] != config.get("ignore_class"))


def of_sparse(labels, p, config):
    return of_categorical(counted(labels, p, config), p, config)


def of_categorical_focal(t, p, config):
    t, log_q, q, own, shared = class_parts(t, p, config)
    gamma, a = config.get("gamma", 2.0), t * np.array(config.get("alpha", 0.25))
    u = np.maximum(-np.expm1(log_q), 1e-30)
    first = gamma * u ** (gamma - 1) * q * log_q - u**gamma
    second = gamma * q * u ** (gamma - 2) * (u * (2 + log_q) - (gamma - 1) * q * log_q)
    focal = largest(u**gamma * log_q, first * rounded_log(log_q))
    slope = a * largest(first, second * rounded_log(log_q))
    by_share = row_largest(slope)[:, None] * shared
    if config.get("from_logits"):
        by_share = by_share * rounded_log(log_q)
    return row_largest(a * focal), largest(slope * own, by_share)


def of_sparse_focal(labels, p, config):
    return of_categorical_focal(counted(labels, p, config), p, config)


def of_the_label(rng):
    """The label's probability covers (0, 1]; the others do not count."""
    p = np.concatenate([magnitudes(rng, -30, 0, 60), unit_interval(rng)])
    p = np.float32(p[p > 0])
    return np.zeros(p.size, int), np.stack([p, 1 - p], 1)


CASES = (
    Case(
        losses.CategoricalCrossentropy,
        (
            {},
            {"label_smoothing": 0.2},
            {"from_logits": True},
            {"from_logits": True, "label_smoothing": 0.2, "axis": 0},
        ),
        exact=categorical_crossentropy,
        elsewhere=(
            Elsewhere("torch", "F.cross_entropy(y_pred, y_true)", {"from_logits": True}),
            Elsewhere(
                "torch",
                "F.cross_entropy(y_pred, y_true, label_smoothing=0.2)",
                {"from_logits": True, "label_smoothing": 0.2},
            ),
            Elsewhere(
                "optax",
                "optax.losses.softmax_cross_entropy(y_pred, y_true).mean()",
                {"from_logits": True},
            ),
        ),
        sizes=of_categorical,
        ulps=(5, 6),  # log, softmax
        residuals=1,
        extra=5,
    ),
    Case(
        losses.CategoricalFocalCrossentropy,
        (
            {},
            {"alpha": [0.1, 0.2, 0.3, 0.4, 0.5], "gamma": 1.5},
            {"from_logits": True, "gamma": 3.0},
            {"from_logits": True, "label_smoothing": 0.2},
        ),
        measured=({"gamma": 0.5, "from_logits": True},),
        exact=categorical_focal_crossentropy,
        sizes=of_categorical_focal,
        ulps=(6, 10),  # expm1(log q) to the power gamma
        residuals=1,
        extra=5,
    ),
    Case(
        losses.SparseCategoricalCrossentropy,
        ({}, {"from_logits": True}, {"ignore_class": 1}, {"from_logits": True, "ignore_class": 2}),
        exact=sparse_categorical_crossentropy,
        elsewhere=(
            Elsewhere("torch", "F.cross_entropy(y_pred, y_true)", {"from_logits": True}),
            Elsewhere(
                "torch",
                "F.cross_entropy(y_pred, y_true, ignore_index=2)",
                {"from_logits": True, "ignore_class": 2},
            ),
            Elsewhere(
                "optax",
                "optax.losses.softmax_cross_entropy_with_integer_labels(y_pred, y_true).mean()",
                {"from_logits": True},
            ),
        ),
        sizes=of_sparse,
        ulps=(4, 6),
        residuals=3,  # with ignore_class
        extra=5,
    ),
    Case(
        losses.SparseCategoricalFocalCrossentropy,
        (
            {},
            {"alpha": [0.1, 0.2, 0.3, 0.4, 0.5], "gamma": 1.5, "ignore_class": 1},
            {"from_logits": True, "gamma": 3.0},
        ),
        measured=({"gamma": 0.5, "from_logits": True},),
        exact=sparse_categorical_focal_crossentropy,
        sizes=of_sparse_focal,
        ulps=(6, 10),
        residuals=3,
        extra=5,
        keras=None,
        elsewhere=(
            Elsewhere(
                "kornia",
                "kornia.losses.focal_loss(y_pred, y_true, None, gamma=2.0, reduction='mean')",
                {"from_logits": True, "alpha": 1.0},
                times=0.2,
                note="It divides by the number of classes, 5 here, too.",
            ),
        ),
    ),
    Case(
        losses.CategoricalGeneralizedCrossEntropy,
        ({}, {"q": 0.8}),
        measured=({"q": 0.1},),
        exact=categorical_generalized_cross_entropy,
        inputs=of_the_label,
        ulps=(8, 3),  # expm1
        residuals=1,
        extra=5,
    ),
)


def test_ignored_labels_leave_the_mean():
    logits, labels = np.random.default_rng(0).normal(size=(5, 3)).astype("f"), [0, 2, 1, 2, 0]
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    kept = loss(np.take(labels, [0, 2, 4]), logits[[0, 2, 4]])
    for reduction in ("sum_over_batch_size", "mean_with_sample_weight"):
        loss = losses.SparseCategoricalCrossentropy(True, ignore_class=2, reduction=reduction)
        np.testing.assert_allclose(loss(labels, logits), kept, rtol=1e-6)
