"""`python -m bench compile`: the first call, from tracing to a result, with nothing cached."""

import argparse
import functools
import time
from collections.abc import Sequence

import jax

from bench import contest, harness, options
from bench.cases import Case
from bench.jobs import Job, Plan
from bench.peers import Peer
from bench.record import Row


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add_cases(parser, (options.SMALL,), jax_only=True)
    options.add_rounds(parser, rounds=9, seconds=60)


def plan(args: argparse.Namespace) -> Plan:
    jax.config.update("jax_enable_compilation_cache", False)  # nor what is cached on disk
    peers, missing = options.chosen_peers(args)
    how = peers, args.rounds, args.seconds
    cases = options.chosen_cases(args)
    return Plan([Job(c.name, functools.partial(first_calls, c, *how)) for c in cases], missing)


def first_calls(
    case: Case, peers: Sequence[Peer], rounds: int, seconds: float, progress: harness.Progress
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
        start = time.perf_counter()
        peer.wait(run(*inputs))
        return time.perf_counter() - start

    able = [key for key in contestants if key[1] in by_name]
    samples = harness.interleave(able, take, rounds, seconds, progress=progress)
    return contest.rows([case], [*by_name], "first_call_seconds", samples, errors)
