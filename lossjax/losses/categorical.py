"""Losses of classes that exclude each other."""

import functools
import warnings
from collections.abc import Callable

from jax import numpy as jnp

from lossjax.core import check
from lossjax.core.labelled import Labelled
from lossjax.core.loss import Loss, leaf, static
from lossjax.core.types import AXIS_TYPES, IGNORED_TYPES, Array, Axis, Hyper, Ignored, Input
from lossjax.math.elementwise import guarded, log1p, power, surprise, weight_of, xmuly
from lossjax.math.entropy import (
    box_cox,
    class_count,
    focal,
    known_exponent,
    smoothed,
    smoothing_amount,
)
from lossjax.math.fusion import looped, settle
from lossjax.math.softmax import (
    label_cross_entropy,
    label_entropy_of_shares,
    picked,
    sum_over_log_softmax,
    sum_over_shares,
)

__all__ = [
    "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy",
    "CategoricalGeneralizedCrossEntropy",
    "SparseCategoricalCrossentropy",
    "SparseCategoricalFocalCrossentropy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_generalized_cross_entropy",
    "sparse_categorical_crossentropy",
    "sparse_categorical_focal_crossentropy",
]


def categorical_crossentropy(
    y_true: Input,
    y_pred: Input,
    from_logits: bool = False,
    label_smoothing: Hyper = 0.0,
    axis: Axis = -1,
) -> Array:
    """-Σ t log q over `axis`; q = softmax(`y_pred`), or p / Σp clipped to [1e-7, 1 - 1e-7].

    Use: classes that exclude each other, with one-hot or soft targets. Train with
    `from_logits=True`. For class numbers take `sparse_categorical_crossentropy`, for labels of
    which several may hold `binary_crossentropy`.

    The targets t are not normalised. A class with t = 0 may have the logit -inf, and a row of
    zero probabilities counts as 1e-7 everywhere; Keras has NaN for both. `label_smoothing` s in
    [0, 1]: t becomes t (1 - s) + s/K, K being the size of the last axis of `y_true`, whatever
    `axis` is (Keras's unreleased head: the size of `axis`).
    Shapes: equal; values without `axis`, in nats.
    Raises ValueError for unequal shapes, a bool as axis and s outside [0, 1]; warns where there
    is a single class.
    Source: equal to `keras.losses.categorical_crossentropy`. TensorFlow's gradient from logits
    differs where the targets do not sum to 1.

    >>> print(categorical_crossentropy([[0.0, 1.0]], [[0.25, 0.75]]).round(4))
    [0.2877]
    """
    where = "categorical_crossentropy"
    check.not_bool(where, axis)
    check.within(where, "label_smoothing", label_smoothing, "[0, 1]")
    t, p = check.same_shape(where, y_true, y_pred, narrow=True)
    _warn_of_one_class(where, p)
    smoothing = smoothing_amount(label_smoothing, check.wide_dtype(p))
    loss = functools.partial(_cross_entropy, bool(from_logits), class_count(t))
    over_classes = sum_over_log_softmax if from_logits else sum_over_shares
    return over_classes(loss, axis, p, t, smoothing)


def _cross_entropy(
    is_log: bool, classes: int, q: Array, t: Array, smoothing: Array | None
) -> Array:
    return smoothed(t, smoothing, classes) * (surprise(q) if is_log else -jnp.log(q))


def _warn_of_one_class(where: str, p: Array) -> None:
    if p.shape[-1] == 1:
        warnings.warn(
            f"In loss {where}, expected y_pred.shape to be (batch_size, num_classes) with "
            f"num_classes > 1. Received: y_pred.shape={p.shape}. "
            f"Consider using 'binary_crossentropy' if you only have 2 classes.",
            SyntaxWarning,
            stacklevel=3,
        )


class CategoricalCrossentropy(Loss):
    fn = categorical_crossentropy
    couples = "none"
    widens = True
    domain = "class"
    from_logits: bool = static(default=False)
    label_smoothing: Hyper = leaf(default=0.0, interval="[0, 1]")
    axis: Axis = static(default=-1, types=AXIS_TYPES)


