"""Losses of logits of several classes, with class numbers or targets: cross-entropy and kin."""

from typing import Any

import jax
from jax import numpy as jnp

from lossjax.core import check, reduce
from lossjax.core.loss import Loss, leaf, static
from lossjax.core.reduce import Total
from lossjax.core.types import IGNORED_TYPES, Array, Hyper, Ignored, Input
from lossjax.math.elementwise import finite, guarded, surprise, weight_of, xmuly
from lossjax.math.entropy import smoothing_amount
from lossjax.math.fusion import at_least, bounded, largest, partials, settle
from lossjax.math.softmax import (
    Terms,
    label_cross_entropy,
    log_sum_exp,
    sum_over_log_softmax,
)

__all__ = [
    "Brier",
    "ConfidencePenalty",
    "CrossEntropy",
    "Poly1",
    "SymmetricCrossEntropy",
    "brier",
    "confidence_penalty",
    "cross_entropy",
    "poly1",
    "symmetric_cross_entropy",
]


def _labels_or_targets(where: str, y_true: Input, y_pred: Input) -> tuple[Array, Array]:
    """Class numbers (...), or targets of the shape of the logits (..., classes), and the logits."""
    z = check.prediction(where, y_pred)
    check.class_axis(where, z, -1)
    y = check.array(where, "y_true", check.class_number(y_true))
    if _is_targets(y):
        y = y.astype(z.dtype)
    elif y.ndim == z.ndim and y.shape[-1] == 1:
        y = y[..., 0]
    check.labels_or_targets(where, y, z.shape[:-1], z.shape[-1])
    return y if _is_targets(y) else check.labels(where, y), z


def _is_targets(y: Array) -> bool:
    return bool(jnp.issubdtype(y.dtype, jnp.floating))


def _exists(labels: Array, z: Array) -> Array:
    return (labels >= 0) & (labels < z.shape[-1])


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
    y, z = _labels_or_targets(where, y_true, y_pred)
    weight = check.of_classes(where, "class_weight", class_weight, z.shape[-1], z.dtype)
    counts = _counts(where, y, z, ignore_class)
    if counts is not None:
        z = guarded(z, counts[..., None])
    kept, added = _smoothing(label_smoothing, smooth_over, z)
    along = weight.reshape((1,) * (z.ndim - 1) + (-1,)) if weight.ndim else weight
    if _is_targets(y):
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
    if _is_targets(y):
        if ignore_class is not None:
            raise ValueError(f"{where}: ignore_class needs class numbers, y_true holds targets.")
        return None
    exists = _exists(y, z)
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
    return jnp.sum(weight * y, -1) if _is_targets(y) else weight_of(y, weight)


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


class CrossEntropy(Loss):
    fn = cross_entropy
    couples = "none"
    domain = "label logits"
    ignore_class: Ignored = static(default=None, types=IGNORED_TYPES, kw_only=True)
    class_weight: Hyper = leaf(default=1.0, interval="[0, inf)", kw_only=True)
    label_smoothing: Hyper = leaf(default=0.0, interval="[0, 1]", kw_only=True)
    smooth_over: str = static(default="all", types=(str,), kw_only=True)
    z_loss: Hyper = leaf(default=0.0, interval="[0, inf)", kw_only=True)

    def call(self, y_true: Array, y_pred: Array) -> Array | tuple[Array, Array]:
        values = cross_entropy(y_true, y_pred, **self.hyperparameters())
        if self.ignore_class is None:
            return values
        labels = check.labels("cross_entropy", y_true).reshape(values.shape)
        return values, ~check.is_among(labels, self.ignore_class)

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
            y, z = _labels_or_targets(where, inputs.y_true, inputs.y_pred)
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


def _over_classes(where: str, curve: Terms, y_true: Input, y_pred: Input, *hyper: Hyper) -> Array:
    """Σ curve(log softmax(z), t, *hyper); a label out of range has 0."""
    y, z = _labels_or_targets(where, y_true, y_pred)
    numbers = [jnp.asarray(h, z.dtype) for h in hyper]
    if _is_targets(y):
        return sum_over_log_softmax(curve, -1, z, y, *numbers)
    exists = _exists(y, z)
    z = guarded(z, exists[..., None])
    t = (y[..., None] == jnp.arange(z.shape[-1])).astype(z.dtype)
    return jnp.where(exists, sum_over_log_softmax(curve, -1, z, t, *numbers), 0)


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
