"""What is compiled for an objective and its metrics: once for all runs that have the same."""

import functools
from collections.abc import Callable, Hashable
from typing import Any

import jax
import numpy as np

from lossjax.objective import Objective
from lossjax.training.metrics import Metrics

MOST = 32  # the programs that are kept


class Program:
    """A jitted function that holds no array of the objective: these are passed at each call."""

    def __init__(self, jitted: Any, arrays: list[Any]) -> None:
        self.jitted, self.arrays = jitted, arrays

    def __call__(self, *arguments: Any) -> Any:
        """What the function returns."""
        return self.jitted(self.arrays, *arguments)


def program(
    make: Callable[..., Callable[..., Any]],
    objective: Objective,
    metrics: Metrics,
    *choices: Hashable,
    donated: tuple[int, ...] = (),
) -> Program:
    """`make(objective, metrics, *choices)`, which is a function, compiled.

    Plain numbers are part of the program, as losses leave out what a smoothing of 0 or a weight of
    1 does not need; of arrays, the program is the same for all values.
    """
    leaves, structure = jax.tree.flatten((objective, metrics))
    numbers = tuple(a if isinstance(a, int | float | np.generic) else None for a in leaves)
    arrays = [a for a, number in zip(leaves, numbers, strict=True) if number is None]
    places = tuple(1 + place for place in donated)
    # 1, 1.0 and True are equal, but they are written in other ways.
    key = make, structure, numbers, repr(numbers), choices, places
    try:
        return Program(_jitted(*key), arrays)
    except (TypeError, ValueError):  # of a choice that does not compare: compiled each time
        return Program(_jitted.__wrapped__(*key), arrays)


@functools.lru_cache(maxsize=MOST)
def _jitted(
    make: Any, structure: Any, numbers: Any, written: str, choices: Any, donated: Any
) -> Any:
    def run(arrays: list[Any], *arguments: Any) -> Any:
        rest = iter(arrays)
        leaves = [next(rest) if number is None else number for number in numbers]
        return make(*jax.tree.unflatten(structure, leaves), *choices)(*arguments)

    run.__name__ = make.__name__.removeprefix("_")  # what profiles show
    return jax.jit(run, donate_argnums=donated)
