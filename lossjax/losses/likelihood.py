"""Losses of a predicted distribution, whose parameters are `y_pred`.

`y_pred` is a named tuple of them, such as `losses.Gaussian(mean=..., log_variance=...)`, or a dict
with these names.
"""

import math
from collections.abc import Mapping
from typing import Any

import jax
from jax import lax
from jax import numpy as jnp

from lossjax.core import check
from lossjax.core.domain.parameters import (
    MIXTURE,
    Beta,
    Gamma,
    Gaussian,
    InverseGaussian,
    Laplace,
    Mixture,
    NegativeBinomial,
    StudentT,
    ZeroInflatedNegativeBinomial,
)
from lossjax.core.loss import Loss, leaf, static
from lossjax.core.types import Array, Hyper, Input
from lossjax.math.counts import negative_binomial
from lossjax.math.curves import pinball
from lossjax.math.elementwise import (
    absolute,
    box_cox,
    exp_beyond_line,
    expm1,
    finite_exp,
    floored,
    logistic,
    mean,
    scaled,
)
from lossjax.math.fusion import by_loop, elementwise, looped, partials
from lossjax.math.gamma import beta_density, ratio_of_halves, stirling, student_tail

__all__ = [
    "BetaNLL",
    "EnsembleCRPS",
    "GammaNLL",
    "GaussianCRPS",
    "GaussianKL",
    "GaussianNLL",
    "InverseGaussianNLL",
    "LaplaceNLL",
    "MixtureNLL",
    "NegativeBinomialNLL",
    "QuantileCRPS",
    "StudentTNLL",
    "TweedieDeviance",
    "ZeroInflatedNegativeBinomialNLL",
    "beta_nll",
    "ensemble_crps",
    "gamma_nll",
    "gaussian_crps",
    "gaussian_kl",
    "gaussian_nll",
    "inverse_gaussian_nll",
    "laplace_nll",
    "mixture_nll",
    "negative_binomial_nll",
    "quantile_crps",
    "student_t_nll",
    "tweedie_deviance",
    "zero_inflated_negative_binomial_nll",
]

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


def gaussian_kl(y_true: Any, y_pred: Any) -> Array:
    """Σ ((mean - m)² exp(-u) + exp(s - u) - 1 - (s - u)) / 2, s = log_variance, of KL(pred ‖ true).

    Use: the term of a variational autoencoder that keeps its latent variables near the prior,
    with `y_true` = 0; between any two normal distributions. Of a value that came
    `gaussian_nll` is the loss.

    `y_pred` is `losses.Gaussian(mean, log_variance)`, or a dict with these names; `y_true` is such
    a one too, of mean m and log-variance u, or m alone for a variance of 1.
    Shapes: (..., d) for all, or broadcast to one of them; values (...), in nats, the sum over the
    latent variables. Exact where both are nearly equal.
    Raises TypeError for other parameters, ValueError for shapes that do not fit.
    Source: Kingma and Welling (2014), arXiv:1312.6114, appendix B.

    >>> from lossjax import losses
    >>> print(gaussian_kl(0.0, losses.Gaussian([[1.0, 0.0]], [[0.0, 0.0]])))
    [0.5]
    """
    where = "gaussian_kl"
    p = check.parameters(where, "y_pred", y_pred, Gaussian)
    if isinstance(y_true, Mapping) or hasattr(y_true, "_asdict"):
        prior = check.parameters(where, "y_true", y_true, Gaussian)
    else:
        prior = Gaussian(check.array(where, "y_true", y_true), jnp.zeros((), p.mean.dtype))
    m, u, p = check.same(where, Gaussian, prior, p)
    return jnp.sum(looped(_gaussian_kl(m, u, p.mean, p.log_variance)), -1)


@elementwise()
def _gaussian_kl(m: Array, u: Array, mean: Array, s: Array) -> Array:
    z = scaled(mean - m, 0.5 * u)
    return 0.5 * (z * z + exp_beyond_line(s - u))


class GaussianKL(Loss):
    fn = gaussian_kl
    couples = "none"
    domain = "gaussian"


