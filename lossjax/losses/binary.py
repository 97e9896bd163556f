"""Losses of two classes, or of labels of which several may hold."""

from jax import numpy as jnp

from lossjax.core import check
from lossjax.core.loss import Loss, leaf, static
from lossjax.core.types import AXIS_TYPES, Array, Axis, Hyper, Input
from lossjax.math.elementwise import mean, power
from lossjax.math.entropy import (
    binary_cross_entropy,
    binary_focal,
    known_exponent,
    probability_entropy,
    smoothed,
    smoothing_amount,
    weighted_cross_entropy,
)
from lossjax.math.fusion import elementwise, settle

__all__ = [
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "MultiLabelSoftMargin",
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "multi_label_soft_margin",
]


def binary_crossentropy(
    y_true: Input,
    y_pred: Input,
    from_logits: bool = False,
    label_smoothing: Hyper = 0.0,
    axis: Axis = -1,
    *,
    pos_weight: Hyper = 1.0,
    label_weight: Hyper = 1.0,
) -> Array:
    """mean(-t log p - (1 - t) log(1 - p)) over `axis`; p = `y_pred`, or its sigmoid.

    Use: two classes, or labels of which several may hold at once. Train with `from_logits=True`:
    the gradient goes on where a sigmoid has saturated. For classes that exclude each other take
    `categorical_crossentropy`.

    Probabilities are clipped to [1e-7, 1 - 1e-7] (the derivative outside is 0, at the clip
    points half of the inner one), logits are not: at a perfect logit of ±inf the loss is 0,
    where Keras has NaN. `label_smoothing` s in [0, 1]: t becomes t (1 - s) + s/2.
    `pos_weight` ≥ 0 multiplies -t log p, `label_weight` ≥ 0 the whole term; the mean is divided by
    the number of terms. Both are numbers, or arrays that broadcast to the inputs, such as one for
    each label along the last axis.
    Shapes: equal; values without the axes `axis`, in nats.
    Raises ValueError for unequal shapes, weights that do not fit and s outside [0, 1].
    Source: equal to `keras.losses.binary_crossentropy`, which has no such weights; with them to
    `torch.nn.BCEWithLogitsLoss`, whose `weight` is `label_weight`. TensorFlow's Keras computes
    from the logits where `y_pred` is the output of a sigmoid, and Keras 2 adds 1e-7 inside the
    logarithm.

    >>> print(binary_crossentropy([[1.0, 0.0]], [[0.5, 0.75]]).round(4))
    [1.0397]
    """
    where = "binary_crossentropy"
    check.within(where, "label_smoothing", label_smoothing, "[0, 1]")
    t, p = check.same_shape(where, y_true, y_pred, narrow=True)
    smoothing = smoothing_amount(label_smoothing, check.wide_dtype(p))
    factors = _factors(where, p, pos_weight, label_weight)
    entropy = _binary_crossentropy(bool(from_logits), t, p, smoothing, *factors)
    return settle(mean(entropy, axis))


def _factors(where: str, p: Array, pos_weight: Hyper, label_weight: Hyper) -> list[Array | None]:
    weights = {"pos_weight": pos_weight, "label_weight": label_weight}
    return [check.factor(where, name, weight, p) for name, weight in weights.items()]


@elementwise(static=1)
def _binary_crossentropy(
    from_logits: bool,
    t: Array,
    p: Array,
    smoothing: Array | None,
    pos_weight: Array | None,
    label_weight: Array | None,
) -> Array:
    t, u = smoothed(t, smoothing, 2), smoothed(1 - t, smoothing, 2)
    if not from_logits:
        entropy = probability_entropy(t if pos_weight is None else pos_weight * t, u, p)
    elif pos_weight is None:
        entropy = binary_cross_entropy(t, u, p)
    else:
        entropy = weighted_cross_entropy(pos_weight * t, u, p)
    return entropy if label_weight is None else label_weight * entropy


class BinaryCrossentropy(Loss):
    fn = binary_crossentropy
    couples = "none"
    widens = True
    domain = "binary"
    aliases = ("bce", "BCE")
    from_logits: bool = static(default=False)
    label_smoothing: Hyper = leaf(default=0.0, interval="[0, 1]")
    axis: Axis = static(default=-1, types=AXIS_TYPES)
    pos_weight: Hyper = leaf(default=1.0, interval="[0, inf)", kw_only=True, beyond=True)
    label_weight: Hyper = leaf(default=1.0, interval="[0, inf)", kw_only=True, beyond=True)


