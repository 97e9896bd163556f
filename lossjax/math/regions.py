"""Sums over the pixels of a class, of an image or of a batch, from logits with all digits."""

from typing import Any, NamedTuple

from jax import numpy as jnp

from lossjax.core import check
from lossjax.core.types import Array, Input
from lossjax.math.entropy import sigmoids
from lossjax.math.fusion import largest
from lossjax.math.softmax import log_softmax

ABSENT = ("one", "zero", "skip")  # what a class counts that an image has not


class Entries(NamedTuple):
    """Of every pixel and class; `outside` is 1 - `inside`, `weight` is None where all count."""

    true: Array
    inside: Array  # the probability
    outside: Array
    raw: Array  # what was predicted, harmless where it does not count
    weight: Array | None


class Sums(NamedTuple):
    """Of what is right, missed, marked in excess, and of the truth; see `overlap.Sums`."""

    right: Array
    missed: Array
    excess: Array
    true: Array
    counted: Array | None


def entries(name: str, options: Any, y_true: Array, y_pred: Array, where: Input | None) -> Entries:
    """Of inputs that fit; `options` is a loss that has those of regions."""
    shape = jnp.broadcast_shapes(y_true.shape, y_pred.shape)
    t, z = (jnp.broadcast_to(y, shape) for y in (y_true, y_pred))
    exclusive, weight = getattr(options, "exclusive", False), None
    if exclusive and options.class_axis is None:
        raise ValueError(f"{name}: exclusive=True needs a class_axis, got None.")
    ignored = check.ignored(name, getattr(options, "ignore_class", None))
    if where is not None or ignored is not None:
        weight = jnp.ones((1,) * len(shape), bool)
        if where is not None:
            weight = check.entries(name, "where", where, shape)
        if ignored is not None:
            weight = jnp.where(check.is_among(t, ignored), jnp.zeros_like(weight), weight)
        counts = weight.astype(bool)
        # Finite numbers stay where a weight of 0 may be differentiated.
        kept = counts if weight.dtype == bool else counts | jnp.isfinite(t + z)
        # No class of a softmax is where it does not count.
        t, z = jnp.where(kept, t, 0), jnp.where(kept, z, -largest(z) / 4 if exclusive else 0)
        weight = weight.astype(z.dtype)
    if not getattr(options, "from_logits", False):
        return Entries(t, z, 1 - z, z, weight)
    if exclusive:
        log_p = log_softmax(z, options.class_axis)
        return Entries(t, jnp.exp(log_p), -jnp.expm1(log_p), z, weight)
    return Entries(t, *sigmoids(z), z, weight)


def total(x: Array, e: Entries, axes: tuple[int, ...]) -> Array:
    return jnp.sum(x if e.weight is None else e.weight * x, axes)


def sums(e: Entries, axes: tuple[int, ...], squared: bool) -> Sums:
    """With `squared` the square of each error is missed, and nothing in excess.

    Then Σt² + Σp² stands where else Σt + Σp does.
    """
    t, p, q = e[:3]
    missed, excess = t * q, (1 - t) * p
    right = total(t * p, e, axes)
    if squared:
        missed, excess = jnp.square(missed - excess), jnp.zeros_like(excess)
    return Sums(
        right, total(missed, e, axes), total(excess, e, axes), total(t, e, axes), counted(e, axes)
    )


def judged(absent: str, value: Array, true: Array, counts: Array | None) -> Any:
    """The values, and which of them count, where `true` is the size of the region of each."""
    present = ~(true <= 0) | jnp.isnan(value)  # NaN is to be seen, of truth and prediction
    if absent == "zero":
        value = jnp.where(present, value, 0)
    if absent == "skip":
        counts = present if counts is None else present & counts
    return value if counts is None else (value, counts)


def values(loss: Any, y_true: Input, y_pred: Input, where: Input | None) -> Array:
    """Of the function of a loss: 0 where nothing counts."""
    name = loss._declared.fn.__name__
    check.axis_name(name, getattr(loss, "axis_name", None))
    found = loss.call(*check.pair(name, y_true, y_pred), where)
    return jnp.where(found[1], found[0], 0) if isinstance(found, tuple) else found


def counted(e: Entries, axes: tuple[int, ...]) -> Array | None:
    """Whether any entry counts; None: all do."""
    if e.weight is None:
        return None
    return jnp.any(jnp.broadcast_to(e.weight != 0, e.true.shape), axes)
