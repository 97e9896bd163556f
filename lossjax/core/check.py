"""Argument checks and shape rules: every error that a user can cause is worded here.

Checks judge shapes, kinds and Python numbers, never the values of arrays: they cost nothing
under `jit` and are raised at trace time too.
"""

import dataclasses
import functools
import inspect
from collections.abc import Iterable, Iterator, Mapping
from types import NoneType
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from lossjax.core.texts import bounded, is_array, nearest, shown
from lossjax.core.types import Array, Axis, Ignored

REDUCTIONS = ("sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none", None)


def array(where: str, name: str, value: Any) -> Array:
    """`value` as an array of real numbers; integers too large for JAX's become floats."""
    numbers = value if isinstance(value, jax.Array) else _on_host(value)
    if isinstance(numbers, np.ndarray) and numbers.dtype.kind in "iu" and _overflows(numbers):
        numbers = numbers.astype(float)
    try:
        out = jnp.asarray(numbers)
    except (TypeError, ValueError, OverflowError) as error:
        hint = " For several outputs use one loss for each." if isinstance(value, dict) else ""
        raise TypeError(
            f"{where}: {name} must be an array or numbers nested in lists, "
            f"got {type(value).__name__}.{hint}"
        ) from error
    if jnp.issubdtype(out.dtype, jnp.complexfloating) or not (
        jnp.issubdtype(out.dtype, jnp.number) or out.dtype == jnp.bool_
    ):
        raise TypeError(f"{where}: {name} must hold real numbers, got dtype {out.dtype}.")
    return out


def _on_host(value: Any) -> Any:
    """Integers that are not JAX's yet, as NumPy's; everything else as it is."""
    if isinstance(value, jax.Array):
        return value
    try:
        found = np.asarray(value)
    except (TypeError, ValueError):  # tracers in a list, rows of unequal length
        return value
    # Of text in lists JAX would make a dtype.
    is_text = found.dtype.kind in "US" and isinstance(value, (str, list, tuple))
    return found if found.dtype.kind in "iu" or is_text else value


def _overflows(x: np.ndarray) -> bool:
    low, high = _limits(x)
    return x.dtype.itemsize >= 4 and bool(np.any((x < low) | (x > high)))


def _limits(x: Any) -> tuple[int, int]:
    """The least and the largest number of the integer dtype of `x` that JAX's integers hold."""
    own, held = jnp.iinfo(x.dtype), jnp.iinfo(jax.dtypes.canonicalize_dtype(np.int64))
    return max(int(own.min), int(held.min)), min(int(own.max), int(held.max))


def wide_dtype(x: Array) -> Any:
    """The dtype in which is computed what is made of `x`."""
    is_wide = jnp.issubdtype(x.dtype, jnp.floating) and x.dtype.itemsize >= 4
    return x.dtype if is_wide else jnp.dtype(jnp.float32)


def wide(x: Array, narrow: bool = False) -> Array:
    """`x` in float32 at least: integers, booleans and 16-bit floats; not these with `narrow`."""
    return x if narrow and is_narrow(x) else x.astype(wide_dtype(x))


def is_narrow(x: Array) -> bool:
    """Whether it has floats of 16 bits."""
    return jnp.issubdtype(x.dtype, jnp.floating) and x.dtype.itemsize < 4


def labels(where: str, y_true: Any) -> Array:
    """Class numbers as int32 (int64 stays); fractions are cut off, as Keras does."""
    y_true = array(where, "y_true", class_number(y_true))
    return y_true if y_true.dtype == jnp.int64 else y_true.astype(jnp.int32)


def class_number(y_true: Any) -> Any:
    """`y_true`; an integer beyond those of JAX, which would wrap around, is their last one.

    So it stays what it is: a label out of range, and not another class.
    """
    labels = _on_host(y_true)
    if isinstance(labels, (np.ndarray, jax.Array)) and jnp.issubdtype(labels.dtype, jnp.integer):
        low, high = _limits(labels)
        return labels.clip(low, high).astype(np.int64 if high > 2**31 else np.int32)
    return y_true


def prediction(where: str, y_pred: Any) -> Array:
    return wide(array(where, "y_pred", y_pred))


def aligned(a: Any, b: Any) -> tuple[Any, Any]:
    """Keras's rank rule: ranks that differ by one trailing axis of size 1 are made equal.

    If the shorter has rank 1 it gets the axis, else the longer loses it. Nothing else changes.
    """
    if a.ndim == b.ndim + 1 and a.shape[-1] == 1:
        return (a, b[..., None]) if b.ndim == 1 else (a[..., 0], b)
    if b.ndim == a.ndim + 1:
        return aligned(b, a)[::-1]
    return a, b


