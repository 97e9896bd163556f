"""The cosine of the angle between two vectors, at any length."""

import functools
from typing import Any

import jax
from jax import lax
from jax import numpy as jnp

from lossjax.core.types import Array, Axis
from lossjax.math.elementwise import EPSILON
from lossjax.math.fusion import added, again, at_most, is_live, opaque

Rows = tuple[Array, ...]

_UNIT = 2.0**-20  # 1 over the largest norms would be denormal: they are taken in this unit
_TINY = 2.0**-80  # squares of what is times this neither overflow nor, where plain ones do, vanish


def cosine(x: Array, y: Array, axis: Axis) -> Array:
    """Σ xy over the norms of x and y, each no less than EPSILON."""
    return jnp.squeeze(_angle(x, y, axis)[0], axis)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _angle(x: Array, y: Array, axis: Axis) -> Rows:
    """The cosine, and 1 / (_UNIT * norm) of both. One may be broadcast to the other one."""

    def sums(x: Array, y: Array) -> Rows:
        return tuple(jnp.sum(a, axis, keepdims=True) for a in (x * y, x * x, y * y))

    def inverses(*squares: Array) -> Rows:
        return tuple(lax.rsqrt(jnp.maximum(square, EPSILON**2)) for square in squares)

    def quotient(xy: Array, *squares: Array) -> Rows:
        p, q = inverses(*squares)
        return xy * p * q, p / _UNIT, q / _UNIT

    def careful(x: Array, y: Array) -> Rows:
        xy, *plain = sums(x, y)
        # Opaque: XLA would make (xy) c² of (cx)(cy).
        scale = opaque(_TINY, x)
        _, *tiny = sums(scale * x, scale * y)
        # Scaled in another way: an array that two sums share would be written to memory.
        xy_tiny, *_ = sums(scale / 2 * x, 2 * scale * y)
        fits = [jnp.isfinite(square) for square in plain]
        p, q = inverses(*plain)
        p_tiny, q_tiny = (
            jnp.where(fit, a / _TINY, lax.rsqrt(square))
            for fit, a, square in zip(fits, (p, q), tiny, strict=True)
        )
        one = _TINY * xy * jnp.where(fits[0], p, q) * jnp.where(fits[0], q_tiny, p_tiny)
        cos = jnp.where(fits[0] & fits[1], xy * p * q, one)
        both = xy_tiny * p_tiny * q_tiny
        cos = jnp.where(jnp.isfinite(xy) & (fits[0] | fits[1]), cos, both)
        return cos, p_tiny * (_TINY / _UNIT), q_tiny * (_TINY / _UNIT)

    def quick(x: Array, y: Array) -> Rows:
        plain = sums(x, y)
        fits = functools.reduce(jnp.logical_and, [jnp.isfinite(a).all() for a in plain])
        # The barrier: of an x that is a constant, XLA would compute other products.
        rest = functools.partial(careful, *lax.optimization_barrier((x, y)))
        return lax.cond(fits, lambda: quotient(*plain), rest)

    if not any(isinstance(a, jax.core.Tracer) for a in (x, y)):
        return careful(x, y)  # a condition would be compiled at every call

    def unknown(x: Array, y: Array) -> Rows:
        # As the barrier, but nothing is written to memory for it.
        return careful(at_most(jnp.inf, x), at_most(jnp.inf, y))

    # On CPU three more sums take as long again, elsewhere they are of the same pass.
    return lax.platform_dependent(x, y, cpu=quick, default=unknown)


def _angle_jvp(axis: Axis, primals: Any, tangents: Any) -> tuple[Rows, Rows]:
    out = cos, *inverses = _angle(*primals, axis)
    shape = jnp.broadcast_shapes(*(a.shape for a in primals))
    terms, slopes = [], [jnp.zeros_like(inverse) for inverse in inverses]
    rest: Any = 0
    for i, d in enumerate(tangents):
        if not is_live(d):
            continue
        start = again(primals[i], primals[1 - i], cos, inverses[i], inverses[1 - i])
        x, y, along, p, q = start.arrays
        unit = opaque(_UNIT, x)
        x, y, by_x = unit * x * p, unit * y * q, start.lifted(d) * (unit * p)
        # Below the floor the norm is constant. Traced, p³ underflows for |x| > 1e12.
        floor = 1 / (EPSILON * _UNIT)
        by_norm = jnp.sum(x * by_x, start.moved(axis, primals[i].ndim)).reshape(inverses[i].shape)
        by_norm = jnp.where(inverses[i] < floor, by_norm, 0)
        slopes[i] = -inverses[i] * by_norm
        if primals[i].shape == shape:
            terms.append(by_x * (y - x * jnp.where(p < floor, along, 0)))
        else:  # broadcast: an entry of x is there several times in the sum, once in the norm
            terms.append(by_x * y)
            rest = rest + cos * by_norm
    like = again(*primals)
    by_cos = jnp.sum(added(terms, like.lifted(cos)), like.moved(axis, len(shape)))
    return out, (by_cos.reshape(cos.shape) - rest, *slopes)


_angle.defjvp(_angle_jvp, symbolic_zeros=True)
