"""What happens after an epoch: functions of (epoch, logs, state); a text returned ends training.

The arrays of the state are taken over by the next step: copy what is to be kept. A callback may
also have `start(state)`, `finish(state)`, which returns the state to end with, and `memory`, a
pytree of arrays that checkpoints hold.
"""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from lossjax import _check
from lossjax.training.state import State


class EarlyStopping:
    """Stop when `monitor` has not improved by `min_delta` for `patience` epochs.

    The state of the best epoch is what training ends with. `mode` is "min" or "max".
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        *,
        patience: int = 0,
        min_delta: float = 0.0,
        mode: str = "min",
        restore_best: bool = True,
    ) -> None:
        if mode not in ("min", "max"):
            raise ValueError(f"EarlyStopping: mode must be 'min' or 'max', got {mode!r}.")
        self.monitor, self.patience, self.min_delta = monitor, patience, min_delta
        self.sign, self.restore_best = (1 if mode == "min" else -1), restore_best
        self.memory: dict[str, Any] = {}

    def start(self, state: State) -> None:
        """Nothing seen yet."""
        self.memory = {"best": np.array(np.inf), "wait": np.array(0)}
        if self.restore_best:
            self.memory["state"] = _copy(state)

    def __call__(self, epoch: int, logs: Mapping[str, float], state: State) -> str | None:
        if self.monitor not in logs:
            hint = _check.nearest(self.monitor, logs)
            raise KeyError(f"EarlyStopping: {self.monitor!r} is not among {list(logs)}.{hint}")
        value = self.sign * logs[self.monitor]
        if value < self.memory["best"] - self.min_delta:
            self.memory.update(best=np.array(value), wait=np.array(0))
            if self.restore_best:
                self.memory["state"] = _copy(state)
            return None
        self.memory["wait"] = self.memory["wait"] + 1
        if self.memory["wait"] < max(1, self.patience):
            return None
        return f"{self.monitor} has not improved for {int(self.memory['wait'])} epochs"

    def finish(self, state: State) -> State:
        """The state of the best epoch."""
        return self.memory["state"] if self.restore_best else state


def _copy(state: State) -> State:
    return jax.tree.map(lambda a: jnp.array(a, copy=True), state)


class CSVLog:
    """One line an epoch in a CSV file; a run that is resumed goes on where it left off."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.path.open("a").close()  # an unwritable folder is told now, not after an epoch

    def __call__(self, epoch: int, logs: Mapping[str, float], state: State) -> None:
        with self.path.open(newline="") as file:
            rows: list[dict[str, Any]] = list(csv.DictReader(file))
        rows = [row for row in rows if int(row["epoch"]) <= epoch]
        rows.append({"epoch": epoch + 1, **logs})
        names = list(dict.fromkeys(name for row in rows for name in row))
        with self.path.open("w", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(rows)


class TensorBoard:
    """The logs of each epoch as scalars for TensorBoard; needs tensorboardX."""

    def __init__(self, folder: str | Path) -> None:
        from tensorboardX import SummaryWriter

        self.writer = SummaryWriter(str(folder))

    def __call__(self, epoch: int, logs: Mapping[str, float], state: State) -> None:
        for name, value in logs.items():
            self.writer.add_scalar(name, value, epoch + 1)

    def finish(self, state: State) -> State:
        """Everything is written."""
        self.writer.close()
        return state