def alike(y_true: Array, y_pred: Array, narrow: bool = False) -> tuple[Array, Array]:
    """Both in `y_pred`'s dtype, float32 at least; `narrow` leaves 16-bit floats as they are.

    Then the loss widens them where it computes.
    """
    dtype = wide_dtype(y_pred)
    narrow = narrow and dtype == jnp.float32
    y_true, y_pred = (y if narrow and is_narrow(y) else y.astype(dtype) for y in (y_true, y_pred))
    return y_true, y_pred


def pair(
    where: str, y_true: Any, y_pred: Any, *, align: bool = False, narrow: bool = False
) -> tuple[Array, Array]:
    """Both as arrays in `y_pred`'s dtype, float32 at least, of shapes that fit; see `alike`.

    A shape may be broadcast to the other one, as Keras does; two shapes that would both grow,
    such as (N,) against (N, 1), are an error.
    """
    y_pred = array(where, "y_pred", y_pred)
    y_true, y_pred = alike(array(where, "y_true", y_true), y_pred, narrow)
    if align:
        y_true, y_pred = aligned(y_true, y_pred)
    if joint_shape(y_true.shape, y_pred.shape) not in (y_true.shape, y_pred.shape):
        raise ValueError(
            f"{where}: y_true and y_pred need equal shapes, or one that broadcasts to the other, "
            f"got {y_true.shape} and {y_pred.shape}.{_reshape_hint(y_true, y_pred)}"
        )
    return y_true, y_pred


def parameters(where: str, name: str, value: Any, kind: Any) -> Any:
    """`value` as the named tuple `kind` of arrays: such a one, or a dict with its names."""
    names = kind._fields
    given = value._asdict() if hasattr(value, "_asdict") else value
    if not (isinstance(given, Mapping) and set(given) == set(names)):
        got = type(value).__name__
        if isinstance(given, Mapping):
            got = f"{got} with the names {sorted(map(str, given))[:5]}"
        raise TypeError(
            f"{where}: {name} must hold the parameters {', '.join(names)}, as losses."
            f"{kind.__name__}({', '.join(f'{x}=...' for x in names)}) or a dict with these names, "
            f"got {got[:80]}."
        )
    return kind(*(wide(array(where, f"{name}.{x}", given[x])) for x in names))


def with_parameters(where: str, y_true: Any, y_pred: Any, kind: Any) -> tuple[Array, Any]:
    """`y_true` and the parameters `kind` of its distribution, all of the same shape and dtype.

    Shapes may be broadcast to one of them, never all to another, as in `pair`.
    """
    found = parameters(where, "y_pred", y_pred, kind)
    t, p = same(where, kind, (array(where, "y_true", y_true),), found)
    return t, p


def same(where: str, kind: Any, truths: tuple[Array, ...], found: Any) -> tuple[Any, ...]:
    """The arrays of both, broadcast to one of them, in the widest dtype of the parameters."""
    every = (*truths, *found)
    shapes = [x.shape for x in every]
    shape = joint_shape(*shapes)
    if shape not in shapes:
        raise ValueError(
            f"{where}: y_true and the parameters in y_pred need equal shapes, or shapes that "
            f"broadcast to one of them, got {', '.join(map(str, shapes))}."
        )
    dtype = max((x.dtype for x in found), key=lambda dtype: dtype.itemsize)
    full = [jnp.broadcast_to(x.astype(dtype), shape) for x in every]
    return (*full[: len(truths)], kind(*full[len(truths) :]))


def components(
    where: str,
    y_true: tuple[int, ...],
    logits: tuple[int, ...],
    mean: tuple[int, ...],
    log_variance: tuple[int, ...],
) -> None:
    """A mixture of K distributions for each row of d numbers."""
    wanted = (*logits, *y_true[-1:])
    fits = y_true[:-1] == logits[:-1] and mean == wanted
    if not (y_true and logits and fits and log_variance in (wanted, (*logits, 1))):
        raise ValueError(
            f"{where}: need y_true (..., d), logits (..., K), mean (..., K, d) and log_variance "
            f"(..., K, d) or (..., K, 1), got {y_true}, {logits}, {mean} and {log_variance}."
        )


def joint_shape(*shapes: tuple[int, ...]) -> tuple[int, ...] | None:
    """What the shapes are broadcast to; None where they do not fit."""
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        return None


