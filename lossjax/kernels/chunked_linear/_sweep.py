"""Sums and values of a per-token function of logits that exist for one chunk at a time.

`total` has a derivative rule of its own: one sweep makes the value and all gradients, three
products a chunk in place of four. The rule is written in differentiable operations, and is
linear in the tangents: both modes, every order. `rows` is differentiated as it is written, each
chunk being computed again; so is the sweep itself, for second derivatives.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax import numpy as jnp
from jax.custom_derivatives import SymbolicZero

from lossjax.core.types import Array
from lossjax.kernels.chunked_linear import _mesh
from lossjax.kernels.chunked_linear._plan import Plan, block


class Operands(NamedTuple):
    """Everything that a gradient may be asked for, and who counts."""

    hidden: Array  # (tokens, D)
    kernel: Array  # (D, V), or (V, D)
    bias: Any  # (V,), or None
    y_true: Any  # a pytree of (tokens, ...)
    factor: Any  # (tokens,): of each value in the sum; None for `rows`
    live: Any  # (tokens,), or None; false: not there at all
    weighed: Any  # (tokens,), or None; false: a weight of 0, so NaN is to have no influence
    consts: list[Array]  # what the function of the user closes over


class Spec(NamedTuple):
    """What is fixed when the program is made."""

    fn: Callable[..., tuple[Array, Any]]  # (y_true, logits, *consts) -> values, other values
    plan: Plan
    vocabulary_first: bool  # the kernel is (V, D)
    factors: Any  # the dtype of what is multiplied
    dtype: Any  # of logits, values and sums
    axis_name: str | None
    skip: bool  # pass over chunks without a live token


def _dot(a: Array, b: Array, contract: tuple[int, int], dtype: Any) -> Array:
    dims = (((contract[0],), (contract[1],)), ((), ()))
    return jax.lax.dot_general(a, b, dims, preferred_element_type=dtype)


def _chunk(spec: Spec, ops: Operands, step: Array) -> Operands:
    """The operands of one chunk, harmless where a token does not count."""
    take = functools.partial(spec.plan.take, step=step)
    y_true, live, weighed = jax.tree.map(take, (ops.y_true, ops.live, ops.weighed))

    def tame(x: Array) -> Array:
        if not jnp.issubdtype(x.dtype, jnp.floating):
            return x
        column = (-1,) + (1,) * (x.ndim - 1)
        if weighed is not None:
            x = jnp.where(weighed.reshape(column) | jnp.isfinite(x), x, 0)
        return x if live is None else jnp.where(live.reshape(column), x, 0)

    factor = None if ops.factor is None else take(ops.factor)
    fresh = spec.plan.fresh(step)
    if factor is not None and fresh is not None:
        factor = jnp.where(fresh, factor, 0)
    hidden = tame(take(ops.hidden)).astype(spec.factors)
    return ops._replace(
        hidden=hidden, y_true=jax.tree.map(tame, y_true), factor=factor, live=live, weighed=weighed
    )


def _narrowed(spec: Spec, ops: Operands) -> Operands:
    """With the kernel as it is multiplied; done within, so that its gradient is not rounded."""
    return ops._replace(kernel=ops.kernel.astype(spec.factors))


def _logits(spec: Spec, part: Operands) -> Array:
    z = _dot(part.hidden, part.kernel, (1, int(spec.vocabulary_first)), spec.dtype)
    return z if part.bias is None else z + part.bias.astype(spec.dtype)[None]


def _values(spec: Spec, part: Operands, z: Array, y_true: Any, consts: list[Array]) -> Any:
    values, others = spec.fn(y_true, z, *consts)
    if part.live is not None:
        values, others = jax.tree.map(lambda v: jnp.where(part.live, v, 0), (values, others))
    return values, others


def _loop(spec: Spec, ops: Operands, body: Callable[[Any, Any], Any], start: Any) -> Any:
    if spec.plan.steps == 1:
        return body(start, 0)

    def step(carry: Any, i: Array) -> tuple[Any, None]:
        if not spec.skip:
            return body(carry, i), None
        alive = jnp.any(spec.plan.take(ops.live, i))
        return jax.lax.cond(alive, body, lambda carry, _: carry, carry, i), None

    return jax.lax.scan(step, start, jnp.arange(spec.plan.steps))[0]


def _whole_rows(spec: Spec, struct: Any) -> Any:
    """Room for the rows of all chunks, given those of one."""
    tokens = spec.plan.lanes * spec.plan.width

    def room(s: Any) -> Array:
        return _mesh.vary_as(jnp.zeros((tokens, *s.shape[1:]), s.dtype), _mesh.zeros(s))

    return jax.tree.map(room, struct)


def _put(spec: Spec, whole: Any, part: Any, step: Array) -> Any:
    return jax.tree.map(lambda x, p: spec.plan.put(x, p, step), whole, part)


def rows(spec: Spec, ops: Operands) -> tuple[Any, Any]:
    """The values of all tokens, and the other values."""

    @jax.checkpoint
    def one(ops: Operands, step: Array) -> Any:
        part = _chunk(spec, _narrowed(spec, ops), step)
        return _values(spec, part, _logits(spec, part), part.y_true, part.consts)

    start = _whole_rows(spec, jax.eval_shape(one, ops, 0))
    return _loop(spec, ops, lambda out, step: _put(spec, out, one(ops, step), step), start)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def total(spec: Spec, ops: Operands) -> tuple[Array, Any]:
    """Σ factor * value, and the other values of all tokens."""
    ops = _narrowed(spec, ops)

    def one(step: Array) -> tuple[Array, Any]:
        part = _chunk(spec, ops, step)
        values, others = _values(spec, part, _logits(spec, part), part.y_true, part.consts)
        return jnp.sum(values * part.factor), others

    def body(carry: Any, step: Array) -> Any:
        value, others = one(step)
        return carry[0] + value, _put(spec, carry[1], others, step)

    value, others = jax.eval_shape(one, 0)
    return _loop(spec, ops, body, (_mesh.zeros(value), _whole_rows(spec, others)))


@functools.partial(total.defjvp, symbolic_zeros=True)
def _total_jvp(spec: Spec, primals: tuple[Operands], tangents: tuple[Operands]) -> Any:
    (ops,), (dops,) = primals, tangents
    leaves, tree = jax.tree.flatten(ops)
    dleaves = jax.tree.leaves(dops)
    wanted = [not isinstance(t, SymbolicZero) for t in dleaves]
    (value, others), grads = _sweep(spec, jax.tree.unflatten(tree, wanted), ops)
    dvalue = _mesh.vary_as(jnp.zeros((), value.dtype), value)
    for gradient, t in zip(grads, _pick(wanted, dleaves), strict=True):
        part = _mesh.whole(jnp.sum(gradient * t.astype(gradient.dtype)), spec.axis_name)
        dvalue += _mesh.vary_as(part, value)
    if not jax.tree.leaves(others):
        return (value, others), (dvalue, others)

    def other_rows(moving: list[Array]) -> Any:
        return rows(spec, jax.tree.unflatten(tree, _merge(wanted, leaves, moving)))[1]

    dothers = jax.jvp(other_rows, (_pick(wanted, leaves),), (_pick(wanted, dleaves),))[1]
    return (value, others), (dvalue, dothers)


def _sweep(spec: Spec, wanted: Operands, ops: Operands) -> tuple[Any, list[Array]]:
    """`total`, and its gradients by the operands that are `wanted`, in their order.

    Where the vocabulary is sharded each device finds its part of the gradients.
    """
    ops = _narrowed(spec, ops)
    # A single token's gradient underflows in float16; one of the largest weight, 1, does not.
    half = spec.factors == jnp.float16
    unit = _largest(ops.factor) if half else jnp.ones((), ops.factor.dtype)
    share = _mesh.share(spec.axis_name)

    def one(step: Array) -> Array:
        part = _chunk(spec, ops, step)
        values, _ = _values(spec, part, _logits(spec, part), part.y_true, part.consts)
        return values * part.factor

    def gradients(step: Array) -> tuple[Any, Any, tuple[Array, Array]]:
        """Of one chunk: what is summed, what is kept by row, and the factors of the kernel's."""
        part = _chunk(spec, ops, step)

        def of_logits(z: Array, y_true: list[Array], consts: list[Array]) -> Any:
            y_true = _merge(wanted.y_true, part.y_true, y_true)
            return _values(spec, part, z, y_true, _merge(wanted.consts, part.consts, consts))

        moving = _pick(wanted.y_true, part.y_true), _pick(wanted.consts, part.consts)
        # What is equal on all devices of a sharded batch would get a gradient summed over them.
        inputs = jax.tree.map(lambda x: _mesh.vary_as(x, like), (_logits(spec, part), *moving))
        values, pull, others = jax.vjp(of_logits, *inputs, has_aux=True)
        seed = part.factor * share
        dz, dy_true, dconsts = pull(seed / unit if half else seed)
        narrow = dz.astype(part.hidden.dtype)  # what is multiplied in bfloat16 stays so here
        side = 1 - int(spec.vocabulary_first)
        dhidden = _dot(narrow, ops.kernel, (1, side), spec.dtype) if wanted.hidden else None
        summed = {
            "value": jnp.sum(values * part.factor),
            "bias": jnp.sum(dz, 0) if wanted.bias else None,
            "consts": dconsts,
        }
        by_row = {
            "others": others,
            "hidden": dhidden,
            "y_true": dy_true,
            "factor": values * share if wanted.factor else None,
        }
        return summed, by_row, (part.hidden, narrow)

    @jax.checkpoint
    def body(carry: Any, step: Array) -> Any:
        summed, by_row, (hidden, dz) = gradients(step)
        kernel = _add_product(spec, blocked, carry[2], hidden, dz) if wanted.kernel else None
        return jax.tree.map(jnp.add, carry[0], summed), _put(spec, carry[1], by_row, step), kernel

    like = jax.eval_shape(one, 0)
    blocked = not _mesh.partitioned(ops.hidden, ops.kernel)
    summed, by_row, (hidden, dz) = jax.eval_shape(gradients, 0)
    kernel = None
    if wanted.kernel:
        kernel = jnp.zeros(ops.kernel.shape, spec.dtype)
        kernel = _mesh.vary_as(_mesh.vary_as(kernel, hidden), dz)
    start = (jax.tree.map(_mesh.zeros, summed), _whole_rows(spec, by_row), kernel)
    summed, by_row, kernel = _loop(spec, ops, body, start)

    found = [by_row["hidden"], kernel, summed["bias"], *by_row["y_true"], by_row["factor"]]
    found = [g for g in (*found, *summed["consts"]) if g is not None]
    if half:
        found = [g if g is by_row["factor"] else g * unit for g in found]
    return (summed["value"], by_row["others"]), found


