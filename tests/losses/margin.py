"""Losses of the margin of a score, or of the score of a class."""

import numpy as np
from mpmath import mp

from cases import Case
from exact import mean
from lossjax import losses
from samples import sign


def margins(t, p):
    return [b if a > 0 else -b for a, b in zip(t, p, strict=True)]


def perceptron(t, p):
    return mean([max(0, -m) for m in margins(t, p)])


def soft_margin(t, p):
    return mean([mp.log1p(mp.exp(-m)) for m in margins(t, p)])


def exponential(t, p):
    return mean([mp.exp(-m) for m in margins(t, p)])


def modified_huber(t, p):
    return mean([max(0, 1 - m) ** 2 if m >= -1 else -4 * m for m in margins(t, p)])


def within_float32(rng):
    """Scores whose exponential is a number."""
    t, p = sign(rng)
    kept = np.abs(p[:, 0]) < 80
    return t[kept], p[kept]


CASES = (
    Case(losses.Perceptron, exact=perceptron, ulps=(1, 1), residuals=1, extra=2),
    Case(losses.SoftMargin, exact=soft_margin, ulps=(4, 4), residuals=1, extra=2),
    Case(
        losses.Exponential,
        exact=exponential,
        inputs=within_float32,
        ulps=(2, 2),
        residuals=1,
        extra=2,
    ),
    Case(losses.ModifiedHuber, exact=modified_huber, ulps=(4, 1), residuals=1, extra=2),
)
