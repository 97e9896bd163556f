"""Losses of logits of several classes, with class numbers or targets: cross-entropy and kin."""

from types import NoneType
from typing import Any

import jax
from jax import numpy as jnp

from lossjax.core import check, reduce
from lossjax.core.labelled import Labelled
from lossjax.core.loss import Loss, leaf, static
from lossjax.core.reduce import Total
from lossjax.core.types import IGNORED_TYPES, Array, Hyper, Ignored, Input
from lossjax.math import tempered
from lossjax.math.elementwise import (
    divergence,
    expm1,
    finite,
    guarded,
    mean,
    power,
    surprise,
    weight_of,
    xmuly,
)
from lossjax.math.entropy import smoothing_amount
from lossjax.math.fusion import at_least, bounded, largest, partials, settle
from lossjax.math.softmax import (
    Terms,
    below_largest,
    label_cross_entropy,
    log_softmax,
    log_sum_exp,
    one_hot,
    sum_over_log_softmax,
)

__all__ = [
    "BiTempered",
    "Brier",
    "ConfidencePenalty",
    "CrossEntropy",
    "JensenShannon",
    "Poly1",
    "SymmetricCrossEntropy",
    "bi_tempered",
    "brier",
    "confidence_penalty",
    "cross_entropy",
    "jensen_shannon",
    "poly1",
    "symmetric_cross_entropy",
]


# --- cross-entropy ------------------------------------------------------------------------------


def cross_entropy(
    y_true: Input,
    y_pred: Input,
    *,
    ignore_class: Ignored = None,
    class_weight: Hyper = 1.0,
    label_smoothing: Hyper = 0.0,
    smooth_over: str = "all",
    z_loss: Hyper = 0.0,
) -> Array:
    """-Σ w t log softmax(z) + w_y z_loss logsumexp(z)², t = `y_true`, z = `y_pred`.

    Use: classes that exclude each other, from logits. Where these do not fit in memory take
    `linear_cross_entropy`.

    Shapes: logits (..., classes); class numbers (...) or (..., 1), integers, or targets of the
    shape of the logits, floats, which are not normalised; values (...), in nats. Options:

    - `ignore_class`: labels that do not count, one or several: loss and derivative 0, whatever
      the logits are; the class leaves them out of its mean. A label below 0 or beyond the last
      class has the loss 0, but its share in the mean.
    - `label_smoothing` s in [0, 1]: t becomes t (1 - s) + s/K for K classes, or with
      `smooth_over="others"` t (1 - s) + (1 - t) s/(K - 1).
    - `class_weight` ≥ 0, a number or one for each class: w. With one for each the class divides
      under the reduction "mean_with_sample_weight" by the sum of w_y = Σ w t, t unsmoothed, as
      torch does for class numbers; under "sum_over_batch_size" by the count, as for targets.
      (`linear_cross_entropy` gives what smoothing adds the weight of the label.)
    - `z_loss` ≥ 0, often 1e-4: keeps the logits near 0.

    Raises ValueError or TypeError for arguments that do not fit.
    Source: `torch.nn.functional.cross_entropy`; Szegedy et al. (2015), arXiv:1512.00567, eq. 7;
    z-loss: Chowdhery et al. (2022), arXiv:2204.02311.

    >>> print(cross_entropy([0, 1], [[0.0, 0.0], [1.0, 3.0]], label_smoothing=0.1).round(4))
    [0.6931 0.2269]
    """
    where = "cross_entropy"
    check.within(where, "label_smoothing", label_smoothing, "[0, 1]")
    check.within(where, "z_loss", z_loss, "[0, inf)")
    check.choice(where, "smooth_over", smooth_over, ("all", "others"))
    y, z = check.truth_and_logits(where, y_true, y_pred)
    weight = check.of_classes(where, "class_weight", class_weight, z.shape[-1], z.dtype)
    counts = _counts(where, y, z, ignore_class)
    if counts is not None:
        z = guarded(z, counts[..., None])
    kept, added = _smoothing(label_smoothing, smooth_over, z)
    along = weight.reshape((1,) * (z.ndim - 1) + (-1,)) if weight.ndim else weight
    if check.is_targets(y):
        values = sum_over_log_softmax(_weighed_entropy, -1, z, kept * y, along, added)
    else:
        values = xmuly(kept * weight_of(y, weight), label_cross_entropy(y, z, -1))
        if added is not None:
            values += sum_over_log_softmax(_weighed_entropy, -1, z, added, along, None)
    if not _is_number(z_loss, 0):
        amount = jnp.asarray(z_loss, z.dtype) * _weight_of_truth(y, weight)
        values += _times_square(amount, log_sum_exp(z, -1))
    return settle(values) if counts is None else jnp.where(counts, settle(values), 0)


