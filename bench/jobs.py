"""A command's jobs are done one by one; their rows become a record, a file and tables."""

import argparse
import dataclasses
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.progress import Progress, TimeElapsedColumn

from bench import environment, harness, tables
from bench.record import Row


class Job(NamedTuple):
    """`work` is handed a function that it tells the share that is done."""

    name: str
    work: Callable[[harness.Progress], list[Row]]


class Plan(NamedTuple):
    """What is to do; and why libraries or devices that were asked for are not there."""

    jobs: Sequence[Job]
    missing: dict[str, str]


def run(args: argparse.Namespace, plan: Callable[[argparse.Namespace], Plan]) -> int:
    if args.json and not Path(args.json).parent.is_dir():  # better now than after an hour
        raise ValueError(f"bench: the folder of --json {args.json} does not exist.")
    record, began = environment.begun(args.argv), time.monotonic()
    jobs, missing = plan(args)
    rows = merged(collect(jobs))
    seconds = round(time.monotonic() - began, 1)
    record = dataclasses.replace(record, seconds=seconds, missing=missing, rows=rows)
    if args.json:
        record.save(args.json)
    tables.show(record)
    return 0


def collect(jobs: Sequence[Job]) -> list[Row]:
    """The rows of all, with a bar where somebody looks. Ctrl-C keeps those that are there."""
    console = Console(stderr=True)
    rows: list[Row] = []
    columns = (*Progress.get_default_columns(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task, done, name = bar.add_task("", total=len(jobs)), 0, ""

        def report(share: float) -> None:
            bar.update(task, completed=done + share, description=name)

        try:
            for done, (name, work) in enumerate(jobs):  # noqa: B007
                report(0)
                rows += work(report)
        except KeyboardInterrupt:
            console.print(f"bench: interrupted in {name}; what follows is the part before it.")
    return rows


def merged(rows: Iterable[Row]) -> list[Row]:
    """One row for all that is known of a case by an implementation."""
    found: dict[object, Row] = {}
    for row in rows:
        key = row.group, row.implementation
        known = found.get(key, row)
        found[key] = dataclasses.replace(row, values={**known.values, **row.values})
    return list(found.values())
