"""Losses of whole distributions, and of rates."""

from jax import numpy as jnp

from lossjax.core import check
from lossjax.core.loss import Loss
from lossjax.core.types import Array, Input
from lossjax.math.elementwise import EPSILON, divergence, mean, share
from lossjax.math.fusion import elementwise, looped

__all__ = ["KLDivergence", "Poisson", "kl_divergence", "poisson"]


def kl_divergence(y_true: Input, y_pred: Input) -> Array:
    """Σ t log(t / p), with t = `y_true` and p = `y_pred` each clipped to [1e-7, 1].

    Use: targets that are distributions, as in distillation, where a match is to be 0. It is
    `categorical_crossentropy` less the entropy of the targets, a constant; that one takes logits
    too, and normalises what it is given.

    Shapes: (..., classes) for both; values (...), in nats. At the clip points the derivative is
    the middle of its two sides (TensorFlow takes the inner one), outside 0.
    Raises ValueError for shapes that do not fit.
    Source: Kullback & Leibler (1951), Ann. Math. Statist. 22; equal to
    `keras.losses.kl_divergence`.

    >>> print(kl_divergence([[0.5, 0.5]], [[0.25, 0.75]]).round(4))
    [0.1438]
    """
    y_true, y_pred = check.pair("kl_divergence", y_true, y_pred, narrow=True)
    return jnp.sum(looped(_kl_divergence(y_true, y_pred)), -1)


@elementwise()
def _kl_divergence(t: Array, p: Array) -> Array:
    return divergence(share(t), share(p))


class KLDivergence(Loss):
    fn = kl_divergence
    couples = "none"
    widens = True
    domain = "distribution"
    aliases = ("kld", "KLD", "kullback_leibler_divergence")


def poisson(y_true: Input, y_pred: Input) -> Array:
    """mean(p - t log(p + 1e-7)), with rates p = `y_pred` and counts t = `y_true`.

    Use: counts, with a rate > 0 such as exp or softplus of an output. Not for counts whose variance
    is far from their mean.

    The negative log likelihood without log t!; NaN for a rate below -1e-7.
    Shapes: (..., d) for both; values (...), in nats.
    Raises ValueError for shapes that do not fit.
    Source: equal to `keras.losses.poisson`.

    >>> print(poisson([[1.0, 2.0]], [[1.0, 1.0]]))
    [1.]
    """
    y_true, y_pred = check.pair("poisson", y_true, y_pred, narrow=True)
    return mean(_poisson(y_true, y_pred), -1)


@elementwise()
def _poisson(t: Array, p: Array) -> Array:
    return p - t * jnp.log(p + EPSILON)


class Poisson(Loss):
    fn = poisson
    couples = "none"
    widens = True
    domain = "count"
