"""Losses of the margin by which a score, or the score of a class, is on the right side."""

from collections.abc import Callable

from jax import lax
from jax import numpy as jnp

from lossjax.core import check
from lossjax.core.loss import Loss, leaf, static
from lossjax.core.types import Array, Hyper, Input
from lossjax.math.elementwise import (
    finite,
    floored,
    guarded,
    huber_curve,
    mean,
    pick,
    weight_of,
    xmuly,
)
from lossjax.math.entropy import binary_cross_entropy
from lossjax.math.fusion import at_least, bounded, elementwise, partials, settle, step

__all__ = [
    "Exponential",
    "ModifiedHuber",
    "MultiLabelMargin",
    "MultiMargin",
    "Perceptron",
    "SoftMargin",
    "exponential",
    "modified_huber",
    "multi_label_margin",
    "multi_margin",
    "perceptron",
    "soft_margin",
]

# --- two classes --------------------------------------------------------------------------------


def _of_margin(curve: Callable[[Array], Array], where: str, y_true: Input, y_pred: Input) -> Array:
    """mean(curve(m)), m being the score with the sign of the label."""
    y_true, y_pred = check.pair(where, y_true, y_pred)
    return mean(_signed(curve, y_true, y_pred), -1)


@elementwise(static=1)
def _signed(curve: Callable[[Array], Array], t: Array, p: Array) -> Array:
    return curve((2 * _is_positive(t) - 1) * p)


def _is_positive(t: Array) -> Array:
    """1 where t > 0, else 0."""
    # A derivative of 0 would be multiplied with an infinite score.
    return step(at_least(0.0, lax.stop_gradient(t)))


def perceptron(y_true: Input, y_pred: Input) -> Array:
    """mean(max(0, -s y_pred)), s being 1 where `y_true` > 0 and -1 elsewhere.

    Use: two classes told apart by the sign of a score. Without a margin scores may stay near 0, and
    scores of 0 are a minimum: `hinge` asks for a margin.

    Shapes: (..., d) for both; values (...), in units of the score. At 0 the derivative is -s/2,
    the middle of its two sides. Labels are -1 or 1, or 0 or 1.
    Raises ValueError for shapes that do not fit.
    Source: Rosenblatt (1958), Psychological Review 65(6).

    >>> print(perceptron([[-1.0, 1.0]], [[3.0, 0.5]]))
    [1.5]
    """
    return _of_margin(_shortfall, "perceptron", y_true, y_pred)


def _shortfall(m: Array) -> Array:
    return floored(0.0, -m)


class Perceptron(Loss):
    fn = perceptron
    couples = "none"
    domain = "sign"


def soft_margin(y_true: Input, y_pred: Input) -> Array:
    """mean(log(1 + exp(-s y_pred))), s being 1 where `y_true` > 0 and -1 elsewhere.

    Use: logistic regression with labels -1 and 1: `binary_crossentropy` of the logits `y_pred` and
    labels 0 and 1 is the same.

    Shapes: (..., d) for both; values (...), in nats. Labels are -1 or 1, or 0 or 1.
    Raises ValueError for shapes that do not fit.
    Source: Cox (1958), Journal of the Royal Statistical Society B 20(2).

    >>> print(soft_margin([[-1.0, 1.0]], [[0.0, 2.0]]).round(4))
    [0.41]
    """
    y_true, y_pred = check.pair("soft_margin", y_true, y_pred)
    return settle(mean(_logistic(y_true, y_pred), -1))


@elementwise()
def _logistic(t: Array, p: Array) -> Array:
    t = _is_positive(t)
    return binary_cross_entropy(t, 1 - t, p)


class SoftMargin(Loss):
    fn = soft_margin
    couples = "none"
    domain = "sign"


def exponential(y_true: Input, y_pred: Input) -> Array:
    """mean(exp(-s y_pred)), s being 1 where `y_true` > 0 and -1 elsewhere.

    Use: boosting, whose loss it is. Not with wrong labels, nor where a score may be large and
    wrong: the loss of -89 is infinite in float32, and `soft_margin` has the same minimum.

    Shapes: (..., d) for both; values (...), no less than 0. Labels are -1 or 1, or 0 or 1.
    Raises ValueError for shapes that do not fit.
    Source: Freund and Schapire (1997), Journal of Computer and System Sciences 55(1).

    >>> print(exponential([[-1.0, 1.0]], [[0.0, 2.0]]).round(4))
    [0.5677]
    """
    return _of_margin(_decay, "exponential", y_true, y_pred)


@partials(lambda dm, out, m: dm * -finite(out))
def _decay(m: Array) -> Array:
    return jnp.exp(-m)


class Exponential(Loss):
    fn = exponential
    couples = "none"
    domain = "sign"


