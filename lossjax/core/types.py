"""Names for the shapes and choices that the signatures of lossjax repeat."""

from typing import Any, Literal, TypeAlias

import jax
import numpy as np

Reduction: TypeAlias = (
    Literal["sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none", "auto"] | None
)
Axis: TypeAlias = int | tuple[int, ...] | None
AXIS_TYPES = (int, tuple, type(None))  # of an `Axis`, to check at run time
Ignored: TypeAlias = int | tuple[int, ...] | None  # a class, or several, that do not count
IGNORED_TYPES = (int, tuple, type(None))
AxisName: TypeAlias = str | tuple[str, ...] | None  # an axis of a mesh, or several
AXIS_NAME_TYPES = (str, tuple, type(None))
Array: TypeAlias = jax.Array

# What callers pass: an array, a number, or numbers nested in lists. `jax.typing.ArrayLike`
# leaves the lists out, which Keras's own examples use.
Input: TypeAlias = jax.Array | np.ndarray | np.generic | float | list[Any] | tuple[Any, ...]

# A hyperparameter. JAX rebuilds pytrees with placeholders for leaves (tracers, `object()`,
# axis numbers), so at run time a leaf may be anything.
Hyper: TypeAlias = Any
