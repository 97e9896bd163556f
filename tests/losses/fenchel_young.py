"""Fenchel-Young losses of scores of several classes."""

import jax
import numpy as np
from mpmath import mp

from cases import Case, Elsewhere
from exact import row_largest
from lossjax import losses


def shares(z, beta):
    """max(z / beta - c, 0)^beta with sum 1, of as many of the largest scores as have a share."""
    s = sorted((x / beta for x in z), reverse=True)
    for k in range(len(s), 0, -1):
        mean = mp.fsum(s[:k]) / k
        inside = mp.mpf(1) / k - mp.fsum((x - mean) ** 2 for x in s[:k]) / k
        threshold = mean - (mp.mpf(1) / k if beta == 1 else mp.sqrt(max(inside, 0)))
        if s[k - 1] > threshold and (beta == 1 or inside >= 0):
            return [max(x / beta - threshold, 0) ** beta for x in z]
    raise ArithmeticError


def fenchel_young(label, z, regularizer="entmax15"):
    label, beta = int(label), {"sparsemax": 1, "entmax15": 2}[regularizer]
    if not 0 <= label < len(z):
        return mp.zero
    p, a = shares(z, beta), 1 + mp.one / beta
    linear = mp.fsum(x * y for x, y in zip(p, z, strict=True)) - z[label]
    return linear + (1 - mp.fsum(x**a for x in p)) * beta / a


def sparsemax(label, z):
    return fenchel_young(label, z, "sparsemax")


def of_scores(labels, p, _):
    """Scores are rounded beside the largest one, shares at 1."""
    size = np.maximum(1, row_largest(p - np.max(p, -1, keepdims=True)))
    return size, np.maximum(1, np.abs(p))


CASES = (
    Case(
        losses.FenchelYoung,
        ({}, {"regularizer": "sparsemax"}),
        exact=fenchel_young,
        sizes=of_scores,
        ulps=(4, 4),
        keras=None,
        elsewhere=(
            Elsewhere("entmax", "entmax.entmax_bisect_loss(y_pred, y_true, 1.5, 60).mean()"),
            Elsewhere(
                "entmax",
                "entmax.entmax_bisect_loss(y_pred, y_true, 2.0, 60).mean()",
                {"regularizer": "sparsemax"},
            ),
        ),
    ),
    Case(
        losses.Sparsemax,
        exact=sparsemax,
        sizes=of_scores,
        ulps=(4, 4),
        keras=None,
        elsewhere=(
            Elsewhere("optax", "optax.losses.multiclass_sparsemax_loss(y_pred, y_true).mean()"),
            Elsewhere("entmax", "entmax.sparsemax_loss(y_pred, y_true).mean()"),
        ),
    ),
    Case(
        losses.Entmax15,
        exact=fenchel_young,
        sizes=of_scores,
        ulps=(8, 4),  # 4.2 of the value with jax 0.12
        keras=None,
        elsewhere=(Elsewhere("entmax", "entmax.entmax15_loss(y_pred, y_true).mean()"),),
    ),
)


def test_the_gradient_is_the_difference_of_probabilities_and_targets():
    """At targets with the probabilities of the scores the loss is 0 and has no gradient."""
    z = np.random.default_rng(0).normal(0, 1, (3, 5))
    with jax.enable_x64(True):
        for regularizer in ("sparsemax", "entmax15"):
            loss = losses.FenchelYoung(regularizer=regularizer, reduction="sum")
            p = jax.grad(lambda z, loss=loss: loss(np.zeros((3, 5)), z))(z)
            np.testing.assert_allclose(p.sum(-1), 1, rtol=1e-12)
            assert 0 < np.count_nonzero(p == 0) < 12
            value, gradient = jax.value_and_grad(lambda z, loss=loss, p=p: loss(p, z))(z)
            np.testing.assert_allclose(value, 0, atol=1e-12)
            np.testing.assert_allclose(gradient, 0, atol=1e-12)