def _counts(where: str, y: Array, z: Array, ignore_class: Ignored) -> Array | None:
    """Which labels are of a class that counts; None where there are targets."""
    ignore_class = check.ignored(where, ignore_class)
    if check.is_targets(y):
        if ignore_class is not None:
            raise ValueError(f"{where}: ignore_class needs class numbers, y_true holds targets.")
        return None
    exists = check.exists(y, z.shape[-1])
    return exists if ignore_class is None else exists & ~check.is_among(y, ignore_class)


def _smoothing(label_smoothing: Hyper, smooth_over: str, z: Array) -> tuple[Array, Array | None]:
    """What t is multiplied by, and what is added to it; None: nothing."""
    amount = smoothing_amount(label_smoothing, z.dtype)
    if amount is None:
        return jnp.ones((), z.dtype), None
    if smooth_over == "all":
        return 1 - amount, amount / z.shape[-1]
    added = amount / max(1, z.shape[-1] - 1)
    return 1 - amount - added, added


def _weighed_entropy(log_q: Array, t: Array, weight: Array, added: Array | None) -> Array:
    return weight * (t if added is None else t + added) * surprise(log_q)


def _weight_of_truth(y: Array, weight: Array) -> Array:
    return jnp.sum(weight * y, -1) if check.is_targets(y) else weight_of(y, weight)


@partials(
    lambda da, _, a, x: da * finite(x * x),
    # 2 x overflows where x is the largest number
    lambda dx, _, a, x: dx * (a * bounded(x)) + dx * (a * bounded(x)),
)
def _times_square(a: Array, x: Array) -> Array:
    return xmuly(a, x * x)


def _is_number(value: Any, number: float) -> bool:
    """Whether it is known to be that number."""
    return isinstance(value, (int, float)) and value == number


class CrossEntropy(Labelled):
    fn = cross_entropy
    domain = "label logits"
    ignore_class: Ignored = static(default=None, types=IGNORED_TYPES, kw_only=True)
    class_weight: Hyper = leaf(default=1.0, interval="[0, inf)", kw_only=True)
    label_smoothing: Hyper = leaf(default=0.0, interval="[0, 1]", kw_only=True)
    smooth_over: str = static(default="all", types=(str,), kw_only=True)
    z_loss: Hyper = leaf(default=0.0, interval="[0, inf)", kw_only=True)

    def __call__(
        self,
        y_true: Any,
        y_pred: Any,
        sample_weight: Input | None = None,
        mask: Input | None = None,
    ) -> Array:
        if self._divides_by_count():
            return super().__call__(y_true, y_pred, sample_weight, mask)
        value = self.total(y_true, y_pred, sample_weight, mask).result()
        return value if self.dtype is None else value.astype(self.dtype)

    def total(
        self,
        y_true: Any,
        y_pred: Any,
        sample_weight: Input | None = None,
        mask: Input | None = None,
    ) -> Total:
        if self._divides_by_count():
            return super().total(y_true, y_pred, sample_weight, mask)
        where = type(self).__name__
        with jax.named_scope(self.name):
            inputs = self._prepare(y_true, y_pred, sample_weight, mask)
            values, own, counted = self._evaluate(inputs)
            y, z = check.truth_and_logits(where, inputs.y_true, inputs.y_pred)
            weight = jnp.asarray(self.class_weight, z.dtype)
            weights = jnp.broadcast_to(_weight_of_truth(y, weight), values.shape)
            loss, weight = (
                reduce.total(where, x, own, counted, "sum").sum for x in (values, weights)
            )
            return Total(loss, weight)

    def _divides_by_count(self) -> bool:
        """Or by weights without those of the classes; one number for all of these is a factor."""
        return self.reduction != "mean_with_sample_weight" or not jnp.ndim(self.class_weight)


# --- a curve of every class's log softmax -------------------------------------------------------


