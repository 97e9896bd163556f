"""The `Loss` pytree and the registry: hyperparameters are leaves, choices are static."""

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any, ClassVar, Self, dataclass_transform

import jax
import numpy as np
from jax import numpy as jnp

from lossjax.core import check, reduce, sums, words
from lossjax.core.reduce import Inputs
from lossjax.core.registry import Declared, declaration, register, registry
from lossjax.core.texts import nearest, shown
from lossjax.core.types import AXIS_TYPES, Array, AxisName, Input, Reduction
from lossjax.math import across
from lossjax.math.elementwise import guarded
from lossjax.math.fusion import summable


def static(
    *,
    default: Any = dataclasses.MISSING,
    types: tuple[type, ...] | None = None,
    choices: tuple[Any, ...] = (),
    kw_only: bool = False,
    beyond: bool = False,
) -> Any:
    """Declare a choice: fixed at trace time, part of the jit cache key, never differentiated.

    `types` are the types that it may have; those of a bool default are known. `choices` are its
    values; without a default one must be given, and the first stands in tables and tests. `beyond`
    is a choice that Keras does not have: configs, which Keras is to read, have it where it is not
    the default.
    """
    if types is None and isinstance(default, bool):
        types = (bool,)
    metadata = {"static": True, "types": types, "choices": choices, "beyond": beyond}
    return dataclasses.field(default=default, metadata=metadata, kw_only=kw_only)


def leaf(*, default: Any, interval: str, kw_only: bool = False, beyond: bool = False) -> Any:
    """Declare a hyperparameter with a range, e.g. "[0, inf)"; a plain default has none.

    An end in brackets belongs to it: "[0, inf]" lets infinity through. NaN is in no range.
    """
    metadata = {"interval": interval, "beyond": beyond}
    return dataclasses.field(default=default, metadata=metadata, kw_only=kw_only)


