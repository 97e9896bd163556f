"""Inputs at the edges, for each kind of input that losses take."""

from collections.abc import Iterator
from typing import NamedTuple

import ml_dtypes
import numpy as np

from lossjax import Loss, testing

PROBABILITIES, BIG, INFINITE = "probabilities 0 and 1", "±1e4", "±inf"
ZERO, TIES = "zero vectors", "ties"
HALF = {np.float16: "float16 extremes", ml_dtypes.bfloat16: "bfloat16 extremes"}
EMPTY, ONE, RAGGED = "empty batch", "one class", "ragged sizes"
MASKED, WEIGHTLESS = "all masked", "weights all zero"
BEHIND_MASK, BEHIND_ZERO = "behind a mask", "behind a weight of 0"
GROUPS = (
    *(PROBABILITIES, BIG, INFINITE, ZERO, TIES, *HALF.values(), ONE, RAGGED),
    *(EMPTY, MASKED, WEIGHTLESS, BEHIND_MASK, BEHIND_ZERO),
)

inf, nan = np.inf, np.nan
LARGE = 1e4
# A class a row, of three; and the mass on another class.
RIGHT = np.eye(3, dtype=np.float32)
WRONG = np.roll(RIGHT, 1, axis=-1)
LABELS = np.arange(3, dtype=np.int32)
FIXED = np.float32([[0.5, -1.5, 2.0], [1.0, 0.25, -0.75], [-2.5, 1.25, 0.5]])
SHARES = np.float32([[0.5, 0.375, 0.125], [0.25, 0.5, 0.25], [0.125, 0.125, 0.75]])
UNIT = FIXED / np.linalg.norm(FIXED, axis=-1, keepdims=True)
CLASSES = np.int32([0, 0, 1])
SEQUENCES = np.int32([[1, 2], [1, 1], [2, 0]])  # 0 is the blank, and ends them
STEPS = 4


class Point(NamedTuple):
    """One batch; `group` is its table, `name` tells it from others there."""

    group: str
    name: str
    y_true: np.ndarray
    y_pred: np.ndarray
    weighting: str = "none"  # or "weight", "mask"
    weights: np.ndarray | None = None  # one number, or whether it counts, a sample


def points(loss: Loss) -> Iterator[Point]:
    """All for a loss with its options."""
    domain = testing.domain_of(loss).name
    domain = "label logits" if domain == "hidden" else domain
    edges = EDGES.get(type(loss).__name__) or EDGES[domain]
    for group, name, y_true, y_pred in edges():
        yield Point(group, name, *_arrays(y_true, y_pred))
    for dtype, group in HALF.items():
        for name, y_true, y_pred in EXTREMES[domain](ml_dtypes.finfo(dtype)):
            y_true, y_pred = _arrays(y_true, y_pred)
            yield Point(group, name, y_true, y_pred.astype(dtype))
    yield from _of_batches(domain)
    yield from _of_weights(domain)


def _arrays(y_true, y_pred):
    y_true, y_pred = np.asarray(y_true), np.asarray(y_pred, np.float32)
    return y_true if y_true.dtype == np.int32 else y_true.astype(np.float32), y_pred


# --- the edges of each kind: (group, name, y_true, y_pred) --------------------------------------


def _real():
    zeros = 0 * FIXED
    yield BIG, "y_pred", FIXED, np.where(FIXED > 0, LARGE, -LARGE)
    yield BIG, "y_true", np.where(FIXED > 0, LARGE, -LARGE), FIXED
    yield INFINITE, "y_pred = inf", FIXED, np.where(RIGHT, inf, FIXED)
    yield INFINITE, "y_pred = -inf", FIXED, np.where(RIGHT, -inf, FIXED)
    yield ZERO, "y_pred", FIXED, zeros
    yield ZERO, "y_true", zeros, FIXED
    yield ZERO, "both", zeros, zeros
    yield TIES, "y_pred = y_true", FIXED, FIXED


def _vector():
    """An infinite vector has no direction."""
    return _finite(_real())


def _finite(edges):
    return (edge for edge in edges if edge[0] != INFINITE)


def _positive():
    return ((group, name, abs(t), abs(p)) for group, name, t, p in _vector())


