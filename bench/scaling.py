"""`python -m bench scaling`: time per element, from small inputs to large ones."""

import argparse
import functools
import itertools
import math

from bench import contest, options
from bench.cases import Case
from bench.jobs import Job, Plan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add_cases(parser, (options.LARGE,))
    options.add_rounds(parser, rounds=15, seconds=60)
    parser.set_defaults(peers=[])  # eleven sizes beside every peer take an hour
    parser.add_argument(
        "--elements",
        nargs=2,
        type=int,
        default=[16, 26],
        metavar=("FIRST", "LAST"),
        help="sizes of y_pred as powers of two; the width is that of --shapes (default: 16 26)",
    )


def plan(args: argparse.Namespace) -> Plan:
    """All sizes of a loss share their rounds; a loss that has shapes of its own has no sizes."""
    args.shapes = [size for shape in args.shapes for size in sizes(shape, *args.elements)]
    peers, missing = options.chosen_peers(args)
    cases = [case for case in options.chosen_cases(args) if case.is_elementwise]
    jobs = []
    for (name, *_), group in itertools.groupby(sorted(cases, key=_curve), _curve):
        how = peers, args.rounds, args.seconds
        jobs.append(Job(name, functools.partial(contest.timed, list(group), *how)))
    return Plan(jobs, missing)


def sizes(shape: tuple[int, ...], first: int, last: int) -> list[tuple[int, ...]]:
    """Shapes of 2**first to 2**last elements, that differ from `shape` in their rows."""
    width = math.prod(shape[1:])
    rows = [2**power // width for power in range(first, last + 1)]
    if not rows or rows[0] < 1 or rows[0] * width != 2**first:
        raise ValueError(
            f"bench: rows of {width} make 2**{first} to 2**{last} elements only if these are in "
            f"this order and {width} divides the first. Choose another --shapes or --elements."
        )
    return [(n, *shape[1:]) for n in rows]


def _curve(case: Case) -> tuple[str, ...]:
    return case.name, case.dtype, case.weighting
