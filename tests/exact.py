"""Exact values and derivatives of a definition at 220 digits, and the size at which it rounds.

The definitions are beside the rows of `tests/losses`. They are written from the formulas, nothing
of lossjax: no stable rearrangement is needed at 220 digits, and derivatives are central
differences, which on a kink give the middle of its two sides.
"""

import functools

import mpmath
import numpy as np
from mpmath import mp

DIGITS = 220
STEP = mpmath.mpf("1e-90")  # of the entry; where an entry is 0, the step itself

# The constants that a float32 computation clips with.
EPS = mpmath.mpf(float(np.float32(1e-7)))
TOP = mpmath.mpf(float(np.float32(1 - 1e-7)))  # 1 - 2^-23


def mean(terms):
    return mp.fsum(terms) / len(terms)


def dot(a, b):
    return mp.fdot(a, b)


def clip(x, low, high):
    return min(max(x, low), high)


def as_list(x, n):
    """A number for all of n, or one each."""
    return x if isinstance(x, list) else [x] * n


def errors(t, p):
    return [b - a for a, b in zip(t, p, strict=True)]


def smooth(t, amount, classes):
    return [a * (1 - amount) + amount / classes for a in t]


def probabilities(p, from_logits):
    if from_logits:
        top = max(p)  # exp(1e30) has too many digits
        p = [mp.exp(z - top) for z in p]
    total = mp.fsum(p)
    return [x / total if from_logits else clip(x / total, EPS, TOP) for x in p]


def number(x):
    """What float32 makes of a hyperparameter; choices stay what they are."""
    if isinstance(x, float):
        return mpmath.mpf(float(np.float32(x)))
    return [number(y) for y in x] if isinstance(x, list) else x


def numbers(config):
    """A config for a definition, to which a sample is one row, whatever `axis`."""
    return {key: number(x) for key, x in config.items() if key != "axis"}


def value_and_gradient(formula, y_true, y_pred, config):
    """Exact value and gradient with respect to `y_pred` of one sample, as float64."""
    with mp.workdps(DIGITS):
        config = numbers(config)
        t = [mpmath.mpf(float(x)) for x in np.ravel(y_true)]
        p = [mpmath.mpf(float(x)) for x in np.ravel(y_pred)]
        t = t if np.ndim(y_true) else t[0]

        def at(i, step):
            return formula(t, [*p[:i], p[i] + step, *p[i + 1 :]], **config)

        steps = [STEP * (abs(x) or 1) for x in p]
        slopes = [(at(i, h) - at(i, -h)) / (2 * h) for i, h in enumerate(steps)]
        return float(at(0, 0)), np.array([float(s) for s in slopes]).reshape(y_pred.shape)


# --- sizes at which float32 rounds: the largest addend of the value, and of each slope ----------
# Rows have functions of (t, p, config), float64 arrays with a sample each row; None where nothing
# can cancel.


def largest(*addends):
    return functools.reduce(np.maximum, map(np.abs, addends))


def row_largest(terms):
    return np.max(np.abs(terms), -1)


def sizes(of, y_true, y_pred, config, exact):
    """Of the value and of the slopes: the largest addend, no less than the exact result."""
    t, p = np.float64(y_true), np.float64(y_pred)
    addends = of(t, p, config) if of else (None, None)
    return [np.abs(e) if s is None else largest(e, s) for e, s in zip(exact, addends, strict=True)]
