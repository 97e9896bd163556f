"""`python -m bench linear-ce`: the loss of a large vocabulary, its chunks, its memory over V."""

import argparse
import dataclasses
import functools
from collections.abc import Sequence

from bench import contest, every_case, options
from bench.cases import Case, LinearCase
from bench.jobs import Job, Plan
from bench.peers import LINEAR, OURS, PEERS, JaxPeer
from lossjax import losses

NAMES = ("optax", "torch", *(peer.name for peer in LINEAR))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    text = "of the logits that are not made (default: 2048x32768)"
    add("--shape", type=options.shape, default=(2048, 32768), metavar="TOKENSxCLASSES", help=text)
    text = "tokens at a time, beside what auto chooses (default: 128 256 512 1024)"
    add("--chunks", nargs="*", type=options.count, default=[128, 256, 512, 1024], help=text)
    text = "of two, for V: where memory is read (default: 12 18)"
    add("--powers", nargs=2, type=options.count, default=[12, 18], metavar=("M", "N"), help=text)
    add("--dtype", choices=("float32", "bfloat16"), default="float32", help="of the inputs")
    add("--peers", nargs="*", choices=NAMES, default=NAMES, help="libraries beside lossjax")
    options.add_rounds(parser, rounds=15, seconds=300)


def plan(args: argparse.Namespace) -> Plan:
    peers, missing = options.chosen_peers(args, (*PEERS, *LINEAR))
    plain = LinearCase(losses.LinearCrossEntropy(), args.shape, args.dtype)
    own = _variants(plain, args.chunks)
    first, last = args.powers
    tokens, sizes = plain.shape[0], [2**power for power in range(first, last + 1)]
    curve = [dataclasses.replace(plain, shape=(tokens, size)) for size in sizes]
    how = peers, args.rounds, args.seconds
    jobs = [Job("time", functools.partial(contest.timed, [plain], *how, own=own))]
    for case in dict.fromkeys([plain, *own, *curve]):
        beside = [p for p in peers if p is OURS or (isinstance(p, JaxPeer) and case not in own)]
        work = functools.partial(every_case.weighed, case, peers=beside)
        jobs.append(Job(f"memory {case.name} {case.shape}", work))
    return Plan(jobs, missing)


def _variants(plain: Case, chunks: Sequence[int]) -> list[Case]:
    """Other chunks, and half of the tokens ignored with and without compaction."""
    half = dataclasses.replace(plain, weighting="mask")
    compact = dataclasses.replace(half, loss=losses.LinearCrossEntropy(compact=True))
    sized = (losses.LinearCrossEntropy(chunk=chunk) for chunk in chunks)
    return [*(dataclasses.replace(plain, loss=loss) for loss in sized), half, compact]
