"""The length of a vector, at any size of its entries, and its direction."""

import functools
from typing import Any

import jax
from jax import numpy as jnp

from lossjax.core.types import Array, Axis
from lossjax.math.fusion import bounded

_FAR = 1e37  # 1 over larger numbers would be denormal


def _scaled(x: Array, axis: Axis) -> tuple[Array, Array, Array]:
    """x in units of its largest entry, its length in them, and that unit: 1 and 0 for zeros."""
    x = bounded(x)
    top = jnp.max(jnp.abs(x), axis, keepdims=True, initial=0)
    is_zero = top < float(jnp.finfo(x.dtype).tiny)
    x = x / jnp.where(is_zero, 1, jnp.minimum(top, _FAR))
    length = jnp.sqrt(jnp.sum(jnp.square(x), axis, keepdims=True))
    return x, jnp.where(is_zero, 1, length), jnp.where(is_zero, 0, jnp.minimum(top, _FAR))


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def norm(x: Array, axis: Axis) -> Array:
    """√Σ x² over `axis`, which stays with size 1; at 0 the derivative is 0."""
    _, length, unit = _scaled(x, axis)
    return unit * length


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def direction(x: Array, axis: Axis) -> Array:
    """x / norm(x), and 0 of 0."""
    x, length, _ = _scaled(x, axis)
    return x / length


@norm.defjvp
def _norm_jvp(axis: Axis, primals: Any, tangents: Any) -> tuple[Array, Array]:
    (x,), (dx,) = primals, tangents
    return norm(x, axis), jnp.sum(direction(x, axis) * dx, axis, keepdims=True)


@direction.defjvp
def _direction_jvp(axis: Axis, primals: Any, tangents: Any) -> tuple[Array, Array]:
    (x,), (dx,) = primals, tangents
    u, size = direction(x, axis), norm(x, axis)
    across = dx - u * jnp.sum(u * dx, axis, keepdims=True)
    is_tiny = size < 1e8 * float(jnp.finfo(size.dtype).tiny)  # it would overflow: as at 0
    return u, across / jnp.where(is_tiny, jnp.inf, size)