def same_rank(where: str, y_true: Array, y_pred: Array, axis: Axis) -> tuple[Array, Array]:
    """Both with axes of size 1 in front where one has fewer; `axis` must mean the same in both."""
    if y_true.ndim != y_pred.ndim and np.any(np.atleast_1d(-1 if axis is None else axis) >= 0):
        raise ValueError(
            f"{where}: y_true and y_pred need as many axes where axis is counted from the front, "
            f"got {y_true.shape} and {y_pred.shape} with axis={axis}. Count it from the end."
        )
    ndim = max(y_true.ndim, y_pred.ndim)
    y_true, y_pred = (y.reshape((1,) * (ndim - y.ndim) + y.shape) for y in (y_true, y_pred))
    return y_true, y_pred


def same_shape(
    where: str, y_true: Any, y_pred: Any, *, narrow: bool = False
) -> tuple[Array, Array]:
    """As `pair`, for losses whose shapes must be equal."""
    y_pred = array(where, "y_pred", y_pred)
    y_true, y_pred = alike(array(where, "y_true", y_true), y_pred, narrow)
    if y_true.shape != y_pred.shape:
        raise ValueError(
            f"{where}: y_true and y_pred must have the same shape, got {y_true.shape} and "
            f"{y_pred.shape}.{_reshape_hint(y_true, y_pred)}"
        )
    return y_true, y_pred


def _reshape_hint(y_true: Array, y_pred: Array) -> str:
    for name, long, short in (("y_pred", y_pred, y_true), ("y_true", y_true, y_pred)):
        if long.shape == (*short.shape, 1):
            return f" Pass {name}[..., 0]."
    return ""


def class_axis(where: str, y_pred: Array, axis: Any) -> None:
    """`axis` is one axis of `y_pred`."""
    if not isinstance(axis, int) or isinstance(axis, bool):
        raise ValueError(f"{where}: `axis` must be of type `int`, got {shown(axis)}.")
    if not -y_pred.ndim <= axis < y_pred.ndim:
        raise ValueError(
            f"{where}: axis must be an axis of y_pred of shape {y_pred.shape}, got {shown(axis)}."
        )


def region_axes(where: str, ndim: int, class_axis: Any, batch: bool) -> tuple[int, ...]:
    """The axes over which a region lies: all but those of the images and of the classes."""
    kept = set() if batch else {0}
    if class_axis is not None:
        is_axis = _is_index(class_axis) and -ndim <= class_axis < ndim
        if not is_axis or class_axis % ndim == 0:
            raise ValueError(
                f"{where}: class_axis must be an axis of y_pred after the first, which is that of "
                f"the images, or None for regions without one; y_pred has {ndim} axes, got "
                f"{shown(class_axis)}."
            )
        kept.add(class_axis % ndim)
    return tuple(axis for axis in range(ndim) if axis not in kept)


def ignored(where: str, value: Any) -> Ignored:
    """None, a class number, or several in a tuple or list, known when the loss is traced."""
    if value is None or _is_index(value):
        return value
    if isinstance(value, (list, tuple)) and value and all(map(_is_index, value)):
        return tuple(value)
    kind = "a traced value" if isinstance(value, jax.core.Tracer) else shown(value)
    raise TypeError(
        f"{where}: ignore_class must be None, a whole number or several in a tuple, got {kind}. "
        f"Which labels vary from call to call is for a mask: mask=y_true != ..."
    )


def is_among(labels: Array, classes: int | tuple[int, ...]) -> Array:
    """Which labels are one of these classes."""
    among = np.atleast_1d(classes).tolist()
    return functools.reduce(jnp.logical_or, [labels == number for number in among])


def aligned_labels(where: str, y_true: Any, y_pred: Array, axis: int) -> Array:
    """Integer labels of the shape of `y_pred` without its class axis; one of size 1 is dropped."""
    y_true = labels(where, y_true)
    if y_true.ndim == y_pred.ndim and y_true.shape[axis] == 1:
        y_true = y_true.squeeze(axis)
    want = tuple(np.delete(y_pred.shape, axis).tolist())
    if y_true.shape != want:
        raise ValueError(
            f"{where}: y_true holds class numbers and must have the same shape as y_pred "
            f"without its class axis {axis}, here {want}, got {y_true.shape}."
        )
    return y_true


def rank(where: str, name: str, x: Array, dims: str) -> None:
    """`x` has one axis for each name in `dims`."""
    if x.ndim != len(dims.split()):
        shape = ", ".join(dims.split())
        raise ValueError(f"{where}: {name} must have shape ({shape}), got {x.shape}.")


def boxes(where: str, name: str, x: Array, least: int = 1) -> None:
    """`x` holds boxes of four numbers, and has at least so many axes."""
    if x.ndim < least or x.shape[-1] != 4:
        shape = "(..., N, 4)" if least > 1 else "(..., 4)"
        raise ValueError(f"{where}: {name} must hold boxes, of shape {shape}, got {x.shape}.")


