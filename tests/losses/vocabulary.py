"""Losses over a vocabulary, whose y_pred is (hidden states, kernel): more tests in tests/linear."""

import functools

from jax import numpy as jnp

from cases import Case, Elsewhere
from losses.categorical import sparse_categorical_crossentropy
from lossjax import losses


def of_logits(z):
    """Hidden states that are the logits."""
    return z, jnp.eye(z.shape[-1], dtype=z.dtype)


CASES = (
    Case(
        losses.LinearCrossEntropy,
        at_edges=({"ignore_class": 1},),
        exact=functools.partial(sparse_categorical_crossentropy, from_logits=True),
        elsewhere=(Elsewhere("torch", "F.cross_entropy(y_pred[0] @ y_pred[1], y_true)"),),
        ulps=None,  # labels out of range are refused
        packed=of_logits,
        keras=None,
    ),
)
