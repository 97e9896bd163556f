"""Losses of probabilities and logits."""

import functools
import warnings

from jax import numpy as jnp

from lossjax.core import check, reduce
from lossjax.core.loss import Loss, leaf, static
from lossjax.core.types import AXIS_TYPES, IGNORED_TYPES, Array, Axis, Hyper, Ignored, Input
from lossjax.math import softmax
from lossjax.math.elementwise import (
    EPSILON,
    binary_cross_entropy,
    binary_focal,
    box_cox,
    divergence,
    focal,
    log1p,
    mean,
    pick,
    power,
    probability,
    quotient,
    share,
    surprise,
    weighted_cross_entropy,
    xmuly,
)
from lossjax.math.fusion import elementwise, looped, settle

__all__ = [
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy",
    "CategoricalGeneralizedCrossEntropy",
    "KLDivergence",
    "Poisson",
    "SparseCategoricalCrossentropy",
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_generalized_cross_entropy",
    "kl_divergence",
    "poisson",
    "sparse_categorical_crossentropy",
]

_EPS = EPSILON


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
    y_true, y_pred = check.pair("kl_divergence", y_true, y_pred)
    return jnp.sum(looped(_kl_divergence(y_true, y_pred)), -1)


@elementwise()
def _kl_divergence(t: Array, p: Array) -> Array:
    return divergence(share(t), share(p))


class KLDivergence(Loss):
    fn = kl_divergence
    couples = "none"
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
    y_true, y_pred = check.pair("poisson", y_true, y_pred)
    return mean(_poisson(y_true, y_pred), -1)


@elementwise()
def _poisson(t: Array, p: Array) -> Array:
    return p - t * jnp.log(p + _EPS)


class Poisson(Loss):
    fn = poisson
    couples = "none"
    domain = "count"


def binary_crossentropy(
    y_true: Input,
    y_pred: Input,
    from_logits: bool = False,
    label_smoothing: Hyper = 0.0,
    axis: Axis = -1,
    *,
    pos_weight: Hyper = 1.0,
    label_weight: Hyper = 1.0,
) -> Array:
    """mean(-t log p - (1 - t) log(1 - p)) over `axis`; p = `y_pred`, or its sigmoid.

    Use: two classes, or labels of which several may hold at once. Train with `from_logits=True`:
    the gradient goes on where a sigmoid has saturated. For classes that exclude each other take
    `categorical_crossentropy`.

    Probabilities are clipped to [1e-7, 1 - 1e-7] (the derivative outside is 0, at the clip
    points half of the inner one), logits are not: at a perfect logit of ±inf the loss is 0,
    where Keras has NaN. `label_smoothing` s in [0, 1]: t becomes t (1 - s) + s/2.
    `pos_weight` ≥ 0 multiplies -t log p, `label_weight` ≥ 0 the whole term; the mean is divided by
    the number of terms. Both are numbers, or arrays that broadcast to the inputs, such as one for
    each label along the last axis.
    Shapes: equal; values without the axes `axis`, in nats.
    Raises ValueError for unequal shapes, weights that do not fit and s outside [0, 1].
    Source: equal to `keras.losses.binary_crossentropy`, which has no such weights; with them to
    `torch.nn.BCEWithLogitsLoss`, whose `weight` is `label_weight`. TensorFlow's Keras computes
    from the logits where `y_pred` is the output of a sigmoid, and Keras 2 adds 1e-7 inside the
    logarithm.

    >>> print(binary_crossentropy([[1.0, 0.0]], [[0.5, 0.75]]).round(4))
    [1.0397]
    """
    where = "binary_crossentropy"
    check.within(where, "label_smoothing", label_smoothing, "[0, 1]")
    t, p = check.same_shape(where, y_true, y_pred)
    smoothing = _amount(label_smoothing, p.dtype)
    weights = {"pos_weight": pos_weight, "label_weight": label_weight}
    factors = [check.factor(where, name, weight, p) for name, weight in weights.items()]
    entropy = _binary_crossentropy(bool(from_logits), t, p, smoothing, *factors)
    return settle(mean(entropy, axis))


