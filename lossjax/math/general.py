"""Barron's general robust curve: ρ = b / shape ((1 + x²/b)^(shape/2) - 1), with b = |shape - 2|.

Written so, it is 0 / 0 at the shapes 0 and 2, and loses its digits near them. All is made of

    growth    L = b/2 log(1 + x²/b),                 no less than 0 and no more than x²/2
    slope     ∂ρ/∂x = x exp(∓L),                     - for a shape below 2, + above
    by shape  ∂ρ/∂shape = b/4 ∫ k(u) exp(u shape/2), over u from 0 to ℓ = log(1 + x²/b)

with k(u) = u - 1 + exp(-u), in which no small difference of large numbers is left. At the shape 2
the derivative by it is infinite: there it is that of the shape beside 2.
"""

import math
from typing import NamedTuple

import numpy as np
from jax import lax
from jax import numpy as jnp

from lossjax.core.types import Array
from lossjax.math.elementwise import log1p, quotient
from lossjax.math.fusion import at_least, at_most, bounded, derivative, partials

_FAR = 1e37
_ORDERS = 16  # of a Taylor series that is used up to 1, in float64
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(8)


def _series(x: Array, coefficient: tuple[float, ...]) -> Array:
    total = jnp.full_like(x, coefficient[-1])
    for c in coefficient[-2::-1]:
        total = total * x + c
    return total


_FIRST_MOMENT = tuple(1 / (math.factorial(m) * (m + 2)) for m in range(_ORDERS))
_KERNEL = tuple((-1) ** m / math.factorial(m + 2) for m in range(_ORDERS))


def _small(x: Array) -> Array:
    return jnp.clip(x, -1, 1)


def _not_small(x: Array) -> Array:
    return jnp.where(jnp.abs(x) < 1, 1, x)


def _exp_moment(y: Array) -> Array:
    """∫ v exp(yv) over v from 0 to 1."""
    z = _not_small(y)
    closed = (jnp.exp(z) * (z - 1) + 1) / z / z
    return jnp.where(jnp.abs(y) < 1, _series(_small(y), _FIRST_MOMENT), closed)


@partials(lambda dy, _, y: dy * _exp_moment(y))
def _exp_mean(y: Array) -> Array:
    """∫ exp(yv) over v from 0 to 1."""
    z = jnp.where(jnp.abs(y) < 1e-17, 1e-17, y)
    return jnp.expm1(z) / z


def _kernel(u: Array) -> Array:
    """(u - 1 + exp(-u)) / u²."""
    z = _not_small(u)
    closed = (z + jnp.expm1(-z)) / z / z
    return jnp.where(u < 1, _series(_small(u), _KERNEL), closed)


def _distance(shape: Array, least: float) -> tuple[Array, Array]:
    """b, no less than `least`, and its sign: 1 for shapes up to 2."""
    return jnp.maximum(jnp.abs(shape - 2), least), jnp.where(shape > 2, -1, 1).astype(shape.dtype)


def _parts(x: Array, width: Array) -> tuple[Array, Array, Array]:
    """M, 1/M and m²/M², M the larger of 1 and |x| / width, m the smaller one."""
    # Twice: an infinite width makes NaN of an infinite x, a small one an infinite size.
    size = at_most(_FAR, at_most(_FAR, jnp.abs(x)) * (1 / width))
    large = at_least(1.0, size)
    inverse = 1 / large
    small = at_most(1.0, size) * inverse
    return large, inverse, small * small


def _growth(x: Array, b: Array) -> Array:
    width = jnp.sqrt(b)
    large, inverse, rest = _parts(x, width)
    near = at_most(width, jnp.abs(x)) * inverse
    # Infinite b and small x have their x²/2: log(1 + q) / q is exact at any q.
    q = at_least(1e-17, rest)
    log = jnp.minimum(b, _FAR) * jnp.log(large) + 0.5 * near * near * (log1p(q) / q)
    return at_most(_FAR, log)


class _Terms(NamedTuple):
    """ρ = first L φ(inner L) + last x² exp(outer L), with φ(y) = (exp(y) - 1) / y."""

    first: Array
    inner: Array
    last: Array
    outer: Array


def _terms(shape: Array, b: Array, sign: Array) -> _Terms:
    """ρ is (exp(κL) - 1) / κ, κ = shape / b; near the shape 2, where κ is infinite, another sum."""
    near = (shape >= 1) & (shape <= 3)
    safe = jnp.where(near, shape, 1)
    ratio = jnp.where(jnp.isinf(shape), jnp.sign(shape), shape / b)
    return _Terms(
        jnp.where(near, -sign * b / safe, 1),
        jnp.where(near, -sign, ratio),
        jnp.where(near, 1 / safe, 0),
        jnp.where(near, -sign, 0),
    )


_LEAST = 1e-24  # a b at which L is 0 beside 1


def _curve_by_x(dx: Array, _: Array, x: Array, shape: Array) -> Array:
    return dx * slope(x, shape)


def _curve_by_shape(ds: Array, _: Array, x: Array, shape: Array) -> Array:
    return ds * by_shape(x, shape)


@partials(_curve_by_x, _curve_by_shape)
def curve(x: Array, shape: Array) -> Array:
    """ρ, of an error in units of the scale."""
    b, sign = _distance(shape, _LEAST)
    terms, growth = _terms(shape, b, sign), _growth(x, b)
    y = at_least(1e-17, jnp.abs(terms.inner) * growth) * jnp.where(terms.inner < 0, -1, 1)
    size = at_most(_FAR, jnp.abs(x))
    square = terms.last * size * (size * jnp.exp(terms.outer * growth))
    return terms.first * growth * (jnp.expm1(y) / y) + square


