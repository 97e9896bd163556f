"""Losses of the overlap of two regions."""

import dataclasses
from typing import Any, NamedTuple

import jax
from jax import numpy as jnp

from lossjax.core import check, reduce
from lossjax.core.loss import Loss, leaf, static
from lossjax.core.reduce import Inputs, Total
from lossjax.core.types import AXIS_TYPES, IGNORED_TYPES, Array, Axis, Hyper, Ignored, Input
from lossjax.math.elementwise import EPSILON
from lossjax.math.fusion import elementwise

__all__ = ["Dice", "Tversky", "dice", "tversky"]


class Sums(NamedTuple):
    """What the ratio is made of; `counted` tells whether any entry counts, None: all do."""

    overlap: Array
    first: Array
    second: Array
    counted: Array | None


class Regions(NamedTuple):
    """The truth and the prediction, both with the weights of their entries, and what counts."""

    true: Array
    predicted: Array
    weighed_true: Array
    weighed_predicted: Array
    counts: Array | None


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

    def zero(self) -> "OverlapTotal":
        """The total of nothing, as `Total.zero`; the loss stays."""
        sums, weight = jax.tree.map(jnp.zeros_like, (self.sums, self.weight))
        return OverlapTotal(sums, weight, self.loss)

    def result(self) -> Array:
        value, counted = self.loss.ratio(self.sums), self.sums.counted
        if self.weight is not None:
            value = value if counted is None else jnp.where(counted, value, 0)
            return value * self.weight.result()
        return reduce.reduce("Total", value, None, counted, self.loss.reduction)


class _Overlap(Loss):
    """1 - a ratio of sums over `axis`; with the batch among the axes it is no mean over samples."""

    couples = "sums"
    axis: Axis = static(default=None, types=AXIS_TYPES, kw_only=True)
    ignore_class: Ignored = static(default=None, types=IGNORED_TYPES, kw_only=True, beyond=True)

    def sums(self, regions: Regions) -> Sums:
        raise NotImplementedError

    def ratio(self, sums: Sums) -> Array:
        raise NotImplementedError

    def call(self, y_true: Any, y_pred: Any, where: Array | None = None) -> Any:
        name = self._declared.fn.__name__
        y_true, y_pred = check.pair(name, y_true, y_pred, align=True)
        sums = self.sums(_regions(name, y_true, y_pred, self.ignore_class, where))
        value = self.ratio(sums)
        return value if sums.counted is None else (value, sums.counted)

    def _weighed(self, inputs: Inputs) -> Inputs:
        """A mask that is not one of the values, and weights for all entries, go into the sums."""
        t, p, _, weight, mask = inputs
        like = check.joint_shape(t.shape, p.shape)
        if like is None:
            return inputs  # which `call` refuses
        values, where = self._shape(inputs), None
        if mask is not None and not check.fit_values(values, mask):
            where = check.entries(type(self).__name__, "mask", mask, like)
            # Weights of rows then count where any entry of the row does.
            mask = None
            if weight is not None and weight.ndim and weight.shape != like:
                mask = jnp.any(where, tuple(range(weight.ndim, where.ndim)))
        if weight is not None and weight.shape == like != values:
            where = weight if where is None else jnp.where(where, weight, 0)
            weight = None
        rows = None
        if weight is not None and not values:
            rows = reduce.entries(weight.astype(bool), like, ())
        if rows is not None:  # of a weight of 0, entries that are not finite are not there
            t, p = (jnp.broadcast_to(y, like) for y in (t, p))
            kept = rows | jnp.isfinite(t + p)
            t, p = jnp.where(kept, t, 0), jnp.where(kept, p, 0)
        inputs = Inputs(t, p, where, weight, mask)
        return inputs if weight is None and mask is None else super()._weighed(inputs)

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
        shape = jnp.broadcast_shapes(jnp.shape(y_true), jnp.shape(y_pred))
        kept = reduce.leading(rows, len(shape))
        if mask is not None:
            kept &= check.entries(type(self).__name__, "mask", mask, shape).astype(bool)
        return y_true, y_pred, sample_weight, jnp.broadcast_to(kept, shape)

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
        name = type(self).__name__
        t, p, where, weight, kept = self._prepare(y_true, y_pred, sample_weight, mask)
        t, p = check.pair(name, t, p, align=True)
        if not self._is_of_batch(p.ndim):
            return super().total(y_true, y_pred, sample_weight, mask)
        if self.reduction in (None, "none"):
            raise ValueError(f"{name}: total() needs a reduction, got {self.reduction!r}.")
        factor = None
        if weight is not None or kept is not None:
            if self.axis is not None:
                raise ValueError(
                    f"{name}: totals with weights or a mask of the values need axis=None or an "
                    f"axis that leaves the batch out, got axis={self.axis}."
                )
            shape = max((x.shape for x in (weight, kept) if x is not None), key=len)
            ones = jnp.ones(shape, p.dtype)
            if shape:
                factor = reduce.total(name, ones, weight, kept, self.reduction)
            else:  # one weight for all: a factor, whatever the reduction
                factor = Total(reduce.reduce(name, ones, weight, kept, None), ones)
        return OverlapTotal(self.sums(_regions(name, t, p, self.ignore_class, where)), factor, self)