def categorical_focal_crossentropy(
    y_true: Input,
    y_pred: Input,
    alpha: Hyper = 0.25,
    gamma: Hyper = 2.0,
    from_logits: bool = False,
    label_smoothing: Hyper = 0.0,
    axis: Axis = -1,
) -> Array:
    """Σ alpha (1 - q)^gamma (-t log q) over `axis`, with q and t as `categorical_crossentropy`.

    Use: classes that exclude each other, where easy samples drown the hard ones. Not with wrong
    labels, which are the hard ones, nor for calibrated probabilities.

    `gamma` ≥ 0 takes weight from what is classified well. `alpha` ≥ 0 scales the loss: a number,
    or one for each class, along the last axis whatever `axis` is. From logits nothing is clipped:
    the loss goes on for a badly wrong logit, where Keras stays at alpha * 16.1 with
    derivative 0. Smoothing, shapes, errors and warnings as `categorical_crossentropy`, but a
    shape may be broadcast to the other.
    Source: Lin et al. (2017), arXiv:1708.02002, eq. 5; equal to
    `keras.losses.categorical_focal_crossentropy`.

    >>> print(categorical_focal_crossentropy([[0.0, 1.0]], [[0.25, 0.75]], alpha=1.0).round(4))
    [0.018]
    """
    where = "categorical_focal_crossentropy"
    check.not_bool(where, axis)
    check.within(where, "alpha", alpha, "[0, inf)")
    check.within(where, "gamma", gamma, "[0, inf)")
    check.within(where, "label_smoothing", label_smoothing, "[0, 1]")
    t, p = check.same_rank(where, *check.pair(where, y_true, y_pred, narrow=True), axis)
    _warn_of_one_class(where, p)
    dtype = check.wide_dtype(p)
    alpha = jnp.asarray(alpha, dtype)
    alpha = alpha.reshape((1,) * (t.ndim - alpha.ndim) + alpha.shape)
    hyper = (jnp.asarray(gamma, dtype), alpha, smoothing_amount(label_smoothing, dtype))
    loss = functools.partial(_focal, bool(from_logits), known_exponent(gamma), class_count(t))
    over_classes = sum_over_log_softmax if from_logits else sum_over_shares
    return over_classes(loss, axis, p, t, *hyper)


def _focal(
    is_log: bool,
    n: float,
    classes: int,
    q: Array,
    t: Array,
    gamma: Array,
    alpha: Array,
    smoothing: Array | None,
) -> Array:
    if is_log:
        entropy = focal(n, q, gamma)
    else:
        # q is clipped: no zero to the power of a traced gamma
        wrongness = power(1 - q, n) if n else jnp.exp(gamma * log1p(-q))
        entropy = wrongness * -jnp.log(q)
    return looped(xmuly(alpha * smoothed(t, smoothing, classes), entropy))


class CategoricalFocalCrossentropy(Loss):
    fn = categorical_focal_crossentropy
    couples = "none"
    widens = True
    domain = "class"
    alpha: Hyper = leaf(default=0.25, interval="[0, inf)")
    gamma: Hyper = leaf(default=2.0, interval="[0, inf)")
    from_logits: bool = static(default=False)
    label_smoothing: Hyper = leaf(default=0.0, interval="[0, 1]")
    axis: Axis = static(default=-1, types=AXIS_TYPES)


def sparse_categorical_crossentropy(
    y_true: Input,
    y_pred: Input,
    from_logits: bool = False,
    ignore_class: Ignored = None,
    axis: int = -1,
) -> Array:
    """-log q at the class `y_true`; q as `categorical_crossentropy`, over the one axis `axis`.

    Use: classes that exclude each other, with class numbers as targets. Train with
    `from_logits=True`; `ignore_class` is for padding. Where the logits do not fit in memory take
    `linear_cross_entropy`.

    Labels are integers of the shape of `y_pred` without `axis`, or with 1 there; they are never
    cast to a float type. A label below 0 or beyond the last class has the loss 0 and the
    derivative 0, as in Keras on JAX (TensorFlow raises). `ignore_class`, one or several, marks
    labels that do not count: loss and derivative 0, whatever `y_pred` holds, NaN too; the class
    leaves them out of its mean. A wrong class may have the logit -inf (NaN in Keras).
    Values: shape of the labels, in nats.
    Raises ValueError for other shapes.
    Source: equal to `keras.losses.sparse_categorical_crossentropy`, where `axis` other than the
    last works for some shapes only. TensorFlow does not normalise probabilities that do not sum
    to 1. Keras 3.15 leaves `axis` out of the config of its class.

    >>> print(sparse_categorical_crossentropy([1, 0], [[0.25, 0.75], [0.5, 0.5]]).round(4))
    [0.2877 0.6931]
    """
    where = "sparse_categorical_crossentropy"
    labels, p, _ = _labelled(where, y_true, y_pred, ignore_class, axis)
    return _label_entropy(from_logits)(labels, p, axis)


def _label_entropy(from_logits: bool) -> Callable[[Array, Array, int], Array]:
    return label_cross_entropy if from_logits else label_entropy_of_shares


