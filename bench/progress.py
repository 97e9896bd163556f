"""A bar while something runs; nothing where nobody looks."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from bench.harness import Progress as Report
from bench.record import Row

Job = TypeVar("Job")


def collect(
    jobs: Sequence[Job], name: Callable[[Job], str], work: Callable[[Job, Report], list[Row]]
) -> list[Row]:
    """The rows of all jobs. Ctrl-C ends it early and keeps those that are there."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    rows: list[Row] = []
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=len(jobs))
        try:
            for done, job in enumerate(jobs):
                bar.update(task, completed=done, description=name(job))

                def report(share: float, done: int = done) -> None:
                    bar.update(task, completed=done + share)

                rows += work(job, report)
        except KeyboardInterrupt:
            console.print(f"bench: interrupted in {name(job)}; what follows is the part before it.")
    return rows
