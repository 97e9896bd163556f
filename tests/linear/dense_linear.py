"""The dense form of linear_cross_entropy: the oracle of its tests, as plain as can be."""

import jax
from jax import numpy as jnp

from lossjax.core import reduce


def logits(hidden, kernel, bias=None, *, kernel_layout="dv", soft_cap=None, temperature=1.0):
    z = hidden @ (kernel if kernel_layout == "dv" else kernel.T)
    z = z if bias is None else z + bias.reshape((1,) * (z.ndim - 1) + (-1,))
    z = z if soft_cap is None else soft_cap * jnp.tanh(z / soft_cap)
    return z / temperature


def token_values(y_true, z, label_smoothing=0.0, z_loss=0.0):
    classes = z.shape[-1]
    soft = jnp.issubdtype(y_true.dtype, jnp.floating)
    t = y_true if soft else jax.nn.one_hot(y_true, classes, dtype=z.dtype)
    t = t * (1 - label_smoothing) + label_smoothing / classes
    values = -jnp.sum(t * jax.nn.log_softmax(z), -1) + z_loss * jax.nn.logsumexp(z, -1) ** 2
    if soft:
        return values
    return jnp.where((y_true >= 0) & (y_true < classes), values, 0)


def dense(
    y_true,
    hidden,
    kernel,
    bias=None,
    *,
    sample_weight=None,
    mask=None,
    ignore_class=None,
    class_weight=None,
    label_smoothing=0.0,
    z_loss=0.0,
    reduction="mean_with_sample_weight",
    shift=0,
    **projection,
):
    if shift:
        hidden, y_true = hidden[..., :-shift, :], y_true[..., shift:]
        sample_weight = None if sample_weight is None else sample_weight[..., shift:]
        mask = None if mask is None else mask[..., shift:]
    if ignore_class is not None:
        own = y_true != ignore_class
        mask = own if mask is None else mask & own
    if class_weight is not None:
        soft = jnp.issubdtype(y_true.dtype, jnp.floating)
        per_token = y_true @ class_weight if soft else class_weight[y_true]
        sample_weight = per_token if sample_weight is None else per_token * sample_weight
    values = token_values(
        y_true, logits(hidden, kernel, bias, **projection), label_smoothing, z_loss
    )
    return reduce.reduce("dense", values, sample_weight, mask, reduction)
