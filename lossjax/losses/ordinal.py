"""Losses of levels in an order, such as grades: numbers from 0, of which a near one is less wrong.

`coral` and `corn` take a logit for each threshold between two levels, `cumulative_link` one score.
"""

import jax
from jax import numpy as jnp
from jax.nn import softplus
from jax.scipy.special import log_ndtr

from lossjax.core import check
from lossjax.core.loss import Loss, leaf, static
from lossjax.core.types import Array, Hyper, Input
from lossjax.math.elementwise import guarded
from lossjax.math.entropy import binary_cross_entropy

__all__ = ["Coral", "Corn", "CumulativeLink", "coral", "corn", "cumulative_link"]

LINKS = ("logit", "probit")
_THREE_LEVELS = (-1.0, 1.0)


def coral(y_true: Input, y_pred: Input) -> Array:
    """Σ_k -log σ(z_k) where `y_true` > k, -log σ(-z_k) elsewhere; z = `y_pred`.

    Use: levels in an order. z_k is the logit of passing threshold k; one score plus a bias for each
    threshold makes the probabilities fall with k, which a layer of free logits does not promise:
    `corn` does.

    Shapes: level numbers from 0 to K - 1 of shape (...), or (..., 1), logits (..., K - 1); values
    (...), in nats, the sum over the thresholds. A level out of range has the loss 0 and the
    derivative 0.
    Raises ValueError for other shapes.
    Source: Cao, Mirjalili and Raschka (2020), arXiv:1901.07884, eq. 4, with weights of 1.

    >>> print(coral([0, 2], [[0.0, 0.0], [3.0, 1.0]]).round(4))
    [1.3863 0.3618]
    """
    levels, z, valid = _levels("coral", y_true, y_pred)
    passed = (levels[..., None] > jnp.arange(z.shape[-1])).astype(z.dtype)
    return jnp.where(valid, jnp.sum(binary_cross_entropy(passed, 1 - passed, z), -1), 0)


class Coral(Loss):
    fn = coral
    couples = "none"
    domain = "ordinal"


def corn(y_true: Input, y_pred: Input) -> Array:
    """Σ_{k<y} -log σ(z_k), and -log σ(-z_y) if y < K - 1; y = `y_true`, z = `y_pred`.

    Use: levels in an order, with a logit for each threshold and no condition on these: it is
    -log P(y) with P(y > k | y ≥ k) = σ(z_k), so that P(y > k) falls with k whatever they are.

    Shapes: level numbers from 0 to K - 1 of shape (...), or (..., 1), logits (..., K - 1); values
    (...), in nats. A level out of range has the loss 0 and the derivative 0. The paper divides the
    sum over samples by the number of thresholds that they are asked, Σ min(y + 1, K - 1).
    Raises ValueError for other shapes.
    Source: Shi, Cao and Raschka (2023), arXiv:2111.08851, eq. 6.

    >>> print(corn([0, 2], [[0.0, -2.0], [3.0, 1.0]]).round(4))
    [0.6931 0.3618]
    """
    levels, z, valid = _levels("corn", y_true, y_pred)
    threshold = jnp.arange(z.shape[-1])
    passed = (levels[..., None] > threshold).astype(z.dtype)
    asked = levels[..., None] >= threshold
    terms = jnp.where(asked, binary_cross_entropy(passed, 1 - passed, z), 0)
    return jnp.where(valid, jnp.sum(terms, -1), 0)


class Corn(Loss):
    fn = corn
    couples = "none"
    domain = "ordinal"


