"""Curves of an error that are made of pieces: values as in `elementwise`, each derivative a rule.

At a kink a derivative is the middle of its two sides.
"""

from jax import numpy as jnp

from lossjax.core.types import Array
from lossjax.math.elementwise import absolute, finite, floored, quotient
from lossjax.math.fusion import at_least, at_most, between, bounded, largest, partials


def _inside(e: Array, width: Array) -> Array:
    """1 where |e| < width, 1/2 at equality, else 0."""
    return (jnp.sign(width - absolute(e)) + 1) / 2


def _inverse(width: Array) -> Array:
    return 1 / jnp.where(width == 0, jnp.inf, width)


@partials(
    lambda de, _, e, width: de * _inside(e, width) * _inverse(width),
    lambda dw, out, e, width: dw * -out * _inside(e, width) * _inverse(width),
)
def ramp(e: Array, width: Array) -> Array:
    """e / width, no more than ±1; the sign of e for a width of 0."""
    return jnp.where(width == 0, jnp.sign(e), jnp.clip(e / jnp.where(width == 0, 1, width), -1, 1))


@partials(
    lambda de, _, e, width: de * ramp(e, width),
    lambda dw, _, e, width: dw * (-0.5) * ramp(e, width) ** 2,
)
def rounded_abs(e: Array, width: Array) -> Array:
    """|e| - width/2, and the parabola e² / (2 width) up to |e| = width."""
    return _rounded(jnp.abs(e), width)


def _rounded(size: Array, width: Array) -> Array:
    # A width of 0 makes 0 of 0 and 1 of all else.
    tiny = float(jnp.finfo(size.dtype).tiny)
    return at_most(1.0, size / jnp.maximum(width, tiny)) * (size - 0.5 * jnp.minimum(width, size))


def tilt(u: Array, level: Array) -> Array:
    """level where u > 0, 1 - level where u < 0, 1/2 at 0."""
    above = (jnp.sign(u) + 1) / 2
    return level * above + (1 - level) * (1 - above)


def _pinball_slope(u: Array, level: Array, width: Array) -> Array:
    return jnp.where((u == 0) & (width == 0), level - 0.5, tilt(u, level) * ramp(u, width))


@partials(
    lambda du, _, u, level, width: du * _pinball_slope(u, level, width),
    lambda dl, _, u, level, width: dl * jnp.sign(u) * rounded_abs(u, width),
    lambda dw, _, u, level, width: dw * (-0.5) * tilt(u, level) * ramp(u, width) ** 2,
)
def pinball(u: Array, level: Array, width: Array) -> Array:
    """`rounded_abs`, times level where u > 0 and 1 - level where u < 0."""
    # Not the larger of two products: where both are flushed to 0 it has another slope.
    above, below = at_least(0.0, u), at_least(0.0, -u)
    return level * _rounded(above, width) + (1 - level) * _rounded(below, width)


@partials(
    lambda du, _, u, level: du * 2 * tilt(u, level) * bounded(u),
    lambda dl, _, u, level: dl * absolute(u) * u,
)
def expectile_curve(u: Array, level: Array) -> Array:
    """u², times level where u > 0 and 1 - level where u < 0."""
    above, below = at_least(0.0, u), at_least(0.0, -u)
    return level * (above * above) + (1 - level) * (below * below)


@partials(
    lambda dl, _, low, x: dl * (1 - jnp.sign(x - low)) / 2,
    lambda dx, _, low, x: dx * (1 + jnp.sign(x - low)) / 2,
)
def no_less(low: Array, x: Array) -> Array:
    """As `floored`, with a bound to differentiate by."""
    return at_least(low, x)


def beyond(e: Array, width: Array) -> Array:
    """By how much |e| exceeds width."""
    return floored(0.0, absolute(e) - width)


@partials(
    lambda da, _, a, size: da * finite(_inverse(size) * _inverse(size)),
    lambda ds, out, a, size: ds * -2 * finite(out) * _inverse(size),
)
def _over_square(a: Array, size: Array) -> Array:
    """a / size² for a ≤ size, 0 for 0 / 0."""
    # XLA makes a / size² of two quotients, and the square may be 0.
    return quotient(a, size) * quotient(jnp.ones_like(size), size)


def _closer(a: Array, b: Array) -> Array:
    """∂/∂b of `disparity`: 0 where the signs differ, and the middle at b = 0."""
    same = 1 + jnp.sign(a) * jnp.sign(b)
    return _over_square(absolute(a), absolute(a) + absolute(b)) * jnp.sign(b - a) * same


@partials(
    lambda da, _, a, b: da * _closer(b, a),
    lambda db, _, a, b: db * _closer(a, b),
)
def disparity(a: Array, b: Array) -> Array:
    """|a - b| / (|a| + |b|), 0 for two zeros and 1 for an infinite one."""
    big, tiny = largest(a) / 4, float(jnp.finfo(a.dtype).tiny)
    a, b = between(-big, big, a), between(-big, big, b)
    return jnp.abs(a - b) / at_least(tiny, jnp.abs(a) + jnp.abs(b))
