"""What a class of losses declares, and its names: subclassing `Loss` is what registers one."""

import dataclasses
import inspect
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from lossjax.core import domain as domains
from lossjax.core.domain import Domain

# Every identifier: class names give the class, function names and aliases the function.
registry: dict[str, Any] = {}


class Declared(NamedTuple):
    """What a loss says of itself in the body of its class, without annotations.

    It is kept apart from the hyperparameters, which may have any of these names.
    """

    fn: Any = None  # the function that the loss is made of
    aliases: tuple[str, ...] = ()
    default_name: str = "loss"
    domain: Domain = domains.REAL  # what inputs it takes
    # What a value depends on: "none" but its own sample, "sums" over the batch, "pairs" of samples.
    # With "none" masks and weights cost next to nothing. None: nothing is taken for granted.
    couples: str | None = None
    # Whether `fn` takes 16-bit floats as they are, and widens them where it computes.
    widens: bool = False


def declaration(cls: Any) -> tuple[Declared, dict[str, Any]]:
    """What a class declares, its bases included, and what it states itself."""
    fields = inspect.get_annotations(cls)
    own = {w: v for w, v in vars(cls).items() if w in Declared._fields and w not in fields}
    stated = {"default_name": snake_case(cls.__name__), "aliases": ()} | own
    if "domain" in own:
        stated["domain"] = domains.named(cls.__name__, own["domain"])
    if "call" in vars(cls):  # a `call` is handed float32 at least
        stated = {"widens": False} | stated
    inherited: Declared = cls._declared
    return inherited._replace(**stated), own


def snake_case(name: str) -> str:
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def register(name: str, cls: type[Any]) -> None:
    """The same class may be defined again, as a notebook cell does; another may not take over."""
    taken = registry.get(name)
    if taken is not None and taken.__module__ != cls.__module__:
        raise TypeError(f"loss name {name!r} is already taken by {taken.__module__}.{name}.")
    registry[name] = cls if name == cls.__name__ else cls._declared.fn


def class_of(function: Any) -> type[Any] | None:
    """The registered loss that is made of a function; None for any other function."""
    return next((cls for cls in classes() if cls._declared.fn is function), None)


def classes() -> Iterator[type[Any]]:
    """Every registered loss that is made of a function."""
    found: list[Any] = [c for c in registry.values() if isinstance(c, type)]
    return (c for c in found if c._declared.fn)


def example(cls: type[Any], **config: Any) -> Any:
    """An instance for tables and tests: of a choice without default it has the first."""
    fields = dataclasses.fields(cls)
    return cls(**{f.name: f.metadata["choices"][0] for f in fields if _is_required(f)} | config)


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and bool(field.metadata.get("choices"))


def first_paragraph(documented: Any) -> str:
    """The formula of a documented loss, in one line."""
    return " ".join((documented.__doc__ or "").split("\n\n")[0].split())


class Listed(NamedTuple):
    """A registered loss for those who choose one."""

    name: str
    others: list[str]
    hyperparameters: list[str]
    formula: str


def listed(cls: Any) -> Listed:
    """The names of a loss, its function's first, hyperparameters as name=default, its formula."""
    fn = cls._declared.fn
    names = [name for name, found in registry.items() if found is fn]
    others = sorted(names, key=lambda name: name != fn.__name__)
    fields = [f"{name}={value}" for name, value in example(cls).hyperparameters().items()]
    return Listed(cls.__name__, others, fields, first_paragraph(fn))
