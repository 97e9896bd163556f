"""A line that tells how far training is; nothing where nobody looks."""

import time
from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

REFRESH = 0.5  # seconds; the numbers must be fetched from the device


class Bar:
    """Steps done, loss and metrics, steps a second and time left; and a line for each epoch."""

    def __init__(self, epochs: int, steps: int | None, verbose: bool | None) -> None:
        self.console = Console()
        self.epochs, self.steps = epochs, steps
        self.is_on = self.console.is_terminal if verbose is None else verbose
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=20), MofNCompleteColumn())
        left = TimeRemainingColumn(compact=True)
        self.progress = Progress(
            *columns, left, console=self.console, disable=not self.is_on, transient=True
        )
        self.task = self.progress.add_task("", total=steps and steps * epochs)
        self.started, self.next, self.seen = time.monotonic(), 0.0, 0

    def __enter__(self) -> "Bar":
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def is_due(self) -> bool:
        """Whether it is time to show new numbers."""
        return self.is_on and time.monotonic() >= self.next

    def show(self, epoch: int, done: int, logs: Mapping[str, float]) -> None:
        """Where training is: `done` steps since it began."""
        self.seen = self.seen or done
        now = time.monotonic()
        rate = (done - self.seen) / (now - self.started) if done > self.seen else 0
        text = f"epoch {epoch + 1}/{self.epochs} {numbers(logs)} {rate:.0f} steps/s"
        self.progress.update(self.task, completed=done, description=text)
        self.next = now + REFRESH
        if self.seen == done:
            self.started = now

    def epoch(self, epoch: int, logs: Mapping[str, float]) -> None:
        """A line that stays."""
        if self.is_on:
            text = f"epoch {epoch + 1}/{self.epochs} {numbers(logs)}"
            self.console.print(text, highlight=False, markup=False)


def numbers(logs: Mapping[str, float]) -> str:
    """Logs as text, four digits each."""
    return " ".join(f"{name} {value:.4g}" for name, value in logs.items())
