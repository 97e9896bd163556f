"""What the devices of a mesh axis have together: `axis_name` is None where there is one device.

An axis of a `jax.shard_map`, or a tuple of them, over which the rows of a batch are spread.
"""

from typing import TypeVar

import jax
from jax import numpy as jnp

from lossjax.core.types import Array, Axis, AxisName

Tree = TypeVar("Tree")


def summed(tree: Tree, axis_name: AxisName) -> Tree:
    """The sums over all devices; of what is true or false, whether it is true on any."""
    if axis_name is None:
        return tree

    def leaf(x: Array) -> Array:
        if x.dtype == jnp.bool_:
            return jax.lax.psum(x.astype(jnp.int32), axis_name) > 0
        return jax.lax.psum(x, axis_name)

    return jax.tree.map(leaf, tree)


def largest(x: Array, axis_name: AxisName) -> Array:
    """The largest of all devices; it has no derivative."""
    return x if axis_name is None else jax.lax.pmax(x, axis_name)


def has_rows(axis: Axis, ndim: int) -> bool:
    """Whether the first axis, that of the rows, is among the axes `axis` of an array."""
    axes = (axis,) if isinstance(axis, int) else axis
    return axes is None or 0 in [a % max(1, ndim) for a in axes]


def gathered(tree: Tree, axis_name: AxisName) -> Tree:
    """The rows of all devices, of every array."""
    if axis_name is None:
        return tree
    return jax.tree.map(lambda x: jax.lax.all_gather(x, axis_name, tiled=True), tree)


def row_numbers(count: int, axis_name: AxisName) -> Array:
    """Where each of the `count` rows that are here is among those of all devices."""
    here = jnp.arange(count)
    return here if axis_name is None else here + jax.lax.axis_index(axis_name) * count
