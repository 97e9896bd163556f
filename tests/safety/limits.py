"""What a loss and its derivatives tend to, from the definitions in `exact` at 220 digits.

Everything is two bounds: on a kink whatever lies between its two sides is right. NaN in a bound
asks for any finite number.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

import mpmath
import numpy as np
from mpmath import mp

import exact
from cases import Case
from safety.points import Point

Bounds: TypeAlias = np.ndarray  # the lower and the upper, along axis 0
Numbers: TypeAlias = list[mpmath.mpf]

INFINITE = 1e40  # stands for infinity, and its square for more of it
STEP = mpmath.mpf("1e-90")
FAR = mpmath.mpf("1e-40")  # of the difference of two slopes
KINK = 1e20  # of such a difference, in units of the jump: there the slope jumps
SMOOTH = 1e-40  # a slope that does not jump changes by less within STEP, also that of a root


class Limit(NamedTuple):
    """Bounds of the value, of its gradient, and of the Hessian times `direction`.

    `rounding` is that of the derivatives, relative to the largest entry, where a formula in
    float32 cannot do better.
    """

    value: Bounds
    gradient: Bounds
    product: Bounds
    rounding: float = 0


def direction(shape: tuple[int, ...]) -> np.ndarray:
    """A tangent for `y_pred` that 16 bits hold exactly; no entry of it is 0."""
    steps = np.random.default_rng(0).integers(8, 24, shape) / 16
    return np.float32(np.where(np.arange(steps.size).reshape(shape) % 2, steps, -steps))


def limit(case: Case, config: dict[str, Any], point: Point) -> Limit | None:
    """The sum over the samples, with weights their mean; None where the formula is undefined."""
    if case.exact is None:
        return None
    t, p, d = (np.float64(x) for x in (point.y_true, point.y_pred, direction(point.y_pred.shape)))
    formula = functools.partial(case.exact, **exact.numbers(config))

    def of_sample(*arrays: np.ndarray) -> Limit | None:
        return _of_sample(formula, *arrays)

    if case.couples in ("sums", "pairs") and case.loss(**config)._coupling(p) == case.couples:
        # Weights meet the single value of the batch: a convention, no limit.
        return of_sample(t, p, d) if point.weights is None and p.size else None
    counts = np.ones(len(p)) if point.weights is None else np.float64(point.weights)
    nothing = Limit(np.zeros(2), *np.zeros((2, 2, *p.shape[1:])))
    found = [of_sample(*row) if c else nothing for *row, c in zip(t, p, d, counts, strict=True)]
    samples = [s for s in found if s is not None]
    if len(samples) < len(found):
        return None
    samples = [case.limit(s) for s in samples]
    size = _size(point, counts, t, config)
    value = sum((s.value for s in samples), np.zeros(2)) / size
    if not samples:
        return Limit(value, np.zeros((2, *p.shape)), np.zeros((2, *p.shape)))
    gradient, product = (np.stack([s[i] for s in samples], 1) / size for i in (1, 2))
    return Limit(value, gradient, product, max(s.rounding for s in samples))


def _size(point: Point, counts: np.ndarray, t: np.ndarray, config: dict[str, Any]) -> float:
    """What the sum is divided by: with weights the number of samples, or of those that count."""
    if point.weighting == "none":
        return 1
    ignored = config.get("ignore_class")
    if ignored is None and point.weighting == "weight":
        return max(1, len(counts))
    valid = np.ones(len(counts)) if ignored is None else np.float64(t != ignored)
    return max(1, np.sum(valid * (counts if point.weighting == "mask" else 1)))


def _of_sample(
    formula: Callable[[Any, Numbers], mpmath.mpf], t: np.ndarray, p: np.ndarray, d: np.ndarray
) -> Limit | None:
    truth: Any = _numbers(t) if t.ndim else mpmath.mpf(float(t))
    at, along = _numbers(np.clip(p, -INFINITE, INFINITE)), _numbers(d)
    # Smaller than any entry, so that no difference crosses 0.
    far = FAR * min([1, *(abs(x) for x in at if x)])

    def value(p: Numbers) -> mpmath.mpf:
        return formula(truth, p)

    def slopes(p: Numbers) -> Iterable[tuple[mpmath.mpf, mpmath.mpf]]:
        """From below and from above, of each entry."""
        here = value(p)
        for i, x in enumerate(p):
            h = STEP * (min(abs(x), 1) or 1)
            low, high = (value([*p[:i], x + s, *p[i + 1 :]]) for s in (-h, h))
            yield (here - low) / h, (high - here) / h

    def middle(p: Numbers) -> Numbers:
        return [sum(pair) / 2 for pair in slopes(p)]

    try:
        with mp.workdps(exact.DIGITS):
            here = float(value(at))
            if not np.isfinite(p).all():
                more = float(value(_numbers(np.clip(p, -(INFINITE**2), INFINITE**2))))
                here = np.sign(more) * np.inf if abs(more) > 1.001 * abs(here) else here
            pairs = list(slopes(at))
            centre = [sum(pair) / 2 for pair in pairs]
            sides = []
            for step in (-far, far):
                moved = middle([x + step * v for x, v in zip(at, along, strict=True)])
                sides.append([(b - a) / step for a, b in zip(centre, moved, strict=True)])
            gradient = _bounds(list(zip(*pairs, strict=True)), p.shape)
            product = _bounds(sides, p.shape)
            jump = np.reshape([float(abs(b - a)) for a, b in pairs], p.shape)
    except (ArithmeticError, TypeError, ValueError):  # 0 / 0, the root of a negative number
        return None
    unit = np.where(jump > SMOOTH, np.minimum(1, jump), 1)
    product[:, np.any(np.abs(product) > KINK * unit, 0)] = np.nan
    return Limit(np.array([here, here]), gradient, product)


def _numbers(x: np.ndarray) -> Numbers:
    return [mpmath.mpf(float(entry)) for entry in x.ravel()]


def _bounds(sides: Sequence[Sequence[mpmath.mpf]], shape: tuple[int, ...]) -> Bounds:
    found = np.array([[float(x) for x in side] for side in sides])
    return np.sort(found, axis=0).reshape(2, *shape)
