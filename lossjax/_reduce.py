"""Weights, masks and reductions: the one place where values per sample become a number."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
from jax import numpy as jnp

from lossjax import _check
from lossjax._fusion import apart
from lossjax._types import Array, Axis, Reduction


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Total:
    """A weighted sum of losses and what to divide it by; `a + b` is the total of both batches.

    `weight` is None where nothing is divided (reduction "sum"). Totals of the parts of a batch,
    added, give the value and the gradient of the whole batch, however unequal the parts are.

    >>> from lossjax import losses
    >>> loss = losses.MeanAbsoluteError()
    >>> parts = loss.total([[0.0]], [[3.0]]) + loss.total([[0.0], [0.0]], [[1.0], [2.0]])
    >>> float(parts.result())
    2.0
    """

    sum: Array
    weight: Array | None

    def __add__(self, other: "Total") -> "Total":
        if not isinstance(other, Total):
            return NotImplemented
        if (self.weight is None) != (other.weight is None):
            raise ValueError(
                "Total: a sum and a mean cannot be added. Use one reduction, and weights with "
                "a batch axis in every part."
            )
        return jax.tree.map(jnp.add, self, other)

    def __radd__(self, zero: int) -> "Total":
        """So that the builtin `sum(totals)` works: it starts from 0."""
        return self if zero == 0 else NotImplemented

    def result(self) -> Array:
        """sum / weight, and 0 where the weight is 0 (everything masked, no sample)."""
        return self.sum if self.weight is None else _divide(self.sum, self.weight)


def _divide(a: Array, b: Array) -> Array:
    # A second where, on the divisor: without it the gradient of the unused a / 0 is NaN.
    return jnp.where(b == 0, 0, a / jnp.where(b == 0, 1, b))


def defused(tree: Any, alive: Array, axis: Axis) -> Any:
    """`tree` with 1 in place of NaN and ±inf, in samples that count for nothing.

    Selecting the loss of such a sample away is not enough: its derivative would still be
    multiplied by 0, and 0 * NaN is NaN. Finite numbers stay: batch statistics may use them.
    """

    return _by_sample(lambda x, rows: jnp.where(rows | jnp.isfinite(x), x, 1), tree, alive, axis)


def _alive_alone(f: Callable[[Array, Array], Array]) -> Callable[[Array, Array], Array]:
    """f(x, alive) with the derivative of x where alive, and 0 elsewhere, whatever f does there."""
    g = jax.custom_jvp(f)
    g.defjvp(lambda args, tangents: (g(*args), jnp.where(args[1], tangents[0], 0)))
    return g


@_alive_alone
def _guarded(x: Array, alive: Array) -> Array:
    return x


@_alive_alone
def _counted(values: Array, alive: Array) -> Array:
    # Traced, the derivative would wait for the values: a second pass over the inputs.
    return jnp.where(alive | jnp.isfinite(values), values, 0)


def guarded(tree: Any, alive: Array, axis: Axis) -> Any:
    """`tree` itself, without derivative in samples that count for nothing, whatever they hold.

    As `defused`, but free, for losses whose values depend on their own sample alone.
    """
    return _by_sample(_guarded, tree, alive, axis)


def _by_sample(f: Callable[[Array, Array], Array], tree: Any, alive: Array, axis: Axis) -> Any:
    def leaf(x: Any) -> Any:
        if not isinstance(x, jax.Array) or not jnp.issubdtype(x.dtype, jnp.floating):
            return x
        rows = as_rows(alive, x, axis)
        return x if rows is None else f(x, rows)

    return jax.tree.map(leaf, tree)


def as_rows(alive: Array, x: Array, axis: Axis) -> Array | None:
    """`alive` (one entry a value) reshaped to broadcast over `x`; None where it does not fit."""
    if isinstance(axis, int) and alive.ndim == x.ndim - 1 and -x.ndim <= axis < x.ndim:
        rows = jnp.expand_dims(alive, axis)
    else:
        while alive.ndim > x.ndim and alive.shape[-1] == 1:
            alive = alive[..., 0]
        rows = leading(alive, x.ndim)
    fits = rows.ndim == x.ndim and all(
        r in (1, n) for r, n in zip(rows.shape, x.shape, strict=True)
    )
    return rows if fits else None


def leading(rows: Array, ndim: int) -> Array:
    """`rows` with axes of size 1 behind, to broadcast over `ndim` axes."""
    return rows.reshape(rows.shape + (1,) * (ndim - rows.ndim))


def weigh(
    where: str, values: Array, weight: Array | None, mask: Array | None
) -> tuple[Array, Array | None, Array | None]:
    """Values times weight and mask, and both in the shape in which Keras sums them."""
    if weight is not None and mask is not None:
        if mask.ndim and weight.ndim:
            mask, weight = _check.aligned(mask, weight)
        if mask.ndim != weight.ndim:
            small, large = sorted((mask, weight), key=jnp.ndim)
            _check.weights_fit(where, large.shape, small.shape)
        shape = _check.broadcast_shape(where, mask.shape, weight.shape)
        mask = jnp.broadcast_to(mask, shape)
        weight = jnp.where(mask, weight, 0)  # a NaN among the weights may be masked too
    unweighed = values
    if weight is not None:
        values, weight = _check.aligned(unweighed, weight)
        _check.weights_fit(where, values.shape, weight.shape)
        shape = jnp.broadcast_shapes(values.shape, weight.shape)  # of a loss for the whole batch
        alive = jnp.broadcast_to(weight != 0, shape)
        values = _counted(jnp.broadcast_to(values, shape), alive) * weight
    if mask is not None:
        values, mask = _check.aligned(values, _check.aligned(unweighed, mask)[1])
        _check.weights_fit(where, values.shape, mask.shape)
        values = jnp.where(mask, values, 0)
    return values, weight, mask


def reduce(
    where: str, values: Array, weight: Array | None, mask: Array | None, reduction: Reduction
) -> Array:
    """Keras's `reduce_weighted_values`."""
    weighed, weight, mask = weigh(where, values, weight, mask)
    # Keras hands a scalar, or the values of an empty batch, back as they are.
    if reduction in (None, "none") or weighed.shape in ((), (0,)):
        return weighed
    return _total(weighed, weight, mask, reduction).result()


def total(
    where: str, values: Array, weight: Array | None, mask: Array | None, reduction: Reduction
) -> Total:
    """The mergeable form of `reduce`."""
    if reduction in (None, "none"):
        raise ValueError(
            f"{where}: total() adds losses up, but reduction={reduction!r} keeps one value per "
            f"sample. Use another reduction, or concatenate the values."
        )
    return _total(*weigh(where, values, weight, mask), reduction)


def _total(weighed: Array, weight: Array | None, mask: Array | None, reduction: Reduction) -> Total:
    dtype = weighed.dtype
    total = jnp.sum(apart(weighed))
    if reduction == "sum":
        return Total(total, None)
    kept = mask if weight is None else weight
    if reduction == "mean_with_sample_weight" and kept is not None:
        # The weights as given, not broadcast to the values: so does Keras.
        divisor = jnp.sum(kept, dtype=dtype)
        # Weights without a batch axis count once for every batch, so they cannot be added up.
        shared = kept.ndim == 0 or kept.shape[0] != weighed.shape[0]
        return Total(_divide(total, divisor), None) if shared else Total(total, divisor)
    count = jnp.asarray(weighed.size, dtype)
    if mask is not None:
        count = jnp.sum(mask, dtype=dtype) * (weighed.size / max(1, mask.size))
    return Total(total, count)