def not_bool(where: str, axis: Axis) -> None:
    if isinstance(axis, bool):
        raise ValueError(f"{where}: `axis` must be of type `int`, got {shown(axis)}.")


def within(where: str, name: str, value: Any, interval: str) -> None:
    """Judge every Python or NumPy number in `value` against "[0, 1]", "(0, 1)" or "[0, inf)".

    An end in brackets belongs to the interval, infinity too; NaN is in none. Tracers and device
    arrays pass: a tracer has no value yet, and reading a device array would wait for the device.
    """
    value = hyper(where, name, value)
    if isinstance(value, (jax.Array, list, tuple)):
        return
    if not isinstance(value, (float, np.ndarray)):
        raise _no_number(where, name, value)
    low, high = map(float, interval[1:-1].split(","))
    v = np.asarray(value, float)
    above = v >= low if interval[0] == "[" else v > low
    below = v <= high if interval[-1] == "]" else v < high
    wrong = v[~(above & below)]
    if wrong.size:
        raise ValueError(f"{where}: {name} must be in the interval {interval}, got {wrong[0]}.")


def factor(where: str, name: str, value: Any, x: Array) -> Array | None:
    """A weight ≥ 0 of the entries of `x`, with as many axes; None for the number 1."""
    within(where, name, value, "[0, inf)")
    if isinstance(value, (int, float)) and value == 1:
        return None
    out = array(where, name, value).astype(wide_dtype(x))
    if joint_shape(out.shape, x.shape) != x.shape:
        raise ValueError(
            f"{where}: {name} must be a number, or have a shape that broadcasts to that of the "
            f"inputs, {x.shape}, got {out.shape}."
        )
    return out.reshape((1,) * (x.ndim - out.ndim) + out.shape)


def of_classes(where: str, name: str, value: Any, classes: int, dtype: Any) -> Array:
    """A number ≥ 0 for all classes, or one for each."""
    within(where, name, value, "[0, inf)")
    out = array(where, name, value).astype(dtype)
    if out.shape not in ((), (classes,)):
        raise ValueError(
            f"{where}: {name} must be a number, or one for each class, of shape ({classes},), got "
            f"{out.shape}."
        )
    return out


def reduction(where: str, value: Any) -> None:
    if not (value is None or (isinstance(value, str) and value in REDUCTIONS)):
        raise ValueError(
            f"{where}: Invalid value for argument `reduction`. Expected one of {REDUCTIONS}, "
            f"got {shown(value)}.{nearest(value, REDUCTIONS)}"
        )


def float_dtype(where: str, value: Any, name: str = "dtype") -> str | None:
    """The name of a floating dtype; a Keras policy counts as its compute dtype."""
    value = getattr(value, "compute_dtype", value)
    if value is None:
        return None
    given = value.removeprefix("mixed_") if isinstance(value, str) else value
    try:
        # NumPy takes lists, dicts and numbers of its own for dtypes too.
        dtype = jnp.dtype(given) if isinstance(given, (str, type, np.dtype)) else None
    except Exception:  # and reads a text as a formula
        dtype = None
    if dtype is None or not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(
            f"{where}: {name} must be a floating point type or None, got {shown(value)}."
        )
    return dtype.name


def kind(where: str, name: str, value: Any, types: tuple[type, ...]) -> None:
    """`value` is an instance of `types`; a bool is never taken for an int, a str can be printed."""
    right = isinstance(value, types) and (bool in types or not isinstance(value, bool))
    if isinstance(value, tuple) and str in types:  # names
        right = right and all(isinstance(v, str) and v.isprintable() for v in value)
    elif isinstance(value, (int, tuple)) and not isinstance(value, bool):
        right = right and all(map(_is_index, value if isinstance(value, tuple) else (value,)))
    if isinstance(value, str):  # XLA takes no lone surrogates, a terminal no control characters
        right = right and value.isprintable()
    if not right:
        names = {NoneType: "None", str: "printable str"}
        wanted = " or ".join(names.get(t, t.__name__) for t in types)
        raise TypeError(f"{where}: {name} must be {wanted}, got {shown(value)}.")


def _is_index(value: Any) -> bool:
    """A whole number that an array could hold."""
    return _is_whole(value) and -(2**63) <= value < 2**63


