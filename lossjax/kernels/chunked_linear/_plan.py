"""How many tokens are in hand at once, and which."""

from typing import Any, NamedTuple

import jax
from jax import numpy as jnp

from lossjax.core.types import Array

SHARE = 5  # a chunk's logits may take a fifth of the kernel's memory ...
FEWEST = 64  # ... but products of fewer rows than this waste the machine


class Plan(NamedTuple):
    """Tokens as a table of `lanes` rows by `width` columns, taken `size` columns at a time.

    The lanes are far apart in the batch, so that each chunk holds tokens of every device where
    the batch is sharded. The last chunk starts early enough to be whole: some of its tokens are
    seen twice, and `fresh` tells which are new.
    """

    lanes: int
    width: int
    size: int

    @property
    def steps(self) -> int:
        return max(1, -(-self.width // max(1, self.size)))

    @property
    def rows(self) -> int:
        return self.lanes * self.size

    def _start(self, step: Array) -> Array:
        return jnp.minimum(step * self.size, self.width - self.size)

    def take(self, x: Array, step: Array) -> Array:
        """The tokens (tokens, ...) of one chunk: (rows, ...)."""
        if self.steps == 1:
            return x
        table = x.reshape(self.lanes, self.width, *x.shape[1:])
        part = jax.lax.dynamic_slice_in_dim(
            table, self._start(step), self.size, 1, allow_negative_indices=False
        )
        return part.reshape(self.rows, *x.shape[1:])

    def put(self, x: Array, part: Array, step: Array) -> Array:
        """`x` with the rows of `part` that are new where `take` takes them from."""
        if self.steps == 1:
            return part.astype(x.dtype)
        fresh = self.fresh(step)
        if fresh is not None:
            fresh = fresh.reshape((-1,) + (1,) * (part.ndim - 1))
            part = jnp.where(fresh, part, self.take(x, step))
        table = x.reshape(self.lanes, self.width, *x.shape[1:])
        part = part.astype(x.dtype).reshape(self.lanes, self.size, *x.shape[1:])
        out = jax.lax.dynamic_update_slice_in_dim(
            table, part, self._start(step), 1, allow_negative_indices=False
        )
        return out.reshape(x.shape)

    def fresh(self, step: Array) -> Array | None:
        """Which rows of the chunk no earlier chunk had; None if all."""
        if self.width % max(1, self.size) == 0:
            return None
        seen = step * self.size - self._start(step)
        return jnp.tile(jnp.arange(self.size) >= seen, self.lanes)


def make_plan(tokens: int, features: int, chunk: Any) -> Plan:
    """`chunk` tokens at a time, or with "auto" as many as `SHARE` allows."""
    rows = max(FEWEST, features // SHARE) if chunk == "auto" else chunk
    if tokens <= rows:
        return Plan(1, tokens, tokens)
    lanes = 1
    while tokens % (2 * lanes) == 0 and 8 * lanes <= rows:
        lanes *= 2
    width, size = tokens // lanes, rows // lanes
    steps = -(-width // size)
    return Plan(lanes, width, -(-width // steps))