@dataclass_transform(
    frozen_default=True, eq_default=False, field_specifiers=(static, leaf, dataclasses.field)
)
@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Loss:
    """Base of all losses: values per sample, weighed, masked and reduced to a number.

    A subclass declares its hyperparameters as fields, like a dataclass, and overrides `call`::

        class Asymmetric(lossjax.Loss):
            under: float = 3.0                                  # traced and differentiable
            squared: bool = lossjax.static(default=True)        # a choice, fixed at trace time

            def call(self, y_true, y_pred):
                e = y_true - y_pred
                e = e**2 if self.squared else jnp.abs(e)
                return jnp.mean(jnp.where(y_true > y_pred, self.under, 1.0) * e, axis=-1)

    It is registered under its name as a pytree and for `lossjax.losses.get` by subclassing.

    With values v, weights w, mask m and N the number of values, a call returns

    ====================================  ========  ===========  ==========  ============
    `reduction`                           nothing   w            m           w and m
    ====================================  ========  ===========  ==========  ============
    "sum_over_batch_size", "mean"         Σv / N    Σvw / N      Σvm / Σm    Σvwm / Σm
    "mean_with_sample_weight"             Σv / N    Σvw / Σw     Σvm / Σm    Σvwm / Σwm
    "sum"                                 Σv        Σvw          Σvm         Σvwm
    "none", None                          v         vw           vm          vwm
    ====================================  ========  ===========  ==========  ============

    as Keras does: "sum_over_batch_size" divides by the number of values, not by the sum of the
    weights. A division by 0 gives 0. "auto" (Keras 2) means the default, "sum_over_batch_size".
    A scalar, or the values of shape (0,) of an empty batch, are returned as they are.

    `name` (default: the class's name in snake case) labels the loss in logs and profiles.
    `dtype` is the floating dtype of the result; by default it is that of `y_pred`, float32 at
    least. The computation is made in float32 at least, whatever `dtype` is, and integer labels
    are never cast to it: Keras rounds the inputs, class numbers included.
    """

    _declared: ClassVar[Declared] = Declared()

    reduction: Reduction = static(default="sum_over_batch_size", kw_only=True)
    name: str = static(default="", kw_only=True)
    dtype: Any = static(default=None, kw_only=True)

    def __init_subclass__(cls, *, kw_only: bool = False, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" in cls.__dict__:
            raise TypeError(
                f"{cls.__name__}: a loss is a dataclass; declare hyperparameters as fields "
                f"(`delta: float = 1.0`) in place of __init__."
            )
        check.free_names(cls.__name__, vars(cls), inspect.get_annotations(cls), Loss)
        cls._declared, stated = declaration(cls)
        if cls._declared.couples == "sums" and cls.call is Loss.call:
            cls.call = sums.call  # type: ignore[method-assign]
        fn = cls._declared.fn
        check.coupling(cls, cls._declared.couples, fn if fn and cls.call is Loss.call else cls.call)
        names = [cls.__name__, *stated.get("aliases", ())]
        if "fn" in stated:
            if fn.__module__ == cls.__module__:
                names.append(fn.__name__)
            cls.__doc__ = cls.__doc__ or fn.__doc__  # before dataclass() fills it in
            cls.fn = staticmethod(fn)  # type: ignore[attr-defined]
        dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=kw_only)(cls)
        _register_pytree(cls)
        for name in names:
            if not name.startswith("_"):  # a private class is a base for others
                register(name, cls)

    def __new__(cls, /, *args: Any, **kwargs: Any) -> Self:
        """Only looks at the names: the fields are set by the dataclass's `__init__`."""
        words.check(cls.__name__, kwargs, cls.__dataclass_fields__)
        return super().__new__(cls)

    def __post_init__(self) -> None:
        where = type(self).__name__
        if isinstance(self.reduction, str) and self.reduction == "auto":
            object.__setattr__(self, "reduction", "sum_over_batch_size")
        check.reduction(where, self.reduction)
        check.kind(where, "name", self.name, (str, type(None)))
        object.__setattr__(self, "name", self.name or self._declared.default_name)
        object.__setattr__(self, "dtype", check.float_dtype(where, self.dtype))
        for field in self._hyperparameter_fields():
            value = getattr(self, field.name)
            if not field.metadata.get("static"):
                value = check.hyper(where, field.name, value)
            elif isinstance(value, (list, tuple)):
                value = tuple(map(_plain, value))  # a list: an axis that has been through JSON
            else:
                value = _plain(value)
            if field.metadata.get("types"):
                check.kind(where, field.name, value, field.metadata["types"])
            if field.metadata.get("choices"):
                check.choice(where, field.name, value, field.metadata["choices"])
            if field.metadata.get("interval"):
                check.within(where, field.name, value, field.metadata["interval"])
            object.__setattr__(self, field.name, value)

    @classmethod
    def _hyperparameter_fields(cls) -> tuple[dataclasses.Field[Any], ...]:
        return tuple(f for f in dataclasses.fields(cls) if f.name not in _COMMON)

    def hyperparameters(self) -> dict[str, Any]:
        """Fields by name, without `reduction`, `name` and `dtype`."""
        return {f.name: getattr(self, f.name) for f in self._hyperparameter_fields()}

    def __repr__(self) -> str:
        changed = (
            f"{f.name}={value!r}"
            for f in dataclasses.fields(self)
            for value in [getattr(self, f.name)]
            if f.name != "name" and not _is_default(value, f.default)
        )
        return f"{type(self).__name__}({', '.join(changed)})"

    # NumPy's numbers leave `number * loss` to the loss.
    __array_ufunc__ = None

    def __add__(self, other: Any) -> Any:
        """`a + b`: a `WeightedSum`."""
        return registry["WeightedSum"].added(self, other)

    def __radd__(self, zero: Any) -> Any:
        """So that the builtin `sum(losses)` works: it starts from 0."""
        return self if isinstance(zero, int) and zero == 0 else NotImplemented

    def __mul__(self, factor: Any) -> Any:
        """`0.5 * loss`: a `WeightedSum` of one term, for a number, which may be traced."""
        return registry["WeightedSum"].multiplied(self, factor)

    __rmul__ = __mul__

    def on(self, part: Any) -> Any:
        """The loss of a part of y_pred: a key or field, or (y_true, y_pred) -> the two it takes."""
        return registry["On"](loss=self, part=part)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Values per sample, or `(values, mask)`; what a subclass overrides.

        Ranks that differ by a trailing axis of size 1 are aligned first, as Keras's classes do.
        Losses that couple samples have one more argument, `where=None`: who counts.
        """
        fn = self._declared.fn
        if fn is None:
            raise NotImplementedError(
                f"{type(self).__name__} must override call(self, y_true, y_pred)."
            )
        if self._declared.domain.is_nested:
            return fn(y_true, y_pred, **self.hyperparameters())
        where = fn.__name__
        pair = check.aligned(
            check.array(where, "y_true", y_true), check.array(where, "y_pred", y_pred)
        )
        return fn(*pair, **self.hyperparameters())

    def __call__(
        self,
        y_true: Any,
        y_pred: Any,
        sample_weight: Input | None = None,
        mask: Input | None = None,
    ) -> Array:
        """The loss of a batch: a number, or the values per sample under reduction None.

        `y_true` and `y_pred` are arrays, numbers in lists or, where `call` takes them, pytrees of
        arrays, such as a named tuple of mean and variance: each has the samples along its first
        axes, and others of its own. `sample_weight` and `mask` (true: counts) broadcast to the
        values per sample: (B,) for inputs (B, d), (B, T) or (B, 1) for inputs (B, T, d);
        losses of regions and `CTC` take masks of what is inside a sample too. What the mask takes
        out has no influence on the value or on any gradient, not even as NaN. Nor has NaN of a
        weight of 0; a finite sample with that weight is still there for the others, where a loss
        couples them.
        """
        with jax.named_scope(self.name):
            inputs = self._prepare(y_true, y_pred, sample_weight, mask)
            values, weight, mask = self._evaluate(inputs)
            # Values of the whole batch are the same on every device, weights of its rows are not.
            is_here = values.ndim == 0 or self._coupling(inputs.y_pred) != "sums"
            axis_name = self._axis_name() if is_here else None
            where = type(self).__name__
            value = reduce.reduce(where, values, weight, mask, self.reduction, axis_name)
            return value if self.dtype is None else value.astype(self.dtype)

    def total(
        self,
        y_true: Any,
        y_pred: Any,
        sample_weight: Input | None = None,
        mask: Input | None = None,
    ) -> Any:
        """As a call, but as a `Total`: those of the parts of a batch add up to the whole.

        `loss.total(a) + loss.total(b)` has as `.result()` the loss of both parts together,
        for every reduction but None. Raises ValueError where a loss is no mean over samples, nor
        made of sums over them.
        """
        with jax.named_scope(self.name):
            where = type(self).__name__
            inputs = self._prepare(y_true, y_pred, sample_weight, mask)
            coupling = self._coupling(inputs.y_pred)
            if coupling == "pairs":
                axis = "" if self._declared.couples == "pairs" else f" for axis={self.axis}"  # type: ignore[attr-defined]
                raise ValueError(
                    f"{where}: every value depends on the whole batch{axis}, so the totals of "
                    f"parts do not add up to that of the batch. Call the loss on the whole batch."
                )
            if coupling == "sums":
                return sums.total(self, inputs, self._axis_name())
            values, weight, mask = self._evaluate(inputs)
            if values.ndim == 0:
                raise ValueError(
                    f"{where}: a scalar for the whole batch cannot be merged with that of "
                    f'another. Return one value per sample from call, or declare couples = "sums".'
                )
            total = reduce.total(where, values, weight, mask, self.reduction)
            return across.summed(total, self._axis_name())

    def _coupling(self, y_pred: Any) -> str | None:
        """What the values depend on: as declared, but for an `axis` with or without the batch."""
        ndim = jnp.ndim(jax.tree.leaves(y_pred)[0])
        declared, axis = self._declared.couples, self._axis(ndim)
        if declared == "pairs" or not isinstance(axis, AXIS_TYPES):
            return declared
        is_of_batch = across.has_rows(axis, ndim)
        if declared == "sums":
            return "sums" if is_of_batch else "none"
        return "pairs" if is_of_batch and ndim > 1 else declared

    def _axis(self, ndim: int) -> Any:
        """The axes of `y_pred`, which has so many, that a value is made of; "" for the last."""
        return getattr(self, "axis", "")

    def _axis_name(self) -> AxisName:
        """The mesh axes over which the batch of a loss that couples samples is spread."""
        if self._declared.couples not in ("sums", "pairs"):
            return None
        axis_name = getattr(self, "axis_name", None)
        check.axis_name(type(self).__name__, axis_name)
        return axis_name

    def without(
        self,
        rows: Array,
        y_true: Any,
        y_pred: Any,
        sample_weight: Input | None = None,
        mask: Input | None = None,
    ) -> tuple[Any, Any, Any, Any]:
        """The arguments of a call in which the samples that are false in `rows` do not exist.

        They are masked, not weighed with 0: "sum_over_batch_size" would still count them.
        """
        if self._coupling(y_pred) == "sums":
            return y_true, y_pred, sample_weight, sums.without(self, rows, y_true, y_pred, mask)
        if mask is None:
            shape = self._shape(self._prepare(y_true, y_pred, None, None))
            mask = reduce.leading(rows, len(shape) or rows.ndim)
            if sample_weight is None and shape:
                # One entry a value: "mean_with_sample_weight" divides by the entries of the mask.
                mask = jnp.broadcast_to(mask, (len(rows), *shape[1:]))
            return y_true, y_pred, sample_weight, mask
        mask = jnp.asarray(mask).astype(bool)
        return y_true, y_pred, sample_weight, mask & reduce.leading(rows, mask.ndim)

    def _prepare(
        self, y_true: Any, y_pred: Any, sample_weight: Input | None, mask: Input | None
    ) -> Inputs:
        """Everything as arrays, and harmless numbers in the samples that count for nothing."""
        where = type(self).__name__
        widens, labelled = self._declared.widens, self._declared.domain.labelled
        y_true = arrays(where, "y_true", y_true, labels=labelled, narrow=widens)
        y_pred = arrays(where, "y_pred", y_pred, narrow=widens)
        if not widens:
            y_pred = jax.tree.map(check.wide, y_pred)
        if self._declared.fn and isinstance(y_true, jax.Array) and isinstance(y_pred, jax.Array):
            y_true, y_pred = check.aligned(y_true, y_pred)
            if not labelled:
                y_true, y_pred = check.alike(y_true, y_pred, narrow=widens)
        if mask is not None:
            mask = check.array(where, "mask", mask).astype(bool)
        if sample_weight is not None:
            sample_weight = check.array(where, "sample_weight", sample_weight)
        if mask is None and sample_weight is None:
            return Inputs(y_true, y_pred)
        return self._weighed(Inputs(y_true, y_pred, None, sample_weight, mask))

    def _weighed(self, inputs: Inputs) -> Inputs:
        """Inputs with weights or a mask; what they take out can do no harm."""
        where = type(self).__name__
        if self._declared.couples == "pairs":
            return inputs._replace(where=reduce.who_counts(where, inputs))
        if self._declared.couples == "sums":
            inputs = sums.weighed(self, inputs)
            if inputs.weight is None and inputs.mask is None:
                return inputs
        axis = self._axis(jnp.ndim(jax.tree.leaves(inputs.y_pred)[0]))
        if self._declared.couples is None:
            alive = reduce.alive(where, self._shape(inputs), inputs.weight, inputs.mask)
            return reduce.disarmed(inputs, alive, axis, reduce.defused)
        values = jax.lax.stop_gradient(self._values(inputs))
        alive = reduce.alive(where, values.shape, inputs.weight, inputs.mask)
        if any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(self)):
            # The derivative by a hyperparameter has a part of every sample, also of those with NaN.
            return reduce.disarmed(inputs, alive, axis, reduce.defused)
        if inputs.weight is not None:
            # A weight of 0 may be differentiated, and with it the derivative of its sample.
            alive |= jnp.isfinite(values)
        return reduce.disarmed(inputs, alive, axis, guarded)

    def _values(self, inputs: Inputs) -> Array:
        found = self._call(inputs)
        return jnp.asarray(found[0] if isinstance(found, tuple) else found)

    def _shape(self, inputs: Inputs) -> tuple[int, ...]:
        """The shape of the values per sample."""
        try:
            return jax.eval_shape(self._values, inputs).shape
        except jax.errors.JAXTypeError:  # NumPy in a loss of a user's, which needs numbers
            return self._values(inputs).shape

    def _call(self, inputs: Inputs) -> Any:
        fn, where = self._declared.fn, {} if inputs.where is None else {"where": inputs.where}
        if fn and type(self).call is Loss.call:  # `_prepare` has done what `call` begins with
            return fn(inputs.y_true, inputs.y_pred, **self.hyperparameters(), **where)
        return self.call(inputs.y_true, inputs.y_pred, **where)

    def _evaluate(self, inputs: Inputs) -> tuple[Array, Array | None, Array | None]:
        """Values per sample with their weights and mask, the loss's own mask included."""
        where = type(self).__name__
        values, (weight, mask) = self._call(inputs), inputs[3:]
        if isinstance(values, tuple):
            values, own_mask = values
            mask = own_mask if mask is None else check.joint_mask(where, mask, own_mask)
        values = check.wide(check.array(where, "the result of call", values))
        values = summable(values, *jax.tree.leaves(inputs[:2]))
        return values, weight if weight is None else weight.astype(values.dtype), mask

    def get_config(self) -> dict[str, Any]:
        """Every field as plain Python data; `from_config` gives the same loss back."""
        config = {"name": self.name, "reduction": self.reduction}
        for field in self._hyperparameter_fields():
            value = getattr(self, field.name)
            if field.metadata.get("beyond") and _is_default(value, field.default):
                continue
            if isinstance(value, jax.core.Tracer):
                raise TypeError(
                    f"{type(self).__name__}: {field.name} is traced and has no value to write. "
                    f"Call get_config outside jit and grad."
                )
            config[field.name] = value.tolist() if hasattr(value, "tolist") else value
        return config if self.dtype is None else config | {"dtype": self.dtype}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Loss":
        """A loss from what `get_config` or Keras wrote; ValueError for anything else."""
        known = {f.name for f in dataclasses.fields(cls)}
        if not isinstance(config, Mapping):
            raise ValueError(f"{cls.__name__}: need a dict as config, got {shown(config)}.")
        for key in config:
            if key not in known:
                raise ValueError(
                    f"{cls.__name__}: unknown key {shown(key)} in the config.{nearest(key, known)}"
                )
        try:
            return cls(**config)
        except TypeError as error:
            raise ValueError(str(error)) from error


