"""Losses for classes of which some are rare, and weights for them."""

import jax
from jax import lax
from jax import numpy as jnp

from lossjax.core import check
from lossjax.core.loss import Loss, leaf, static
from lossjax.core.types import Array, Hyper, Input
from lossjax.math.elementwise import finite, floored, guarded, power, quotient, weight_of, xmuly
from lossjax.math.entropy import binary_cross_entropy, binary_focal, known_exponent, sigmoid
from lossjax.math.fusion import elementwise, partials, settle
from lossjax.math.softmax import below_largest, label_cross_entropy

__all__ = [
    "LDAM",
    "AsymmetricFocal",
    "LogitAdjusted",
    "asymmetric_focal",
    "class_balanced_weights",
    "ldam",
    "logit_adjusted",
]


def class_balanced_weights(counts: Input, beta: float | str = "balanced") -> Array:
    """(1 - beta) / (1 - beta^count) for each class, scaled to a mean of 1; 0 where none is.

    Use: as `class_weight` of `cross_entropy` and others. `counts` (classes,) are the samples of
    each class. `beta` in [0, 1) is near 1, such as 0.999: 0 weighs all classes alike, towards 1
    the weights become those of "balanced", Σ counts / (classes * count), which scikit-learn has
    (and with which the mean over the samples is 1). The mean is that over classes with samples.

    Raises ValueError for negative counts and a beta out of range.
    Source: Cui et al. (2019), arXiv:1901.05555, eq. 6.

    >>> print(class_balanced_weights([10, 30, 0], beta=0.9).round(4))
    [1.1903 0.8097 0.    ]
    >>> print(class_balanced_weights([10, 30, 0]).round(4))
    [2.     0.6667 0.    ]
    """
    where = "class_balanced_weights"
    check.within(where, "counts", counts, "[0, inf)")
    n = check.float_array(where, "counts", counts)
    check.rank(where, "counts", n, "classes")
    there = n > 0
    n, classes = jnp.where(there, n, 1), jnp.sum(there)
    if isinstance(beta, str):
        check.choice(where, "beta", beta, ("balanced",))
        return jnp.where(there, jnp.sum(n, where=there) / (classes * n), 0)
    check.within(where, "beta", beta, "[0, 1)")
    # Of small 1 - beta the difference 1 - beta^n would lose the digits.
    weights = jnp.where(there, 1 / -jnp.expm1(n * jnp.log(jnp.asarray(beta, n.dtype))), 0)
    return weights * classes / jnp.sum(weights)


# --- one class of several -----------------------------------------------------------------------


def _labelled(where: str, y_true: Input, y_pred: Input) -> tuple[Array, Array, Array]:
    """Labels, logits, and which labels there are."""
    z = check.prediction(where, y_pred)
    check.class_axis(where, z, -1)
    labels = check.aligned_labels(where, y_true, z, -1)
    exists = check.exists(labels, z.shape[-1])
    return labels, guarded(z, exists[..., None]), exists


def logit_adjusted(y_true: Input, y_pred: Input, *, prior: Hyper = 1.0, tau: Hyper = 1.0) -> Array:
    """-log softmax(z + tau log prior) at the class `y_true`, z = `y_pred`.

    Use: training on classes of which some are rare, for a test in which all are alike: the plain
    logits are what then predicts. To keep the frequencies take `cross_entropy`.

    `prior` ≥ 0 holds the frequencies of the classes in training, as counts or as probabilities:
    a common factor changes nothing. `tau` = 1 is the balanced softmax. A number for all classes
    leaves the cross-entropy as it is.
    Shapes: labels (...) or (..., 1), integers, and logits (..., classes); values (...), in nats.
    A label out of range has the loss 0 and the derivative 0.
    Raises ValueError for other shapes and numbers out of range.
    Source: Menon et al. (2020), arXiv:2007.07314, eq. 10; Ren et al. (2020), arXiv:2007.10740.

    >>> print(logit_adjusted([0, 1], [[0.0, 0.0], [0.0, 0.0]], prior=[10, 30]).round(4))
    [1.3863 0.2877]
    """
    where = "logit_adjusted"
    check.within(where, "tau", tau, "[0, inf)")
    labels, z, exists = _labelled(where, y_true, y_pred)
    prior = check.of_classes(where, "prior", prior, z.shape[-1], z.dtype)
    # Beside a score of 1e8 there would be no prior.
    z = below_largest(z) + xmuly(jnp.asarray(tau, z.dtype), _log(prior))
    return jnp.where(exists, label_cross_entropy(labels, z, -1), 0)