def gamma_nll(y_true: Input, y_pred: Any) -> Array:
    """mean of -log density of a gamma distribution, y^(k - 1) exp(-k y / μ) (k / μ)^k / Γ(k).

    Use: positive quantities whose deviation grows with their mean, such as durations, amounts and
    intensities, with the shape k predicted as well: 1 / k is the variance of the relative error.
    Not for zeros.

    `y_pred` is `losses.Gamma(log_mean, log_shape)`, of log μ and log k, or a dict with these names.
    Exact for a large k, where it is about k (y / μ - 1 - log(y / μ)) - log(k) / 2 + ...
    Shapes: (..., d) for all, or broadcast to one of them; values (...), in nats. A `y_true` of 0
    or below counts as the smallest number above 0.
    Raises TypeError for other parameters, ValueError for shapes that do not fit.
    Source: McCullagh and Nelder (1989), Generalized linear models, chapter 8.

    >>> from lossjax import losses
    >>> print(gamma_nll([[2.0]], losses.Gamma([[0.0]], [[0.0]])))
    [2.]
    """
    y_true, p = check.with_parameters("gamma_nll", y_true, y_pred, Gamma)
    return mean(by_loop(_gamma(y_true, *p)), -1)


@elementwise()
def _gamma(t: Array, log_mean: Array, log_shape: Array) -> Array:
    log_t = _log(t)
    stretch = finite_exp(log_shape) * exp_beyond_line(log_t - log_mean)
    return stretch + log_t + 0.5 * (_LOG_TWO_PI - log_shape) + stirling(log_shape)


def _log(t: Array) -> Array:
    return jnp.log(floored(float(jnp.finfo(t.dtype).tiny), t))


class GammaNLL(Loss):
    fn = gamma_nll
    couples = "none"
    domain = "gamma"


def inverse_gaussian_nll(y_true: Input, y_pred: Any) -> Array:
    """mean of (log 2π + 3 log y - log λ) / 2 + λ (y - μ)² / (2 μ² y), y = y_true.

    Use: positive quantities with a long tail, such as first passage times and claims: the variance
    is μ³ / λ, so that large means err more than under `gamma_nll`. Not for zeros.

    `y_pred` is `losses.InverseGaussian(log_mean, log_shape)`, of log μ and log λ, or a dict with
    these names.
    Shapes: (..., d) for all, or broadcast to one of them; values (...), in nats. A `y_true` of 0
    or below counts as the smallest number above 0.
    Raises TypeError for other parameters, ValueError for shapes that do not fit.
    Source: Tweedie (1957), Ann. Math. Statist. 28(2), eq. 1.

    >>> from lossjax import losses
    >>> print(inverse_gaussian_nll([[1.0]], losses.InverseGaussian([[0.0]], [[0.0]])).round(4))
    [0.9189]
    """
    y_true, p = check.with_parameters("inverse_gaussian_nll", y_true, y_pred, InverseGaussian)
    return mean(_inverse_gaussian(y_true, *p), -1)


@elementwise()
def _inverse_gaussian(t: Array, log_mean: Array, log_shape: Array) -> Array:
    # The relative error is as normal, with the variance t / shape.
    log_t = _log(t)
    s = log_t - log_shape
    z = scaled(expm1(log_t - log_mean), 0.5 * s)
    return 0.5 * (_LOG_TWO_PI + s + z * z) + log_t


class InverseGaussianNLL(Loss):
    fn = inverse_gaussian_nll
    couples = "none"
    domain = "inverse gaussian"


def gaussian_crps(y_true: Input, y_pred: Any) -> Array:
    """mean of e (2 Φ(z) - 1) + σ (2 φ(z) - 1 / √π), e = y_true - mean, z = e / σ.

    Use: as `gaussian_nll`, where outliers are not to outweigh all else: it grows as |e|, has the
    unit of `y_true`, and compares with the absolute error of a forecast without a spread. Members
    of an ensemble go to `ensemble_crps`, quantiles to `quantile_crps`.

    The continuous ranked probability score of a normal distribution, ∫ (F(x) - 1[x ≥ y])² dx.
    `y_pred` is `losses.Gaussian(mean, log_variance)`, log σ² being the second, or a dict with
    these names.
    Shapes: (..., d) for all, or broadcast to one of them; values (...) ≥ 0.
    Raises TypeError for other parameters, ValueError for shapes that do not fit.
    Source: Gneiting et al. (2005), doi:10.1175/MWR2904.1, eq. 5.

    >>> from lossjax import losses
    >>> print(gaussian_crps([[0.0]], losses.Gaussian([[0.0]], [[0.0]])).round(4))
    [0.2337]
    """
    y_true, p = check.with_parameters("gaussian_crps", y_true, y_pred, Gaussian)
    return mean(_gaussian_crps(y_true - p.mean, p.log_variance), -1)


