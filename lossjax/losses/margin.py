"""Losses of the margin by which a score, or the score of a class, is on the right side."""

from collections.abc import Callable

from jax import lax
from jax import numpy as jnp

from lossjax.core import check
from lossjax.core.loss import Loss
from lossjax.core.types import Array, Input
from lossjax.math.elementwise import finite, floored, huber_curve, mean
from lossjax.math.entropy import binary_cross_entropy
from lossjax.math.fusion import at_least, elementwise, partials, settle, step

__all__ = [
    "Exponential",
    "ModifiedHuber",
    "Perceptron",
    "SoftMargin",
    "exponential",
    "modified_huber",
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
