"""Whether what a library computes at a point is the limit."""

from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np

from safety.libraries import Result
from safety.limits import Limit, direction
from safety.points import Point

CLOSE = 2e-4  # relative
ROUNDED = {"value": 1e-6, "gradient": 1e-6, "second derivative": 1e-4, "jvp": 1e-6}  # absolute
HUGE = 3e29  # what is larger counts as infinite: any number of its sign will do


def failures(point: Point, limit: Limit | None, result: Result) -> Iterator[str]:
    """What is not the limit, in words; what has no limit must be finite."""
    dtype = ml_dtypes.finfo(point.y_pred.dtype)
    rounding, largest = CLOSE + 4 * float(dtype.eps), min(HUGE, float(dtype.max))
    value, gradient, product, lost = limit or (None, None, None, 0)
    yield from _compare("value", result.value, value, HUGE, CLOSE)
    yield from _compare("gradient", result.gradient, gradient, largest, rounding, lost)
    yield from _compare("second derivative", result.product, product, largest, rounding, lost)
    along = [np.nan]
    if not isinstance(result.gradient, str) and np.all(np.abs(result.value) < HUGE):
        along = np.float64(result.gradient) * direction(point.y_pred.shape)
    if np.isfinite(along).all():
        slope, size = np.full(2, np.sum(along)), np.sum(np.abs(along))
        yield from _compare("jvp", result.jvp, slope, HUGE, rounding * size / abs(slope[0] or 1))


def _compare(
    what: str, got: Any, bounds: Any, largest: float, rtol: float, lost: float = 0
) -> Iterator[str]:
    """`rtol` is relative to the entry, `lost` to the largest one."""
    if isinstance(got, str):
        yield f"{what} {got}"
        return
    got = np.float64(got) + 0  # no -0
    if np.isnan(got).any():
        yield f"{what} NaN"
        return
    low, high = np.full((2, *got.shape), np.nan) if bounds is None else bounds
    size = np.maximum(abs(low), abs(high))
    free, beyond = np.isnan(size), size > largest
    ordinary = np.where(free | beyond, 0, size)
    slack = rtol * ordinary + (CLOSE / 20 + lost) * np.max(ordinary, initial=0) + ROUNDED[what]
    near = (got >= low - slack) & (got <= high + slack)
    signed = np.sign(got) == np.sign(np.where(abs(low) > abs(high), low, high))
    right = np.where(free, np.isfinite(got), near | (beyond & signed))
    if not right.all():
        i = np.unravel_index(np.argmin(right), right.shape)
        yield f"{what} {got[i]:.4g}{_wanted(low[i], high[i])}"


def _wanted(low: float, high: float) -> str:
    if np.isnan(low):
        return ""
    ends = [f"{x:.4g}" for x in (low, high)]
    return f", not {ends[0] if ends[0] == ends[1] else ' to '.join(ends)}"
