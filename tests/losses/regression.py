"""Losses of a real-valued error."""

import numpy as np
import pytest
from mpmath import mp

from cases import Case, Elsewhere
from exact import EPS, errors, largest, mean
from lossjax import losses


def mean_squared_error(t, p):
    return mean([e**2 for e in errors(t, p)])


def mean_absolute_error(t, p):
    return mean([abs(e) for e in errors(t, p)])


def mean_absolute_percentage_error(t, p):
    return 100 * mean([abs(e) / max(abs(a), EPS) for a, e in zip(t, errors(t, p), strict=True)])


def mean_squared_logarithmic_error(t, p):
    logs = [[mp.log(1 + max(x, EPS)) for x in xs] for xs in (t, p)]
    return mean_squared_error(*logs)


def huber(t, p, delta=1.0):
    def of(e):
        return e**2 / 2 if e <= delta else delta * (e - delta / 2)

    return mean([of(abs(e)) for e in errors(t, p)])


def log_cosh(t, p):
    return mean([mp.log(mp.cosh(e)) for e in errors(t, p)])


def smooth_l1(t, p, beta=1.0):
    def of(e):
        return e**2 / (2 * beta) if e < beta else e - beta / 2

    return mean([of(abs(e)) for e in errors(t, p)])


def epsilon_insensitive(t, p, epsilon=0.1):
    return mean([max(0, abs(e) - epsilon) for e in errors(t, p)])


def quantile(t, p, level=0.5, delta=0.0):
    costs = [(level if e < 0 else 1 - level) * smooth_l1([0], [e], delta) for e in errors(t, p)]
    return mean(costs)


def expectile(t, p, level=0.5):
    return mean([(level if e < 0 else 1 - level) * e**2 for e in errors(t, p)])


CASES = (
    Case(
        losses.MeanSquaredError,
        exact=mean_squared_error,
        ulps=(2, 1),  # the rounded error, squared
        elsewhere=(
            Elsewhere("torch", "F.mse_loss(y_pred, y_true)"),
            Elsewhere("optax", "optax.losses.squared_error(y_pred, y_true).mean()"),
            Elsewhere("optax", "optax.losses.l2_loss(y_pred, y_true).mean()", times=0.5),
            Elsewhere("scikit-learn", "sklearn.metrics.mean_squared_error(y_true, y_pred)"),
        ),
        residuals=1,
        extra=2,
    ),
    Case(
        losses.MeanAbsoluteError,
        exact=mean_absolute_error,
        ulps=(1, 1),
        elsewhere=(
            Elsewhere("torch", "F.l1_loss(y_pred, y_true)"),
            Elsewhere("scikit-learn", "sklearn.metrics.mean_absolute_error(y_true, y_pred)"),
        ),
        residuals=1,
        extra=2,
    ),
    Case(
        losses.MeanAbsolutePercentageError,
        exact=mean_absolute_percentage_error,
        elsewhere=(
            Elsewhere(
                "scikit-learn",
                "sklearn.metrics.mean_absolute_percentage_error(y_true, y_pred)",
                times=0.01,
            ),
        ),
        ulps=(3, 2),
        residuals=2,
        extra=2,
    ),
    Case(
        losses.MeanSquaredLogarithmicError,
        exact=mean_squared_logarithmic_error,
        elsewhere=(
            Elsewhere("scikit-learn", "sklearn.metrics.mean_squared_log_error(y_true, y_pred)"),
        ),
        ulps=(10, 6),  # log1p, squared
        residuals=1,
        extra=2,
    ),
    Case(
        losses.Huber,
        ({}, {"delta": 0.3}, {"delta": 5.0}),
        measured=({"delta": 1e-3},),
        exact=huber,
        ulps=(3, 1),
        elsewhere=(
            Elsewhere("torch", "F.huber_loss(y_pred, y_true, delta=0.5)", {"delta": 0.5}),
            Elsewhere(
                "optax",
                "optax.losses.huber_loss(y_pred, y_true, delta=0.5).mean()",
                {"delta": 0.5},
            ),
        ),
        lost_by_keras=("delta",),
        residuals=1,
        extra=2,
    ),
    Case(
        losses.LogCosh,
        exact=log_cosh,
        elsewhere=(Elsewhere("optax", "optax.losses.log_cosh(y_pred, y_true).mean()"),),
        ulps=(16, 8),  # XLA's expm1 and tanh on CPU have 4 ulps; expm1 is squared
        residuals=1,
        extra=2,
    ),
    Case(
        losses.SmoothL1,
        ({}, {"beta": 0.0}, {"beta": 0.3}),
        measured=({"beta": 1e-3},),
        exact=smooth_l1,
        ulps=(4, 2),
        elsewhere=(
            Elsewhere("torch", "F.smooth_l1_loss(y_pred, y_true, beta=0.5)", {"beta": 0.5}),
            Elsewhere("torch", "F.huber_loss(y_pred, y_true, delta=0.5)", {"beta": 0.5}, times=0.5),
            Elsewhere("torch", "F.l1_loss(y_pred, y_true)", {"beta": 0.0}),
        ),
        residuals=1,
        extra=2,
        keras=None,
    ),
    Case(
        losses.EpsilonInsensitive,
        ({"epsilon": 0.25}, {"epsilon": 0.0}),  # the inputs have rounded errors of 0.1
        exact=epsilon_insensitive,
        sizes=lambda t, p, c: (largest(p - t)[:, 0], None),
        ulps=(2, 0),
        residuals=1,
        extra=2,
        keras=None,
    ),
    Case(
        losses.Quantile,
        ({}, {"level": 0.9}, {"level": 0.1, "delta": 0.3}),
        exact=quantile,
        ulps=(4, 2),
        elsewhere=(
            Elsewhere(
                "scikit-learn",
                "sklearn.metrics.mean_pinball_loss(y_true, y_pred, alpha=0.9)",
                {"level": 0.9},
            ),
        ),
        residuals=1,
        extra=2,
        keras=None,
    ),
    Case(
        losses.Expectile,
        ({}, {"level": 0.9}),
        exact=expectile,
        ulps=(3, 2),
        residuals=1,
        extra=2,
        keras=None,
    ),
)


def test_log_cosh_where_keras_has_zero():
    keras = pytest.importorskip("keras")
    error = np.float32([1e-4])
    assert keras.losses.log_cosh(np.zeros(1), error) == 0
    np.testing.assert_allclose(losses.log_cosh(np.zeros(1), error), 5e-9, rtol=1e-6)


def test_quantiles_as_columns_with_a_rounded_kink():
    t, p = np.zeros((2, 1), np.float32), np.float32([[1, -1, 0.25], [-2, 0, 3]])
    levels = np.float32([0.1, 0.5, 0.9])
    want = [
        losses.quantile(t, p[:, i : i + 1], level=level, delta=0.5)
        for i, level in enumerate(levels)
    ]
    found = losses.Quantile(level=levels, delta=0.5).call(t, p)
    np.testing.assert_allclose(found, np.mean(want, 0), rtol=1e-6)
    np.testing.assert_allclose(
        losses.quantile(t, p, level=0.5, delta=0.5), losses.smooth_l1(t, p, beta=0.5) / 2, rtol=1e-6
    )
