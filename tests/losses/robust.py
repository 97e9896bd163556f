"""Losses that bound the pull of outliers."""

from math import inf

import jax
import mpmath
import numpy as np
import pytest
from mpmath import mp

from cases import Case, Elsewhere
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
    area = {0: mp.pi * mp.sqrt(2), 2: mp.sqrt(2 * mp.pi)}[int(shape)]
    return mean(values) + mp.log(scale) + mp.log(area)


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
    slope = x * np.exp(-np.sign(2 - shape) * growth) * (1 + growth)
    return np.ravel(x * slope), slope / config.get("scale", 1)


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
        elsewhere=(
            Elsewhere("kornia", "kornia.losses.charbonnier_loss(y_pred, y_true, reduction='mean')"),
            Elsewhere(
                "scipy",
                "scipy.special.pseudo_huber(2.0, y_pred - y_true).mean()",
                {"delta": 2.0},
            ),
            Elsewhere(
                "torch",
                "torch.sqrt(torch.square(y_pred - y_true) + 1e-3**2).mean()",
                {"delta": 1e-3, "shifted": False},
                times=1e3,
                note="What restores images calls it Charbonnier's loss.",
            ),
        ),
        ulps=(6, 5),
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
        elsewhere=(
            Elsewhere("kornia", "kornia.losses.cauchy_loss(y_pred, y_true, reduction='mean')"),
        ),
        ulps=(8, 5),
        residuals=1,
        extra=2,
        keras=None,
    ),
    Case(
        losses.GemanMcClure,
        ({}, {"scale": 0.3}),
        exact=geman_mcclure,
        elsewhere=(
            Elsewhere(
                "kornia", "kornia.losses.geman_mcclure_loss(y_pred, y_true, reduction='mean')"
            ),
        ),
        ulps=(5, 9),
        residuals=1,
        extra=2,
        keras=None,
    ),
    Case(
        losses.Welsch,
        ({}, {"scale": 0.3}),
        exact=welsch,
        elsewhere=(
            Elsewhere("kornia", "kornia.losses.welsch_loss(y_pred, y_true, reduction='mean')"),
        ),
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
        elsewhere=(
            Elsewhere(
                "statsmodels",
                "sm.robust.norms.TukeyBiweight(3.0).rho(y_pred - y_true).mean()",
                {"cutoff": 3.0},
                gradient="sm.robust.norms.TukeyBiweight(3.0).psi(y_pred - y_true) / y_true.size",
            ),
        ),
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
            {"shape": 0.0, "likelihood": True},
            {"shape": -3.0, "scale": 5.0},  # quick tests take the first and the last
        ),
        measured=(
            *({"shape": x} for x in (-1e6, -2.0, -1e-5, 0.0, 1e-5, 0.999, 1.99999, 2.00001)),
            {"shape": 2.0, "likelihood": True, "scale": 2.0},
        ),
        exact=general_robust,
        elsewhere=(
            Elsewhere(
                "kornia",
                "kornia.losses.geman_mcclure_loss(y_pred, y_true, reduction='mean')",
                {"shape": -2.0},
            ),
            Elsewhere(
                "scipy",
                "-stats.norm.logpdf(y_pred, y_true, 0.5).mean()",
                {"shape": 2.0, "scale": 0.5, "likelihood": True},
                gradient="(y_pred - y_true) / 0.5**2 / y_true.size",
            ),
            Elsewhere(
                "scipy",
                "-stats.cauchy.logpdf(y_pred, y_true, np.sqrt(2)).mean()",
                {"shape": 0.0, "likelihood": True},
            ),
        ),
        sizes=of_general,
        ulps=(10, 6),
        residuals=1,
        extra=2,
        keras=None,
        unsafe=("bfloat16 extremes",),
    ),
)

ERRORS = np.float32([1e-3, 0.03, 0.5, 2, 30, 1e6])


def by_shape(x, shape):
    """The derivative of the definition, at 100 digits."""
    with mp.workdps(100):
        x, shape, step = mpmath.mpf(float(x)), mpmath.mpf(float(shape)), mpmath.mpf("1e-20")
        return float((general(x, shape + step) - general(x, shape - step)) / (2 * step))


