"""Sums over the classes of a row, of the logs of a softmax or of shares of a sum.

A row's maximum or sum is made once and used by value and derivative. What is as large as the
input is never kept, only made again.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax import lax
from jax import numpy as jnp

from lossjax.core import check
from lossjax.core.check import is_narrow
from lossjax.core.types import Array, Axis
from lossjax.math.elementwise import EPSILON, finite, guarded, pick, probability, quotient, within
from lossjax.math.fusion import (
    Again,
    added,
    again,
    are_small,
    at_most,
    bounded,
    derivative,
    is_live,
    is_plain,
    is_small,
    largest,
    looped,
    partials,
    plainly,
    row_sum,
    settle,
    step,
    widened,
)

Rows = tuple[Array, ...]
Terms = Callable[..., Array]  # of one entry, from the entries of all arguments


# --- softmax ------------------------------------------------------------------------------------


@partials(lambda dz, *_: widened(dz), lambda dm, *_: -dm)
def _below(z: Array, m: Array) -> Array:
    """z - m for the maximum m; 0 where both are the same infinity: it has won, or all have lost."""
    z = widened(z)
    if is_small(z):
        return jnp.where(z == m, 0, z - bounded(m))
    return bounded(z) - bounded(m)


def _exp_sum(z: Array, axis: Axis) -> Rows:
    """The maximum and the logarithm of Σ exp(z - maximum).

    They are kept apart: their rounded sum loses digits. The maximum alone has no derivative.
    """
    m = widened(lax.stop_gradient(jnp.max(z, axis, keepdims=True, initial=-jnp.inf)))
    return m, _log_sum(axis, z, m)


@partials(
    lambda dz, out, axis, z, m: jnp.sum(_share(z, m, out) * widened(dz), axis, keepdims=True),
    lambda dm, *_: -dm,
    static=1,
)
def _log_sum(axis: Axis, z: Array, m: Array) -> Array:
    if is_small(z):
        return jnp.log(jnp.sum(jnp.exp(_below(z, m)), axis, keepdims=True))
    z = widened(z)
    below = at_most(largest(z), z) - bounded(m)
    total = jnp.sum(looped(jnp.exp(below)), axis, keepdims=True)
    return jnp.log(jnp.where(total == 0, z.size / max(1, total.size), total))  # all are -inf


def _log_softmax(z: Array, m: Array, log_sum: Array) -> Array:
    return _below(z, m) - log_sum


def _share(z: Array, m: Array, log_sum: Array) -> Array:
    """softmax(z); where it is small, of the exponential of which the sum is made."""
    if are_small(z):
        return jnp.exp(_below(z, m)) * jnp.exp(-log_sum)
    return jnp.exp(_log_softmax(z, m, log_sum))


def log_softmax(z: Array, axis: Axis) -> Array:
    return _log_softmax(z, *_exp_sum(z, axis))


def one_hot(labels: Array, z: Array) -> Array:
    """Targets for the logits z; all 0 for a label out of range."""
    return (labels[..., None] == jnp.arange(z.shape[-1])).astype(z.dtype)


def below_largest(z: Array) -> Array:
    """z less the largest of its row, with ±inf as the largest number: an infinite score has won."""
    top = lax.stop_gradient(jnp.max(z, -1, keepdims=True, initial=-jnp.inf))
    return bounded(bounded(z) - bounded(top))


def log_sum_exp(z: Array, axis: int) -> Array:
    m, log_sum = _exp_sum(z, axis)
    return jnp.squeeze(m + log_sum, axis)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def sum_over_log_softmax(h: Terms, axis: Axis, z: Array, *others: Array) -> Array:
    """Σ h(log softmax(z), *others) over `axis`, with h elementwise."""

    def term(z: Array, m: Array, log_sum: Array, *others: Array) -> Array:
        return looped(h(_log_softmax(z, m, log_sum), *others))

    def values(z: Array, *others: Array) -> Array:
        return _sum(term, axis, z, *_exp_sum(z, axis), *others)

    return plainly(values, z, *others)


def _sum_over_log_softmax_jvp(
    h: Terms, axis: Axis, primals: Any, tangents: Any
) -> tuple[Array, Array]:
    (z, *others), (dz, *dothers) = primals, tangents
    out = sum_over_log_softmax(h, axis, z, *others)

    def slope(i: int, z: Array, m: Array, log_sum: Array, *others: Array) -> Array:
        return derivative(h, (_log_softmax(z, m, log_sum), *others), i)

    def summed(*args: Array) -> Array:
        return slope(0, *args)

    def slopes(z: Array, *others: Array) -> list[Array]:
        args = (z, *_exp_sum(z, axis), *others)
        start = again(*args)
        fresh = start.arrays
        found = [slope(i, *fresh) for i, d in enumerate(dothers, 1) if is_live(d)]
        if is_live(dz):
            total = start.lifted(_total(summed, axis, *args))
            found.insert(0, slope(0, *fresh) - total * _share(*fresh[:3]))
        return found

    start = again(z, *others)
    live = [start.lifted(d) for d in tangents if is_live(d)]
    terms = [d * s for d, s in zip(live, plainly(slopes, z, *others, anew=True), strict=True)]
    return out, _tangent(terms, axis, z, out, start)


sum_over_log_softmax.defjvp(_sum_over_log_softmax_jvp, symbolic_zeros=True)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def picked(labels: Array, x: Array, axis: int) -> Array:
    """x at each label, in float32 at least."""
    if not is_narrow(x):
        return pick(x, labels, axis)[0]
    # Of 16-bit floats XLA would widen all before it picks some.
    bits, _ = pick(lax.bitcast_convert_type(x, jnp.uint16), labels, axis)
    return widened(lax.bitcast_convert_type(bits, x.dtype))


@picked.defjvp
def _picked_jvp(axis: int, primals: Any, tangents: Any) -> tuple[Array, Array]:
    (labels, x), (_, dx) = primals, tangents
    out = picked(labels, x, axis)
    if not is_narrow(x):
        return out, pick(dx, labels, axis)[0]
    return out, jnp.sum(jnp.where(_is_label(labels, x, axis), widened(dx), 0), axis)


def _is_scattered(x: Array) -> bool:
    """Whether a scatter is faster than to compare all classes with the label.

    Not of 16 bits: what is scattered into is written in float32 first.
    """
    return not is_small(x) and not is_narrow(x)


def _is_label(labels: Array, x: Array, axis: int) -> Array:
    classes = lax.broadcasted_iota(labels.dtype, x.shape, axis % x.ndim)
    return classes == jnp.expand_dims(labels, axis)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def label_cross_entropy(labels: Array, z: Array, axis: int) -> Array:
    """-log softmax(z) at integer labels, without a one-hot.

    0, with derivative 0, for a label out of range, whatever its row holds.
    """
    return plainly(functools.partial(_label_entropy, axis), z, labels)


def _label_entropy(axis: int, z: Array, labels: Array) -> Array:
    m, log_sum = _exp_sum(z, axis)
    if is_plain():
        at_label = jnp.where(_is_label(labels, z, axis), -_log_softmax(z, m, log_sum), 0)
        return settle(jnp.sum(at_label, axis))
    m, log_sum = (jnp.squeeze(row, axis) for row in (m, log_sum))
    below = bounded(picked(labels, z, axis)) - bounded(m)
    return settle(jnp.where(check.exists(labels, z.shape[axis]), log_sum - below, 0))


@label_cross_entropy.defjvp
def _label_cross_entropy_jvp(axis: int, primals: Any, tangents: Any) -> tuple[Array, Array]:
    (labels, z), (_, dz) = primals, tangents
    out = label_cross_entropy(labels, z, axis)
    exists = check.exists(labels, z.shape[axis])
    row = jnp.expand_dims(exists, axis)
    z = guarded(z, row)

    def shares(z: Array, labels: Array) -> Array:
        start = again(z, *_exp_sum(z, axis))
        share = jnp.where(start.lifted(row), _share(*start.arrays), 0)
        if _is_scattered(z):
            return share
        return jnp.where(start.lifted(_is_label(labels, z, axis)), share - 1, share)

    def at_label(labels: Array, dz: Array) -> Array:
        return picked(labels, dz, axis)

    def nothing(labels: Array, dz: Array) -> Array:
        return jnp.zeros_like(at_label(labels, dz))

    start = again(z)
    share = plainly(shares, z, labels, anew=True)
    change = jnp.sum(share * start.lifted(dz), start.moved(axis, z.ndim)).reshape(labels.shape)
    if _is_scattered(z):
        change -= lax.platform_dependent(labels, dz, cpu=at_label, default=nothing)
    return out, jnp.where(exists, change, 0)


# --- shares of a sum ----------------------------------------------------------------------------


def _inverse_sum(p: Array, axis: Axis) -> Rows:
    total = jnp.sum(widened(p), axis, keepdims=True)
    return (1 / jnp.where(total == 0, 1e-18, total),)


def _inside(q: Array) -> Array:
    """1 where q is not clipped."""
    clipped = probability(q)
    return (q == clipped).astype(q.dtype) if is_small(q) else 1 - step(jnp.abs(q - clipped))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def sum_over_shares(h: Terms, axis: Axis, p: Array, *others: Array) -> Array:
    """Σ h(q, *others) over `axis`, with q = p / Σp clipped as a probability, h elementwise."""

    def term(p: Array, inverse: Array, *others: Array) -> Array:
        return h(probability(p * inverse), *others)

    return _sum(term, axis, p, *_inverse_sum(p, axis), *others)


def _sum_over_shares_jvp(h: Terms, axis: Axis, primals: Any, tangents: Any) -> tuple[Array, Array]:
    (p, *others), (dp, *dothers) = primals, tangents
    out = sum_over_shares(h, axis, p, *others)
    args = (p, *_inverse_sum(p, axis), *others)

    def slope(i: int, p: Array, inverse: Array, *others: Array) -> Array:
        return derivative(h, (probability(p * inverse), *others), i)

    def summed(p: Array, inverse: Array, *others: Array) -> Array:
        inside = _inside(p * inverse)
        return slope(0, p, inverse, *others) * inside * (p * inverse)

    start = again(*args)
    fresh, lifted = start.arrays, start.lifted
    terms = []
    if is_live(dp):
        total = lifted(_total(summed, axis, *args))
        x, inverse = fresh[:2]
        direct = slope(0, *fresh) * _inside(x * inverse) * finite(inverse)
        terms.append(lifted(dp) * (direct - total * finite(inverse)))
    terms += [lifted(d) * slope(i, *fresh) for i, d in enumerate(dothers, 1) if is_live(d)]
    return out, _tangent(terms, axis, p, out, start)


sum_over_shares.defjvp(_sum_over_shares_jvp, symbolic_zeros=True)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def label_entropy_of_shares(labels: Array, p: Array, axis: int) -> Array:
    """-log q at integer labels, with q = p / Σp clipped; 0 as `label_cross_entropy`."""
    q = probability(_label_share(labels, p, axis)[0])
    return jnp.where(check.exists(labels, p.shape[axis]), -jnp.log(q), 0)


def _label_share(labels: Array, p: Array, axis: int) -> tuple[Array, Array]:
    """p / Σp at the labels, and 1 / Σp."""
    total = jnp.sum(widened(p), axis)
    ones = jnp.ones_like(total)
    return quotient(picked(labels, p, axis), total), finite(quotient(ones, total))


@label_entropy_of_shares.defjvp
def _label_entropy_of_shares_jvp(axis: int, primals: Any, tangents: Any) -> tuple[Array, Array]:
    (labels, p), (_, dp) = primals, tangents
    out, exists = label_entropy_of_shares(labels, p, axis), check.exists(labels, p.shape[axis])
    p = guarded(p, jnp.expand_dims(exists, axis))
    q, inverse = _label_share(labels, p, axis)
    by_sum = jnp.where(exists, within(EPSILON, 1 - EPSILON, q) * inverse, 0)
    by_label = by_sum / jnp.where(exists, probability(q), 1)
    if _is_scattered(p):
        return out, by_sum * jnp.sum(dp, axis) - by_label * picked(labels, dp, axis)
    by_sum, by_label = (jnp.expand_dims(x, axis) for x in (by_sum, by_label))
    slope = jnp.where(_is_label(labels, p, axis), by_sum - by_label, by_sum)
    return out, jnp.sum(slope * widened(dp), axis)


# --- both ---------------------------------------------------------------------------------------


def _sum(term: Terms, axis: Axis, *args: Array) -> Array:
    return settle(jnp.squeeze(row_sum(term, axis, 0, *args), axis))


def _total(term: Terms, axis: Axis, x: Array, row: Array, *rest: Array) -> Array:
    """The part of a row's derivative that all of its entries share, in a pass of its own."""
    total = row_sum(term, axis, 1, x, row, *rest)
    # An x that is broadcast along `axis` is several times in the sum, and once in its row.
    shape = jnp.broadcast_shapes(*(a.shape for a in (x, row, *rest) if a is not None))
    copies = (math.prod(shape) // max(1, total.size)) // max(1, x.size // max(1, row.size))
    # finite, so that the reduction and the loop after it are not merged
    return finite(total) / copies


def _tangent(terms: Sequence[Array], axis: Axis, x: Array, out: Array, start: Again) -> Array:
    return jnp.sum(added(terms, start.lifted(x)), start.moved(axis, x.ndim)).reshape(out.shape)
