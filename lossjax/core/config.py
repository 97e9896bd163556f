"""Losses by name and as plain data, in the format of Keras 3. Nothing is imported or evaluated."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from lossjax.core.loss import Loss
from lossjax.core.registry import classes, registry
from lossjax.core.texts import bounded, cut, nearest, shown

# The classes of `keras.losses`, 3.15: what Keras reads as its own.
_OF_KERAS = (
    *("MeanSquaredError", "MeanAbsoluteError", "MeanAbsolutePercentageError"),
    *("MeanSquaredLogarithmicError", "Huber", "LogCosh", "CosineSimilarity"),
    *("Hinge", "SquaredHinge", "CategoricalHinge", "KLDivergence", "Poisson"),
    *("BinaryCrossentropy", "BinaryFocalCrossentropy"),
    *("CategoricalCrossentropy", "CategoricalFocalCrossentropy"),
    *("CategoricalGeneralizedCrossEntropy", "SparseCategoricalCrossentropy"),
    *("Dice", "Tversky", "Circle", "CTC"),
)


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
    raise ValueError(f"Could not interpret loss identifier: {shown(identifier)}.")


def serialize(loss: Any) -> dict[str, Any]:
    """A loss, or a registered loss function, as plain data that `deserialize` reads back.

    The format is that of Keras 3, which reads the losses that it has as its own, "module":
    "keras.losses"; others are written as Keras writes custom objects, "module": "lossjax.losses".
    Raises ValueError for anything that could not be read back.

    >>> from lossjax import losses
    >>> losses.serialize(losses.MeanSquaredError())["class_name"]
    'MeanSquaredError'
    """
    if isinstance(loss, Loss):
        cls = type(loss)
        module = "lossjax.losses" if cls.__module__.startswith("lossjax.") else cls.__module__
        of_keras = module == "lossjax.losses" and cls.__name__ in _OF_KERAS
        return {
            "module": "keras.losses" if of_keras else module,
            "class_name": cls.__name__,
            "config": loss.get_config(),
            "registered_name": None if of_keras else cls.__name__,
        }
    name = getattr(loss, "__name__", None)
    if isinstance(name, str) and registry.get(name) is loss and not isinstance(loss, type):
        return {
            "module": "builtins",
            "class_name": "function",
            "config": name,
            "registered_name": "function",
        }
    raise ValueError(
        f"serialize: need a Loss or one of the functions of lossjax.losses, got "
        f"{shown(loss)}. Make a function of your own a Loss, by subclassing it."
    )


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The loss, or the loss function, that `serialize` or Keras 3 wrote.

    `config` is a dict with "class_name" and "config", or a name. Names are looked up in
    `custom_objects` and among the registered losses, nowhere else: "module" is ignored, nothing
    is imported. Raises ValueError, naming what is unknown or of a wrong kind.
    """
    if not isinstance(custom_objects, Mapping | None):
        raise ValueError(
            f"deserialize: custom_objects must be a dict from names to losses, got "
            f"{shown(custom_objects)}."
        )
    custom = custom_objects or {}
    if isinstance(config, str):
        return _instance(_named(config, custom))
    if not isinstance(config, Mapping) or not isinstance(config.get("class_name"), str):
        raise ValueError(
            f"deserialize: need a name or a dict with a 'class_name', got {shown(config)}."
        )
    name, inner = config["class_name"], config.get("config")
    if name == "function":
        if not isinstance(inner, str):
            raise ValueError(f"deserialize: need the name of a function, got {shown(inner)}.")
        return _named(inner, custom)
    where = f"deserialize: {shown(name)}"
    if not isinstance(inner, Mapping | None):
        raise ValueError(f"{where} needs a dict as config, got {shown(inner)}.")
    fields = {key: _plain(where, key, value, custom) for key, value in (inner or {}).items()}
    if name == "LossFunctionWrapper":
        return _loss_of(fields.pop("fn", None)).from_config(fields)
    found = _named(name, custom)
    if not (isinstance(found, type) and issubclass(found, Loss)):
        if fields or isinstance(found, type):
            raise ValueError(f"{where} is no Loss: it takes no config. Give its name alone.")
        return found
    if "fn" not in found.__dataclass_fields__:  # Keras 2 writes the function's name
        own, fn = (found._declared.fn or found).__name__, fields.pop("fn", None)
        if fn not in (None, own):
            raise ValueError(f"{where} computes {own!r}, got fn={shown(fn)}.")
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
    if not isinstance(loss, type):
        return loss
    try:
        made = loss()
    except TypeError as error:
        raise ValueError(
            f"get: {shown(loss)} cannot be made without arguments: "
            f"{cut(error, 120)}. Pass an instance of it."
        ) from error
    if not callable(made):
        raise ValueError(f"Could not interpret loss identifier: {shown(loss)}.")
    return made


def _named(name: str, custom: Mapping[str, Any]) -> Any:
    found = custom.get(name, registry.get(name))
    if not callable(found):
        hint = nearest(name, [*custom, *registry])
        raise ValueError(f"Could not interpret loss identifier: {shown(name)}.{hint}")
    return found


def _loss_of(fn: Any) -> type[Loss]:
    """The class whose function is named `fn`, for Keras's wrapper of plain functions."""
    for cls in classes():
        if isinstance(fn, str) and cls._declared.fn.__name__ == fn:
            return cls
    raise ValueError(f"deserialize: LossFunctionWrapper of an unknown function {shown(fn)}.")


def _plain(where: str, key: Any, value: Any, custom: Mapping[str, Any]) -> Any:
    """A config value: a number, a string, None, Keras's form of an array, a loss, or a list."""
    plain = value
    if bounded(value) and (found := _losses(value, custom)) is not None:
        return found
    if isinstance(value, Mapping):
        kind, plain = value.get("class_name"), value.get("config")
        if kind in ("__numpy__", "__tensor__") and isinstance(plain, Mapping):
            plain = plain.get("value")
        elif not (kind == "function" and key == "fn"):
            plain = value
    if not (bounded(plain) and _is_plain(plain)):
        raise ValueError(f"{where} has an unknown kind of value for {shown(key)}: {shown(value)}.")
    return plain


def _losses(value: Any, custom: Mapping[str, Any]) -> Any:
    """The loss of a config within a config, or those of a list; None for all else."""
    if isinstance(value, (list, tuple)):
        each = [_losses(x, custom) for x in value]
        return each if each and None not in each else None
    name = value.get("class_name") if isinstance(value, Mapping) else None
    found = custom.get(name, registry.get(name)) if isinstance(name, str) else None
    is_loss = isinstance(found, type) and issubclass(found, Loss)
    return deserialize(value, custom) if is_loss else None


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "iuf"
    return value is None or isinstance(value, (bool, int, float, str, np.number))
