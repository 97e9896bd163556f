"""How many tokens are in hand at once, and which."""

from typing import Any, NamedTuple

import jax
from jax import numpy as jnp

from lossjax.core.types import Array

# With fewer rows a device, products wait for memory: each reads the kernel and a float32 gradient
# of it, and writes that. In bfloat16 an H100 asks for 1,500 rows, a TPU v5p for 830, a v5e for
# 1,200, a v6e for 2,800.
FEWEST_ON_CPU = 256
FEWEST_ELSEWHERE = 1536
FEWEST_COLUMNS = 1024  # likewise, of the kernel's gradient, which is made in blocks on CPU
BLOCKS = 16


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


def make_plan(tokens: int, rows: Any) -> Plan:
    """At most `rows` tokens at a time, in as many lanes as let few tokens be seen twice."""
    if tokens <= rows:
        return Plan(1, tokens, tokens)
    plan = _in_lanes(1, tokens, rows)
    while tokens % (2 * plan.lanes) == 0 and 8 * plan.lanes <= rows:
        finer = _in_lanes(2 * plan.lanes, tokens, rows)
        if finer.steps * finer.rows > max(1.02 * tokens, plan.steps * plan.rows):
            break
        plan = finer
    return plan


def _in_lanes(lanes: int, tokens: int, rows: int) -> Plan:
    width, size = tokens // lanes, rows // lanes
    steps = -(-width // size)
    return Plan(lanes, width, -(-width // steps))


def block(columns: int) -> int:
    """How many columns of the kernel's gradient are added at a time."""
    return max(FEWEST_COLUMNS, -(-columns // BLOCKS))


def rows_in(memory: int | None, features: int, columns: int, itemsize: int, fewest: int) -> int:
    """How many tokens a device may have in hand: their logits take 7/8 of `memory` bytes.

    The rest is for a block of the kernel's gradient. None is the memory of the kernel, or more
    where so few rows would not be worth while.
    """
    if memory is None:
        return max(fewest, 7 * features // 8)
    return max(1, 7 * memory // (8 * max(1, columns) * itemsize))