@elementwise(static=1)
def _binary_crossentropy(
    from_logits: bool,
    t: Array,
    p: Array,
    smoothing: Array | None,
    pos_weight: Array | None,
    label_weight: Array | None,
) -> Array:
    t, u = _smooth(t, smoothing, 2), _smooth(1 - t, smoothing, 2)
    if not from_logits:
        entropy = _binary_entropy(t if pos_weight is None else pos_weight * t, u, p)
    elif pos_weight is None:
        entropy = binary_cross_entropy(t, u, p)
    else:
        entropy = weighted_cross_entropy(pos_weight * t, u, p)
    return entropy if label_weight is None else label_weight * entropy


def _amount(label_smoothing: Hyper, dtype: jnp.dtype) -> Array | None:
    """None where there is nothing to smooth: XLA would multiply by 1 and add 0."""
    none = isinstance(label_smoothing, (int, float)) and label_smoothing == 0
    return None if none else jnp.asarray(label_smoothing, dtype)


def _smooth(t: Array, amount: Array | None, classes: int) -> Array:
    return t if amount is None else t * (1 - amount) + amount / classes


def _classes(t: Array) -> int:
    return max(1, t.shape[-1]) if t.ndim else 1


def _binary_entropy(t: Array, u: Array, p: Array) -> Array:
    p = probability(p)
    return -(t * jnp.log(p) + u * log1p(-p))


class BinaryCrossentropy(Loss):
    fn = binary_crossentropy
    couples = "none"
    domain = "binary"
    aliases = ("bce", "BCE")
    from_logits: bool = static(default=False)
    label_smoothing: Hyper = leaf(default=0.0, interval="[0, 1]")
    axis: Axis = static(default=-1, types=AXIS_TYPES)
    pos_weight: Hyper = leaf(default=1.0, interval="[0, inf)", kw_only=True, beyond=True)
    label_weight: Hyper = leaf(default=1.0, interval="[0, inf)", kw_only=True, beyond=True)


def binary_focal_crossentropy(
    y_true: Input,
    y_pred: Input,
    apply_class_balancing: bool = False,
    alpha: Hyper = 0.25,
    gamma: Hyper = 2.0,
    from_logits: bool = False,
    label_smoothing: Hyper = 0.0,
    axis: Axis = -1,
) -> Array:
    """mean(a (1 - p_t)^gamma * binary cross-entropy) over `axis`; p_t = tp + (1-t)(1-p).

    Use: two classes where many easy samples drown the few hard ones, as in detection. Not with
    wrong labels, which are the hard ones, nor for calibrated probabilities.

    `gamma` ≥ 0 takes weight from what is classified well (traced, within gamma |log(1 - p_t)|
    ulps; exact as a Python number); a = t `alpha` + (1-t)(1-`alpha`), `alpha` in [0, 1], with
    `apply_class_balancing`, else 1. Clipping, smoothing, shapes and errors as
    `binary_crossentropy`. From logits nothing is clipped: the loss goes on as -z and its
    derivative as -1 for a badly wrong logit z, where Keras on JAX stays at 16.1 with
    derivative 0 (TensorFlow goes on too).
    Source: Lin et al. (2017), arXiv:1708.02002, eq. 5; equal to
    `keras.losses.binary_focal_crossentropy`.

    >>> print(binary_focal_crossentropy([[1.0, 0.0]], [[0.5, 0.75]]).round(4))
    [0.4765]
    """
    where = "binary_focal_crossentropy"
    check.within(where, "alpha", alpha, "[0, 1]")
    check.within(where, "gamma", gamma, "[0, inf)")
    check.within(where, "label_smoothing", label_smoothing, "[0, 1]")
    t, p = check.same_shape(where, y_true, y_pred)
    how = (bool(from_logits), bool(apply_class_balancing), _known(gamma))
    hyper = (jnp.asarray(gamma, p.dtype), jnp.asarray(alpha, p.dtype))
    smoothing = _amount(label_smoothing, p.dtype)
    return settle(mean(_binary_focal(how, t, p, *hyper, smoothing), axis))


