"""What a run is made of, in words: one that goes on tells what is not as it was before."""

import contextlib
import functools
import inspect
import itertools
import re
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import jax
import numpy as np

from lossjax import losses
from lossjax.core.loss import Loss
from lossjax.core.registry import class_of, example
from lossjax.objective import Objective
from lossjax.training.data import Arrays, Stream
from lossjax.training.metrics import Metrics
from lossjax.training.step import as_objective

Words: TypeAlias = dict[str, str]

PLAIN = (bool, int, float, complex, str, type(None))
WRAPPERS = ("chain", "with_extra_args_support")  # of every optimizer
SAMPLE = 16  # rows, spread over the data, that stand for all of it
MOST = 1000  # choices of an optimizer; a closure may hold anything


def of_run(tx: Any, objective: Objective, metrics: Metrics, batches: Arrays | Stream) -> Words:
    """The losses, the optimizer and the data."""
    words = _of_objective("", objective) | _of_optimizer(tx) | _of_data(batches)
    named = metrics.asked if isinstance(metrics.asked, Mapping) else {}
    for name, metric in named.items():  # those in a list have no name but what they are
        if not isinstance(metric, list | tuple):
            words |= _of_objective(f"metric {name}: ", as_objective(metric))
    return words


def of_callback(name: str, callback: Any) -> Words:
    """What was chosen for a callback."""
    chosen = {key: x for key, x in vars(callback).items() if isinstance(x, PLAIN)}
    return {f"{name}.{key}": _words(x) for key, x in chosen.items()}


def differences(old: Words, new: Words) -> list[str]:
    """What is not as it was. Metrics may come and go: training does not depend on them."""
    names = [name for name in old | new if old.get(name) != new.get(name)]
    return [
        f"{name:.40} was {old.get(name, 'not there'):.40}, is {new.get(name, 'not there'):.40}"
        for name in names
        if not name.startswith("metric ") or (name in old and name in new)
    ]


def _of_objective(where: str, objective: Objective) -> Words:
    words = {}
    for name, choice in vars(objective).items():
        leaves = jax.tree_util.tree_leaves_with_path(choice, is_leaf=lambda x: isinstance(x, Loss))
        for path, leaf in leaves:
            leaf = _of_one_name(leaf) if name == "loss" else leaf
            words[f"{where}{name}{jax.tree_util.keystr(path)}"] = _words(leaf)
    return words


def _of_one_name(loss: Any) -> Any:
    """A loss that has a class as an instance of it, however it was given."""
    try:
        found = losses.get(loss)
    except ValueError:  # "crossentropy", which the objective alone knows
        return loss
    cls = class_of(found)
    return found if cls is None else example(cls)


def _words(value: Any) -> str:
    """The same in every process, and for a number of every type."""
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        if np.size(value) != 1:
            return f"{value.dtype}{np.shape(value)}"
        value = value.item()
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:.9g}"
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def _of_optimizer(tx: Any) -> Words:
    """The functions it consists of, and the numbers that these close over."""
    functions: dict[str, None] = {}
    words: Words = {}
    for owner, name, value in itertools.islice(_held([tx.update, tx.init], "", "", set()), MOST):
        if not name:
            functions[owner] = None
            continue
        key = f"{owner}.{name}"
        while key in words:  # the same kind once more
            key += "'"
        words[key] = value
    return {"optimizer": ", ".join(f for f in functions if f not in WRAPPERS)} | words


def _held(x: Any, owner: str, name: str, seen: set[int]) -> Iterator[tuple[str, str, str]]:
    """All choices in closures: of which function, their name and value; and the function itself."""
    if isinstance(x, (*PLAIN, np.ndarray, np.generic, jax.Array)):
        yield owner, name, _words(x)
        return
    if id(x) in seen:
        return
    seen.add(id(x))
    if isinstance(x, list | tuple):
        for value in x:
            yield from _held(value, owner, name, seen)
    elif isinstance(x, Mapping):
        for key, value in x.items():
            yield from _held(value, owner, str(key), seen)
    elif isinstance(x, functools.partial):
        yield from _held([x.func, x.args, x.keywords], owner, name, seen)
    elif inspect.ismethod(x):
        held = getattr(x.__self__, "__dict__", {})
        yield from _held(held, type(x.__self__).__name__, name, seen)
    elif inspect.isfunction(inner := inspect.unwrap(x)):
        owner = inner.__qualname__.split(".<locals>")[0]
        yield owner, "", ""
        for key, cell in zip(inner.__code__.co_freevars, inner.__closure__ or (), strict=True):
            with contextlib.suppress(ValueError):  # a cell may be empty
                yield from _held(cell.cell_contents, owner, key, seen)
    elif callable(x):
        yield owner, name, _words(x)


def _of_data(batches: Arrays | Stream) -> Words:
    """Of arrays how many rows there are, and a checksum of some; iterables are not looked into."""
    if isinstance(batches, Stream):
        return {"data": "an iterable"}
    rows, check = batches.batch.size, 0
    for leaf in jax.tree.leaves(batches.batch):
        check = zlib.crc32(np.ascontiguousarray(leaf[:: -(-rows // SAMPLE)]).tobytes(), check)
    return {"data": f"{rows} rows, checksum {check:08x}"}
