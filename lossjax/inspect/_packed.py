"""Inputs of several arrays as one, a row a sample, so that every probe can ask of them."""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from lossjax.core.loss import Loss


def single(loss: Any, y_true: Any, y_pred: Any) -> tuple[Any, Any, Any, str]:
    """The same for single arrays, and which of their columns are what; no words for one already.

    Raises TypeError where one of several arrays has no row a sample, as the kernel of a fused loss.
    """
    given = {"y_true": y_true, "y_pred": y_pred}
    several = {name: _arrays(x) for name, x in given.items() if not _is_single(x)}
    if not several:
        return loss, y_true, y_pred, ""
    rows = {np.shape(x)[:1] for x in jax.tree.leaves(given | several)}
    if len(rows) != 1 or rows == {()}:
        raise TypeError(
            f"check: y_pred must be a single array, or several with a row a sample, got "
            f"{type(y_pred).__name__}. Check a function of one array, with reduction=None: "
            f"check(lambda y_true, hidden: loss(y_true, (hidden, kernel)), y_true, hidden)."
        )
    packings = {name: _Packing(x) for name, x in several.items()}
    given |= {name: packing.pack(several[name]) for name, packing in packings.items()}
    words = "".join(f"; {name} as columns {packing}" for name, packing in packings.items())
    unpack = [packings[name].unpack if name in packings else _same for name in given]
    return _packed(loss, *unpack), *given.values(), words


def _is_single(x: Any) -> bool:
    """One array, or numbers in lists."""
    return isinstance(x, list) or jax.tree_util.all_leaves([x])


def _arrays(tree: Any) -> Any:
    return jax.tree.map(np.asarray, tree, is_leaf=lambda x: isinstance(x, list))


def _same(x: Any) -> Any:
    return x


class _Packing:
    """How the leaves of a pytree, each with a row a sample, lie side by side in one array."""

    def __init__(self, tree: Any) -> None:
        found, self.structure = jax.tree_util.tree_flatten_with_path(tree)
        self.names = [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in found]
        self.shapes = [x.shape[1:] for _, x in found]
        self.dtypes = [x.dtype for _, x in found]
        self.sizes = [math.prod(shape) for shape in self.shapes]
        self.ends = np.cumsum(self.sizes).tolist()

    def pack(self, tree: Any) -> np.ndarray:
        """One array of all columns."""
        sized = zip(jax.tree.leaves(tree), self.sizes, strict=True)
        return np.concatenate([x.reshape(len(x), size) for x, size in sized], -1)

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


def _packed(loss: Any, true: Callable[[Any], Any], pred: Callable[[Any], Any]) -> Any:
    """The loss of what `true` and `pred` make of its inputs."""
    if not isinstance(loss, Loss):
        return functools.wraps(loss)(lambda t, p: loss(true(t), pred(p)))
    cls: Any = type(loss)

    def call(self: Any, y_true: Any, y_pred: Any, **where: Any) -> Any:
        return cls.call(self, true(y_true), pred(y_pred), **where)

    # A private name is not registered.
    made: Any = object.__new__(type(f"_Packed{cls.__name__}", (cls,), {"call": call}))
    made.__dict__.update(loss.__dict__)
    return made
