"""What XLA may merge and what it must keep apart, so that a loss costs what its memory costs.

On CPU, XLA hands a reduction to a library together with all the arithmetic that feeds it: one
pass, vectorised and threaded. Two things break that, and then whole arrays are written between
the steps: a select, compare or clamp among the steps (so values are written here with max, min
and sign), and a result that something else uses too, such as the derivative (so derivatives
start again from the arguments). That library's max and min drop NaN; `carry` brings it back.
"""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import jax
from jax import lax
from jax import numpy as jnp
from jax.custom_derivatives import SymbolicZero

from lossjax._types import Array

F = TypeVar("F", bound=Callable[..., Array])


@jax.custom_jvp
def apart(x: Array) -> Array:
    """x, computed before what follows is begun.

    Merged, the mean over rows and that over the batch become one loop on CPU, in which neither
    vector instructions nor threads are used.
    """
    return lax.optimization_barrier(x)


apart.defjvps(lambda dx, _, x: dx)


def at_least(low: float, x: Array) -> Array:
    return jnp.maximum(_opaque(low, x), x)


def at_most(high: float, x: Array) -> Array:
    return jnp.minimum(_opaque(high, x), x)


def _opaque(bound: float, x: Array) -> Array:
    """A bound that XLA cannot know: it would make a clamp of two, and put a known one second.

    The library returns its second operand for NaN, which is how a NaN in x stays one.
    """
    return lax.optimization_barrier(jnp.asarray(bound, x.dtype))


@jax.custom_jvp
def settle(x: Array) -> Array:
    """x, and inf where an infinity was counted as the largest number: see `bounded`."""
    return jnp.where(x > float(jnp.finfo(x.dtype).max) * 1e-9, jnp.inf, x)


settle.defjvps(lambda dx, _, x: dx)


def bounded(x: Array) -> Array:
    """x with ±inf as the largest number, so that 0 * x is 0; `settle` undoes it in a sum."""
    big = float(jnp.finfo(x.dtype).max)
    return at_most(big, at_least(-big, x))


def step(x: Array) -> Array:
    """0 where x = 0, 1 where x > 0."""
    return at_most(1.0, x * 1e30)


def lifted(x: Array) -> Array:
    """x with an axis of size 1 in front; a number stays one."""
    return x.reshape((1, *x.shape)) if jnp.ndim(x) else x


def split(x: Array) -> Array:
    """x with its first axis in two, as `lifted` is another shape to XLA.

    For passes that end in a reduction: of axes of size 1 the library of jax 0.10 makes slow loops.
    """
    if jnp.ndim(x) == 0:
        return x
    first, *rest = x.shape
    factor = next((k for k in (2, 3, 5, 7) if first % k == 0), 1)
    return x.reshape(first // factor, factor, *rest)


def again(*xs: Array, shape: Callable[[Array], Array] = lifted) -> list[Array]:
    """The same arrays in another shape, with which XLA merges nothing that it made of `xs` on CPU.

    The additional axis keeps even the broadcast constants apart: one that two loops share would
    be written to memory. Elsewhere XLA computes value and derivative in one pass, if it is let.
    """
    return list(_again(*map(shape, xs)))


def _barrier(*xs: Array) -> tuple[Array, ...]:
    return tuple(lax.optimization_barrier(xs))


def _same(*xs: Array) -> tuple[Array, ...]:
    return xs


@jax.custom_jvp
def _again(*xs: Array) -> tuple[Array, ...]:
    return lax.platform_dependent(*xs, cpu=_barrier, default=_same)


_again.defjvp(lambda primals, tangents: (_again(*primals), tangents))


def partials(*rules: Callable[..., Array], static: int = 0) -> Callable[[F], F]:
    """Give a function its partial derivatives: one `rule(tangent, out, *arguments)` an argument.

    As `custom_jvp` with `defjvps`, but what is not differentiated costs nothing: XLA does not
    drop a product with 0. The first `static` arguments are choices.
    """

    def decorate(f: F) -> F:
        g = jax.custom_jvp(f, nondiff_argnums=tuple(range(static)))

        def jvp(*args: Any) -> tuple[Array, Array]:
            *choices, primals, tangents = args
            out = g(*choices, *primals)
            slope = jnp.zeros_like(out)
            for d, rule in zip(tangents, rules, strict=True):
                if not isinstance(d, SymbolicZero):
                    slope += rule(d, out, *choices, *primals)
            return out, slope

        g.defjvp(jvp, symbolic_zeros=True)
        return g  # type: ignore[return-value]

    return decorate


def elementwise(static: int = 0) -> Callable[[F], F]:
    """Let the derivative of an elementwise function start again from the arguments.

    The first `static` arguments are choices. What is kept for the derivative is one array for
    each argument that is differentiated.
    """

    def decorate(f: F) -> F:
        g = jax.custom_jvp(f, nondiff_argnums=tuple(range(static)))

        def jvp(*args: Any) -> tuple[Array, Array]:
            *choices, primals, tangents = args
            out = g(*choices, *primals)
            fresh = again(*primals)
            slope = jnp.zeros_like(lifted(out))
            for i, d in enumerate(tangents):
                if not isinstance(d, SymbolicZero):
                    slope += lifted(d) * derivative(functools.partial(f, *choices), fresh, i)
            return out, slope.reshape(out.shape)

        g.defjvp(jvp, symbolic_zeros=True)
        return g  # type: ignore[return-value]

    return decorate


def derivative(f: Callable[..., Array], args: Any, i: int = 0) -> Array:
    """∂f/∂args[i] of an elementwise f."""

    def along(x: Array) -> Array:
        return f(*args[:i], x, *args[i + 1 :])

    return jax.jvp(along, (args[i],), (jnp.ones_like(args[i]),))[1]
