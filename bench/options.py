"""Arguments that several commands take."""

import argparse
from collections.abc import Sequence

from bench.cases import Case, cases
from bench.peers import OURS, PEERS, JaxPeer, Peer
from bench.record import BYTES, WEIGHTINGS

LARGE, SMALL = (2048, 4096), (256, 128)


def shape(text: str) -> tuple[int, ...]:
    sizes = text.lower().split("x")
    if len(sizes) < 2 or not all(size.isdecimal() and int(size) > 0 for size in sizes):
        raise argparse.ArgumentTypeError(
            f"a shape like 2048x4096 is required (rows first), got {text!r}"
        )
    return tuple(map(int, sizes))


def positive(text: str) -> float:
    number = float(text)
    if not number > 0:
        raise argparse.ArgumentTypeError(f"a number above 0 is required, got {text}")
    return number


def count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"a number from 1 is required, got {text}")
    return number


def add_cases(
    parser: argparse.ArgumentParser, shapes: tuple[tuple[int, ...], ...], jax_only: bool = False
) -> None:
    """What is measured, beside whom, on what."""
    names = [p.name for p in PEERS if p is not OURS and (isinstance(p, JaxPeer) or not jax_only)]
    add = parser.add_argument
    add("--losses", nargs="+", metavar="NAME", help="class, function or other names; default: all")
    add(
        "--shapes",
        nargs="+",
        type=shape,
        default=list(shapes),
        metavar="ROWSxWIDTH",
        help="shapes of y_pred; losses of pairs of rows and of sequences take smaller ones alike",
    )
    add("--dtype", nargs="+", choices=BYTES, default=["float32"], help="of the inputs")
    add("--weightings", nargs="+", choices=WEIGHTINGS, default=["none"], help="one number a row")
    add("--peers", nargs="*", choices=names, default=names, help="libraries beside lossjax")


def add_rounds(parser: argparse.ArgumentParser, rounds: int, seconds: float) -> None:
    """How long."""
    add = parser.add_argument
    add("--rounds", type=count, default=rounds, help=f"samples of each (default: {rounds})")
    add(
        "--seconds",
        type=positive,
        default=seconds,
        help=f"stop a case's rounds after as many (default: {seconds:g})",
    )


def chosen_cases(args: argparse.Namespace) -> list[Case]:
    return cases(args.losses, args.shapes, args.dtype, args.weightings)


def chosen_peers(
    args: argparse.Namespace, known: Sequence[Peer] = PEERS
) -> tuple[list[Peer], dict[str, str]]:
    """lossjax first, and those asked for that are here; and why the others are not."""
    asked = [peer for peer in known if peer.name in args.peers]
    missing = {peer.name: peer.missing for peer in asked if peer.missing}
    return [OURS, *(peer for peer in asked if not peer.missing)], missing