def _targets(where: str, y_true: Input, y_pred: Input) -> tuple[Array, Array, Array | None]:
    """Targets, logits, and which labels there are; None for all."""
    y, z = check.truth_and_logits(where, y_true, y_pred)
    if check.is_targets(y):
        return y, z, None
    exists = check.exists(y, z.shape[-1])
    return one_hot(y, z), guarded(z, exists[..., None]), exists


def _over_classes(where: str, curve: Terms, y_true: Input, y_pred: Input, *hyper: Hyper) -> Array:
    """Σ curve(log softmax(z), t, *hyper); a label out of range has 0."""
    t, z, exists = _targets(where, y_true, y_pred)
    values = sum_over_log_softmax(curve, -1, z, t, *(jnp.asarray(h, z.dtype) for h in hyper))
    return values if exists is None else jnp.where(exists, values, 0)


def poly1(y_true: Input, y_pred: Input, *, epsilon: Hyper = 2.0) -> Array:
    """Σ t (-log q + epsilon (1 - q)), t = `y_true`, q = softmax(`y_pred`).

    Use: as `cross_entropy`, with more (epsilon > 0) or less of the pull on what is nearly right.

    `epsilon` ≥ -1; optax has 2 by default too, rax 1.
    Shapes: logits (..., classes); class numbers (...), integers, or targets of the shape of the
    logits; values (...), in nats. A label out of range has the loss 0 and the derivative 0.
    Raises ValueError for other shapes and an epsilon out of range.
    Source: Leng et al. (2022), arXiv:2204.12511, eq. 6.

    >>> print(poly1([0], [[0.0, 0.0]]).round(4))
    [1.6931]
    """
    check.within("poly1", "epsilon", epsilon, "[-1, inf)")
    return _over_classes("poly1", _poly1, y_true, y_pred, epsilon)


def _poly1(log_q: Array, t: Array, epsilon: Array) -> Array:
    return t * (surprise(log_q) - epsilon * jnp.expm1(log_q))


class Poly1(Loss):
    fn = poly1
    couples = "none"
    domain = "label logits"
    epsilon: Hyper = leaf(default=2.0, interval="[-1, inf)", kw_only=True)


def brier(y_true: Input, y_pred: Input) -> Array:
    """Σ (q - t)², t = `y_true`, q = softmax(`y_pred`).

    Use: calibrated probabilities of classes, where a confident mistake is not to weigh without
    bound. Far from the truth the gradient vanishes: `cross_entropy` learns faster.

    Shapes: logits (..., classes); class numbers (...), integers, or targets of the shape of the
    logits; values (...), from 0 to 2: some divide by the number of classes. A label out of range
    has the loss 0 and the derivative 0.
    Raises ValueError for other shapes.
    Source: Brier (1950), Monthly Weather Review 78(1).

    >>> print(brier([0], [[0.0, 0.0]]))
    [0.5]
    """
    return _over_classes("brier", _squared_gap, y_true, y_pred)


def _squared_gap(log_q: Array, t: Array) -> Array:
    gap = jnp.exp(log_q) - t
    return gap * gap


class Brier(Loss):
    fn = brier
    couples = "none"
    domain = "label logits"


def symmetric_cross_entropy(
    y_true: Input,
    y_pred: Input,
    *,
    alpha: Hyper = 1.0,
    beta: Hyper = 1.0,
    log_zero: Hyper = -4.0,
) -> Array:
    """-alpha Σ t log q - beta Σ q max(log t, log_zero), t = `y_true`, q = softmax(`y_pred`).

    Use: labels of which some are wrong. The second term is bounded, and alone for class numbers
    the mean absolute error; the first one makes it learn.

    `alpha`, `beta` ≥ 0; `log_zero` ≤ 0 is what the paper calls A.
    Shapes: logits (..., classes); class numbers (...), integers, or targets of the shape of the
    logits; values (...), in nats. A label out of range has the loss 0 and the derivative 0.
    Raises ValueError for other shapes and numbers out of range.
    Source: Wang et al. (2019), arXiv:1908.06112, eq. 7, where alpha, beta and A are chosen for
    each data set: 0.1, 1 and -6, or 6, 0.1 and -6; its code has A = log(1e-4).

    >>> print(symmetric_cross_entropy([0], [[0.0, 0.0]]).round(4))
    [2.6931]
    """
    where = "symmetric_cross_entropy"
    check.within(where, "alpha", alpha, "[0, inf)")
    check.within(where, "beta", beta, "[0, inf)")
    check.within(where, "log_zero", log_zero, "(-inf, 0]")
    return settle(_over_classes(where, _both_ways, y_true, y_pred, alpha, beta, log_zero))


