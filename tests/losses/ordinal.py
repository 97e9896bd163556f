"""Losses of levels in an order."""

import numpy as np
import pytest
from jax import numpy as jnp
from mpmath import mp

from cases import Case, Elsewhere
from exact import largest
from lossjax import losses


def _log_sigmoid(z):
    return -mp.log(1 + mp.exp(-z))


def coral(t, p):
    return -sum(_log_sigmoid(z if t > k else -z) for k, z in enumerate(p))


def corn(t, p):
    return -sum(_log_sigmoid(z if t > k else -z) for k, z in enumerate(p) if k <= t)


def cumulative_link(t, p, thresholds=(-1.0, 1.0), link="logit"):
    below = mp.ncdf if link == "probit" else lambda x: 1 / (1 + mp.exp(-x))
    ends = [0, *(below(x - p[0]) for x in thresholds), 1]
    t = int(t)
    if link == "probit" and p[0] < 0:  # of two near 1 the difference loses what there is
        ends = [1, *(below(p[0] - x) for x in thresholds), 0]
        return -mp.log(ends[t] - ends[t + 1])
    return -mp.log(ends[t + 1] - ends[t])


def of_cumulative_link(t, p, _):
    """Two slopes of at most 1 cancel between the thresholds, in the tails two squares."""
    return largest(1, p[:, 0] ** 2), largest(1, p)


CASES = (
    Case(
        losses.Coral,
        exact=coral,
        keras=None,
        elsewhere=(
            Elsewhere(
                "coral-pytorch",
                "coral_pytorch.losses.coral_loss(y_pred, coral_pytorch.dataset."
                "levels_from_labelbatch(y_true, y_pred.shape[1] + 1).to(y_pred))",
            ),
        ),
    ),
    Case(
        losses.Corn,
        exact=corn,
        keras=None,
        elsewhere=(
            Elsewhere(
                "coral-pytorch",
                "coral_pytorch.losses.corn_loss(y_pred, y_true, y_pred.shape[1] + 1) "
                "* (y_true + 1).clamp(max=y_pred.shape[1]).sum() / len(y_true)",
                note="divides by the thresholds that were asked, not by the samples",
            ),
        ),
    ),
    Case(
        losses.CumulativeLink,
        ({"link": "probit", "thresholds": [-2.0, 1.5]}, {}, {"thresholds": [-0.5, 0.25]}),
        exact=cumulative_link,
        sizes=of_cumulative_link,
        ulps=(8, 22),  # the slope of XLA's log_ndtr
        keras=None,
    ),
)


def test_levels_out_of_range_count_for_nothing():
    z = jnp.array([[1.0, -2.0], [np.nan, np.nan]])
    for fn in (losses.coral, losses.corn):
        assert fn([0, 3], z)[1] == 0
        assert fn([0, -1], z)[0] > 0
    assert losses.cumulative_link([3, 0], [[np.nan], [1.0]])[0] == 0


def test_probabilities_of_all_levels_sum_to_one():
    z = np.random.default_rng(0).normal(size=(1, 4))
    corn = losses.corn(np.arange(5), np.repeat(z, 5, 0))
    np.testing.assert_allclose(np.exp(-corn).sum(), 1, rtol=1e-6)
    for link in ("logit", "probit"):
        found = losses.cumulative_link(
            np.arange(5), np.full((5, 1), 0.3), thresholds=[-2.0, -1.5, 0.0, 4.0], link=link
        )
        np.testing.assert_allclose(np.exp(-found).sum(), 1, rtol=1e-6)


@pytest.mark.parametrize("link", ["logit", "probit"])
def test_far_scores_keep_their_digits(link):
    """Φ(b) - Φ(a) and σ(b) - σ(a) are 0 in float64 there."""
    got = losses.cumulative_link([1], [[50.0]], link=link)
    with mp.workdps(800):
        want = cumulative_link(1, [mp.mpf(50)], link=link)
    np.testing.assert_allclose(got, [float(want)], rtol=2e-6)


@pytest.mark.parametrize(
    ("thresholds", "match"),
    [([1.0, 1.0], "thresholds must increase"), (1.0, r"thresholds must have shape \(levels-1\)")],
)
def test_wrong_thresholds_are_told(thresholds, match):
    with pytest.raises(ValueError, match=match):
        losses.cumulative_link([0], [[0.0]], thresholds=thresholds)