@partials(
    lambda de, _, e, s: de * lax.erf(scaled(e, 0.5 * s) * math.sqrt(0.5)),
    lambda ds, _, e, s: ds * 0.5 * _spread(e, s),
)
def _gaussian_crps(e: Array, s: Array) -> Array:
    return e * lax.erf(scaled(e, 0.5 * s) * math.sqrt(0.5)) + _spread(e, s)


def _spread(e: Array, s: Array) -> Array:
    """σ (2 φ(e / σ) - 1 / √π)."""
    z = scaled(e, 0.5 * s)
    peak = math.sqrt(2) * jnp.exp(-0.5 * z * z) - 1
    return finite_exp(0.5 * s) * peak / math.sqrt(math.pi)


class GaussianCRPS(Loss):
    fn = gaussian_crps
    couples = "none"
    domain = "gaussian"


def student_t_nll(y_true: Input, y_pred: Any) -> Array:
    """mean of -log density of Student's distribution, (1 + z² / ν)^(-(ν + 1) / 2) but for a factor.

    Use: regression with outliers, whose weight is learned too: ν = exp(log_degrees) small is
    heavy-tailed (1: Cauchy's), large is `gaussian_nll`. An error far out pulls as 1 / error.

    z = (y_true - location) exp(-log_scale). `y_pred` is `losses.StudentT(location, log_scale,
    log_degrees)`, or a dict with these names. Exact for a large ν, where the parts of the factor
    Γ((ν + 1) / 2) / (Γ(ν / 2) √(ν π)) cancel.
    Shapes: (..., d) for all, or broadcast to one of them; values (...), in nats.
    Raises TypeError for other parameters, ValueError for shapes that do not fit.
    Source: Lange et al. (1989), J. Am. Stat. Assoc. 84(408), eq. 2.

    >>> from lossjax import losses
    >>> print(student_t_nll([[1.0]], losses.StudentT([[0.0]], [[0.0]], [[0.0]])).round(4))
    [1.8379]
    """
    y_true, p = check.with_parameters("student_t_nll", y_true, y_pred, StudentT)
    return mean(by_loop(_student_t(y_true, *p)), -1)


@elementwise()
def _student_t(t: Array, m: Array, s: Array, log_degrees: Array) -> Array:
    factor = ratio_of_halves(log_degrees - _LOG_TWO)
    return 0.5 * _LOG_TWO_PI + s + factor + student_tail(t - m, s, log_degrees)


class StudentTNLL(Loss):
    fn = student_t_nll
    couples = "none"
    domain = "student t"


def negative_binomial_nll(y_true: Input, y_pred: Any) -> Array:
    """mean of -log of Γ(y + r) / (Γ(r) y!) (r / (r + μ))^r (μ / (r + μ))^y, y = y_true.

    Use: counts whose variance is above their mean, μ + μ² / r, as those of events that come in
    clusters; `poisson` is the limit of a large r. With more zeros than that
    `zero_inflated_negative_binomial_nll`.

    `y_pred` is `losses.NegativeBinomial(log_mean, log_total_count)`, of log μ and log r, or a dict
    with these names: r is the inverse of the dispersion α that others take. No digits are lost
    where counts or r are large. `log_total_count` counts up to ±85, `log_mean` up to 85.
    Shapes: (..., d) for all, or broadcast to one of them; values (...) ≥ 0, in nats.
    Raises TypeError for other parameters, ValueError for shapes that do not fit.
    Source: Hilbe (2011), Negative binomial regression, eq. 8.8.

    >>> from lossjax import losses
    >>> print(negative_binomial_nll([[0.0]], losses.NegativeBinomial([[0.0]], [[0.0]])).round(4))
    [0.6931]
    """
    where = "negative_binomial_nll"
    y_true, p = check.with_parameters(where, y_true, y_pred, NegativeBinomial)
    return mean(by_loop(_negative_binomial(y_true, *p)), -1)


