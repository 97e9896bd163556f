"""One view of a model, whichever library made it: parameters, other state, and a function.

`apply(params, rest, x, key, train)` gives the outputs, the auxiliary losses and the new `rest`;
`merge(params, rest)` is the user's model again. `random` tells whether `apply` needs a key.
"""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from lossjax.objective import auxiliary_variable


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

    def apply(params: Any, rest: Any, x: Any, key: Any, train: bool) -> Any:
        merged = nnx.merge(graphs[train], params, rest, copy=True)
        out = merged(x)
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


def of_equinox(module: Any) -> tuple[Model, Any, Any]:
    """Equinox modules take one sample: the batch is mapped over, each sample with its own key."""
    import equinox as eqx

    params, fixed = eqx.partition(module, eqx.is_inexact_array)
    takes_key = "key" in inspect.signature(type(module).__call__).parameters

    def apply(params: Any, rest: Any, x: Any, key: Any, train: bool) -> Any:
        merged = eqx.nn.inference_mode(eqx.combine(params, fixed), not train)
        if not takes_key:
            return jax.vmap(merged)(x), {}, rest
        keys = jax.random.split(key, len(jax.tree.leaves(x)[0]))
        return jax.vmap(lambda x, key: merged(x, key=key))(x, keys), {}, rest

    return Model(apply, lambda p, r: eqx.combine(p, fixed), takes_key), params, {}


def _by_name(found: Any) -> dict[str, tuple[Any, ...]]:
    terms: dict[str, tuple[Any, ...]] = {}
    for name, values in found:
        name = name.removeprefix("auxiliary_")
        terms[name] = (*terms.get(name, ()), *values)
    return terms
