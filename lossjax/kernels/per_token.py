"""Losses of the logits of tokens, for `lossjax.chunked_linear`: (tokens, V) in, (tokens,) out.

`axis_name` is the axis of `shard_map` over which the vocabulary is sharded: each device then has
its part of the logits, and of a teacher's.
"""

from typing import Any

import jax
from jax import numpy as jnp

from lossjax.core import check
from lossjax.core.types import Array, Hyper
from lossjax.kernels import _vocabulary as vocabulary
from lossjax.math.elementwise import xmuly
from lossjax.math.entropy import focal as focal_entropy
from lossjax.math.fusion import settle

__all__ = [
    "focal",
    "jensen_shannon",
    "kl_divergence",
    "log_probability",
    "reverse_kl_divergence",
    "top_k_kl_divergence",
]


def kl_divergence(
    teacher: Array, logits: Array, *, temperature: Hyper = 1.0, axis_name: str | None = None
) -> Array:
    """T² Σ p log(p / q), with p = softmax(teacher / T) and q = softmax(logits / T).

    `temperature` T > 0; T² keeps the gradient's size. Values in nats, ≥ 0.
    Source: Hinton et al. (2015), arXiv:1503.02531.
    """
    log_p, log_q, square = _softened(teacher, logits, temperature, axis_name)
    return square * _divergence(log_p, log_q, axis_name)


def reverse_kl_divergence(
    teacher: Array, logits: Array, *, temperature: Hyper = 1.0, axis_name: str | None = None
) -> Array:
    """T² Σ q log(q / p), with p and q as in `kl_divergence`: the student seeks the modes.

    Source: Gu et al. (2023), arXiv:2306.08543.
    """
    log_p, log_q, square = _softened(teacher, logits, temperature, axis_name)
    return square * _divergence(log_q, log_p, axis_name)


def jensen_shannon(
    teacher: Array,
    logits: Array,
    *,
    weight: Hyper = 0.5,
    temperature: Hyper = 1.0,
    axis_name: str | None = None,
) -> Array:
    """T² (w KL(p, m) + (1 - w) KL(q, m)) with m = w p + (1 - w) q; `weight` w in (0, 1).

    p (the teacher) and q as in `kl_divergence`. Values from 0 to T² log 2.
    Source: Agarwal et al. (2023), arXiv:2306.13649, eq. 1.
    """
    log_p, log_q, square = _softened(teacher, logits, temperature, axis_name)
    weight = jnp.asarray(weight, logits.dtype)
    log_m = jnp.logaddexp(log_p + jnp.log(weight), log_q + jnp.log1p(-weight))
    by_teacher = _divergence(log_p, log_m, axis_name)
    return square * (weight * by_teacher + (1 - weight) * _divergence(log_q, log_m, axis_name))


def _softened(teacher: Array, logits: Array, temperature: Hyper, axis_name: str | None) -> Any:
    t = jnp.asarray(temperature, logits.dtype)
    log_p = vocabulary.log_softmax(axis_name, teacher.astype(logits.dtype) / t)
    return log_p, vocabulary.log_softmax(axis_name, logits / t), t * t


def _divergence(log_p: Array, log_q: Array, axis_name: str | None) -> Array:
    return settle(vocabulary.total(xmuly(jnp.exp(log_p), log_p - log_q), axis_name))


def top_k_kl_divergence(
    teacher: tuple[Array, Array],
    logits: Array,
    *,
    tail: bool = True,
    temperature: Hyper = 1.0,
    axis_name: str | None = None,
) -> Array:
    """T² (Σ p log(p / q) + u log(u / r)) over k classes that are listed, the only ones stored.

    `teacher` is (log p, class numbers), both (tokens, k), as `jax.lax.top_k(log_p, k)` gives them
    of the log-softmax at the same `temperature` T > 0; a class is listed once, and a number that
    is none fills up: its log p does not count. q = softmax(logits / T); u = 1 - Σ p and r are what
    teacher and student give to all classes that are not listed, as if these were one: so values
    are ≥ 0, and equal to `kl_divergence` where all are listed. Without `tail` that term is left
    out, and the student learns to give nothing to the others: Anshumann et al. (2025),
    arXiv:2503.16870. A teacher with Σ p = 1 has no tail.
    """
    log_p, listed = check.listed("top_k_kl_divergence", teacher)
    t = jnp.asarray(temperature, logits.dtype)
    log_q = vocabulary.log_softmax(axis_name, logits / t)
    exists = vocabulary.valid(listed, logits, axis_name)
    log_p = jnp.where(exists, log_p.astype(logits.dtype), -jnp.inf)
    values = _divergence(log_p, vocabulary.at_listed(axis_name, listed, log_q), None)
    if tail:
        unlisted = 1 - jnp.sum(jnp.exp(log_p), -1)
        values += _tail(unlisted, listed, logits, log_q, axis_name)
    return t * t * values


def _tail(mass: Array, listed: Array, logits: Array, log_q: Array, axis_name: str | None) -> Array:
    """mass log(mass / r), r the student's; 0, with derivatives 0, where nothing is unlisted."""
    seen = vocabulary.is_listed(axis_name, listed, logits)
    low = vocabulary.lowest(logits)
    log_r = vocabulary.log_sum_exp(axis_name, jnp.where(seen, low, log_q))
    # Padding is not listed, and is nothing all the same. So is what rounding leaves of a sum of 1,
    # by which mass log(mass) would have a slope of -16.
    rest = jax.lax.stop_gradient(jnp.where(seen, low, logits))
    rounding = listed.shape[1] * jnp.finfo(mass.dtype).eps
    counts = (mass > rounding) & (vocabulary.largest(rest, axis_name)[:, 0] > low)
    mass = jnp.where(counts, mass, 1)
    return jnp.where(counts, mass * (jnp.log(mass) - log_r), 0)


def focal(
    labels: Array, logits: Array, *, gamma: Hyper = 2.0, axis_name: str | None = None
) -> Array:
    """-(1 - q)^gamma log q, with q the softmax at the label; 0 for a label out of range.

    `gamma` ≥ 0 takes weight from what is predicted well. Source: Lin et al. (2017),
    arXiv:1708.02002, eq. 4.
    """
    entropy, _, _ = vocabulary.label_entropy(axis_name, None, labels, logits)
    gamma = jnp.asarray(gamma, logits.dtype)
    exists = vocabulary.valid(labels, logits, axis_name)
    return jnp.where(exists, focal_entropy(0, -jnp.where(exists, entropy, 1), gamma), 0)


def log_probability(
    labels: Array, logits: Array, *, temperature: Hyper = 1.0, axis_name: str | None = None
) -> dict[str, Array]:
    """log softmax(logits / T) at the labels and the entropy of that softmax, in nats.

    A dict of "log_probability" and "entropy", for reduction "none": what DPO, GRPO and other
    policy losses are made of. A label out of range has the log-probability 0.
    """
    z = logits / jnp.asarray(temperature, logits.dtype)
    entropy, _, _ = vocabulary.label_entropy(axis_name, None, labels, z)
    exists = vocabulary.valid(labels, z, axis_name)
    return {
        "log_probability": jnp.where(exists, -entropy, 0),
        "entropy": vocabulary.entropy(axis_name, z),
    }
