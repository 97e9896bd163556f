"""Logarithms of gamma functions and of densities, as what is left of them beside large terms.

log Γ(x) = (x - 1/2) log x - x + log(2π) / 2 + `stirling`(log x). Written so, differences of such
logarithms keep their digits: the large terms cancel on paper, and what is left are `deviance`s.
"""

import functools
import math
from collections.abc import Callable, Sequence

import jax
import numpy as np
from jax import numpy as jnp

from lossjax.core.types import Array, Hyper
from lossjax.math.elementwise import finite_exp, logistic, scaled
from lossjax.math.fusion import is_plain, partials, plainly

# Nodes, squared, and weights of Gauss's quadrature of Binet's second integral of `stirling`, which
# is exact in the first eight terms of Stirling's series: from `_SHIFT` on it has 12 digits.
_NODES = (0.0156718524155917728, 0.420046781714301113, 1.94997003935482723, 6.23403515597674825)
_WEIGHTS = (
    *(0.0798601307845654623, 0.00342939442926143147),
    *(0.0000437401979258753791, 6.79215805642018819e-8),
)
_SHIFT = 5


def _sum(term: Callable[..., Array], x: Array, *numbers: Sequence[float]) -> Array:
    """Σ term(x, *k) over the k-th numbers of all, with few steps to compile on CPU.

    Elsewhere an axis so short would be padded, and written to memory.
    """
    if is_plain():
        return functools.reduce(jnp.add, (term(x, *k) for k in zip(*numbers, strict=True)))
    behind = (np.asarray(n, x.dtype).reshape((1,) * x.ndim + (-1,)) for n in numbers)
    return jnp.sum(term(x[..., None], *behind), -1)


def _part(q: Array, weight: Hyper, node: Hyper) -> Array:
    return weight / (1 - node * q)


def _tail(q: Array) -> Array:
    """(atanh(v) - v) / v³ = ∫ s² / (1 - s² v²) ds from 0 to 1, for q = v² ≤ 1/9."""
    nodes, weights = np.polynomial.legendre.leggauss(6 if jnp.finfo(q.dtype).bits <= 32 else 10)
    squares = nodes**2
    weights *= 0.5 * squares
    return plainly(lambda q: _sum(_part, q, weights.tolist(), squares.tolist()), q)


def stirling(log_x: Array) -> Array:
    """log Γ(x) - (x - 1/2) log x + x - log(2π) / 2: about 1 / (12 x), for log x from -80 to 80."""
    return plainly(_stirling, log_x)


def _stirling(log_x: Array) -> Array:
    x = finite_exp(log_x)
    r = 1 / (x + _SHIFT)
    rest = r * _sum(_part, r * r, _WEIGHTS, [-node for node in _NODES])
    after = _sum(lambda x, k: _step(x + k), x, range(1, _SHIFT))
    return rest + after + _first_step(x, log_x)


def _step(x: Array) -> Array:
    """(x + 1/2) log((x + 1) / x) - 1 for x ≥ 1: how much larger `stirling` is at x than at x + 1.

    Source: Gudermann (1845), J. reine angew. Math. 29.
    """
    v = 1 / (2 * x + 1)
    return v * v * _tail(v * v)


def _first_step(x: Array, log_x: Array) -> Array:
    """As `_step`, for x > 0 and its logarithm."""
    is_large = x > 1
    small = jnp.where(is_large, 1.0, x)
    far = (small + 0.5) * (jnp.log1p(small) - jnp.where(is_large, 0.0, log_x)) - 1
    return jnp.where(is_large, _step(jnp.where(is_large, x, 1.0)), far)


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