def _known(gamma: Hyper) -> float:
    """A positive Python number, an int where it is whole; 0 for what is traced."""
    if not isinstance(gamma, (int, float)) or gamma <= 0:
        return 0
    return int(gamma) if gamma in range(1, 9) else float(gamma)


@elementwise(static=1)
def _binary_focal(
    how: tuple[bool, bool, float],
    t: Array,
    p: Array,
    gamma: Array,
    alpha: Array,
    smoothing: Array | None,
) -> Array:
    from_logits, balanced, n = how
    t, u = _smooth(t, smoothing, 2), _smooth(1 - t, smoothing, 2)
    if from_logits:
        focal = binary_focal(n, t, u, p, gamma)
    else:
        wrongness = t * (1 - p) + u * p  # 1 - p_t, with the digits that 1 - p_t loses
        focal = power(wrongness, n or gamma) * _binary_entropy(t, u, p)
    return focal * (t * alpha + u * (1 - alpha)) if balanced else focal


class BinaryFocalCrossentropy(Loss):
    fn = binary_focal_crossentropy
    couples = "none"
    domain = "binary"
    apply_class_balancing: bool = static(default=False)
    alpha: Hyper = leaf(default=0.25, interval="[0, 1]")
    gamma: Hyper = leaf(default=2.0, interval="[0, inf)")
    from_logits: bool = static(default=False)
    label_smoothing: Hyper = leaf(default=0.0, interval="[0, 1]")
    axis: Axis = static(default=-1, types=AXIS_TYPES)


def categorical_crossentropy(
    y_true: Input,
    y_pred: Input,
    from_logits: bool = False,
    label_smoothing: Hyper = 0.0,
    axis: Axis = -1,
) -> Array:
    """-Σ t log q over `axis`; q = softmax(`y_pred`), or p / Σp clipped to [1e-7, 1 - 1e-7].

    Use: classes that exclude each other, with one-hot or soft targets. Train with
    `from_logits=True`. For class numbers take `sparse_categorical_crossentropy`, for labels of
    which several may hold `binary_crossentropy`.

    The targets t are not normalised. A class with t = 0 may have the logit -inf, and a row of
    zero probabilities counts as 1e-7 everywhere; Keras has NaN for both. `label_smoothing` s in
    [0, 1]: t becomes t (1 - s) + s/K, K being the size of the last axis of `y_true`, whatever
    `axis` is (Keras's unreleased head: the size of `axis`).
    Shapes: equal; values without `axis`, in nats.
    Raises ValueError for unequal shapes, a bool as axis and s outside [0, 1]; warns where there
    is a single class.
    Source: equal to `keras.losses.categorical_crossentropy`. TensorFlow's gradient from logits
    differs where the targets do not sum to 1.

    >>> print(categorical_crossentropy([[0.0, 1.0]], [[0.25, 0.75]]).round(4))
    [0.2877]
    """
    where = "categorical_crossentropy"
    check.not_bool(where, axis)
    check.within(where, "label_smoothing", label_smoothing, "[0, 1]")
    t, p = check.same_shape(where, y_true, y_pred)
    _warn_of_one_class(where, p)
    smoothing = _amount(label_smoothing, p.dtype)
    loss = functools.partial(_cross_entropy, bool(from_logits), _classes(t))
    return softmax.normalised(_normaliser(from_logits), loss, axis, p, t, smoothing)


def _normaliser(from_logits: bool) -> softmax.Normaliser:
    return softmax.SOFTMAX if from_logits else softmax.SHARE


def _cross_entropy(
    is_log: bool, classes: int, q: Array, t: Array, smoothing: Array | None
) -> Array:
    return _smooth(t, smoothing, classes) * surprise(q if is_log else jnp.log(q))


def _warn_of_one_class(where: str, p: Array) -> None:
    if p.shape[-1] == 1:
        warnings.warn(
            f"In loss {where}, expected y_pred.shape to be (batch_size, num_classes) with "
            f"num_classes > 1. Received: y_pred.shape={p.shape}. "
            f"Consider using 'binary_crossentropy' if you only have 2 classes.",
            SyntaxWarning,
            stacklevel=3,
        )


def _clipped_share(p: Array, total: Array) -> Array:
    return jnp.clip(quotient(p, total), _EPS, 1 - _EPS)


