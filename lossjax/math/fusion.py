"""What XLA may merge and what it must keep apart, so that a loss costs what its memory costs.

On CPU, XLA hands a reduction to a library together with all the arithmetic that feeds it: one
pass, vectorised and threaded. Two things break that, and then whole arrays are written between
the steps: a select, compare or clamp among the steps (so values are written with max and min),
and a result that something else uses too, such as the derivative (so derivatives start again
from the arguments). That library's max and min drop a NaN unless it comes second.

In the loops of derivatives everything is fused but a quotient of two arrays that is used twice:
they multiply by 1 / x.

Arrays that the processor's cache holds are cheap to write, and that library is slow with them:
up to `SMALL` entries XLA may share what it likes, and a clamp or a select, which its own loops
compute faster, takes the place of max and min.
"""

import contextvars
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
from jax import lax
from jax import numpy as jnp
from jax.custom_derivatives import SymbolicZero

from lossjax.core.check import is_narrow
from lossjax.core.types import Array, Axis, Hyper

F = TypeVar("F", bound=Callable[..., Array])
T = TypeVar("T")

SMALL = 2**17  # measured: from 2**18 entries on, an array written costs more than one made again


def widened(x: Array) -> Array:
    """x in float32, where it has 16 bits.

    The library widens what it reads if nothing else reads it: what is widened once for value and
    derivative is written to memory, and takes longer than all the rest.
    """
    return x.astype(jnp.float32) if x is not None and is_narrow(x) else x


_plain = contextvars.ContextVar("_plain", default=False)


def are_small(*xs: Array) -> bool:
    return all(jnp.size(x) <= SMALL for x in xs if x is not None)


def is_small(*xs: Array) -> bool:
    """Also of large arrays where they are on no CPU: see `plainly`."""
    return is_plain() or are_small(*xs)


def is_plain() -> bool:
    return _plain.get()


def plainly(f: Callable[..., T], *xs: Array, anew: bool = False) -> T:
    """f(*xs), elsewhere than on CPU made as it is of small arrays.

    `anew`: a GPU shares nothing of it with what else is made of the first argument. There XLA makes
    one kernel of an array with all the sums over rows that it needs, but not if the value needs
    them too: each of them would be a pass.
    """

    def plain(*xs: Array) -> T:
        token = _plain.set(True)
        try:
            return f(*xs)
        finally:
            _plain.reset(token)

    def separate(x: Array, *others: Array) -> T:
        return plain(*_barrier(x), *others)

    if is_plain() or _may_merge(*xs):
        return f(*xs)
    on_gpu = separate if anew else plain
    return lax.platform_dependent(*xs, cpu=f, cuda=on_gpu, rocm=on_gpu, default=plain)


def summable(values: Array, *xs: Array) -> Array:
    """The values of the rows of `xs`, computed before a sum over them is begun.

    Merged, the mean over rows and that over the batch become one loop on CPU, in which neither
    vector instructions nor threads are used. Of small arrays it takes no longer, and what is
    not merged are two more loops to compile.
    """
    return values if _may_merge(*xs) else _apart(values)


@jax.custom_jvp
def _apart(x: Array) -> Array:
    return lax.optimization_barrier(x)


_apart.defjvps(lambda dx, _, x: dx)


@jax.custom_jvp
def by_loop(x: Array) -> Array:
    """x, made on CPU by a loop of XLA: its library, which does not take a clamp, writes arrays."""
    return lax.clamp(-jnp.inf, x, jnp.inf) if isinstance(x, jax.core.Tracer) else x


by_loop.defjvps(lambda dx, _, x: dx)


def looped(x: Array) -> Array:
    """x, by a loop where it is small: a reduction of the library takes that as it is."""
    return by_loop(x) if is_small(x) else x


def select(condition: Array, a: Hyper, b: Hyper) -> Array:
    """As `jnp.where`, of arrays of one dtype and shape, or numbers.

    `jnp.where` is a function of its own in the program of a derivative: it is traced, and
    differentiated, for each kind of arguments.
    """
    like = a if isinstance(a, jax.Array) else b
    dtype = like.dtype if isinstance(like, jax.Array) else jnp.float32
    a, b = (x if jnp.ndim(x) else lax.full(condition.shape, x, dtype) for x in (a, b))
    return lax.select(condition, a, b)


def largest(x: Array) -> float:
    return float(jnp.finfo(x.dtype).max)


