"""Losses of logits of several classes: cross-entropy and kin."""

import dataclasses

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from jax.test_util import check_grads
from mpmath import mp

from cases import Case, Elsewhere
from exact import as_list, largest, probabilities, row_largest
from losses.categorical import counted, rounded_log
from lossjax import losses

WEIGHTS = [0.5, 2.0, 1.0, 0.0, 3.0]
OF_TORCH = f"torch.tensor({WEIGHTS}, dtype=torch.float64)"


def targets(label, classes):
    """None for a label that does not count."""
    label = int(label)
    if not 0 <= label < classes:
        return None
    return [mp.one if i == label else mp.zero for i in range(classes)]


def of_targets(formula):
    """The loss of one-hot targets and log-probabilities, as one of a label and logits."""

    def of_label(label, p, **config):
        t = targets(label, len(p))
        q = probabilities(p, from_logits=True)
        return mp.zero if t is None else formula(t, q, **config)

    return of_label


def cross_entropy(
    label,
    p,
    ignore_class=None,
    class_weight=1.0,
    label_smoothing=0.0,
    smooth_over="all",
    z_loss=0.0,
):
    t = targets(label, len(p))
    if t is None or label == ignore_class:
        return mp.zero
    w, s, n = as_list(class_weight, len(p)), label_smoothing, len(p)
    if smooth_over == "all":
        smooth = [a * (1 - s) + s / n for a in t]
    else:
        smooth = [a * (1 - s) + (1 - a) * s / max(1, n - 1) for a in t]
    q = probabilities(p, from_logits=True)
    terms = [c * a * mp.log(b) for c, a, b in zip(w, smooth, q, strict=True) if a and c]
    top = max(p)
    log_sum = top + mp.log(mp.fsum(mp.exp(x - top) for x in p))
    return -mp.fsum(terms) + w[int(label)] * z_loss * log_sum**2


@of_targets
def poly1(t, q, epsilon=2.0):
    return mp.fsum(a * (-mp.log(b) + epsilon * (1 - b)) for a, b in zip(t, q, strict=True) if a)


@of_targets
def brier(t, q):
    return mp.fsum((b - a) ** 2 for a, b in zip(t, q, strict=True))


@of_targets
def symmetric_cross_entropy(t, q, alpha=1.0, beta=1.0, log_zero=-4.0):
    forth = -mp.fsum(a * mp.log(b) for a, b in zip(t, q, strict=True) if a)
    logs = [max(mp.log(a), log_zero) if a else log_zero for a in t]
    return alpha * forth - beta * mp.fsum(b * c for b, c in zip(q, logs, strict=True))


@of_targets
def confidence_penalty(t, q, beta=0.1):
    forth = -mp.fsum(a * mp.log(b) for a, b in zip(t, q, strict=True) if a)
    return forth + beta * mp.fsum(b * mp.log(b) for b in q if b)


@of_targets
def jensen_shannon(t, q, weight=0.5):
    m = [weight * a + (1 - weight) * b for a, b in zip(t, q, strict=True)]

    def to_the_middle(p):
        return mp.fsum(a * mp.log(a / b) for a, b in zip(p, m, strict=True) if a)

    return weight * to_the_middle(t) + (1 - weight) * to_the_middle(q)


def tempered(z, c):
    """(1 + c (m - z))^(-1/c), with m found between the largest z and what suits equal ones."""
    low, n = max(z), len(z)
    high = low + (mp.mpf(n) ** c - 1) / c

    def shares(m):
        return [(1 + c * (m - x)) ** (-1 / c) for x in z]

    m = low
    for _ in range(12):  # Newton's steps for Σ^-c = 1, each of which doubles the digits
        q = shares(m)
        total, steep = mp.fsum(q), mp.fsum(x ** (1 + c) for x in q)
        m = min(high, m + total * (total**c - 1) / (c * steep))
    return shares(m)


def bi_tempered(label, z, t1=0.8, t2=1.4):
    t = targets(label, len(z))
    if t is None:
        return mp.zero

    def log(x):
        return (x ** (1 - t1) - 1) / (1 - t1)

    terms = [
        (a * (log(a) - log(b)) if a else 0) - (a ** (2 - t1) - b ** (2 - t1)) / (2 - t1)
        for a, b in zip(t, tempered(z, t2 - 1), strict=True)
    ]
    return mp.fsum(terms)


def of_tempered(labels, p, config):
    """Differences of logits are rounded, and powers of shares near 1."""
    a = 1 - config.get("t1", 0.8)
    return np.full(len(p), 2 / a), np.full(p.shape, 2 / a)


def of_softmax(size=1.0):
    """The rounding of log q in what is at most `size` times it, or 1."""

    def sizes(labels, p, config):
        t = counted(labels.astype(int), p, config)
        log_q = p - np.logaddexp.reduce(p, -1, keepdims=True)
        return size * row_largest(rounded_log(t * log_q)), size * rounded_log(log_q)

    return sizes