def _sign():
    signs = np.where(FIXED > 0, 1, -1)
    yield BIG, "right", signs, LARGE * signs
    yield BIG, "wrong", signs, -LARGE * signs
    yield INFINITE, "right", signs, inf * signs
    yield INFINITE, "wrong", signs, -inf * signs
    yield ZERO, "y_pred", signs, 0 * FIXED
    yield TIES, "on the margin", signs, signs


def _binary():
    yield PROBABILITIES, "0", RIGHT, 0 * RIGHT
    yield PROBABILITIES, "1", RIGHT, 0 * RIGHT + 1
    yield PROBABILITIES, "y_pred = y_true", RIGHT, RIGHT
    yield ZERO, "both", 0 * RIGHT, 0 * RIGHT
    yield TIES, "0.5", RIGHT, 0 * RIGHT + 0.5


def _binary_logits():
    signs = 2 * RIGHT - 1
    yield BIG, "right", RIGHT, LARGE * signs
    yield BIG, "wrong", RIGHT, -LARGE * signs
    yield INFINITE, "right", RIGHT, inf * signs
    yield INFINITE, "wrong", RIGHT, -inf * signs
    yield ZERO, "y_pred", RIGHT, 0 * RIGHT


def _shares(y_true):
    yield PROBABILITIES, "on the right class", y_true, RIGHT
    yield PROBABILITIES, "on a wrong class", y_true, WRONG
    yield ZERO, "y_pred", y_true, 0 * RIGHT
    yield TIES, "all alike", y_true, 0 * RIGHT + 1 / 3


def _scores(y_true):
    yield BIG, "right", y_true, LARGE * (2 * RIGHT - 1)
    yield BIG, "wrong", y_true, LARGE * (1 - 2 * RIGHT)
    yield INFINITE, "inf on the right class", y_true, np.where(RIGHT, inf, FIXED)
    yield INFINITE, "inf on a wrong class", y_true, np.where(WRONG, inf, FIXED)
    yield INFINITE, "-inf on a wrong class", y_true, np.where(WRONG, -inf, FIXED)
    yield INFINITE, "-inf on the right class", y_true, np.where(RIGHT, -inf, FIXED)
    yield INFINITE, "-inf everywhere", y_true, 0 * RIGHT - inf
    yield TIES, "all alike", y_true, 0 * RIGHT + 1
    yield ZERO, "y_pred", y_true, 0 * RIGHT


def _distribution():
    yield from _shares(RIGHT)
    yield ZERO, "y_true", 0 * RIGHT, SHARES
    yield ZERO, "both", 0 * RIGHT, 0 * RIGHT
    yield TIES, "y_pred = y_true", SHARES, SHARES


def _embedding():
    yield ZERO, "y_pred", CLASSES, 0 * FIXED
    yield TIES, "all alike", CLASSES, 0 * FIXED + RIGHT[0]
    yield TIES, "of one class", 0 * CLASSES, UNIT
    yield TIES, "of a class each", LABELS, UNIT


def _sequence():
    blank, _, other = (np.broadcast_to(row, (3, STEPS, 3)) for row in RIGHT)
    signs = np.where(np.arange(STEPS) % 2, 1, -1)[:, None]
    yield BIG, "on the blank", SEQUENCES, LARGE * blank
    yield BIG, "alternating", SEQUENCES, LARGE * signs * blank
    yield INFINITE, "inf on the blank", SEQUENCES, np.where(blank, inf, 0)
    yield INFINITE, "-inf on a class", SEQUENCES, np.where(other, -inf, 0)
    yield TIES, "all alike", SEQUENCES, 0 * blank
    yield ZERO, "no label", 0 * SEQUENCES, blank


EDGES = {
    "real": _real,
    "positive": _positive,
    "count": _positive,
    "sign": _sign,
    "binary": _binary,
    "region": _binary,
    "binary logits": _binary_logits,
    "class": lambda: _shares(RIGHT),
    "label": lambda: _shares(LABELS),
    "distribution": _distribution,
    "class logits": lambda: _scores(RIGHT),
    "label logits": lambda: _scores(LABELS),
    "score": lambda: _scores(RIGHT),
    "embedding": _embedding,
    "sequence": _sequence,
    "CosineSimilarity": _vector,
    # A product of matrices with an infinite entry is NaN.
    "LinearCrossEntropy": lambda: _finite(_scores(LABELS)),
}


