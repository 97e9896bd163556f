"""Losses that bound the pull of outliers."""

from math import inf

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


def general_robust(t, p, shape=1.0, scale=1.0, likelihood=False):
    values = [general(abs(e) / scale, shape) for e in errors(t, p)]
    if not likelihood:
        return mean(values)
    constants = {0: mp.pi * mp.sqrt(2), 1: 2 * mp.e * mp.besselk(1, 1), 2: mp.sqrt(2 * mp.pi)}
    return mean(values) + mp.log(scale) + mp.log(constants[shape])


def general(x, shape):
    if shape == 2:
        return x**2 / 2
    if shape == 0:
        return mp.log(1 + x**2 / 2)
    if mp.isinf(shape):
        return mp.sign(shape) * (mp.exp(mp.sign(shape) * x**2 / 2) - 1)
    b = abs(shape - 2)
    return b / shape * ((1 + x**2 / b) ** (shape / 2) - 1)


def of_general(t, p, config):
    """Exponents round as large numbers do."""
    x = np.abs(p - t) / config.get("scale", 1)
    shape = config.get("shape", 1.0)
    if np.isinf(shape):
        growth = x**2 / 2
    else:
        b = max(abs(shape - 2), 1e-20)
        growth = b / 2 * np.log1p(x**2 / b)
    slope = x * np.exp(-np.sign(2 - shape) * growth) / config.get("scale", 1)
    return None, slope * (1 + growth)


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
    Case(
        losses.GeneralRobust,
        (
            {},
            {"shape": 2.0},
            {"shape": -inf, "scale": 0.3},
            {"shape": -3.0, "scale": 5.0},
            {"shape": 0.0, "likelihood": True},
        ),
        measured=(
            *({"shape": x} for x in (-1e6, -2.0, -1e-5, 0.0, 1e-5, 0.999, 1.99999, 2.00001)),
            *({"shape": x, "likelihood": True, "scale": 2.0} for x in (1.0, 2.0)),
        ),
        exact=general_robust,
        sizes=of_general,
        ulps=(60, 8),
        residuals=1,
        extra=2,
        keras=None,
    ),
)
