"""Logarithms of gamma functions and of densities, as what is left of them beside large terms.

log Γ(x) = (x - 1/2) log x - x + log(2π) / 2 + `stirling`(log x). Written so, differences of such
logarithms keep their digits: the large terms cancel on paper, and what is left are `deviance`s.
"""

import functools
import math
from collections.abc import Iterable

import jax
from jax import lax
from jax import numpy as jnp

from lossjax.core.types import Array
from lossjax.math.elementwise import finite_exp, logistic, scaled
from lossjax.math.fusion import partials

# log Γ from Binet's second integral by Gauss's quadrature, which is exact in the first eight terms
# of Stirling's series: from `_SHIFT` on it has 12 digits, and five terms of the series have 8.
_NODES = (0.0156718524155917728, 0.420046781714301113, 1.94997003935482723, 6.23403515597674825)
_WEIGHTS = (
    *(0.0798601307845654623, 0.00342939442926143147),
    *(0.0000437401979258753791, 6.79215805642018819e-8),
)
_SERIES = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188)
_SHIFT = 5


def _slope_of_polynomial(dx: Array, _: Array, factors: tuple[float, ...], x: Array) -> Array:
    return dx * _polynomial(tuple(k * factor for k, factor in enumerate(factors))[1:], x)


@partials(_slope_of_polynomial, static=1)
def _polynomial(factors: tuple[float, ...], x: Array) -> Array:
    """Σ factors[k] x^k; of 64 bits in a loop, since many terms take long to compile."""
    zero = jnp.zeros_like(x)
    if jnp.finfo(x.dtype).bits <= 32:
        return functools.reduce(lambda total, factor: total * x + factor, reversed(factors), zero)
    table = jnp.asarray(factors[::-1], x.dtype)
    return lax.fori_loop(0, len(factors), lambda k, total: total * x + table[k], zero)


def _tail(q: Array, most: float = 1 / 9) -> Array:
    """(atanh(v) - v) / v³ = Σ q^k / (2 k + 3) for q = v², which is no more than `most`."""
    terms = 3 + math.ceil(math.log(jnp.finfo(q.dtype).eps, most))  # derivatives need more
    return _polynomial(tuple(1 / (2 * k + 3) for k in range(terms)), q)


def stirling(log_x: Array) -> Array:
    """log Γ(x) - (x - 1/2) log x + x - log(2π) / 2: about 1 / (12 x), for log x from -80 to 80."""
    x = finite_exp(log_x)
    r = 1 / (x + _SHIFT)
    if jnp.finfo(x.dtype).bits <= 32:
        steps = sum(_step(x + k, k) for k in range(1, _SHIFT))
        return r * _polynomial(_SERIES, r * r) + steps + _first_step(x, log_x)
    nodes, weights, after = (_behind(n, x) for n in (_NODES, _WEIGHTS, range(1, _SHIFT)))
    rest = jnp.sum(weights / (1 + nodes * (r * r)[..., None]), -1)
    steps = jnp.sum(_step(x[..., None] + after, 1), -1)
    return r * rest + steps + _first_step(x, log_x)


def _behind(numbers: Iterable[float], x: Array) -> Array:
    """Numbers along an axis behind those of `x`."""
    return jnp.asarray([*numbers], x.dtype).reshape((1,) * x.ndim + (-1,))


def _step(x: Array, least: int) -> Array:
    """(x + 1/2) log((x + 1) / x) - 1 for x ≥ `least`: how much larger `stirling` is than at x + 1.

    Source: Gudermann (1845), J. reine angew. Math. 29.
    """
    v = 1 / (2 * x + 1)
    return v * v * _tail(v * v, 1 / (2 * least + 1) ** 2)


def _first_step(x: Array, log_x: Array) -> Array:
    """As `_step`, for x > 0 and its logarithm."""
    is_large = x > 1
    small = jnp.where(is_large, 1.0, x)
    far = (small + 0.5) * (jnp.log1p(small) - jnp.where(is_large, 0.0, log_x)) - 1
    return jnp.where(is_large, _step(jnp.where(is_large, x, 1.0), 1), far)


@partials(lambda dt, _, t: dt * jnp.log1p(t))
def deviance(t: Array) -> Array:
    """(1 + t) log(1 + t) - t, exact near 0, where it is t² / 2; 1 for t = -1.

    m deviance((x - m) / m) = x log(x / m) + m - x, half the deviance of a count x of mean m.
    """
    is_near = jnp.abs(t) < 0.5
    near = jnp.where(is_near, t, 0.0)
    v = near / (2 + near)  # log(1 + t) = 2 atanh(v)
    far = jnp.where(is_near | (t <= -1), 0.0, t)
    return jnp.where(
        is_near,
        near * v + 2 * (1 + near) * v * v * v * _tail(v * v),
        (1 + far) * jnp.log1p(far) - jnp.where(t <= -1, -1.0, far),
    )


def ratio_of_halves(log_x: Array) -> Array:
    """log Γ(x) - log Γ(x + 1/2) + log(x) / 2: about 1 / (8 x).

    It is what the density of a Student distribution of 2 x degrees of freedom has over a normal.
    """
    is_low = log_x < -math.log(2)
    v = logistic(-jnp.where(is_low, 0.0, log_x) - math.log(4))
    near = 0.5 * v - 0.5 * (1 - v) * v * v * _tail(v * v)  # log((x + 1/2) / x) = 2 atanh(v)
    low = jnp.where(is_low, log_x, 0.0)
    far = 0.5 - jnp.exp(low) * jax.nn.softplus(-low - math.log(2))
    log_next = log_x + jax.nn.softplus(-log_x - math.log(2))  # of x + 1/2
    return jnp.where(is_low, far, near) + stirling(log_x) - stirling(log_next)


