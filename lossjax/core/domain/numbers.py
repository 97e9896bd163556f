"""Domains of targets that are numbers: real, positive, counts, vectors, signs."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from jax import numpy as jnp

from lossjax.core.domain.base import (
    BIG,
    EXTREME,
    FINITE,
    FIXED,
    INF,
    INFINITE,
    LARGE,
    REALS,
    RIGHT,
    TIES,
    ZERO,
    Domain,
    Edge,
    Line,
    Rule,
    Sample,
    of_truth,
    without_infinity,
)
from lossjax.core.types import Array


def _draw_real(rng: np.random.Generator, s: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    return rng.normal(size=s), rng.normal(size=s)


def _of_error(x: Array) -> tuple[Any, Any]:
    """A true value that is not 0: some losses are relative to it."""
    return jnp.ones((1, 1)), 1 + x[None, None]


def _real_edges() -> Iterator[Edge]:
    zeros = 0 * FIXED
    yield BIG, "y_pred", FIXED, np.where(FIXED > 0, LARGE, -LARGE)
    yield BIG, "y_true", np.where(FIXED > 0, LARGE, -LARGE), FIXED
    yield INFINITE, "y_pred = inf", FIXED, np.where(RIGHT, INF, FIXED)
    yield INFINITE, "y_pred = -inf", FIXED, np.where(RIGHT, -INF, FIXED)
    yield ZERO, "y_pred", FIXED, zeros
    yield ZERO, "y_true", zeros, FIXED
    yield ZERO, "both", zeros, zeros
    yield TIES, "y_pred = y_true", FIXED, FIXED


def _real_extremes(limits: Any) -> Iterator[Sample]:
    top, least = float(limits.max), float(limits.smallest_normal)
    yield "largest", 0 * FIXED, np.where(FIXED > 0, top, -top)
    yield "smallest", 0 * FIXED, np.where(FIXED > 0, least, -least)


REAL = Domain(
    "real",
    _draw_real,
    target="real numbers",
    curves=(Line("", "error y_pred - y_true, y_true being 1", -3, 3, _of_error),),
    points=(
        ("equal", [0.0], [0.0]),
        ("too high by 1", [0.0], [1.0]),
        ("too low by 1", [1.0], [0.0]),
        ("infinitely high", [0.0], [INF]),
        ("infinitely low", [0.0], [-INF]),
    ),
    grid=([[0.0], [1.0], [-1.0]], REALS[:, None]),
    edges=_real_edges,
    extremes=_real_extremes,
)


def _not_negative(loss: Any, t: Any, p: Any) -> Iterator[Rule]:
    for name, x in (("y_true", t), ("y_pred", p)):
        yield Rule(name, x, x >= 0, "must not be negative")


def _positive_edges() -> Iterator[Edge]:
    edges = without_infinity(_real_edges())
    return ((group, name, abs(t), abs(p)) for group, name, t, p in edges)


def _positive_extremes(limits: Any) -> Iterator[Sample]:
    return ((name, t, abs(p)) for name, t, p in _real_extremes(limits))


POSITIVE = Domain(
    "positive",
    lambda rng, s: (rng.gamma(2, size=s), rng.gamma(2, size=s)),
    target="numbers ≥ 0",
    rules=_not_negative,
    curves=(of_truth(1.0, "y_pred, y_true being 1", 0.01, 4),),
    points=(
        ("equal", [1.0], [1.0]),
        ("both 0", [0.0], [0.0]),
        ("too high by 1", [1.0], [2.0]),
        ("too low by 1", [2.0], [1.0]),
        ("prediction 0", [1.0], [0.0]),
        ("negative prediction", [1.0], [-1.0]),
        ("infinitely high", [1.0], [INF]),
    ),
    grid=([[0.0], [1.0], [10.0]], REALS[REALS >= 0, None]),
    edges=_positive_edges,
    extremes=_positive_extremes,
)
COUNT = Domain(
    "count",
    lambda rng, s: (rng.poisson(2, s).astype(float), rng.gamma(2, size=s)),
    target="counts",
    rules=_not_negative,
    curves=(of_truth(2.0, "rate y_pred, the count being 2", 0.02, 8),),
    points=(
        ("rate = count", [2.0], [2.0]),
        ("rate 0, count 0", [0.0], [0.0]),
        ("rate 0, count above", [2.0], [0.0]),
        ("negative rate", [2.0], [-1.0]),
        ("infinite rate", [2.0], [INF]),
    ),
    grid=([[0.0], [1.0], [10.0]], FINITE[FINITE >= 0, None]),
    edges=_positive_edges,
    extremes=_positive_extremes,
)


def _log_mean_edges() -> Iterator[Edge]:
    truth, zeros = abs(FIXED), 0 * FIXED
    yield EXTREME, "-80", truth, zeros - 80
    yield EXTREME, "80", truth, zeros + 80
    yield ZERO, "y_true", zeros, FIXED
    yield ZERO, "y_pred", truth, zeros
    yield TIES, "y_pred = log y_true", 0 * FIXED + 1, zeros


def _log_mean_extremes(limits: Any) -> Iterator[Sample]:
    least = float(limits.smallest_normal)
    yield "smallest", abs(FIXED), 0 * FIXED + least
    yield "8", abs(FIXED), 0 * FIXED + 8


# Quantities whose mean is predicted by its logarithm.
LOG_MEAN = Domain(
    "log mean",
    lambda rng, s: (rng.gamma(2, size=s), rng.normal(size=s)),
    target="numbers ≥ 0",
    rules=lambda loss, t, p: (Rule("y_true", t, t >= 0, "must not be negative"),),
    accuracy=None,
    curves=(of_truth(1.0, "log of the mean, y_true being 1", -3, 3),),
    points=(
        ("equal", [1.0], [0.0]),
        ("twice as high", [1.0], [0.6931472]),
        ("half as high", [1.0], [-0.6931472]),
        ("nothing came", [0.0], [0.0]),
    ),
    grid=([[0.0], [1.0], [10.0]], np.linspace(-80, 80, 81)[:, None]),
    edges=_log_mean_edges,
    extremes=_log_mean_extremes,
)


def _draw_ensemble(rng: np.random.Generator, s: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    return rng.normal(size=(*s[:-1], 1)), rng.normal(size=s)


def _of_members(x: Array) -> tuple[Any, Any]:
    """Two members, of which one is 1 too low."""
    return jnp.zeros((1, 1)), jnp.stack([x, -jnp.ones_like(x)])[None]


def _ensemble_edges() -> Iterator[Edge]:
    return ((group, name, t[:, :1], p) for group, name, t, p in without_infinity(_real_edges()))


# Members, or quantiles, of the distribution of one number.
ENSEMBLE = Domain(
    "ensemble",
    _draw_ensemble,
    target="one real number for all of the last axis",
    curves=(Line("", "a member, beside one at -1; y_true being 0", -3, 3, _of_members),),
    points=(
        ("all right", [0.0], [0.0, 0.0]),
        ("1 too low and too high", [0.0], [-1.0, 1.0]),
        ("both 1 too high", [0.0], [1.0, 1.0]),
    ),
    grid=([[0.0]], np.stack([FINITE, -FINITE], -1)),
    edges=_ensemble_edges,
    extremes=lambda limits: ((name, t[:, :1], p) for name, t, p in _real_extremes(limits)),
)


def _of_angle(x: Array) -> tuple[Any, Any]:
    return jnp.asarray([[1.0, 0.0]]), jnp.stack([jnp.cos(x), jnp.sin(x)])[None]


_ANGLES = np.linspace(0, 2 * np.pi, 49)
_ARROWS = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], -1)

# Vectors of which the direction matters alone.
DIRECTION = Domain(
    "direction",
    _draw_real,
    target="vectors",
    curves=(Line("", "angle between y_true and y_pred, in radians", -np.pi, np.pi, _of_angle),),
    points=(
        ("same direction", [1.0, 0.0], [2.0, 0.0]),
        ("right angle", [1.0, 0.0], [0.0, 2.0]),
        ("opposite", [1.0, 0.0], [-2.0, 0.0]),
        ("zero prediction", [1.0, 0.0], [0.0, 0.0]),
        ("both zero", [0.0, 0.0], [0.0, 0.0]),
    ),
    grid=([[1.0, 0.0]], np.concatenate([size * _ARROWS for size in (1e-8, 1e-3, 1, 1e3)])),
    # An infinite vector has no direction.
    edges=lambda: without_infinity(_real_edges()),
    extremes=_real_extremes,
)


def _signs(loss: Any, t: Any, p: Any) -> Iterator[Rule]:
    yield Rule("y_true", t, (jnp.abs(t) == 1) | (t == 0), "must be -1 or 1 (or 0 for -1)")


def _sign_edges() -> Iterator[Edge]:
    signs = np.where(FIXED > 0, 1, -1)
    yield BIG, "right", signs, LARGE * signs
    yield BIG, "wrong", signs, -LARGE * signs
    yield INFINITE, "right", signs, INF * signs
    yield INFINITE, "wrong", signs, -INF * signs
    yield ZERO, "y_pred", signs, 0 * FIXED
    yield TIES, "on the margin", signs, signs


def _sign_extremes(limits: Any) -> Iterator[Sample]:
    signs = np.where(FIXED > 0, 1, -1)
    for name, _, y_pred in _real_extremes(limits):
        yield name, signs, y_pred
        yield f"{name}, wrong", signs, -y_pred


SIGN = Domain(
    "sign",
    lambda rng, s: (rng.choice([-1.0, 1.0], s), rng.normal(size=s)),
    target="-1 or 1",
    rules=_signs,
    accuracy="binary",
    middle=0.0,
    curves=(of_truth(1.0, "score y_pred, y_true being 1", -3, 3),),
    points=(
        ("on the margin", [1.0], [1.0]),
        ("right by more", [1.0], [2.0]),
        ("undecided", [1.0], [0.0]),
        ("wrong", [1.0], [-1.0]),
        ("0 read as -1", [0.0], [1.0]),
        ("infinitely right", [1.0], [INF]),
        ("infinitely wrong", [1.0], [-INF]),
    ),
    grid=([[-1.0], [1.0]], REALS[:, None]),
    edges=_sign_edges,
    extremes=_sign_extremes,
)
