"""Cases and peers become contestants, and their samples become rows of a record."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import jax
import numpy as np

from bench import agreement, harness
from bench.cases import Case
from bench.peers import OURS, Peer
from bench.record import FLOOR, Row, one_line

Key: TypeAlias = tuple[Case, str]
Arrays: TypeAlias = tuple[Any, ...]


def enter(
    cases: Iterable[Case], peers: Sequence[Peer]
) -> tuple[dict[Key, harness.Contestant], dict[Key, str]]:
    """Who can be timed, and what is wrong with the others. The first peer is the reference."""
    contestants: dict[Key, harness.Contestant] = {}
    errors: dict[Key, str] = {}
    shared: dict[Any, Arrays] = {}
    for peer in peers:
        peer.forget()
    for case in cases:
        inputs = case.inputs()
        reference = None
        for peer in peers:
            try:
                run = peer.value_and_grad(case)
                if run is None:
                    continue
                arrays = _put(peer, case, inputs, shared)
                result = peer.host(run(*arrays))
            except Exception as error:  # whatever a peer fails with, the others go on
                errors[case, peer.name] = one_line(error)
                if reference is None:
                    break
                continue
            reference = reference or result
            if wrong := agreement.disagreement(case, result, reference):
                errors[case, peer.name] = wrong
            else:
                contestants[case, peer.name] = _contestant(run, arrays, peer)
        if move := floor(case):
            contestants[case, FLOOR] = _contestant(move, _put(OURS, case, inputs, shared), OURS)
    return contestants, errors


def floor(case: Case) -> Callable[..., jax.Array] | None:
    """The least work: the inputs read once, one array written.

    `y_true + y_pred`, or `y_pred + 1` where labels are one number a row and cost next to
    nothing; None where a loss does more than stream, and bytes tell nothing.
    """
    if not case.is_elementwise:
        return None

    @jax.jit
    def move(y_true: Any, y_pred: Any, *weights: Any) -> Any:
        truths = {y.shape: y for y in jax.tree.leaves(y_true)}
        return jax.tree.map(lambda p: p + truths.get(p.shape, 1), y_pred)

    return move


def _put(
    peer: Peer, case: Case, inputs: tuple[np.ndarray, ...], shared: dict[Any, Arrays]
) -> Arrays:
    """Peers of one kind, and the weightings of one loss, share their arrays."""
    key = (peer.arrays, case.loss, case.shape, case.dtype)
    if key not in shared:
        shared[key] = peer.put(inputs[:2])
    return *shared[key], *peer.put(inputs[2:])


def _contestant(run: Callable[..., Any], arrays: Arrays, peer: Peer) -> harness.Contestant:
    queued = jax.default_backend() != "cpu"
    return harness.Contestant(lambda: run(*arrays), peer.wait, queued)


def timed(
    cases: Iterable[Case],
    peers: Sequence[Peer],
    rounds: int,
    seconds: float,
    progress: harness.Progress,
    own: Iterable[Case] = (),
) -> list[Row]:
    """Check, then time all `cases`, and lossjax alone on its `own`, in the same rounds.

    `seconds` are for all of them.
    """
    contestants, errors = enter(cases, peers)
    more, wrong = enter(own, [OURS])
    samples = harness.measure(contestants | more, rounds, seconds, progress=progress)
    return rows("seconds", samples, errors | wrong)


def rows(what: str, samples: Mapping[Key, Sequence[float]], errors: Mapping[Key, str]) -> list[Row]:
    """The samples, called `what`, or the error of every implementation that has the loss."""
    found = {key: {what: [*map(rounded, some)]} for key, some in samples.items()}
    failed = {key: {"error": error} for key, error in errors.items()}
    return [row(*key, **values) for key, values in (found | failed).items()]


def rounded(sample: float) -> float:
    """Five digits are more than a clock has."""
    return float(f"{sample:.5g}")


def row(case: Case, implementation: str, **values: Any) -> Row:
    """A row of what was measured here."""
    return Row(*case.key, implementation, jax.default_backend(), values)
