"""Margin losses on scores."""

from typing import ClassVar

from jax import numpy as jnp

from lossjax.core import check, reduce
from lossjax.core.loss import Loss
from lossjax.core.reduce import Inputs
from lossjax.core.types import Array, Input
from lossjax.math.elementwise import floored, mean, xmuly
from lossjax.math.fusion import again, elementwise, looped, partials, settle
from lossjax.math.largest import largest_of

__all__ = [
    "CategoricalHinge",
    "Hinge",
    "SquaredHinge",
    "categorical_hinge",
    "hinge",
    "squared_hinge",
]


def _shortfall(
    power: int, name: str, y_true: Input, y_pred: Input, where: Array | None = None
) -> Array:
    """mean(max(1 - y_true y_pred, 0)^power), with labels 0 and 1 read as -1 and 1.

    `where` are the labels by which it is decided whether they are to be read so.
    """
    y_true, y_pred = check.pair(name, y_true, y_pred, narrow=True)
    # t² - t is 0 for labels 0 and 1 alone
    (t,) = again(y_true if where is None else jnp.where(where, y_true, 1)).arrays
    binary = jnp.max(looped(jnp.abs(t * t - t)), initial=0) == 0
    values = mean(_hinge(power, y_true, y_pred, binary.astype(t.dtype)), -1)
    # 1 - 1 * -inf is counted as the largest number; its square overflows by itself.
    return settle(values) if power == 1 else values


@elementwise(static=1)
def _hinge(power: int, t: Array, p: Array, binary: Array) -> Array:
    score = xmuly(t * (1 + binary) - binary, p)
    return floored(0.0, 1 - score) if power == 1 else _squared_part(1 - score)


def _squared_part_by_x(dx: Array, _: Array, x: Array) -> Array:
    m = floored(0.0, x)
    return dx * m + dx * m  # 2 m overflows where m is the largest number


@partials(_squared_part_by_x)
def _squared_part(x: Array) -> Array:
    """max(0, x)²."""
    m = floored(0.0, x)
    return m * m


def hinge(y_true: Input, y_pred: Input) -> Array:
    """mean(max(1 - y_true y_pred, 0)), labels being -1 or 1.

    Use: two classes told apart by the sign of a score, with a margin. A sample beyond the margin
    has no gradient. For probabilities take `binary_crossentropy`.

    If every entry of the whole `y_true` is 0 or 1, it is read as -1 or 1; one other entry
    anywhere turns that off (so it does in Keras).
    Shapes: (..., d) for both; values (...), in units of the margin. On the margin the derivative
    is the middle of its two sides.
    Raises ValueError for shapes that do not fit.
    Source: Cortes & Vapnik (1995), Machine Learning 20; equal to `keras.losses.hinge`.

    >>> print(hinge([[0.0, 1.0]], [[0.5, 0.5]]))
    [1.]
    """
    return _shortfall(1, "hinge", y_true, y_pred)


class _Margin(Loss):
    power: ClassVar[int]
    widens = True

    def call(self, y_true: Array, y_pred: Array, where: Array | None = None) -> Array:
        return _shortfall(self.power, self._declared.fn.__name__, y_true, y_pred, where)

    def _weighed(self, inputs: Inputs) -> Inputs:
        """A label that does not count does not decide how the others are read."""
        name, shape, t = type(self).__name__, self._shape(inputs), inputs.y_true
        like = check.joint_shape(t.shape, inputs.y_pred.shape)
        where = jnp.ones((), bool)
        if inputs.mask is not None:
            alive = reduce.alive(name, shape, None, inputs.mask)
            rows = reduce.entries(alive, t.shape, -1, like)
            where = where if rows is None else rows
        if inputs.weight is not None:  # of a weight of 0, only one that is not finite
            alive = reduce.alive(name, shape, inputs.weight, None)
            rows = reduce.entries(alive, t.shape, -1, like)
            where = where if rows is None else where & (rows | jnp.isfinite(t))
        return super()._weighed(inputs._replace(where=where))


class Hinge(_Margin):
    fn = hinge
    power = 1
    couples = "none"
    domain = "sign"


def squared_hinge(y_true: Input, y_pred: Input) -> Array:
    """mean(max(1 - y_true y_pred, 0)²), labels being -1 or 1.

    Use: as `hinge`, with a gradient that is continuous on the margin. Not with wrong labels, whose
    pull grows with the score.

    Labels 0 and 1, shapes and errors as `hinge`; values in units of the margin squared.
    Source: equal to `keras.losses.squared_hinge`.

    >>> print(squared_hinge([[0.0, 1.0]], [[0.5, 0.5]]))
    [1.25]
    """
    return _shortfall(2, "squared_hinge", y_true, y_pred)


class SquaredHinge(_Margin):
    fn = squared_hinge
    power = 2
    couples = "none"
    domain = "sign"


def categorical_hinge(y_true: Input, y_pred: Input) -> Array:
    """max(0, 1 + max((1 - y_true) y_pred) - Σ y_true y_pred), for one-hot `y_true`.

    Use: several classes told apart by their scores, with a margin. Only the true class and its
    strongest rival have a gradient. For probabilities take `categorical_crossentropy`.

    The zeroed score of the true class takes part in the inner maximum, as in Keras.
    Shapes: (..., classes) for both; values (...). Ties share the derivative. A class that does
    not take part may have an infinite score; Keras has NaN there.
    Raises ValueError for shapes that do not fit.
    Source: Crammer & Singer (2001), JMLR 2; equal to `keras.losses.categorical_hinge`.

    >>> print(categorical_hinge([[1.0, 0.0]], [[0.5, 2.0]]))
    [2.5]
    """
    y_true, y_pred = check.pair("categorical_hinge", y_true, y_pred)
    positive = jnp.sum(looped(xmuly(y_true, y_pred)), -1)
    rival = largest_of(_rivalry, -1, *jnp.broadcast_arrays(y_true, y_pred))
    return floored(0.0, settle(1 + rival - positive))


def _rivalry(t: Array, p: Array) -> Array:
    return xmuly(1 - t, p)


class CategoricalHinge(Loss):
    fn = categorical_hinge
    couples = "none"
    domain = "score"