def _slope_by_x(dx: Array, _: Array, x: Array, shape: Array) -> Array:
    b, sign = _distance(shape, _LEAST)
    _, inverse, rest = _parts(x, jnp.sqrt(b))
    near = jnp.minimum(jnp.minimum(jnp.sqrt(b), jnp.abs(x)), 1e15)
    ratio = jnp.where(jnp.isinf(shape), jnp.sign(shape), (shape - 1) / b)
    # 1 - x ∂L/∂x, of two addends that do not cancel to 0 far out.
    bend = (inverse * inverse + ratio * near * near) / (1 + rest)
    return dx * jnp.exp(-sign * _growth(x, b)) * bend


def _bend_by_shape(x: Array, shape: Array) -> Array:
    """∂²ρ / ∂x ∂shape."""
    log = _log(x, shape)
    return 0.5 * slope(x, shape) * log * log * _kernel(log)


def _slope_by_shape(ds: Array, _: Array, x: Array, shape: Array) -> Array:
    return ds * _bend_by_shape(x, shape)


@partials(_slope_by_x, _slope_by_shape)
def slope(x: Array, shape: Array) -> Array:
    """∂ρ/∂x."""
    b, sign = _distance(shape, _LEAST)
    half = jnp.exp(-0.5 * sign * _growth(x, b))  # of its square x may be the larger part
    return jnp.clip(x, -_FAR, _FAR) * half * half


def _near(shape: Array) -> tuple[Array, Array]:
    """As `_distance`; at the shape 2 that of one beside it."""
    b, sign = _distance(shape, float(jnp.finfo(shape.dtype).eps))
    return jnp.minimum(b, 2e18), sign


def _log(x: Array, shape: Array) -> Array:
    """log(1 + x²/b)."""
    b, _ = _near(shape)
    large, _, rest = _parts(x, jnp.sqrt(b))
    return 2 * jnp.log(large) + log1p(rest)


def _by_shape(x: Array, shape: Array) -> Array:
    """ℓ³ b/4 ∫ v² K(ℓv) exp(yv) over v from 0 to 1, with y = ℓ shape/2 and K(u) = k(u) / u².

    For |y| ≥ 1 it is integrated by parts; the others are closed for a long ℓ, and by Gauss's rule
    for a short one, where the closed form cancels.
    """
    b, sign = _near(shape)
    log = _log(x, shape)
    y = jnp.clip(shape / 2, -1e18, 1e18) * log
    less = -sign * b / 2 * log  # y - ℓ
    z, long, short = _not_small(y), jnp.maximum(log, 1), jnp.minimum(log, 1)
    half = jnp.exp(z / 2)  # of its square, b may be the other half
    ends = (_kernel(log) - _exp_mean(-log) / z) / z
    far = b * half * half * ends + b * _exp_mean(less) / z / z
    closed = _exp_moment(_small(y)) - (_exp_mean(_small(y)) - _exp_mean(less)) / long
    by_rule = sum(
        w / 2 * v * v * _kernel(v * short) * jnp.exp(v * _small(y))
        for v, w in zip((1 + _NODES) / 2, _WEIGHTS, strict=True)
    )
    near = b * jnp.where(log < 1, by_rule, closed / long)
    return log * log * log * jnp.where(jnp.abs(y) < 1, near, far) / 4


def _by_shape_by_x(dx: Array, _: Array, x: Array, shape: Array) -> Array:
    return dx * _bend_by_shape(x, shape)


def _by_shape_twice(ds: Array, _: Array, x: Array, shape: Array) -> Array:
    return ds * derivative(_by_shape, jnp.broadcast_arrays(x, shape), 1)


@partials(_by_shape_by_x, _by_shape_twice)
def by_shape(x: Array, shape: Array) -> Array:
    """∂ρ/∂shape."""
    return _by_shape(x, shape)


@partials(
    lambda d, _, e, shape, scale: d * slope(quotient(e, scale), shape) / scale,
    lambda d, _, e, shape, scale: d * by_shape(quotient(e, scale), shape),
    lambda d, _, e, shape, scale: d * _by_scale(bounded(quotient(e, scale)), shape) / scale,
)
def general_curve(e: Array, shape: Array, scale: Array) -> Array:
    """ρ of e / scale."""
    return curve(e / scale, shape)


def _by_scale(x: Array, shape: Array) -> Array:
    return -x * slope(x, shape)


def log_partition(shape: Array) -> Array:
    """log ∫ exp(-ρ(x, shape)) dx over all x; infinite for a shape below 0.

    By the double exponential rule, in whose steps all tails are short: within 1e-10 at any shape.
    Source: Takahasi and Mori (1974), Publ. RIMS 9(3), 721-741.
    """
    step = 1 / 32
    u = np.arange(0, 3.75, step)
    t = np.pi / 2 * np.sinh(u)
    weights = step * np.pi * np.cosh(u) * np.cosh(t) * np.where(u == 0, 0.5, 1)
    nodes, shapes = jnp.asarray(np.sinh(t), shape.dtype), shape[..., None]
    # Where nothing is left of exp(-ρ), ρ and its derivatives overflow.
    counts = curve(nodes, lax.stop_gradient(shapes)) < 100
    heights = jnp.where(counts, jnp.exp(-curve(jnp.where(counts, nodes, 0), shapes)), 0)
    log = jnp.log(jnp.sum(jnp.asarray(weights, shape.dtype) * heights, -1))
    return jnp.where(shape < 0, jnp.inf, log)
