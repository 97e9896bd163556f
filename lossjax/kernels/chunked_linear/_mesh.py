"""What `shard_map` and meshes ask of a loop: types that vary over axes, partial gradients."""

import math
from collections.abc import Callable
from typing import Any

import jax
from jax import numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from lossjax.core.types import Array


def varying(x: Any) -> frozenset[str]:
    """The axes of `shard_map` over which `x` may differ from device to device."""
    kind = (x if isinstance(x, jax.ShapeDtypeStruct) else jax.typeof(x)).manual_axis_type
    return frozenset() if kind is None else frozenset(kind.varying)


def zeros(struct: Any) -> Array:
    """Zeros of the type of `struct`, varying over the same axes: what a loop starts from."""
    return _vary(jnp.zeros(struct.shape, struct.dtype), varying(struct))


def vary_as(x: Array, like: Any) -> Array:
    """`x` with a type that varies over the axes of `like` too."""
    return _vary(x, varying(like))


def _vary(x: Array, axes: frozenset[str]) -> Array:
    missing = tuple(sorted(axes - varying(x)))
    return jax.lax.pcast(x, missing, to="varying") if missing else x


def share(axis_name: str | None) -> float:
    """The part of a replicated cotangent that each device is to start from.

    `shard_map(check_vma=False)` does not know what is replicated: there a `psum` hands its
    cotangent, summed over the devices, to each of them.
    """
    if axis_name is None or axis_name in varying(jax.lax.axis_index(axis_name)):
        return 1.0
    return 1.0 / jax.lax.axis_size(axis_name)


def whole(x: Array, axis_name: str | None) -> Array:
    """The sum of what the devices of the vocabulary axis have found, each for its part."""
    if axis_name is None or (share(axis_name) == 1 and axis_name not in varying(x)):
        return x
    return jax.lax.psum(x, axis_name)


def token_shards(hidden: Any) -> int:
    """Over how many devices the tokens are spread, where the array says so.

    Under `jit` it does on explicit mesh axes alone.
    """
    if not isinstance(hidden, jax.Array):
        return 1
    if isinstance(hidden, jax.core.Tracer):
        sharding = jax.typeof(hidden).sharding
        axes = jax.tree.leaves(tuple(sharding.spec[:-1]))
        return math.prod(sharding.mesh.shape[axis] for axis in axes)
    here = hidden.sharding.shard_shape(hidden.shape)[:-1]
    return math.prod(hidden.shape[:-1]) // max(1, math.prod(here))


def automatic(f: Callable[..., Any], *args: Any) -> Any:
    """`f(*args)`, with the explicit axes of a mesh left to the compiler; the result is replicated.

    Slices and gathers along such an axis are errors of jax. Only arrays lose their values here.
    """
    leaves, tree = jax.tree.flatten(args)
    arrays = {i: x for i, x in enumerate(leaves) if isinstance(x, jax.Array)}
    meshes = [jax.typeof(x).sharding.mesh for x in arrays.values()]
    mesh = next((m for m in meshes if AxisType.Explicit in m.axis_types), None)
    if mesh is None:
        return f(*args)

    def of_arrays(arrays: dict[int, Array]) -> Any:
        return f(*jax.tree.unflatten(tree, [arrays.get(i, x) for i, x in enumerate(leaves)]))

    replicated = NamedSharding(mesh, PartitionSpec())
    return jax.sharding.auto_axes(of_arrays, out_sharding=replicated)(arrays)


def partitioned(*arrays: Array) -> bool:
    """Whether the compiler may spread one of the arrays over devices by itself.

    An array that comes without a mesh may still get one, from `jit(in_shardings=...)`.
    """
    meshes = [jax.typeof(x).sharding.mesh for x in arrays]
    if all(mesh.empty for mesh in meshes):
        return jax.device_count() > 1
    return any(
        size > 1 and kind != AxisType.Manual
        for mesh in meshes
        for size, kind in zip(mesh.axis_sizes, mesh.axis_types, strict=True)
    )
