"""`python -m bench devices`: what XLA makes of every loss for chips that are not here."""

import argparse
import collections
import dataclasses
import sys
from collections.abc import Iterable

import jax
from rich import box
from rich.table import Table

from bench import ahead, environment, options, tables
from bench.cases import Case
from bench.harness import Progress
from bench.peers import OURS, JaxPeer
from bench.progress import collect
from bench.record import Record, Row, geometric_mean
from lossjax.devices import TARGETS, Target

LABEL = "estimates by XLA's compiler, not measurements"
LIMIT = 1.05  # of the floor of bytes
# Programs depend on their versions as much as on that of jax.
COMPILERS = ("libtpu", "jax-cuda12-plugin", "jax-cuda13-plugin")
SHORT = {name.removeprefix("tpu "): target for name, target in TARGETS.items()}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add_cases(parser, (options.LARGE,), jax_only=True)
    parser.add_argument(
        "--targets", nargs="+", choices=SHORT, default=list(SHORT), help="default: all"
    )


def run(args: argparse.Namespace) -> Record | int:
    """A record; 1 where nothing can be compiled for any target."""
    if args.device is not None:
        raise ValueError("bench: devices compiles for --targets, nothing runs: drop --device.")
    # The compilers are for the other process: this one must not look for their chips.
    jax.config.update("jax_platforms", "cpu")
    began = environment.Start(environment.now(), None)
    cases = options.chosen_cases(args)
    targets = [SHORT[name] for name in dict.fromkeys(args.targets)]
    with ahead.Compiler() as compiler:
        problems = {target.name: _problem(target, compiler) for target in targets}
        if all(problems.values()):
            lines = [f"bench: cannot compile for {name}: {why}" for name, why in problems.items()]
            print(*lines, sep="\n", file=sys.stderr)
            return 1
        peers, missing = options.chosen_jax_peers(args)
        missing.update({name: why for name, why in problems.items() if why is not None})
        usable = [target for target in targets if problems[target.name] is None]
        rows = _rows(cases, peers, usable, compiler)
    record = environment.record("devices", args.argv, began, missing, rows)
    return dataclasses.replace(
        record, versions={**record.versions, **environment.installed(COMPILERS)}
    )


def _problem(target: Target, compiler: ahead.Compiler) -> str | None:
    """Why nothing can be compiled for a target."""
    command = target.missing()
    if command is not None:
        return f"its compiler is not installed: {command}, in an environment of its own"
    return compiler.values(ahead.Probe(target.name)).get("error")


def _rows(
    cases: list[Case], peers: list[JaxPeer], targets: list[Target], compiler: ahead.Compiler
) -> list[Row]:
    """One for each program; a library without the loss has none."""

    def work(job: tuple[Target, Case], progress: Progress) -> list[Row]:
        target, case = job
        rows = []
        for done, peer in enumerate(peers):
            progress(done / len(peers))
            values = compiler.values(ahead.Job(case, peer.name, target.name))
            if values:
                key = case.name, case.weighting, case.shape, case.dtype
                rows.append(Row(*key, peer.name, target.name, values))
        return rows

    jobs = [(target, case) for target in targets for case in cases]
    return collect(jobs, lambda job: f"{job[0].name} {job[1].name}", work)


def show(record: Record, wide: bool) -> Iterable[Table]:
    """A table for each target, and one of means."""
    sides = tables.implementations(record)
    for target in dict.fromkeys(row.target for row in record.rows):
        yield _of_target(record, target, sides)
    yield _means(record, sides)


def _of_target(record: Record, target: str, sides: list[str]) -> Table:
    table = Table(title=f"{target}: {LABEL}", title_justify="left", box=box.SIMPLE_HEAD)
    table.caption = "bytes over the floor, temporary memory over y_pred, kernels, time"
    groups = {key: rows for key, rows in record.groups().items() if key[-1] == target}
    parts = [(weighting, tables.size(shape), dtype) for _, weighting, shape, dtype, _ in groups]
    usual = [
        collections.Counter(values).most_common(1)[0][0] for values in zip(*parts, strict=True)
    ]
    table.add_column(", ".join(usual[1:]), no_wrap=True)
    for side in sides:
        table.add_column(f"{side}\n{_line('bytes', 'temp', 'n', 'time')}", no_wrap=True)
    for key, part in zip(groups, parts, strict=True):
        unusual = [text for text, other in zip(part, usual, strict=True) if text != other]
        table.add_row(" ".join((key[0], *unusual)), *(_cell(groups[key].get(s)) for s in sides))
    return table


def _cell(row: Row | None) -> str:
    if row is None:
        return _line("-", "", "", "")
    if "error" in row.values:
        return "error"
    over, seconds = _over_floor(row), row.values.get("estimated_seconds")
    temp = row.values["temp_bytes"] / row.input_bytes
    line = _line(
        "-" if over is None else f"{over:.2f}",
        f"{temp:.1%}" if temp < 0.1 else f"{temp:.0%}",
        str(row.values["kernels"]),
        "-" if seconds is None else tables.time(seconds),
    )
    return f"[red]{line[:5]}[/red]{line[5:]}" if over is not None and over > LIMIT else line


def _line(over: str, temp: str, kernels: str, time: str) -> str:
    return f"{over:>5} {temp:>6} {kernels:>3} {time:>7}"


def _over_floor(row: Row) -> float | None:
    moved, floor = row.values.get("bytes"), row.values.get("floor_bytes")
    return moved / floor if moved is not None and floor else None


def _means(record: Record, sides: list[str]) -> Table:
    """Over the losses that a library shares with lossjax, beside lossjax for the same ones."""
    table = Table(title=f"bytes over the floor: {LABEL}", title_justify="left", box=box.SIMPLE_HEAD)
    table.caption = "geometric means over the losses that both have"
    table.add_column("target")
    table.add_column(f"{OURS.name}\nwithin {LIMIT - 1:.0%}", justify="right")
    others = [side for side in sides if side != OURS.name]
    for side in others:
        table.add_column(side, justify="right")
        table.add_column(f"{OURS.name}\nfor these", justify="right")
    groups = record.groups().values()
    for target in dict.fromkeys(row.target for row in record.rows):
        found = [
            {side: over for side, row in rows.items() if (over := _over_floor(row)) is not None}
            for rows in groups
            if next(iter(rows.values())).target == target
        ]
        ours = [ratios[OURS.name] for ratios in found if OURS.name in ratios]
        cells = [f"{sum(over <= LIMIT for over in ours)} of {len(ours)}"]
        for side in others:
            both = [ratios for ratios in found if {side, OURS.name} <= set(ratios)]
            for name in (side, OURS.name):
                mean = geometric_mean(ratios[name] for ratios in both)
                cells.append("-" if mean is None else f"{mean:.2f}")
        table.add_row(target, *cells)
    return table


tables.TABLES["devices"] = show
