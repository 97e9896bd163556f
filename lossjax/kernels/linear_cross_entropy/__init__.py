"""Softmax cross-entropy of hidden @ kernel + bias without the logits."""

import functools
from typing import Any, NamedTuple

from lossjax.core.types import Array, Hyper, Ignored, Input, Reduction
from lossjax.kernels.chunked_linear._batch import Options
from lossjax.kernels.chunked_linear._evaluate import (
    evaluate,
    evaluate_total,
    on_each_platform,
)
from lossjax.kernels.chunked_linear._mesh import automatic
from lossjax.kernels.linear_cross_entropy._prepare import (
    HYPERS,
    WEIGHTS,
    WHERE,
    count,
    prepare,
)

__all__ = ["Terms", "linear_cross_entropy", "linear_cross_entropy_total"]


class Terms(NamedTuple):
    """The parts of the loss, each reduced as the loss is; `tokens` is how many count."""

    cross_entropy: Array
    z_loss: Array
    log_sum_exp: Array
    accuracy: Array
    entropy: Array
    tokens: Array


def linear_cross_entropy(
    y_true: Input,
    hidden: Input,
    kernel: Input,
    bias: Input | None = None,
    *,
    sample_weight: Input | None = None,
    mask: Input | None = None,
    ignore_class: Ignored = None,
    class_weight: Input | None = None,
    label_smoothing: Hyper = 0.0,
    z_loss: Hyper = 0.0,
    soft_cap: Hyper | None = None,
    temperature: Hyper = 1.0,
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
    return_terms: bool = False,
) -> Any:
    """-Σ t log softmax(z) + z_loss * logsumexp(z)², z = cap(hidden @ kernel + bias) / temperature.

    Use: language models, and other classes so many that their logits do not fit in memory. For few
    classes `sparse_categorical_crossentropy` is simpler.

    The logits (tokens, V) never exist: see `lossjax.chunked_linear` for how, for the meaning of
    `kernel_layout`, `chunk`, `compact`, `compute_dtype`, `accumulate_dtype`, `implementation`,
    `axis_name`, `memory` and `token_shards`, and for derivatives: of every order, of all floats
    among the arguments. Values in nats.

    Shapes: hidden (..., D), kernel (D, V), bias (V,), y_true integers (...) or targets (..., V),
    which are not normalised. Options:

    - `soft_cap` c > 0: cap(u) = c tanh(u / c); None leaves the logits alone. `temperature` > 0.
    - `label_smoothing` s in [0, 1]: t becomes t (1 - s) + s / V.
    - `z_loss` ≥ 0, often 1e-4. It is part of the loss, also of that of a smoothed label.
    - `class_weight` (V,): multiplies the token's weight, for targets by Σ t class_weight, as
      `fit(class_weight=...)` of Keras does; "mean_with_sample_weight" divides by it. (torch
      also weighs the classes apart that smoothing adds.)
    - `ignore_class`: tokens with this label, or one of these, do not count, as those which `mask`
      takes out.
      Any other label outside [0, V) is an error where labels are known, and under `jit` a token
      with loss 0, derivative 0 and its full share in the mean, as in Keras.
    - `shift`: hidden[..., i, :] is to predict y_true[..., i + shift]. Labels, weights and masks
      have the shape of the tokens as always; values (reduction "none") have `shift` fewer.
    - `classes`: the kernel has so many, and padding in the columns beyond, such as a mesh or a
      chip asks for. Its numbers are finite; they have no influence, and the gradient 0. Targets
      and a bias are as long as the kernel, `class_weight` has one number a class.
    - `return_terms`: the result is (loss, `Terms`), with every part reduced as the loss is.

    Raises ValueError or TypeError for arguments that do not fit.
    Source: Wijmans et al. (2024), arXiv:2411.09009, for the idea; z-loss: Chowdhery et al.
    (2022), arXiv:2204.02311; soft cap: arXiv:2408.00118.

    >>> from jax import numpy as jnp
    >>> hidden, kernel = jnp.array([[1.0, 0.0], [0.0, 1.0]]), jnp.array([[2.0, 0.0], [0.0, 2.0]])
    >>> print(linear_cross_entropy(jnp.array([0, 0]), hidden, kernel).round(4))
    1.1269
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

    def run(*arrays: Any) -> Any:
        batch, fn, values = prepare(opt, return_terms, *arrays)
        evaluated = functools.partial(evaluate, WHERE, fn, batch, values)
        loss, parts = on_each_platform(WHERE, batch, opt, evaluated)
        return (loss, Terms(*(*parts, count(batch)))) if return_terms else loss

    weights = sample_weight, mask, class_weight
    hypers = temperature, label_smoothing, z_loss
    return automatic(run, y_true, (hidden, kernel, bias), weights, soft_cap, hypers)


def linear_cross_entropy_total(
    y_true: Input,
    hidden: Input,
    kernel: Input,
    bias: Input | None = None,
    *,
    soft_cap: Hyper | None,
    return_terms: bool = False,
    **options: Any,
) -> Any:
    """`linear_cross_entropy` as a `Total`: those of the parts of a batch add up to the whole.

    All options of `linear_cross_entropy`, every one given. With `return_terms` the terms too, as a
    dict of totals, without `tokens`.
    """
    weights = tuple(options.pop(name) for name in WEIGHTS)
    hypers = tuple(options.pop(name) for name in HYPERS)
    opt = Options(**options).spread_as(hidden)

    def run(*arrays: Any) -> Any:
        batch, fn, values = prepare(opt, return_terms, *arrays)
        evaluated = functools.partial(evaluate_total, WHERE, fn, batch, values)
        total, parts = on_each_platform(WHERE, batch, opt, evaluated)
        return (total, dict(zip(Terms._fields, parts, strict=False))) if return_terms else total

    return automatic(run, y_true, (hidden, kernel, bias), weights, soft_cap, hypers)
