"""Losses relative to the size, or to the spread, of what is predicted."""

import jax
import numpy as np
from jax import numpy as jnp
from mpmath import mp

import samples
from cases import Case, Elsewhere
from exact import EPS, dot, errors, mean
from lossjax import losses


def smape(t, p):
    def of(a, b):
        return abs(a - b) / (abs(a) + abs(b)) if a or b else 0

    return 200 * mean([of(a, b) for a, b in zip(t, p, strict=True)])


def relative_l2(t, p, epsilon=EPS):
    e = errors(t, p)
    return mp.sqrt(dot(e, e)) / max(mp.sqrt(dot(t, t)), epsilon)


def concordance_correlation(t, p):
    a, b = mean(t), mean(p)
    both = mean([(x - a) * (y - b) for x, y in zip(t, p, strict=True)])
    spread = mean([(x - a) ** 2 for x in t]) + mean([(y - b) ** 2 for y in p]) + (a - b) ** 2
    return 1 - 2 * both / spread


def scale_invariant_log(t, p, invariance=0.5, epsilon=EPS):
    logs = [mp.log(max(b, epsilon) / max(a, epsilon)) for a, b in zip(t, p, strict=True)]
    return mean([g**2 for g in logs]) - invariance * mean(logs) ** 2


def rows(rng):
    """Of five entries: of any size, and with a mean far beyond the spread."""
    t = rng.normal(size=(60, 5)) * samples.magnitudes(rng, -12, 12, (60, 1))
    near = t + rng.normal(size=t.shape) * np.abs(t) * samples.magnitudes(rng, -4, 0, (60, 1))
    far = rng.normal(size=(2, 20, 5)) + 300
    return np.float32([*t, *t, *far[0]]), np.float32([*near, *t[::-1], *far[1]])


def depths(rng):
    """Of five entries; equal up to a factor, more or less."""
    t = samples.magnitudes(rng, -2, 3, (80, 5))
    rough = np.exp(rng.normal(size=t.shape) * samples.magnitudes(rng, -3, 0, (80, 1)))
    return t, np.float32(t * rough * samples.magnitudes(rng, -2, 2, (80, 1)))


def of_squares(t, p, config):
    """Both addends of a slope are of the size of the error, over the sum of the variances."""
    a, b = (np.mean(x, -1, keepdims=True) for x in (t, p))
    spread = np.mean((t - a) ** 2 + (p - b) ** 2, -1, keepdims=True) + (a - b) ** 2
    return None, 2 * (np.abs(p - t) + np.abs(p - a)) / spread / p.shape[-1]


def of_ratios(t, p, config):
    """Each logarithm rounds, before the share of the mean is taken off."""
    return None, np.log(p / t) * 2 / p / p.shape[-1]


CASES = (
    Case(
        losses.SMAPE,
        exact=smape,
        sizes=lambda t, p, _: (None, np.full_like(p, 1e-30)),  # 1/200 of it is denormal
        ulps=(4, 6),
        residuals=1,
        extra=2,
        keras=None,
    ),
    Case(
        losses.RelativeL2,
        ({}, {"axis": 0}, {"epsilon": 0.5}),
        exact=relative_l2,
        elsewhere=(
            Elsewhere(
                "torch",
                "((y_pred - y_true).norm(dim=-1) / y_true.norm(dim=-1)).mean()",
                note="What neural operators are trained with, after .flatten(1).",
            ),
        ),
        inputs=rows,
        ulps=(8, 8),
        keras=None,
    ),
    Case(
        losses.ConcordanceCorrelation,
        ({}, {"axis": -1}),
        exact=concordance_correlation,
        inputs=rows,
        sizes=of_squares,
        ulps=(8, 8),
        keras=None,
    ),
    Case(
        losses.ScaleInvariantLog,
        ({}, {"axis": None}, {"invariance": 0.85}),
        exact=scale_invariant_log,
        inputs=depths,
        sizes=of_ratios,
        ulps=(8, 8),
        keras=None,
    ),
)


def test_agreement_where_the_mean_is_far_beyond_the_spread():
    """As of temperatures in kelvin; shifts and factors common to both change nothing."""
    t, p = np.random.default_rng(0).normal(size=(2, 64))
    want = losses.concordance_correlation(t, p)
    for shift, factor in ((1000, 1), (0, 1e-25), (0, 1e25)):
        moved = (np.float32((x + shift) * factor) for x in (t, p))
        np.testing.assert_allclose(losses.concordance_correlation(*moved), want, rtol=2e-4)


def test_agreement_of_columns_and_of_what_does_not_vary():
    t, p = np.random.default_rng(0).normal(size=(2, 9, 3)).astype(np.float32)
    each = losses.concordance_correlation(t, p, axis=0)
    want = [losses.concordance_correlation(t[:, i], p[:, i]) for i in range(3)]
    np.testing.assert_allclose(each, want, rtol=1e-5)
    assert losses.concordance_correlation([5.0, 5.0], [5.0, 5.0]) == 0
    assert losses.concordance_correlation([5.0, 5.0], [7.0, 7.0]) == 1


def test_unknown_depths_have_no_influence():
    t, p = np.random.default_rng(0).gamma(2, size=(2, 3, 4, 5)).astype(np.float32)
    known = np.random.default_rng(1).uniform(size=t.shape) < 0.7
    loss = losses.ScaleInvariantLog(axis=(1, 2))
    holes = np.where(known, t, np.nan)
    value, slope = jax.jit(jax.value_and_grad(lambda p: loss(holes, p, mask=known)))(p)
    each = [
        losses.scale_invariant_log(t[i][known[i]], p[i][known[i]], invariance=0.5) for i in range(3)
    ]
    np.testing.assert_allclose(value, np.mean(each), rtol=1e-5)
    assert np.array_equal(slope != 0, known)


def test_a_factor_is_forgiven_to_the_last_digit():
    p = jnp.exp(jnp.linspace(-3, 3, 7))
    assert losses.scale_invariant_log(p, 1e4 * p, invariance=1.0) < 1e-11
    np.testing.assert_allclose(
        losses.scale_invariant_log(p, 1e4 * p, invariance=0.5), np.log(1e4) ** 2 / 2, rtol=1e-6
    )


def test_a_vector_of_any_size_has_a_length():
    for size in (1e-37, 1e-25, 1.0, 1e25, 1e37):
        t, p = np.float32([[3 * size, 4 * size]]), np.float32([[3 * size, 9 * size]])
        value, slope = jax.value_and_grad(
            lambda p, t=t: losses.relative_l2(t, p, epsilon=1e-38)[0]
        )(p)
        np.testing.assert_allclose(value, 1, rtol=1e-6)
        np.testing.assert_allclose(slope * size, [[0, 0.2]], rtol=1e-6, atol=1e-7)


def test_the_logarithm_of_a_ratio_that_is_no_number():
    t, p = np.float32([[1e-7, 3e38, 1.0]]), np.float32([[3e38, 1e-7, 1e10]])
    want = np.mean(np.log(np.float64(p) / t) ** 2, -1)
    found = losses.scale_invariant_log(t, p, invariance=0.0)
    np.testing.assert_allclose(found, want, rtol=1e-6)