@partials(
    lambda de, _, e, s: de * _pull(jnp.full_like(e, 2), e, s),
    lambda ds, _, e, s: -ds * 2 * _share(e, s),
)
def log1p_of_square(e: Array, log_scale: Array) -> Array:
    """log(1 + z²) of z = e exp(-log_scale), also where z² overflows."""
    z = scaled(e, log_scale)
    is_near = jnp.abs(z) < 1e9
    far = 2 * (jnp.log(jnp.where(is_near, 1.0, jnp.abs(e))) - log_scale)
    return jnp.where(is_near, jnp.log1p(jnp.where(is_near, z, 0.0) ** 2), far)


def _parts(e: Array, log_scale: Array) -> tuple[Array, Array, Array, Array]:
    """Where z is below 1, z there, and where it is not, e and log z²: no square may overflow."""
    z = scaled(e, log_scale)
    is_near = jnp.abs(z) < 1
    far = jnp.where(is_near, 1.0, e)
    log_square = 2 * (jnp.log(jnp.abs(far)) - jnp.where(is_near, 0.0, log_scale))
    return is_near, jnp.where(is_near, z, 0.0), far, log_square


def _pull(factor: Array, e: Array, log_scale: Array) -> Array:
    """factor z² / (1 + z²) / e."""
    is_near, z, far, log_square = _parts(e, log_scale)
    near = factor * z / (1 + z * z) * finite_exp(-log_scale)
    return jnp.where(is_near, near, factor * (logistic(log_square) / far))


def _share(e: Array, log_scale: Array) -> Array:
    """z² / (1 + z²)."""
    is_near, z, _, log_square = _parts(e, log_scale)
    return jnp.where(is_near, z * z / (1 + z * z), logistic(log_square))


def _gap(e: Array, log_scale: Array) -> Array:
    """log(1 + z²) - z² / (1 + z²), exact near 0 too, where it is z⁴ / 2."""
    z = scaled(e, log_scale)
    is_near = jnp.abs(z) < 0.5
    q = jnp.where(is_near, z, 0.0) ** 2
    far = log1p_of_square(e, log_scale) - _share(e, log_scale)
    return jnp.where(is_near, deviance(q) / (1 + q), far)


@partials(
    lambda de, _, e, s, n: de * _pull(finite_exp(n) + 1, e, s + 0.5 * n),
    lambda ds, _, e, s, n: -ds * (finite_exp(n) + 1) * _share(e, s + 0.5 * n),
    lambda dn, _, e, s, n: (
        dn * 0.5 * (finite_exp(n) * _gap(e, s + 0.5 * n) - _share(e, s + 0.5 * n))
    ),
)
def student_tail(e: Array, log_scale: Array, log_degrees: Array) -> Array:
    """(ν + 1) / 2 log(1 + z² / ν) of z = e exp(-log_scale); z² / 2 for a large ν."""
    tail = log1p_of_square(e, log_scale + 0.5 * log_degrees)
    return 0.5 * (finite_exp(log_degrees) + 1) * tail


def beta_density(y: Array, a: Array, b: Array) -> Array:
    """log Γ(α) + log Γ(β) - log Γ(n) - (α - 1) log y - (β - 1) log(1 - y); a, b the logs of α, β.

    The large terms are n = α + β times the divergence of (y, 1 - y) from (α, β) / n.
    """
    n = jnp.logaddexp(a, b)
    odds = jnp.log(y) + jnp.log1p(-y) + 0.5 * (n - a - b + math.log(2 * math.pi))
    return _divergence(y, a, b) + odds + stirling(a) + stirling(b) - stirling(n)


def _difference(y: Array, a: Array, b: Array) -> Array:
    """α / n - y."""
    n = jnp.logaddexp(a, b)
    return jnp.exp(a - n) * (1 - y) - jnp.exp(b - n) * y


def _log_share(y: Array, rest: Array, a: Array, b: Array) -> Array:
    """log(α / (n y)), exact near 0 too; `rest` is 1 - y."""
    n = jnp.logaddexp(a, b)
    t = (jnp.exp(a - n) * rest - jnp.exp(b - n) * y) / y
    is_near = jnp.abs(t) < 0.5
    return jnp.where(is_near, jnp.log1p(jnp.where(is_near, t, 0.0)), a - n - jnp.log(y))


@partials(
    lambda dy, _, y, a, b: (
        -dy * finite_exp(jnp.logaddexp(a, b)) * _difference(y, a, b) / (y * (1 - y))
    ),
    lambda da, _, y, a, b: da * finite_exp(a) * _log_share(y, 1 - y, a, b),
    lambda db, _, y, a, b: db * finite_exp(b) * _log_share(1 - y, y, b, a),
)
def _divergence(y: Array, a: Array, b: Array) -> Array:
    """α log(α / (n y)) + β log(β / (n (1 - y)))."""
    d = _difference(y, a, b)
    parts = y * deviance(d / y) + (1 - y) * deviance(-d / (1 - y))
    return finite_exp(jnp.logaddexp(a, b)) * parts
