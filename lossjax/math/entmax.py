"""Projections of scores onto probabilities of which many are 0: sparsemax and 1.5-entmax.

With scores x, shifted so that the largest is 0, they are max(x / beta - threshold, 0)^beta, beta
being 1 or 2.
"""

import functools
from typing import Any

import jax
from jax import numpy as jnp

from lossjax.core.types import Array
from lossjax.math.elementwise import floored
from lossjax.math.fusion import at_least

_LOWEST = -4.0  # scores below have no share, and do not overflow here


def shares(beta: int, x: Array) -> Array:
    return _roots(beta, x) ** beta


def _roots(beta: int, x: Array) -> Array:
    return floored(0.0, at_least(_LOWEST, x) / beta - _threshold(beta, x))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _threshold(beta: int, x: Array) -> Array:
    """That with which the shares sum to 1."""
    s = -jnp.sort(-at_least(_LOWEST, x), -1) / beta
    k = jnp.arange(1, x.shape[-1] + 1, dtype=x.dtype)
    mean = jnp.cumsum(s, -1) / k
    if beta == 1:
        candidates = mean - 1 / k
    else:
        variance = jnp.cumsum(s * s, -1) / k - mean * mean
        candidates = mean - jnp.sqrt(jnp.maximum(1 / k - variance, 0))
    count = jnp.sum(s > candidates, -1, keepdims=True)
    rough = jnp.take_along_axis(candidates, jnp.maximum(count - 1, 0), -1)
    # Sums over many classes are rounded: a step of Newton's.
    roots = jnp.maximum(s - rough, 0)
    excess = jnp.sum(roots**beta, -1, keepdims=True) - 1
    return rough + excess / (beta * jnp.sum(roots ** (beta - 1) * (roots > 0), -1, keepdims=True))


@_threshold.defjvp
def _threshold_jvp(beta: int, primals: Any, tangents: Any) -> tuple[Array, Array]:
    (x,), (dx,) = primals, tangents
    roots = _roots(beta, x)
    weights = roots if beta == 2 else jnp.sign(roots)
    slope = weights / (beta * jnp.sum(weights, -1, keepdims=True))
    return _threshold(beta, x), jnp.sum(slope * dx, -1, keepdims=True)
