"""`python -m bench memory`: what the compiled value-and-gradient needs beside inputs and result."""

import argparse
import math

import jax

from bench import contest, environment, options
from bench.cases import Case
from bench.harness import Progress
from bench.peers import JaxPeer
from bench.progress import collect
from bench.record import Record, Row, one_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add_cases(parser, (options.LARGE,), jax_only=True)


def run(args: argparse.Namespace) -> Record:
    began = environment.start()
    peers, missing = options.chosen_jax_peers(args)

    def work(case: Case, progress: Progress) -> list[Row]:
        return [row for peer in peers for row in rows(case, peer)]

    found = collect(options.chosen_cases(args), lambda case: case.name, work)
    return environment.record("memory", args.argv, began, missing, found)


def rows(case: Case, peer: JaxPeer) -> list[Row]:
    """One row, or none if the peer lacks the loss."""
    try:
        function = peer.function(case)
        if function is None:
            return []
        y_true, y_pred, *weights = structs = case.structs()
        program = jax.jit(jax.value_and_grad(function, argnums=1)).lower(*structs).compile()
        analysis = program.memory_analysis()
        # What the backward pass is handed, inputs that it needs again among it.
        kept = jax.eval_shape(
            lambda t, p, *w: jax.vjp(lambda p: function(t, p, *w), p)[1], y_true, y_pred, *weights
        )
    except Exception as error:  # whatever a peer fails with, the others go on
        return [contest.row(case, peer.name, error=one_line(error))]
    residual = sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(kept))
    if analysis is None:
        return [contest.row(case, peer.name, error="XLA tells no memory of this device")]
    temp = analysis.temp_size_in_bytes
    return [contest.row(case, peer.name, temp_bytes=temp, residual_bytes=residual)]