def modified_huber(y_true: Input, y_pred: Input) -> Array:
    """mean of max(0, 1 - m)² where m ≥ -1, and -4m below; m = y_pred, or -y_pred for label -1.

    Use: as `squared_hinge`, with a pull that stays bounded where a label is wrong.

    Shapes: (..., d) for both; values (...). Labels are -1 or 1, or 0 or 1: what is not above 0
    is -1. The derivative is continuous, between -4 and 4.
    Raises ValueError for shapes that do not fit.
    Source: Zhang (2004), Annals of Statistics 32(1), 56-85.

    >>> print(modified_huber([[-1.0, 1.0]], [[3.0, 0.0]]))
    [6.5]
    """
    return _of_margin(_bounded_square, "modified_huber", y_true, y_pred)


def _bounded_square(m: Array) -> Array:
    return 2 * huber_curve(floored(0.0, 1 - m), jnp.asarray(2, m.dtype))


class ModifiedHuber(Loss):
    fn = modified_huber
    couples = "none"
    domain = "sign"


# --- several classes ----------------------------------------------------------------------------


def multi_margin(
    y_true: Input,
    y_pred: Input,
    *,
    margin: Hyper = 1.0,
    power: int = 1,
    class_weight: Hyper = 1.0,
) -> Array:
    """w_y mean(max(0, margin + z - z_y)^power over the classes but y), y = `y_true`, z = `y_pred`.

    Use: several classes told apart by their scores, with a margin. Every class within the margin
    has a gradient; for the strongest rival alone take `categorical_hinge`.

    The mean divides by the number of all classes, y included (Weston and Watkins have the sum).
    `margin` ≥ 0; `power` is a whole number, 1 or more; `class_weight` ≥ 0 is a number, or one for
    each class, and weighs the loss of a sample of that class.
    Shapes: labels (...) or (..., 1), integers, and scores (..., classes); values (...), in units
    of the score to that power. A label out of range has the loss 0 and the derivative 0.
    Raises ValueError for other shapes and for numbers out of range.
    Source: Weston and Watkins (1999), ESANN, eq. 4.

    >>> print(multi_margin([0], [[1.0, 0.5, -2.0, 3.0]]))
    [0.875]
    """
    where = "multi_margin"
    check.within(where, "margin", margin, "[0, inf)")
    power = check.whole(where, "power", power, 1)
    z = check.prediction(where, y_pred)
    check.class_axis(where, z, -1)
    labels = check.aligned_labels(where, y_true, z, -1)
    weight = check.of_classes(where, "class_weight", class_weight, z.shape[-1], z.dtype)
    picked, exists = pick(z, labels, -1)
    z, margin = guarded(z, exists[..., None]), jnp.asarray(margin, z.dtype)
    total = jnp.sum(_excess(power, z, picked[..., None], margin), -1)
    # The term of y itself, which the sum has to the last digit: no mask is needed.
    rivals = total - floored(0.0, margin) ** power
    values = settle(xmuly(weight_of(labels, weight), rivals / max(1, z.shape[-1])))
    return jnp.where(exists, values, 0)


@elementwise(static=1)
def _excess(power: int, z: Array, own: Array, margin: Array) -> Array:
    return _beyond(z, own, margin) ** power


def _beyond(z: Array, own: Array, margin: Array) -> Array:
    return floored(0.0, (bounded(z) - bounded(own)) + margin)


class MultiMargin(Loss):
    fn = multi_margin
    couples = "none"
    domain = "label logits"
    margin: Hyper = leaf(default=1.0, interval="[0, inf)", kw_only=True)
    power: int = static(default=1, types=(int,), kw_only=True)
    class_weight: Hyper = leaf(default=1.0, interval="[0, inf)", kw_only=True)


def multi_label_margin(y_true: Input, y_pred: Input, *, margin: Hyper = 1.0) -> Array:
    """Σ t_j (1 - t_i) max(0, margin + z_i - z_j) / classes over i, j; t = `y_true`, z = `y_pred`.

    Use: several labels of which each is to have a higher score than all that do not hold. It takes
    classes² steps a sample. For labels on their own take `binary_crossentropy`.

    `margin` ≥ 0. Labels are 1 where they hold and 0 elsewhere (torch takes their numbers).
    Shapes: (..., classes) for both; values (...), in units of the score.
    Raises ValueError for unequal shapes and for a margin out of range.
    Source: Crammer and Singer (2003), JMLR 3, section 3, with the sum in place of the largest.

    >>> print(multi_label_margin([[1.0, 1.0, 0.0, 0.0]], [[2.0, 0.5, 0.0, 1.0]]).round(4))
    [0.5]
    """
    where = "multi_label_margin"
    check.within(where, "margin", margin, "[0, inf)")
    t, z = check.same_shape(where, y_true, y_pred)
    pairs = (t[..., None, :], t[..., None], z[..., None, :], z[..., None])
    terms = _misplaced(*pairs, jnp.asarray(margin, z.dtype))
    return settle(jnp.sum(mean(terms, -1), -1))


@elementwise(written=True)
def _misplaced(t: Array, own_t: Array, z: Array, own: Array, margin: Array) -> Array:
    return xmuly(own_t * (1 - t), _beyond(z, own, margin))


class MultiLabelMargin(Loss):
    fn = multi_label_margin
    couples = "none"
    domain = "binary logits"
    margin: Hyper = leaf(default=1.0, interval="[0, inf)", kw_only=True)
