"""The softmax with heavy tails: shares (1 + c (m - x))^(-1/c), with m such that they sum to 1."""

from typing import Any

import jax
from jax import lax
from jax import numpy as jnp

from lossjax.core.types import Array
from lossjax.math.fusion import at_least

_STEPS = 10  # seven are the most that was needed, of 50000 classes


def log_shares(x: Array, c: Array) -> Array:
    """The logarithm of each share over the last axis, for c > 0 and x of which the largest is 0."""
    x = at_least(-1e30, x)  # c x is to be a number
    return _log_shares(x, _offset(x, c), c)


def _log_shares(x: Array, m: Array, c: Array) -> Array:
    return -jnp.log1p(c * (m - x)) / c


@jax.custom_jvp
def _offset(x: Array, c: Array) -> Array:
    """m, with a last axis of size 1."""

    def step(_: Any, m: Array) -> Array:
        # Newton's, for (Σ shares)^-c = 1: of equal x that is linear in m, where Σ shares = 1 is
        # so bent that the steps would be many.
        log_q = _log_shares(x, m, c)
        total = jnp.sum(jnp.exp(log_q), -1, keepdims=True)
        slope = c * jnp.sum(jnp.exp((1 + c) * log_q), -1, keepdims=True)
        return m + total * jnp.expm1(c * jnp.log(total)) / slope

    return lax.fori_loop(0, _STEPS, step, jnp.zeros_like(x[..., :1]))


@_offset.defjvp
def _offset_jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
    (x, c), (dx, dc) = primals, tangents
    m = _offset(x, c)
    log_q = _log_shares(x, m, c)
    steep = jnp.exp((1 + c) * log_q)
    w = m - x
    by_c = jnp.exp(log_q) * (-log_q - w / (1 + c * w)) / c
    change = jnp.sum(steep * dx + by_c * dc, -1, keepdims=True)
    return m, change / jnp.sum(steep, -1, keepdims=True)
