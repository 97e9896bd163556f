"""Losses that bound the pull of outliers."""

import numpy as np
from mpmath import mp

from cases import Case
from exact import errors, mean
from lossjax import losses


def pseudo_huber(t, p, delta=1.0, shifted=True):
    return mean([delta**2 * (mp.sqrt(1 + (e / delta) ** 2) - shifted) for e in errors(t, p)])


def cauchy(t, p, scale=1.0):
    return mean([mp.log(1 + (e / scale) ** 2 / 2) for e in errors(t, p)])


def geman_mcclure(t, p, scale=1.0):
    squares = [(e / scale) ** 2 for e in errors(t, p)]
    return mean([2 * x / (x + 4) for x in squares])


def welsch(t, p, scale=1.0):
    return mean([1 - mp.exp(-((e / scale) ** 2) / 2) for e in errors(t, p)])


def tukey(t, p, cutoff=4.685):
    ratios = [min(1, abs(e) / cutoff) for e in errors(t, p)]
    return mean([cutoff**2 / 6 * (1 - (1 - r**2) ** 3) for r in ratios])


def of_welsch(t, p, config):
    """The square in the exponent rounds."""
    square = ((p - t) / config.get("scale", 1)) ** 2
    slope = np.abs(p - t) * np.exp(-square / 2) / config.get("scale", 1) ** 2
    return None, slope * (1 + square)


CASES = (
    Case(
        losses.PseudoHuber,
        ({}, {"delta": 0.3}, {"delta": 5.0, "shifted": False}),
        measured=({"delta": 1e-3},),
        exact=pseudo_huber,
        ulps=(8, 8),
        residuals=1,
        extra=2,
        keras=None,
    ),
    Case(
        losses.Cauchy,
        # In units of a smaller scale the largest float32 are infinite.
        ({}, {"scale": 3.0}),
        measured=({"scale": 0.3},),
        exact=cauchy,
        ulps=(8, 8),
        residuals=1,
        extra=2,
        keras=None,
    ),
    Case(
        losses.GemanMcClure,
        ({}, {"scale": 0.3}),
        exact=geman_mcclure,
        ulps=(8, 8),
        residuals=1,
        extra=2,
        keras=None,
    ),
    Case(
        losses.Welsch,
        ({}, {"scale": 0.3}),
        exact=welsch,
        sizes=of_welsch,
        ulps=(8, 8),
        residuals=1,
        extra=2,
        keras=None,
    ),
    Case(
        losses.Tukey,
        ({"cutoff": 4.0}, {"cutoff": 0.3}),
        exact=tukey,
        ulps=(8, 8),
        residuals=1,
        extra=2,
        keras=None,
    ),
)