def free_names(where: str, body: Mapping[str, Any], annotated: Iterable[str], base: Any) -> None:
    """What the body of a class declares is no method of every loss, nor one of its choices.

    Of a choice the default may be another.
    """
    for name in dict.fromkeys([*annotated, *(base.__dataclass_fields__.keys() & body)]):
        given = body.get(name)
        is_choice = isinstance(given, dataclasses.Field) and given.metadata.get("static")
        if hasattr(base, name) and not (name in base.__dataclass_fields__ and is_choice):
            hint = " Choose another name."
            if name in base.__dataclass_fields__:
                hint += f" For another default write `{name}: Any = lossjax.static(default=...)`."
            raise TypeError(
                f"{where}: {name!r} is a word of every loss and can be no hyperparameter.{hint}"
            )


def coupling(cls: type[Any], couples: Any, call: Any) -> None:
    """A loss that couples samples is told which there are, and says what its sums are.

    `call` is the method, or the function that stands in for it.
    """
    where = cls.__name__
    if couples is not None:
        choice(where, "couples", couples, ("none", "sums", "pairs"))
    if couples in (None, "none") or where.startswith("_"):  # a private class is a base for others
        return
    needed = ("sums", "from_sums") if couples == "sums" else ()
    if missing := [name for name in needed if not callable(getattr(cls, name, None))]:
        raise TypeError(
            f'{where}: couples="sums" needs the methods sums(self, y_true, y_pred, where=None), '
            f"what adds up over the parts of a batch, and from_sums(self, sums), the value; "
            f"{' and '.join(missing)} is missing."
        )
    for name, f in (("call", call), *((name, getattr(cls, name)) for name in needed[:1])):
        known = inspect.signature(f).parameters.values()
        if not any(p.name == "where" or p.kind is p.VAR_KEYWORD for p in known):
            raise TypeError(
                f"{where}: couples={couples!r} needs {name}(self, y_true, y_pred, where=None): "
                f"`where` tells what counts; all else is to be no part of any pair or sum."
            )


def hyper(where: str, name: str, value: Any) -> Any:
    """A hyperparameter as a pytree of floats: Python and NumPy numbers become float.

    An int leaf would be traced as an integer, which has no gradient and compiles once more.
    """
    found = _floats(value) if bounded(value) else None
    if found is None:
        raise _no_number(where, name, value)
    return found


def _no_number(where: str, name: str, value: Any) -> TypeError:
    return TypeError(
        f"{where}: {name} must be a number, or numbers in a list, to differentiate by, got "
        f"{shown(value)}. Declare a choice as `{name}: ... = lossjax.static(default=...)`."
    )


def _floats(value: Any) -> Any:
    """Numbers as floats, arrays of JAX and pytrees of these as they are, None for all else."""
    if _is_whole(value) or isinstance(value, (float, np.floating)):
        try:
            return float(value)
        except OverflowError:
            return None
    if isinstance(value, jax.Array):
        return value if _is_real(value) else None
    leaves = _leaves(value)
    if isinstance(value, (list, tuple)) and not any(map(is_array, leaves)):
        try:
            value = np.asarray(value)
        except ValueError:  # rows of unequal length
            return None
    if isinstance(value, np.ndarray):
        if not (value.size and _is_real(value)):
            return None
        fits = jnp.issubdtype(value.dtype, jnp.floating) and value.dtype.itemsize <= 8
        return np.asarray(value if fits and value.dtype.isnative else value.astype(float))
    inner = [x for x in leaves if x is not value and _floats(x) is not None]
    return value if leaves and len(inner) == len(leaves) and not callable(value) else None


def _leaves(tree: Any) -> list[Any]:
    """The leaves of a pytree, None among them; nothing where the keys of a dict have no order."""
    try:  # of iterators JAX warns
        return jax.tree.leaves(tree, is_leaf=lambda x: x is None or isinstance(x, Iterator))
    except ValueError:
        return []


def _is_real(x: Any) -> bool:
    whole = jnp.issubdtype(x.dtype, jnp.integer) and x.dtype.kind != "m"  # timedelta64
    return whole or jnp.issubdtype(x.dtype, jnp.floating)


def weights_fit(where: str, values: tuple[int, ...], weights: tuple[int, ...]) -> None:
    """Weights and masks may be broadcast over values, never make them grow.

    A vector does not fit values with more axes: which axis it belongs to would be a guess.
    A single value (a loss over the whole batch) takes weights of any shape, as in Keras.
    """
    if values and not _broadcast_to(values, weights):
        hint = ""
        if len(weights) < len(values) and weights == values[: len(weights)]:
            hint = f" Reshape to {weights + (1,) * (len(values) - len(weights))}."
        if len(weights) == len(values) + 1 and weights[:-1] == values:
            hint = " For one value an entry pass y_true[..., None] and y_pred[..., None]."
        raise ValueError(
            f"{where}: sample_weight and mask must broadcast to the values per sample, of shape "
            f"{values}, got {weights}.{hint}"
        )