def of_cross_entropy(labels, p, config):
    t, n = counted(labels.astype(int), p, config), p.shape[-1]
    log_sum = np.logaddexp.reduce(p, -1, keepdims=True)
    counts = np.sum(t, -1, keepdims=True)
    t = t + config.get("label_smoothing", 0) / (n - 1)
    by_z = config.get("z_loss", 0) * np.abs(log_sum)
    value = largest(row_largest(t * rounded_log(p - log_sum)), row_largest(by_z * log_sum))
    slope = largest(row_largest(t)[:, None] * rounded_log(p - log_sum), by_z) * counts
    return 3 * value * counts[:, 0], 3 * slope


CASES = (
    Case(
        losses.CrossEntropy,
        (
            {},
            {"label_smoothing": 0.2, "class_weight": 0.5},
            {"label_smoothing": 0.2, "smooth_over": "others", "z_loss": 0.01, "ignore_class": 1},
        ),
        measured=({"class_weight": WEIGHTS, "label_smoothing": 0.1},),
        at_edges=({"class_weight": WEIGHTS, "label_smoothing": 0.1},),
        exact=cross_entropy,
        sizes=of_cross_entropy,
        ulps=(4, 6),
        residuals=5,  # with z_loss
        extra=101,  # with everything at once: the logits that count, which several sums read
        keras=None,
        elsewhere=(
            Elsewhere("torch", "F.cross_entropy(y_pred, y_true)"),
            Elsewhere(
                "torch",
                "F.cross_entropy(y_pred, y_true, label_smoothing=0.1, ignore_index=1, "
                f"weight={OF_TORCH})",
                {
                    "label_smoothing": 0.1,
                    "ignore_class": 1,
                    "class_weight": WEIGHTS,
                    "reduction": "mean_with_sample_weight",
                },
            ),
            Elsewhere(
                "torch",
                "F.cross_entropy(y_pred, F.one_hot(y_true, 5).double(), "
                f"weight={OF_TORCH}, label_smoothing=0.1)",
                {"label_smoothing": 0.1, "class_weight": WEIGHTS},
                note="torch divides by the count where it is given targets.",
            ),
            Elsewhere(
                "optax",
                "optax.losses.softmax_cross_entropy_with_integer_labels(y_pred, y_true).mean()",
                note="A label of -1 is the last class in optax, one beyond the last gives NaN.",
            ),
            Elsewhere(
                "optax",
                "optax.losses.softmax_cross_entropy(y_pred, optax.losses.smooth_labels("
                "jax.nn.one_hot(y_true, 5), 0.1)).mean()",
                {"label_smoothing": 0.1},
            ),
        ),
    ),
    Case(
        losses.Poly1,
        ({}, {"epsilon": -0.5}),
        exact=poly1,
        sizes=of_softmax(3),
        ulps=(4, 6),
        keras=None,
        elsewhere=(
            Elsewhere(
                "optax",
                "optax.losses.poly_loss_cross_entropy(y_pred, jax.nn.one_hot(y_true, 5), "
                "epsilon=0.5).mean()",
                {"epsilon": 0.5},
            ),
        ),
    ),
    Case(
        losses.Brier,
        exact=brier,
        sizes=of_softmax(),
        ulps=(4, 6),
        keras=None,
        elsewhere=(
            Elsewhere(
                "scikit-learn",
                "sklearn.metrics.brier_score_loss(y_true, scipy.special.softmax(y_pred, -1), "
                "labels=range(5), scale_by_half=False)",
            ),
        ),
    ),
    Case(
        losses.SymmetricCrossEntropy,
        ({}, {"alpha": 0.1, "beta": 2.0, "log_zero": -6.0}),
        exact=symmetric_cross_entropy,
        sizes=of_softmax(4),
        ulps=(4, 6),
        keras=None,
    ),
    Case(
        losses.ConfidencePenalty,
        ({}, {"beta": 0.5}),
        exact=confidence_penalty,
        keras=None,
        sizes=of_softmax(),
        ulps=(4, 6),
    ),
    Case(
        losses.JensenShannon,
        ({}, {"weight": 0.2}),
        exact=jensen_shannon,
        keras=None,
        elsewhere=(
            Elsewhere(
                "scipy",
                "(scipy.spatial.distance.jensenshannon(np.eye(5)[y_true], "
                "scipy.special.softmax(y_pred, -1), axis=-1) ** 2).mean()",
                note="Its value is the root.",
            ),
        ),
        sizes=of_softmax(),
        ulps=(4, 6),
    ),
    Case(
        losses.BiTempered,
        ({}, {"t1": 0.5, "t2": 1.2}),
        measured=({"t1": 0.2, "t2": 4.0},),
        exact=bi_tempered,
        keras=None,
        sizes=of_tempered,
        ulps=(4, 6),
    ),
)


