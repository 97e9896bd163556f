"""The names of losses: subclassing `Loss` is what registers one."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

# Every identifier: class names give the class, function names and aliases the function.
registry: dict[str, Any] = {}


def snake_case(name: str) -> str:
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def register(name: str, cls: type[Any]) -> None:
    """The same class may be defined again, as a notebook cell does; another may not take over."""
    taken = registry.get(name)
    if taken is not None and taken.__module__ != cls.__module__:
        raise TypeError(f"loss name {name!r} is already taken by {taken.__module__}.{name}.")
    registry[name] = cls if name == cls.__name__ else cls.fn


def class_of(function: Any) -> type[Any] | None:
    """The registered loss that is made of a function; None for any other function."""
    return next((cls for cls in classes() if cls.fn is function), None)


def classes() -> Iterator[type[Any]]:
    """Every registered loss that is made of a function."""
    return (c for c in registry.values() if isinstance(c, type) and hasattr(c, "fn"))


def first_paragraph(documented: Any) -> str:
    """The formula of a documented loss, in one line."""
    return " ".join((documented.__doc__ or "").split("\n\n")[0].split())


class Listed(NamedTuple):
    """A registered loss for those who choose one."""

    name: str
    others: list[str]
    hyperparameters: list[str]
    formula: str


def listed(cls: type[Any]) -> Listed:
    """The names of a loss, its function's first, hyperparameters as name=default, its formula."""
    names = [name for name, found in registry.items() if found is cls.fn]
    others = sorted(names, key=lambda name: name != cls.fn.__name__)
    fields = [f"{name}={value}" for name, value in cls().hyperparameters().items()]
    return Listed(cls.__name__, others, fields, first_paragraph(cls.fn))
