"""`python -m bench devices`: what XLA makes of every loss for chips that are not here."""

import argparse
import dataclasses
import functools
from collections.abc import Sequence

from bench import ahead, options
from bench.cases import FEATURES, Case, LinearCase
from bench.every_case import LARGE
from bench.harness import Progress
from bench.jobs import Job, Plan
from bench.peers import Peer
from bench.record import Row
from lossjax.devices import TARGETS, Target

SHORT = {name.removeprefix("tpu "): target for name, target in TARGETS.items()}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add_cases(parser, (LARGE,), jax_only=True)
    add = parser.add_argument
    add("--targets", nargs="+", choices=SHORT, default=[*SHORT], help="default: all")
    text = f"of the hidden states of LinearCrossEntropy (default: {FEATURES})"
    add("--features", type=options.count, default=FEATURES, help=text)


def plan(args: argparse.Namespace) -> Plan:
    compiler = ahead.Compiler()
    cases = [
        dataclasses.replace(case, features=args.features) if isinstance(case, LinearCase) else case
        for case in options.chosen_cases(args)
    ]
    targets = [SHORT[name] for name in dict.fromkeys(args.targets)]
    problems = {target.name: why for target in targets if (why := _problem(target, compiler))}
    if len(problems) == len(targets):
        lines = (f"cannot compile for {name}: {why}" for name, why in problems.items())
        raise ValueError("\n".join(f"bench: {line}" for line in lines))
    peers, missing = options.chosen_peers(args)
    usable = [target.name for target in targets if target.name not in problems]
    jobs = [
        Job(f"{target} {case.name}", functools.partial(_rows, compiler, target, case, peers))
        for target in usable
        for case in cases
    ]
    return Plan(jobs, missing | problems)


def _problem(target: Target, compiler: ahead.Compiler) -> str | None:
    """Why nothing can be compiled for a target."""
    command = target.missing()
    if command is not None:
        return f"its compiler is not installed: {command}, in an environment of its own"
    return compiler.values(ahead.Job(target.name)).get("error")


def _rows(
    compiler: ahead.Compiler, target: str, case: Case, peers: Sequence[Peer], progress: Progress
) -> list[Row]:
    """One for each program; a library without the loss has none."""
    found = {peer.name: compiler.values(ahead.Job(target, case, peer.name)) for peer in peers}
    return [Row(*case.key, name, target, values) for name, values in found.items() if values]
