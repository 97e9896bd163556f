"""Inputs at the edges, for each kind of input that losses take."""

from collections.abc import Iterator
from typing import NamedTuple

import jax
import ml_dtypes
import numpy as np

from lossjax import Loss, testing
from lossjax.core.domain.base import BIG, EXTREME, INFINITE, PROBABILITIES, TIES, ZERO

HALF = {np.float16: "float16 extremes", ml_dtypes.bfloat16: "bfloat16 extremes"}
EMPTY, ONE, RAGGED = "empty batch", "one class", "ragged sizes"
MASKED, WEIGHTLESS = "all masked", "weights all zero"
BEHIND_MASK, BEHIND_ZERO = "behind a mask", "behind a weight of 0"
GROUPS = (
    *(PROBABILITIES, BIG, EXTREME, INFINITE, ZERO, TIES, *HALF.values(), ONE, RAGGED),
    *(EMPTY, MASKED, WEIGHTLESS, BEHIND_MASK, BEHIND_ZERO),
)

inf, nan = np.inf, np.nan
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
    domain = testing.domain_of(loss)
    for group, name, y_true, y_pred in domain.edges():
        yield Point(group, name, *_arrays(y_true, y_pred))
    for dtype, group in HALF.items():
        for name, y_true, y_pred in domain.extremes(ml_dtypes.finfo(dtype)):
            y_true, y_pred = _arrays(y_true, y_pred)
            yield Point(group, name, y_true, y_pred.astype(dtype))
    if domain.predicted:
        domain = testing.DOMAINS["label logits"]  # hidden states that are the logits
    yield from _of_batches(domain)
    yield from _of_weights(domain)


def _arrays(y_true, y_pred):
    y_true, y_pred = np.asarray(y_true), np.asarray(y_pred, np.float32)
    return y_true if y_true.dtype == np.int32 else y_true.astype(np.float32), y_pred


# --- ordinary numbers in unusual batches, and behind weights ------------------------------------


def _drawn(domain, shape):
    y_true, y_pred = testing.draw(domain, shape)
    if domain.is_nested:  # parameters side by side
        parts = [x.reshape(len(x), -1) for x in jax.tree.leaves(y_pred)]
        y_pred = np.concatenate(parts, -1)
    return y_true.astype(np.int32) if y_true.dtype.kind == "i" else y_true, y_pred


def _of_batches(domain):
    middle = (STEPS,) if domain.in_steps else ()
    y_true, y_pred = _drawn(domain, (3, *middle, 3))
    yield Point(EMPTY, "", y_true[:0], y_pred[:0])
    if not domain.in_steps:  # its blank is a class
        yield Point(ONE, "", *_drawn(domain, (3, 1)))
        yield Point(RAGGED, "7 × 7", *_drawn(domain, (7, 7)))


def _of_weights(domain):
    middle = (STEPS,) if domain.in_steps else ()
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
