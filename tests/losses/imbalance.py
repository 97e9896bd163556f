"""Losses for classes of which some are rare, and weights for them."""

import jax
import numpy as np
import pytest
from mpmath import mp

from cases import Case, Elsewhere
from exact import as_list, largest, probabilities, row_largest
from losses.binary import sigmoid
from losses.cross_entropy import of_softmax
from lossjax import losses

COUNTS = [100.0, 30.0, 10.0, 3.0, 1.0]


def entropy(label, z):
    label = int(label)
    return -mp.log(probabilities(z, from_logits=True)[label]) if 0 <= label < len(z) else mp.zero


def logit_adjusted(label, p, prior=1.0, tau=1.0):
    prior = as_list(prior, len(p))
    return entropy(label, [z + tau * mp.log(n) for z, n in zip(p, prior, strict=True)])


def ldam(label, p, counts=1.0, max_margin=0.5, scale=30.0):
    n = as_list(counts, len(p))
    margins = [max_margin * (min(n) / a) ** (mp.one / 4) for a in n]
    margins = [m if i == label else 0 for i, m in enumerate(margins)]
    return entropy(label, [scale * (z - m) for z, m in zip(p, margins, strict=True)])


def of_ldam(labels, p, config):
    value, slope = of_softmax(3)(labels, 30 * p, {})
    return value, 30 * slope


def asymmetric_focal(t, p, gamma_pos=0.0, gamma_neg=4.0, margin=0.05):
    def of(a, z):
        rest = max(sigmoid(z) - margin, 0)
        log_left = mp.log(sigmoid(-z)) if not margin else mp.log(1 - rest)
        holds = -(sigmoid(-z) ** gamma_pos) * mp.log(sigmoid(z)) if a else 0
        fails = -(rest**gamma_neg) * log_left if a != 1 else 0
        return a * holds + (1 - a) * fails

    return mp.fsum(of(a, z) for a, z in zip(t, p, strict=True))


def of_asymmetric_focal(t, p, config):
    """r = σ(z) - margin is rounded at the size of σ(z)."""
    a, b, m = (config.get(k, x) for k, x in (("gamma_pos", 0), ("gamma_neg", 4), ("margin", 0.05)))
    yes, no = np.exp(-np.logaddexp(0, -p)), np.exp(-np.logaddexp(0, p))
    r, left = np.maximum(yes - m, 1e-30), np.maximum(np.minimum(no + m, 1), 1e-40)
    log = -np.log(left) if m else np.logaddexp(0, p)
    by_r = b * r ** (b - 1) * log + r**b / left
    twice = b * abs(b - 1) * r ** (b - 2) * log + 2 * b * r ** (b - 1) / left + r**b / left**2
    focus, u = no**a, (1 - t) * (yes > m)
    size = largest(u * yes * by_r, t * focus * np.logaddexp(0, -p))
    slope = largest(u * yes * no * by_r, u * yes**2 * no * twice)
    holds = t * focus * largest(no, a * yes * np.logaddexp(0, -p))
    # Below 1e-18, of a score beyond 42, the slope is 0.
    return row_largest(size), largest(slope, holds, 1e-18)


CASES = (
    Case(
        losses.LogitAdjusted,
        ({}, {"prior": COUNTS, "tau": 0.5}),
        exact=logit_adjusted,
        sizes=of_softmax(4),
        ulps=(4, 6),
        keras=None,
        elsewhere=(
            Elsewhere(
                "torch",
                f"F.cross_entropy(y_pred + torch.tensor({COUNTS}, dtype=torch.float64).log(), "
                "y_true)",
                {"prior": COUNTS},
            ),
        ),
    ),
    Case(
        losses.LDAM,
        ({}, {"counts": COUNTS, "max_margin": 0.3, "scale": 10.0}),
        exact=ldam,
        keras=None,
        sizes=of_ldam,
        ulps=(4, 6),
    ),
    Case(
        losses.AsymmetricFocal,
        ({}, {"gamma_pos": 1.0, "gamma_neg": 2.5, "margin": 0.0}),
        measured=({"gamma_pos": 1.5, "gamma_neg": 1.0, "margin": 0.2},),
        exact=asymmetric_focal,
        sizes=of_asymmetric_focal,
        ulps=(12, 12),
        residuals=1,
        keras=None,
    ),
)


def test_weights_of_rare_classes():
    counts = np.array([90.0, 9.0, 1.0, 0.0])
    with jax.enable_x64(True):
        balanced = losses.class_balanced_weights(counts)
        np.testing.assert_allclose(balanced, [100 / 270, 100 / 27, 100 / 3, 0], rtol=1e-12)
        raw = 1 / (1 - 0.99 ** np.array([90, 9, 1]))
        weights = losses.class_balanced_weights(counts, beta=0.99)
        np.testing.assert_allclose(weights, [*(3 * raw / raw.sum()), 0], rtol=1e-12)
        np.testing.assert_allclose(losses.class_balanced_weights(counts, 0.0), [1, 1, 1, 0])
    with pytest.raises(ValueError, match=r"beta must be one of \('balanced',\), got 'balance'"):
        losses.class_balanced_weights(counts, "balance")
    with pytest.raises(ValueError, match=r"counts must be in the interval \[0, inf\), got -1"):
        losses.class_balanced_weights([-1, 2])


def test_the_focus_of_the_asymmetric_loss_can_be_stopped():
    """The value stays; the gradient is that of the cross-entropies times the focus."""
    t, z = np.array([[1.0, 0.0, 0.0]]), np.array([[0.3, 1.0, -4.0]])
    options = {"gamma_pos": 1.0, "gamma_neg": 2.0, "margin": 0.05}
    with jax.enable_x64(True):
        stopped = losses.AsymmetricFocal(**options, stop_focus_gradient=True)
        value, gradient = jax.value_and_grad(lambda z: stopped(t, z))(z)
        np.testing.assert_allclose(value, losses.AsymmetricFocal(**options)(t, z), rtol=1e-12)
    p = 1 / (1 + np.exp(-z))
    rest = np.maximum(p - 0.05, 0)
    want = np.where(t, -((1 - p) ** 2), rest**2 * p * (1 - p) / (1 - rest) * (rest > 0))
    np.testing.assert_allclose(gradient, want, rtol=1e-12)
