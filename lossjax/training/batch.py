"""One batch, or one data set: what users pass, as arrays of numbers with one row a sample."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np


class Batch(NamedTuple):
    """Inputs, truth, weights and masks of some samples; `rows` is false for padding."""

    x: Any
    y: Any = None
    sample_weight: Any = None
    mask: Any = None
    rows: Any = None

    @property
    def size(self) -> int:
        """The number of rows, padding included."""
        return len(jax.tree.leaves(self.x)[0])


KEYS = Batch._fields[:4]


def is_array(data: Any) -> bool:
    """What NumPy or JAX can read: theirs, tensors of other libraries, data frames."""
    return hasattr(data, "__array__") or hasattr(data, "__dlpack__")


def as_batch(where: str, data: Any) -> Batch:
    """A `Batch` of (x, y), (x, y, sample_weight), a dict of these and "mask", or x alone."""
    if isinstance(data, Batch):
        return data
    if isinstance(data, Mapping) and "x" in data:
        unknown = [key for key in data if key not in KEYS]
        if unknown:
            raise ValueError(
                f"{where}: a batch has the keys {', '.join(KEYS)}, got {str(unknown)[:80]}. "
                f"Put several inputs into a dict under 'x'."
            )
        return Batch(**data)
    if isinstance(data, (tuple, list)) and 1 <= len(data) <= 3:
        return Batch(*data)
    if is_array(data):
        return Batch(data)
    got = str(list(data))[:80] if isinstance(data, Mapping) else type(data).__name__
    raise ValueError(
        f"{where}: a batch is (x, y), (x, y, sample_weight) or a dict with 'x' and 'y', got {got}."
    )


def as_inputs(where: str, data: Any) -> Batch:
    """The x of a batch, or all of it where it is no (x, y), no list and no dict of these."""
    if isinstance(data, Mapping) and not ("x" in data and set(data) <= set(KEYS)):
        return Batch(data)
    return Batch(as_batch(where, data).x)


def checked(where: str, batch: Batch) -> Batch:
    """The same as arrays of numbers, with equally many rows, at least one."""
    batch = Batch(*(_arrays(where, *field) for field in zip(Batch._fields, batch, strict=True)))
    counts: dict[str, int] = {}
    for name, leaf in named(batch):
        if np.ndim(leaf) == 0:
            raise ValueError(
                f"{where}: {name} must be an array with one row a sample, got {str(leaf)[:80]}."
            )
        counts[name] = np.shape(leaf)[0]
    other = next((name for name, n in counts.items() if n != next(iter(counts.values()))), None)
    if other:
        first = next(iter(counts))
        raise ValueError(
            f"{where}: all arrays need the same number of rows, got {counts[first]} of {first} and "
            f"{counts[other]} of {other}."
        )
    if not jax.tree.leaves(batch.x) or not max(counts.values()):
        raise ValueError(f"{where}: the data is empty: at least one row is needed.")
    return batch


def named(batch: Batch) -> Iterator[tuple[str, Any]]:
    """The arrays of a batch with names such as x or y['size']."""
    for field, tree in zip(Batch._fields, batch, strict=True):
        if isinstance(tree, np.ndarray | jax.Array):  # all of this is done for every step
            yield field, tree
        elif tree is not None:
            for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
                yield field + jax.tree_util.keystr(path), leaf


def padded(batch: Batch, size: int) -> Batch:
    """`batch` with its first row repeated up to `size` rows: zeros may have no derivative."""
    count = batch.size
    take = np.where(np.arange(size) < count, np.arange(size), 0)
    return jax.tree.map(lambda a: a[take], batch)._replace(rows=np.arange(size) < count)


def beyond(a: Any, held: Any) -> bool:
    """Whether a NumPy array has integers that the integer dtype `held` does not hold."""
    if not isinstance(a, np.ndarray) or a.dtype.kind not in "iu" or not a.size:
        return False
    own, limits = np.iinfo(a.dtype), np.iinfo(held)
    if limits.min <= own.min and own.max <= limits.max:
        return False
    return bool(a.max() > limits.max or a.min() < limits.min)


def _arrays(where: str, field: str, tree: Any) -> Any:
    if tree is None:
        return None
    if isinstance(tree, np.ndarray | jax.Array):
        return _array(where, field, field, tree)

    def convert(path: Any, leaf: Any) -> Any:
        return _array(where, field, field + jax.tree_util.keystr(path), leaf)

    return jax.tree_util.tree_map_with_path(convert, tree, is_leaf=_is_written_out)


def _is_written_out(x: Any) -> bool:
    """Numbers in lists, which are one array; or what somebody took for such, as strings."""
    plain = (int, float, complex, str, bytes)
    is_list = isinstance(x, (list, tuple)) and not hasattr(x, "_fields")
    return is_list and all(isinstance(v, plain) or _is_written_out(v) for v in x)


def _array(where: str, field: str, name: str, leaf: Any) -> Any:
    if isinstance(leaf, jax.Array):
        return leaf
    if isinstance(leaf, np.ma.MaskedArray) and np.ma.is_masked(leaf):
        raise TypeError(
            f"{where}: {name} has masked entries, which would be taken for numbers. Pass "
            f"{name}.filled(0), and as the mask of the batch ~{name}.mask."
        )
    try:
        found = np.asarray(leaf)
    except Exception as error:  # of whichever library the array is
        found = _shared(where, name, leaf, error)
    # NumPy does not know that bfloat16 and its like are numbers.
    if found.dtype.kind not in "biufc" and not jax.numpy.issubdtype(found.dtype, np.number):
        raise _no_numbers(where, name, leaf, found)
    # What `y` may hold depends on the loss.
    if field != "y" and beyond(found, jax.dtypes.canonicalize_dtype(found.dtype)):
        if field == "x":
            raise ValueError(
                f"{where}: {name} holds integers from {found.min()} to {found.max()}; JAX's have "
                f"32 bits. Pass {name}.astype('float32'), or set jax_enable_x64."
            )
        return found.astype(np.float32)  # weights, and masks: no number but 0 becomes 0
    return found


def _shared(where: str, name: str, leaf: Any, error: Exception) -> np.ndarray:
    """What NumPy cannot read but JAX can, such as bfloat16 of torch."""
    try:
        return np.asarray(jax.dlpack.from_dlpack(leaf))
    except Exception:
        what = "rows of unequal length" if isinstance(leaf, (list, tuple)) else str(error)[:150]
        raise TypeError(
            f"{where}: {name} must be an array of numbers, got {type(leaf).__name__}: "
            f"{what.removesuffix('.')}."
        ) from error


def _no_numbers(where: str, name: str, leaf: Any, found: np.ndarray) -> TypeError:
    """The error for an array of anything else, with the way to numbers."""
    odd = (v for v in found.flat if not isinstance(v, (int, float)))
    some: Any = next(odd, found.flat[0] if found.size else None)
    got = f"{type(some).__name__} such as {str(some)[:40]!r}"
    if found.ndim == 0:
        got, fix = type(leaf).__name__, "Pass an array with one row a sample."
    elif isinstance(some, (str, bytes)):
        fix = f"Number the classes: classes, numbers = np.unique({name}, return_inverse=True)."
    elif found.dtype.kind in "mM":
        got, fix = str(found.dtype), "Pass spans of time / np.timedelta64(1, 's')."
    elif np.ndim(some):
        got, fix = "rows of unequal length", "Pad them to one length, and mask the rest."
    elif isinstance(some, (int, float)):
        fix = f"Pass {name}.astype('float32')."
    else:
        fix = "Replace or leave out what is no number."
    return TypeError(f"{where}: {name} must hold numbers, got {got}. {fix}")