def _both_ways(log_q: Array, t: Array, alpha: Array, beta: Array, log_zero: Array) -> Array:
    log_t = jnp.log(jnp.maximum(t, jnp.exp(log_zero)))  # never 0 inside: its slope is infinite
    return alpha * t * surprise(log_q) - beta * jnp.exp(log_q) * log_t


class SymmetricCrossEntropy(Loss):
    fn = symmetric_cross_entropy
    couples = "none"
    domain = "label logits"
    alpha: Hyper = leaf(default=1.0, interval="[0, inf)", kw_only=True)
    beta: Hyper = leaf(default=1.0, interval="[0, inf)", kw_only=True)
    log_zero: Hyper = leaf(default=-4.0, interval="(-inf, 0]", kw_only=True)


def confidence_penalty(y_true: Input, y_pred: Input, *, beta: Hyper = 0.1) -> Array:
    """Σ (-t log q + beta q log q), t = `y_true`, q = softmax(`y_pred`).

    Use: classification that is to stay unsure: the entropy of the prediction is rewarded, where
    `label_smoothing` of `cross_entropy` draws it to the uniform distribution.

    `beta` ≥ 0. Values may be negative, down to -beta log(classes) and a little above.
    Shapes: logits (..., classes); class numbers (...), integers, or targets of the shape of the
    logits; values (...), in nats. A label out of range has the loss 0 and the derivative 0.
    Raises ValueError for other shapes and a negative beta.
    Source: Pereyra et al. (2017), arXiv:1701.06548, section 3.

    >>> print(confidence_penalty([0], [[0.0, 0.0]]).round(4))
    [0.6238]
    """
    check.within("confidence_penalty", "beta", beta, "[0, inf)")
    return _over_classes("confidence_penalty", _less_entropy, y_true, y_pred, beta)


def _less_entropy(log_q: Array, t: Array, beta: Array) -> Array:
    q_log_q = jnp.exp(log_q) * at_least(-largest(log_q), log_q)  # 0 at q = 0
    return t * surprise(log_q) + beta * q_log_q


class ConfidencePenalty(Loss):
    fn = confidence_penalty
    couples = "none"
    domain = "label logits"
    beta: Hyper = leaf(default=0.1, interval="[0, inf)", kw_only=True)


def jensen_shannon(
    y_true: Input, y_pred: Input, *, weight: Hyper = 0.5, view_axis: int | None = None
) -> Array:
    """w Σ t log(t / m) + (1 - w) Σ q log(q / m), m = w t + (1 - w) q, q = softmax(`y_pred`).

    Use: labels of which some are wrong, w = `weight` leading from the cross-entropy (divided by w,
    w → 0) to the mean absolute error (divided by 1 - w, w → 1); or two predictions that are to
    agree, t = `y_true` being the other one.

    `weight` is in [0, 1). No sum is divided by -(1 - w) log(1 - w), as the paper's is.
    `view_axis` is an axis of `y_pred` along which stand predictions of one sample, seen in several
    ways: q log(q / m) becomes its mean over these, the q in m theirs. Of AugMix's three views the
    consistency is `JensenShannon(weight=0.0, view_axis=-2)`, and its loss
    `CrossEntropy().on(lambda t, z: (t, z[..., 0, :])) + 12.0 *` that.
    Shapes: logits (..., classes), without `view_axis`; class numbers (...), integers, or targets of
    the shape of the logits, which sum to 1; values (...), in nats, for one view from 0 to
    -w log w - (1 - w) log(1 - w). A label out of range has the loss 0 and the derivative 0.
    Raises ValueError for other shapes and a weight out of range.
    Source: Lin (1991), IEEE Transactions on Information Theory 37(1), eq. 4.1 and 5.1; Englesson
    and Azizpour (2021), arXiv:2105.04522; Hendrycks et al. (2020), arXiv:1912.02781, eq. 1.

    >>> print(jensen_shannon([0], [[0.0, 0.0]]).round(4))
    [0.2158]
    """
    where = "jensen_shannon"
    check.within(where, "weight", weight, "[0, 1)")
    if view_axis is None:
        return _over_classes(where, _to_the_middle, y_true, y_pred, weight)
    views = _views(where, y_pred, view_axis)
    t, _, exists = _targets(where, y_true, views[..., 0, :])
    w = jnp.asarray(weight, views.dtype)
    views = views if exists is None else guarded(views, exists[..., None, None])
    q = jnp.exp(log_softmax(views, -1))
    t = t[..., None, :]
    m = w * t + (1 - w) * mean(q, -2)[..., None, :]
    values = w * _divergence(t, m) + (1 - w) * mean(_divergence(q, m), -2)[..., None, :]
    values = jnp.sum(values, (-2, -1))
    return values if exists is None else jnp.where(exists, values, 0)


