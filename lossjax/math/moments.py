"""Weighted sums over the entries of a batch, which merge, and the means they amount to."""

from typing import NamedTuple

import jax
from jax import numpy as jnp

from lossjax.core import check
from lossjax.core.types import Array, Axis, AxisName, Input
from lossjax.math import across
from lossjax.math.elementwise import quotient
from lossjax.math.fusion import bounded


class Entries(NamedTuple):
    """With the weights of what there is; None: all count alike."""

    true: Array
    pred: Array
    error: Array
    weight: Array | None


class Sums(NamedTuple):
    """Of the weights, and of some quantities times these; `counted`: whether any entry counts."""

    weight: Array
    parts: tuple[Array, ...]
    counted: Array | None


def entries(name: str, y_true: Array, y_pred: Array, where: Input | None) -> Entries:
    """Of inputs that fit. What does not count becomes 0."""
    shape = jnp.broadcast_shapes(y_true.shape, y_pred.shape)
    t, p = (jnp.broadcast_to(y, shape) for y in (y_true, y_pred))
    if where is None:
        return Entries(t, p, p - t, None)
    weight = jnp.broadcast_to(check.entries(name, "where", where, shape), shape)
    kept = weight.astype(bool)
    if weight.dtype != bool:  # a weight of 0 may be differentiated
        kept |= jnp.isfinite(t + p)
    t, p = jnp.where(kept, t, 0), jnp.where(kept, p, 0)
    return Entries(t, p, p - t, weight.astype(p.dtype))


def sums(e: Entries, axis: Axis, axis_name: AxisName, *quantities: Array) -> Sums:
    """Over `axis`; with the batch among these axes, those of all devices of `axis_name`."""
    if e.weight is None:
        parts = tuple(jnp.sum(x, axis) for x in quantities)
        count = e.pred.size // max(1, parts[0].size)
        found = Sums(jnp.full(parts[0].shape, count, parts[0].dtype), parts, None)
    else:
        weighed = tuple(jnp.sum(e.weight * x, axis) for x in (jnp.ones_like(e.pred), *quantities))
        found = Sums(weighed[0], weighed[1:], jnp.any(e.weight != 0, axis))
    has_rows = across.has_rows(axis, e.pred.ndim)
    return across.summed(found, axis_name if has_rows else None)


def means(s: Sums) -> list[Array]:
    """Of the quantities; 0 where nothing counts."""
    return [quotient(x, jnp.where(s.weight == 0, jnp.inf, s.weight)) for x in s.parts]


def mean(x: Array, e: Entries, axis: Axis, axis_name: AxisName) -> Array:
    """Of a quantity, of the shape that broadcasts to it, without derivative."""
    (found,) = means(sums(e, axis, axis_name, x))
    return jax.lax.stop_gradient(jnp.expand_dims(found, _axes(axis, x.ndim)))


def standardised(e: Entries, axis: Axis, axis_name: AxisName) -> Entries:
    """From the mean of the truth, in units of the largest distance to it: constants."""
    centre = mean(e.true, e, axis, axis_name)
    t, p = bounded(e.true) - centre, bounded(e.pred) - centre
    top = jnp.max(jnp.maximum(jnp.abs(t), jnp.abs(p)), axis, keepdims=True, initial=0)
    has_rows = across.has_rows(axis, e.pred.ndim)
    top = across.largest(jax.lax.stop_gradient(top), axis_name if has_rows else None)
    unit = jnp.where(top == 0, 1, jnp.minimum(top, 1e37))  # 1 over larger ones would be denormal
    is_tiny = top < 1e8 * float(jnp.finfo(top.dtype).tiny)  # derivatives would overflow: they are 0
    t, p, error = (
        jnp.where(is_tiny, jax.lax.stop_gradient(x), x) / unit for x in (t, p, bounded(e.error))
    )
    return Entries(t, p, error, e.weight)


def _axes(axis: Axis, ndim: int) -> tuple[int, ...]:
    return tuple(range(ndim)) if axis is None else (axis,) if isinstance(axis, int) else axis
