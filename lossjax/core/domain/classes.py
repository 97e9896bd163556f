"""Domains of classes: as probabilities, as logits, as scores; one-hot or as numbers."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from jax import numpy as jnp

from lossjax.core.domain.base import (
    BIG,
    FIXED,
    INF,
    INFINITE,
    LABELS,
    LARGE,
    PROBABILITIES,
    REALS,
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
    of_truth,
    one_hot,
    softmax,
    with_zeros,
    within,
)
from lossjax.core.types import Array

EQUAL_LOGITS = "equal logits"
LOGIT = "logit of the true class, the other being 0"
_SHARE = "probability of the true class"
# Also just inside of where probabilities are clipped, as near to 1 as float32 comes.
_SHARES = np.concatenate([np.linspace(0, 1, 201), [1.1e-7, 1e-5, 1 - 1e-5, 1 - 2**-22]])
_PAIRS = np.stack([_SHARES, 1 - _SHARES], -1)
_LOGITS = with_zeros(REALS)


# --- 0 or 1 -------------------------------------------------------------------------------------


def _both_within(loss: Any, t: Any, p: Any) -> Iterator[Rule]:
    yield within("y_true", t)
    yield within("y_pred", p)


def _binary_edges() -> Iterator[Edge]:
    yield PROBABILITIES, "0", RIGHT, 0 * RIGHT
    yield PROBABILITIES, "1", RIGHT, 0 * RIGHT + 1
    yield PROBABILITIES, "y_pred = y_true", RIGHT, RIGHT
    yield ZERO, "both", 0 * RIGHT, 0 * RIGHT
    yield TIES, "0.5", RIGHT, 0 * RIGHT + 0.5


def _binary_extremes(limits: Any) -> Iterator[Sample]:
    least, near = float(limits.smallest_normal), 1 - float(limits.epsneg)
    for name, value in (("smallest", least), ("just below 1", near)):
        yield name, RIGHT, 0 * RIGHT + value


def _binary_logits_edges() -> Iterator[Edge]:
    signs = 2 * RIGHT - 1
    yield BIG, "right", RIGHT, LARGE * signs
    yield BIG, "wrong", RIGHT, -LARGE * signs
    yield INFINITE, "right", RIGHT, INF * signs
    yield INFINITE, "wrong", RIGHT, -INF * signs
    yield ZERO, "y_pred", RIGHT, 0 * RIGHT


_BINARY_LOGITS = Domain(
    "binary logits",
    lambda rng, s: (rng.integers(0, 2, s).astype(float), rng.normal(0, 2, s)),
    target="0 or 1, or between",
    rules=lambda loss, t, p: (within("y_true", t),),
    accuracy="binary",
    curves=tuple(of_truth(t, "logit y_pred", -6, 6) for t in (1.0, 0.0)),
    points=(
        ("right", [1.0], [INF]),
        ("undecided", [1.0], [0.0]),
        ("wrong", [1.0], [-10.0]),
        ("infinitely wrong", [1.0], [-INF]),
    ),
    grid=([[0.0], [1.0]], REALS[:, None]),
    edges=_binary_logits_edges,
    extremes=lambda limits: score_extremes(RIGHT, limits),
)
BINARY = Domain(
    "binary",
    lambda rng, s: (rng.integers(0, 2, s).astype(float), rng.uniform(0.02, 0.98, s)),
    target="0 or 1, or between",
    rules=_both_within,
    accuracy="binary",
    curves=tuple(of_truth(t, "probability y_pred", 0.005, 0.995) for t in (1.0, 0.0)),
    points=(
        ("right", [1.0], [1.0]),
        ("undecided", [1.0], [0.5]),
        ("wrong", [1.0], [0.0]),
        ("right", [0.0], [0.0]),
        ("wrong", [0.0], [1.0]),
    ),
    grid=([[0.0], [1.0]], _SHARES[:, None]),
    edges=_binary_edges,
    extremes=_binary_extremes,
    logits=_BINARY_LOGITS,
)


def _of_region(x: Array) -> tuple[Any, Any]:
    """Two pixels, one inside the region and one outside; below 0 the first one is missed."""
    return jnp.asarray([[1.0, 0.0]]), jnp.stack([1 + jnp.minimum(x, 0), jnp.maximum(x, 0)])[None]


_COLUMN = [[1.0], [0.0]]  # of the pixels, with one class


def _of_logit(x: Array) -> tuple[Any, Any]:
    return jnp.asarray([_COLUMN]), jnp.stack([x, -x])[None, :, None]


REGION = Domain(
    "region",
    lambda rng, s: (rng.integers(0, 2, s).astype(float), rng.uniform(0, 1, s)),
    target="0 or 1 for each pixel",
    rules=_both_within,
    curves=(Line("", "below 0: part missed; above 0: part in excess", -0.995, 0.995, _of_region),),
    points=(
        ("right", [1.0, 0.0], [1.0, 0.0]),
        ("undecided", [1.0, 0.0], [0.5, 0.5]),
        ("half missed", [1.0, 1.0], [1.0, 0.0]),
        ("as much again marked", [1.0, 0.0], [1.0, 1.0]),
        ("no overlap", [1.0, 0.0], [0.0, 1.0]),
        ("empty region, none marked", [0.0, 0.0], [0.0, 0.0]),
        ("empty region, all marked", [0.0, 0.0], [1.0, 1.0]),
    ),
    grid=(
        [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]],
        np.array([*itertools.product(np.linspace(0, 1, 21), repeat=2)]),
    ),
    edges=_binary_edges,
    extremes=_binary_extremes,
    logits=Domain(
        "region logits",
        _BINARY_LOGITS.draw,
        shape=(6, 5, 2),
        target="0 or 1 for each pixel and class",
        rules=_BINARY_LOGITS.rules,
        curves=(Line("", "logit of both pixels, the second one taken negative", -6, 6, _of_logit),),
        points=(
            ("right", _COLUMN, [[INF], [-INF]]),
            ("undecided", _COLUMN, [[0.0], [0.0]]),
            ("all marked", _COLUMN, [[INF], [INF]]),
            ("no overlap", _COLUMN, [[-INF], [INF]]),
            ("empty region, none marked", [[0.0], [0.0]], [[-INF], [-INF]]),
            ("empty region, undecided", [[0.0], [0.0]], [[0.0], [0.0]]),
        ),
        grid=(
            [[[0.0], [0.0]], _COLUMN],
            np.array([*itertools.product([-INF, -3, -0.5, 0, 1, INF], repeat=2)])[..., None],
        ),
        edges=_binary_logits_edges,
        extremes=_BINARY_LOGITS.extremes,
    ),
)


def _of_distance(x: Array) -> tuple[Any, Any]:
    """A pixel inside the region that is marked, and one outside."""
    return jnp.asarray([[[-1.0], [1.0]]]), jnp.stack([jnp.ones_like(x), x])[None, :, None]


def _at_distance(edges: Iterable[Edge]) -> Iterator[Edge]:
    return ((group, name, 1 - 2 * t, p) for group, name, t, p in edges)


_ACROSS = [[-1.0], [1.0]]  # the boundary

DISTANCE = Domain(
    "distance",
    lambda rng, s: (rng.normal(0, 3, s), rng.uniform(0, 1, s)),
    shape=(6, 5, 2),
    target="distances of each pixel to the boundary, negative inside",
    rules=lambda loss, t, p: (within("y_pred", p),),
    accuracy=None,
    curves=(Line("", "probability of the pixel outside", 0.005, 0.995, _of_distance),),
    points=(
        ("right", _ACROSS, [[1.0], [0.0]]),
        ("undecided", _ACROSS, [[0.5], [0.5]]),
        ("wrong", _ACROSS, [[0.0], [1.0]]),
    ),
    grid=([_ACROSS], np.array([*itertools.product(np.linspace(0, 1, 5), repeat=2)])[..., None]),
    edges=lambda: _at_distance(_binary_edges()),
    extremes=lambda limits: ((name, 1 - 2 * t, p) for name, t, p in _binary_extremes(limits)),
    logits=Domain(
        "distance logits",
        lambda rng, s: (rng.normal(0, 3, s), rng.normal(0, 2, s)),
        shape=(6, 5, 2),
        target="distances of each pixel to the boundary, negative inside",
        accuracy=None,
        curves=(Line("", "logit of the pixel outside", -6, 6, _of_distance),),
        points=(
            ("right", _ACROSS, [[INF], [-INF]]),
            ("undecided", _ACROSS, [[0.0], [0.0]]),
            ("wrong", _ACROSS, [[-INF], [INF]]),
        ),
        grid=(
            [_ACROSS],
            np.array([*itertools.product([-INF, -3, 0, 1, INF], repeat=2)])[..., None],
        ),
        edges=lambda: _at_distance(_binary_logits_edges()),
        extremes=lambda limits: (
            (name, 1 - 2 * t, p) for name, t, p in _BINARY_LOGITS.extremes(limits)
        ),
    ),
)


# --- one of several -----------------------------------------------------------------------------


def _of_class(axis: str, low: float, high: float, one_hot: bool, share: bool) -> Line:
    def inputs(x: Array) -> tuple[Any, Any]:
        other = 1 - x if share else jnp.zeros_like(x)
        truth = jnp.asarray([[1.0, 0.0]]) if one_hot else jnp.zeros(1, int)
        return truth, jnp.stack([x, other])[None]

    return Line("", axis, low, high, inputs)


def _true_shares(loss: Any, t: Any, p: Any) -> Iterator[Rule]:
    return distribution("y_true", t, getattr(loss, "axis", -1))


def _all_shares(loss: Any, t: Any, p: Any) -> Iterator[Rule]:
    yield from _true_shares(loss, t, p)
    yield within("y_pred", p)


def _share_edges(y_true: np.ndarray) -> Callable[[], Iterator[Edge]]:
    def edges() -> Iterator[Edge]:
        yield PROBABILITIES, "on the right class", y_true, RIGHT
        yield PROBABILITIES, "on a wrong class", y_true, WRONG
        yield ZERO, "y_pred", y_true, 0 * RIGHT
        yield TIES, "all alike", y_true, 0 * RIGHT + 1 / 3

    return edges


def score_edges(y_true: np.ndarray) -> Iterator[Edge]:
    """Scores of the classes, or logits."""
    yield BIG, "right", y_true, LARGE * (2 * RIGHT - 1)
    yield BIG, "wrong", y_true, LARGE * (1 - 2 * RIGHT)
    yield INFINITE, "inf on the right class", y_true, np.where(RIGHT, INF, FIXED)
    yield INFINITE, "inf on a wrong class", y_true, np.where(WRONG, INF, FIXED)
    yield INFINITE, "-inf on a wrong class", y_true, np.where(WRONG, -INF, FIXED)
    yield INFINITE, "-inf on the right class", y_true, np.where(RIGHT, -INF, FIXED)
    yield INFINITE, "-inf everywhere", y_true, 0 * RIGHT - INF
    yield TIES, "all alike", y_true, 0 * RIGHT + 1
    yield ZERO, "y_pred", y_true, 0 * RIGHT


def _distribution_edges() -> Iterator[Edge]:
    shares = np.array([[0.5, 0.375, 0.125], [0.25, 0.5, 0.25], [0.125, 0.125, 0.75]], np.float32)
    yield from _share_edges(RIGHT)()
    yield ZERO, "y_true", 0 * RIGHT, shares
    yield ZERO, "both", 0 * RIGHT, 0 * RIGHT
    yield TIES, "y_pred = y_true", shares, shares


def _share_extremes(y_true: np.ndarray, limits: Any) -> Iterator[Sample]:
    least, near = float(limits.smallest_normal), 1 - float(limits.epsneg)
    yield "just below 1 on the right class", y_true, np.where(RIGHT, near, least)
    yield "smallest on the right class", y_true, np.where(WRONG, near, least)


def score_extremes(y_true: np.ndarray, limits: Any) -> Iterator[Sample]:
    """The largest scores of a dtype."""
    for name, sign in (("largest, right", 1), ("largest, wrong", -1)):
        yield name, y_true, sign * float(limits.max) * (2 * RIGHT - 1)


DISTRIBUTION = Domain(
    "distribution",
    lambda rng, s: (softmax(rng.normal(size=s)), softmax(rng.normal(size=s))),
    target="distributions",
    rules=_all_shares,
    accuracy="categorical",
    curves=(_of_class(_SHARE, 0.005, 0.995, one_hot=True, share=True),),
    points=(
        ("equal", [0.5, 0.5], [0.5, 0.5]),
        ("equal, one-hot", [1.0, 0.0], [1.0, 0.0]),
        ("all on the wrong class", [1.0, 0.0], [0.0, 1.0]),
        ("all on one class", [0.5, 0.5], [1.0, 0.0]),
    ),
    grid=(_PAIRS[::50], _PAIRS),
    edges=_distribution_edges,
    extremes=lambda limits: _share_extremes(RIGHT, limits),
)
CLASS = Domain(
    "class",
    lambda rng, s: (one_hot(rng, s), softmax(rng.normal(size=s))),
    target="one-hot classes, or distributions",
    rules=_all_shares,
    accuracy="categorical",
    curves=(_of_class(_SHARE, 0.005, 0.995, one_hot=True, share=True),),
    points=(
        ("right", [1.0, 0.0], [1.0, 0.0]),
        ("undecided", [1.0, 0.0], [0.5, 0.5]),
        ("wrong", [1.0, 0.0], [0.0, 1.0]),
        ("nothing predicted", [1.0, 0.0], [0.0, 0.0]),
    ),
    grid=([[1.0, 0.0]], _PAIRS),
    edges=_share_edges(RIGHT),
    extremes=lambda limits: _share_extremes(RIGHT, limits),
    logits=Domain(
        "class logits",
        lambda rng, s: (one_hot(rng, s), rng.normal(0, 2, s)),
        target="one-hot classes, or distributions",
        rules=_true_shares,
        accuracy="categorical",
        curves=(_of_class(LOGIT, -6, 6, one_hot=True, share=False),),
        points=(
            ("right", [1.0, 0.0], [INF, 0.0]),
            (EQUAL_LOGITS, [1.0, 0.0], [0.0, 0.0]),
            ("wrong", [1.0, 0.0], [0.0, 10.0]),
            ("the other impossible", [1.0, 0.0], [0.0, -INF]),
            ("true class impossible", [1.0, 0.0], [-INF, 0.0]),
        ),
        grid=([[1.0, 0.0]], _LOGITS),
        edges=lambda: score_edges(RIGHT),
        extremes=lambda limits: score_extremes(RIGHT, limits),
    ),
)
LABEL = Domain(
    "label",
    lambda rng, s: (rng.integers(0, s[-1], s[:-1]), softmax(rng.normal(size=s))),
    target="class numbers",
    classes=along_axis,
    rules=lambda loss, t, p: (within("y_pred", p),),
    accuracy="sparse",
    curves=(_of_class(_SHARE, 0.005, 0.995, one_hot=False, share=True),),
    points=(
        ("right", 0, [1.0, 0.0]),
        ("undecided", 0, [0.5, 0.5]),
        ("wrong", 0, [0.0, 1.0]),
        ("nothing predicted", 0, [0.0, 0.0]),
        ("label out of range", 2, [0.5, 0.5]),
    ),
    grid=([0], _PAIRS),
    edges=_share_edges(LABELS),
    extremes=lambda limits: _share_extremes(LABELS, limits),
    logits=Domain(
        "label logits",
        lambda rng, s: (rng.integers(0, s[-1], s[:-1]), rng.normal(0, 2, s)),
        target="class numbers",
        classes=along_axis,
        accuracy="sparse",
        curves=(_of_class(LOGIT, -6, 6, one_hot=False, share=False),),
        points=(
            ("right", 0, [INF, 0.0]),
            (EQUAL_LOGITS, 0, [0.0, 0.0]),
            ("wrong", 0, [0.0, 10.0]),
            ("the other impossible", 0, [0.0, -INF]),
            ("true class impossible", 0, [-INF, 0.0]),
            ("label out of range", 2, [0.0, 0.0]),
        ),
        grid=([0], _LOGITS),
        edges=lambda: score_edges(LABELS),
        extremes=lambda limits: score_extremes(LABELS, limits),
    ),
)
SCORE = Domain(
    "score",
    lambda rng, s: (one_hot(rng, s), rng.normal(size=s)),
    target="one-hot classes",
    rules=_true_shares,
    accuracy="categorical",
    curves=(
        _of_class("score of the true class, the other being 0", -3, 3, one_hot=True, share=False),
    ),
    points=(
        ("on the margin", [1.0, 0.0], [1.0, 0.0]),
        ("right by more", [1.0, 0.0], [2.0, 0.0]),
        ("undecided", [1.0, 0.0], [0.0, 0.0]),
        ("wrong", [1.0, 0.0], [0.0, 1.0]),
        ("infinitely right", [1.0, 0.0], [INF, 0.0]),
        ("infinitely wrong", [1.0, 0.0], [-INF, 0.0]),
    ),
    grid=([[1.0, 0.0]], np.concatenate([_LOGITS, _LOGITS[:, ::-1]])),
    edges=lambda: score_edges(RIGHT),
    extremes=lambda limits: score_extremes(RIGHT, limits),
)
