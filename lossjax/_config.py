"""Losses by name and as plain data, in the format of Keras 3. Nothing is imported or evaluated."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from lossjax import _check
from lossjax._base import Loss, classes, registry

_MAX_DEPTH = 8  # of nested lists in a config; Python's own limit would be a RecursionError


def get(identifier: Any) -> Any:
    """The loss that `identifier` names.

    None gives None; a name the function ("mse", "huber", "kullback_leibler_divergence") or a
    new instance of the class ("Huber"); a config what `deserialize` makes of it; a class a new
    instance; an instance or any other callable itself. Raises ValueError for anything else.
    Names are those of Keras 3, and of Keras 2 where they differ.

    >>> from lossjax import losses
    >>> losses.get("mse") is losses.mean_squared_error
    True
    >>> losses.get({"class_name": "Huber", "config": {"delta": 2.0}})
    Huber(delta=2.0)
    """
    if identifier is None:
        return None
    if isinstance(identifier, str):
        return _instance(_named(identifier, {}))
    if isinstance(identifier, Mapping):
        return deserialize(identifier)
    if callable(identifier):
        return _instance(identifier)
    raise ValueError(f"Could not interpret loss identifier: {identifier!r}.")


def serialize(loss: Any) -> dict[str, Any]:
    """A loss, or a registered loss function, as plain data that `deserialize` reads back.

    The format is that of Keras 3, which reads it too, as far as the loss is one of Keras's.
    Raises ValueError for anything that could not be read back.

    >>> from lossjax import losses
    >>> losses.serialize(losses.MeanSquaredError())["class_name"]
    'MeanSquaredError'
    """
    if isinstance(loss, Loss):
        cls = type(loss)
        ours = cls.__module__.startswith("lossjax.")
        return {
            "module": "keras.losses" if ours else cls.__module__,
            "class_name": cls.__name__,
            "config": loss.get_config(),
            "registered_name": None if ours else cls.__name__,
        }
    name = getattr(loss, "__name__", None)
    if name is not None and registry.get(name) is loss and not isinstance(loss, type):
        return {
            "module": "builtins",
            "class_name": "function",
            "config": name,
            "registered_name": "function",
        }
    raise ValueError(
        f"serialize: need a Loss or one of the functions of lossjax.losses, got {loss!r}. "
        f"Make a function of your own a Loss, by subclassing it."
    )


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The loss, or the loss function, that `serialize` or Keras 3 wrote.

    `config` is a dict with "class_name" and "config", or a name. Names are looked up in
    `custom_objects` and among the registered losses, nowhere else: "module" is ignored, nothing
    is imported. Raises ValueError, naming what is unknown or of a wrong kind.
    """
    custom = dict(custom_objects or {})
    if isinstance(config, str):
        return _instance(_named(config, custom))
    if not isinstance(config, Mapping) or not isinstance(config.get("class_name"), str):
        raise ValueError(
            f"deserialize: need a name or a dict with a 'class_name', got {_short(config)}."
        )
    name, inner = config["class_name"], config.get("config")
    if name == "function":
        if not isinstance(inner, str):
            raise ValueError(f"deserialize: need the name of a function, got {_short(inner)}.")
        return _named(inner, custom)
    if inner is not None and not isinstance(inner, Mapping):
        raise ValueError(f"deserialize: need a dict as config of {name!r}, got {_short(inner)}.")
    fields = {str(k): _plain(name, str(k), v) for k, v in (inner or {}).items()}
    fn = fields.pop("fn", None)
    if name == "LossFunctionWrapper":
        return _loss_of(fn).from_config(fields)
    found = _named(name, custom)
    if not (isinstance(found, type) and issubclass(found, Loss)):
        return found
    if fn is not None and fn != found.fn.__name__:  # Keras 2 writes the function's name
        raise ValueError(f"deserialize: {name} computes {found.fn.__name__!r}, got fn={fn!r}.")
    return found.from_config(fields)


def resolved(where: str, loss: Any) -> Callable[..., Any]:
    """The loss that a name, a config, a class or a callable stands for."""
    if isinstance(loss, (str, Mapping, type)):
        loss = get(loss)
    if not callable(loss):
        raise TypeError(
            f"{where}: loss must be a Loss, the name of one or a function (y_true, y_pred) -> "
            f"values, got {type(loss).__name__}."
        )
    return loss


def _instance(loss: Any) -> Any:
    return loss() if isinstance(loss, type) else loss


def _named(name: str, custom: Mapping[str, Any]) -> Any:
    found = custom.get(name, registry.get(name))
    if not callable(found):
        hint = _check.nearest(name, [*custom, *registry])
        raise ValueError(f"Could not interpret loss identifier: {_short(name)}.{hint}")
    return found


def _loss_of(fn: Any) -> type[Loss]:
    """The class whose function is named `fn`, for Keras's wrapper of plain functions."""
    for cls in classes():
        if cls.fn.__name__ == fn:
            return cls
    raise ValueError(f"deserialize: LossFunctionWrapper of an unknown function {_short(fn)}.")


def _plain(where: str, key: str, value: Any, depth: int = 0) -> Any:
    """A config value: a number, a string, None, a list of these, or Keras's form of an array."""
    if value is None or isinstance(value, (bool, int, float, str, np.number)):
        return value
    if isinstance(value, (list, tuple)) and depth < _MAX_DEPTH:
        return type(value)(_plain(where, key, v, depth + 1) for v in value)
    if isinstance(value, np.ndarray) and value.dtype.kind in "iuf":
        return value
    if isinstance(value, Mapping) and depth == 0:
        kind, inner = value.get("class_name"), value.get("config")
        if kind in ("__numpy__", "__tensor__") and isinstance(inner, Mapping):
            return _plain(where, key, inner.get("value"), 1)
        if kind == "function" and key == "fn" and isinstance(inner, str):
            return inner
    raise ValueError(
        f"deserialize: {where} has an unknown kind of value for {key!r}: {_short(value)}."
    )


def _short(value: Any) -> str:
    """`value` for an error text, without walking through a deep or huge one."""
    if isinstance(value, (str, int, float, bytes, type(None))):
        return repr(value)[:80]
    if isinstance(value, Mapping):
        return f"a dict with the keys {sorted(map(str, value))[:5]}"
    return f"an object of type {type(value).__name__}"