def _regions(
    name: str, y_true: Array, y_pred: Array, ignore_class: Ignored, where: Input | None
) -> Regions:
    ignore_class = check.ignored(name, ignore_class)
    if ignore_class is None and where is None:
        return Regions(y_true, y_pred, y_true, y_pred, None)
    shape = jnp.broadcast_shapes(y_true.shape, y_pred.shape)
    t, p = (jnp.broadcast_to(y, shape) for y in (y_true, y_pred))
    weight = jnp.ones((1,) * len(shape), bool)
    if where is not None:
        weight = check.entries(name, "where", where, shape)
    if ignore_class is not None:
        weight = jnp.where(check.is_among(t, ignore_class), jnp.zeros_like(weight), weight)
    if weight.dtype == bool:  # what is 0 in both is in no sum
        t, p = jnp.where(weight, t, 0), jnp.where(weight, p, 0)
        return Regions(t, p, t, p, weight)
    counts, weight = weight.astype(bool), weight.astype(p.dtype)
    t, p = reduce.defused(t, counts), reduce.defused(p, counts)
    return Regions(t, p, weight * t, weight * p, counts)


def dice(
    y_true: Input,
    y_pred: Input,
    axis: Axis = None,
    *,
    ignore_class: Ignored = None,
    where: Input | None = None,
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
    Raises ValueError for shapes that do not fit.
    Source: Milletari et al. (2016), arXiv:1606.04797, with unsquared sums below; equal to
    `keras.losses.dice`.

    >>> print(dice([[1.0, 0.0], [1.0, 1.0]], [[1.0, 1.0], [0.0, 0.0]], axis=-1).round(4))
    [0.3333 1.    ]
    """
    regions = _regions("dice", *check.pair("dice", y_true, y_pred), ignore_class, where)
    return _dice_ratio(_dice_sums(regions, axis))


def _dice_sums(r: Regions, axis: Axis) -> Sums:
    overlap = jnp.sum(r.weighed_true * r.predicted, axis)
    sizes = jnp.sum(r.weighed_true, axis), jnp.sum(r.weighed_predicted, axis)
    return Sums(overlap, *sizes, _any(r.counts, axis, overlap.shape))


def _any(counts: Array | None, axis: Axis, shape: tuple[int, ...]) -> Array | None:
    return None if counts is None else jnp.broadcast_to(jnp.any(counts, axis), shape)


def _dice_ratio(sums: Sums) -> Array:
    overlap, truth, prediction, _ = sums
    return 1 - 2 * overlap / (truth + prediction + EPSILON)


class Dice(_Overlap):
    fn = dice
    domain = "region"

    def sums(self, regions: Regions) -> Sums:
        return _dice_sums(regions, self.axis)

    def ratio(self, sums: Sums) -> Array:
        return _dice_ratio(sums)


def tversky(
    y_true: Input,
    y_pred: Input,
    alpha: Hyper = 0.5,
    beta: Hyper = 0.5,
    axis: Axis = None,
    *,
    ignore_class: Ignored = None,
    where: Input | None = None,
) -> Array:
    """1 - Σtp / (Σtp + alpha Σt(1-p) + beta Σp(1-t) + 1e-7), with sums over `axis`.

    Use: segmentation where misses and false alarms differ in cost. A larger `alpha` finds more of
    the region, a larger `beta` marks less beside it. Empty regions as in `dice`.

    So in Keras 3.15 and here `alpha` weighs the missed part of the region and `beta` the false
    alarms. Keras's unreleased head exchanges the two, as in the paper.
    Shapes, values, `where`, `ignore_class` and masks as `dice`, which alpha = beta = 0.5 gives.
    Raises ValueError for shapes that do not fit and for a negative alpha or beta.
    Source: Salehi et al. (2017), arXiv:1706.05721; equal to `keras.losses.tversky` 3.15.

    >>> print(tversky([1.0, 1.0, 0.0], [1.0, 0.0, 0.0], alpha=1.0, beta=0.0).round(4))
    0.5
    """
    check.within("tversky", "alpha", alpha, "[0, inf)")
    check.within("tversky", "beta", beta, "[0, inf)")
    regions = _regions("tversky", *check.pair("tversky", y_true, y_pred), ignore_class, where)
    return _tversky_ratio(_tversky_sums(regions, axis), alpha, beta)


def _tversky_sums(r: Regions, axis: Axis) -> Sums:
    overlap = jnp.sum(r.weighed_true * r.predicted, axis)
    missed = jnp.sum(_outside(r.weighed_true, r.predicted), axis)
    false = jnp.sum(_outside(r.weighed_predicted, r.true), axis)
    return Sums(overlap, missed, false, _any(r.counts, axis, overlap.shape))


@elementwise()
def _outside(a: Array, b: Array) -> Array:
    return a * (1 - b)


def _tversky_ratio(sums: Sums, alpha: Hyper, beta: Hyper) -> Array:
    overlap, missed, false, _ = sums
    alpha, beta = jnp.asarray(alpha, overlap.dtype), jnp.asarray(beta, overlap.dtype)
    return 1 - overlap / (overlap + alpha * missed + beta * false + EPSILON)


class Tversky(_Overlap):
    fn = tversky
    domain = "region"
    alpha: Hyper = leaf(default=0.5, interval="[0, inf)")
    beta: Hyper = leaf(default=0.5, interval="[0, inf)")

    def sums(self, regions: Regions) -> Sums:
        return _tversky_sums(regions, self.axis)

    def ratio(self, sums: Sums) -> Array:
        return _tversky_ratio(sums, self.alpha, self.beta)
