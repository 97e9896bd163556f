"""Inputs of several arrays as one, a row a sample, so that every probe can ask of them."""

import functools
import math
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from lossjax.core.loss import Loss


class Packing:
    """How the leaves of a pytree, each with a row a sample, lie side by side in one array."""

    def __init__(self, tree: Any) -> None:
        found, self.structure = jax.tree_util.tree_flatten_with_path(tree)
        self.names = [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in found]
        self.shapes = [np.shape(x)[1:] for _, x in found]
        self.dtypes = [np.asarray(x).dtype for _, x in found]
        self.ends = np.cumsum([math.prod(shape) for shape in self.shapes]).tolist()

    def pack(self, tree: Any) -> np.ndarray:
        """One array of all columns."""
        leaves = [np.asarray(x) for x in jax.tree.leaves(tree)]
        return np.concatenate([x.reshape(len(x), -1) for x in leaves], -1)

    def unpack(self, columns: Any) -> Any:
        """The pytree again: floats in the dtype of the columns, whole numbers in their own."""

        def leaf(x: Any, shape: Any, dtype: Any) -> Any:
            x = jnp.reshape(x, (len(x), *shape))
            return x if jnp.issubdtype(dtype, jnp.floating) else jnp.round(x).astype(dtype)

        parts = jnp.split(columns, self.ends[:-1], -1)
        return jax.tree.unflatten(self.structure, map(leaf, parts, self.shapes, self.dtypes))

    def __str__(self) -> str:
        """Which columns are what."""
        spans = zip(self.names, [0, *self.ends], self.ends, strict=False)
        return ", ".join(f"{name} {low}:{high}" for name, low, high in spans)


def is_packable(y_true: Any, y_pred: Any) -> bool:
    """Whether all arrays have a row for each sample."""
    leaves = [np.shape(x) for x in jax.tree.leaves((y_true, y_pred))]
    return all(leaves) and len({shape[0] for shape in leaves}) == 1


def packed(loss: Any, true: Packing | None, pred: Packing | None) -> Any:
    """The loss that takes what is packed; None stands for a single array, left as it is."""
    unpack = [_same if packing is None else packing.unpack for packing in (true, pred)]
    if not isinstance(loss, Loss):
        return functools.wraps(loss)(lambda t, p: loss(unpack[0](t), unpack[1](p)))
    cls: Any = type(loss)

    def call(self: Any, y_true: Any, y_pred: Any, **where: Any) -> Any:
        return cls.call(self, unpack[0](y_true), unpack[1](y_pred), **where)

    # A private name is not registered.
    made: Any = object.__new__(type(f"_Packed{cls.__name__}", (cls,), {"call": call}))
    made.__dict__.update(loss.__dict__)
    return made


def _same(x: Any) -> Any:
    return x