RNG = np.random.default_rng(0)
LOGITS, LABELS = RNG.normal(0, 2, (6, 5)), np.array([0, 3, 4, 1, 2, 4])


def log_softmax(z):
    return z - np.log(np.sum(np.exp(z), -1, keepdims=True))


@pytest.mark.parametrize("soft", [False, True])
def test_cross_entropy_divides_by_class_weights_or_by_the_count(soft):
    """What smoothing adds has the weight of its class; totals of parts merge."""
    t = RNG.dirichlet(np.ones(5), 6) if soft else np.eye(5)[LABELS]
    y, w, s = t if soft else LABELS, np.array(WEIGHTS), np.linspace(0.5, 1, 6)
    values = -np.sum(w * (0.9 * t + 0.1 / 5) * log_softmax(LOGITS), -1)
    with jax.enable_x64(True):
        for reduction, divisor in (
            ("sum_over_batch_size", 6),
            ("mean_with_sample_weight", np.sum(s * (t @ w))),
        ):
            options = {"class_weight": w, "label_smoothing": 0.1, "reduction": reduction}
            loss = losses.CrossEntropy(**options)
            want = np.sum(s * values) / divisor
            np.testing.assert_allclose(loss(y, LOGITS, s), want, rtol=1e-12)
            parts = [loss.total(y[i], LOGITS[i], s[i]) for i in (slice(2), slice(2, 6))]
            np.testing.assert_allclose(sum(parts).result(), want, rtol=1e-12)


def test_targets_that_are_one_hot_give_what_their_numbers_give():
    one_hot = np.eye(5)[LABELS]
    for loss in (
        losses.CrossEntropy(label_smoothing=0.2, z_loss=0.1, class_weight=WEIGHTS, reduction=None),
        losses.CrossEntropy(label_smoothing=0.2, smooth_over="others", reduction=None),
        losses.Poly1(reduction=None),
        losses.Brier(reduction=None),
        losses.SymmetricCrossEntropy(reduction=None),
        losses.ConfidencePenalty(reduction=None),
        losses.JensenShannon(reduction=None),
        losses.BiTempered(reduction=None),
    ):
        with jax.enable_x64(True):
            by_number = loss(LABELS, LOGITS)
            np.testing.assert_allclose(loss(one_hot, LOGITS), by_number, rtol=1e-12)
            np.testing.assert_allclose(loss(LABELS[:, None], LOGITS), by_number, rtol=1e-12)


def test_views_that_are_to_agree():
    z = RNG.normal(0, 2, (3, 6, 5))
    q = np.exp(log_softmax(z))

    def entropy(p):
        return -np.sum(p * np.log(p), -1)

    with jax.enable_x64(True):
        consistency = losses.JensenShannon(weight=0.0, view_axis=0, reduction=None)
        expected = entropy(q.mean(0)) - entropy(q).mean(0)
        np.testing.assert_allclose(consistency(LABELS, z), expected, rtol=1e-12)
        moved = dataclasses.replace(consistency, view_axis=-2)
        np.testing.assert_allclose(moved(LABELS, np.moveaxis(z, 0, 1)), expected, rtol=1e-12)
        one = losses.JensenShannon(weight=0.3)
        several = dataclasses.replace(one, view_axis=1)
        np.testing.assert_allclose(several(LABELS, z[0][:, None]), one(LABELS, z[0]), rtol=1e-12)
        check_grads(lambda z: several(LABELS, z), (np.moveaxis(z, 0, 1),), 2)
    z[:, 2, 1] = -np.inf
    gradient = jax.grad(lambda z: jnp.sum(consistency(LABELS - 1, z)))(z.astype("f"))
    assert np.isfinite(gradient).all()
    assert not gradient[:, 0].any()  # of the label -1
    with pytest.raises(ValueError, match="view_axis must be an axis of y_pred, not empty, before"):
        losses.JensenShannon(view_axis=-1)(LABELS, z)


def test_cross_entropy_of_ignored_labels():
    loss = losses.CrossEntropy(ignore_class=4, class_weight=WEIGHTS)
    logits = np.where((LABELS == 4)[:, None], np.nan, LOGITS).astype("f")
    kept = LABELS != 4
    for reduction in ("sum_over_batch_size", "mean_with_sample_weight"):
        loss = dataclasses.replace(loss, reduction=reduction)
        value, gradient = jax.value_and_grad(lambda z, loss=loss: loss(LABELS, z))(logits)
        np.testing.assert_allclose(value, loss(LABELS[kept], LOGITS[kept]), rtol=1e-6)
        assert np.isfinite(gradient).all()
        assert not gradient[~kept].any()
    with pytest.raises(ValueError, match="ignore_class needs class numbers"):
        loss(np.eye(5)[LABELS], LOGITS)
