"""Arguments that several commands take."""

import argparse
from collections.abc import Sequence
from typing import Any

from bench.cases import Case, cases
from bench.peers import OURS, PEERS, JaxPeer, Peer
from bench.record import BYTES, WEIGHTINGS


def shape(text: str) -> tuple[int, ...]:
    sizes = text.lower().split("x")
    if len(sizes) < 2 or not all(size.isdecimal() and int(size) > 0 for size in sizes):
        raise argparse.ArgumentTypeError(
            f"a shape like 2048x4096 is required (rows first), got {text!r}"
        )
    return tuple(map(int, sizes))


def positive(text: str) -> float:
    if not float(text) > 0:
        raise argparse.ArgumentTypeError(f"a number above 0 is required, got {text}")
    return float(text)


def count(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"a number from 1 is required, got {text}")
    return int(text)


def add_cases(
    parser: argparse.ArgumentParser, shapes: tuple[tuple[int, ...], ...], jax_only: bool = False
) -> None:
    """What is measured, beside whom, on what."""
    names = [p.name for p in PEERS if p is not OURS and (isinstance(p, JaxPeer) or not jax_only)]
    add_shapes(parser, shapes)
    add = parser.add_argument
    add("--dtype", nargs="+", choices=BYTES, default=["float32"], help="of the inputs")
    add("--weightings", nargs="+", choices=WEIGHTINGS, default=["none"], help="one number a row")
    add("--peers", nargs="*", choices=names, default=names, help="libraries beside lossjax")


def add_shapes(parser: argparse.ArgumentParser, shapes: tuple[tuple[int, ...], ...]) -> None:
    add = parser.add_argument
    add("--losses", nargs="+", metavar="NAME", help="class, function or other names; default: all")
    text = "shapes of y_pred; losses of pairs of rows, sequences and regions take others alike"
    how: dict[str, Any] = {"type": shape, "default": [*shapes], "metavar": "ROWSxWIDTH"}
    add("--shapes", nargs="+", help=text, **how)


def add_rounds(parser: argparse.ArgumentParser, rounds: int, seconds: float) -> None:
    """How long."""
    add = parser.add_argument
    add("--rounds", type=count, default=rounds, help=f"samples of each (default: {rounds})")
    text = f"stop a case's rounds after as many (default: {seconds:g})"
    add("--seconds", type=positive, default=seconds, help=text)


def chosen_cases(args: argparse.Namespace) -> list[Case]:
    return cases(args.losses, args.shapes, args.dtype, args.weightings)


def chosen_peers(
    args: argparse.Namespace, known: Sequence[Peer] = PEERS
) -> tuple[list[Peer], dict[str, str]]:
    """lossjax first, and those asked for that are here; and why the others are not."""
    asked = [peer for peer in known if peer.name in args.peers]
    missing = {peer.name: peer.missing for peer in asked if peer.missing}
    return [OURS, *(peer for peer in asked if not peer.missing)], missing
