"""Losses of the overlap of two regions."""

import dataclasses
from typing import Any, TypeAlias

import jax
from jax import numpy as jnp

from lossjax import _check, _numerics, _reduce
from lossjax._base import Loss, leaf, static
from lossjax._fusion import elementwise
from lossjax._reduce import Total
from lossjax._types import AXIS_TYPES, Array, Axis, Hyper, Input

__all__ = ["Dice", "Tversky", "dice", "tversky"]

Sums: TypeAlias = tuple[Array, Array, Array]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class OverlapTotal:
    """A `Total` for a ratio of sums over the batch: sums are added, the ratio comes last."""

    sums: Sums
    weight: Total | None
    loss: "_Overlap"

    def __add__(self, other: "OverlapTotal") -> "OverlapTotal":
        if not isinstance(other, OverlapTotal):
            return NotImplemented
        sums, weight = jax.tree.map(jnp.add, (self.sums, self.weight), (other.sums, other.weight))
        return OverlapTotal(sums, weight, self.loss)

    def __radd__(self, zero: int) -> "OverlapTotal":
        """So that the builtin `sum(totals)` works: it starts from 0."""
        return self if zero == 0 else NotImplemented

    def result(self) -> Array:
        value = self.loss.ratio(self.sums)
        if self.weight is not None:
            return value * self.weight.result()
        return _reduce.reduce("Total", value, None, None, self.loss.reduction)


class _Overlap(Loss):
    """1 - a ratio of sums over `axis`; with the batch among the axes it is no mean over samples."""

    axis: Axis = static(default=None, types=AXIS_TYPES, kw_only=True)

    def sums(self, y_true: Array, y_pred: Array) -> Sums:
        raise NotImplementedError

    def ratio(self, sums: Sums) -> Array:
        raise NotImplementedError

    def without(
        self,
        rows: Array,
        y_true: Any,
        y_pred: Any,
        sample_weight: Input | None = None,
        mask: Input | None = None,
    ) -> tuple[Any, Any, Any, Any]:
        if not self._is_of_batch(jnp.ndim(y_pred)):
            return super().without(rows, y_true, y_pred, sample_weight, mask)
        # No mask reaches the sums over the batch, but zeros in both regions add nothing to them.
        y_true, y_pred = (
            jnp.where(_reduce.leading(rows, jnp.ndim(y)), y, 0) for y in (y_true, y_pred)
        )
        if sample_weight is None and mask is None:
            return y_true, y_pred, None, None
        kept = jnp.asarray(sample_weight if mask is None else mask)
        shape = kept.shape
        kept = jnp.ones(shape, bool) if mask is None else kept.astype(bool)
        kept &= _reduce.leading(rows, len(shape)) if shape else True
        return y_true, y_pred, sample_weight, kept

    def _is_of_batch(self, ndim: int) -> bool:
        axes = (self.axis,) if isinstance(self.axis, int) else self.axis
        return axes is None or 0 in [axis % ndim for axis in axes]

    def total(
        self,
        y_true: Any,
        y_pred: Any,
        sample_weight: Input | None = None,
        mask: Input | None = None,
    ) -> Any:
        where = type(self).__name__
        t, p, weight, mask = self._prepare(y_true, y_pred, sample_weight, mask)
        t, p = _check.pair(where, t, p, align=True)
        if not self._is_of_batch(p.ndim):
            return super().total(y_true, y_pred, sample_weight, mask)
        if self.reduction in (None, "none"):
            raise ValueError(f"{where}: total() needs a reduction, got {self.reduction!r}.")
        factor = None
        if weight is not None or mask is not None:
            if self.axis is not None:
                raise ValueError(
                    f"{where}: totals with weights or a mask need axis=None or an axis that "
                    f"leaves the batch out, got axis={self.axis}."
                )
            shape = max((x.shape for x in (weight, mask) if x is not None), key=len)
            ones = jnp.ones(shape, p.dtype)
            if shape:
                factor = _reduce.total(where, ones, weight, mask, self.reduction)
            else:  # one weight for all: a factor, whatever the reduction
                factor = Total(_reduce.reduce(where, ones, weight, mask, None), ones)
        return OverlapTotal(self.sums(t, p), factor, self)