def test_the_slope_by_shape_keeps_its_digits():
    """Small errors too, where it is the third power of their square, and all else cancels.

    At the shape 2 it is infinite and taken beside it, at infinite ones it is 0.
    """
    slopes = jax.jit(
        jax.vmap(
            jax.vmap(jax.grad(lambda a, x: losses.general_robust([0.0], [x], shape=a)), (None, 0)),
            (0, None),
        )
    )
    shapes = np.float32([-1e4, -2, -1e-6, 0, 1e-3, 1, 1.9999, 2.001, 4, 2, -inf, inf])
    found = np.asarray(slopes(shapes, ERRORS[:5]))
    for shape, row in zip(shapes, found, strict=True):
        if np.isinf(shape):
            assert not row[:4].any()
            continue
        beside = 2 + float(np.finfo(np.float32).eps) if shape == 2 else shape
        want = [by_shape(e, beside) for e in ERRORS[:5]]
        np.testing.assert_allclose(row, want, rtol=1e-5, atol=1e-37)


def test_the_members_of_the_general_loss():
    t, p = 0 * ERRORS[:, None], ERRORS[:, None]
    for shape, member in (
        (-inf, losses.welsch(t, p, scale=0.7)),
        (-2.0, losses.geman_mcclure(t, p, scale=0.7)),
        (0.0, losses.cauchy(t, p, scale=0.7)),
        (1.0, losses.pseudo_huber(t, p, delta=0.7) / 0.7**2),
    ):
        values = losses.general_robust(t, p, shape=shape, scale=0.7)
        np.testing.assert_allclose(values, member, rtol=3e-6)


# (shape, log of the integral, its derivative), by quadrature at 40 digits.
AREAS = [
    (1e-3, 1.4904472569, -0.8526938749),
    (0.3, 1.3475135741, -0.3189183859),
    (1.0, 1.1854952323, -0.1928700153),
    (1.9, 0.9784664113, -0.4029379377),
    (1.999, 0.9206003493, -1.413915039),
    (2.1, 0.8640631297, -0.3311325553),
    (30.0, 0.7086706567, -0.0001192101),
]


def test_the_likelihood_integrates_to_1():
    def constant(shape):
        return losses.general_robust([0.0], [0.0], shape=shape, scale=1.0, likelihood=True)

    shape, want, slope = np.array(AREAS).T
    with jax.enable_x64(True):
        got, by_shape = jax.jit(jax.vmap(jax.value_and_grad(constant)))(shape)
    np.testing.assert_allclose(got, want, rtol=2e-10, atol=2e-10)
    np.testing.assert_allclose(by_shape, slope, rtol=1e-6)


def test_below_the_shape_0_there_is_no_likelihood():
    with pytest.raises(ValueError, match=r"shape must be in the interval \[0, inf\], got -1"):
        losses.GeneralRobust(shape=-1.0, likelihood=True)([[0.0]], [[1.0]])
    traced = jax.jit(lambda a: losses.general_robust([0.0], [1.0], shape=a, likelihood=True))
    assert traced(-1.0) == inf


def test_a_shape_and_a_scale_for_each_column():
    t, p = np.zeros((2, 3), np.float32), np.float32([[1, 2, 3], [-3, 0, 1]])
    shapes, scales = np.float32([0.5, 1.0, 2.0]), np.float32([1.0, 2.0, 0.5])
    loss = losses.GeneralRobust(shape=shapes, scale=scales, likelihood=True)

    def column(a, c, t, p):
        return losses.general_robust(t[:, None], p[:, None], shape=a, scale=c, likelihood=True)

    want = jax.jit(jax.vmap(column, (0, 0, 1, 1)))(shapes, scales, t, p)
    np.testing.assert_allclose(jax.jit(loss.call)(t, p), np.mean(want, 0), rtol=1e-6)
    by_shape = jax.jit(jax.grad(lambda loss: loss(t, p)))(loss).shape
    assert by_shape.shape == (3,)
    assert np.isfinite(by_shape).all()
