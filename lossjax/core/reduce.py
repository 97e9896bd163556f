"""Weights, masks and reductions: the one place where values per sample become a number."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import numpy as jnp

from lossjax.core import check
from lossjax.core.types import AXIS_TYPES, Array, Axis, AxisName, Reduction
from lossjax.math import across


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

    def zero(self) -> "Total":
        """The total of nothing, of the same kind: what the carry of a scan starts from."""
        return jax.tree.map(jnp.zeros_like, self)

    def result(self) -> Array:
        """sum / weight, and 0 where the weight is 0 (everything masked, no sample)."""
        return self.sum if self.weight is None else _divide(self.sum, self.weight)


def _divide(a: Array, b: Any) -> Array:
    if isinstance(b, np.ndarray):  # a count that is known
        return a / np.maximum(1, b)
    # A second where, on the divisor: without it the gradient of the unused a / 0 is NaN.
    return jnp.where(b == 0, 0, a / jnp.where(b == 0, 1, b))


class Inputs(NamedTuple):
    """The arguments of a loss: `where` says who counts inside, the others what values count."""

    y_true: Any
    y_pred: Any
    where: Array | None = None
    weight: Array | None = None
    mask: Array | None = None


def defused(x: Array, alive: Array) -> Array:
    """`x` with 1 in place of NaN and ±inf, in entries that count for nothing.

    Selecting the loss of such a sample away is not enough: its derivative would still be
    multiplied by 0, and 0 * NaN is NaN. Finite numbers stay: batch statistics may use them.
    """
    return jnp.where(alive | jnp.isfinite(x), x, 1)


def alive(where: str, shape: tuple[int, ...], weight: Array | None, mask: Array | None) -> Array:
    """Which of the values, of this shape, count: those of which some use is not taken out."""
    weight, mask = _joint(where, weight, mask)
    kept = jnp.asarray(mask if weight is None else weight).astype(bool)
    like, kept = check.aligned(np.broadcast_to(True, shape), kept)
    check.weights_fit(where, like.shape, kept.shape)
    if not shape:  # a single value, once for each weight
        return jnp.any(kept)
    return jnp.broadcast_to(kept, like.shape).reshape(shape)


def entries(
    alive: Array, shape: tuple[int, ...], axis: Any, like: tuple[int, ...] | None = None
) -> Array | None:
    """`alive`, of each value, as it stands over the entries of an input of this shape.

    Values are without the axes `axis` of the inputs, or have their leading axes; an input is
    broadcast to the shape `like` first. An entry of it counts where any of the values counts
    that it reaches. Of an input with axes of its own values have the samples alone in common, its
    first axes. None where not even these fit.
    """
    if not isinstance(axis, AXIS_TYPES):  # a hyperparameter that has this name
        axis = -1
    like = shape if like is None else like
    axes = tuple(range(len(like))) if axis is None else np.atleast_1d(axis).tolist()
    reduced = {a % len(like) for a in axes if -len(like) <= a < len(like)}
    if alive.shape == tuple(n for i, n in enumerate(like) if i not in reduced):
        rows = jnp.expand_dims(alive, tuple(sorted(reduced)))
    elif alive.shape == like[: alive.ndim] or _fits(alive.shape, like):
        rows = leading(alive, len(like))
    elif shared := _shared(alive.shape, like):
        rows = leading(jnp.any(alive, tuple(range(shared, alive.ndim))), len(like))
    else:
        return None
    before = len(like) - len(shape)
    rows = jnp.any(rows, tuple(range(before))) if before else rows
    grown = tuple(i for i, n in enumerate(shape) if n == 1 != rows.shape[i])
    return jnp.any(rows, grown, keepdims=True) if grown else rows


def disarmed(
    inputs: Inputs, alive: Array, axis: Axis, disarm: Callable[[Array, Array], Array]
) -> Inputs:
    """The inputs with `disarm(x, alive)` for every array x of floats.

    `alive` comes as one entry a value and is handed on as one for each entry of x.
    """
    t, p = inputs.y_true, inputs.y_pred
    like = None
    if isinstance(t, jax.Array) and isinstance(p, jax.Array) and _is_float(t):
        like = check.joint_shape(t.shape, p.shape)

    def leaf(x: Array) -> Array:
        rows = entries(alive, x.shape, axis, like) if _is_float(x) else None
        return x if rows is None else disarm(x, rows)

    t, p = jax.tree.map(leaf, (t, p))
    return inputs._replace(y_true=t, y_pred=p)


def _is_float(x: Array) -> bool:
    return jnp.issubdtype(x.dtype, jnp.floating)


def who_counts(where: str, inputs: Inputs) -> Array:
    """Which samples exist for the others: a weight of 0 takes out those that are not finite."""
    shape = jax.tree.leaves(inputs.y_pred)[0].shape[:1]
    leaves = [x for x in jax.tree.leaves(inputs[:2]) if _is_float(x) and x.shape[:1] == shape]
    found = jnp.ones(shape, bool)
    if inputs.mask is not None:
        found &= alive(where, shape, None, inputs.mask)
    if inputs.weight is not None:
        finite = [jnp.isfinite(x).all(tuple(range(1, x.ndim))) for x in leaves]
        found &= functools.reduce(jnp.logical_and, finite) | alive(
            where, shape, inputs.weight, inputs.mask
        )
    return found


def _fits(shape: tuple[int, ...], like: tuple[int, ...]) -> bool:
    """Axes that were reduced have been kept with size 1."""
    return len(shape) == len(like) and all(n in (1, m) for n, m in zip(shape, like, strict=True))


def _shared(a: tuple[int, ...], b: tuple[int, ...]) -> int:
    """How many of the first axes are equal."""
    pairs = enumerate(zip(a, b, strict=False))
    return next((i for i, (n, m) in pairs if n != m), min(len(a), len(b)))


def leading(rows: Array, ndim: int) -> Array:
    """`rows` with axes of size 1 behind, to broadcast over `ndim` axes."""
    return rows.reshape(rows.shape + (1,) * (ndim - rows.ndim))


def weigh(
    where: str, values: Array, weight: Array | None, mask: Array | None
) -> tuple[Array, Array | None, Array | None]:
    """Values times weight and mask, and both in the shape in which Keras sums them."""
    weight, mask = _joint(where, weight, mask)
    unweighed = values
    if weight is not None:
        values, weight = check.aligned(unweighed, weight)
        check.weights_fit(where, values.shape, weight.shape)
        shape = jnp.broadcast_shapes(values.shape, weight.shape)  # of a loss for the whole batch
        alive = jnp.broadcast_to(weight.astype(bool), shape)
        values = jnp.where(alive | jnp.isfinite(values), values, 0) * weight
    if mask is not None:
        values, mask = check.aligned(values, check.aligned(unweighed, mask)[1])
        check.weights_fit(where, values.shape, mask.shape)
        values = jnp.where(mask, values, 0)
    return values, weight, mask


def _joint(
    where: str, weight: Array | None, mask: Array | None
) -> tuple[Array | None, Array | None]:
    """Weights that are 0 where the mask takes out, and the mask in their shape."""
    if weight is None or mask is None:
        return weight, mask
    if mask.ndim and weight.ndim:
        mask, weight = check.aligned(mask, weight)
    if mask.ndim != weight.ndim:
        small, large = sorted((mask, weight), key=jnp.ndim)
        check.weights_fit(where, large.shape, small.shape)
    shape = check.broadcast_shape(where, mask.shape, weight.shape)
    mask = jnp.broadcast_to(mask, shape)
    return jnp.where(mask, weight, 0), mask  # a NaN among the weights may be masked too


def reduce(
    where: str,
    values: Array,
    weight: Array | None,
    mask: Array | None,
    reduction: Reduction,
    axis_name: AxisName = None,
) -> Array:
    """Keras's `reduce_weighted_values`, over the rows of all devices of a mesh axis."""
    weighed, weight, mask = weigh(where, values, weight, mask)
    # Keras hands a scalar, or the values of an empty batch, back as they are.
    if reduction in (None, "none") or weighed.shape in ((), (0,)):
        return weighed
    return across.summed(_total(weighed, weight, mask, reduction), axis_name).result()


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
    total = jnp.sum(weighed)
    if reduction == "sum":
        return Total(total, None)
    kept = mask if weight is None else weight
    if reduction == "mean_with_sample_weight" and kept is not None:
        # The weights as given, not broadcast to the values: so does Keras.
        divisor = jnp.sum(kept, dtype=dtype)
        # Weights without a batch axis count once for every batch, so they cannot be added up.
        shared = kept.ndim == 0 or kept.shape[0] != weighed.shape[0]
        return Total(_divide(total, divisor), None) if shared else Total(total, divisor)
    count: Any = np.asarray(weighed.size, dtype)
    if mask is not None:
        count = jnp.sum(mask, dtype=dtype) * (weighed.size / max(1, mask.size))
    return Total(total, count)
