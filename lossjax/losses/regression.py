r"""Losses of a real-valued error, averaged over the last axis."""

from jax import numpy as jnp

from lossjax.core import check
from lossjax.core.check import is_narrow
from lossjax.core.loss import Loss, leaf
from lossjax.core.types import Array, Hyper, Input
from lossjax.math import curves
from lossjax.math.elementwise import (
    EPSILON,
    absolute,
    floored,
    huber_curve,
    log_of_cosh,
    mean,
    plain_mean,
    squared_log_ratio,
)
from lossjax.math.fusion import elementwise, traced

__all__ = [
    "EpsilonInsensitive",
    "Expectile",
    "Huber",
    "LogCosh",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Quantile",
    "SmoothL1",
    "epsilon_insensitive",
    "expectile",
    "huber",
    "log_cosh",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "quantile",
    "smooth_l1",
]


def mean_squared_error(y_true: Input, y_pred: Input) -> Array:
    """mean((y_pred - y_true)²).

    Use: regression to the mean of `y_true`. Not with outliers, whose pull grows with their error:
    `huber` and `log_cosh` bound it.

    Shapes: (..., d) for both, ranks aligned; values (...). Unit: that of `y_true` squared.
    Raises ValueError for shapes that do not fit.
    Source: Gauss (1809), Theoria motus; equal to `keras.losses.mean_squared_error`.

    >>> print(mean_squared_error([[0.0, 1.0]], [[1.0, 3.0]]))
    [2.5]
    """
    y_true, y_pred = check.pair("mean_squared_error", y_true, y_pred, align=True, narrow=True)
    return plain_mean(_squared_error(y_true, y_pred), -1)


@traced
def _squared_error(t: Array, p: Array) -> Array:
    return jnp.square(p - t)


class MeanSquaredError(Loss):
    fn = mean_squared_error
    couples = "none"
    widens = True
    aliases = ("mse", "MSE")


def mean_absolute_error(y_true: Input, y_pred: Input) -> Array:
    """mean(|y_pred - y_true|).

    Use: regression to the median of `y_true`, with outliers. The gradient does not shrink near the
    target, so that steps must: `huber` and `log_cosh` are smooth there.

    Shapes: (..., d) for both, ranks aligned; values (...). Unit: that of `y_true`.
    At equality the derivative is 0, the middle of its two sides (so does TensorFlow; Keras on
    JAX has -1).
    Raises ValueError for shapes that do not fit.
    Source: Laplace (1774); equal to `keras.losses.mean_absolute_error`.

    >>> print(mean_absolute_error([[0.0, 1.0]], [[1.0, 3.0]]))
    [1.5]
    """
    y_true, y_pred = check.pair("mean_absolute_error", y_true, y_pred, align=True, narrow=True)
    return mean(_absolute_error(y_true, y_pred), -1)


@traced
def _absolute_error(t: Array, p: Array) -> Array:
    return absolute(p - t)


class MeanAbsoluteError(Loss):
    fn = mean_absolute_error
    couples = "none"
    widens = True
    aliases = ("mae", "MAE")


def mean_absolute_percentage_error(y_true: Input, y_pred: Input) -> Array:
    """100 * mean(|y_pred - y_true| / max(|y_true|, 1e-7)).

    Use: quantities far from 0 whose relative error counts. Not for truths near 0, which outweigh
    all others. For positive quantities too low costs at most 100 %, too high any amount: what is
    uncertain is predicted too low.

    Shapes: (..., d) for both, ranks aligned; values (...), in percent. A true value of 0 divides
    by 1e-7. At equality the derivative is 0, the middle of its two sides (so does TensorFlow;
    Keras on JAX has ∓100/|y_true|).
    Raises ValueError for shapes that do not fit.
    Source: equal to `keras.losses.mean_absolute_percentage_error`.

    >>> print(mean_absolute_percentage_error([[2.0, 1.0]], [[1.0, 1.0]]))
    [25.]
    """
    y_true, y_pred = check.pair(
        "mean_absolute_percentage_error", y_true, y_pred, align=True, narrow=True
    )
    return 100.0 * mean(_relative_error(y_true, y_pred), -1)


