"""Means over the samples of an epoch, kept on the device; and where they stopped being finite.

Everything is one array, since each array that a step takes and returns costs time: the columns
are the number of rows and each log, the rows are

0. the sum of what Keras averages: the log of each batch times its number of rows;
1. what rounding lost of it (Neumaier (1974), ZAMM 54(1)): float32 would not count beyond 2^24;
2. the first step whose loss is not finite, counted from 1, and 1 for each log that was not.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from lossjax.core.types import Array
from lossjax.training.batch import Batch
from lossjax.training.state import State

# A log of the first name is to be divided by one of the second; then the exponential may be due.
WEIGHT, EXP_WEIGHT = " (weight)", " (weight of the logarithm)"


def zeros(count: int) -> Array:
    """Nothing seen yet of `count` logs."""
    return jnp.zeros((3, count + 1), jnp.float32)


def add(sums: Array, logs: Sequence[Array], batch: Batch, state: State) -> Array:
    """`sums` and one batch, the first of whose logs is the loss, with the state before it.

    Written in elementwise operations alone, which are one kernel. Stacking and a conditional
    took as long as half a training step of a small network.
    """
    column, row = np.arange(len(logs) + 1), np.arange(3)[:, None]
    values = jnp.float32(column == 0)
    trouble = jnp.where(column == 0, jnp.float32(state.step + 1), 0)
    for i, log in enumerate(logs, 1):
        values += jnp.where(column == i, jnp.float32(log), 0)
        trouble += jnp.where(column == i, jnp.float32(~jnp.isfinite(log)), 0)
    values *= jnp.float32(batch.size if batch.rows is None else jnp.sum(batch.rows))
    old, lost, first = sums
    new = old + values
    rounding = jnp.where(jnp.abs(old) >= jnp.abs(values), old - new + values, values - new + old)
    is_first = (first[0] == 0) & ~jnp.isfinite(logs[0])
    first = jnp.where(is_first, trouble, first)
    return jnp.where(row == 0, new, jnp.where(row == 1, lost + rounding, first))


def read(sums: Any, names: Sequence[str]) -> dict[str, float]:
    """The means so far; waits for the device."""
    new, lost, _ = np.array(jax.device_get(sums), np.float64)
    exact = new + np.where(np.isfinite(lost), lost, 0)
    means = {name: exact[i] / exact[0] for i, name in enumerate(names, 1)}
    for name in names:
        for weight in (name + WEIGHT, name + EXP_WEIGHT):
            if weight in means:
                divisor = means.pop(weight)
                means[name] = means[name] / divisor if divisor else 0.0
                if weight.endswith(EXP_WEIGHT):
                    with np.errstate(over="ignore"):
                        means[name] = np.exp(means[name])
    return {name: float(value) for name, value in means.items()}


def trouble(sums: Any, names: Sequence[str]) -> tuple[int, list[str]]:
    """The first step whose loss was not finite, 0 if there is none, and which logs were not."""
    first, *flags = np.array(jax.device_get(sums))[2]
    return int(first), shown([name for name, flag in zip(names, flags, strict=True) if flag])


def shown(names: Sequence[str]) -> list[str]:
    """The names of logs, without those of weights."""
    return [name for name in names if not name.endswith((WEIGHT, EXP_WEIGHT))]


def written(sums: Any, names: Sequence[str]) -> dict[str, list[float]]:
    """`sums` as numbers by name; the count of the rows has none."""
    columns = np.array(jax.device_get(sums), np.float64).T.tolist()
    return dict(zip(["", *names], columns, strict=True))


def reread(columns: Mapping[str, list[float]], names: Sequence[str], unknown: float) -> Array:
    """What was `written`, for logs of these names; the mean of a new one will be `unknown`."""
    found = [columns.get(name, [unknown, 0, 0]) for name in ["", *names]]
    return jnp.asarray(np.array(found, np.float32).T)
