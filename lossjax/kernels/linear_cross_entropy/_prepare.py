"""The options of linear_cross_entropy as a per-token function, weights and masks."""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
from jax import numpy as jnp

from lossjax.core import check, reduce
from lossjax.core.types import Array
from lossjax.kernels import _vocabulary as vocabulary
from lossjax.kernels.chunked_linear._batch import (
    Batch,
    Options,
    all_columns,
    is_off,
    make_batch,
    shifted,
    sum_dtype,
    without,
)

WHERE = "linear_cross_entropy"

WEIGHTS = ("sample_weight", "mask", "class_weight")
# Each with the values that switch it off, and its range.
HYPERS: dict[str, tuple[tuple[Any, ...], str]] = {
    "temperature": ((1.0,), "(0, inf)"),
    "label_smoothing": ((0.0,), "[0, 1]"),
    "z_loss": ((0.0,), "[0, inf)"),
}


def prepare(
    opt: Options,
    return_terms: bool,
    y_true: Any,
    y_pred: tuple[Any, Any, Any],
    weights: tuple[Any, Any, Any],
    soft_cap: Any,
    hypers: tuple[Any, ...],
) -> tuple[Batch, Callable[..., Any], list[Array]]:
    """The batch, the function of a chunk's logits, and the hyperparameters that it is to get."""
    sample_weight, mask, class_weight = weights
    y_true = check.array(WHERE, "y_true", check.class_number(y_true))
    batch = make_batch(WHERE, opt, y_true, *y_pred, sample_weight, mask, soft_cap)
    number = opt.classes or all_columns(batch, opt)
    check.labels_or_targets(WHERE, y_true, batch.shape, batch.columns(opt))
    if not check.is_targets(y_true):
        y_true = check.labels(WHERE, y_true)
    batch = shifted(batch._replace(y_true=y_true), opt.shift)
    if not check.is_targets(y_true):
        y, counts = batch.values_of(batch.y_true), None
        if batch.weight is not None or batch.mask is not None:
            counts = reduce.alive(WHERE, y.shape, batch.weight, batch.mask)
        check.class_numbers(WHERE, y, number, opt.ignore_class, counts, opt.shift)
    batch = without(WHERE, batch, opt.ignore_class)
    if opt.classes is not None and not check.is_targets(y_true):
        batch = batch._replace(y_true=jnp.where(batch.y_true < number, batch.y_true, -1))
    dtype = sum_dtype(WHERE, batch, opt)
    if not is_off(class_weight, (1.0,)):
        batch = _class_weighed(batch, class_weight, number, dtype, opt)
    named = dict(zip(HYPERS, hypers, strict=True))
    for name, value in named.items():
        if value is not None:
            check.within(WHERE, name, value, HYPERS[name][1])
    on = {name: v for name, v in named.items() if not is_off(v, HYPERS[name][0])}
    fn = functools.partial(token_loss, tuple(on), opt.axis_name, opt.classes, return_terms)
    return batch, fn, [jnp.asarray(v, dtype) for v in on.values()]


def _class_weighed(batch: Batch, class_weight: Any, number: int, dtype: Any, opt: Options) -> Batch:
    """`batch` with the class weights multiplied into the weights of the tokens."""
    check.within(WHERE, "class_weight", class_weight, "[0, inf)")
    w = check.array(WHERE, "class_weight", class_weight).astype(dtype)
    if w.shape not in ((), (number,)):
        raise ValueError(f"{WHERE}: class_weight must have shape ({number},), got {w.shape}.")
    w = jnp.broadcast_to(w, (number,))
    y_true = batch.values_of(batch.y_true)
    if check.is_targets(y_true):
        here = y_true.shape[-1]
        w = jnp.pad(w, (0, all_columns(batch, opt) - number))
        if opt.axis_name is not None:
            w = jax.lax.dynamic_slice_in_dim(w, jax.lax.axis_index(opt.axis_name) * here, here)
        y_true = jnp.where(jnp.isfinite(y_true), y_true, 0).astype(dtype)
        per_token = vocabulary.total(
            y_true * w.reshape((1,) * (y_true.ndim - 1) + (-1,)), opt.axis_name
        )
    else:
        exists = check.exists(y_true, number)
        per_token = jnp.where(exists, w[jnp.where(exists, y_true, 0)], 0)
    if batch.weight is not None:
        like, weight = check.aligned(per_token, batch.weight.astype(dtype))
        check.weights_fit(WHERE, like.shape, weight.shape)
        per_token = like * weight
    return batch._replace(weight=per_token)


def token_loss(
    names: tuple[str, ...],
    axis_name: str | None,
    number: int | None,
    return_terms: bool,
    y_true: Array,
    z: Array,
    *values: Array,
) -> tuple[Array, tuple[Array, ...]]:
    """The loss of every token of a chunk, and its parts; `number` of classes, None for all."""
    hyper = dict(zip(names, values, strict=True))
    if "temperature" in hyper:
        z = z / hyper["temperature"]
    smoothing = hyper.get("label_smoothing")
    if check.is_targets(y_true):
        exists = None
        t = y_true = vocabulary.without_padding(axis_name, number, y_true.astype(z.dtype), 0)
        if smoothing is not None:
            t = t * (1 - smoothing) + smoothing / (number or vocabulary.size(z, axis_name))
            t = vocabulary.without_padding(axis_name, number, t, 0)
        entropy, log_sum = vocabulary.target_entropy(axis_name, t, z)
    else:
        exists = vocabulary.valid(y_true, z, axis_name)
        entropy, log_sum, above_mean = vocabulary.label_entropy(axis_name, number, y_true, z)
        if smoothing is not None:
            entropy = entropy + smoothing * above_mean
    z_loss = hyper["z_loss"] * log_sum**2 if "z_loss" in hyper else None
    parts: tuple[Array, ...] = ()
    if return_terms:
        best = vocabulary.first_largest(z, axis_name)
        truth = vocabulary.first_largest(y_true, axis_name) if exists is None else y_true
        right = (best == truth).astype(z.dtype)
        zero = jnp.zeros_like(entropy)
        spread = vocabulary.entropy(axis_name, z)
        parts = (entropy, zero if z_loss is None else z_loss, log_sum, right, spread)
    loss = entropy if z_loss is None else entropy + z_loss
    if exists is None:
        return loss, parts
    return jax.tree.map(lambda x: jnp.where(exists, x, 0), (loss, parts))


def count(batch: Batch) -> Array:
    """How many tokens the masks let through."""
    size = math.prod(batch.value_shape)
    if batch.mask is None:
        return jnp.asarray(size)
    return jnp.sum(batch.mask) * (size // max(1, batch.mask.size))
