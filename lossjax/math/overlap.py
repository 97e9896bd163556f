"""Sums over two regions, the true and the predicted one: what ratios of overlaps are made of."""

from typing import NamedTuple

from jax import numpy as jnp

from lossjax.core import check
from lossjax.core.types import Array, Axis, AxisName, Ignored, Input
from lossjax.math import across
from lossjax.math.fusion import elementwise


class Regions(NamedTuple):
    """The truth and the prediction, both with the weights of their entries, and what counts."""

    true: Array
    predicted: Array
    weighed_true: Array
    weighed_predicted: Array
    counts: Array | None


class Sums(NamedTuple):
    """Of the overlap and of two more; `counted` tells whether any entry counts, None: all do."""

    overlap: Array
    first: Array
    second: Array
    counted: Array | None


def regions(
    name: str, y_true: Array, y_pred: Array, ignore_class: Ignored, where: Input | None
) -> Regions:
    """Of inputs that fit. Entries that do not count are 0 in every sum, whatever they hold."""
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
    # Finite numbers stay: a weight of 0 may be differentiated.
    t, p = (jnp.where(counts | jnp.isfinite(y), y, 1) for y in (t, p))
    return Regions(t, p, weight * t, weight * p, counts)


def sizes(r: Regions, axis: Axis, axis_name: AxisName = None) -> Sums:
    """Σtp, Σt and Σp; with the batch among the axes `axis`, those of all devices of `axis_name`."""
    first, second = jnp.sum(r.weighed_true, axis), jnp.sum(r.weighed_predicted, axis)
    return _sums(r, first, second, axis, axis_name)


def misses(r: Regions, axis: Axis, axis_name: AxisName = None) -> Sums:
    """As `sizes`, of Σtp, Σt(1-p), what is missed of the region, and Σp(1-t), the false alarms."""
    missed = jnp.sum(_outside(r.weighed_true, r.predicted), axis)
    false = jnp.sum(_outside(r.weighed_predicted, r.true), axis)
    return _sums(r, missed, false, axis, axis_name)


@elementwise()
def _outside(a: Array, b: Array) -> Array:
    return a * (1 - b)


def _sums(r: Regions, first: Array, second: Array, axis: Axis, axis_name: AxisName) -> Sums:
    products, counted = r.weighed_true * r.predicted, None
    overlap = jnp.sum(products, axis)
    if r.counts is not None:
        counted = jnp.broadcast_to(jnp.any(r.counts, axis), overlap.shape)
    has_rows = across.has_rows(axis, products.ndim)
    return across.summed(Sums(overlap, first, second, counted), axis_name if has_rows else None)
