"""Domains whose inputs are more than one row of numbers a sample."""

import itertools
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from lossjax.core.domain.base import (
    BIG,
    FINITE,
    FIXED,
    INF,
    INFINITE,
    LABELS,
    LARGE,
    RIGHT,
    TIES,
    WRONG,
    ZERO,
    Domain,
    Edge,
    Line,
    Rule,
    Sample,
    along_axis,
    distribution,
    unit,
    with_zeros,
    without_infinity,
)
from lossjax.core.domain.classes import EQUAL_LOGITS, LOGIT, score_edges, score_extremes
from lossjax.core.types import Array

# --- embeddings, which are compared with those of other samples ----------------------------------

_CLASSES = np.array([0, 0, 1], np.int32)


def _any_number(loss: Any, y_true: Any, y_pred: Any) -> range:
    """Class numbers are compared with each other alone."""
    limits = np.iinfo(jax.dtypes.canonicalize_dtype(np.int64))
    return range(int(limits.min), int(limits.max) + 1)


def _of_pair(x: Array) -> tuple[Any, Any]:
    """An embedding, one of its class at the cosine x, and one of another class at right angles."""
    rest, zero, one = jnp.sqrt(jnp.maximum(1 - x**2, 1e-12)), jnp.zeros_like(x), jnp.ones_like(x)
    rows = [[one, zero, zero], [x, rest, zero], [zero, zero, one]]
    return jnp.asarray([0, 0, 1]), jnp.stack([jnp.stack(row) for row in rows])


def _embedding_edges() -> Iterator[Edge]:
    yield ZERO, "y_pred", _CLASSES, 0 * FIXED
    yield TIES, "all alike", _CLASSES, 0 * FIXED + RIGHT[0]
    yield TIES, "of one class", 0 * _CLASSES, unit(FIXED)
    yield TIES, "of a class each", LABELS, unit(FIXED)


def _embedding_extremes(limits: Any) -> Iterator[Sample]:
    yield "smallest", _CLASSES, 0 * FIXED + float(limits.smallest_normal)
    yield "unit", _CLASSES, WRONG


EMBEDDING = Domain(
    "embedding",
    lambda rng, s: (rng.integers(0, 3, s[0]), unit(rng.normal(size=s))),
    target="class numbers of a batch",
    classes=_any_number,
    wrong_class="Number the classes: classes, numbers = np.unique(y, return_inverse=True).",
    accuracy=None,
    in_batches=True,
    curves=(Line("", "cosine to the embedding of its class", -0.995, 0.995, _of_pair),),
    points=(
        ("one place a class", [0, 0, 1], [[1.0], [1.0], [-1.0]]),
        ("all in one place", [0, 0, 1], [[1.0], [1.0], [1.0]]),
        ("classes torn apart", [0, 0, 1], [[1.0], [-1.0], [1.0]]),
        ("a single class", [0, 0, 0], [[1.0], [-1.0], [1.0]]),
        ("no two of a class", [0, 1, 2], [[1.0], [1.0], [1.0]]),
    ),
    grid=([[0, 0, 1]], np.array([*itertools.product([[1.0], [-1.0]], repeat=3)])),
    edges=_embedding_edges,
    extremes=_embedding_extremes,
)

# --- sequences, whose labels stand at no step ----------------------------------------------------

_SEQUENCES = np.array([[1, 2], [1, 1], [2, 0]], np.int32)  # 0 is the blank, and ends them
_STEPS = 4


