"""Losses over the classes of a row: softmax, shares of a sum, angles; with their derivatives.

A row's maximum or sum is made once and used by value and derivative. What is as large as the
input is never kept, only made again.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax import lax
from jax import numpy as jnp
from jax.custom_derivatives import SymbolicZero

from lossjax._fusion import (
    again,
    at_most,
    bounded,
    derivative,
    lifted,
    partials,
    settle,
    split,
    step,
)
from lossjax._numerics import EPSILON, finite, largest, pick, probability, xmuly
from lossjax._types import Array, Axis

Rows = tuple[Array, ...]


class Normaliser(NamedTuple):
    """How a row x becomes n(x): from `stats` of the row, kept, and then entry by entry.

    For a loss Σ h(n) with c = h'(n), the derivative is slope(c) - spread(Σ summed(c)).
    """

    stats: Callable[[Array, Axis], Rows]
    value: Callable[..., Array]
    slope: Callable[..., Array]
    summed: Callable[..., Array]
    spread: Callable[..., Array]


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def normalised(
    how: Normaliser, h: Callable[..., Array], axis: Axis, x: Array, *others: Array
) -> Array:
    """Σ h(n(x), *others) over `axis`, with h elementwise."""
    return settle(jnp.sum(h(how.value(x, *how.stats(x, axis)), *others), axis))


def _normalised_jvp(
    how: Normaliser, h: Callable[..., Array], axis: Axis, primals: Any, tangents: Any
) -> tuple[Array, Array]:
    (x, *others), (dx, *dothers) = primals, tangents
    out = normalised(how, h, axis, x, *others)
    stats = how.stats(x, axis)
    slope = jnp.zeros_like(lifted(x))
    if not isinstance(dx, SymbolicZero):
        # Two passes, each over arrays of its own: what they share would be kept.
        z, *rest = again(x, *stats, *others, shape=split)
        rows, rest = rest[: len(stats)], rest[len(stats) :]
        c = derivative(h, (how.value(z, *rows), *rest))
        total = jnp.sum(how.summed(c, z, *rows), _moved(axis, x.ndim), keepdims=True)
        total = total.reshape(stats[0].shape)
        z, *rest = again(x, *stats, total, *others)
        rows, total, rest = rest[: len(stats)], rest[len(stats)], rest[len(stats) + 1 :]
        c = derivative(h, (how.value(z, *rows), *rest))
        slope += lifted(dx) * (how.slope(c, z, *rows) - how.spread(total, z, *rows))
    for i, d in enumerate(dothers, 1):
        if not isinstance(d, SymbolicZero):
            z, *rest = again(x, *stats, *others)
            rows, rest = rest[: len(stats)], rest[len(stats) :]
            slope += lifted(d) * derivative(h, (how.value(z, *rows), *rest), i)
    return out, jnp.sum(slope, _moved(axis, x.ndim)).reshape(out.shape)


normalised.defjvp(_normalised_jvp, symbolic_zeros=True)


def _moved(axis: Axis, ndim: int) -> tuple[int, ...]:
    """Where `axis` is after another axis came in front, or after the first was split."""
    axes = range(ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    moved = [a % ndim + 1 for a in axes]
    return tuple([0, *moved] if 1 in moved else moved)


# --- softmax ------------------------------------------------------------------------------------


def _below(z: Array, m: Array) -> Array:
    """z - m for the maximum m; z = inf counts as the largest number, so that it has won."""
    return at_most(largest(z), z) - m


def _exp_sum(z: Array, axis: Axis) -> Rows:
    """The maximum and the logarithm of Σ exp(z - maximum).

    They are kept apart: their rounded sum loses digits. The maximum alone has no derivative.
    """
    m = bounded(lax.stop_gradient(jnp.max(z, axis, keepdims=True, initial=-jnp.inf)))
    return m, _log_sum(axis, z, m)


@partials(
    lambda dz, out, axis, z, m: jnp.sum(jnp.exp(_below(z, m) - out) * dz, axis, keepdims=True),
    lambda dm, *_: -dm,
    static=1,
)
def _log_sum(axis: Axis, z: Array, m: Array) -> Array:
    total = jnp.sum(jnp.exp(z - m), axis, keepdims=True)
    # Of a row of -inf all classes are equal; a row with +inf has one.
    total = jnp.where(total == 0, z.size / max(1, total.size), total)
    return jnp.log(jnp.where(total == jnp.inf, 1, total))


def _log_softmax(z: Array, m: Array, log_sum: Array) -> Array:
    return _below(z, m) - log_sum


SOFTMAX = Normaliser(
    stats=_exp_sum,
    value=_log_softmax,
    slope=lambda c, z, m, log_sum: c,
    summed=lambda c, z, m, log_sum: c,
    spread=lambda total, z, m, log_sum: total * jnp.exp(_log_softmax(z, m, log_sum)),
)


def log_softmax(z: Array, axis: Axis) -> Array:
    return _log_softmax(z, *_exp_sum(z, axis))


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def label_cross_entropy(labels: Array, z: Array, axis: int) -> Array:
    """-log softmax(z) at integer labels, without a one-hot; 0 for a label out of range."""
    m, log_sum = (jnp.squeeze(row, axis) for row in _exp_sum(z, axis))
    picked, valid = pick(z, labels, axis)
    return jnp.where(valid, log_sum - _below(picked, m), 0)


@label_cross_entropy.defjvp
def _label_cross_entropy_jvp(axis: int, primals: Any, tangents: Any) -> tuple[Array, Array]:
    (labels, z), (_, dz) = primals, tangents
    share = jnp.exp(_log_softmax(*again(z, *_exp_sum(z, axis))))
    spread = jnp.sum(share * lifted(dz), _moved(axis, z.ndim)).reshape(labels.shape)
    picked, valid = pick(dz, labels, axis)
    return label_cross_entropy(labels, z, axis), jnp.where(valid, spread - picked, 0)


# --- shares of a sum ----------------------------------------------------------------------------


def _inverse_sum(p: Array, axis: Axis) -> Rows:
    total = jnp.sum(p, axis, keepdims=True)
    return (1 / jnp.where(total == 0, 1e-18, total),)


def _inside(q: Array) -> Array:
    """1 where q is not clipped."""
    return 1 - step(jnp.abs(q - probability(q)))


SHARE = Normaliser(
    stats=_inverse_sum,
    value=lambda p, inverse: probability(p * inverse),
    slope=lambda c, p, inverse: c * _inside(p * inverse) * finite(inverse),
    summed=lambda c, p, inverse: c * _inside(p * inverse) * (p * inverse),
    spread=lambda total, p, inverse: total * finite(inverse),
)


# --- angles -------------------------------------------------------------------------------------


def _inverse_norm(x: Array, axis: Axis) -> Array:
    # The floor comes before the root: 1/√0 has no finite derivative.
    return lax.rsqrt(jnp.maximum(jnp.sum(x * x, axis, keepdims=True), EPSILON**2))


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def cosine(x: Array, y: Array, axis: Axis) -> Array:
    """Σ xy over the norms of x and y, each no less than EPSILON."""
    cos = jnp.sum(x * y, axis, keepdims=True) * _inverse_norm(x, axis) * _inverse_norm(y, axis)
    return jnp.squeeze(cos, axis)


def _cosine_jvp(axis: Axis, primals: Any, tangents: Any) -> tuple[Array, Array]:
    out = cosine(*primals, axis)
    cos = jnp.expand_dims(out, axis)
    slope = jnp.zeros_like(lifted(primals[0]))
    for d, x, y in zip(tangents, primals, primals[::-1], strict=True):
        if not isinstance(d, SymbolicZero):
            x, y, along, p, q = again(x, y, cos, _inverse_norm(x, axis), _inverse_norm(y, axis))
            # Below the floor the norm is constant. Traced, p³ underflows for |x| > 1e12.
            along = jnp.where(p < 1 / EPSILON, along, 0)
            slope += lifted(d) * (p * (y * q - x * p * along))
    return out, jnp.sum(slope, _moved(axis, primals[0].ndim)).reshape(out.shape)


cosine.defjvp(_cosine_jvp, symbolic_zeros=True)


# --- margins ------------------------------------------------------------------------------------


def _margin_stats(t: Array, p: Array) -> tuple[Array, Array]:
    """The largest (1 - t) p of a row, and how many there are."""
    rivals = xmuly(1 - t, p)
    m = bounded(jnp.max(rivals, -1, keepdims=True, initial=-jnp.inf))
    ties = jnp.sum(1 - step(m - at_most(largest(m), rivals)), -1, keepdims=True)
    return m, ties


@jax.custom_jvp
def margin(t: Array, p: Array) -> Array:
    """max((1 - t) p) - Σ tp over the last axis; the derivative of a tie is shared."""
    rival = jnp.max(xmuly(1 - t, p), -1, initial=-jnp.inf)
    return settle(rival - jnp.sum(xmuly(t, p), -1))


def _margin_jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
    (t, p), (dt, dp) = primals, tangents
    m, ties = _margin_stats(t, p)
    t, p, m, ties = again(t, p, m, ties)
    share = (bounded(xmuly(1 - t, p)) == m) / jnp.maximum(ties, 1)
    slope = jnp.zeros_like(share)
    if not isinstance(dp, SymbolicZero):
        slope += lifted(dp) * ((1 - t) * share - t)
    if not isinstance(dt, SymbolicZero):
        slope -= lifted(dt) * finite(p) * (share + 1)
    out = margin(*primals)
    return out, jnp.sum(slope, -1).reshape(out.shape)


margin.defjvp(_margin_jvp, symbolic_zeros=True)
