"""Inputs for any loss."""

from typing import Any

import jax
import numpy as np

from lossjax.core import domain as domains
from lossjax.core.domain import Domain
from lossjax.core.loss import Loss


def sample(
    loss: Loss | type[Loss], shape: tuple[int, ...] | None = None, seed: int = 0
) -> tuple[Any, Any]:
    """Random (y_true, y_pred) that suit `loss`: float32, labels as integers.

    `shape` is that of `y_pred`, by default that of the domain: (8, 5), or (4, 6, 5) for sequences.

    >>> from lossjax import losses
    >>> y_true, y_pred = sample(losses.SparseCategoricalCrossentropy)
    >>> y_true.shape, y_pred.shape
    ((8,), (8, 5))
    """
    return draw(domain_of(loss), shape, seed)


def domain_of(loss: Loss | type[Loss]) -> Domain:
    """What inputs `loss` takes: its domain, or that of logits."""
    return loss._declared.domain.of(loss)


def draw(
    domain: str | Domain, shape: tuple[int, ...] | None = None, seed: int = 0
) -> tuple[Any, Any]:
    """As `sample`, for a `Domain` or the name of one of `DOMAINS`."""
    domain = domains.named("draw", domain)
    drawn = domain.draw(np.random.default_rng(seed), domain.shape if shape is None else shape)
    return jax.tree.map(lambda x: x.astype(np.float32) if x.dtype == np.float64 else x, drawn)