def _labelled(
    where: str, y_true: Input, y_pred: Input, ignore_class: Ignored, axis: int
) -> tuple[Array, Array, Array]:
    """Labels, -1 where they are of no class that counts, predictions, and which do count."""
    p = check.wide(check.array(where, "y_pred", y_pred), narrow=True)
    check.class_axis(where, p, axis)
    labels = check.aligned_labels(where, y_true, p, axis)
    ignore_class = check.ignored(where, ignore_class)
    valid = check.exists(labels, p.shape[axis])
    if ignore_class is not None:
        valid &= ~check.is_among(labels, ignore_class)
    return jnp.where(valid, labels, -1), p, valid


class SparseCategoricalCrossentropy(Labelled):
    fn = sparse_categorical_crossentropy
    widens = True
    domain = "label"
    from_logits: bool = static(default=False)
    ignore_class: Ignored = static(default=None, types=IGNORED_TYPES)
    axis: int = static(default=-1, types=(int,), kw_only=True)


def sparse_categorical_focal_crossentropy(
    y_true: Input,
    y_pred: Input,
    alpha: Hyper = 0.25,
    gamma: Hyper = 2.0,
    from_logits: bool = False,
    ignore_class: Ignored = None,
    axis: int = -1,
) -> Array:
    """-alpha (1 - q)^gamma log q at the class `y_true`; q as `categorical_crossentropy`.

    Use: as `categorical_focal_crossentropy`, with class numbers as targets.

    `alpha` ≥ 0 is a number, or one for each class; `gamma` ≥ 0. Labels, shapes, `ignore_class` and
    errors as `sparse_categorical_crossentropy`; from logits nothing is clipped.
    Source: Lin et al. (2017), arXiv:1708.02002, eq. 5. Keras 3.15 does not have it: the arguments
    are those that its class is to get.

    >>> print(sparse_categorical_focal_crossentropy([1], [[0.25, 0.75]], alpha=1.0).round(4))
    [0.018]
    """
    where = "sparse_categorical_focal_crossentropy"
    check.within(where, "gamma", gamma, "[0, inf)")
    labels, p, valid = _labelled(where, y_true, y_pred, ignore_class, axis)
    dtype = check.wide_dtype(p)
    weight = check.of_classes(where, "alpha", alpha, p.shape[axis], dtype)
    log_q = -_label_entropy(from_logits)(labels, p, axis)
    values = focal(known_exponent(gamma), log_q, jnp.asarray(gamma, dtype))
    values = xmuly(weight_of(labels, weight), values)
    return jnp.where(valid, settle(values), 0)


class SparseCategoricalFocalCrossentropy(Labelled):
    fn = sparse_categorical_focal_crossentropy
    widens = True
    domain = "label"
    alpha: Hyper = leaf(default=0.25, interval="[0, inf)")
    gamma: Hyper = leaf(default=2.0, interval="[0, inf)")
    from_logits: bool = static(default=False)
    ignore_class: Ignored = static(default=None, types=IGNORED_TYPES)
    axis: int = static(default=-1, types=(int,), kw_only=True)


def categorical_generalized_cross_entropy(y_true: Input, y_pred: Input, q: Hyper) -> Array:
    """(1 - P^q) / q, with P the probability `y_pred` has at the class `y_true`.

    Use: class numbers of which some are wrong. The larger `q`, the less a label pulls that the
    model finds improbable, and the slower is learning: with clean labels take
    `sparse_categorical_crossentropy`.

    `q` in (0, 1) leads from the cross-entropy (q → 0) to the mean absolute error (q = 1); the
    class requires the open interval, the function takes any q > 0, as Keras does.
    Shapes: labels (...) or (..., 1), integers, and probabilities (..., classes), which are not
    normalised; values (...), from 0 to 1/q (Keras makes (B, B) values of labels (B, 1)). A label
    out of range has P = 0 and the derivative 0. At P = 0 the derivative is that at 1e-7 (Keras:
    -inf).
    Raises ValueError for other shapes.
    Source: Zhang & Sabuncu (2018), arXiv:1805.07836, eq. 6; equal to
    `keras.losses.categorical_generalized_cross_entropy`.

    >>> print(categorical_generalized_cross_entropy([1], [[0.75, 0.25]], q=0.5))
    [1.]
    """
    where = "categorical_generalized_cross_entropy"
    check.within(where, "q", q, "(0, inf)")
    p = check.wide(check.array(where, "y_pred", y_pred), narrow=True)
    check.class_axis(where, p, -1)
    labels = check.aligned_labels(where, y_true, p, -1)
    q = jnp.asarray(q, check.wide_dtype(p))
    exists = check.exists(labels, p.shape[-1])
    at_label = guarded(picked(labels, p, -1), exists)
    return jnp.where(exists, box_cox(at_label, q), 1 / q)


class CategoricalGeneralizedCrossEntropy(Loss):
    fn = categorical_generalized_cross_entropy
    couples = "none"
    widens = True
    domain = "label"
    q: Hyper = leaf(default=0.5, interval="(0, 1)")