@traced
def _relative_error(t: Array, p: Array) -> Array:
    scale = floored(EPSILON, absolute(t))
    return absolute((p - t) / scale)


class MeanAbsolutePercentageError(Loss):
    fn = mean_absolute_percentage_error
    couples = "none"
    widens = True
    aliases = ("mape", "MAPE")


def mean_squared_logarithmic_error(y_true: Input, y_pred: Input) -> Array:
    """mean(log²((1 + y_pred) / (1 + y_true))), both no less than 1e-7.

    Use: quantities ≥ 0 over orders of magnitude, where ratios count. Too low costs more than too
    high by the same difference. Not where absolute errors count.

    Shapes: (..., d) for both, ranks aligned; values (...). For quantities ≥ 0: negative ones
    count as 1e-7 and have the derivative 0.
    Raises ValueError for shapes that do not fit.
    Source: equal to `keras.losses.mean_squared_logarithmic_error` up to its rounding of 1 + y.

    >>> print(mean_squared_logarithmic_error([[0.0]], [[1.0]]).round(4))
    [0.4805]
    """
    y_true, y_pred = check.pair(
        "mean_squared_logarithmic_error", y_true, y_pred, align=True, narrow=True
    )
    return plain_mean(_squared_log_ratio(y_true, y_pred), -1)


def _squared_log_ratio(t: Array, p: Array) -> Array:
    # The logarithm for value and derivative stays where the gradient will be. Of 16 bits it would
    # be an array of its own.
    narrow = is_narrow(t) or is_narrow(p)
    return _by_two_logs(t, p) if narrow else _by_one_log(t, p)


@elementwise()
def _by_two_logs(t: Array, p: Array) -> Array:
    return squared_log_ratio(False, *_floors(t, p))


@elementwise(shared=True)
def _by_one_log(t: Array, p: Array) -> Array:
    return squared_log_ratio(True, *_floors(t, p))


def _floors(t: Array, p: Array) -> tuple[Array, Array]:
    return floored(EPSILON, p), floored(EPSILON, t)


class MeanSquaredLogarithmicError(Loss):
    fn = mean_squared_logarithmic_error
    couples = "none"
    widens = True
    domain = "positive"
    aliases = ("msle", "MSLE")


def huber(y_true: Input, y_pred: Input, delta: Hyper = 1.0) -> Array:
    """mean of e²/2 where |e| ≤ delta, and delta (|e| - delta/2) beyond; e = y_pred - y_true.

    Use: regression with outliers, `delta` being the error beyond which it is one. The gradient is
    bounded by delta, and small where delta is: choose it in the unit of the noise.

    `delta` ≥ 0 has the unit of `y_true` (inf: half the squared error).
    Shapes: (..., d) for both, ranks aligned; values (...). The derivative is e clipped to
    ±delta, also at an infinite error, where Keras has NaN.
    Raises ValueError for a negative delta and for shapes that do not fit.
    Source: Huber (1964), Ann. Math. Statist. 35(1), eq. 10; equal to `keras.losses.huber`.
    Keras 3.15 leaves `delta` out of the config of its class; its later versions and lossjax
    do not.

    >>> print(huber([[0.0, 0.0]], [[1.0, 3.0]], delta=2.0))
    [2.25]
    """
    check.within("huber", "delta", delta, "[0, inf]")
    y_true, y_pred = check.pair("huber", y_true, y_pred, align=True, narrow=True)
    return mean(_huber(y_true, y_pred, jnp.asarray(delta, check.wide_dtype(y_pred))), -1)


@elementwise()
def _huber(t: Array, p: Array, delta: Array) -> Array:
    return huber_curve(p - t, delta)


class Huber(Loss):
    fn = huber
    couples = "none"
    widens = True
    default_name = "huber_loss"
    aliases = ("huber_loss",)
    delta: Hyper = leaf(default=1.0, interval="[0, inf]")


