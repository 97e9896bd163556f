"""Losses of overlapping regions."""

import numpy as np
from mpmath import mp

from cases import Case, Elsewhere
from exact import EPS, dot, largest
from lossjax import losses


def dice(t, p, axis=None):
    return 1 - 2 * dot(t, p) / (mp.fsum(t) + mp.fsum(p) + EPS)


def tversky(t, p, alpha=0.5, beta=0.5, axis=None):
    overlap = dot(t, p)
    missed, false = dot(t, [1 - b for b in p]), dot(p, [1 - a for a in t])
    return 1 - overlap / (overlap + alpha * missed + beta * false + EPS)


def of_region(t, p, alpha, beta):
    total = np.sum(t * p + alpha * t * (1 - p) + beta * p * (1 - t), -1, keepdims=True) + 1e-7
    overlap = np.sum(t * p, -1, keepdims=True)
    by_p = largest(t, alpha * t, beta * (1 - t))
    return np.ones(len(t)), largest(t / total, overlap * by_p / total**2)


CASES = (
    Case(
        losses.Dice,
        ({}, {"axis": -1}),
        exact=dice,
        sizes=lambda t, p, _: of_region(t, p, 0.5, 0.5),
        ulps=(3, 7),
        residuals=1,
        extra=2,
        elsewhere=(
            Elsewhere(
                "monai",
                "monai.losses.DiceLoss(smooth_nr=0.0, smooth_dr=1e-7)"
                "(y_pred.reshape(1, 1, -1), y_true.reshape(1, 1, -1))",
            ),
        ),
    ),
    Case(
        losses.Tversky,
        ({}, {"alpha": 0.2, "beta": 0.7}, {"axis": -1}),
        measured=({"alpha": 5.0, "beta": 0.0},),
        exact=tversky,
        sizes=lambda t, p, c: of_region(t, p, c.get("alpha", 0.5), c.get("beta", 0.5)),
        ulps=(3, 10),
        residuals=3,
        extra=2,
        elsewhere=(
            Elsewhere(
                "monai",
                "monai.losses.TverskyLoss(smooth_nr=0.0, smooth_dr=1e-7)"
                "(y_pred.reshape(1, 1, -1), y_true.reshape(1, 1, -1))",
                note="Its alpha weighs false alarms, as here.",
            ),
        ),
    ),
)
