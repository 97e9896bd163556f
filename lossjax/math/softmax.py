"""Losses over the classes of a row: softmax, shares of a sum, angles; with their derivatives.

A row's maximum or sum is made once and used by value and derivative. What is as large as the
input is never kept, only made again.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax import lax
from jax import numpy as jnp

from lossjax.core.types import Array, Axis
from lossjax.math.elementwise import EPSILON, finite, pick, probability
from lossjax.math.fusion import (
    added,
    again,
    at_least,
    at_most,
    bounded,
    derivative,
    is_live,
    is_small,
    largest,
    lifted,
    looped,
    moved,
    partials,
    row_max,
    row_sum,
    settle,
    step,
)

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
    stats = how.stats(x, axis)
    k = len(stats)

    def value(x: Array, *rest: Array) -> Array:
        return looped(h(how.value(x, *rest[:k]), *rest[k:]))

    out = row_sum(value, axis, 0, x, *stats, *others)
    return settle(jnp.squeeze(out, axis))


def _normalised_jvp(
    how: Normaliser, h: Callable[..., Array], axis: Axis, primals: Any, tangents: Any
) -> tuple[Array, Array]:
    (x, *others), (dx, *dothers) = primals, tangents
    out = normalised(how, h, axis, x, *others)
    stats = how.stats(x, axis)
    k = len(stats)
    # An x that is broadcast along `axis` is several times in the sum, and once in its statistics.
    shape = jnp.broadcast_shapes(*(a.shape for a in (x, *others) if a is not None))
    copies = (math.prod(shape) // max(1, out.size)) // max(1, x.size // max(1, stats[0].size))

    def slope(i: int, x: Array, *rest: Array) -> Array:
        return derivative(h, (how.value(x, *rest[:k]), *rest[k:]), i)

    def summed(x: Array, *rest: Array) -> Array:
        return looped(how.summed(slope(0, x, *rest), x, *rest[:k]))

    y, *rest = again(x, *stats, *others)
    terms = []
    if is_live(dx):
        # finite, so that the reduction and the loop after it are not merged
        (total,) = again(finite(row_sum(summed, axis, 1, x, *stats, *others)) / copies)
        inner = how.slope(slope(0, y, *rest), y, *rest[:k])
        terms.append(lifted(dx) * (inner - how.spread(total, y, *rest[:k])))
    for i, d in enumerate(dothers, 1):
        if is_live(d):
            terms.append(lifted(d) * slope(i, y, *rest))
    return out, jnp.sum(added(terms, y), moved(axis, x.ndim)).reshape(out.shape)


normalised.defjvp(_normalised_jvp, symbolic_zeros=True)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def largest_of(f: Callable[..., Array], axis: int, *xs: Array) -> Array:
    """The largest f(*xs) over `axis`, with f elementwise; ties share the derivative.

    A tie is what is as large but for rounding: compared with the value that it was taken from, the
    largest may differ from itself where XLA contracts a product and a difference.
    """
    return jnp.squeeze(row_max(f, axis, 0, *xs), axis)


def _largest_of_jvp(
    f: Callable[..., Array], axis: int, primals: Any, tangents: Any
) -> tuple[Array, Array]:
    out = largest_of(f, axis, *primals)
    top = jnp.expand_dims(lax.stop_gradient(out), axis)
    top = top - 4 * jnp.finfo(top.dtype).eps * jnp.abs(top)

    def is_tie(top: Array, *xs: Array) -> Array:
        return looped(1 - step(at_least(0.0, top - f(*xs))))

    ties = row_sum(is_tie, axis, 1, top, *primals)
    top, ties, *xs = again(top, ties, *primals)
    won = jnp.where(f(*xs) >= top, 1 / ties, 0)
    live = ((i, d) for i, d in enumerate(tangents) if is_live(d))
    terms = [lifted(d) * (won * derivative(f, xs, i)) for i, d in live]
    axes = moved(axis, primals[0].ndim)
    return out, jnp.sum(added(terms, won), axes).reshape(out.shape)


largest_of.defjvp(_largest_of_jvp, symbolic_zeros=True)


# --- softmax ------------------------------------------------------------------------------------


def _below(z: Array, m: Array) -> Array:
    """z - m for the maximum m, with ±inf as the largest number: an infinite logit has won."""
    return bounded(z) - m


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
    total = jnp.sum(looped(jnp.exp(at_most(largest(z), z) - m)), axis, keepdims=True)
    return jnp.log(jnp.where(total == 0, z.size / max(1, total.size), total))  # all are -inf


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
    return settle(jnp.where(valid, log_sum - _below(picked, m), 0))


@label_cross_entropy.defjvp
def _label_cross_entropy_jvp(axis: int, primals: Any, tangents: Any) -> tuple[Array, Array]:
    (labels, z), (_, dz) = primals, tangents
    share = jnp.exp(_log_softmax(*again(z, *_exp_sum(z, axis))))
    spread = jnp.sum(share * lifted(dz), moved(axis, z.ndim)).reshape(labels.shape)
    picked, valid = pick(dz, labels, axis)
    return label_cross_entropy(labels, z, axis), jnp.where(valid, spread - picked, 0)


# --- shares of a sum ----------------------------------------------------------------------------


def _inverse_sum(p: Array, axis: Axis) -> Rows:
    total = jnp.sum(p, axis, keepdims=True)
    return (1 / jnp.where(total == 0, 1e-18, total),)


def _inside(q: Array) -> Array:
    """1 where q is not clipped."""
    clipped = probability(q)
    return (q == clipped).astype(q.dtype) if is_small(q) else 1 - step(jnp.abs(q - clipped))


SHARE = Normaliser(
    stats=_inverse_sum,
    value=lambda p, inverse: probability(p * inverse),
    slope=lambda c, p, inverse: c * _inside(p * inverse) * finite(inverse),
    summed=lambda c, p, inverse: c * _inside(p * inverse) * (p * inverse),
    spread=lambda total, p, inverse: total * finite(inverse),
)


# --- angles -------------------------------------------------------------------------------------


_UNIT = 2.0**-20  # 1 over the largest norms would be denormal: they are taken in this unit
_TINY = 2.0**-80  # squares of what is times this neither overflow nor, where plain ones do, vanish


def cosine(x: Array, y: Array, axis: Axis) -> Array:
    """Σ xy over the norms of x and y, each no less than EPSILON."""
    return jnp.squeeze(_angle(x, y, axis)[0], axis)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _angle(x: Array, y: Array, axis: Axis) -> Rows:
    """The cosine, and 1 / (_UNIT * norm) of both. One may be broadcast to the other one."""

    def sums(x: Array, y: Array) -> Rows:
        return tuple(jnp.sum(a, axis, keepdims=True) for a in (x * y, x * x, y * y))

    def inverses(*squares: Array) -> Rows:
        return tuple(lax.rsqrt(jnp.maximum(square, EPSILON**2)) for square in squares)

    def quotient(xy: Array, *squares: Array) -> Rows:
        p, q = inverses(*squares)
        return xy * p * q, p / _UNIT, q / _UNIT

    def careful(x: Array, y: Array) -> Rows:
        xy, *plain = sums(x, y)
        _, *tiny = sums(_TINY * x, _TINY * y)
        # Scaled in another way: an array that two sums share would be written to memory.
        xy_tiny, *_ = sums(_TINY / 2 * x, 2 * _TINY * y)
        fits = [jnp.isfinite(square) for square in plain]
        p, q = inverses(*plain)
        p_tiny, q_tiny = (
            jnp.where(fit, a / _TINY, lax.rsqrt(square))
            for fit, a, square in zip(fits, (p, q), tiny, strict=True)
        )
        one = _TINY * xy * jnp.where(fits[0], p, q) * jnp.where(fits[0], q_tiny, p_tiny)
        cos = jnp.where(fits[0] & fits[1], xy * p * q, one)
        both = xy_tiny * p_tiny * q_tiny
        cos = jnp.where(jnp.isfinite(xy) & (fits[0] | fits[1]), cos, both)
        return cos, p_tiny * (_TINY / _UNIT), q_tiny * (_TINY / _UNIT)

    def quick(x: Array, y: Array) -> Rows:
        plain = sums(x, y)
        fits = functools.reduce(jnp.logical_and, [jnp.isfinite(a).all() for a in plain])
        return lax.cond(fits, lambda: quotient(*plain), lambda: careful(x, y))

    if not any(isinstance(a, jax.core.Tracer) for a in (x, y)):
        return careful(x, y)  # a condition would be compiled at every call
    # On CPU three more sums take as long again, elsewhere they are of the same pass.
    return lax.platform_dependent(x, y, cpu=quick, default=careful)


def _angle_jvp(axis: Axis, primals: Any, tangents: Any) -> tuple[Rows, Rows]:
    out = cos, *inverses = _angle(*primals, axis)
    shape = jnp.broadcast_shapes(*(a.shape for a in primals))
    terms, slopes = [], [jnp.zeros_like(inverse) for inverse in inverses]
    rest: Any = 0
    for i, d in enumerate(tangents):
        if not is_live(d):
            continue
        x, y, along, p, q = again(primals[i], primals[1 - i], cos, inverses[i], inverses[1 - i])
        x, y, by_x = _UNIT * x * p, _UNIT * y * q, lifted(d) * (_UNIT * p)
        # Below the floor the norm is constant. Traced, p³ underflows for |x| > 1e12.
        floor = 1 / (EPSILON * _UNIT)
        by_norm = jnp.sum(x * by_x, moved(axis, primals[i].ndim)).reshape(inverses[i].shape)
        by_norm = jnp.where(inverses[i] < floor, by_norm, 0)
        slopes[i] = -inverses[i] * by_norm
        if primals[i].shape == shape:
            terms.append(by_x * (y - x * jnp.where(p < floor, along, 0)))
        else:  # broadcast: an entry of x is there several times in the sum, once in the norm
            terms.append(by_x * y)
            rest = rest + cos * by_norm
    by_cos = jnp.sum(added(terms, lifted(cos)), moved(axis, len(shape))).reshape(cos.shape)
    return out, (by_cos - rest, *slopes)


_angle.defjvp(_angle_jvp, symbolic_zeros=True)
