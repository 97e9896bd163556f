"""-log of the probability of a count under a negative binomial distribution."""

import jax
from jax import numpy as jnp

from lossjax.core.types import Array
from lossjax.math.elementwise import finite_exp, logistic
from lossjax.math.fusion import derivative, partials
from lossjax.math.gamma import deviance, stirling

_FAR = 1e30  # a ratio that is left to logarithms


def _log_of(y: Array) -> Array:
    """log y; that of 0 is -inf, without a derivative."""
    return jnp.where(y > 0, jnp.log(jnp.where(y > 0, y, 1.0)), -jnp.inf)


def _log_sum(y: Array, log_r: Array) -> Array:
    """log(r + y)."""
    return log_r + jax.nn.softplus(_log_of(y) - log_r)


def _slope(log_x: Array) -> Array:
    """x times the derivative of `stirling` by x."""
    return derivative(stirling, (log_x,))


def _digamma(log_x: Array) -> Array:
    return log_x + jnp.exp(-log_x) * (_slope(log_x) - 0.5)


@partials(
    lambda dy, _, y, log_m, log_r: -dy * logistic(log_r - log_m),
    lambda dm, _, y, log_m, log_r: dm * (finite_exp(log_r) + y) * _both(log_m, log_r),
    lambda dr, _, y, log_m, log_r: dr * (finite_exp(log_m) - y) * _both(log_m, log_r),
)
def _by_mean(y: Array, log_m: Array, log_r: Array) -> Array:
    """(μ - y) r / (r + μ)."""
    m, r = finite_exp(log_m), finite_exp(log_r)
    below = r * ((m - y) / m) * logistic(log_m - log_r)
    return jnp.where(log_m > log_r, below, (m - y) * logistic(log_r - log_m))


def _both(log_m: Array, log_r: Array) -> Array:
    """r μ / (r + μ)²."""
    return logistic(log_r - log_m) * logistic(log_m - log_r)


@partials(
    lambda dy, t, y, log_m, log_r: -dy * (1 + t) * jnp.exp(-_log_sum(y, log_r)),
    lambda dm, _, y, log_m, log_r: dm * finite_exp(log_m - _log_sum(y, log_r)),
    lambda dr, t, y, log_m, log_r: -dr * t * logistic(log_r - _log_of(y)),
)
def _excess(y: Array, log_m: Array, log_r: Array) -> Array:
    """(μ - y) / (r + y)."""
    return jnp.minimum((finite_exp(log_m) - y) / (finite_exp(log_r) + y), 1e38)


def _log_quotient(y: Array, log_m: Array, log_r: Array) -> Array:
    """log((r + μ) / (r + y)), exact where that is near 0."""
    t = _excess(y, log_m, log_r)
    is_near = jnp.abs(t) < 0.5
    far = jnp.logaddexp(log_m, log_r) - _log_sum(y, log_r)
    return jnp.where(is_near, jnp.log1p(jnp.where(is_near, t, 0.0)), far)


def _beyond_log(y: Array, log_m: Array, log_r: Array) -> Array:
    """t - log(1 + t) for the `_excess` t, exact near 0 too, where it is t² / 2."""
    t = _excess(y, log_m, log_r)
    is_near = jnp.abs(t) < 0.5
    near = jnp.where(is_near, t, 0.0)
    far = t - _log_quotient(y, log_m, log_r)
    return jnp.where(is_near, (1 + near) * deviance(-near / (1 + near)), far)


@partials(
    lambda dy, _, *at: -dy * _excess(*at),
    lambda dm, _, *at: dm * finite_exp(at[1]) * _log_quotient(*at),
    lambda dr, _, *at: -dr * finite_exp(at[2]) * _beyond_log(*at),
)
def _spread(y: Array, log_m: Array, log_r: Array) -> Array:
    """(r + μ) log((r + μ) / (r + y)) + y - μ."""
    t, m, r = _excess(y, log_m, log_r), finite_exp(log_m), finite_exp(log_r)
    near = deviance(jnp.clip(t, -0.5, 1e3)) * (r + y)
    far = (r + m) * _log_quotient(y, log_m, log_r) + y - m
    return jnp.where((t > -0.5) & (t < 1e3), near, far)


def _by_total(y: Array, log_m: Array, log_r: Array) -> Array:
    share = logistic(log_r - _log_of(y))
    rest = _slope(log_r) - share * _slope(_log_sum(y, log_r)) - 0.5 * (1 - share)
    return logistic(log_r - log_m) * _spread(y, log_m, log_r) + rest


def _by_count(y: Array, log_m: Array, log_r: Array) -> Array:
    slope = _digamma(jnp.log1p(y)) - _digamma(_log_sum(y, log_r))
    return slope + jax.nn.softplus(log_r - log_m)


@partials(
    lambda dy, _, *at: dy * _by_count(*at),
    lambda dm, _, *at: dm * _by_mean(*at),
    lambda dr, _, *at: dr * _by_total(*at),
)
def negative_binomial(y: Array, log_mean: Array, log_total: Array) -> Array:
    """-log Γ(y + r) + log Γ(r) + log Γ(y + 1) + r log((r + μ) / r) + y log((r + μ) / μ).

    The gamma functions as `stirling` leave half a deviance and small terms: no two are large and
    nearly equal, however large counts and r are. In the limit of a large r this is Poisson's.
    Source: Loader (2000), Fast and accurate computation of binomial probabilities.
    """
    half = 0.5 * jax.nn.softplus(_log_of(y) - log_total)
    rest = stirling(log_total) - stirling(_log_sum(y, log_total))
    return _half_deviance(y, log_mean, log_total) + _of_count(y) + half + rest


def _of_count(y: Array) -> Array:
    """log Γ(y + 1) - y log y + y."""
    some = jnp.where(y > 0, y, 1.0)
    at_one = 0.08106146679532726  # of `stirling`
    rest = some * jnp.log1p(1 / some) + 0.5 * jnp.log1p(some) + stirling(jnp.log1p(some)) - at_one
    return jnp.where(y > 0, rest, 0.0)


def _half_deviance(y: Array, log_m: Array, log_r: Array) -> Array:
    """r log((r + μ) / (r + y)) + y log(y (r + μ) / (μ (r + y))).

    Near y = μ two large terms cancel: there it is the difference of two deviances.
    """
    m, r, d = finite_exp(log_m), finite_exp(log_r), y - finite_exp(log_m)
    near = m * deviance(d / m) - (r + m) * deviance(d / (r + m))
    t = -d / (r + y)
    first = jnp.where(
        t > _FAR,
        log_m - _log_sum(y, log_r),
        jnp.where(t > -0.5, jnp.log1p(t), jnp.log((r + m) / (r + y))),
    )
    w = (d / m) * (r / (r + y))
    second = jnp.where(
        w > _FAR,
        _log_of(y) - log_m + log_r - _log_sum(y, log_r),
        jnp.where(w > -0.5, jnp.log1p(w), jnp.log((y / m) * ((r + m) / (r + y)))),
    )
    far = r * first + jnp.where(y > 0, y * second, 0.0)
    return jnp.where(jnp.abs(d) < jnp.minimum(0.5 * m, r), near, far)
