"""Any per-token loss of hidden @ kernel + bias, in chunks of tokens."""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
from jax import numpy as jnp

from lossjax.core import check
from lossjax.core.types import Array, Hyper, Ignored, Input, Reduction
from lossjax.kernels.chunked_linear._batch import (
    Batch,
    Options,
    make_batch,
    shifted,
    sum_dtype,
    without,
)
from lossjax.kernels.chunked_linear._evaluate import evaluate, on_each_platform
from lossjax.kernels.chunked_linear._mesh import automatic, vary_as, varying
from lossjax.kernels.chunked_linear._plan import make_plan

__all__ = ["chunked_linear"]

WHERE = "chunked_linear"


def chunked_linear(
    per_token_loss: Callable[[Any, Array], Any],
    y_true: Any,
    hidden: Input,
    kernel: Input,
    bias: Input | None = None,
    *,
    sample_weight: Input | None = None,
    mask: Input | None = None,
    ignore_class: Ignored = None,
    soft_cap: Hyper | None = None,
    reduction: Reduction = "mean_with_sample_weight",
    shift: int = 0,
    kernel_layout: str = "dv",
    classes: int | None = None,
    chunk: int | str = "auto",
    compact: bool = False,
    compute_dtype: Any = None,
    accumulate_dtype: Any = None,
    implementation: str = "auto",
    axis_name: str | None = None,
    memory: int | None = None,
    token_shards: int | None = None,
) -> Any:
    """`per_token_loss(y_true, hidden @ kernel + bias)`, the logits in chunks of tokens.

    Shapes: hidden (..., D); kernel (D, V), or (V, D) with `kernel_layout="vd"` (tied embeddings,
    no transposed copy); bias (V,); y_true a pytree of arrays (..., anything), float or integer.
    `per_token_loss` gets a chunk of y_true, (tokens, anything), and its logits, (tokens, V), and
    returns one value a token; under reduction "none" also a pytree of such values. It may close
    over traced arrays: they have their gradients too. `lossjax.per_token` has a few.

    The derivatives are exact, in both modes and of every order, of hidden, kernel, bias, float
    y_true, sample_weight and whatever the function closes over. For a reduced loss the value and
    all gradients that are asked for are made in one sweep; those of reduction "none" compute
    each chunk's logits again, and hold a second kernel gradient while they add it up.

    `sample_weight`, `mask` and `reduction` as in `lossjax.Loss`: what the mask or a weight of 0
    takes out has no influence, not even as NaN. `compact` sorts what the mask lets through to
    the front and passes over the rest: worth it from a quarter of masked tokens on.
    `ignore_class`, `soft_cap`, `shift` and `classes` as in `lossjax.linear_cross_entropy`: the
    first needs class numbers for y_true, every array of y_true is shifted, and `per_token_loss`
    gets the logits capped, and those of the padding finite and so low that their softmax is 0.
    `chunk` is the largest number of tokens at a time. "auto" takes as many as have logits of 7/8
    of `memory` bytes. By default that is the kernel in `accumulate_dtype`, so 7 D / 8 tokens,
    but no fewer than make products worth while: 256 on CPU, 1536 on other platforms. The rest
    of `memory` is for the kernel's gradient, which is added up in place, on CPU in blocks of
    max(1024, V / 16) columns. So what is extra is O(tokens D + D V), however many tokens there
    are, times as many arrays of logits as `per_token_loss` keeps. These are tokens a device:
    where `jit` spreads them over devices, say over how many in `token_shards` (outside of `jit`
    and on explicit mesh axes it is known).
    Hidden states and kernel are multiplied in `compute_dtype`, by default that of the wider of
    the two: bfloat16 states and a float32 kernel multiply in float32 unless "bfloat16" is asked
    for. Logits, values and all sums are in `accumulate_dtype`, by default float32, or float64
    where the products are. Gradients have the dtypes of the arguments; the kernel's is summed
    before it is rounded, but for reduction "none", chunk by chunk.
    Not under `jax.vmap` over sequences with one kernel, which holds a gradient of the kernel for
    each of them: hidden states (B, S, D) are taken as they are, and reduction "none" gives what
    is to be reduced a sequence.

    Inside `shard_map`, `axis_name` is the axis over which V is sharded in kernel and bias; labels
    count over the whole vocabulary, and `per_token_loss` sums over the axis by itself, as those
    of `lossjax.per_token` do. Hidden states may be sharded over another axis; the result is then
    that of the tokens which are here. Under plain `jit` all sharding is the compiler's. So it is
    on explicit mesh axes: the result is replicated, and what `per_token_loss` closes over is not
    to be sharded.
    `implementation` is "xla"; "auto" is free to choose.
    Raises ValueError for shapes, sizes and names that do not fit, TypeError for wrong kinds.

    >>> hidden, kernel = jnp.ones((6, 2)), jnp.ones((2, 5))
    >>> squares = lambda y, z: jnp.sum((z - y) ** 2, -1)
    >>> print(chunked_linear(squares, jnp.zeros((6, 5)), hidden, kernel))
    20.0
    """
    opt = Options(
        ignore_class,
        reduction,
        shift,
        kernel_layout,
        classes,
        chunk,
        compact,
        compute_dtype,
        accumulate_dtype,
        implementation,
        axis_name,
        memory,
        token_shards,
    ).spread_as(hidden)

    def run(y_true: Any, *arrays: Any) -> Any:
        y_true = jax.tree.map(lambda y: check.array(WHERE, "y_true", y), y_true)
        batch = make_batch(WHERE, opt, y_true, *arrays)
        for y in jax.tree.leaves(y_true):
            check.leading(WHERE, "y_true", y.shape, batch.shape)
        batch = without(WHERE, shifted(batch, shift), ignore_class)

        def with_rows(opt: Options) -> Any:
            fn, consts, sweep = _converted(per_token_loss, batch, opt)
            return evaluate(WHERE, lambda *args: (fn(*args), ()), batch, consts, opt, sweep)[0]

        return on_each_platform(WHERE, batch, opt, with_rows)

    return automatic(run, y_true, hidden, kernel, bias, sample_weight, mask, soft_cap)


def _converted(
    per_token_loss: Callable[[Any, Array], Any], batch: Batch, opt: Options
) -> tuple[Callable[..., Any], list[Array], bool]:
    """The function with what it closes over as further arguments, once it is known to fit.

    And whether one sweep can make the gradients of these. Where they are equal on all devices of
    a `shard_map` it would find their sum over the devices, which the value here does not have.
    """
    tokens = make_plan(math.prod(batch.shape), opt.chunk).rows
    others = batch.weight, batch.mask

    def like(x: Array, *arrays: Any) -> Array:
        return functools.reduce(vary_as, (a for a in arrays if a is not None), x)

    def chunk(y: Array) -> Array:
        zeros = jnp.zeros((tokens, *y.shape[len(batch.shape) :]), y.dtype)
        return like(zeros, y, *(others if jnp.issubdtype(y.dtype, jnp.floating) else ()))

    logits = jnp.zeros((tokens, batch.columns(opt)), sum_dtype(WHERE, batch, opt))
    logits = like(logits, batch.hidden, batch.kernel, batch.bias, *others)
    one = jax.tree.map(chunk, batch.y_true), logits
    fn, consts = jax.closure_convert(per_token_loss, *one)
    check.per_token(WHERE, jax.eval_shape(fn, *one, *consts), tokens, opt.reduction)
    # Without such arrays the function itself: a converted one is fixed to the types of `one`.
    return (
        fn if consts else per_token_loss,
        consts,
        not any(varying(logits) - varying(c) for c in consts),
    )