def log_cosh(y_true: Input, y_pred: Input) -> Array:
    """mean(log cosh(y_pred - y_true)): about e²/2 near 0 and |e| - log 2 far away.

    Use: regression with outliers, smooth to every order and without a number to choose. What an
    outlier is, an error above about 1, is fixed: scale the targets, or take `huber`.

    Shapes: (..., d) for both, ranks aligned; values (...). The derivative is tanh e. Accurate
    for small errors, where Keras rounds to 0 (at e = 1e-4 the value is 5e-9).
    Raises ValueError for shapes that do not fit.
    Source: Saleh & Saleh (2022), arXiv:2208.04564; equal to `keras.losses.log_cosh` up to the
    rounding there.

    >>> print(log_cosh([[0.0]], [[1.0]]).round(4))
    [0.4338]
    """
    y_true, y_pred = check.pair("log_cosh", y_true, y_pred, align=True, narrow=True)
    return mean(_log_cosh(y_true, y_pred), -1)


@elementwise()
def _log_cosh(t: Array, p: Array) -> Array:
    return log_of_cosh(p - t)


class LogCosh(Loss):
    fn = log_cosh
    couples = "none"
    widens = True
    aliases = ("logcosh",)


def smooth_l1(y_true: Input, y_pred: Input, *, beta: Hyper = 1.0) -> Array:
    """mean of e² / (2 beta) where |e| ≤ beta, and |e| - beta/2 beyond; e = y_pred - y_true.

    Use: the absolute error, smooth near the target; the boxes of detectors. `huber` divided by its
    `delta`: the slope beyond is ±1 whatever `beta` is, where that of `huber` is ±delta.

    `beta` ≥ 0 has the unit of `y_true` (0: the absolute error).
    Shapes: (..., d) for both, ranks aligned; values (...). Unit: that of `y_true`. The derivative
    is e / beta clipped to ±1.
    Raises ValueError for a negative or infinite beta and for shapes that do not fit.
    Source: Girshick (2015), arXiv:1504.08083, eq. 3, with a beta of 1.

    >>> print(smooth_l1([[0.0, 0.0]], [[0.5, 3.0]], beta=0.5))
    [1.5]
    """
    y_true, y_pred = check.pair("smooth_l1", y_true, y_pred, align=True)
    check.within("smooth_l1", "beta", beta, "[0, inf)")
    return mean(_smooth_l1(y_true, y_pred, jnp.asarray(beta, y_pred.dtype)), -1)


@elementwise()
def _smooth_l1(t: Array, p: Array, beta: Array) -> Array:
    return curves.rounded_abs(p - t, beta)


class SmoothL1(Loss):
    fn = smooth_l1
    couples = "none"
    beta: Hyper = leaf(default=1.0, interval="[0, inf)", kw_only=True)


def epsilon_insensitive(y_true: Input, y_pred: Input, *, epsilon: Hyper = 0.1) -> Array:
    """mean(max(0, |y_pred - y_true| - epsilon)).

    Use: errors up to `epsilon` are as good as none, as in support vector regression. A sample
    within it has no gradient.

    `epsilon` ≥ 0 has the unit of `y_true` (0: the absolute error).
    Shapes: (..., d) for both, ranks aligned; values (...). Unit: that of `y_true`. At an error of
    ±epsilon the derivative is ±1/2, the middle of its two sides.
    Raises ValueError for a negative epsilon and for shapes that do not fit.
    Source: Vapnik (1995), The nature of statistical learning theory, section 6.1.

    >>> print(epsilon_insensitive([[0.0, 0.0]], [[0.5, 3.0]], epsilon=1.0))
    [1.]
    """
    y_true, y_pred = check.pair("epsilon_insensitive", y_true, y_pred, align=True)
    check.within("epsilon_insensitive", "epsilon", epsilon, "[0, inf)")
    return mean(_beyond(y_true, y_pred, jnp.asarray(epsilon, y_pred.dtype)), -1)


