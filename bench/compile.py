"""`python -m bench compile`: the first call, from tracing to a result, with nothing cached."""

import argparse
import time

import jax

from bench import contest, environment, harness, options
from bench.cases import Case
from bench.harness import Progress
from bench.peers import JaxPeer
from bench.progress import collect
from bench.record import Record, Row


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add_cases(parser, (options.SMALL,), jax_only=True)
    options.add_rounds(parser, rounds=9, seconds=60)


def run(args: argparse.Namespace) -> Record:
    jax.config.update("jax_enable_compilation_cache", False)  # nor what is cached on disk
    began = environment.start()
    peers, missing = options.chosen_jax_peers(args)

    def work(case: Case, progress: Progress) -> list[Row]:
        return first_calls(case, peers, args.rounds, args.seconds, progress)

    rows = collect(options.chosen_cases(args), lambda case: case.name, work)
    return environment.record("compile", args.argv, began, missing, rows)


def first_calls(
    case: Case,
    peers: list[JaxPeer],
    rounds: int,
    seconds: float,
    progress: Progress,
    clock: harness.Clock = time.perf_counter,
) -> list[Row]:
    """Interleaved, after the same check that timings have."""
    contestants, errors = contest.enter([case], peers)
    inputs = peers[0].put(case.inputs())

    by_name = {peer.name: peer for peer in peers}

    def take(key: contest.Key) -> float:
        peer = by_name[key[1]]
        jax.clear_caches()
        run = peer.value_and_grad(case)
        assert run is not None  # it has passed the check
        start = clock()
        peer.wait(run(*inputs))
        return clock() - start

    able = [(case, name) for name in by_name if (case, name) in contestants]
    samples = harness.interleave(able, take, rounds, seconds, clock=clock, progress=progress)
    return contest.rows([case], list(by_name), "first_call_seconds", samples, errors)
