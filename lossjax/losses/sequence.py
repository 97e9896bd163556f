"""Losses of sequences that are not aligned with their labels."""

from typing import Any

import jax
from jax import numpy as jnp

from lossjax import _check, _rows
from lossjax._base import Loss
from lossjax._types import Array, Input

__all__ = ["CTC", "ctc"]

_LOG_ZERO = -1e5  # the logarithm of an impossible path; finite, as Keras has it on JAX
_BLANK = 0


def ctc(y_true: Input, y_pred: Input) -> Array:
    """-log P(labels): the probability of all alignments that collapse to the labels.

    Use: labels in order but without times, as in speech and handwriting. Not where the order may
    change, nor where there are fewer steps than labels; equal neighbours need a blank between them.

    Shapes: labels (B, L), the class 0 being the blank and the padding; logits (B, T, classes),
    softmax inside; values (B,), in nats. A row has as many labels as nonzero entries; all T
    steps count. Labels that do not fit into T steps give about 1e5 (TensorFlow: about 700), a
    row without labels the loss of T blanks. A label out of range is emitted with probability 1,
    as in Keras on JAX.
    Raises ValueError for wrong ranks.
    Source: Graves et al. (2006), doi:10.1145/1143844.1143891, eq. 6-8; equal to
    `keras.losses.ctc`.

    >>> import numpy as np
    >>> print(ctc([[1, 2]], np.zeros((1, 3, 3))).round(4))
    [1.6864]
    """
    labels = _check.labels("ctc", y_true)
    y_pred = _check.prediction("ctc", y_pred)
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
    # An impossible class gets a finite score: -inf - -inf would be NaN.
    steps = jnp.maximum(_rows.log_softmax(y_pred, -1), _LOG_ZERO)
    return -jax.vmap(_log_probability)(labels, steps)


def _log_add(a: Array, b: Array) -> Array:
    """log(exp a + exp b) for finite a and b.

    Not `jnp.logaddexp`: in a scan jax 0.10 differentiates its rule as if it were its formula,
    whose second derivative is wrong where a = b.
    """
    wins = a > b
    high, low = jnp.where(wins, a, b), jnp.where(wins, b, a)
    return high + jnp.log1p(jnp.exp(low - high))


def _log_probability(labels: Array, steps: Array) -> Array:
    """The forward sum over the alignments of labels (L,) with log probabilities (T, classes).

    `blank[n]` sums the paths that have emitted n labels and stand on a blank, `emit[n]` those
    that stand on label n.
    """
    length = jnp.sum(labels != _BLANK)
    valid = (labels >= 0) & (labels < steps.shape[1])
    of_label = jnp.where(valid, steps[:, jnp.where(valid, labels, _BLANK)], 0)
    # From one label to an equal one the path must cross a blank.
    no_skip = jnp.where(jnp.append(labels[:-1] == labels[1:], False), _LOG_ZERO, 0.0)
    no_skip = no_skip.astype(steps.dtype)

    def advance(alpha: tuple[Array, Array], step: tuple[Array, Array]) -> tuple[Any, None]:
        (blank, emit), (p_label, p_blank) = alpha, step
        skip = blank.at[1:].set(_log_add(blank[1:], emit + no_skip))
        stay = blank.at[1:].set(_log_add(blank[1:], emit))
        return (stay + p_blank, _log_add(skip[:-1], emit) + p_label), None

    blank = jnp.full(labels.size + 1, _LOG_ZERO, steps.dtype).at[0].set(0)
    emit = jnp.full(labels.size, _LOG_ZERO, steps.dtype)
    (blank, emit), _ = jax.lax.scan(advance, (blank, emit), (of_label, steps[:, _BLANK]))
    ended = blank.at[1:].set(_log_add(blank[1:], emit))
    return ended[length]


class CTC(Loss):
    fn = ctc
    couples = "none"
    domain = "sequence"
