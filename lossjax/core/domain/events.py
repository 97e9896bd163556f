"""Domains of losses of what has an order: levels, intervals of time, times until events."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from jax import numpy as jnp

from lossjax.core.domain.base import (
    BIG,
    INF,
    INFINITE,
    LARGE,
    TIES,
    ZERO,
    Domain,
    Edge,
    Line,
    Rule,
    Sample,
)
from lossjax.core.types import Array


class Survival(NamedTuple):
    """Until when each sample was seen, and whether the event came then (1) or had not come (0).

    Samples of another `stratum`, a number, are no rivals in `CoxPH`.
    """

    time: Any
    event: Any
    stratum: Any = None


# --- levels ---------------------------------------------------------------------------------------

_LEVELS = np.array([0, 1, 2], np.int32)
_SIGNS = np.array([[-1, -1], [1, -1], [1, 1]], np.float32)  # the thresholds that a level has passed
_SPAN = np.linspace(-30, 30, 61)
_GRID = np.concatenate([[-INF], _SPAN, [INF]])


def _of_level(level: int) -> Line:
    def inputs(x: Array) -> tuple[Any, Any]:
        return jnp.array([level]), jnp.stack([x + 1, x - 1])[None]

    return Line(f"level {level} of 0, 1, 2", "score, thresholds at -1 and 1", -5, 5, inputs)


def _threshold_edges() -> Iterator[Edge]:
    yield BIG, "right", _LEVELS, LARGE * _SIGNS
    yield BIG, "wrong", _LEVELS, -LARGE * _SIGNS
    yield INFINITE, "right", _LEVELS, INF * _SIGNS
    yield INFINITE, "wrong", _LEVELS, -INF * _SIGNS
    yield ZERO, "y_pred", _LEVELS, 0 * _SIGNS


def _threshold_extremes(limits: Any) -> Iterator[Sample]:
    yield "smallest", _LEVELS, float(limits.smallest_normal) * _SIGNS
    yield "largest", _LEVELS, float(limits.max) * _SIGNS


ORDINAL = Domain(
    "ordinal",
    lambda rng, s: (rng.integers(0, s[-1] + 1, s[:-1]), rng.normal(0, 2, s)),
    target="numbers of levels, from 0",
    classes=lambda loss, t, p: range(p.shape[-1] + 1),
    wrong_class="There is one level more than y_pred has columns.",
    accuracy=None,
    curves=tuple(map(_of_level, range(3))),
    points=(
        ("right", [1], [INF, -INF]),
        ("undecided", [1], [0.0, 0.0]),
        ("wrong", [1], [-10.0, -10.0]),
    ),
    grid=(_LEVELS[:, None], np.stack(np.meshgrid(_GRID, _GRID), -1).reshape(-1, 2)),
    edges=_threshold_edges,
    extremes=_threshold_extremes,
)


def _of_score(level: int) -> Line:
    def inputs(x: Array) -> tuple[Any, Any]:
        return jnp.array([level]), x[None, None]

    return Line(f"level {level}", "score", -5, 5, inputs)


def _score_edges() -> Iterator[Edge]:
    for x in (-LARGE, LARGE):
        yield BIG, f"{x:g}", _LEVELS, np.full((3, 1), x, np.float32)
    yield ZERO, "y_pred", _LEVELS, np.zeros((3, 1), np.float32)


LEVEL = Domain(
    "level",
    lambda rng, s: (rng.integers(0, 3, s[:-1]), rng.normal(0, 2, (*s[:-1], 1))),
    shape=(8, 1),
    target="numbers of levels, from 0",
    classes=lambda loss, t, p: range(len(getattr(loss, "thresholds", (0, 0))) + 1),
    wrong_class="There is one level more than thresholds.",
    accuracy=None,
    curves=tuple(map(_of_score, range(3))),
    points=(("right", [1], [0.0]), ("too high", [1], [5.0]), ("far too low", [2], [-10.0])),
    grid=(_LEVELS[:, None], _SPAN[:, None]),
    edges=_score_edges,
    extremes=lambda limits: (("smallest", _LEVELS, np.full((3, 1), limits.smallest_normal)),),
)

# --- times ----------------------------------------------------------------------------------------


def _events(loss: Any, y_true: Any, y_pred: Any) -> Iterator[Rule]:
    event = y_true.event
    yield Rule("y_true.event", event, (event == 0) | (event == 1), "must be 0 or 1")


def _draw_times(rng: np.random.Generator, s: tuple[int, ...]) -> tuple[Any, Any]:
    """Times of which some are equal."""
    time, event = rng.integers(1, 5, s[0]).astype(float), rng.integers(0, 2, s[0])
    return Survival(time, event.astype(np.int32)), rng.normal(size=(s[0], 1))


_THREE = Survival(np.array([1.0, 2.0, 3.0], np.float32), np.array([1, 1, 0], np.int32))
_TIED = Survival(np.array([1.0, 1.0, 1.0], np.float32), np.array([1, 1, 0], np.int32))
_COLUMN = np.array([[1.0], [-0.5], [0.25]], np.float32)


def _time_extremes(limits: Any) -> Iterator[Sample]:
    yield "smallest", _THREE, float(limits.smallest_normal) * _COLUMN
    yield "largest", _THREE, 0.25 * float(limits.max) * _COLUMN


def _interval_extremes(limits: Any) -> Iterator[Sample]:
    yield "smallest", _SEEN, float(limits.smallest_normal) * _HAZARDS
    yield "largest", _SEEN, float(limits.max) * _HAZARDS


def _of_first(x: Array) -> tuple[Any, Any]:
    return _THREE, jnp.stack([x, jnp.zeros_like(x), jnp.zeros_like(x)])[:, None]


def _time_edges() -> Iterator[Edge]:
    yield ZERO, "y_pred", _THREE, 0 * _COLUMN
    yield TIES, "one time", _TIED, _COLUMN
    yield BIG, "first at risk", _THREE, LARGE * np.array([[1.0], [0], [0]], np.float32)
    yield BIG, "last at risk", _THREE, LARGE * np.array([[0.0], [0], [1]], np.float32)


SURVIVAL = Domain(
    "survival",
    _draw_times,
    shape=(8, 1),
    target="times and events",
    rules=_events,
    accuracy=None,
    in_batches=True,
    curves=(Line("", "log-risk of the first to go, that of others 0", -4, 4, _of_first),),
    points=(
        ("all alike", _THREE, 0 * _COLUMN),
        ("the first at risk", _THREE, np.array([[3.0], [0], [0]], np.float32)),
        ("the last at risk", _THREE, np.array([[0.0], [0], [3]], np.float32)),
    ),
    grid=([_THREE, _TIED], [x * _COLUMN for x in _SPAN]),
    edges=_time_edges,
    extremes=_time_extremes,
)


def _draw_intervals(rng: np.random.Generator, s: tuple[int, ...]) -> tuple[Any, Any]:
    interval, event = rng.integers(0, s[-1], s[:-1]), rng.integers(0, 2, s[:-1])
    return Survival(interval.astype(np.int32), event.astype(np.int32)), rng.normal(size=s)


_SEEN = Survival(_LEVELS, np.array([1, 0, 1], np.int32))
_HAZARDS = np.array([[1, -1, -1], [-1, -1, 1], [-1, -1, 1]], np.float32)  # right ones


def _of_hazard(x: Array) -> tuple[Any, Any]:
    truth = Survival(jnp.array([1]), jnp.array([1]))
    return truth, jnp.stack([-1 + 0 * x, x])[None]


def _interval_edges() -> Iterator[Edge]:
    yield BIG, "right", _SEEN, LARGE * _HAZARDS
    yield BIG, "wrong", _SEEN, -LARGE * _HAZARDS
    yield INFINITE, "right", _SEEN, INF * _HAZARDS
    yield INFINITE, "wrong", _SEEN, -INF * _HAZARDS
    yield ZERO, "y_pred", _SEEN, 0 * _HAZARDS


INTERVAL = Domain(
    "interval",
    _draw_intervals,
    target="numbers of intervals, from 0, and events",
    rules=_events,
    accuracy=None,
    curves=(Line("event in the second interval", "logit of its hazard", -6, 6, _of_hazard),),
    points=tuple(
        (name, Survival(1, 1), x * _HAZARDS[0, [1, 0, 1]])
        for name, x in (("right", 4), ("undecided", 0), ("wrong", -4))
    ),
    grid=(
        [Survival(level, event) for level in _LEVELS for event in (0, 1)],
        [x * row for row in _HAZARDS for x in _SPAN],
    ),
    edges=_interval_edges,
    extremes=_interval_extremes,
)