def fit_values(values: tuple[int, ...], weights: Any) -> bool:
    """Whether these weights are weights of the values, after Keras's rank rule."""
    if not values:
        return not weights.ndim
    like, weights = aligned(np.broadcast_to(True, values), weights)
    return _broadcast_to(like.shape, weights.shape)


def _broadcast_to(values: tuple[int, ...], weights: tuple[int, ...]) -> bool:
    is_vector = len(weights) == 1 < len(values) and weights != (1,)
    return joint_shape(values, weights) == values and not is_vector


def entries(where: str, name: str, x: Any, shape: tuple[int, ...]) -> Array:
    """A mask or weights to broadcast over inputs of this shape, whose first axes they have."""
    x = rows = array(where, name, x)
    while rows.ndim > len(shape) and rows.shape[-1] == 1:
        rows = rows[..., 0]
    rows = rows.reshape(rows.shape + (1,) * (len(shape) - rows.ndim))
    if joint_shape(rows.shape, shape) != shape:
        raise ValueError(
            f"{where}: {name} must have the shape of the inputs, {shape}, or of their first axes, "
            f"or be a mask of the values per sample; got {x.shape}."
        )
    return rows


def joint_mask(where: str, mask: Array, own: Array) -> Array:
    """What both the caller's mask and the loss's own mask let through."""
    mask, own = aligned(mask, own)
    weights_fit(where, own.shape, mask.shape)
    return mask & own


def broadcast_shape(where: str, mask: tuple[int, ...], weight: tuple[int, ...]) -> tuple[int, ...]:
    shape = joint_shape(mask, weight)
    if shape is None:
        raise ValueError(
            f"{where}: mask and sample_weight need shapes that fit, got {mask} and {weight}."
        )
    return shape


def float_array(where: str, name: str, value: Any) -> Array:
    """An array in its own floating dtype; integers and booleans become float32."""
    out = array(where, name, value)
    return out if jnp.issubdtype(out.dtype, jnp.floating) else out.astype(jnp.float32)


def choice(where: str, name: str, value: Any, known: tuple[Any, ...]) -> None:
    if not any(type(value) is type(one) and value == one for one in known):  # True is no 1
        raise ValueError(
            f"{where}: {name} must be one of {known}, got {shown(value)}.{nearest(value, known)}"
        )


def _is_whole(value: Any) -> bool:
    # NumPy counts timedelta64 among the integers.
    return isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.timedelta64))


def whole(where: str, name: str, value: Any, least: int) -> int:
    """A whole number that is large enough, as an int."""
    if not _is_whole(value) or value < least:
        kind = ValueError if _is_whole(value) else TypeError
        raise kind(
            f"{where}: {name} must be a whole number of at least {least}, got {shown(value)}."
        )
    return int(value)


def classes(where: str, value: Any, columns: int) -> None:
    """How many of the columns of a kernel are no padding."""
    if whole(where, "classes", value, 1) > columns:
        raise ValueError(
            f"{where}: classes must be at most {columns}, the columns of kernel, got {value}."
        )


def chunk(where: str, value: Any) -> None:
    """A positive number of tokens, or "auto"."""
    is_auto = isinstance(value, str) and value == "auto"
    if not (is_auto or (_is_whole(value) and value > 0)):
        raise ValueError(
            f'{where}: chunk must be "auto" or a positive number of tokens, got {shown(value)}.'
        )


def axis_name(where: str, value: Any) -> None:
    """None, or one or several axes of the `shard_map` that is being traced."""
    try:
        for name in () if value is None else value if isinstance(value, tuple) else (value,):
            jax.lax.axis_size(name)
    except (NameError, TypeError, ValueError) as error:
        raise ValueError(
            f"{where}: axis_name must be an axis of the shard_map around the call, got "
            f"{shown(value)}. Under plain jit leave it out: there the compiler partitions the "
            f"computation."
        ) from error


def several(where: str, y_pred: Any, names: tuple[str, ...]) -> None:
    """`y_pred` is a tuple of the arrays `names`, of which the last may be left out."""
    if isinstance(y_pred, (list, tuple)) and 0 <= len(names) - len(y_pred) <= 1:
        return
    got = f"{type(y_pred).__name__} {np.shape(y_pred) if is_array(y_pred) else ''}".strip()
    hint = ""
    if isinstance(y_pred, dict):
        got = f"a dict with the keys {sorted(map(str, y_pred))[:5]}"
        hint = f" Pass ({', '.join(f'y_pred[{n!r}]' for n in names if n in y_pred)})."
    elif isinstance(y_pred, (list, tuple)):
        got = f"{len(y_pred)} arrays"
    raise TypeError(
        f"{where}: y_pred must be a tuple ({', '.join(names)}), whose last may be left out, got "
        f"{got[:120]}.{hint}"
    )


