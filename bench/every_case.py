"""The commands that do one thing with every case: `losses`, `scaling`, `memory` and `compile`."""

import argparse
import functools
import itertools
import math
import time
from collections.abc import Sequence
from typing import Any

import jax

from bench import contest, harness, options
from bench.cases import Case
from bench.jobs import Job, Plan
from bench.peers import TRACED, Peer
from bench.record import Row, attempted

LARGE, SMALL = (2048, 4096), (256, 128)
SHAPES = {"losses": (LARGE, SMALL), "scaling": (LARGE,), "memory": (LARGE,), "compile": (SMALL,)}
ROUNDS = {"losses": (25, 10), "scaling": (15, 60), "compile": (9, 60)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    command = parser.prog.split()[-1]
    options.add_cases(parser, SHAPES[command], jax_only=command in ("memory", "compile"))
    if command in ROUNDS:
        options.add_rounds(parser, *ROUNDS[command])
    if command == "losses":
        text = "also time the loss as an argument of the program"
        parser.add_argument("--traced", action="store_true", help=text)
    if command == "scaling":
        parser.set_defaults(peers=[])  # eleven sizes beside every peer take an hour
        text = "sizes of y_pred as powers of two; the width is that of --shapes (default: 16 26)"
        how: dict[str, Any] = {"type": int, "default": [16, 26], "metavar": ("FIRST", "LAST")}
        parser.add_argument("--elements", nargs=2, help=text, **how)


def plan(args: argparse.Namespace) -> Plan:
    """Cases that are to be compared share their rounds: all weightings, or all sizes, of a loss."""
    command = args.argv[0]
    if command == "scaling":
        args.shapes = [size for shape in args.shapes for size in sizes(shape, *args.elements)]
    peers, missing = options.chosen_peers(args)
    cases = options.chosen_cases(args)
    if command in ("memory", "compile"):
        how = {name: getattr(args, name) for name in ("rounds", "seconds") if name in args}
        work = functools.partial(first_calls if how else weighed, peers=peers, **how)
        return Plan([Job(case.name, functools.partial(work, case)) for case in cases], missing)
    if command == "scaling":  # a loss that has shapes of its own has no sizes
        cases = sorted((case for case in cases if case.is_elementwise), key=_curve)
    elif args.traced:
        peers.insert(1, TRACED)
    jobs = []
    for _, group in itertools.groupby(cases, _curve if command == "scaling" else _inputs):
        some = [*group]
        seconds = args.seconds * (1 if command == "scaling" else len(some))
        work = functools.partial(contest.timed, some, peers, args.rounds, seconds)
        jobs.append(Job(some[0].name, work))
    return Plan(jobs, missing)


def _inputs(case: Case) -> tuple[object, ...]:
    return case.loss, case.shape, case.dtype


def _curve(case: Case) -> tuple[str, ...]:
    return case.name, case.dtype, case.weighting


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


def weighed(case: Case, progress: harness.Progress, peers: Sequence[Peer]) -> list[Row]:
    """What the compiled program of each library that has the loss needs beside its arrays."""
    found = {peer.name: attempted(_bytes, case, peer) for peer in peers}
    return [contest.row(case, name, **values) for name, values in found.items() if values]


def _bytes(case: Case, peer: Peer) -> dict[str, int]:
    function = peer.function(case)
    if function is None:
        return {}
    y_true, y_pred, *weights = structs = case.structs()
    program = jax.jit(jax.value_and_grad(function, argnums=1)).lower(*structs).compile()
    analysis = program.memory_analysis()
    if analysis is None:
        raise ValueError("XLA tells no memory of this device")
    # What the backward pass is handed, inputs that it needs again among it.
    kept = jax.eval_shape(
        lambda t, p, *w: jax.vjp(lambda p: function(t, p, *w), p)[1], y_true, y_pred, *weights
    )
    residual = sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(kept))
    return {"temp_bytes": analysis.temp_size_in_bytes, "residual_bytes": residual}


def first_calls(
    case: Case, progress: harness.Progress, peers: Sequence[Peer], rounds: int, seconds: float
) -> list[Row]:
    """From tracing to a result, with nothing cached: after the same check that timings have."""
    jax.config.update("jax_enable_compilation_cache", False)  # nor what is cached on disk
    contestants, errors = contest.enter([case], peers)
    inputs = peers[0].put(case.inputs())
    able = {(case, peer.name): peer for peer in peers if (case, peer.name) in contestants}

    def take(key: contest.Key) -> float:
        jax.clear_caches()
        run = able[key].value_and_grad(case)
        assert run is not None  # it has passed the check
        return harness.Contestant(lambda: run(*inputs), able[key].wait).batch(1, time.perf_counter)

    samples = harness.interleave(able, take, rounds, seconds, progress=progress)
    return contest.rows("first_call_seconds", samples, errors)
