"""Stable elementwise primitives with derivatives of their own; both modes, every order.

A rule is written with primitives of this file, so that differentiating it again is exact too.
Values are written with max and min in place of select and clip: see `fusion`.
"""

from collections.abc import Callable

import jax
from jax import lax
from jax import numpy as jnp

from lossjax.core.types import Array, Axis, Hyper
from lossjax.math.fusion import (
    at_least,
    at_most,
    between,
    bounded,
    is_small,
    largest,
    looped,
    opaque,
    partials,
)

EPSILON = 1e-7  # Keras's `epsilon()`: the floor of norms, divisors and probabilities


def mean(x: Array, axis: Axis) -> Array:
    """Mean over `axis`; over an empty axis 0, not NaN."""
    total = jnp.sum(looped(x), axis)
    return total / max(1, x.size // max(1, total.size))


def finite(x: Array) -> Array:
    """±inf becomes a number so large that doubling it still fits: 0 * x is 0, never NaN."""
    big = largest(x) / 4
    return jnp.clip(x, -big, big)


@partials(lambda dx, _, x, y: dx * finite(y), lambda dy, _, x, y: dy * x)
def xmuly(x: Array, y: Array) -> Array:
    """x * y with 0 * inf = 0: a class of weight 0 adds nothing, however impossible it is.

    Other products with ±inf are huge, for `settle` after the sum.
    """
    return x * bounded(y)


@partials(lambda dx, _, log_q: -dx)
def surprise(log_q: Array) -> Array:
    """-log q, with inf as the largest number: see `settle`."""
    return at_most(largest(log_q), -log_q)


# jnp.abs has slope +1 at 0; the symmetric subgradient there is 0.
@partials(lambda dx, _, x: dx * jnp.sign(x))
def absolute(x: Array) -> Array:
    return jnp.abs(x)


# At a bound the derivative is the middle of both sides. That of jnp.maximum divides for it.
@partials(lambda dx, _, low, x: dx * (jnp.sign(x - low) + 1) / 2, static=1)
def floored(low: float, x: Array) -> Array:
    """max(low, x)."""
    return at_least(low, x)


@partials(lambda dx, _, x: dx * (jnp.sign(x - EPSILON) + jnp.sign(1 - x)) / 2)
def share(x: Array) -> Array:
    """x clipped to [EPSILON, 1]."""
    return between(EPSILON, 1.0, x)


@partials(lambda dx, _, x: dx * (jnp.sign(x - EPSILON) + jnp.sign(1 - EPSILON - x)) / 2)
def probability(x: Array) -> Array:
    """x clipped to [EPSILON, 1 - EPSILON]."""
    return between(EPSILON, 1 - EPSILON, x)


@partials(
    lambda da, _, a, b: da * _inverse(b),
    lambda db, out, a, b: -db * _inverse(b) * finite(out),
)
def quotient(a: Array, b: Array) -> Array:
    """a / b, and a * 1e18 for b = 0; the derivative never squares b, which would overflow."""
    return a / jnp.where(b == 0, 1e-18, b)


def _inverse(b: Array) -> Array:
    return finite(quotient(jnp.ones_like(b), b))


@partials(lambda dx, _, x: dx / (1 + x))
def _log1p_in_loop(x: Array) -> Array:
    """log(1 + x) for x > -1: log1p takes longer in the loops of derivatives, and errs more.

    Source: Kahan (1979), Implementation of algorithms; Goldberg (1991), theorem 4.
    """
    one = opaque(1.0, x)  # XLA would make x of (1 + x) - 1
    y = one + x
    big = largest(x)
    return jnp.log(y) + (jnp.minimum(x, big) - (jnp.minimum(y, big) - one)) / y


@jax.custom_jvp
def log1p(x: Array) -> Array:
    return _log1p_in_loop(x) if is_small(x) else jnp.log1p(x)


log1p.defjvp(lambda xs, dxs: (_log1p_in_loop(*xs), dxs[0] / (1 + xs[0])))


# Traced, the product rule meets 0 * inf at an infinite error or delta.
@partials(
    lambda de, _, e, delta: de * jnp.clip(e, -delta, delta),
    lambda dd, _, e, delta: dd * finite(jnp.maximum(absolute(e) - delta, 0)),
)
def huber_curve(e: Array, delta: Array) -> Array:
    """e²/2 up to |e| = delta, the tangent line beyond."""
    q = jnp.minimum(jnp.abs(e), delta)
    return q * (jnp.abs(e) - 0.5 * q)


@partials(lambda de, _, e: de * jnp.tanh(e))
def log_of_cosh(e: Array) -> Array:
    # cosh e = 1 + m²/(2(1 + m)) with m = exp(|e|) - 1 keeps all digits near 0, where
    # |e| + log(1 + exp(-2|e|)) - log 2 is 0 for |e| < 3e-4; from 40 on cosh e is exp(|e|)/2.
    a = jnp.abs(e)
    near = at_most(40.0, a)
    m = jnp.expm1(near)
    return log1p(m * (m / (2 + 2 * m))) + (a - near)


@partials(lambda da, _, a, b: da / a, lambda db, _, a, b: -db / b)
def _log_ratio(a: Array, b: Array) -> Array:
    """log(a / b), exact where a is near b, and far from it.

    The difference of two logarithms loses every digit that they share.
    """
    d = a - b
    size = jnp.abs(d)
    log = log1p(size / jnp.minimum(a, b))
    if is_small(d):
        return jnp.where(d < 0, -log, log)
    return d * (log / jnp.maximum(size, 1e-30))  # signed, 0 at 0


@partials(
    lambda da, _, a, b: da * (_log_ratio(a, b) + 1),
    lambda db, _, a, b: db * -(a / b),
)
def divergence(a: Array, b: Array) -> Array:
    """a log(a / b), exact where a is near b."""
    return a * _log_ratio(a, b)


@partials(lambda da, _, a, b: da / (1 + a), lambda db, _, a, b: -db / (1 + b))
def _log_ratio_1p(a: Array, b: Array) -> Array:
    """log((1 + a) / (1 + b)), as `_log_ratio`."""
    size = _log1p_in_loop(jnp.abs(a - b) * (1 / (1 + jnp.minimum(a, b))))
    return jnp.where(a < b, -size, size)


@partials(
    lambda da, _, a, b: da * 2 * finite(_log_ratio_1p(a, b)) / (1 + a),
    lambda db, _, a, b: db * 2 * finite(_log_ratio_1p(b, a)) / (1 + b),
)
def squared_log_ratio(a: Array, b: Array) -> Array:
    """log²((1 + a) / (1 + b)), exact where a is near b, and far from it."""
    size = log1p(jnp.abs(a - b) / (1 + jnp.minimum(a, b)))
    return size * size


def power(x: Array, y: Hyper) -> Array:
    """x ** y for x ≥ 0: exact for a Python number, within y |log x| ulps for an array.

    The derivative y * x ** (y - 1) counts as 0 where it is infinite, at x = 0.
    """
    if isinstance(y, int):
        return lax.integer_pow(x, y)
    return _known_power(y, x) if isinstance(y, float) else _power(x, y)


@partials(lambda dx, _, y, x: dx * y * slope_of_power(x, y), static=1)
def _known_power(y: float, x: Array) -> Array:
    return jnp.power(x, y)


@partials(
    lambda dx, _, x, y: dx * y * jnp.where(x < 0, -1, 1) * slope_of_power(x, y),
    lambda dy, out, x, y: dy * out * jnp.log(jnp.where(x == 0, 1, jnp.abs(x))),
)
def _power(x: Array, y: Array) -> Array:
    # XLA's own power takes six times longer. 0 ** 0 is 1: 0 * log 0 must not be NaN.
    return jnp.exp(y * at_least(-1e30, jnp.log(jnp.abs(x))))


def slope_of_power(x: Array, y: Hyper) -> Array:
    """x ** (y - 1), and 0 where that is infinite."""
    slope = power(x, y - 1)
    return jnp.where(jnp.isinf(slope), 0, slope)


def _power_less_1(x: Array, y: Hyper) -> Array:
    """x ** (y - 1), to be multiplied by 0 where x = 0: there it is huge in place of infinite."""
    return power(x if isinstance(y, int) else at_least(1e-37, x), y - 1)


@partials(lambda dz, _, z: dz * jnp.where(z > 0, -1, 1))
def _negative_size(z: Array) -> Array:
    """-|z|, at 0 with the slope of z < 0, which `_sigmoids` needs there."""
    return -jnp.abs(z)


def _sigmoids(z: Array) -> tuple[Array, Array]:
    """σ(z) and σ(-z), both with all digits, from one exponential."""
    e = jnp.exp(_negative_size(z))
    near = 1 / (1 + e)
    return jnp.where(z > 0, near, e * near), jnp.where(z > 0, e * near, near)


def _by_logit(t: Array, u: Array, z: Array) -> Array:
    # σ(z) - t would round to 0 as soon as σ(z) rounds to t = 1.
    p, not_p = _sigmoids(z)
    return u * p - t * not_p


def binary_cross_entropy(t: Array, u: Array, z: Array) -> Array:
    """-t log σ(z) - u log σ(-z) for t + u = 1; 0 at the perfect infinite logit.

    u is an argument because 1 - t loses the digits of a smoothed label.
    """
    return _entropy(log1p, t, u, z)


@partials(
    lambda dt, _, log1p, t, u, z: dt * finite(jax.nn.softplus(-z)),
    lambda du, _, log1p, t, u, z: du * finite(jax.nn.softplus(z)),
    lambda dz, _, log1p, t, u, z: dz * _by_logit(t, u, z),
    static=1,
)
def _entropy(log1p: Callable[[Array], Array], t: Array, u: Array, z: Array) -> Array:
    x = bounded(z)
    return u * at_least(0.0, x) - t * at_most(0.0, x) + log1p(jnp.exp(_negative_size(z)))


@partials(
    lambda dt, _, t, u, z: dt * finite(jax.nn.softplus(-z)),
    lambda du, _, t, u, z: du * finite(jax.nn.softplus(z)),
    lambda dz, _, t, u, z: dz * _by_logit(t, u, z),
)
def weighted_cross_entropy(t: Array, u: Array, z: Array) -> Array:
    """As `binary_cross_entropy`, for any t and u ≥ 0."""
    x = bounded(z)
    tail = (t + u) * _log1p_in_loop(jnp.exp(_negative_size(z)))
    return u * at_least(0.0, x) - t * at_most(0.0, x) + tail


def _wrongness(t: Array, u: Array, z: Array) -> tuple[Array, Array, Array, Array]:
    """σ(z), σ(-z), 1 - p_t and the entropy."""
    # At an infinite logit the entropy is infinite and 1 - p_t has slope 0: finite() makes
    # their product the limit 0.
    z = finite(z)
    p, not_p = _sigmoids(z)
    return p, not_p, t * not_p + u * p, _entropy(_log1p_in_loop, t, u, z)


def _focal_by_label(t: Array, u: Array, z: Array, gamma: Hyper, sign: int) -> Array:
    p, not_p, wrongness, entropy = _wrongness(t, u, z)
    slope = gamma * _power_less_1(wrongness, gamma) * entropy * (p if sign > 0 else not_p)
    return slope + power(wrongness, gamma) * finite(jax.nn.softplus(sign * z))


def _focal_by_z(t: Array, u: Array, z: Array, gamma: Hyper) -> Array:
    p, not_p, wrongness, entropy = _wrongness(t, u, z)
    inner = gamma * entropy * (u - t) * (p * not_p) + wrongness * (u * p - t * not_p)
    return _power_less_1(wrongness, gamma) * inner


def _focal_by_gamma(t: Array, u: Array, z: Array, gamma: Hyper) -> Array:
    _, _, wrongness, entropy = _wrongness(t, u, z)
    return power(wrongness, gamma) * jnp.log(jnp.where(wrongness == 0, 1, wrongness)) * entropy


@partials(
    lambda dt, _, n, t, u, z, gamma: dt * _focal_by_label(t, u, z, n or gamma, -1),
    lambda du, _, n, t, u, z, gamma: du * _focal_by_label(t, u, z, n or gamma, 1),
    lambda dz, _, n, t, u, z, gamma: dz * _focal_by_z(t, u, z, n or gamma),
    lambda dgamma, _, n, t, u, z, gamma: dgamma * _focal_by_gamma(t, u, z, gamma),
    static=1,
)
def binary_focal(n: float, t: Array, u: Array, z: Array, gamma: Array) -> Array:
    """(1 - p_t)^gamma times the binary cross-entropy of the logits z; gamma = n unless n is 0.

    1 - p_t is a sum of two terms ≥ 0, so that it keeps its digits where p_t rounds to 1.
    """
    wrongness = t * jax.nn.sigmoid(-z) + u * jax.nn.sigmoid(z)
    return power(wrongness, n or gamma) * binary_cross_entropy(t, u, z)


def _focal_by_log_q(log_q: Array, gamma: Hyper) -> Array:
    u = -jnp.expm1(log_q)
    # q log q is 0 at q = 0
    inner = gamma * jnp.exp(log_q) * at_least(-largest(log_q), log_q) - u
    return _power_less_1(u, gamma) * inner


def _focal_by_exponent(log_q: Array, gamma: Array) -> Array:
    u = -jnp.expm1(log_q)
    return -power(u, gamma) * jnp.log(jnp.where(u == 0, 1, u)) * finite(log_q)


@partials(
    lambda dlog_q, _, n, log_q, gamma: dlog_q * _focal_by_log_q(log_q, n or gamma),
    lambda dgamma, _, n, log_q, gamma: dgamma * _focal_by_exponent(log_q, gamma),
    static=1,
)
def focal(n: float, log_q: Array, gamma: Array) -> Array:
    """-(1 - q)^gamma log q; gamma = n unless n is 0."""
    return -power(-jnp.expm1(log_q), n or gamma) * log_q


def pick(x: Array, labels: Array, axis: int) -> tuple[Array, Array]:
    """x at each label along `axis`, and whether there is such a class."""
    classes = x.shape[axis]
    index = jnp.expand_dims(jnp.clip(labels, 0, max(0, classes - 1)), axis)
    picked = jnp.squeeze(jnp.take_along_axis(x, index, axis), axis)
    return picked, (labels >= 0) & (labels < classes)


@partials(
    lambda dp, out, p, q: dp * jnp.where(p == 0, 0, (q - 1) * finite(out / _positive(p))),
    lambda dq, out, p, q: dq * out * jnp.log(_positive(p)),
)
def _box_cox_by_p(p: Array, q: Array) -> Array:
    positive = _positive(p)
    return -jnp.power(positive, q) / positive  # q - 1 as an exponent would be rounded


def _positive(p: Array) -> Array:
    # The slope at p = 0 is -inf; that at EPSILON is a finite push in the same direction.
    return jnp.where(p == 0, EPSILON, p)


def _box_cox_by_q(p: Array, q: Array) -> Array:
    log_p = jnp.log(jnp.where(p == 0, 1, p))
    return -(jnp.power(p, q) * log_p + box_cox(p, q)) / q


@partials(
    lambda dp, _, p, q: dp * _box_cox_by_p(p, q), lambda dq, _, p, q: dq * _box_cox_by_q(p, q)
)
def box_cox(p: Array, q: Array) -> Array:
    """(1 - p^q)/q for 0 <= p: -log p in the limit q = 0, and exact near p = 1."""
    return -jnp.expm1(q * jnp.log(p)) / q
