"""Losses that are made of sums over the batch, which merge: what follows from couples="sums".

Such a loss declares `sums(y_true, y_pred, where=None)`, a pytree of arrays that add up over the
parts of a batch, and `from_sums(sums)`: the value, or `(value, mask)`. `where` tells which entries
count, or with which weight: it broadcasts to the inputs, and is (samples,) where these differ in
shape, as labels and scores do.
"""

import dataclasses
from typing import Any

import jax
from jax import numpy as jnp

from lossjax.core import check, reduce
from lossjax.core.reduce import Inputs, Total
from lossjax.core.types import Array, AxisName
from lossjax.math import across


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class SumsTotal:
    """A `Total` of sums over the batch: they are added, what is made of them comes last."""

    sums: Any
    weight: Total | None
    loss: Any

    def __add__(self, other: "SumsTotal") -> "SumsTotal":
        if not isinstance(other, SumsTotal):
            return NotImplemented
        sums, weight = jax.tree.map(_plus, (self.sums, self.weight), (other.sums, other.weight))
        return SumsTotal(sums, weight, self.loss)

    def __radd__(self, zero: int) -> "SumsTotal":
        """So that the builtin `sum(totals)` works: it starts from 0."""
        return self if zero == 0 else NotImplemented

    def zero(self) -> "SumsTotal":
        """The total of nothing, as `Total.zero`; the loss stays."""
        sums, weight = jax.tree.map(jnp.zeros_like, (self.sums, self.weight))
        return SumsTotal(sums, weight, self.loss)

    def result(self) -> Array:
        value, counted = _with_mask(self.loss.from_sums(self.sums))
        if self.weight is not None:
            value = value if counted is None else jnp.where(counted, value, 0)
            return value * self.weight.result()
        return reduce.reduce("Total", value, None, counted, self.loss.reduction)


def _plus(a: Array, b: Array) -> Array:
    return jnp.add(a, b)  # of what is true or false: or


def _with_mask(found: Any) -> tuple[Array, Array | None]:
    return found if isinstance(found, tuple) else (found, None)


def call(self: Any, y_true: Any, y_pred: Any, where: Array | None = None) -> Any:
    """The value that the sums amount to, or `(value, mask)`."""
    sums, axis_name = self.sums(y_true, y_pred, where=where), self._axis_name()
    if axis_name is not None and self._coupling(y_pred) == "sums":
        sums = across.summed(sums, axis_name)
    return self.from_sums(sums)


def weighed(loss: Any, inputs: Inputs) -> Inputs:
    """A mask that is not one of the values, and weights for all entries, go into the sums."""
    name, values = type(loss).__name__, loss._shape(inputs._replace(weight=None, mask=None))
    t, p, _, weight, mask = inputs
    like = None
    if isinstance(t, jax.Array) and isinstance(p, jax.Array):
        like = check.joint_shape(t.shape, p.shape)
    if like is None:
        there = reduce.who_counts(name, inputs)
        return inputs._replace(where=there, mask=there if values or weight is not None else None)
    where: Array | None = None
    if mask is not None and not check.fit_values(values, mask):
        where = check.entries(name, "mask", mask, like)
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
    return Inputs(t, p, where, weight, mask)


def without(loss: Any, rows: Array, y_true: Any, y_pred: Any, mask: Any) -> Array:
    """The mask of the entries that there are where the samples false in `rows` do not exist."""
    like = None
    if not any(map(_is_nested, (y_true, y_pred))):
        like = check.joint_shape(jnp.shape(y_true), jnp.shape(y_pred))
    shape = rows.shape if like is None else like
    kept = reduce.leading(rows, len(shape))
    if mask is not None:
        kept &= check.entries(type(loss).__name__, "mask", mask, shape).astype(bool)
    return jnp.broadcast_to(kept, shape)


def _is_nested(tree: Any) -> bool:
    return not jax.tree_util.treedef_is_leaf(jax.tree.structure(tree))


def total(loss: Any, inputs: Inputs, axis_name: AxisName) -> SumsTotal:
    """The mergeable form of a loss whose values are those of the whole batch."""
    name, (t, p, where, weight, mask) = type(loss).__name__, inputs
    if loss.reduction in (None, "none"):
        raise ValueError(f"{name}: total() needs a reduction, got {loss.reduction!r}.")
    sums, factor = loss.sums(t, p, where=where), None
    if weight is not None or mask is not None:
        value, _ = _with_mask(loss.from_sums(sums))
        if value.ndim:
            raise ValueError(
                f"{name}: totals with weights or a mask of the values need one value for the "
                f"batch, or values of its samples, got {value.shape} values of the batch."
            )
        shape = max((x.shape for x in (weight, mask) if x is not None), key=len)
        ones = jnp.ones(shape, value.dtype)
        if shape:
            factor = reduce.total(name, ones, weight, mask, loss.reduction)
        else:  # one weight for all: a factor, whatever the reduction
            factor = Total(reduce.reduce(name, ones, weight, mask, None), ones)
    return SumsTotal(*across.summed((sums, factor), axis_name), loss)