@partials(lambda dx, _, x: dx * quotient(jnp.ones_like(x), x))
def _log(x: Array) -> Array:
    """log(x), with a finite slope at 0."""
    return jnp.log(x)


class LogitAdjusted(Loss):
    fn = logit_adjusted
    couples = "none"
    domain = "label logits"
    aliases = ("balanced_softmax",)
    prior: Hyper = leaf(default=1.0, interval="[0, inf)", kw_only=True)
    tau: Hyper = leaf(default=1.0, interval="[0, inf)", kw_only=True)


def ldam(
    y_true: Input,
    y_pred: Input,
    *,
    counts: Hyper = 1.0,
    max_margin: Hyper = 0.5,
    scale: Hyper = 30.0,
) -> Array:
    """-log softmax(scale (z - m)) at y, m being (min n / n_y)^(1/4) max_margin at y, else 0.

    Use: rare classes, with a margin that is larger the rarer the class y = `y_true` is; n =
    `counts` of samples in each class, z = `y_pred` cosines of features and class vectors.

    `counts` > 0, one for each class, or a number where all are alike; `max_margin`, that of the
    rarest class, and `scale` are ≥ 0.
    Shapes: labels (...) or (..., 1), integers, and scores (..., classes); values (...), in nats.
    A label out of range has the loss 0 and the derivative 0.
    Raises ValueError for other shapes and numbers out of range.
    Source: Cao et al. (2019), arXiv:1906.07413, eq. 12 and 13.

    >>> print(ldam([0, 1], [[0.25, 0.0], [0.0, 0.5]], counts=[16, 1], scale=4.0).round(4))
    [0.6931 0.6931]
    """
    where = "ldam"
    check.within(where, "counts", counts, "(0, inf)")
    check.within(where, "max_margin", max_margin, "[0, inf)")
    check.within(where, "scale", scale, "[0, inf)")
    labels, z, exists = _labelled(where, y_true, y_pred)
    n = check.of_classes(where, "counts", counts, z.shape[-1], z.dtype)
    share = jnp.exp((jnp.log(jnp.min(n)) - jnp.log(n)) / 4)
    margin = jnp.asarray(max_margin, z.dtype) * weight_of(labels, share)
    hit = labels[..., None] == jnp.arange(z.shape[-1])
    # Beside a score of 1e8 there would be no margin.
    z = below_largest(z) - jnp.where(hit, margin[..., None], 0)
    z = xmuly(jnp.asarray(scale, z.dtype), z)
    return jnp.where(exists, label_cross_entropy(labels, z, -1), 0)


class LDAM(Loss):
    fn = ldam
    couples = "none"
    domain = "label logits"
    counts: Hyper = leaf(default=1.0, interval="(0, inf)", kw_only=True)
    max_margin: Hyper = leaf(default=0.5, interval="[0, inf)", kw_only=True)
    scale: Hyper = leaf(default=30.0, interval="[0, inf)", kw_only=True)


# --- labels of which several may hold -----------------------------------------------------------


