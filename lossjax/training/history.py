"""What training logged, epoch by epoch."""

import dataclasses
from pathlib import Path
from typing import Any


@dataclasses.dataclass
class History:
    """The logs of each epoch; `history["loss"]` is a column of them.

    `stopped` says why training ended before its last epoch, or is empty.
    """

    epochs: list[dict[str, float]] = dataclasses.field(default_factory=list)
    stopped: str = ""

    def __getitem__(self, name: str) -> list[float]:
        """The values of one log, of the epochs that have it."""
        found = [logs[name] for logs in self.epochs if name in logs]
        if not found:
            raise KeyError(f"History: {name!r} was not logged; there are {self.names}.")
        return found

    @property
    def names(self) -> list[str]:
        """Everything that was logged."""
        return list(dict.fromkeys(name for logs in self.epochs for name in logs))

    def plot(self, path: str | Path | None = None) -> Any:
        """Draw one panel for each log, validation beside training; written to `path` if given."""
        from matplotlib.figure import Figure

        panels = [name for name in self.names if not name.startswith("val_")]
        figure = Figure(figsize=(4 * max(1, len(panels)), 3), layout="constrained")
        for number, panel in enumerate(panels, 1):
            axes = figure.add_subplot(1, len(panels), number)
            for name, label in ((panel, "training"), (f"val_{panel}", "validation")):
                if name in self.names:
                    axes.plot(range(1, len(self[name]) + 1), self[name], label=label, marker=".")
            axes.set(title=panel, xlabel="epoch")
            axes.legend()
        if path is not None:
            figure.savefig(path)
        return figure
