"""Stable elementwise primitives with derivatives of their own; both modes, every order.

A rule is written with primitives of this file, so that differentiating it again is exact too.
Values are written with max and min in place of select and clip: see `fusion`.
"""

import math

import jax
from jax import lax
from jax import numpy as jnp

from lossjax.core.check import exists
from lossjax.core.types import Array, Axis, Hyper
from lossjax.math.fusion import (
    at_least,
    at_most,
    between,
    bounded,
    derivative,
    is_small,
    largest,
    looped,
    opaque,
    partials,
    plainly,
    select,
    step,
)

EPSILON = 1e-7  # Keras's `epsilon()`: the floor of norms, divisors and probabilities


def mean(x: Array, axis: Axis) -> Array:
    """Mean over `axis`; over an empty axis 0, not NaN."""
    return plain_mean(looped(x), axis)


def plain_mean(x: Array, axis: Axis) -> Array:
    """As `mean`, of squares: the library computes them as fast as a loop of XLA."""
    total = jnp.sum(x, axis)
    return total / max(1, x.size // max(1, total.size))


def finite(x: Array) -> Array:
    """±inf becomes a number so large that doubling it still fits: 0 * x is 0, never NaN."""
    big = largest(x) / 4
    return jnp.clip(x, -big, big)


@jax.custom_jvp
def guarded(x: Array, alive: Array) -> Array:
    """`x` itself, without derivative in entries that count for nothing, whatever they hold.

    Free where values depend on their own sample alone.
    """
    return x


guarded.defjvp(lambda args, tangents: (args[0], jnp.where(args[1], tangents[0], 0)))


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


def _above(low: float, x: Array) -> Array:
    """The derivative of a floor: at it the middle of both sides, NaN for NaN."""
    x = lax.stop_gradient(x)  # a derivative of 0 would be multiplied with an infinite x
    return select(x > low, 1.0, select(x < low, 0.0, 0.5 + 0 * x))


def within(low: float, high: float, x: Array) -> Array:
    """The derivative of a clip: at a bound the middle of both sides."""
    inner, outer = (x > low) & (x < high), (x >= low) & (x <= high)
    return 0.5 * (inner.astype(x.dtype) + outer.astype(x.dtype))


@partials(lambda dx, _, low, x: dx * _above(low, x), static=1)
def floored(low: float, x: Array) -> Array:
    """max(low, x)."""
    return at_least(low, x)


@partials(lambda dx, _, x: dx * within(EPSILON, 1.0, x))
def share(x: Array) -> Array:
    """x clipped to [EPSILON, 1]."""
    return between(EPSILON, 1.0, x)


@partials(lambda dx, _, x: dx * within(EPSILON, 1 - EPSILON, x))
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


# Of the quotient the derivative is a difference of two, which may be equal.
@partials(
    lambda dw, _, none, wrong, right: dw * quotient(right, wrong + right) * _inverse(wrong + right),
    lambda dr, out, none, wrong, right: -dr * _where_any(out, wrong + right),
    static=1,
)
def wrong_share(none: float, wrong: Array, right: Array) -> Array:
    """wrong / (wrong + right) with all digits; `none`, without derivative, where both are 0."""
    total = wrong + right
    return jnp.where(total == 0, none, quotient(wrong, total))


def _where_any(out: Array, total: Array) -> Array:
    return jnp.where(total == 0, 0, out * _inverse(total))


@partials(lambda dx, _, x: dx / (1 + x))
def log1p_in_loop(x: Array) -> Array:
    """log(1 + x) for -1 < x < inf: log1p takes longer in the loops of derivatives, and errs more.

    Source: Kahan (1979), Implementation of algorithms; Goldberg (1991), theorem 4.
    """
    one = opaque(1.0, x)  # XLA would make x of (1 + x) - 1
    y = one + x
    return jnp.log(y) + (x - (y - one)) / y


@jax.custom_jvp
def log1p(x: Array) -> Array:
    """log(1 + x) for -1 < x < inf."""
    return log1p_in_loop(x) if is_small(x) else jnp.log1p(x)


log1p.defjvp(lambda xs, dxs: (log1p_in_loop(*xs), dxs[0] / (1 + xs[0])))


# Traced, the product rule meets 0 * inf at an infinite error or delta.
@partials(
    lambda de, _, e, delta: de * jnp.clip(e, -delta, delta),
    lambda dd, _, e, delta: dd * finite(jnp.maximum(absolute(e) - delta, 0)),
)
def huber_curve(e: Array, delta: Array) -> Array:
    """e²/2 up to |e| = delta, the tangent line beyond."""
    q = jnp.minimum(jnp.abs(e), delta)
    return q * (jnp.abs(e) - 0.5 * q)


def finite_exp(x: Array) -> Array:
    """exp(x), and about the largest number where that is infinite: 0 times it is 0."""
    return jnp.exp(at_most(0.99 * math.log(largest(x)), x))


@jax.custom_jvp
def logistic(x: Array) -> Array:
    """1 / (1 + exp(-x))."""
    return lax.logistic(x)


# That of jax.nn.sigmoid has 1 - its value in it, without digits where x is large.
logistic.defjvps(lambda dx, out, x: dx * out * logistic(-x))


# The derivative of jnp.expm1 is its value + 1, which has no digits of exp(x) far below 0.
@partials(lambda dx, _, x: dx * jnp.exp(x))
def expm1(x: Array) -> Array:
    return jnp.expm1(x)


def _powers(x: Array) -> int:
    """Of |x| < 1/2, that the series of exp needs."""
    return 9 if jnp.finfo(x.dtype).bits <= 32 else 15


@partials(lambda dx, _, x: dx * expm1(x))
def exp_beyond_line(x: Array) -> Array:
    """exp(x) - 1 - x, exact near 0, where it is x² / 2."""
    is_near = jnp.abs(x) < 0.5
    near, total = jnp.where(is_near, x, 0), jnp.zeros_like(x)
    for k in range(_powers(x), 2, -1):
        total = (total + 1) * near / k
    return jnp.where(is_near, 0.5 * near * near * (total + 1), jnp.expm1(x) - x)


def _mean_of_exp(x: Array) -> Array:
    """(exp(x) - 1) / x, also at 0."""
    is_near = jnp.abs(x) < 0.5
    near, total = jnp.where(is_near, x, 0), jnp.zeros_like(x)
    for k in range(_powers(x), 1, -1):
        total = (total + 1) * near / k
    far = jnp.where(is_near, 1, x)
    return jnp.where(is_near, total + 1, expm1(far) / far)


@partials(
    lambda dp, _, p, log_x: dp * log_x * log_x * derivative(_mean_of_exp, (p * log_x,)),
    lambda dl, _, p, log_x: dl * finite_exp(p * log_x),
)
def box_cox(p: Array, log_x: Array) -> Array:
    """(x^p - 1) / p, and log x for p = 0."""
    return log_x * _mean_of_exp(p * log_x)


@partials(
    lambda de, _, e, s: de * finite_exp(-s),
    lambda ds, out, e, s: -ds * out,
)
def scaled(e: Array, log_scale: Array) -> Array:
    """e exp(-log_scale): 0 for e = 0, however small the scale is."""
    return e * finite_exp(-log_scale)


@partials(lambda de, _, e: de * jnp.tanh(e))
def log_of_cosh(e: Array) -> Array:
    # cosh e = 1 + m²/(2(1 + m)) with m = exp(|e|) - 1 keeps all digits near 0, where
    # |e| + log(1 + exp(-2|e|)) - log 2 is 0 for |e| < 3e-4; from 40 on cosh e is exp(|e|)/2.
    a = jnp.abs(e)
    near = at_most(40.0, a)
    m = jnp.expm1(near)
    return log1p(m * (m / (2 + 2 * m))) + (a - near)


@partials(lambda da, _, far, a, b: da / a, lambda db, _, far, a, b: -db / b, static=1)
def log_ratio(far: bool, a: Array, b: Array) -> Array:
    """log(a / b), exact where a is near b, and far from it; `far`: also where a / b overflows.

    The difference of two logarithms loses every digit that they share.
    """
    return _made_log_ratio(far, a, b)


def _made_log_ratio(far: bool, a: Array, b: Array) -> Array:
    d = a - b
    size, low = jnp.abs(d), jnp.minimum(a, b)
    if is_small(d):
        log = _log1p_of_quotient(size, low) if far else _log1p_of_fraction(size, low)[1]
        return select(d < 0, -log, log)
    log = _log1p_of_quotient(size, low) if far else jnp.log1p(size / low)
    return d * (log / jnp.maximum(size, 1e-30))  # signed, 0 at 0


def _log1p_of_fraction(a: Array, b: Array) -> tuple[Array, Array]:
    """1 + a / b and, as `log1p_in_loop`, its logarithm: NaN of an infinite one.

    The quotient appears once: XLA would write one of two to memory.
    """
    one = opaque(1.0, a)
    y = one + a / b
    return y, jnp.log(y) + (a - (y - one) * b) / (y * b)


def _log1p_of_quotient(a: Array, b: Array) -> Array:
    """log(1 + a / b), also where a / b overflows."""
    part = a * 2.0**-64 / b
    far = step(at_least(0.0, part - 1))  # where 1 + a / b is a / b
    return log1p(part * (2.0**64 * (1 - far) + far)) + far * (64 * math.log(2))


@partials(
    lambda da, _, a, b: da * (log_ratio(False, a, b) + 1),
    lambda db, _, a, b: db * -(a / b),
)
def divergence(a: Array, b: Array) -> Array:
    """a log(a / b), exact where a is near b."""
    return a * _made_log_ratio(False, a, b)


@partials(lambda da, _, a, b: da / (1 + a), lambda db, _, a, b: -db / (1 + b))
def _log_ratio_1p(a: Array, b: Array) -> Array:
    """log((1 + a) / (1 + b)), as `log_ratio`."""
    return plainly(_made_log_ratio_1p, a, b)


def _made_log_ratio_1p(a: Array, b: Array) -> Array:
    difference, low = jnp.abs(a - b), 1 + jnp.minimum(a, b)
    if is_small(difference):
        size = difference / low
        log = log1p_in_loop(size)
    else:
        size, log = _log1p_of_fraction(difference, low)
    log = jnp.where(jnp.isinf(size), size, log)
    return jnp.where(a < b, -log, log)


@partials(
    lambda da, _, once, a, b: da * 2 * finite(_log_ratio_1p(a, b)) / (1 + a),
    lambda db, _, once, a, b: db * 2 * finite(_log_ratio_1p(b, a)) / (1 + b),
    static=1,
)
def squared_log_ratio(once: bool, a: Array, b: Array) -> Array:
    """log²((1 + a) / (1 + b)), exact where a is near b, and far from it.

    `once`: by the logarithm of the derivative.
    """
    if once:
        ratio = _log_ratio_1p(a, b)
        return ratio * ratio
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


def pick(x: Array, labels: Array, axis: int) -> tuple[Array, Array]:
    """x at each label along `axis`, and whether there is such a class."""
    classes = x.shape[axis]
    index = jnp.expand_dims(jnp.clip(labels, 0, max(0, classes - 1)), axis)
    picked = jnp.squeeze(jnp.take_along_axis(x, index, axis), axis)
    return picked, exists(labels, classes)


def weight_of(labels: Array, weight: Array) -> Array:
    """The weight of each label's class; a label out of range has that of the nearest class."""
    return weight[jnp.clip(labels, 0, max(0, weight.size - 1))] if weight.ndim else weight
