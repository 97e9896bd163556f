"""Losses between distributions, and of rates."""

import numpy as np
from mpmath import mp

from cases import Case, Elsewhere
from exact import EPS, clip, largest, mean, row_largest
from lossjax import losses


def kl_divergence(t, p):
    t, p = ([clip(x, EPS, 1) for x in xs] for xs in (t, p))
    return mp.fsum(a * mp.log(a / b) for a, b in zip(t, p, strict=True))


def of_kl_divergence(t, p, _):
    t, p = np.clip(t, 1e-7, 1), np.clip(p, 1e-7, 1)
    return row_largest(t * np.log(t / p)), None


def poisson(t, p):
    return mean([b - a * mp.log(b + EPS) for a, b in zip(t, p, strict=True)])


def of_poisson(t, p, _):
    # p + 1e-7 is rounded before the logarithm: 1 ulp of 1 where that is near 0
    rate = p + 1e-7
    value = largest(p, t * largest(1, np.log(rate)))
    return value[:, 0], largest(1, t / rate)


CASES = (
    Case(
        losses.KLDivergence,
        exact=kl_divergence,
        elsewhere=(
            Elsewhere("torch", "F.kl_div(y_pred.log(), y_true, reduction='batchmean')"),
            Elsewhere("optax", "optax.losses.kl_divergence(jnp.log(y_pred), y_true).mean()"),
        ),
        sizes=of_kl_divergence,
        ulps=(4, 1),  # log1p
        residuals=1,
        extra=5,
    ),
    Case(
        losses.Poisson,
        exact=poisson,
        sizes=of_poisson,
        ulps=(3, 3),
        residuals=1,
        extra=5,
        elsewhere=(
            Elsewhere("torch", "F.poisson_nll_loss(y_pred, y_true, log_input=False, eps=1e-7)"),
        ),
    ),
)
