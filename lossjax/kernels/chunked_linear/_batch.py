"""The arrays and options of a caller, checked; which tokens count."""

import dataclasses
import math
from typing import Any, NamedTuple

import jax
from jax import numpy as jnp

from lossjax.core import check
from lossjax.core.types import Array, Hyper, Ignored, Reduction
from lossjax.kernels.chunked_linear import _mesh


@dataclasses.dataclass(frozen=True)
class Options:
    """What every user of the engine may choose; see `chunked_linear`."""

    ignore_class: Ignored = None
    reduction: Reduction = "mean_with_sample_weight"
    shift: int = 0
    kernel_layout: str = "dv"
    classes: int | None = None
    chunk: int | str = "auto"
    compact: bool = False
    compute_dtype: Any = None
    accumulate_dtype: Any = None
    implementation: str = "auto"
    axis_name: str | None = None
    memory: int | None = None
    token_shards: int | None = None

    def spread_as(self, hidden: Any) -> "Options":
        """With the devices over which the tokens are spread, where the caller does not say."""
        if self.token_shards is not None:
            return self
        return dataclasses.replace(self, token_shards=_mesh.token_shards(hidden))


class Batch(NamedTuple):
    """Tokens of any shape (...): hidden (..., D), everything else as the caller gave it.

    The last `trim` tokens of every sequence have no value, and no weight and mask.
    """

    y_true: Any  # a pytree of (..., whatever)
    hidden: Array
    kernel: Array
    bias: Array | None
    weight: Array | None
    mask: Array | None
    soft_cap: Hyper | None
    trim: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        return self.hidden.shape[:-1]

    @property
    def value_shape(self) -> tuple[int, ...]:
        return (*self.shape[:-1], self.shape[-1] - self.trim) if self.trim else self.shape

    def values_of(self, x: Array) -> Array:
        """Of an array (..., anything), what belongs to tokens that have a value."""
        axis = len(self.shape) - 1
        return jax.lax.slice_in_dim(x, 0, self.value_shape[-1], axis=axis) if self.trim else x

    def padded(self, x: Array, fill: Any) -> Array:
        """Flat, with `fill` for the tokens without a value."""
        pads = [(0, n - v) for n, v in zip(self.shape, self.value_shape, strict=True)]
        return (jnp.pad(x, pads, constant_values=fill) if self.trim else x).ravel()

    def columns(self, opt: "Options") -> int:
        """Those of the kernel that are here."""
        return self.kernel.shape[1 if opt.kernel_layout == "dv" else 0]


def make_batch(
    where: str,
    opt: Options,
    y_true: Any,
    hidden: Any,
    kernel: Any,
    bias: Any,
    weight: Any,
    mask: Any,
    soft_cap: Any,
) -> Batch:
    """Arrays of floats where floats are due, and shapes that fit; sentences where they do not."""
    check.reduction(where, opt.reduction)
    check.choice(where, "kernel_layout", opt.kernel_layout, ("dv", "vd"))
    check.choice(where, "implementation", opt.implementation, ("auto", "xla"))
    check.chunk(where, opt.chunk)
    for name, number in (("memory", opt.memory), ("token_shards", opt.token_shards)):
        if number is not None:
            check.whole(where, name, number, 1)
    check.axis_name(where, opt.axis_name)
    check.ignored(where, opt.ignore_class)
    if soft_cap is not None:
        check.within(where, "soft_cap", soft_cap, "(0, inf]")
    hidden, kernel = (
        check.float_array(where, "hidden", hidden),
        check.float_array(where, "kernel", kernel),
    )
    bias = None if bias is None else check.float_array(where, "bias", bias)
    check.projection(where, hidden.shape, kernel.shape, opt.kernel_layout, bias)
    if weight is not None:
        weight = check.array(where, "sample_weight", weight)
    if mask is not None:
        mask = check.array(where, "mask", mask).astype(bool)
    check.shift(where, opt.shift, hidden.shape[:-1])
    soft_cap = None if is_off(soft_cap, (math.inf,)) else soft_cap
    batch = Batch(y_true, hidden, kernel, bias, weight, mask, soft_cap)
    if opt.classes is not None:
        check.classes(where, opt.classes, all_columns(batch, opt))
    return batch


def is_off(value: Any, off: tuple[Any, ...]) -> bool:
    """A hyperparameter that changes nothing; a traced one may change something."""
    return value is None or (isinstance(value, (int, float)) and value in off)


def shifted(batch: Batch, shift: int) -> Batch:
    """Truths, weights and masks moved to the tokens which are to predict them."""
    if shift == 0:
        return batch
    length, axis = batch.shape[-1], len(batch.shape) - 1

    def later(x: Array | None) -> Array | None:
        return x if x is None or not x.ndim or x.shape[-1] != length else x[..., shift:]

    # Rolled, not cut: the engine's chunks keep the round sizes of the batch.
    y_true = jax.tree.map(lambda y: jnp.roll(y, -shift, axis), batch.y_true)
    return batch._replace(
        y_true=y_true, weight=later(batch.weight), mask=later(batch.mask), trim=shift
    )


def without(where: str, batch: Batch, ignore_class: Ignored) -> Batch:
    """`batch` with the tokens masked whose labels do not count."""
    if ignore_class is None:
        return batch
    check.one_class_a_token(where, batch.y_true, batch.shape)
    mask = ~check.is_among(batch.values_of(batch.y_true), ignore_class)
    if batch.mask is not None:
        mask = check.joint_mask(where, batch.mask, mask)
    return batch._replace(mask=mask)


def all_columns(batch: Batch, opt: Options) -> int:
    """Those of all devices, with the padding."""
    return batch.columns(opt) * (1 if opt.axis_name is None else jax.lax.axis_size(opt.axis_name))


def sum_dtype(where: str, batch: Batch, opt: Options) -> Any:
    if opt.accumulate_dtype is not None:
        return jnp.dtype(check.float_dtype(where, opt.accumulate_dtype, "accumulate_dtype"))
    return jnp.float64 if product_dtype(where, batch, opt) == jnp.float64 else jnp.float32


def product_dtype(where: str, batch: Batch, opt: Options) -> Any:
    """In which hidden states and kernel are multiplied."""
    if opt.compute_dtype is not None:
        return jnp.dtype(check.float_dtype(where, opt.compute_dtype, "compute_dtype"))
    with jax.numpy_dtype_promotion("standard"):
        return jnp.promote_types(batch.hidden.dtype, batch.kernel.dtype)