def asymmetric_focal(
    y_true: Input,
    y_pred: Input,
    *,
    gamma_pos: Hyper = 0.0,
    gamma_neg: Hyper = 4.0,
    margin: Hyper = 0.05,
    stop_focus_gradient: bool = False,
) -> Array:
    """Σ -t (1 - p)^gamma_pos log p - (1 - t) r^gamma_neg log(1 - r), r = max(p - margin, 0).

    Use: many labels of which few hold, t = `y_true`; p = σ(`y_pred`). What does not hold and is
    found improbable, up to `margin`, does not count at all.

    `gamma_pos`, `gamma_neg` ≥ 0; `margin` in [0, 1). With `stop_focus_gradient` the two powers
    have no derivative: only then is the gradient not that of the value.
    Shapes: (..., labels) for both; values (...), in nats, summed over the labels.
    Raises ValueError for unequal shapes and numbers out of range.
    Source: Ridnik et al. (2020), arXiv:2009.14119, eq. 7; timm's AsymmetricLossMultiLabel, which
    computes in float32 and by default has gamma_pos = 1.

    >>> print(asymmetric_focal([[1.0, 0.0]], [[0.0, 0.0]]).round(4))
    [0.7176]
    """
    where = "asymmetric_focal"
    check.within(where, "gamma_pos", gamma_pos, "[0, inf)")
    check.within(where, "gamma_neg", gamma_neg, "[0, inf)")
    check.within(where, "margin", margin, "[0, 1)")
    t, z = check.same_shape(where, y_true, y_pred)
    how = (bool(stop_focus_gradient), known_exponent(gamma_pos), known_exponent(gamma_neg))
    hyper = [jnp.asarray(x, z.dtype) for x in (gamma_pos, gamma_neg, margin)]
    return settle(jnp.sum(_asymmetric(how, t, z, *hyper), -1))


@elementwise(static=1, written=True)
def _asymmetric(
    how: tuple[bool, float, float],
    t: Array,
    z: Array,
    gamma_pos: Array,
    gamma_neg: Array,
    margin: Array,
) -> Array:
    stopped, n_pos, n_neg = how
    one, zero = jnp.ones_like(z), jnp.zeros_like(z)
    rest = floored(0.0, sigmoid(z) - margin)
    if stopped:
        focus = power(sigmoid(lax.stop_gradient(-z)), n_pos or gamma_pos)
        holds = focus * binary_cross_entropy(one, zero, z)
        rest = lax.stop_gradient(rest)
    else:
        holds = binary_focal(n_pos, one, zero, z, gamma_pos)
    fails = xmuly(power(rest, n_neg or gamma_neg), _shifted_entropy(z, margin))
    return xmuly(t, holds) + xmuly(1 - t, fails)


def _beyond(z: Array, margin: Array) -> Array:
    """Whether σ(z) > margin, as a derivative of the larger one."""
    return (jnp.sign(sigmoid(z) - margin) + 1) / 2


def _entropy_by_z(z: Array, margin: Array) -> Array:
    # σ(z) σ(-z) / (σ(-z) + margin), which is 0 / 0 where σ(-z) and the margin are 0
    odds = jnp.maximum(_log(margin), -3e38) + jax.nn.softplus(jnp.minimum(z, 1e30))
    return _beyond(z, margin) * sigmoid(z) * sigmoid(-odds)


@partials(
    lambda dz, _, z, margin: dz * _entropy_by_z(z, margin),
    lambda dm, _, z, margin: -dm * _beyond(z, margin) * finite(1 / (sigmoid(-z) + margin)),
)
def _shifted_entropy(z: Array, margin: Array) -> Array:
    """-log(1 - max(σ(z) - margin, 0))."""
    small = -jnp.log1p(-jnp.maximum(sigmoid(jnp.minimum(z, 0)) - margin, 0))
    u = jnp.maximum(z, 0)
    # σ(-z) + margin is 0 for a large z without a margin; the logarithm of its numerator is -z.
    top = jnp.logaddexp(jnp.log1p(margin) - u, jnp.log(margin))
    large = jnp.maximum(jnp.log1p(jnp.exp(-u)) - top, 0)
    return jnp.where(z > 0, large, small)


class AsymmetricFocal(Loss):
    fn = asymmetric_focal
    couples = "none"
    domain = "binary logits"
    gamma_pos: Hyper = leaf(default=0.0, interval="[0, inf)", kw_only=True)
    gamma_neg: Hyper = leaf(default=4.0, interval="[0, inf)", kw_only=True)
    margin: Hyper = leaf(default=0.05, interval="[0, 1)", kw_only=True)
    stop_focus_gradient: bool = static(default=False, kw_only=True)
