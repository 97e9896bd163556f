"""Losses of a predicted distribution, whose parameters are `y_pred`.

`y_pred` is a named tuple of them, such as `losses.Gaussian(mean=..., log_variance=...)`, or a dict
with these names.
"""

import math
from typing import Any

from jax import lax
from jax import numpy as jnp

from lossjax.core import check
from lossjax.core.domain.parameters import Gaussian, Laplace
from lossjax.core.loss import Loss, leaf
from lossjax.core.types import Array, Hyper, Input
from lossjax.math.elementwise import absolute, mean, scaled
from lossjax.math.fusion import elementwise

__all__ = ["GaussianNLL", "LaplaceNLL", "gaussian_nll", "laplace_nll"]

_LOG_TWO, _LOG_TWO_PI = math.log(2), math.log(2 * math.pi)


def gaussian_nll(y_true: Input, y_pred: Any, *, beta: Hyper = 0.0) -> Array:
    """mean of exp(beta s) (log 2π + s + (y_true - mean)² exp(-s)) / 2, s = log_variance.

    Use: regression that says how sure it is, where errors are about normal. A single outlier costs
    its square: `student_t_nll` and `laplace_nll` bound what it pulls. With `beta` = 1/2 samples of
    a large predicted variance are learned from as well, which they are hardly with 0.

    `y_pred` is `losses.Gaussian(mean, log_variance)`, or a dict with these names. The factor
    exp(beta s), a power of the variance, has no derivative by `y_pred`: with `beta` ≠ 0 the
    gradient is not that of the value. `beta` is in [0, 1]; with 1 the mean is learned as with
    `mean_squared_error`.
    Shapes: (..., d) for all, or broadcast to one of them; values (...), in nats, with every
    constant (torch's GaussianNLLLoss takes the variance and by default leaves log 2π out).
    Raises TypeError for other parameters, ValueError for a beta outside [0, 1] and for shapes that
    do not fit.
    Source: Nix and Weigend (1994), doi:10.1109/ICNN.1994.374138; Seitzer et al. (2022),
    arXiv:2203.09168, eq. 4.

    >>> from lossjax import losses
    >>> print(gaussian_nll([[1.0]], losses.Gaussian([[0.0]], [[0.0]])).round(4))
    [1.4189]
    """
    y_true, p = check.with_parameters("gaussian_nll", y_true, y_pred, Gaussian)
    check.within("gaussian_nll", "beta", beta, "[0, 1]")
    return mean(_gaussian(y_true, p.mean, p.log_variance, jnp.asarray(beta, y_true.dtype)), -1)


@elementwise()
def _gaussian(t: Array, m: Array, s: Array, beta: Array) -> Array:
    z = scaled(t - m, 0.5 * s)
    return 0.5 * jnp.exp(beta * lax.stop_gradient(s)) * (_LOG_TWO_PI + s + z * z)


class GaussianNLL(Loss):
    fn = gaussian_nll
    couples = "none"
    domain = "gaussian"
    beta: Hyper = leaf(default=0.0, interval="[0, 1]", kw_only=True)


def laplace_nll(y_true: Input, y_pred: Any) -> Array:
    """mean of log 2 + s + |y_true - mean| exp(-s), s = log_scale.

    Use: regression to the median that says how sure it is, with outliers: the pull of an error
    does not grow with it. Where errors are about normal `gaussian_nll` is sharper.

    `y_pred` is `losses.Laplace(mean, log_scale)`, or a dict with these names; the scale is the
    mean absolute deviation.
    Shapes: (..., d) for all, or broadcast to one of them; values (...), in nats. At equality the
    derivative by the mean is 0, the middle of its two sides.
    Raises TypeError for other parameters, ValueError for shapes that do not fit.
    Source: Laplace (1774); Kendall and Gal (2017), arXiv:1703.04977, section 3.

    >>> from lossjax import losses
    >>> print(laplace_nll([[1.0]], losses.Laplace([[0.0]], [[0.0]])).round(4))
    [1.6931]
    """
    y_true, p = check.with_parameters("laplace_nll", y_true, y_pred, Laplace)
    return mean(_laplace(y_true, *p), -1)


@elementwise()
def _laplace(t: Array, m: Array, s: Array) -> Array:
    return _LOG_TWO + s + scaled(absolute(t - m), s)


class LaplaceNLL(Loss):
    fn = laplace_nll
    couples = "none"
    domain = "laplace"
