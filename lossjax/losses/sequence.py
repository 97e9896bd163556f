"""Losses of sequences that are not aligned with their labels."""

from typing import Any

import jax
from jax import numpy as jnp

from lossjax.core import check
from lossjax.core.loss import Loss
from lossjax.core.reduce import Inputs
from lossjax.core.types import Array, Input
from lossjax.math import softmax
from lossjax.math.elementwise import guarded

__all__ = ["CTC", "ctc"]

_LOG_ZERO = -1e5  # the logarithm of an impossible path; finite, as Keras has it on JAX
_BLANK = 0


def ctc(
    y_true: Input,
    y_pred: Input,
    *,
    label_length: Input | None = None,
    logit_length: Input | None = None,
    where: Input | None = None,
) -> Array:
    """-log P(labels): the probability of all alignments that collapse to the labels.

    Use: labels in order but without times, as in speech and handwriting. Not where the order may
    change, nor where there are fewer steps than labels; equal neighbours need a blank between them.

    Shapes: labels (B, L), the class 0 being the blank and the padding; logits (B, T, classes),
    softmax inside; values (B,), in nats. A row has as many labels as nonzero entries, or
    `label_length` (B,), with any padding behind; as many steps as `logit_length` (B,) says, or
    those which are true in `where` (B, T), the others being passed over; by default all T. To the
    class `where` comes as a mask of this shape, the labels of several lengths as a `y_true` of
    (labels, label_length); a sample without a step does not count. Labels that do not fit into
    their steps give about 1e5 (TensorFlow: about 700), a row without labels the loss of blanks.
    A label out of range is emitted with probability 1, as in Keras on JAX.
    Raises ValueError for wrong ranks and shapes.
    Source: Graves et al. (2006), doi:10.1145/1143844.1143891, eq. 6-8; equal to
    `keras.losses.ctc`.

    >>> import numpy as np
    >>> print(ctc([[1, 2]], np.zeros((1, 3, 3))).round(4))
    [1.6864]
    """
    labels = check.labels("ctc", y_true)
    y_pred = check.prediction("ctc", y_pred)
    if labels.ndim != 2:
        raise ValueError(
            f"ctc: Targets `y_true` are expected to have shape (batch_size, max_length), "
            f"got {labels.shape}."
        )
    if y_pred.ndim != 3 or y_pred.shape[0] != labels.shape[0]:
        raise ValueError(
            f"ctc: Logits `y_pred` are expected to have shape (batch_size, max_length, "
            f"num_classes) with batch_size {labels.shape[0]}, got {y_pred.shape}."
        )
    counts = _steps(y_pred.shape[:2], logit_length, where)
    if counts is not None:
        y_pred = guarded(y_pred, counts[..., None])
    if label_length is None:
        length = jnp.sum(labels != _BLANK, -1)
    else:
        length = _length("label_length", label_length, labels.shape)
    # An impossible class gets a finite score: -inf - -inf would be NaN.
    steps = jnp.maximum(softmax.log_softmax(y_pred, -1), _LOG_ZERO)
    return -jax.vmap(_log_probability)(labels, length, steps, counts)


def _length(name: str, value: Input, shape: tuple[int, ...]) -> Array:
    length = check.labels("ctc", value)
    if length.shape != shape[:1]:
        raise ValueError(f"ctc: {name} must have shape {shape[:1]}, got {length.shape}.")
    return length


def _steps(shape: tuple[int, ...], logit_length: Input | None, where: Input | None) -> Array | None:
    """Which of the steps count; None for all."""
    counts = None
    if where is not None:
        counts = jnp.broadcast_to(check.entries("ctc", "where", where, shape), shape).astype(bool)
    if logit_length is not None:
        within = jnp.arange(shape[1]) < _length("logit_length", logit_length, shape)[:, None]
        counts = within if counts is None else counts & within
    return counts


def _log_add(a: Array, b: Array) -> Array:
    """log(exp a + exp b) for finite a and b.

    Not `jnp.logaddexp`: in a scan jax 0.10 differentiates its rule as if it were its formula,
    whose second derivative is wrong where a = b.
    """
    lead = a - b
    size = jnp.where(lead > 0, -lead, lead)
    return jnp.where(lead > 0, a, b) + jnp.log1p(jnp.exp(size))


def _log_probability(labels: Array, length: Array, steps: Array, counts: Array | None) -> Array:
    """The forward sum over the alignments of labels (L,) with log probabilities (T, classes).

    `blank[n]` sums the paths that have emitted n labels and stand on a blank, `emit[n]` those
    that stand on label n.
    """
    valid = check.exists(labels, steps.shape[1])
    of_label = jnp.where(valid, steps[:, jnp.where(valid, labels, _BLANK)], 0)
    if counts is not None:
        of_label = jnp.where(counts[:, None], of_label, 0)
    # From one label to an equal one the path must cross a blank.
    no_skip = jnp.where(jnp.append(labels[:-1] == labels[1:], False), _LOG_ZERO, 0.0)
    no_skip = no_skip.astype(steps.dtype)

    def advance(alpha: tuple[Array, Array], step: Any) -> tuple[Any, None]:
        (blank, emit), (p_label, p_blank, counts) = alpha, step
        skip = blank.at[1:].set(_log_add(blank[1:], emit + no_skip))
        stay = blank.at[1:].set(_log_add(blank[1:], emit))
        moved = stay + p_blank, _log_add(skip[:-1], emit) + p_label
        if counts is not None:
            moved = jax.tree.map(lambda new, old: jnp.where(counts, new, old), moved, alpha)
        return moved, None

    # Like `of_label`, which everything enters: inside shard_map a carry varies over the same axes
    # at both ends.
    blank = jnp.full_like(of_label, _LOG_ZERO, shape=labels.size + 1).at[0].set(0)
    emit = jnp.full_like(of_label, _LOG_ZERO, shape=labels.size)
    xs = of_label, steps[:, _BLANK], counts
    (blank, emit), _ = jax.lax.scan(advance, (blank, emit), xs)
    ended = blank.at[1:].set(_log_add(blank[1:], emit))
    return ended[length]


class CTC(Loss):
    fn = ctc
    couples = "none"
    domain = "sequence"

    def call(self, y_true: Any, y_pred: Any, where: Array | None = None) -> Any:
        labels, length = y_true if isinstance(y_true, (tuple, list)) else (y_true, None)
        values = ctc(labels, y_pred, label_length=length, where=where)
        return values if where is None else (values, jnp.any(where, -1))

    def _weighed(self, inputs: Inputs) -> Inputs:
        """A mask of the steps is no mask of the values."""
        mask, shape = inputs.mask, inputs.y_pred.shape
        if mask is None or check.fit_values(shape[:1], mask):
            return super()._weighed(inputs)
        steps = check.entries("CTC", "mask", mask, shape[:2])
        inputs = inputs._replace(where=jnp.broadcast_to(steps, shape[:2]), mask=None)
        return inputs if inputs.weight is None else super()._weighed(inputs)