_COMMON = frozenset(f.name for f in dataclasses.fields(Loss))
_PLAIN = (bool, int, float, str, tuple, type(None))


def _plain(choice: Any) -> Any:
    """A choice that NumPy made, as Python's own: `True`, not `np.True_`."""
    return choice.item() if isinstance(choice, (np.number, np.bool_)) else choice


def _is_default(value: Any, default: Any) -> bool:
    return isinstance(value, _PLAIN) and value == default


def arrays(where: str, name: str, tree: Any, labels: bool = False, narrow: bool = False) -> Any:
    """Array leaves: numbers in lists are one array; integers stay such, wide and signed.

    So do 16-bit floats with `narrow`.
    """

    def is_leaf(x: Any) -> bool:
        numbers = (int, float, bool)
        is_list = isinstance(x, (list, tuple)) and not hasattr(x, "_fields")
        return is_list and all(isinstance(v, numbers) or is_leaf(v) for v in x)

    def convert(x: Any) -> Array:
        if labels:
            x = check.class_number(x)
        x = check.array(where, name, x)
        is_wide = x.dtype.itemsize >= 4 and jnp.issubdtype(x.dtype, jnp.unsignedinteger)
        if is_wide or x.dtype == jnp.bool_ or jnp.issubdtype(x.dtype, jnp.floating):
            return check.wide(x, narrow)
        # uint8 labels would wrap around in 1 - y_true
        return x if x.dtype == jnp.int64 else x.astype(jnp.int32)

    return jax.tree.map(convert, tree, is_leaf=is_leaf)


def _register_pytree(cls: type[Loss]) -> None:
    """Unflattening skips `__init__`: its checks must not meet tracers and placeholders."""
    fields = dataclasses.fields(cls)
    leaves = tuple(f.name for f in fields if not f.metadata.get("static"))
    statics = tuple(f.name for f in fields if f.metadata.get("static"))
    keys = tuple(jax.tree_util.GetAttrKey(name) for name in leaves)

    def flatten(loss: Loss) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        return tuple(getattr(loss, n) for n in leaves), tuple(getattr(loss, n) for n in statics)

    def flatten_with_keys(loss: Loss) -> Any:
        children, aux = flatten(loss)
        return tuple(zip(keys, children, strict=True)), aux

    def unflatten(aux: tuple[Any, ...], children: Any) -> Loss:
        loss = object.__new__(cls)
        loss.__dict__.update(zip(statics, aux, strict=True))
        loss.__dict__.update(zip(leaves, children, strict=True))
        return loss

    jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)


_register_pytree(Loss)
registry["Loss"] = Loss