# --- 16 bits: (name, y_true, y_pred) for the limits of a dtype ----------------------------------


def _real16(limits):
    top, least = float(limits.max), float(limits.smallest_normal)
    yield "largest", 0 * FIXED, np.where(FIXED > 0, top, -top)
    yield "smallest", 0 * FIXED, np.where(FIXED > 0, least, -least)


def _positive16(limits):
    for name, y_true, y_pred in _real16(limits):
        yield name, y_true, abs(y_pred)


def _sign16(limits):
    signs = np.where(FIXED > 0, 1, -1)
    for name, _, y_pred in _real16(limits):
        yield name, signs, y_pred
        yield f"{name}, wrong", signs, -y_pred


def _binary16(limits):
    least, near = float(limits.smallest_normal), 1 - float(limits.epsneg)
    for name, value in (("smallest", least), ("just below 1", near)):
        yield name, RIGHT, 0 * RIGHT + value


def _binary_logits16(limits):
    for name, sign in (("largest, right", 1), ("largest, wrong", -1)):
        yield name, RIGHT, sign * float(limits.max) * (2 * RIGHT - 1)


def _shares16(y_true):
    def of(limits):
        least, near = float(limits.smallest_normal), 1 - float(limits.epsneg)
        yield "just below 1 on the right class", y_true, np.where(RIGHT, near, least)
        yield "smallest on the right class", y_true, np.where(WRONG, near, least)

    return of


def _scores16(y_true):
    def of(limits):
        for name, sign in (("largest, right", 1), ("largest, wrong", -1)):
            yield name, y_true, sign * float(limits.max) * (2 * RIGHT - 1)

    return of


def _embedding16(limits):
    yield "smallest", CLASSES, 0 * FIXED + float(limits.smallest_normal)
    yield "unit", CLASSES, WRONG


def _sequence16(limits):
    scores = float(limits.max) * (1 - RIGHT[0])
    yield "largest", SEQUENCES, np.broadcast_to(scores, (3, STEPS, 3))


EXTREMES = {
    "real": _real16,
    "positive": _positive16,
    "count": _positive16,
    "sign": _sign16,
    "binary": _binary16,
    "region": _binary16,
    "binary logits": _binary_logits16,
    "class": _shares16(RIGHT),
    "label": _shares16(LABELS),
    "distribution": _shares16(RIGHT),
    "class logits": _scores16(RIGHT),
    "label logits": _scores16(LABELS),
    "score": _scores16(RIGHT),
    "embedding": _embedding16,
    "sequence": _sequence16,
}


# --- ordinary numbers in unusual batches, and behind weights ------------------------------------


def _drawn(domain, shape):
    y_true, y_pred = testing.draw(domain, shape)
    return y_true.astype(np.int32) if y_true.dtype.kind == "i" else y_true, y_pred


def _of_batches(domain):
    middle = (STEPS,) if domain == "sequence" else ()
    y_true, y_pred = _drawn(domain, (3, *middle, 3))
    yield Point(EMPTY, "", y_true[:0], y_pred[:0])
    if domain != "sequence":  # its blank is a class
        yield Point(ONE, "", *_drawn(domain, (3, 1)))
        yield Point(RAGGED, "7 × 7", *_drawn(domain, (7, 7)))


def _of_weights(domain):
    middle = (STEPS,) if domain == "sequence" else ()
    y_true, y_pred = _drawn(domain, (3, *middle, 3))
    zero, none = np.zeros(3, np.float32), np.zeros(3, bool)
    yield Point(MASKED, "", y_true, y_pred, "mask", none)
    yield Point(WEIGHTLESS, "", y_true, y_pred, "weight", zero)
    kept = np.array([True, False, True])
    for bad in (nan, inf):
        poisoned = y_pred.copy()
        poisoned[1] = bad
        name = f"{bad} in y_pred"
        yield Point(BEHIND_MASK, name, y_true, poisoned, "mask", kept)
        yield Point(BEHIND_ZERO, name, y_true, poisoned, "weight", np.float32(kept))
