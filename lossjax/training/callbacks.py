"""What happens after an epoch: functions of (epoch, logs, state).

One that returns a text, or True, ends training. So does what one raises: when the run goes on, the
epoch is shown to all callbacks once more. The arrays of the state are taken over by the next step:
copy what is to be kept. A callback may also have `start(state)`, `finish(state)`, which returns the
state to end with, and `memory`, a pytree of arrays that checkpoints hold.
"""

import csv
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from lossjax.core import check
from lossjax.core.texts import nearest
from lossjax.training.state import State


class EarlyStopping:
    """Stop when `monitor` has not improved by `min_delta` for `patience` epochs.

    The state of the best epoch is what training ends with. `mode` is "min" or "max". A value that
    is not finite is no improvement; where none ever was, training ends with the last state, and a
    warning.
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
        self.patience = check.whole("EarlyStopping", "patience", patience, 0)
        self.monitor, self.min_delta = monitor, min_delta
        self.sign, self.restore_best = (1 if mode == "min" else -1), restore_best
        self.memory: dict[str, Any] = {}

    def start(self, state: State) -> None:
        """Nothing seen yet."""
        self.memory = {"best": np.array(np.inf), "wait": np.array(0)}
        if self.restore_best:
            self.memory["state"] = _copy(state)

    def __call__(self, epoch: int, logs: Mapping[str, float], state: State) -> str | None:
        if self.monitor not in logs:
            hint = nearest(self.monitor, logs)
            raise KeyError(f"EarlyStopping: {self.monitor!r} is not among {list(logs)}.{hint}")
        value = self.sign * logs[self.monitor]
        if np.isfinite(value) and value < self.memory["best"] - self.min_delta:
            self.memory.update(best=np.array(value), wait=np.array(0))
            if self.restore_best:
                self.memory["state"] = _copy(state)
            return None
        self.memory["wait"] = self.memory["wait"] + 1
        if self.memory["wait"] < max(1, self.patience):
            return None
        epochs = f"for {int(self.memory['wait'])} epochs"
        if self._has_best():
            return f"{self.monitor} has not improved {epochs}"
        return f"{self.monitor} was not finite {epochs}: the last state is kept, none was best"

    def finish(self, state: State) -> State:
        """The state of the best epoch; the last one, if there is no best."""
        if not self.restore_best:
            return state
        if self._has_best():
            return self.memory["state"]
        if self.memory["wait"]:
            warnings.warn(
                f"EarlyStopping: nothing is restored, the last state is kept: {self.monitor!r} "
                f"was not finite in any epoch.",
                RuntimeWarning,
                stacklevel=2,
            )
        return state

    def _has_best(self) -> bool:
        return bool(np.isfinite(self.memory["best"]))


def _copy(state: State) -> State:
    return jax.tree.map(lambda a: jnp.array(a, copy=True), state)


class CSVLog:
    """One line an epoch in a CSV file; a run that is resumed goes on where it left off.

    The file is whole at any time: a new one takes its place. Several processes write one.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.path.open("a").close()  # an unwritable folder is told now, not after an epoch
        with self.path.open(newline="") as file:
            first = next(csv.reader(file), [])
        if first and "epoch" not in first:
            raise ValueError(
                f"CSVLog: {self.path} must be a file of CSVLog or a new one, got the columns "
                f"{', '.join(first):.60}. Choose another path."
            )

    def __call__(self, epoch: int, logs: Mapping[str, float], state: State) -> None:
        if jax.process_index():
            return
        with self.path.open(newline="") as file:
            rows: list[dict[str, Any]] = list(csv.DictReader(file))
        rows = [row for row in rows if row["epoch"].isdigit() and int(row["epoch"]) <= epoch]
        rows.append({"epoch": epoch + 1, **logs})
        names = list(dict.fromkeys(name for row in rows for name in row))
        path = self.path.resolve()  # of a link, the file
        beside = path.with_name(f"{path.name}.part")
        with beside.open("w", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(rows)
        os.replace(beside, path)


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
