"""Margin losses on scores."""

import numpy as np

from cases import Case, Elsewhere
from exact import dot, mean, row_largest
from lossjax import losses


def margins(t, p):
    binary = all(a in (0, 1) for a in t)
    signs = [2 * a - 1 if binary else a for a in t]
    return [max(1 - a * b, 0) for a, b in zip(signs, p, strict=True)]


def hinge(t, p):
    return mean(margins(t, p))


def squared_hinge(t, p):
    return mean([m**2 for m in margins(t, p)])


def categorical_hinge(t, p):
    negative = max((1 - a) * b for a, b in zip(t, p, strict=True))
    return max(0, 1 + negative - dot(t, p))


def of_categorical_hinge(t, p, _):
    return np.maximum(1, row_largest(p)), None


CASES = (
    Case(
        losses.Hinge,
        exact=hinge,
        ulps=(1, 1),
        residuals=1,
        extra=2,
        elsewhere=(Elsewhere("optax", "optax.losses.hinge_loss(y_pred, y_true).mean()"),),
    ),
    Case(losses.SquaredHinge, exact=squared_hinge, ulps=(4, 1), residuals=1, extra=2),
    Case(
        losses.CategoricalHinge,
        exact=categorical_hinge,
        sizes=of_categorical_hinge,
        ulps=(2, 1),
        residuals=3,
        extra=2,
    ),
)
