"""Stable primitives with derivatives of their own; both modes, every order.

A rule is written with primitives of this file, so that differentiating it again is exact too.
"""

import functools
from typing import TypeAlias

import jax
from jax import numpy as jnp

from lossjax._types import Array, Axis

Pair: TypeAlias = tuple[Array, Array]

EPSILON = 1e-7  # Keras's `epsilon()`: the floor of norms, divisors and probabilities


def mean(x: Array, axis: Axis) -> Array:
    """Mean over `axis`; over an empty axis 0, not NaN."""
    total = jnp.sum(x, axis)
    return total / max(1, x.size // max(1, total.size))


def finite(x: Array) -> Array:
    """±inf becomes a number so large that doubling it still fits: 0 * x is 0, never NaN."""
    big = float(jnp.finfo(x.dtype).max) / 4
    return jnp.clip(x, -big, big)


@jax.custom_jvp
def xmuly(x: Array, y: Array) -> Array:
    """x * y with 0 * inf = 0: a class of weight 0 adds nothing, however impossible it is."""
    return x * jnp.where((x == 0) & jnp.isinf(y), 0, y)


xmuly.defjvps(lambda dx, _, x, y: dx * finite(y), lambda dy, _, x, y: dy * x)


@jax.custom_jvp
def absolute(x: Array) -> Array:
    return jnp.abs(x)


# jnp.abs has slope +1 at 0; the symmetric subgradient there is 0.
absolute.defjvps(lambda dx, _, x: dx * jnp.sign(x))


@jax.custom_jvp
def quotient(a: Array, b: Array) -> Array:
    """a / b, and a * 1e18 for b = 0; the derivative never squares b, which would overflow."""
    return a / jnp.where(b == 0, 1e-18, b)


@quotient.defjvp
def _quotient_jvp(primals: Pair, tangents: Pair) -> Pair:
    (a, b), (da, db) = primals, tangents
    out = quotient(a, b)
    return out, finite(quotient(jnp.ones_like(b), b)) * (da - finite(out) * db)


@jax.custom_jvp
def huber(e: Array, delta: Array) -> Array:
    """e²/2 up to |e| = delta, the tangent line beyond."""
    q = jnp.minimum(jnp.abs(e), delta)
    return q * (jnp.abs(e) - 0.5 * q)


# Traced, the product rule meets 0 * inf at an infinite error or delta.
huber.defjvps(
    lambda de, _, e, delta: de * jnp.clip(e, -delta, delta),
    lambda dd, _, e, delta: dd * finite(jnp.maximum(absolute(e) - delta, 0)),
)


@jax.custom_jvp
def log_cosh(e: Array) -> Array:
    # cosh e = 1 + m²/(2(1 + m)) with m = exp(-|e|) - 1 keeps all digits near 0, where
    # |e| + log(1 + exp(-2|e|)) - log 2 is 0 for |e| < 3e-4; far away 1 + m underflows.
    a = jnp.abs(e)
    m = jnp.expm1(-a)
    near = a < 1.5
    return jnp.where(near, 0, a) + jnp.log1p(
        jnp.where(near, m * m / (2 * (1 + jnp.where(near, m, 0))), m * (1 + 0.5 * m))
    )


log_cosh.defjvps(lambda de, _, e: de * jnp.tanh(e))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def log_ratio(offset: float, a: Array, b: Array) -> Array:
    """log((offset + a) / (offset + b)); exact where a is near b, and far from it.

    The difference of two logarithms loses every digit that they share.
    """
    low = jnp.minimum(a, b)
    return jnp.sign(a - b) * jnp.log1p(jnp.abs(a - b) / (offset + low))


@log_ratio.defjvp
def _log_ratio_jvp(offset: float, primals: Pair, tangents: Pair) -> Pair:
    (a, b), (da, db) = primals, tangents
    return log_ratio(offset, a, b), da / (offset + a) - db / (offset + b)


@jax.custom_jvp
def power(x: Array, y: Array) -> Array:
    """x ** y, with 0 ** y = 0 also for y < 0.

    So d/dx = y * power(x, y - 1) is finite at x = 0 for every y, and right wherever it exists.
    """
    infinite = (x == 0) & (y < 0)
    return jnp.where(infinite, 0, jnp.power(jnp.where(infinite, 1, x), y))


power.defjvps(
    lambda dx, _, x, y: dx * y * power(x, y - 1),
    lambda dy, out, x, y: dy * out * jnp.log(jnp.where(x == 0, 1, jnp.abs(x))),
)


@jax.custom_jvp
def binary_cross_entropy(t: Array, u: Array, z: Array) -> Array:
    """-t log σ(z) - u log σ(-z) for t + u = 1; 0 at the perfect infinite logit.

    u is an argument because 1 - t loses the digits of a smoothed label.
    """
    return xmuly(jnp.where(z > 0, u, t), jnp.abs(z)) + jnp.log1p(jnp.exp(-jnp.abs(z)))


# σ(z) - t would round to 0 as soon as σ(z) rounds to t = 1.
binary_cross_entropy.defjvps(
    lambda dt, _, t, u, z: dt * finite(jax.nn.softplus(-z)),
    lambda du, _, t, u, z: du * finite(jax.nn.softplus(z)),
    lambda dz, _, t, u, z: dz * (u * jax.nn.sigmoid(z) - t * jax.nn.sigmoid(-z)),
)


@jax.custom_jvp
def binary_focal(t: Array, u: Array, z: Array, gamma: Array) -> Array:
    """(1 - p_t)^gamma times the binary cross-entropy of the logits z.

    1 - p_t is a sum of two terms ≥ 0, so that it keeps its digits where p_t rounds to 1.
    """
    wrongness = t * jax.nn.sigmoid(-z) + u * jax.nn.sigmoid(z)
    return power(wrongness, gamma) * binary_cross_entropy(t, u, z)


@binary_focal.defjvp
def _binary_focal_jvp(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> Pair:
    (t, u, z, gamma), (dt, du, dz, dgamma) = primals, tangents
    # At an infinite logit the entropy is infinite and 1 - p_t has slope 0: finite() makes
    # their product the limit 0.
    p, not_p = jax.nn.sigmoid(z), jax.nn.sigmoid(-z)
    wrongness, entropy = t * not_p + u * p, binary_cross_entropy(t, u, finite(z))
    weight, slope = power(wrongness, gamma), gamma * power(wrongness, gamma - 1) * entropy
    by_t = slope * not_p + weight * finite(jax.nn.softplus(-z))
    by_u = slope * p + weight * finite(jax.nn.softplus(z))
    by_z = slope * (u - t) * p * not_p + weight * (u * p - t * not_p)
    by_gamma = weight * jnp.log(jnp.where(wrongness == 0, 1, wrongness)) * entropy
    out = binary_focal(t, u, z, gamma)
    return out, dt * by_t + du * by_u + dz * by_z + dgamma * by_gamma


@jax.custom_jvp
def focal(log_q: Array, gamma: Array) -> Array:
    """-(1 - q)^gamma log q."""
    return -power(-jnp.expm1(log_q), gamma) * log_q


@focal.defjvp
def _focal_jvp(primals: Pair, tangents: Pair) -> Pair:
    (log_q, gamma), (dlog_q, dgamma) = primals, tangents
    u, bounded = -jnp.expm1(log_q), finite(log_q)  # q log q is 0 at q = 0
    weight = power(u, gamma)
    by_log_q = gamma * power(u, gamma - 1) * jnp.exp(log_q) * bounded - weight
    by_gamma = -weight * jnp.log(jnp.where(u == 0, 1, u)) * bounded
    return focal(log_q, gamma), dlog_q * by_log_q + dgamma * by_gamma


def _minus_max(z: Array, m: Array) -> Array:
    return jnp.where(z == m, 0, z - m)  # inf - inf is 0 here: an infinite logit has won


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def softmax(z: Array, axis: Axis) -> Array:
    e = jnp.exp(_minus_max(z, jnp.max(z, axis, keepdims=True, initial=-jnp.inf)))
    return e / jnp.sum(e, axis, keepdims=True)


@softmax.defjvp
def _softmax_jvp(axis: Axis, primals: tuple[Array], tangents: tuple[Array]) -> Pair:
    (z,), (dz,) = primals, tangents
    p = softmax(z, axis)
    return p, p * (dz - jnp.sum(p * dz, axis, keepdims=True))


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def log_softmax(z: Array, axis: Axis) -> Array:
    # The maximum and the logarithm are kept apart: their rounded sum loses digits.
    shifted = _minus_max(z, jnp.max(z, axis, keepdims=True, initial=-jnp.inf))
    return shifted - jnp.log(jnp.sum(jnp.exp(shifted), axis, keepdims=True))


@log_softmax.defjvp
def _log_softmax_jvp(axis: Axis, primals: tuple[Array], tangents: tuple[Array]) -> Pair:
    (z,), (dz,) = primals, tangents
    return log_softmax(z, axis), dz - jnp.sum(softmax(z, axis) * dz, axis, keepdims=True)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def cross_entropy(t: Array, z: Array, axis: Axis) -> Array:
    """-Σ t log softmax(z); a class of weight 0 may have the logit -inf."""
    return -jnp.sum(xmuly(t, log_softmax(z, axis)), axis)


@cross_entropy.defjvp
def _cross_entropy_jvp(axis: Axis, primals: Pair, tangents: Pair) -> Pair:
    (t, z), (dt, dz) = primals, tangents
    mass = jnp.sum(t, axis, keepdims=True)  # targets need not sum to 1
    by_z = jnp.sum((mass * softmax(z, axis) - t) * dz, axis)
    return cross_entropy(t, z, axis), by_z - jnp.sum(dt * finite(log_softmax(z, axis)), axis)


def pick(x: Array, labels: Array, axis: int) -> tuple[Array, Array]:
    """x at each label along `axis`, and whether there is such a class."""
    classes = x.shape[axis]
    index = jnp.expand_dims(jnp.clip(labels, 0, max(0, classes - 1)), axis)
    picked = jnp.squeeze(jnp.take_along_axis(x, index, axis), axis)
    return picked, (labels >= 0) & (labels < classes)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def label_cross_entropy(labels: Array, z: Array, axis: int) -> Array:
    """-log softmax(z) at integer labels, without a one-hot; 0 for a label out of range."""
    m = jnp.max(z, axis, keepdims=True, initial=-jnp.inf)
    log_sum = jnp.log(jnp.sum(jnp.exp(_minus_max(z, m)), axis))
    picked, valid = pick(z, labels, axis)
    return jnp.where(valid, log_sum - _minus_max(picked, jnp.squeeze(m, axis)), 0)


@label_cross_entropy.defjvp
def _label_cross_entropy_jvp(axis: int, primals: Pair, tangents: Pair) -> Pair:
    (labels, z), (_, dz) = primals, tangents
    picked, valid = pick(dz, labels, axis)
    slope = jnp.sum(softmax(z, axis) * dz, axis) - picked
    return label_cross_entropy(labels, z, axis), jnp.where(valid, slope, 0)


@jax.custom_jvp
def box_cox(p: Array, q: Array) -> Array:
    """(1 - p^q)/q for 0 <= p: -log p in the limit q = 0, and exact near p = 1."""
    return -jnp.expm1(q * jnp.log(p)) / q


@box_cox.defjvp
def _box_cox_jvp(primals: Pair, tangents: Pair) -> Pair:
    (p, q), (dp, dq) = primals, tangents
    # The slope at p = 0 is -inf; that at EPSILON is a finite push in the same direction.
    positive = jnp.where(p == 0, EPSILON, p)
    by_p = -power(positive, q) / positive  # q - 1 as an exponent would be rounded
    log_p = jnp.log(jnp.where(p == 0, 1, p))
    by_q = -(power(p, q) * log_p + box_cox(p, q)) / q
    return box_cox(p, q), dp * by_p + dq * by_q


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def unit(x: Array, axis: Axis) -> Array:
    """x divided by its norm, or by EPSILON if that is larger."""
    return x * _inverse_norm(x, axis)


def _inverse_norm(x: Array, axis: Axis) -> Array:
    # The floor comes before the root: 1/√0 has no finite derivative.
    return jax.lax.rsqrt(jnp.maximum(jnp.sum(x * x, axis, keepdims=True), EPSILON**2))


@unit.defjvp
def _unit_jvp(axis: Axis, primals: tuple[Array], tangents: tuple[Array]) -> Pair:
    (x,), (dx,) = primals, tangents
    # Traced, the cube of the inverse norm underflows for |x| > 1e12.
    out, inverse = unit(x, axis), _inverse_norm(x, axis)
    along = out * jnp.sum(out * dx, axis, keepdims=True)
    return out, inverse * (dx - jnp.where(inverse < 1 / EPSILON, along, 0))
