"""Pairs of an anchor and a reference: which there are, and sums over those that are kept.

Arrays of pairs have the shape (anchors, references).
"""

from typing import NamedTuple

import jax
from jax import numpy as jnp

from lossjax.core.types import Array


class Pairs(NamedTuple):
    """Which pairs are of one label, and which of two."""

    same: Array
    other: Array

    @property
    def has_both(self) -> Array:
        """Which anchors have a reference of each kind."""
        return jnp.any(self.same, 1) & jnp.any(self.other, 1)


def of_labels(
    labels: Array, ref_labels: Array, exists: Array | None = None, itself: Array | None = None
) -> Pairs:
    """The pairs of anchors and references with the labels (anchors,) and (references,).

    `exists` tells which pairs there are. `itself` is the row among the references at which each
    anchor is: no label is its own.
    """
    same = labels[:, None] == ref_labels[None]
    other = ~same
    if itself is not None:
        same &= itself[:, None] != jnp.arange(len(ref_labels))[None]
    if exists is not None:
        same, other = same & exists, other & exists
    return Pairs(same, other)


def log_sum_exp(x: Array, kept: Array) -> Array:
    """Over the references that are kept; finite, with derivative 0, if there is none."""
    x = jnp.where(kept, x, 0)
    m = jax.lax.stop_gradient(jnp.max(x, -1, keepdims=True, initial=-jnp.inf, where=kept))
    m = jnp.where(jnp.isfinite(m), m, 0)
    s = jnp.sum(jnp.where(kept, jnp.exp(x - m), 0), -1)
    return m[..., 0] + jnp.log(jnp.where(s == 0, 1, s))