def multi_label_soft_margin(
    y_true: Input, y_pred: Input, *, pos_weight: Hyper = 1.0, label_weight: Hyper = 1.0
) -> Array:
    """mean(-t log σ(z) - (1 - t) log σ(-z)), t = `y_true`, z = `y_pred`.

    Use: labels of which several may hold at once: torch's name for `binary_crossentropy` with
    `from_logits=True`, whose weights it has.

    Shapes: (..., labels) for both; values (...), in nats.
    Raises ValueError for unequal shapes and weights that do not fit.
    Source: equal to `torch.nn.MultiLabelSoftMarginLoss`, whose `weight` is `label_weight`.

    >>> print(multi_label_soft_margin([[1.0, 0.0]], [[2.0, 0.0]]).round(4))
    [0.41]
    """
    t, z = check.same_shape("multi_label_soft_margin", y_true, y_pred)
    factors = _factors("multi_label_soft_margin", z, pos_weight, label_weight)
    return settle(mean(_binary_crossentropy(True, t, z, None, *factors), -1))


class MultiLabelSoftMargin(Loss):
    fn = multi_label_soft_margin
    couples = "none"
    domain = "binary logits"
    pos_weight: Hyper = leaf(default=1.0, interval="[0, inf)", kw_only=True)
    label_weight: Hyper = leaf(default=1.0, interval="[0, inf)", kw_only=True)


def binary_focal_crossentropy(
    y_true: Input,
    y_pred: Input,
    apply_class_balancing: bool = False,
    alpha: Hyper = 0.25,
    gamma: Hyper = 2.0,
    from_logits: bool = False,
    label_smoothing: Hyper = 0.0,
    axis: Axis = -1,
) -> Array:
    """mean(a (1 - p_t)^gamma * binary cross-entropy) over `axis`; p_t = tp + (1-t)(1-p).

    Use: two classes where many easy samples drown the few hard ones, as in detection. Not with
    wrong labels, which are the hard ones, nor for calibrated probabilities.

    `gamma` ≥ 0 takes weight from what is classified well (traced, within gamma |log(1 - p_t)|
    ulps; exact as a Python number); a = t `alpha` + (1-t)(1-`alpha`), `alpha` in [0, 1], with
    `apply_class_balancing`, else 1. Clipping, smoothing, shapes and errors as
    `binary_crossentropy`. From logits nothing is clipped: the loss goes on as -z and its
    derivative as -1 for a badly wrong logit z, where Keras on JAX stays at 16.1 with
    derivative 0 (TensorFlow goes on too).
    Source: Lin et al. (2017), arXiv:1708.02002, eq. 5; equal to
    `keras.losses.binary_focal_crossentropy`.

    >>> print(binary_focal_crossentropy([[1.0, 0.0]], [[0.5, 0.75]]).round(4))
    [0.4765]
    """
    where = "binary_focal_crossentropy"
    check.within(where, "alpha", alpha, "[0, 1]")
    check.within(where, "gamma", gamma, "[0, inf)")
    check.within(where, "label_smoothing", label_smoothing, "[0, 1]")
    t, p = check.same_shape(where, y_true, y_pred, narrow=True)
    dtype = check.wide_dtype(p)
    how = (bool(from_logits), bool(apply_class_balancing), known_exponent(gamma))
    hyper = (jnp.asarray(gamma, dtype), jnp.asarray(alpha, dtype))
    smoothing = smoothing_amount(label_smoothing, dtype)
    return settle(mean(_binary_focal(how, t, p, *hyper, smoothing), axis))


@elementwise(static=1)
def _binary_focal(
    how: tuple[bool, bool, float],
    t: Array,
    p: Array,
    gamma: Array,
    alpha: Array,
    smoothing: Array | None,
) -> Array:
    from_logits, balanced, n = how
    t, u = smoothed(t, smoothing, 2), smoothed(1 - t, smoothing, 2)
    if from_logits:
        focal = binary_focal(n, t, u, p, gamma)
    else:
        wrongness = t * (1 - p) + u * p  # 1 - p_t, with the digits that 1 - p_t loses
        focal = power(wrongness, n or gamma) * probability_entropy(t, u, p)
    return focal * (t * alpha + u * (1 - alpha)) if balanced else focal


class BinaryFocalCrossentropy(Loss):
    fn = binary_focal_crossentropy
    couples = "none"
    widens = True
    domain = "binary"
    apply_class_balancing: bool = static(default=False)
    alpha: Hyper = leaf(default=0.25, interval="[0, 1]")
    gamma: Hyper = leaf(default=2.0, interval="[0, inf)")
    from_logits: bool = static(default=False)
    label_smoothing: Hyper = leaf(default=0.0, interval="[0, 1]")
    axis: Axis = static(default=-1, types=AXIS_TYPES)
