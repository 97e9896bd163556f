"""`python -m bench elsewhere`: losses beside the calls of other libraries that equal them."""

import argparse
import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import contest, options
from bench.cases import Case, find, fitted
from bench.every_case import LARGE
from bench.jobs import Job, Plan
from bench.peers import OURS, Peer
from bench.peers.calls import OF_JAX, OF_TORCH, JaxCalls, TorchCalls
from lossjax import losses

# As `tests/elsewhere/generate.py` writes them, from the rows.
RECORDS = Path(__file__).parents[1] / "tests" / "elsewhere"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add_shapes(parser, (LARGE,))
    options.add_rounds(parser, 15, 10)


def plan(args: argparse.Namespace) -> Plan:
    jobs: list[Job] = []
    missing: dict[str, str] = {}
    for name, peers in calls(args.losses).items():
        here: list[Peer] = [OURS]
        for peer in peers:
            missing |= {peer.name: peer.missing} if peer.missing else {}
            here += [] if peer.missing else [peer]
        for shape in args.shapes if len(here) > 1 else ():
            loss = eval(name, {"losses": losses})  # of this repository's own rows
            case = Case(loss, fitted(loss, shape))
            work = functools.partial(contest.timed, [case], here, args.rounds, args.seconds)
            jobs.append(Job(case.name, work))
    return Plan(jobs, missing)


def calls(names: list[str] | None) -> dict[str, list[Peer]]:
    """By each loss as it is written: the call of every library that has a gradient for it."""
    wanted = names and {find(name).__name__ for name in names}
    found: dict[str, list[Peer]] = {}
    for record in _records():
        ours, library = record["ours"], record["library"]
        name = ours.partition("(")[0].removeprefix("losses.")
        kind = JaxCalls if library in OF_JAX else TorchCalls if library in OF_TORCH else None
        if kind is None or "[" in ours or (wanted and name not in wanted):
            continue  # numbers of each class fit one number of classes
        peers = found.setdefault(ours, [])
        if library not in [peer.name for peer in peers]:
            peers.append(kind(library, record["call"], record["times"]))
    return found


def _records() -> Iterator[dict[str, Any]]:
    for path in sorted(RECORDS.glob("*.json")):
        yield from json.loads(path.read_text(encoding="utf-8")).values()