def cumulative_link(
    y_true: Input, y_pred: Input, *, thresholds: Hyper = _THREE_LEVELS, link: str = "logit"
) -> Array:
    """-log(F(θ_y - s) - F(θ_{y-1} - s)), s = `y_pred`; F is σ ("logit") or the normal "probit".

    Use: levels in an order along one score: the proportional odds model, with `link="logit"`. The
    `thresholds` θ are leaves of the class: they are learned with the model, where the loss is one
    of the parameters, or given.

    Shapes: level numbers from 0 to K - 1 and scores of shape (...), or (..., 1), `thresholds` K - 1
    increasing numbers; values (...), in nats. θ_{-1} is -inf and θ_{K-1} is inf. A level out of
    range has the loss 0 and the derivative 0.
    Raises ValueError for other shapes, for thresholds that do not increase and for another link.
    Source: McCullagh (1980), Journal of the Royal Statistical Society B 42(2), section 2.

    >>> print(cumulative_link([0, 1], [[0.0], [2.0]]).round(4))
    [1.3133 1.5073]
    """
    where = "cumulative_link"
    check.choice(where, "link", link, LINKS)
    check.within(where, "thresholds", thresholds, "(-inf, inf)")
    p = check.prediction(where, y_pred)
    steps = _increasing(where, thresholds).astype(p.dtype)
    levels, score = _scores(where, y_true, p)
    valid = check.exists(levels, len(steps) + 1)
    score = guarded(score, valid)
    has_low, has_high = levels > 0, levels < len(steps)
    low = steps[jnp.clip(levels - 1, 0, len(steps) - 1)]
    high = steps[jnp.clip(levels, 0, len(steps) - 1)]
    inner = has_low & has_high & valid
    between = _logistic if link == "logit" else _normal
    values = between(low - score, high - score, jnp.where(inner, high - low, 1))
    only_high = softplus(score - high) if link == "logit" else -log_ndtr(high - score)
    only_low = softplus(low - score) if link == "logit" else -log_ndtr(score - low)
    values = jnp.where(inner, values, jnp.where(has_high, only_high, only_low))
    return jnp.where(valid, values, 0)


class CumulativeLink(Loss):
    fn = cumulative_link
    couples = "none"
    domain = "level"
    thresholds: Hyper = leaf(default=_THREE_LEVELS, interval="(-inf, inf)", kw_only=True)
    link: str = static(default="logit", types=(str,), kw_only=True)


def _levels(where: str, y_true: Input, y_pred: Input) -> tuple[Array, Array, Array]:
    """Levels and logits as arrays, and which of the levels there are."""
    z = check.prediction(where, y_pred)
    check.class_axis(where, z, -1)
    levels = check.aligned_labels(where, y_true, z, -1)
    valid = check.exists(levels, z.shape[-1] + 1)
    return levels, guarded(z, valid[..., None]), valid


def _scores(where: str, y_true: Input, p: Array) -> tuple[Array, Array]:
    """Levels and scores of one shape, without a last axis of size 1 behind that of the samples."""
    levels = check.labels(where, y_true)
    levels, p = (x[..., 0] if x.ndim > 1 and x.shape[-1] == 1 else x for x in (levels, p))
    if levels.ndim == 0 and p.shape == (1,):
        p = p[0]
    if levels.shape != p.shape:
        raise ValueError(
            f"{where}: y_true and y_pred must have equal shapes, (...) or (..., 1), a score for "
            f"each level, got {levels.shape} and {p.shape}."
        )
    return levels, p


def _increasing(where: str, thresholds: Hyper) -> Array:
    found = jnp.asarray(thresholds)
    check.rank(where, "thresholds", found, "levels-1")
    is_known = not isinstance(found, jax.core.Tracer)
    if is_known and not bool(jnp.all(jnp.diff(found) > 0)):
        raise ValueError(f"{where}: thresholds must increase, got {found}.")
    return found


def _log1mexp(x: Array) -> Array:
    """log(1 - exp(-x)) for x > 0."""
    small = x < 0.6931472
    near = jnp.log(-jnp.expm1(-jnp.where(small, x, 1)))
    far = jnp.log1p(-jnp.exp(-jnp.where(small, 1, x)))
    return jnp.where(small, near, far)


def _logistic(a: Array, b: Array, width: Array) -> Array:
    """-log(σ(b) - σ(a)), of which neither loses digits to the other."""
    return softplus(-b) + softplus(a) - _log1mexp(width)


def _normal(a: Array, b: Array, width: Array) -> Array:
    """-log(Φ(b) - Φ(a)), in the tail in which both are small."""
    flipped = a + b > 0
    a, b = jnp.where(flipped, -b, a), jnp.where(flipped, -a, b)
    top, bottom = log_ndtr(b), log_ndtr(a)
    gap = jnp.where(top > bottom, top - bottom, width)
    return -top - _log1mexp(gap)
