"""`python -m bench losses`: value and gradient of every loss, beside peers and the floor."""

import argparse
import itertools

from bench import contest, environment, options
from bench.cases import Case
from bench.harness import Progress
from bench.progress import collect
from bench.record import Record, Row


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add_cases(parser, (options.LARGE, options.SMALL))
    options.add_rounds(parser, rounds=25, seconds=10)
    parser.add_argument(
        "--traced", action="store_true", help="also time the loss as an argument of the program"
    )


def run(args: argparse.Namespace) -> Record:
    began = environment.start()
    peers, missing = options.chosen_peers(args)

    def work(group: list[Case], progress: Progress) -> list[Row]:
        return contest.timed(group, peers, args.rounds, args.seconds * len(group), progress)

    # The weightings of one loss share their rounds, so that they can be compared too.
    groups = [list(found) for _, found in itertools.groupby(options.chosen_cases(args), _inputs)]
    rows = collect(groups, lambda group: group[0].name, work)
    return environment.record("losses", args.argv, began, missing, rows)


def _inputs(case: Case) -> tuple[object, ...]:
    return case.loss, case.shape, case.dtype