def dice(y_true: Input, y_pred: Input, axis: Axis = None) -> Array:
    """1 - 2 Σtp / (Σt + Σp + 1e-7), with t = `y_true`, p = `y_pred` and sums over `axis`.

    Use: segmentation where the region is a small part of the picture. An empty region has the loss
    1 and no gradient, whatever is predicted: where there are such, add a cross-entropy.

    Shapes: equal; values without the axes `axis`. axis=None sums over everything, the batch
    included, and gives a scalar; weights then multiply it by their mean. Range: 0 (equal binary
    regions) to 1 (no overlap, also where both are empty).
    Raises ValueError for shapes that do not fit.
    Source: Milletari et al. (2016), arXiv:1606.04797, with unsquared sums below; equal to
    `keras.losses.dice`.

    >>> print(dice([[1.0, 0.0], [1.0, 1.0]], [[1.0, 1.0], [0.0, 0.0]], axis=-1).round(4))
    [0.3333 1.    ]
    """
    return _dice_ratio(_dice_sums(*_check.pair("dice", y_true, y_pred), axis))


def _dice_sums(t: Array, p: Array, axis: Axis) -> Sums:
    return jnp.sum(t * p, axis), jnp.sum(t, axis), jnp.sum(p, axis)


def _dice_ratio(sums: Sums) -> Array:
    overlap, truth, prediction = sums
    return 1 - 2 * overlap / (truth + prediction + _numerics.EPSILON)


class Dice(_Overlap):
    fn = dice
    domain = "region"

    def sums(self, y_true: Array, y_pred: Array) -> Sums:
        return _dice_sums(y_true, y_pred, self.axis)

    def ratio(self, sums: Sums) -> Array:
        return _dice_ratio(sums)


def tversky(
    y_true: Input, y_pred: Input, alpha: Hyper = 0.5, beta: Hyper = 0.5, axis: Axis = None
) -> Array:
    """1 - Σtp / (Σtp + alpha Σt(1-p) + beta Σp(1-t) + 1e-7), with sums over `axis`.

    Use: segmentation where misses and false alarms differ in cost. A larger `alpha` finds more of
    the region, a larger `beta` marks less beside it. Empty regions as in `dice`.

    So in Keras 3.15 and here `alpha` weighs the missed part of the region and `beta` the false
    alarms. Keras's unreleased head exchanges the two, as in the paper.
    Shapes and values as `dice`, which alpha = beta = 0.5 gives.
    Raises ValueError for shapes that do not fit and for a negative alpha or beta.
    Source: Salehi et al. (2017), arXiv:1706.05721; equal to `keras.losses.tversky` 3.15.

    >>> print(tversky([1.0, 1.0, 0.0], [1.0, 0.0, 0.0], alpha=1.0, beta=0.0).round(4))
    0.5
    """
    _check.within("tversky", "alpha", alpha, "[0, inf)")
    _check.within("tversky", "beta", beta, "[0, inf)")
    y_true, y_pred = _check.pair("tversky", y_true, y_pred)
    return _tversky_ratio(_tversky_sums(y_true, y_pred, axis), alpha, beta)


def _tversky_sums(t: Array, p: Array, axis: Axis) -> Sums:
    return jnp.sum(t * p, axis), jnp.sum(_outside(t, p), axis), jnp.sum(_outside(p, t), axis)


@elementwise()
def _outside(a: Array, b: Array) -> Array:
    return a * (1 - b)


def _tversky_ratio(sums: Sums, alpha: Hyper, beta: Hyper) -> Array:
    overlap, missed, false = sums
    alpha, beta = jnp.asarray(alpha, overlap.dtype), jnp.asarray(beta, overlap.dtype)
    return 1 - overlap / (overlap + alpha * missed + beta * false + _numerics.EPSILON)


class Tversky(_Overlap):
    fn = tversky
    domain = "region"
    alpha: Hyper = leaf(default=0.5, interval="[0, inf)")
    beta: Hyper = leaf(default=0.5, interval="[0, inf)")

    def sums(self, y_true: Array, y_pred: Array) -> Sums:
        return _tversky_sums(y_true, y_pred, self.axis)

    def ratio(self, sums: Sums) -> Array:
        return _tversky_ratio(sums, self.alpha, self.beta)
