"""Curves of an error x in units of a scale that grow less than x², with their derivatives.

Squares of large x would overflow: 1 + x² is M² (1 + m²/M²), M the larger of 1 and |x|.
"""

from collections.abc import Callable

from jax import numpy as jnp

from lossjax.core.types import Array
from lossjax.math.curves import ramp
from lossjax.math.elementwise import log1p, quotient
from lossjax.math.fusion import at_least, at_most, bounded, partials

_FAR = 1e37  # beyond it an error counts as this far, and as infinite where it is a factor


def _parts(x: Array) -> tuple[Array, Array]:
    """M and m²/M²."""
    size = at_most(_FAR, jnp.abs(x))
    large = at_least(1.0, size)
    small = at_most(1.0, size) / large
    return large, small * small


def _root_rule(dx: Array, _: Array, x: Array) -> Array:
    return dx * -slant(x) * root(x) ** 2


@partials(_root_rule)
def root(x: Array) -> Array:
    """1 / √(1 + x²)."""
    large, rest = _parts(x)
    return 1 / (large * jnp.sqrt(1 + rest))


@partials(lambda dx, _, x: dx * root(x) ** 3)
def slant(x: Array) -> Array:
    """x / √(1 + x²)."""
    large, rest = _parts(x)
    return jnp.clip(x, -_FAR, _FAR) / (large * jnp.sqrt(1 + rest))


def _decay_rule(dx: Array, _: Array, x: Array) -> Array:
    return dx * -2 * pull(x) * decay(x)


@partials(_decay_rule)
def decay(x: Array) -> Array:
    """1 / (1 + x²)."""
    large, rest = _parts(x)
    return 1 / large * (1 / (large * (1 + rest)))


def _pull_rule(dx: Array, _: Array, x: Array) -> Array:
    return dx * decay(x) * (1 - 2 * jnp.clip(x, -_FAR, _FAR) * pull(x))


@partials(_pull_rule)
def pull(x: Array) -> Array:
    """x / (1 + x²)."""
    large, rest = _parts(x)
    # Of two quotients XLA makes one, by M², which overflows.
    return jnp.clip(x, -_FAR, _FAR) / large * (1 / (large * (1 + rest)))


def _of_ratio(slope: Callable[[Array], Array]) -> Callable[..., Callable[[Array, Array], Array]]:
    """Give a curve of e / scale its partial derivatives, of that by the ratio."""

    def by_scale(d: Array, _: Array, e: Array, scale: Array) -> Array:
        x = bounded(quotient(e, scale))
        return d * -x * slope(x) / scale

    return partials(lambda d, _, e, scale: d * slope(quotient(e, scale)) / scale, by_scale)


@partials(
    lambda de, _, e, delta: de * delta * slant(quotient(e, delta)),
    lambda dd, _, e, delta: dd * delta * _by_delta(bounded(quotient(e, delta))),
)
def pseudo_huber_curve(e: Array, delta: Array) -> Array:
    """delta² (√(1 + (e / delta)²) - 1)."""
    x = jnp.abs(e) / delta
    large, rest = _parts(x)
    r = large * jnp.sqrt(1 + rest)
    return jnp.abs(e) * (delta * (at_most(_FAR, x) / (1 + r)))


def charbonnier_curve(e: Array, delta: Array) -> Array:
    """delta √(delta² + e²)."""
    return pseudo_huber_curve(e, delta) + delta * delta


def _by_delta(x: Array) -> Array:
    """(√ - 1)² / √, of 1 + x²."""
    half = slant(x) / (1 + root(x))
    return x * half * (half * slant(x))


_SQRT2 = 2**0.5


@_of_ratio(lambda x: _SQRT2 * pull(x / _SQRT2))
def cauchy_curve(e: Array, scale: Array) -> Array:
    """log(1 + x²/2), x = e / scale."""
    x = jnp.abs(e) / (_SQRT2 * scale)
    _, rest = _parts(x)
    return 2 * jnp.log(at_least(1.0, x)) + log1p(rest)


@_of_ratio(lambda x: 2 * pull(x / 2) * decay(x / 2))
def geman_mcclure_curve(e: Array, scale: Array) -> Array:
    """2 x² / (x² + 4), x = e / scale."""
    x = jnp.abs(e) / (2 * scale)
    _, rest = _parts(x)
    near = at_most(1.0, x)
    return near * (2 * near) / (1 + rest)


def _welsch_slope(x: Array) -> Array:
    x = jnp.clip(x, -100, 100)  # farther out it is 0 in any dtype
    half = jnp.exp(-0.25 * jnp.square(x))  # of its square x may be the larger part
    return x * half * half


@_of_ratio(_welsch_slope)
def welsch_curve(e: Array, scale: Array) -> Array:
    """1 - exp(-x²/2), x = e / scale."""
    return -jnp.expm1(-0.5 * jnp.square(e / scale))


@partials(
    lambda de, _, e, cutoff: de * _tukey_slope(e, cutoff),
    lambda dc, _, e, cutoff: dc * _tukey_rest(ramp(e, cutoff)) * cutoff,
)
def tukey_curve(e: Array, cutoff: Array) -> Array:
    """(1 - (1 - r²)³) cutoff² / 6, r = e / cutoff, no more than ±1."""
    near = at_most(cutoff, jnp.abs(e))
    r = near / cutoff
    u = r * r
    return near * near * (0.5 - 0.5 * u + u * u / 6)


def _tukey_slope(e: Array, cutoff: Array) -> Array:
    near = jnp.clip(e, -cutoff, cutoff)
    # Not 1 - r²: of r the last digits are gone, which count near ±1.
    rest = (cutoff - near) / cutoff * ((cutoff + near) / cutoff)
    return near * jnp.square(rest)


def _tukey_rest(r: Array) -> Array:
    return r**4 * (1 - r**2 * (2 / 3))