@elementwise()
def _beyond(t: Array, p: Array, epsilon: Array) -> Array:
    return curves.beyond(p - t, epsilon)


class EpsilonInsensitive(Loss):
    fn = epsilon_insensitive
    couples = "none"
    epsilon: Hyper = leaf(default=0.1, interval="[0, inf)", kw_only=True)


def quantile(y_true: Input, y_pred: Input, *, level: Hyper = 0.5, delta: Hyper = 0.0) -> Array:
    """mean(max(level u, (level - 1) u)), u = y_true - y_pred: the pinball loss.

    Use: regression to a quantile of `y_true`, where too low costs level / (1 - level) times as
    much as too high. Several levels are learned as columns: `y_pred` (..., K), `level` of K
    numbers and `y_true` (..., 1). Nothing keeps the columns in order.

    Shapes: (..., d) for both, ranks aligned; values (...). Unit: that of `y_true`. `level` is in
    (0, 1), one number or one a column. At u = 0 the derivative by `y_pred` is 1/2 - level, the
    middle of its two sides.
    `delta` > 0 rounds the kink, for steps that are not to shrink near the target: |u| becomes
    u² / (2 delta) up to delta, |u| - delta/2 beyond. QR-DQN's loss is `delta` times this.
    Raises ValueError for a level outside (0, 1), for a negative or infinite delta and for shapes
    that do not fit.
    Source: Koenker and Bassett (1978), Econometrica 46(1), 33-50; rounded: Dabney et al. (2018),
    arXiv:1710.10044, eq. 10.

    >>> print(quantile([[1.0], [1.0]], [[0.0], [2.0]], level=0.75))
    [0.75 0.25]
    """
    y_true, y_pred = check.pair("quantile", y_true, y_pred, align=True, narrow=True)
    check.within("quantile", "level", level, "(0, 1)")
    check.within("quantile", "delta", delta, "[0, inf)")
    level, delta = (jnp.asarray(x, check.wide_dtype(y_pred)) for x in (level, delta))
    return mean(_pinball(y_true, y_pred, level, delta), -1)


@elementwise()
def _pinball(t: Array, p: Array, level: Array, delta: Array) -> Array:
    return curves.pinball(t - p, level, delta)


class Quantile(Loss):
    fn = quantile
    couples = "none"
    widens = True
    aliases = ("pinball",)
    level: Hyper = leaf(default=0.5, interval="(0, 1)", kw_only=True)
    delta: Hyper = leaf(default=0.0, interval="[0, inf)", kw_only=True)


def expectile(y_true: Input, y_pred: Input, *, level: Hyper = 0.5) -> Array:
    """mean(w u²), w = level where u > 0 and 1 - level where u < 0; u = y_true - y_pred.

    Use: regression to an expectile: as the mean, with what is too low weighed level / (1 - level)
    times as much as what is too high. Smoother than `quantile`, and drawn by outliers. Several
    levels are learned as columns, as there.

    `level` is in (0, 1), one number or one a column; 1/2 gives half the squared error.
    Shapes: (..., d) for both, ranks aligned; values (...). Unit: that of `y_true` squared.
    Raises ValueError for a level outside (0, 1) and for shapes that do not fit.
    Source: Newey and Powell (1987), Econometrica 55(4), 819-847, eq. 2.2.

    >>> print(expectile([[1.0], [1.0]], [[-1.0], [3.0]], level=0.75))
    [3. 1.]
    """
    y_true, y_pred = check.pair("expectile", y_true, y_pred, align=True)
    check.within("expectile", "level", level, "(0, 1)")
    return mean(_expectile(y_true, y_pred, jnp.asarray(level, y_pred.dtype)), -1)


@elementwise()
def _expectile(t: Array, p: Array, level: Array) -> Array:
    return curves.expectile_curve(t - p, level)


class Expectile(Loss):
    fn = expectile
    couples = "none"
    level: Hyper = leaf(default=0.5, interval="(0, 1)", kw_only=True)