def at_least(low: Hyper, x: Array) -> Array:
    return jnp.maximum(opaque(low, x), x)


def at_most(high: Hyper, x: Array) -> Array:
    return jnp.minimum(opaque(high, x), x)


def between(low: float, high: float, x: Array) -> Array:
    """x clipped, for functions that have a rule: it is no derivative."""
    if is_small(x):
        return lax.clamp(jnp.asarray(low, x.dtype), x, jnp.asarray(high, x.dtype))
    # min(high, max(low, x)) would be recognised as a clamp, which drops NaN too.
    return -at_least(-high, -at_least(low, x))


def opaque(bound: Hyper, x: Array) -> Array:
    """A bound that XLA cannot know: it would make a clamp of two, and put a known one second.

    The library returns its second operand for NaN, which is how a NaN in x stays one.
    """
    return lax.optimization_barrier(jnp.asarray(bound, x.dtype))


@jax.custom_jvp
def settle(x: Array) -> Array:
    """x, and inf where an infinity was counted as the largest number: see `bounded`."""
    return jnp.where(x > largest(x) * 1e-9, jnp.inf, x)


settle.defjvps(lambda dx, _, x: dx)


@jax.custom_jvp
def bounded(x: Array) -> Array:
    """x with ±inf as the largest number, so that 0 * x is 0; `settle` undoes it in a sum."""
    big = largest(x)
    return between(-big, big, x)


# That of a clip would be 0 at an infinite x, and a softmax around it would have a curvature.
bounded.defjvps(lambda dx, _, x: dx)


@jax.custom_jvp
def step(x: Array) -> Array:
    """0 where x = 0, 1 where x > 0; without derivative."""
    return at_most(1.0, x * 1e38)


step.defjvps(lambda dx, *_: jnp.zeros_like(dx))


class Again(NamedTuple):
    """Arrays from which a derivative starts again, and how it fits tangents and axes to them."""

    arrays: list[Any]
    is_lifted: bool

    def lifted(self, x: Array) -> Array:
        """x as the arrays are: wide, with an axis of size 1 in front; a number stays one."""
        return _lifted(widened(x)) if self.is_lifted else widened(x)

    def moved(self, axis: Axis, ndim: int) -> tuple[int, ...]:
        """Where `axis` is in them."""
        return moved(axis, ndim, self.is_lifted)


def _lifted(x: Array) -> Array:
    return x if x is None or jnp.ndim(x) == 0 else x.reshape((1, *x.shape))


def again(*xs: Array) -> Again:
    """The same arrays, with which XLA merges nothing that it made of `xs` on CPU.

    An additional axis in front keeps even the broadcast constants apart: one that two loops share
    would be written to memory. Elsewhere XLA computes value and derivative in one pass, if it is
    let. Small arrays stay as they are: a logarithm that both need is taken once.
    """
    if _may_merge(*xs):
        return Again([*map(widened, xs)], False)
    return Again([*map(widened, _again(*map(_lifted, xs)))], True)


def row_sum(f: Callable[..., Array], axis: Axis, copy: int, *xs: Array) -> Array:
    """Σ f(*xs) over `axis`, which stays with size 1; on CPU a pass that shares nothing.

    As `again`, with another shape for each `copy`: one reduction of a row must not wait for
    another one, with what both need written to memory.
    """
    return _row_pass(jnp.sum, f, axis, copy, *xs)


def row_max(f: Callable[..., Array], axis: Axis, copy: int, *xs: Array) -> Array:
    """The largest f(*xs) over `axis`, as `row_sum`."""
    return _row_pass(jnp.max, f, axis, copy, *xs)


def _row_pass(
    reduced: Callable[..., Array], f: Callable[..., Array], axis: Axis, copy: int, *xs: Array
) -> Array:
    def plain(*xs: Array) -> Array:
        return reduced(f(*map(widened, xs)), axis, keepdims=True)

    if _may_merge(*xs):
        return plain(*xs)
    shape = jax.eval_shape(plain, *xs).shape

    def separate(*xs: Array) -> Array:
        parts = _barrier(*(_split(x, copy) for x in xs))
        return reduced(f(*map(widened, parts)), moved(axis, len(shape))).reshape(shape)

    return lax.platform_dependent(*xs, cpu=separate, default=plain)


