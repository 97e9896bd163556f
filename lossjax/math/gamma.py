"""Logarithms of gamma functions and of densities, as what is left of them beside large terms.

log Γ(x) = (x - 1/2) log x - x + log(2π) / 2 + `stirling`(log x). Written so, differences of such
logarithms keep their digits: the large terms cancel on paper, and what is left are `deviance`s.
"""

import math

from jax import numpy as jnp

from lossjax.core.types import Array

# Numerators of the continued fraction of `stirling`.
# Source: DLMF 5.10.1; Cuyt et al. (2008), Handbook of continued fractions, 12.2.
_FRACTION: tuple[float, ...] = (1 / 12, 1 / 30, 53 / 210, 195 / 371, 22999 / 22737)
_FRACTION += (29944523 / 19733142, 109535241009 / 48264275462)
_SHIFT = 6  # from there on the fraction has 14 digits


def _terms(x: Array) -> int:
    """Of a series in powers of no more than 1/9: as many as the dtype has digits for."""
    return 8 if jnp.finfo(x.dtype).bits <= 32 else 17


def _tail(q: Array) -> Array:
    """(atanh(v) - v) / v³ for q = v² ≤ 1/9."""
    total = jnp.zeros_like(q)
    for k in reversed(range(_terms(q))):
        total = total * q + 1 / (2 * k + 3)
    return total


def stirling(log_x: Array) -> Array:
    """log Γ(x) - (x - 1/2) log x + x - log(2π) / 2: about 1 / (12 x), for log x from -80 to 80."""
    is_low = log_x < math.log(_SHIFT)
    log_low = jnp.where(is_low, log_x, 0.0)
    low = jnp.exp(log_low)
    steps = sum((_step(low + k) for k in range(1, _SHIFT)), _first_step(low, log_low))
    # Powers of 1 / x: those of a large x would overflow in derivatives.
    w = jnp.where(is_low, 1 / (low + _SHIFT), jnp.exp(-jnp.where(is_low, 0.0, log_x)))
    below = jnp.ones_like(w)
    for a in reversed(_FRACTION[1:]):
        below = 1 + a * w * w / below
    return _FRACTION[0] * w / below + jnp.where(is_low, steps, 0.0)


def _step(x: Array) -> Array:
    """(x + 1/2) log((x + 1) / x) - 1 for x ≥ 1: how much larger `stirling` is at x than at x + 1.

    Source: Gudermann (1845), J. reine angew. Math. 29.
    """
    q = 1 / jnp.square(2 * x + 1)
    return q * _tail(q)


def _first_step(x: Array, log_x: Array) -> Array:
    """As `_step`, for x > 0 and its logarithm."""
    is_large = x > 1
    small = jnp.where(is_large, 1.0, x)
    far = (small + 0.5) * (jnp.log1p(small) - jnp.where(is_large, 0.0, log_x)) - 1
    return jnp.where(is_large, _step(jnp.where(is_large, x, 1.0)), far)