@elementwise()
def _negative_binomial(t: Array, log_mean: Array, log_total: Array) -> Array:
    return _bounded_count(t, log_mean, log_total)


def _bounded_count(t: Array, log_mean: Array, log_total: Array) -> Array:
    """`negative_binomial`, constant where numbers would overflow."""
    return negative_binomial(t, jnp.minimum(log_mean, 85.0), jnp.clip(log_total, -85.0, 85.0))


class NegativeBinomialNLL(Loss):
    fn = negative_binomial_nll
    couples = "none"
    domain = "negative binomial"


def zero_inflated_negative_binomial_nll(y_true: Input, y_pred: Any) -> Array:
    """mean of -log(π [y = 0] + (1 - π) P(y)), π = sigmoid(zero_logit), P negative binomial.

    Use: counts of which some are 0 for a reason of their own, such as genes that were not caught
    and customers who never buy. Where they are 0 by chance alone `negative_binomial_nll`.

    `y_pred` is `losses.ZeroInflatedNegativeBinomial(log_mean, log_total_count, zero_logit)`, or a
    dict with these names; see `negative_binomial_nll` for the first two.
    Shapes: (..., d) for all, or broadcast to one of them; values (...) ≥ 0, in nats.
    Raises TypeError for other parameters, ValueError for shapes that do not fit.
    Source: Greene (1994), NYU working paper EC-94-10; Lopez et al. (2018),
    doi:10.1038/s41592-018-0229-2.

    >>> from lossjax import losses
    >>> y_pred = losses.ZeroInflatedNegativeBinomial([[0.0]], [[0.0]], [[0.0]])
    >>> print(zero_inflated_negative_binomial_nll([[0.0]], y_pred).round(4))
    [0.2877]
    """
    where = "zero_inflated_negative_binomial_nll"
    y_true, p = check.with_parameters(where, y_true, y_pred, ZeroInflatedNegativeBinomial)
    return mean(by_loop(_zero_inflated(y_true, *p)), -1)


@elementwise()
def _zero_inflated(t: Array, log_mean: Array, log_total: Array, logit: Array) -> Array:
    nll = _bounded_count(t, log_mean, log_total)
    return jnp.where(t == 0, _of_zero(nll, logit), jax.nn.softplus(logit) + nll)


def _of_zero(nll: Array, logit: Array) -> Array:
    """-log(π + (1 - π) exp(-nll)); near 0 by what is missing of 1, lest it cancel."""
    rest = logistic(-logit) * -expm1(-nll)
    is_near = rest < 0.5
    near = -jnp.log1p(jnp.where(is_near, -rest, 0.0))
    return jnp.where(is_near, near, jax.nn.softplus(logit) - jnp.logaddexp(logit, -nll))


class ZeroInflatedNegativeBinomialNLL(Loss):
    fn = zero_inflated_negative_binomial_nll
    couples = "none"
    domain = "zero inflated"


def beta_nll(y_true: Input, y_pred: Any) -> Array:
    """mean of -log of y^(α - 1) (1 - y)^(β - 1) Γ(α + β) / (Γ(α) Γ(β)), y = y_true.

    Use: shares and rates strictly between 0 and 1, with their spread. Not for 0 and 1 themselves:
    there the density is 0 or infinite.

    `y_pred` is `losses.Beta(log_alpha, log_beta)`, or a dict with these names: of a mean m and a
    concentration n it is log(m n) and log((1 - m) n). No digits are lost where both are large.
    Shapes: (..., d) for all, or broadcast to one of them; values (...), in nats. `y_true` counts
    as no less than 1e-30, and as below 1.
    Raises TypeError for other parameters, ValueError for shapes that do not fit.
    Source: Ferrari and Cribari-Neto (2004), doi:10.1080/0266476042000214501.

    >>> from lossjax import losses
    >>> print(beta_nll([[0.5]], losses.Beta([[0.0]], [[0.0]])).round(4) + 0)
    [0.]
    """
    y_true, p = check.with_parameters("beta_nll", y_true, y_pred, Beta)
    return mean(by_loop(_beta(y_true, *p)), -1)


@elementwise()
def _beta(t: Array, log_alpha: Array, log_beta: Array) -> Array:
    top = float(1 - jnp.finfo(t.dtype).epsneg)
    return beta_density(-floored(-top, -floored(1e-30, t)), log_alpha, log_beta)