def _largest(x: Array) -> Array:
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(x), initial=0))
    return jnp.where(largest == 0, 1, largest)


def _add_product(spec: Spec, blocked: bool, x: Array, hidden: Array, dz: Array) -> Array:
    """x + hidden' dz, without an array of the size of x for the product.

    On CPU in blocks, of which each is added to its place; elsewhere one kernel multiplies and adds.
    """
    first = spec.vocabulary_first

    def whole(x: Array, hidden: Array, dz: Array) -> Array:
        pair = (dz, hidden) if first else (hidden, dz)
        return x + _dot(*pair, (0, 0), spec.dtype)

    columns = dz.shape[1]
    if not blocked or columns <= block(columns):
        return whole(x, hidden, dz)
    in_blocks = functools.partial(_add_blocks, whole, 1 - int(first))
    return jax.lax.platform_dependent(x, hidden, dz, cpu=in_blocks, default=whole)


def _add_blocks(
    whole: Callable[..., Array], axis: int, x: Array, hidden: Array, dz: Array
) -> Array:
    columns = dz.shape[1]

    def add(x: Array, start: Any, size: int) -> Array:
        # Were negative starts looked for, the compiler would not see that the part read is
        # the part written, and would copy it.
        old = jax.lax.dynamic_slice_in_dim(x, start, size, axis, allow_negative_indices=False)
        part = jax.lax.dynamic_slice_in_dim(dz, start, size, 1, allow_negative_indices=False)
        return jax.lax.dynamic_update_slice_in_dim(
            x, whole(old, hidden, part), start, axis, allow_negative_indices=False
        )

    blocks = -(-columns // block(columns))
    size = columns // blocks
    starts = jnp.arange(0, blocks * size, size)
    x, _ = jax.lax.scan(lambda x, start: (add(x, start, size), None), x, starts)
    rest = columns - blocks * size
    return add(x, columns - rest, rest) if rest else x


def _pick(wanted: Any, tree: Any) -> list[Array]:
    return [x for w, x in zip(jax.tree.leaves(wanted), jax.tree.leaves(tree), strict=True) if w]


def _merge(wanted: Any, tree: Any, moving: list[Array]) -> Any:
    """`tree` with `moving` in place of the leaves that `_pick` picks."""
    rest = iter(moving)
    return jax.tree.map(lambda w, x: next(rest) if w else x, wanted, tree)
