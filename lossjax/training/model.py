"""One view of a model, whichever library made it: parameters, other state, and a function.

`apply(params, rest, x, key, train)` gives the outputs, the auxiliary losses and the new `rest`;
`merge(params, rest)` is the user's model again. `random` tells whether `apply` needs a key.
"""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from lossjax.objective.objective import auxiliary_variable


class Model(NamedTuple):
    """The functions of a model."""

    apply: Callable[[Any, Any, Any, Any, bool], tuple[Any, dict[str, Any], Any]]
    merge: Callable[[Any, Any], Any]
    random: bool


def of_nnx(module: Any) -> tuple[Model, Any, Any]:
    """Pure dicts both ways: states of nnx would cost four times as much to pass to a step."""
    from flax import nnx

    nnx.pop(module, auxiliary_variable())  # of calls outside of training
    graphs: dict[bool, Any] = {}
    for mode, train in ((module.eval, False), (module.train, True)):
        mode()
        graphs[train], *states = nnx.split(module, nnx.Param, ...)
    params, rest = map(nnx.to_pure_dict, states)

    def _value(a: Any) -> Any:
        """A kernel that the model returns as it is: its array."""
        return a.get_value() if isinstance(a, nnx.Variable) else a

    def apply(params: Any, rest: Any, x: Any, key: Any, train: bool) -> Any:
        merged = nnx.merge(graphs[train], params, rest, copy=True)
        out = jax.tree.map(_value, merged(x), is_leaf=lambda a: isinstance(a, nnx.Variable))
        found = nnx.to_flat_state(nnx.pop(merged, auxiliary_variable()))
        terms = _by_name((str(path[-1]), value.get_value()) for path, value in found)
        return out, terms, nnx.to_pure_dict(nnx.state(merged, nnx.Not(nnx.Param)))

    def merge(params: Any, rest: Any) -> Any:
        return nnx.merge(graphs[True], params, rest, copy=True)

    return Model(apply, merge, False), params, rest


def of_linen(module: Any, x: Any, key: Any) -> tuple[Model, Any, Any]:
    """Dropout and the like are told to train by whichever of their usual arguments is there."""
    known = inspect.signature(type(module).__call__).parameters
    modes = {"train": True, "training": True, "deterministic": False}
    told = {name: on for name, on in modes.items() if name in known}

    def apply(params: Any, rest: Any, x: Any, key: Any, train: bool) -> Any:
        how: dict[str, Any] = {name: on is train for name, on in told.items()}
        how |= {"rngs": {"dropout": key} if train else {}, "mutable": [*rest, "losses"]}
        out, new = module.apply({"params": params, **rest}, x, **how)
        found = jax.tree_util.tree_leaves_with_path(new.pop("losses", {}))
        terms = _by_name((path[-2].key, (value,)) for path, value in found)
        return out, terms, {**rest, **new}

    variables = dict(module.init(key, x, **{name: not on for name, on in told.items()}))
    params, _ = variables.pop("params"), variables.pop("losses", None)
    return Model(apply, lambda p, r: {"params": p, **r}, True), params, variables


def of_equinox(module: Any, states: Any = None) -> tuple[Model, Any, Any]:
    """Equinox modules take one sample: the batch is mapped over, each sample with its own key.

    `states` is the `eqx.nn.State` of layers that have one, which is of the batch, not of a sample.
    """
    import equinox as eqx

    name = _batch_axis(module, states)
    params, fixed = eqx.partition(module, eqx.is_inexact_array)
    takes_key = "key" in inspect.signature(type(module).__call__).parameters
    out_axes: dict[bool, Any] = {}  # of a model, when it is trained and when not

    def apply(params: Any, rest: Any, x: Any, key: Any, train: bool) -> Any:
        merged = eqx.nn.inference_mode(eqx.combine(params, fixed), not train)
        keys = jax.random.split(key, len(jax.tree.leaves(x)[0])) if takes_key else None

        def one(x: Any, key: Any) -> Any:
            how = {} if key is None else {"key": key}
            if states is None:
                return merged(x, **how), rest
            return merged(x, jax.tree.map(lambda a: a, rest), **how)  # a State is used up

        if train not in out_axes:
            out_axes[train] = _out_axes(one, x, keys, name)
        out, new = jax.vmap(one, out_axes=out_axes[train], axis_name=name)(x, keys)
        return out, {}, new

    def merge(params: Any, rest: Any) -> Any:
        model = eqx.combine(params, fixed)
        return model if states is None else (model, rest)

    return Model(apply, merge, takes_key), params, {} if states is None else states


def _batch_axis(module: Any, states: Any) -> str:
    """The name under which layers with state (`eqx.nn.BatchNorm`) take means over the batch."""
    import equinox as eqx

    def is_layer(a: Any) -> bool:
        return hasattr(a, "axis_name")

    def is_index(a: Any) -> bool:
        return isinstance(a, eqx.nn.StateIndex)

    if states is None and any(map(is_index, jax.tree.leaves(module, is_leaf=is_index))):
        raise ValueError(
            "init: this equinox model has layers with state: pass it with its state, "
            "init(eqx.nn.make_with_state(Model)(...), tx)."
        )
    layers = filter(is_layer, jax.tree.leaves(module, is_leaf=is_layer))
    names = {layer.axis_name for layer in layers}
    if len(names) > 1 or not all(isinstance(name, str) for name in names):
        raise ValueError(
            f"init: all layers of an equinox model need one axis_name, which is that of the batch, "
            f"got {sorted(map(repr, names))[:5]}."
        )
    return next(iter(names), "batch")


def _out_axes(one: Callable[[Any, Any], Any], x: Any, keys: Any, name: str) -> Any:
    """The axis of the samples in what a model makes of one; None for what has none.

    That is the state of layers, and in a tuple an array that no sample has a part in, like a
    kernel beside hidden states: it would be copied for each sample.
    """
    mapped: list[Any] = []

    @jax.custom_batching.custom_vmap
    def look(found: Any) -> Any:
        return found

    @look.def_vmap
    def _(size: int, is_mapped: list[Any], found: Any) -> Any:
        mapped.append(is_mapped[0])
        return found, is_mapped[0]

    try:
        shapes = jax.eval_shape(jax.vmap(lambda *xs: look(one(*xs)), axis_name=name), x, keys)
    except NameError as error:
        raise ValueError(
            f"init: samples are mapped over the axis {name!r}, and the equinox model asks for "
            f"another: {error}. Call it so, or keep its name in a field axis_name of the layer."
        ) from error
    out, new = mapped[0] if mapped else jax.tree.map(lambda _: False, shapes)
    if any(jax.tree.leaves(new)):
        raise ValueError(
            f"init: the state of an equinox layer is of the whole batch, but here it depends on "
            f"the sample: take jax.lax.pmean(..., {name!r}) of what is kept."
        )

    def axis(path: Any, is_mapped: bool) -> int | None:
        in_tuple = bool(path) and not isinstance(path[-1], jax.tree_util.DictKey)
        return None if in_tuple and not is_mapped else 0

    return jax.tree_util.tree_map_with_path(axis, out), None


def _by_name(found: Any) -> dict[str, tuple[Any, ...]]:
    terms: dict[str, tuple[Any, ...]] = {}
    for name, values in found:
        name = name.removeprefix("auxiliary_")
        terms[name] = (*terms.get(name, ()), *values)
    return terms
