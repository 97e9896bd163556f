"""The domain of boxes, four numbers each."""

from collections.abc import Iterator
from typing import Any

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

# Two edges of the first corner, and two of the second; as centres or corners with sizes, they are
# boxes too.
_BOXES = np.array([[1, 2, 4, 5], [0.5, 0.5, 2, 1.25], [3, 1, 3.5, 6]], np.float32)
_OTHERS = np.array([[2, 1, 5, 4], [1, 0.25, 1.5, 3], [2, 2, 4, 3]], np.float32)


def _draw(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Boxes that are near each other; they have four numbers, whatever the shape says."""

    def boxes() -> np.ndarray:
        corner = rng.uniform(0, 1, (*shape[:-1], 2))
        return np.concatenate([corner, corner + rng.uniform(0.5, 2, corner.shape)], -1)

    return boxes(), boxes()


def _not_inverted(loss: Any, t: Any, p: Any) -> Iterator[Rule]:
    first, second = t[..., :2], t[..., 2:]
    of_corners = getattr(loss, "box_format", "xyxy") == "xyxy"
    size = second - first if of_corners else second
    yield Rule("the size of a box of y_true", size, size >= 0, "must not be negative")


def _edges() -> Iterator[Edge]:
    beside = np.stack([_BOXES[:, 2], _BOXES[:, 1] + 0.25, _BOXES[:, 2] + 1, _BOXES[:, 3] + 1], -1)
    inside = _BOXES + np.array([0.125, 0.25, -0.125, -0.0625])
    point = _BOXES[:, [0, 1, 0, 1]]
    yield TIES, "y_pred = y_true", _BOXES, _BOXES
    yield TIES, "touching", _BOXES, beside
    yield TIES, "of one edge", _BOXES, np.concatenate([_BOXES[:, :3], _BOXES[:, 3:] + 1], -1)
    yield TIES, "nested", _BOXES, inside
    yield TIES, "around", inside, _BOXES
    yield ZERO, "y_true", 0 * _BOXES, _BOXES
    yield ZERO, "both", 0 * _BOXES, 0 * _BOXES
    yield ZERO, "equal points", point, point
    yield ZERO, "flat", _BOXES, _OTHERS[:, [0, 1, 0, 3]]
    yield ZERO, "inverted", _BOXES, _BOXES[:, [2, 3, 0, 1]]
    yield BIG, "far away", _BOXES, _OTHERS + LARGE
    yield BIG, "large", _BOXES, LARGE * _OTHERS
    yield INFINITE, "of everything", _BOXES, 0 * _BOXES + [-INF, -INF, INF, INF]
    yield INFINITE, "to one side", _BOXES, np.where([0, 0, 1, 0], INF, _OTHERS)


def _extremes(limits: Any) -> Iterator[Sample]:
    top, least = float(limits.max), float(limits.smallest_normal)
    corners = np.array([[-1, -1, 1, 1]] * 3)
    yield "largest", _BOXES, top * corners
    yield "smallest", _BOXES, least * corners


def _of_shift(x: Array) -> tuple[Any, Any]:
    """Squares of size 1."""
    zero, one = jnp.zeros_like(x), jnp.ones_like(x)
    return jnp.asarray([[0.0, 0.0, 1.0, 1.0]]), jnp.stack([x, zero, 1 + x, one])[None]


_SQUARE = [0.0, 0.0, 1.0, 1.0]

BOX = Domain(
    "box",
    _draw,
    shape=(8, 4),
    target="boxes, four numbers each",
    rules=_not_inverted,
    accuracy=None,
    curves=(Line("", "a square of size 1 shifted by this much", -2, 2, _of_shift),),
    points=(
        ("equal", _SQUARE, _SQUARE),
        ("shifted by half", _SQUARE, [0.5, 0.0, 1.5, 1.0]),
        ("touching", _SQUARE, [1.0, 0.0, 2.0, 1.0]),
        ("apart by 1", _SQUARE, [2.0, 0.0, 3.0, 1.0]),
        ("a quarter of it", _SQUARE, [0.0, 0.0, 0.5, 0.5]),
        ("four times it", _SQUARE, [0.0, 0.0, 2.0, 2.0]),
        ("empty, inside", _SQUARE, [0.5, 0.5, 0.5, 0.5]),
        ("both empty, at one place", [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]),
        ("infinite", _SQUARE, [-INF, -INF, INF, INF]),
    ),
    grid=(
        [_SQUARE, [0.0, 0.0, 3.0, 0.5]],
        [[x, y, x + w, y + 1.0] for x in (-2.0, -0.5, 0, 2) for y in (0, 1.0) for w in (0, 0.5, 3)],
    ),
    edges=_edges,
    extremes=_extremes,
)
