"""`checked`: the same loss, which looks at the numbers it is given, under jit too."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
from jax import numpy as jnp
from jax.experimental import checkify

from lossjax.core import check, reduce
from lossjax.core.combined import On, WeightedSum
from lossjax.core.config import resolved
from lossjax.core.domain import Rule
from lossjax.core.loss import Loss, arrays
from lossjax.core.reduce import Inputs
from lossjax.core.registry import class_of
from lossjax.core.types import Array, Axis


def checked(loss: Any) -> Any:
    """The same loss, which raises where labels, targets, predictions or weights are no valid ones.

    It reports class numbers out of range, targets and probabilities outside [0, 1], targets that
    do not sum to 1, negative counts, and NaN: the first such entry with its position and value.
    What the mask, a weight of 0 or `ignore_class` takes out may hold anything.

    `loss` is a `Loss`, a class of one, a name, or a function (y_true, y_pred) -> values; those
    that lossjax does not know are looked at for NaN alone, in inputs and values. The result is
    used in its place. Outside jit a call raises `checkify.JaxRuntimeError`, a ValueError. Inside
    jit, scan or vmap wrap the whole step, as always with `jax.experimental.checkify`::

        step = checkify.checkify(jax.jit(train_step))     # train_step calls checked(loss)(...)
        error, result = step(params, batch)
        error.throw()

    Without that jit raises a ValueError that names checkify. The loss itself is not changed: it
    costs nothing where it is not checked.

    A step of `lossjax.training.make_step` is wrapped in the same way; `fit` runs steps of its own,
    so check a batch before it.

    >>> import lossjax
    >>> error, _ = checkify.checkify(lossjax.checked("Poisson"))([1.0, -1.0], [1.0, 1.0])
    >>> print(error.get())
    Poisson: y_true must not be negative, got -1.0 at position [1]. (`check` failed)
    """
    loss = resolved("checked", loss)
    if isinstance(loss, WeightedSum | On):
        return loss.over(checked)
    if isinstance(loss, Loss):
        cls: Any = type(loss)
        made = object.__new__(_checked_class(cls))
        made.__dict__.update(loss.__dict__)
        return made
    return _checked_function(loss)


@functools.cache
def _checked_class(cls: type[Loss]) -> type[Loss]:
    def look(self: Any, y_true: Any, y_pred: Any, weight: Any = None, mask: Any = None) -> None:
        _look(cls.__name__, self, cls._prepare(self, y_true, y_pred, weight, mask))

    def __call__(self: Any, y_true: Any, y_pred: Any, *rest: Any, **named: Any) -> Any:
        look(self, y_true, y_pred, *_weights(*rest, **named))
        return cls.__call__(self, y_true, y_pred, *rest, **named)

    def total(self: Any, y_true: Any, y_pred: Any, *rest: Any, **named: Any) -> Any:
        look(self, y_true, y_pred, *_weights(*rest, **named))
        return cls.total(self, y_true, y_pred, *rest, **named)

    own = {"__call__": __call__, "total": total, "default_name": cls._declared.default_name}
    # A private name is not registered: configs go on to name the loss itself.
    return type(f"_Checked{cls.__name__}", (cls,), {**own, "__doc__": cls.__doc__})


def _weights(sample_weight: Any = None, mask: Any = None) -> tuple[Any, Any]:
    return sample_weight, mask


def _checked_function(function: Callable[..., Any]) -> Callable[..., Any]:
    name = getattr(function, "__name__", "the loss")
    owner = class_of(function)

    @functools.wraps(function)
    def call(y_true: Any, y_pred: Any, *args: Any, **kwargs: Any) -> Any:
        pair = arrays(name, "y_true", y_true), arrays(name, "y_pred", y_pred)
        loss = None if owner is None else _made(owner, function, (*pair, *args), kwargs)
        _look(name, loss, Inputs(*pair))
        values = function(y_true, y_pred, *args, **kwargs)
        for rule in _numbers("the value", jnp.asarray(values)):
            _require(name, rule, [])
        return values

    return call


def _made(cls: type[Loss], function: Callable[..., Any], args: Any, kwargs: Any) -> Loss:
    """The loss whose values the call of its function gives: from_logits and axis decide."""
    given = inspect.signature(function).bind(*args, **kwargs).arguments
    fields = {field.name for field in dataclasses.fields(cls)}
    return cls(**{key: value for key, value in given.items() if key in fields})


def _look(where: str, loss: Loss | None, inputs: Inputs) -> None:
    """Everything about the arguments of a loss, as far as weight and mask let it count."""
    t, p, inside, weight, mask = inputs
    axis = -1 if loss is None else loss._axis(jnp.ndim(jax.tree.leaves(p)[0]))
    counts = [] if inside is None else [inside != 0]
    if weight is not None:
        for rule in _numbers("sample_weight", weight):
            _require(where, rule, [] if mask is None else [mask], axis)
    if loss is not None and (weight is not None or mask is not None):
        counts.append(reduce.alive(where, loss._shape(inputs), weight, mask))
    ignored = getattr(loss, "ignore_class", None)
    if ignored is not None and not getattr(loss, "shift", 0):  # shifted labels are of other rows
        counts.append(~check.is_among(t, ignored))
    shared = loss is not None and loss._declared.domain.predicted  # the kernel is of all samples
    for name, tree in (("y_true", t), ("y_pred", p)):
        for i, (path, x) in enumerate(jax.tree_util.tree_leaves_with_path(tree)):
            for rule in _numbers(name if shared else name + jax.tree_util.keystr(path), x):
                _require(where, rule, [] if shared and i else counts, axis)
    if loss is not None:
        for rule in _rules(loss, t, p):
            _require(where, rule, counts, axis)


def _numbers(name: str, x: Array) -> Iterator[Rule]:
    if jnp.issubdtype(x.dtype, jnp.floating):
        yield Rule(name, x, ~jnp.isnan(x), "must not be NaN")


def _rules(loss: Loss, t: Any, p: Any) -> Iterator[Rule]:
    """What the domain of the loss asks of its inputs."""
    domain = loss._declared.domain.of(loss)
    if isinstance(p, jax.Array) and isinstance(t, jax.Array):
        t, p = check.aligned(t, p)
    classes = domain.classes(loss, t, p) if domain.classes and isinstance(t, jax.Array) else None
    if classes is not None:
        last = classes.stop - 1
        good = (t >= classes.start) & (t <= last)
        ignored = getattr(loss, "ignore_class", None)
        if ignored is not None:
            good |= check.is_among(t, ignored)
        yield Rule("y_true", t, good, f"must be a class number from 0 to {last}")
    yield from domain.rules(loss, t, p)


def _require(where: str, rule: Rule, counts: Sequence[Array], axis: Axis = -1) -> None:
    """The rule holds for all entries but those that one of `counts` takes out."""
    x, good = rule.x, rule.good
    if not x.size:
        return
    for alive in counts:
        rows = reduce.entries(alive, x.shape, axis)
        good = good if rows is None else good | ~rows
    first = jnp.argmin(good.ravel())
    position = jnp.stack(jnp.unravel_index(first, x.shape)) if x.ndim else first
    checkify.check(
        jnp.all(good),
        f"{where}: {rule.name} {rule.text}, got {{value}} at position {{position}}.",
        value=x.ravel()[first],
        position=position,
    )
