"""`python -m bench losses`: value and gradient of every loss, beside peers and the floor."""

import argparse
import functools
import itertools

from bench import contest, options
from bench.cases import Case
from bench.jobs import Job, Plan
from bench.peers import TRACED


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add_cases(parser, (options.LARGE, options.SMALL))
    options.add_rounds(parser, rounds=25, seconds=10)
    text = "also time the loss as an argument of the program"
    parser.add_argument("--traced", action="store_true", help=text)


def plan(args: argparse.Namespace) -> Plan:
    """The weightings of one loss share their rounds, so that they can be compared too."""
    peers, missing = options.chosen_peers(args)
    if args.traced:
        peers.insert(1, TRACED)
    jobs = []
    for _, group in itertools.groupby(options.chosen_cases(args), _inputs):
        cases = list(group)
        how = peers, args.rounds, args.seconds * len(cases)
        jobs.append(Job(cases[0].name, functools.partial(contest.timed, cases, *how)))
    return Plan(jobs, missing)


def _inputs(case: Case) -> tuple[object, ...]:
    return case.loss, case.shape, case.dtype