def projection(
    where: str, hidden: tuple[int, ...], kernel: tuple[int, ...], layout: str, bias: Array | None
) -> None:
    """Hidden states, kernel and bias have D and V in common."""
    if len(kernel) != 2:
        raise ValueError(f"{where}: kernel must have shape {_LAYOUT[layout]}, got {kernel}.")
    d, v = kernel if layout == "dv" else kernel[::-1]
    if not hidden or hidden[-1] != d:
        other = "vd" if layout == "dv" else "dv"
        turned = bool(hidden) and hidden[-1] == v
        hint = f' Pass kernel_layout="{other}" for a kernel {_LAYOUT[other]}.' if turned else ""
        raise ValueError(
            f"{where}: hidden must have shape (..., D) with the D = {d} of kernel, of shape "
            f"{kernel} = {_LAYOUT[layout]}, got {hidden}.{hint}"
        )
    if bias is not None and bias.shape != (v,):
        raise ValueError(f"{where}: bias must have shape (V,) = ({v},), got {bias.shape}.")


_LAYOUT = {"dv": "(D, V)", "vd": "(V, D)"}


def leading(where: str, name: str, shape: tuple[int, ...], tokens: tuple[int, ...]) -> None:
    """`shape` starts with that of the tokens."""
    if shape[: len(tokens)] != tokens:
        raise ValueError(
            f"{where}: {name} must start with the shape of hidden without its last axis, "
            f"{tokens}, got {shape}."
        )


def per_token(where: str, values: Any, tokens: int, reduction: Any) -> None:
    """What a per-token function returns for so many tokens."""
    shapes = [v.shape for v in jax.tree.leaves(values)]
    if any(shape != (tokens,) for shape in shapes):
        raise ValueError(
            f"{where}: per_token_loss must return one value a token, of shape ({tokens},) for "
            f"this chunk, got {shapes[0] if len(shapes) == 1 else shapes}."
        )
    if reduction not in (None, "none") and not hasattr(values, "shape"):
        raise ValueError(
            f"{where}: per_token_loss must return a single array to be reduced, got "
            f'{type(values).__name__}. Pass reduction="none" for several values a token.'
        )


def listed(where: str, teacher: Any) -> tuple[Array, Array]:
    """The log-probabilities of classes and their numbers, k a token."""
    given = tuple(teacher) if isinstance(teacher, (list, tuple)) else (teacher,)
    if len(given) == 2 and all(map(is_array, given)):
        log_p, numbers = given
        is_log = jnp.issubdtype(log_p.dtype, jnp.floating)
        is_number = jnp.issubdtype(numbers.dtype, jnp.integer)
        if is_log and is_number and log_p.ndim == 2 and log_p.shape == numbers.shape:
            return log_p, numbers
    got = ", ".join(f"{x.dtype} {x.shape}" if is_array(x) else type(x).__name__ for x in given)
    raise TypeError(
        f"{where}: the teacher must be (log-probabilities, class numbers), two arrays of shape "
        f"(tokens, k), as jax.lax.top_k gives them, got ({got})."
    )


def single_truth(loss: Any, y_true: Any) -> None:
    """`y_true` is one array, which may hold classes."""
    if loss._declared.domain.takes(0, y_true):
        raise ValueError(
            f"Objective: `class_weight` needs one class for each sample, and {type(loss).__name__} "
            f"takes several arrays for y_true. Give `sample_weight`."
        )


def class_column(loss: Any, y_true: Array, shape: tuple[int, ...]) -> Array:
    """One class number a sample, of truths for a `y_pred` of `shape`: as they are, or one-hot."""
    if y_true.ndim == 1:
        return y_true
    domain = loss._declared.domain
    if domain.accuracy == "sparse" and y_true.shape == shape[:-1]:
        return y_true
    if y_true.shape[-1] == 1:
        return y_true[..., 0]
    if domain.accuracy == "binary" and y_true.shape == shape:
        raise ValueError(
            f"Objective: `class_weight` would take y_true of shape {y_true.shape} for one-hot "
            f"classes, where {type(loss).__name__} takes it for {shape[-1]} labels of a sample. "
            f"Give `sample_weight`, or `pos_weight` and `label_weight` to BinaryCrossentropy."
        )
    if y_true.shape == shape or domain.predicted:
        return jnp.argmax(y_true, -1)
    raise ValueError(
        f"Objective: `class_weight` needs one class for each sample, y_true of shape (B,), "
        f"(B, 1) or one-hot as y_pred, got {y_true.shape}. Give `sample_weight`."
    )


