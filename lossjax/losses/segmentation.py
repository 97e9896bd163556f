"""Losses of the overlap of two regions."""

from typing import Any

from jax import numpy as jnp

from lossjax.core import check
from lossjax.core.loss import Loss, leaf, static
from lossjax.core.types import (
    AXIS_NAME_TYPES,
    AXIS_TYPES,
    IGNORED_TYPES,
    Array,
    Axis,
    AxisName,
    Hyper,
    Ignored,
    Input,
)
from lossjax.math import overlap
from lossjax.math.elementwise import EPSILON

__all__ = ["Dice", "Tversky", "dice", "tversky"]


def dice(
    y_true: Input,
    y_pred: Input,
    axis: Axis = None,
    *,
    ignore_class: Ignored = None,
    where: Input | None = None,
    axis_name: AxisName = None,
) -> Array:
    """1 - 2 Σtp / (Σt + Σp + 1e-7), with t = `y_true`, p = `y_pred` and sums over `axis`.

    Use: segmentation where the region is a small part of the picture. An empty region has the loss
    1 and no gradient, whatever is predicted: where there are such, add a cross-entropy.

    Shapes: equal; values without the axes `axis`. axis=None sums over everything, the batch
    included, and gives a scalar. Range: 0 (equal binary regions) to 1 (no overlap, also where both
    are empty).
    `where` tells which entries are summed, or with which weight; `ignore_class` are the entries of
    `y_true` that are not. Its shape is that of the inputs, or of their first axes. To the class it
    comes as mask and weights: a mask that fits the values masks values, as in Keras, any other is
    `where`, and a value of no entry does not count; weights are `where` if they have the shape of
    the inputs, and else weigh the values, a scalar by their mean.
    Inside `shard_map`, `axis_name` is the axis of the mesh, or a tuple of them, over which the
    first axis of the inputs is spread: sums over it are those of all devices.
    Raises ValueError for shapes that do not fit.
    Source: Milletari et al. (2016), arXiv:1606.04797, with unsquared sums below; equal to
    `keras.losses.dice`.

    >>> print(dice([[1.0, 0.0], [1.0, 1.0]], [[1.0, 1.0], [0.0, 0.0]], axis=-1).round(4))
    [0.3333 1.    ]
    """
    check.axis_name("dice", axis_name)
    y_true, y_pred = check.pair("dice", y_true, y_pred)
    regions = overlap.regions("dice", y_true, y_pred, ignore_class, where)
    return _dice(overlap.sizes(regions, axis, axis_name))


def _dice(sums: overlap.Sums) -> Array:
    return 1 - 2 * sums.overlap / (sums.first + sums.second + EPSILON)


class _Overlap(Loss):
    """With the batch among the axes `axis` it is made of sums over the batch."""

    couples = "sums"
    domain = "region"
    axis: Axis = static(default=None, types=AXIS_TYPES, kw_only=True)
    ignore_class: Ignored = static(default=None, types=IGNORED_TYPES, kw_only=True, beyond=True)
    axis_name: AxisName = static(default=None, types=AXIS_NAME_TYPES, kw_only=True, beyond=True)

    def regions(self, y_true: Any, y_pred: Any, where: Array | None) -> overlap.Regions:
        name = self._declared.fn.__name__
        y_true, y_pred = check.pair(name, y_true, y_pred, align=True)
        return overlap.regions(name, y_true, y_pred, self.ignore_class, where)


class Dice(_Overlap):
    fn = dice

    def sums(self, y_true: Any, y_pred: Any, where: Array | None = None) -> overlap.Sums:
        return overlap.sizes(self.regions(y_true, y_pred, where), self.axis)

    def from_sums(self, sums: overlap.Sums) -> Any:
        value = _dice(sums)
        return value if sums.counted is None else (value, sums.counted)


def tversky(
    y_true: Input,
    y_pred: Input,
    alpha: Hyper = 0.5,
    beta: Hyper = 0.5,
    axis: Axis = None,
    *,
    ignore_class: Ignored = None,
    where: Input | None = None,
    axis_name: AxisName = None,
) -> Array:
    """1 - Σtp / (Σtp + alpha Σt(1-p) + beta Σp(1-t) + 1e-7), with sums over `axis`.

    Use: segmentation where misses and false alarms differ in cost. A larger `alpha` finds more of
    the region, a larger `beta` marks less beside it. Empty regions as in `dice`.

    So in Keras 3.15 and here `alpha` weighs the missed part of the region and `beta` the false
    alarms. Keras's unreleased head exchanges the two, as in the paper.
    Shapes, values, `where`, `ignore_class`, `axis_name` and masks as `dice`, which
    alpha = beta = 0.5 gives.
    Raises ValueError for shapes that do not fit and for a negative alpha or beta.
    Source: Salehi et al. (2017), arXiv:1706.05721; equal to `keras.losses.tversky` 3.15.

    >>> print(tversky([1.0, 1.0, 0.0], [1.0, 0.0, 0.0], alpha=1.0, beta=0.0).round(4))
    0.5
    """
    check.within("tversky", "alpha", alpha, "[0, inf)")
    check.within("tversky", "beta", beta, "[0, inf)")
    check.axis_name("tversky", axis_name)
    y_true, y_pred = check.pair("tversky", y_true, y_pred)
    regions = overlap.regions("tversky", y_true, y_pred, ignore_class, where)
    return _tversky(overlap.misses(regions, axis, axis_name), alpha, beta)


def _tversky(sums: overlap.Sums, alpha: Hyper, beta: Hyper) -> Array:
    both, missed, false, _ = sums
    alpha, beta = jnp.asarray(alpha, both.dtype), jnp.asarray(beta, both.dtype)
    return 1 - both / (both + alpha * missed + beta * false + EPSILON)


class Tversky(_Overlap):
    fn = tversky
    alpha: Hyper = leaf(default=0.5, interval="[0, inf)")
    beta: Hyper = leaf(default=0.5, interval="[0, inf)")

    def sums(self, y_true: Any, y_pred: Any, where: Array | None = None) -> overlap.Sums:
        return overlap.misses(self.regions(y_true, y_pred, where), self.axis)

    def from_sums(self, sums: overlap.Sums) -> Any:
        value = _tversky(sums, self.alpha, self.beta)
        return value if sums.counted is None else (value, sums.counted)