class BetaNLL(Loss):
    fn = beta_nll
    couples = "none"
    domain = "beta"


def ensemble_crps(y_true: Input, y_pred: Input, *, fair: bool = False) -> Array:
    """mean_i |x_i - y| - Σ_ij |x_i - x_j| / (2 M²), x the M members in `y_pred`, y = `y_true`.

    Use: ensembles and samples of a generative model: right and spread as the truth is. Training
    with few members takes `fair`, which is best where members are drawn from the distribution of
    the truth, however few they are; without, small ensembles are taught too little spread.

    The continuous ranked probability score of the distribution of the members. With `fair` the
    second sum is divided by 2 M (M - 1), the pairs that there are.
    Shapes: `y_true` (..., 1), `y_pred` (..., M); values (...), of the unit of `y_true`. Where
    members are equal to each other or to y, the derivative is the middle of its two sides. Every
    two members are compared, without an array of the pairs where XLA fuses.
    Raises ValueError for shapes that do not fit.
    Source: Gneiting and Raftery (2007), doi:10.1198/016214506000001437, eq. 21; Ferro (2014),
    doi:10.1002/qj.2270, eq. 4.

    >>> print(ensemble_crps([[0.0]], [[-1.0, 1.0]]))
    [0.5]
    """
    error = _errors("ensemble_crps", y_true, y_pred)
    members = error.shape[-1]
    pairs = members * max(1, members - 1) if fair else members**2
    apart = jnp.sign(error[..., :, None] - error[..., None, :])
    rank = lax.stop_gradient(jnp.sum(apart, -1))
    # One sum: of two the difference may be inf - inf.
    return jnp.sum(error * (jnp.sign(error) / max(1, members) - rank / max(1, pairs)), -1)


def _errors(where: str, y_true: Input, y_pred: Input) -> Array:
    """y_pred - y_true, for one truth for all of the last axis."""
    y_true, y_pred = check.pair(where, y_true, y_pred, align=True)
    if y_true.ndim != y_pred.ndim or y_true.shape[-1:] not in ((), (1,)):
        raise ValueError(
            f"{where}: y_true must have shape (..., 1), one number for the last axis of y_pred, of "
            f"shape {y_pred.shape}, got {y_true.shape}. Pass y_true[..., None] for members behind."
        )
    return y_pred - y_true


class EnsembleCRPS(Loss):
    fn = ensemble_crps
    couples = "none"
    domain = "ensemble"
    fair: bool = static(default=False, kw_only=True)


def quantile_crps(y_true: Input, y_pred: Input) -> Array:
    """2 mean_k max(u_k (k - 1/2) / K, u_k ((k - 1/2) / K - 1)), u_k = y_true - y_pred_k, k to K.

    Use: distributions of no known form, by K quantiles of the levels 1 / (2 K), 3 / (2 K), ...
    Of other levels twice `quantile`. Nothing keeps the quantiles in order.

    Equal to `ensemble_crps` where the quantiles are in order, and in the limit of a large K the
    continuous ranked probability score.
    Shapes: `y_true` (..., 1), `y_pred` (..., K); values (...), of the unit of `y_true`.
    Raises ValueError for shapes that do not fit.
    Source: Bröcker (2012), doi:10.1002/qj.1891, eq. 5.

    >>> print(quantile_crps([[0.0]], [[-1.0, 1.0]]))
    [0.5]
    """
    u = -_errors("quantile_crps", y_true, y_pred)
    count = max(1, u.shape[-1])
    level = (jnp.arange(u.shape[-1], dtype=u.dtype) + 0.5) / count
    return 2 * mean(_quantile(u, jnp.broadcast_to(level, u.shape)), -1)


@elementwise()
def _quantile(u: Array, level: Array) -> Array:
    return pinball(u, level, jnp.zeros((), u.dtype))


class QuantileCRPS(Loss):
    fn = quantile_crps
    couples = "none"
    domain = "ensemble"


