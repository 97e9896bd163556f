"""From the arrays of a caller to the engine's operands, and back to a reduced loss.

`fn(y_true, logits, *consts)` gives the values of a chunk and other values: see `Spec.fn`.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
from jax import numpy as jnp

from lossjax.core import check, reduce
from lossjax.core.reduce import Total
from lossjax.core.types import Array
from lossjax.kernels import _vocabulary as vocabulary
from lossjax.kernels.chunked_linear import _mesh
from lossjax.kernels.chunked_linear._batch import Batch, Options, product_dtype, sum_dtype
from lossjax.kernels.chunked_linear._plan import (
    FEWEST_ELSEWHERE,
    FEWEST_ON_CPU,
    Plan,
    make_plan,
    rows_in,
)
from lossjax.kernels.chunked_linear._sweep import Operands, Spec, rows, total


def on_each_platform(where: str, batch: Batch, opt: Options, run: Callable[[Options], Any]) -> Any:
    """`run(options)` with the number of rows a chunk; "auto" is another one on other platforms.

    The platform is the one for which the program is compiled, which is not known before.
    """
    if opt.chunk != "auto":
        return run(opt)
    tokens, features = math.prod(batch.shape), batch.hidden.shape[-1]
    itemsize = jnp.dtype(sum_dtype(where, batch, opt)).itemsize
    given = opt.memory, features, batch.columns(opt), itemsize
    shards = opt.token_shards or 1
    on_cpu, elsewhere = (
        dataclasses.replace(opt, chunk=max(1, min(tokens, shards * rows_in(*given, fewest))))
        for fewest in (FEWEST_ON_CPU, FEWEST_ELSEWHERE)
    )
    if on_cpu == elsewhere:
        return run(on_cpu)
    return jax.lax.platform_dependent(cpu=lambda: run(on_cpu), default=lambda: run(elsewhere))


def evaluate(
    where: str,
    fn: Callable[..., Any],
    batch: Batch,
    consts: list[Array],
    opt: Options,
    sweep: bool = True,
) -> tuple[Any, Any]:
    """The reduced loss, and the other values of every token."""
    spec, ops, order = _engine(where, fn, batch, consts, opt)
    weight = None if batch.weight is None else batch.weight.astype(spec.dtype)

    def reduced(values: Array) -> Array:
        return reduce.reduce(where, values, weight, batch.mask, opt.reduction)

    if opt.reduction in (None, "none") or 0 in batch.shape or not sweep:
        return jax.tree.map(reduced, _unflatten(batch, order, rows(spec, ops)))
    factor = _factor(batch, spec, reduced, order)
    loss, others = total(spec, ops._replace(factor=factor))
    return loss, jax.tree.map(reduced, _unflatten(batch, order, others))


def evaluate_total(
    where: str, fn: Callable[..., Any], batch: Batch, consts: list[Array], opt: Options
) -> tuple[Total, Any]:
    """As `evaluate`, each as a sum and what to divide it by."""
    spec, ops, order = _engine(where, fn, batch, consts, opt)
    weight = None if batch.weight is None else batch.weight.astype(spec.dtype)

    def parts(values: Array) -> Total:
        return reduce.total(where, values, weight, batch.mask, opt.reduction)

    divisor = parts(_zeros(batch, spec)).weight
    factor = _factor(batch, spec, lambda v: parts(v).sum, order)
    loss, others = total(spec, ops._replace(factor=factor))
    return Total(loss, divisor), jax.tree.map(parts, _unflatten(batch, order, others))


def _engine(
    where: str, fn: Callable[..., Any], batch: Batch, consts: list[Array], opt: Options
) -> tuple[Spec, Operands, Array | None]:
    tokens = math.prod(batch.shape)
    plan = make_plan(tokens, opt.chunk)
    dtype = sum_dtype(where, batch, opt)
    is_capped = batch.soft_cap is not None
    fn = functools.partial(_of_product, fn, is_capped, opt)
    consts = [jnp.asarray(batch.soft_cap, dtype), *consts] if is_capped else consts
    mask = batch.mask
    if batch.trim and mask is None:
        mask = jnp.ones((), bool)
    live = _spread(where, batch, mask, False)
    factors = product_dtype(where, batch, opt)
    spec = Spec(fn, plan, opt.kernel_layout == "vd", factors, dtype, opt.axis_name, opt.compact)
    ops = Operands(
        hidden=batch.hidden.reshape(tokens, batch.hidden.shape[-1]),
        kernel=batch.kernel,
        bias=batch.bias,
        y_true=jax.tree.map(
            lambda x: x.reshape(tokens, *x.shape[len(batch.shape) :]), batch.y_true
        ),
        factor=None,
        live=live,
        weighed=_spread(where, batch, None if batch.weight is None else batch.weight != 0, True),
        consts=consts,
    )
    if live is None or not opt.compact or plan.steps == 1:
        return spec._replace(skip=False), ops, None
    order = _compact_order(plan, live)
    moved = ops.hidden, ops.y_true, ops.live, ops.weighed
    hidden, y_true, live, weighed = jax.tree.map(lambda x: x[order], moved)
    ops = ops._replace(hidden=hidden, y_true=y_true, live=live, weighed=weighed)
    return spec, ops, order


def _of_product(
    fn: Callable[..., Any], is_capped: bool, opt: Options, y_true: Any, z: Array, *consts: Array
) -> Any:
    """`fn` of the logits, which are hidden @ kernel + bias capped and without the padding."""
    if is_capped:
        z, consts = vocabulary.capped(z, consts[0]), consts[1:]
    z = vocabulary.without_padding(opt.axis_name, opt.classes, z, vocabulary.lowest(z))
    return fn(y_true, z, *consts)


def _compact_order(plan: Plan, live: Array) -> Array:
    """An order of the tokens in which the first chunks hold all live ones."""
    chunk = jnp.arange(live.size) % plan.width // plan.size
    places = jnp.argsort(chunk, stable=True)
    return jnp.zeros_like(places).at[places].set(jnp.argsort(~live, stable=True))


def _spread(where: str, batch: Batch, x: Array | None, fill: bool) -> Array | None:
    """A mask as one entry a token."""
    if x is None:
        return None
    like, x = check.aligned(jnp.zeros(batch.value_shape, bool), x)
    check.weights_fit(where, like.shape, x.shape)
    return batch.padded(jnp.broadcast_to(x, like.shape).reshape(batch.value_shape), fill)


def _zeros(batch: Batch, spec: Spec) -> Array:
    values = _mesh.vary_as(jnp.zeros(batch.value_shape, spec.dtype), batch.hidden)
    for x in (batch.weight, batch.mask):
        values = values if x is None else _mesh.vary_as(values, x)
    return values


def _factor(batch: Batch, spec: Spec, reduced: Callable[[Array], Array], order: Any) -> Array:
    """The factor of each token's value in the reduced loss, which is linear in the values."""
    factor = batch.padded(jax.grad(reduced)(_zeros(batch, spec)), 0)
    return factor if order is None else factor[order]


def _unflatten(batch: Batch, order: Array | None, values: Any) -> Any:
    def shaped(x: Array) -> Array:
        x = x if order is None else jnp.zeros_like(x).at[order].set(x)
        return batch.values_of(x.reshape(batch.shape + x.shape[1:]))

    return jax.tree.map(shaped, values)