def _draw_sequence(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Any, Any]:
    batch, steps, classes = shape
    labels = rng.integers(1, classes, (batch, max(1, steps // 3)))
    lengths = rng.integers(0, labels.shape[1] + 1, (batch, 1))
    return np.where(np.arange(labels.shape[1]) < lengths, labels, 0), rng.normal(size=shape)


def _of_step(x: Array) -> tuple[Any, Any]:
    """One step of a sequence whose label is class 1, beside the blank."""
    return jnp.ones((1, 1), int), jnp.stack([jnp.zeros_like(x), x])[None, None]


def _sequence_edges() -> Iterator[Edge]:
    blank, _, other = (np.broadcast_to(row, (3, _STEPS, 3)) for row in RIGHT)
    signs = np.where(np.arange(_STEPS) % 2, 1, -1)[:, None]
    yield BIG, "on the blank", _SEQUENCES, LARGE * blank
    yield BIG, "alternating", _SEQUENCES, LARGE * signs * blank
    yield INFINITE, "inf on the blank", _SEQUENCES, np.where(blank, INF, 0)
    yield INFINITE, "-inf on a class", _SEQUENCES, np.where(other, -INF, 0)
    yield TIES, "all alike", _SEQUENCES, 0 * blank
    yield ZERO, "no label", 0 * _SEQUENCES, blank


def _sequence_extremes(limits: Any) -> Iterator[Sample]:
    scores = float(limits.max) * (1 - RIGHT[0])
    yield "largest", _SEQUENCES, np.broadcast_to(scores, (3, _STEPS, 3))


SEQUENCE = Domain(
    "sequence",
    _draw_sequence,
    shape=(4, 6, 5),
    target="class numbers in order, 0 the blank",
    classes=along_axis,
    wrong_class="Class 0 is the blank, and fills short rows up.",
    accuracy=None,
    in_steps=True,
    curves=(Line("", "logit of the label in the only step", -6, 6, _of_step),),
    points=(
        ("right", [1, 0], [[0.0, INF]]),
        (EQUAL_LOGITS, [1, 0], [[0.0, 0.0]]),
        ("wrong", [1, 0], [[10.0, 0.0]]),
        ("label impossible", [1, 0], [[0.0, -INF]]),
        ("no label", [0, 0], [[0.0, 0.0]]),
        ("more labels than steps", [1, 1], [[0.0, 0.0]]),
    ),
    grid=([[1, 0]], with_zeros(FINITE)[:, None]),
    edges=_sequence_edges,
    extremes=_sequence_extremes,
)

# --- hidden states, and the kernel that makes logits of them -------------------------------------


def _draw_hidden(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Labels of seven classes, and (hidden states, kernel)."""
    hidden, kernel = rng.normal(size=shape), rng.normal(size=(shape[-1], 7))
    return rng.integers(0, 7, shape[:-1]), (hidden, kernel)


def _of_kernel(loss: Any, y_true: Any, y_pred: Any) -> range | None:
    """Floats are targets."""
    if jnp.issubdtype(y_true.dtype, jnp.floating):
        return None
    columns = y_pred[1].shape[getattr(loss, "kernel_layout", "dv") == "dv"]
    return range(getattr(loss, "classes", None) or columns)


def _targets(loss: Any, t: Any, p: Any) -> Iterator[Rule]:
    if jnp.issubdtype(t.dtype, jnp.floating):
        yield from distribution("y_true", t, -1)


def _of_hidden(x: Array) -> tuple[Any, Any]:
    """A hidden state of one number, and a kernel that makes the logits x and 0 of it."""
    return jnp.zeros(1, int), (jnp.ones((1, 1)), jnp.stack([x, jnp.zeros_like(x)])[None])


HIDDEN = Domain(
    "hidden",
    _draw_hidden,
    target="class numbers, with hidden states for predictions",
    classes=_of_kernel,
    rules=_targets,
    accuracy="sparse",
    predicted=("hidden", "kernel", "bias"),
    curves=(Line("", LOGIT, -6, 6, _of_hidden),),
    points=(
        ("right", 0, ([1.0], [[100.0, 0.0]])),
        (EQUAL_LOGITS, 0, ([1.0], [[0.0, 0.0]])),
        ("wrong", 0, ([1.0], [[0.0, 10.0]])),
        ("far wrong", 0, ([1.0], [[0.0, 1e4]])),
    ),
    grid=([0], [([1.0], [row]) for row in with_zeros(np.linspace(-1e3, 1e3, 201))]),
    # The hidden states that are the logits: of an infinite one the product is NaN.
    edges=lambda: without_infinity(score_edges(LABELS)),
    extremes=lambda limits: score_extremes(LABELS, limits),
)