def _split(x: Array, copy: int) -> Array:
    """x with its first axis in two. The library of jax 0.10 is slow with axes of size 1."""
    if x is None or jnp.ndim(x) == 0:
        return x
    first, *rest = x.shape
    factors = [k for k in (2, 4, 3, 5, 7) if first and first % k == 0]
    shapes = [(first // k, k) for k in factors] + [(first, 1), (1, first)]
    return x.reshape(*shapes[copy], *rest)


def moved(axis: Axis, ndim: int, by_one: bool = True) -> tuple[int, ...]:
    """Where `axis` is once another axis came in front, or the first was split."""
    axes = range(ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    to = [a % ndim + by_one for a in axes]
    return tuple([0, *to] if by_one and 1 in to else to)


def _may_merge(*xs: Array) -> bool:
    """Also where nothing is traced: without a program there is nothing to merge."""
    return are_small(*xs) or not any(isinstance(x, jax.core.Tracer) for x in xs)


def _barrier(*xs: Array) -> tuple[Array, ...]:
    return tuple(lax.optimization_barrier(xs))


def _same(*xs: Array) -> tuple[Array, ...]:
    return xs


@jax.custom_jvp
def _again(*xs: Array) -> tuple[Array, ...]:
    return lax.platform_dependent(*xs, cpu=_barrier, default=_same)


_again.defjvp(lambda primals, tangents: (_again(*primals), tangents))


@jax.custom_jvp
def _again_on_gpu(*xs: Array) -> tuple[Array, ...]:
    return lax.platform_dependent(*xs, cuda=_barrier, rocm=_barrier, default=_same)


_again_on_gpu.defjvp(lambda primals, tangents: (_again_on_gpu(*primals), tangents))


def is_live(tangent: Any) -> bool:
    """Whether its argument is differentiated; None stands for an absent argument."""
    return not (tangent is None or isinstance(tangent, SymbolicZero))


def added(terms: Sequence[Array], like: Array) -> Array:
    """Their sum; begun with an array of zeros, it would keep that array for the derivative."""
    return functools.reduce(jnp.add, terms) if terms else jnp.zeros_like(like)


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
            live = ((d, rule) for d, rule in zip(tangents, rules, strict=True) if is_live(d))
            return out, added([rule(d, out, *choices, *primals) for d, rule in live], out)

        g.defjvp(jvp, symbolic_zeros=True)
        return g  # type: ignore[return-value]

    return decorate


def elementwise(static: int = 0, shared: bool = False, written: bool = False) -> Callable[[F], F]:
    """Let the derivative of an elementwise function start again from the arguments.

    The first `static` arguments are choices. What is kept for the derivative is one array for
    each argument that is differentiated. Arguments of 16 bits come in float32. What is `shared`
    does not start again, but keeps one array all the same. What would be `written` on a GPU for
    the value and its derivatives is made again there too, for each of them.
    """

    def decorate(f: F) -> F:
        def wide(*args: Any) -> Array:
            return f(*args[:static], *map(widened, args[static:]))

        g = jax.custom_jvp(wide, nondiff_argnums=tuple(range(static)))

        def jvp(*args: Any) -> tuple[Array, Array]:
            *choices, primals, tangents = args
            out = g(*choices, *primals)
            start = Again([*map(widened, primals)], False) if shared else again(*primals)
            h = functools.partial(f, *choices)

            def slope(i: int) -> Array:
                arrays = start.arrays
                if written and not _may_merge(*primals):
                    # In another order for each: XLA makes one barrier of two equal ones.
                    turned = [*_again_on_gpu(*arrays[i:], *arrays[:i])]
                    arrays = turned[len(arrays) - i :] + turned[: len(arrays) - i]
                return derivative(h, arrays, i)

            terms = [start.lifted(d) * slope(i) for i, d in enumerate(tangents) if is_live(d)]
            return out, added(terms, start.lifted(out)).reshape(out.shape)

        g.defjvp(jvp, symbolic_zeros=True)
        return g  # type: ignore[return-value]

    return decorate


def traced(f: F) -> F:
    """As `elementwise`, but plainly traced where no argument has 16 bits: often that is faster."""
    restarting = elementwise()(f)

    def decide(*args: Array) -> Array:
        return restarting(*args) if any(map(is_narrow, args)) else f(*args)

    return decide  # type: ignore[return-value]


def derivative(f: Callable[..., Array], args: Any, i: int = 0) -> Array:
    """∂f/∂args[i] of an elementwise f."""

    def along(x: Array) -> Array:
        return f(*args[:i], x, *args[i + 1 :])

    return jax.jvp(along, (args[i],), (jnp.ones_like(args[i]),))[1]