class CategoricalCrossentropy(Loss):
    fn = categorical_crossentropy
    couples = "none"
    domain = "class"
    from_logits: bool = static(default=False)
    label_smoothing: Hyper = leaf(default=0.0, interval="[0, 1]")
    axis: Axis = static(default=-1, types=AXIS_TYPES)


def categorical_focal_crossentropy(
    y_true: Input,
    y_pred: Input,
    alpha: Hyper = 0.25,
    gamma: Hyper = 2.0,
    from_logits: bool = False,
    label_smoothing: Hyper = 0.0,
    axis: Axis = -1,
) -> Array:
    """Σ alpha (1 - q)^gamma (-t log q) over `axis`, with q and t as `categorical_crossentropy`.

    Use: classes that exclude each other, where easy samples drown the hard ones. Not with wrong
    labels, which are the hard ones, nor for calibrated probabilities.

    `gamma` ≥ 0 takes weight from what is classified well. `alpha` ≥ 0 scales the loss: a number,
    or one for each class, along the last axis whatever `axis` is. From logits nothing is clipped:
    the loss goes on for a badly wrong logit, where Keras stays at alpha * 16.1 with
    derivative 0. Smoothing, shapes, errors and warnings as `categorical_crossentropy`, but a
    shape may be broadcast to the other.
    Source: Lin et al. (2017), arXiv:1708.02002, eq. 5; equal to
    `keras.losses.categorical_focal_crossentropy`.

    >>> print(categorical_focal_crossentropy([[0.0, 1.0]], [[0.25, 0.75]], alpha=1.0).round(4))
    [0.018]
    """
    where = "categorical_focal_crossentropy"
    check.not_bool(where, axis)
    check.within(where, "alpha", alpha, "[0, inf)")
    check.within(where, "gamma", gamma, "[0, inf)")
    check.within(where, "label_smoothing", label_smoothing, "[0, 1]")
    t, p = check.same_rank(where, *check.pair(where, y_true, y_pred), axis)
    _warn_of_one_class(where, p)
    alpha = jnp.asarray(alpha, p.dtype)
    alpha = alpha.reshape((1,) * (t.ndim - alpha.ndim) + alpha.shape)
    hyper = (jnp.asarray(gamma, p.dtype), alpha, _amount(label_smoothing, p.dtype))
    loss = functools.partial(_focal, bool(from_logits), _known(gamma), _classes(t))
    return softmax.normalised(_normaliser(from_logits), loss, axis, p, t, *hyper)


def _focal(
    is_log: bool,
    n: float,
    classes: int,
    q: Array,
    t: Array,
    gamma: Array,
    alpha: Array,
    smoothing: Array | None,
) -> Array:
    if is_log:
        entropy = focal(n, q, gamma)
    else:
        # q is clipped: no zero to the power of a traced gamma
        wrongness = power(1 - q, n) if n else jnp.exp(gamma * log1p(-q))
        entropy = wrongness * -jnp.log(q)
    return xmuly(alpha * _smooth(t, smoothing, classes), entropy)


class CategoricalFocalCrossentropy(Loss):
    fn = categorical_focal_crossentropy
    couples = "none"
    domain = "class"
    alpha: Hyper = leaf(default=0.25, interval="[0, inf)")
    gamma: Hyper = leaf(default=2.0, interval="[0, inf)")
    from_logits: bool = static(default=False)
    label_smoothing: Hyper = leaf(default=0.0, interval="[0, 1]")
    axis: Axis = static(default=-1, types=AXIS_TYPES)


