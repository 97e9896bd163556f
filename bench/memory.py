"""`python -m bench memory`: what the compiled value-and-gradient needs beside inputs and result."""

import argparse
import functools
import math
from collections.abc import Sequence

import jax

from bench import contest, harness, options
from bench.cases import Case
from bench.jobs import Job, Plan
from bench.peers import Peer
from bench.record import Row, attempted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add_cases(parser, (options.LARGE,), jax_only=True)


def plan(args: argparse.Namespace) -> Plan:
    peers, missing = options.chosen_peers(args)
    cases = options.chosen_cases(args)
    return Plan(
        [Job(case.name, functools.partial(weighed, case, peers)) for case in cases], missing
    )


def weighed(case: Case, peers: Sequence[Peer], progress: harness.Progress) -> list[Row]:
    """One row of each library that has the loss."""
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