def tweedie_deviance(y_true: Input, y_pred: Input, *, power: Hyper = 1.5) -> Array:
    """mean of 2 (y^(2-p) / ((1-p) (2-p)) - y μ^(1-p) / (1-p) + μ^(2-p) / (2-p)), y = y_true.

    Use: amounts that are often exactly 0 and else positive, such as claims, rain and sales: the
    variance grows as μ^p. 1 is Poisson's deviance; for amounts that are never 0 `gamma_nll`.

    p = `power` in [0, 2), which is (y - μ)² for 0 and belongs to no distribution between 0 and 1;
    `y_pred` is log μ. 0 where y = μ, and exact near it and near p = 1.
    Shapes: (..., d) for both, ranks aligned; values (...) ≥ 0. `y_true` ≥ 0.
    Raises ValueError for a power outside [0, 2) and for shapes that do not fit.
    Source: Jørgensen (1997), The theory of dispersion models, section 4.1.

    >>> print(tweedie_deviance([[0.0], [1.0]], [[0.0], [0.0]], power=1.5))
    [4. 0.]
    """
    y_true, y_pred = check.pair("tweedie_deviance", y_true, y_pred, align=True)
    check.within("tweedie_deviance", "power", power, "[0, 2)")
    return mean(_tweedie(y_true, y_pred, jnp.asarray(power, y_pred.dtype)), -1)


@elementwise()
def _tweedie(t: Array, log_mean: Array, power: Array) -> Array:
    a = 2 - power
    is_zero = t <= 0
    log_t = jnp.log(jnp.where(is_zero, 1, t))
    log_ratio = jnp.where(is_zero, 0, log_mean - log_t)
    near = jnp.abs(log_ratio) < 0.5
    far = box_cox(a, log_ratio) - box_cox(a - 1, log_ratio)
    close = _between_box_coxes(a, jnp.where(near, log_ratio, 0))
    positive = jnp.exp(a * log_t) * jnp.where(near, close, far)
    return 2 * jnp.where(is_zero, finite_exp(a * log_mean) / a, positive)


def _between_box_coxes(a: Array, x: Array) -> Array:
    """(exp(a x) - 1) / a - (exp(b x) - 1) / b for b = a - 1: about x² / 2, term by term."""
    b, power, term = a - 1, jnp.ones_like(x), 0.5 * x * x
    slope, total = jnp.ones_like(x), jnp.zeros_like(x)
    for k in range(3, 17):
        total += term * slope
        power *= b
        slope, term = a * slope + power, term * x / k
    return total + term * slope


class TweedieDeviance(Loss):
    fn = tweedie_deviance
    couples = "none"
    domain = "log mean"
    power: Hyper = leaf(default=1.5, interval="[0, 2)", kw_only=True)


def mixture_nll(y_true: Input, y_pred: Any) -> Array:
    """-log Σ_k π_k Π_i N(y_i; m_ki, v_ki), π = softmax(logits), y = `y_true`.

    Use: a truth that may be one of several things, where the mean of them is none: a mixture
    density network. Components may fall onto single samples with a variance that shrinks without
    end: bound `log_variance` from below.

    `y_pred` is `losses.Mixture(logits, mean, log_variance)`, or a dict with these names: K normal
    distributions of d dimensions, the variances along each.
    Shapes: `y_true` (..., d), `logits` (..., K), `mean` and `log_variance` (..., K, d) or the
    latter (..., K, 1); values (...), in nats, the sum over the dimensions.
    Raises TypeError for other parameters, ValueError for shapes that do not fit.
    Source: Bishop (1994), Mixture density networks, NCRG/94/004, eq. 22-29.

    >>> from lossjax import losses
    >>> one = losses.Mixture([[0.0, 0.0]], [[[0.0], [0.0]]], [[[0.0], [0.0]]])
    >>> print(mixture_nll([[1.0]], one).round(4))
    [1.4189]
    """
    p = check.parameters("mixture_nll", "y_pred", y_pred, Mixture)
    y_true = check.array("mixture_nll", "y_true", y_true).astype(p.mean.dtype)
    check.components("mixture_nll", y_true.shape, *(x.shape for x in p))
    t, m, s = jnp.broadcast_arrays(y_true[..., None, :], p.mean, p.log_variance)
    dense = _gaussian(t, m, s, jnp.zeros((), m.dtype))
    joint = p.logits - jnp.sum(dense, -1)
    return jax.nn.logsumexp(p.logits, -1) - jax.nn.logsumexp(joint, -1)


class MixtureNLL(Loss):
    fn = mixture_nll
    couples = "none"
    domain = MIXTURE
    aliases = ("mixture_density",)
