"""The largest of a row, with a derivative that ties share."""

import functools
from collections.abc import Callable
from typing import Any

import jax
from jax import lax
from jax import numpy as jnp

from lossjax.core.types import Array
from lossjax.math.fusion import (
    added,
    again,
    at_least,
    derivative,
    is_live,
    looped,
    row_max,
    row_sum,
    step,
)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def largest_of(f: Callable[..., Array], axis: int, *xs: Array) -> Array:
    """The largest f(*xs) over `axis`, with f elementwise; ties share the derivative.

    A tie is what is as large but for rounding: compared with the value that it was taken from, the
    largest may differ from itself where XLA contracts a product and a difference.
    """
    return jnp.squeeze(row_max(f, axis, 0, *xs), axis)


def _largest_of_jvp(
    f: Callable[..., Array], axis: int, primals: Any, tangents: Any
) -> tuple[Array, Array]:
    out = largest_of(f, axis, *primals)
    top = jnp.expand_dims(lax.stop_gradient(out), axis)
    top = top - 4 * jnp.finfo(top.dtype).eps * jnp.abs(top)

    def is_tie(top: Array, *xs: Array) -> Array:
        return looped(1 - step(at_least(0.0, top - f(*xs))))

    ties = row_sum(is_tie, axis, 1, top, *primals)
    start = again(top, ties, *primals)
    top, ties, *xs = start.arrays
    won = jnp.where(f(*xs) >= top, 1 / ties, 0)
    live = ((i, d) for i, d in enumerate(tangents) if is_live(d))
    terms = [start.lifted(d) * (won * derivative(f, xs, i)) for i, d in live]
    axes = start.moved(axis, primals[0].ndim)
    return out, jnp.sum(added(terms, won), axes).reshape(out.shape)


largest_of.defjvp(_largest_of_jvp, symbolic_zeros=True)