def _views(where: str, y_pred: Input, axis: int) -> Array:
    """Predictions with their views along the axis before that of the classes."""
    z = check.prediction(where, y_pred)
    if not (-z.ndim <= axis < z.ndim and axis % z.ndim != z.ndim - 1 and z.shape[axis]):
        raise ValueError(
            f"{where}: view_axis must be an axis of y_pred, not empty, before the last, which is "
            f"that of the classes, got {axis} for the shape {z.shape}."
        )
    return jnp.moveaxis(z, axis, -2)


def _to_the_middle(log_q: Array, t: Array, w: Array) -> Array:
    q = jnp.exp(log_q)
    m = w * t + (1 - w) * q
    return w * _divergence(t, m) + (1 - w) * _divergence(q, m)


def _divergence(a: Array, m: Array) -> Array:
    """a log(a / m), and 0 where a is, or m, which is when a has no weight in it."""
    there = (a > 0) & (m != 0)
    return jnp.where(there, divergence(jnp.where(there, a, 1), jnp.where(there, m, 1)), 0)


class JensenShannon(Loss):
    fn = jensen_shannon
    couples = "none"
    domain = "label logits"
    weight: Hyper = leaf(default=0.5, interval="[0, 1)", kw_only=True)
    view_axis: int | None = static(default=None, types=(int, NoneType), kw_only=True)


def bi_tempered(y_true: Input, y_pred: Input, *, t1: Hyper = 0.8, t2: Hyper = 1.4) -> Array:
    """Σ t (log_t1 t - log_t1 q) - (t^(2-t1) - q^(2-t1)) / (2-t1), log_a x = (x^(1-a) - 1) / (1-a).

    Use: labels of which some are wrong: `t1` < 1 bounds the loss, and `t2` > 1 gives the tails of
    the probabilities that let a wrong label be improbable. For t1, t2 → 1 it is `cross_entropy`.

    q = exp_t2(`y_pred` - m), exp_a x = max(1 + (1 - a) x, 0)^(1 / (1 - a)), with m such that it
    sums to 1; t = `y_true`; `t1` in [0, 1), `t2` > 1.
    Shapes: logits (..., classes); class numbers (...), integers, or targets of the shape of the
    logits; values (...). A label out of range has the loss 0 and the derivative 0.
    Raises ValueError for other shapes and numbers out of range.
    Source: Amid et al. (2019), arXiv:1906.03361, eq. 5 and 9.

    >>> print(bi_tempered([0], [[0.0, 0.0]]).round(4))
    [0.5394]
    """
    where = "bi_tempered"
    check.within(where, "t1", t1, "[0, 1)")
    check.within(where, "t2", t2, "(1, inf)")
    t, z, exists = _targets(where, y_true, y_pred)
    a, c = 1 - jnp.asarray(t1, z.dtype), jnp.asarray(t2, z.dtype) - 1
    log_q = tempered.log_shares(below_largest(z), c)
    # Less 1 both powers of a share near 1 keep their digits, and the loss stays above 0.
    right = expm1((1 + a) * log_q) - expm1(a * log_q) * (1 + a) / a
    terms = (power(t, 1 + a) - t) / a + t * right + (1 - t) * jnp.exp((1 + a) * log_q)
    values = jnp.sum(terms, -1) / (1 + a)
    return values if exists is None else jnp.where(exists, values, 0)


class BiTempered(Loss):
    fn = bi_tempered
    couples = "none"
    domain = "label logits"
    t1: Hyper = leaf(default=0.8, interval="[0, 1)", kw_only=True)
    t2: Hyper = leaf(default=1.4, interval="(1, inf)", kw_only=True)