def one_class_a_token(where: str, y_true: Any, tokens: tuple[int, ...]) -> None:
    """`y_true` is one array of integers of the shape of the tokens."""
    if not is_array(y_true):
        got = type(y_true).__name__
    elif y_true.shape == tokens and jnp.issubdtype(y_true.dtype, jnp.integer):
        return
    else:
        got = f"{y_true.dtype} of shape {y_true.shape}"
    raise ValueError(
        f"{where}: ignore_class needs class numbers for y_true, integers of shape {tokens}, got "
        f"{got}. Leave tokens out with mask."
    )


def labels_or_targets(where: str, y_true: Array, tokens: tuple[int, ...], classes: int) -> None:
    """Integers of the shape of the tokens, or floats with a last axis of all classes."""
    floating = jnp.issubdtype(y_true.dtype, jnp.floating)
    want = (*tokens, classes) if floating else tokens
    if floating and y_true.shape == tokens:
        raise TypeError(
            f"{where}: y_true must hold integers, one class number a token, or targets of shape "
            f"{want}, got {y_true.dtype} of shape {tokens}. Pass y_true.astype(int)."
        )
    if not floating and not jnp.issubdtype(y_true.dtype, jnp.integer):
        raise TypeError(f"{where}: y_true must hold integers or targets, got {y_true.dtype}.")
    if y_true.shape != want:
        raise ValueError(
            f"{where}: y_true of {y_true.dtype} must have shape {want}, got {y_true.shape}."
            f"{' Pass y_true[..., 0].' if y_true.shape == (*want, 1) else ''}"
        )


def truth_and_logits(where: str, y_true: Any, y_pred: Any) -> tuple[Array, Array]:
    """Class numbers (...), or targets of the shape of the logits (..., classes), and the logits."""
    z = prediction(where, y_pred)
    class_axis(where, z, -1)
    y = array(where, "y_true", class_number(y_true))
    if is_targets(y):
        y = y.astype(z.dtype)
    elif y.ndim == z.ndim and y.shape[-1] == 1:
        y = y[..., 0]
    labels_or_targets(where, y, z.shape[:-1], z.shape[-1])
    return y if is_targets(y) else labels(where, y), z


def is_targets(y_true: Array) -> bool:
    return bool(jnp.issubdtype(y_true.dtype, jnp.floating))


def exists(labels: Array, classes: int | Array) -> Array:
    """Which labels are one of so many classes."""
    return (labels >= 0) & (labels < classes)


def shift(where: str, value: Any, tokens: tuple[int, ...]) -> None:
    """A number of positions within the sequence."""
    if not _is_whole(value) or value < 0 or (value > 0 and (not tokens or value > tokens[-1])):
        raise ValueError(
            f"{where}: shift must be a whole number from 0 to the length of the sequence, the "
            f"last axis of {tokens}, got {shown(value)}."
        )


def class_numbers(
    where: str,
    labels: Any,
    classes: int,
    ignore_class: Ignored,
    counts: Array | None,
    shift: int,
) -> None:
    """Labels that count, and are numbers already, not traced ones, lie in [0, classes).

    They are those of y_true without the first `shift`.
    """
    is_traced = any(isinstance(x, jax.core.Tracer) for x in (labels, counts))
    if is_traced or not getattr(labels, "is_fully_addressable", True):
        return
    labels = np.asarray(labels)
    wrong = (labels < 0) | (labels >= classes)
    if counts is not None:
        wrong &= np.asarray(counts)
    if ignore_class is not None:
        wrong &= ~np.isin(labels, ignore_class)
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        place = (*at[:-1], at[-1] + shift) if shift else at
        raise ValueError(
            f"{where}: labels must lie in [0, {classes}), the classes of kernel, got "
            f"{labels[at]} at y_true[{', '.join(map(str, place))}]. Pass ignore_class={labels[at]} "
            f"if such tokens are to be left out."
        )


def curves(where: str, name: str, values: Any) -> list[float]:
    """The values of a hyperparameter that varies from curve to curve."""
    try:
        found = np.atleast_1d(np.asarray(values, float))
    except (TypeError, ValueError, OverflowError):
        found = np.zeros(0)
    if found.ndim != 1 or not found.size:
        raise ValueError(
            f"{where}: {name} must be numbers in a list, one for each curve, got {shown(values)}."
        )
    return found.tolist()