def sparse_categorical_crossentropy(
    y_true: Input,
    y_pred: Input,
    from_logits: bool = False,
    ignore_class: Ignored = None,
    axis: int = -1,
) -> Array:
    """-log q at the class `y_true`; q as `categorical_crossentropy`, over the one axis `axis`.

    Use: classes that exclude each other, with class numbers as targets. Train with
    `from_logits=True`; `ignore_class` is for padding. Where the logits do not fit in memory take
    `linear_cross_entropy`.

    Labels are integers of the shape of `y_pred` without `axis`, or with 1 there; they are never
    cast to a float type. A label below 0 or beyond the last class has the loss 0 and the
    derivative 0, as in Keras on JAX (TensorFlow raises). `ignore_class`, one or several, marks
    labels that do not count: loss and derivative 0, whatever `y_pred` holds, NaN too; the class
    leaves them out of its mean. A wrong class may have the logit -inf (NaN in Keras).
    Values: shape of the labels, in nats.
    Raises ValueError for other shapes.
    Source: equal to `keras.losses.sparse_categorical_crossentropy`, where `axis` other than the
    last works for some shapes only. TensorFlow does not normalise probabilities that do not sum
    to 1. Keras 3.15 leaves `axis` out of the config of its class.

    >>> print(sparse_categorical_crossentropy([1, 0], [[0.25, 0.75], [0.5, 0.5]]).round(4))
    [0.2877 0.6931]
    """
    where = "sparse_categorical_crossentropy"
    p = check.prediction(where, y_pred)
    check.class_axis(where, p, axis)
    labels = check.aligned_labels(where, y_true, p, axis)
    ignore_class = check.ignored(where, ignore_class)
    valid = (labels >= 0) & (labels < p.shape[axis])
    if ignore_class is not None:
        valid &= ~check.is_among(labels, ignore_class)
    p = reduce.guarded(p, jnp.expand_dims(valid, axis))
    if from_logits:
        values = softmax.label_cross_entropy(labels, p, axis)
    else:
        picked, _ = pick(p, labels, axis)
        values = -jnp.log(_clipped_share(picked, jnp.sum(p, axis)))
    return jnp.where(valid, values, 0)


class SparseCategoricalCrossentropy(Loss):
    fn = sparse_categorical_crossentropy
    couples = "none"
    domain = "label"
    from_logits: bool = static(default=False)
    ignore_class: Ignored = static(default=None, types=IGNORED_TYPES)
    axis: int = static(default=-1, types=(int,), kw_only=True)

    def call(self, y_true: Array, y_pred: Array) -> Array | tuple[Array, Array]:
        values = super().call(y_true, y_pred)
        if self.ignore_class is None:
            return values
        labels = check.labels("sparse_categorical_crossentropy", y_true)
        return values, ~check.is_among(labels.reshape(values.shape), self.ignore_class)


def categorical_generalized_cross_entropy(y_true: Input, y_pred: Input, q: Hyper) -> Array:
    """(1 - P^q) / q, with P the probability `y_pred` has at the class `y_true`.

    Use: class numbers of which some are wrong. The larger `q`, the less a label pulls that the
    model finds improbable, and the slower is learning: with clean labels take
    `sparse_categorical_crossentropy`.

    `q` in (0, 1) leads from the cross-entropy (q → 0) to the mean absolute error (q = 1); the
    class requires the open interval, the function takes any q > 0, as Keras does.
    Shapes: labels (...) or (..., 1), integers, and probabilities (..., classes), which are not
    normalised; values (...), from 0 to 1/q (Keras makes (B, B) values of labels (B, 1)). A label
    out of range has P = 0 and the derivative 0. At P = 0 the derivative is that at 1e-7 (Keras:
    -inf).
    Raises ValueError for other shapes.
    Source: Zhang & Sabuncu (2018), arXiv:1805.07836, eq. 6; equal to
    `keras.losses.categorical_generalized_cross_entropy`.

    >>> print(categorical_generalized_cross_entropy([1], [[0.75, 0.25]], q=0.5))
    [1.]
    """
    where = "categorical_generalized_cross_entropy"
    check.within(where, "q", q, "(0, inf)")
    p = check.prediction(where, y_pred)
    check.class_axis(where, p, -1)
    labels = check.aligned_labels(where, y_true, p, -1)
    q = jnp.asarray(q, p.dtype)
    picked, exists = pick(p, labels, -1)
    picked = reduce.guarded(picked, exists)
    return jnp.where(exists, box_cox(picked, q), 1 / q)


class CategoricalGeneralizedCrossEntropy(Loss):
    fn = categorical_generalized_cross_entropy
    couples = "none"
    domain = "label"
    q: Hyper = leaf(default=0.5, interval="(0, 1)")
