"""Losses of regions, image by image and class by class, from logits.

What all of them have in common is said in the docstring of `jaccard`.
"""

from types import NoneType
from typing import Any

import jax
from jax import numpy as jnp

from lossjax.core import check
from lossjax.core.loss import Loss, leaf, static
from lossjax.core.types import (
    AXIS_NAME_TYPES,
    IGNORED_TYPES,
    Array,
    AxisName,
    Hyper,
    Ignored,
    Input,
)
from lossjax.math import regions
from lossjax.math.elementwise import mean, probability, quotient, surprise, wrong_share, xmuly
from lossjax.math.elementwise import power as raised
from lossjax.math.entropy import binary_cross_entropy
from lossjax.math.fusion import settle
from lossjax.math.regions import Entries, Sums
from lossjax.math.softmax import log_softmax

__all__ = [
    "BoundaryDistance",
    "DiceCrossEntropy",
    "FocalTversky",
    "GeneralizedDice",
    "Jaccard",
    "boundary_distance",
    "dice_cross_entropy",
    "focal_tversky",
    "generalized_dice",
    "jaccard",
]


class _Logits(Loss):
    """Options of every loss here, whose values are those of sums.

    Values that are not of the whole batch are no sums over it: `couples` is "none" there.
    """

    couples = "sums"
    class_axis: int | None = static(default=-1, types=(int, NoneType), kw_only=True)
    from_logits: bool = static(default=True, kw_only=True)
    exclusive: bool = static(default=False, kw_only=True)
    batch: bool = static(default=False, kw_only=True)
    axis_name: AxisName = static(default=None, types=AXIS_NAME_TYPES, kw_only=True)

    def _axis(self, ndim: int) -> tuple[int, ...]:
        return check.region_axes(type(self).__name__, ndim, self.class_axis, self.batch)

    def entries(self, y_true: Any, y_pred: Any, where: Any) -> Entries:
        name = self._declared.fn.__name__
        return regions.entries(name, self, *check.pair(name, y_true, y_pred, align=True), where)


class _Regions(_Logits):
    """The truth is a region, which an image may have or not."""

    domain = "region"
    absent: str = static(default="one", choices=regions.ABSENT, kw_only=True)
    ignore_class: Ignored = static(default=None, types=IGNORED_TYPES, kw_only=True)

    def sums(self, y_true: Any, y_pred: Any, where: Any = None) -> Any:
        return self.of_entries(self.entries(y_true, y_pred, where))

    def of_entries(self, e: Entries) -> Sums:
        name, squared = type(self).__name__, getattr(self, "power", 1) == 2
        axes = check.region_axes(name, e.true.ndim, self.class_axis, self.batch)
        return regions.sums(e, axes, squared)

    def judged(self, value: Array, true: Array, counts: Array | None) -> Any:
        return regions.judged(self.absent, value, true, counts)


def jaccard(
    y_true: Input,
    y_pred: Input,
    *,
    power: int = 1,
    smoothing: Hyper = 0.0,
    class_axis: int | None = -1,
    from_logits: bool = True,
    exclusive: bool = False,
    absent: str = "one",
    batch: bool = False,
    ignore_class: Ignored = None,
    where: Input | None = None,
    axis_name: AxisName = None,
) -> Array:
    """1 - (Σtp + s) / (Σt + Σp - Σtp + s), with t = `y_true`, p = `y_pred` and s = `smoothing`.

    Use: segmentation that is measured by the intersection over the union. Small regions count as
    much as large ones; the gradient is steeper than that of `dice` where much is wrong.

    The sums are over the pixels of a class of an image, and with batch=True over those of all
    images. The loss is the mean of the values. power=2 has Σt² and Σp² in place of Σt and Σp.
    `y_pred` are logits: of a sigmoid, or with exclusive=True of a softmax over `class_axis`;
    probabilities with from_logits=False. class_axis=None: one region an image, and no axis for it.
    A class that an image has not has the value that the formula gives, which is 1 without smoothing
    (absent="one"), or 0 and no gradient ("zero"), or is left out of the mean ("skip").
    `where` tells which entries are summed, or with which weight; `ignore_class` are the entries of
    `y_true` that are not. To the class it comes as mask or weights, as to `dice`, and `axis_name`
    is as there.
    Shapes: (N, ..., C) for both; values (N, C), or (C,) with batch=True. Range: 0 to 1.
    Raises ValueError for shapes that do not fit, unknown options and a negative smoothing.
    Source: Rahman and Wang (2016), ISVC, eq. 3.

    >>> print(jaccard([[[1.0], [1.0], [0.0]]], [[[1.0], [0.0], [0.0]]], from_logits=False))
    [[0.5]]
    """
    loss = Jaccard(
        power=power,
        smoothing=smoothing,
        class_axis=class_axis,
        from_logits=from_logits,
        exclusive=exclusive,
        absent=absent,
        batch=batch,
        ignore_class=ignore_class,
        axis_name=axis_name,
    )
    return regions.values(loss, y_true, y_pred, where)


class Jaccard(_Regions):
    fn = jaccard
    aliases = ("soft_iou",)
    power: int = static(default=1, choices=(1, 2), kw_only=True)
    smoothing: Hyper = leaf(default=0.0, interval="[0, inf)", kw_only=True)

    def from_sums(self, sums: Sums) -> Any:
        right = sums.right + jnp.asarray(self.smoothing, sums.right.dtype)
        value = wrong_share(1.0, sums.missed + sums.excess, right)
        return self.judged(value, sums.true, sums.counted)


def focal_tversky(
    y_true: Input,
    y_pred: Input,
    *,
    fp_weight: Hyper = 0.3,
    fn_weight: Hyper = 0.7,
    exponent: Hyper = 0.75,
    smoothing: Hyper = 0.0,
    class_axis: int | None = -1,
    from_logits: bool = True,
    exclusive: bool = False,
    absent: str = "one",
    batch: bool = False,
    ignore_class: Ignored = None,
    where: Input | None = None,
    axis_name: AxisName = None,
) -> Array:
    """(1 - (Σtp + s) / (Σtp + `fp_weight` Σp(1-t) + `fn_weight` Σt(1-p) + s)) ** `exponent`.

    Use: segmentation of small regions, where misses and false alarms differ in cost. An exponent
    below 1 goes on improving regions that are nearly right, one above 1 minds the others.

    s = `smoothing`. The weights are called after what they weigh: papers and libraries exchange
    alpha and beta. The paper's exponent is 1/γ, with γ = 4/3 for the default.
    All else as `jaccard`. Shapes: (N, ..., C) for both; values (N, C), or (C,) with batch=True.
    Range: 0 to 1. Where an exponent below 1 would have an infinite gradient, at 0, it is 0.
    Raises ValueError for shapes that do not fit, unknown options, negative weights or smoothing
    and an exponent ≤ 0.
    Source: Abraham and Khan (2019), arXiv:1810.07842, eq. 4.

    >>> y_true, y_pred = [[[1.0], [1.0], [0.0]]], [[[1.0], [0.0], [0.0]]]
    >>> print(focal_tversky(y_true, y_pred, exponent=1.0, from_logits=False).round(4))
    [[0.4118]]
    """
    loss = FocalTversky(
        fp_weight=fp_weight,
        fn_weight=fn_weight,
        exponent=exponent,
        smoothing=smoothing,
        class_axis=class_axis,
        from_logits=from_logits,
        exclusive=exclusive,
        absent=absent,
        batch=batch,
        ignore_class=ignore_class,
        axis_name=axis_name,
    )
    return regions.values(loss, y_true, y_pred, where)


class FocalTversky(_Regions):
    fn = focal_tversky
    fp_weight: Hyper = leaf(default=0.3, interval="[0, inf)", kw_only=True)
    fn_weight: Hyper = leaf(default=0.7, interval="[0, inf)", kw_only=True)
    exponent: Hyper = leaf(default=0.75, interval="(0, inf)", kw_only=True)
    smoothing: Hyper = leaf(default=0.0, interval="[0, inf)", kw_only=True)

    def from_sums(self, sums: Sums) -> Any:
        of_fp, of_fn, s = (
            jnp.asarray(x, sums.right.dtype)
            for x in (self.fp_weight, self.fn_weight, self.smoothing)
        )
        share = wrong_share(1.0, of_fn * sums.missed + of_fp * sums.excess, sums.right + s)
        return self.judged(raised(share, self.exponent), sums.true, sums.counted)


def generalized_dice(
    y_true: Input,
    y_pred: Input,
    *,
    ratio: str = "sums",
    volume_exponent: int = 2,
    power: int = 1,
    smoothing: Hyper = 0.0,
    class_axis: int | None = -1,
    from_logits: bool = True,
    exclusive: bool = False,
    absent: str = "one",
    batch: bool = False,
    ignore_class: Ignored = None,
    where: Input | None = None,
    axis_name: AxisName = None,
) -> Array:
    """1 - (2 Σw Σtp + s) / (Σw (Σt + Σp) + s) over the classes, w = 1 / (Σt) ** `volume_exponent`.

    Use: segmentation of classes of very different sizes, which all count alike.

    s = `smoothing`. ratio="sums" is this ratio of the sums of the classes, ratio="mean" the mean of
    the classes' ratios with the weights w: the former is the published one. The weight of a class
    that an image has not is the largest of the others (absent="one") or 0. An image without any has
    the loss 1, the loss 0 ("zero"), or is left out ("skip").
    All else as `jaccard`. Shapes: (N, ..., C) for both; values (N,), or a scalar with batch=True.
    Range: 0 to 1.
    Raises ValueError for shapes that do not fit, unknown options and a negative smoothing.
    Source: Sudre et al. (2017), arXiv:1707.03237, eq. 1.

    >>> y_true, y_pred = [[[1.0, 0.0], [0.0, 1.0]]], [[[1.0, 0.0], [1.0, 0.0]]]
    >>> print(generalized_dice(y_true, y_pred, from_logits=False))
    [0.5]
    """
    loss = GeneralizedDice(
        ratio=ratio,
        volume_exponent=volume_exponent,
        power=power,
        smoothing=smoothing,
        class_axis=class_axis,
        from_logits=from_logits,
        exclusive=exclusive,
        absent=absent,
        batch=batch,
        ignore_class=ignore_class,
        axis_name=axis_name,
    )
    return regions.values(loss, y_true, y_pred, where)


class _Images(_Regions):
    """The value of an image is made of those of its classes."""

    def _axis(self, ndim: int) -> tuple[int, ...]:
        super()._axis(ndim)
        return tuple(range(0 if self.batch else 1, ndim))

    def of_classes(self, sums: Sums) -> Sums:
        """With the classes along the last axis, where there is none too."""
        if self.class_axis is not None:
            return sums
        return jax.tree.map(lambda x: x[..., None], sums)


class GeneralizedDice(_Images):
    fn = generalized_dice
    ratio: str = static(default="sums", choices=("sums", "mean"), kw_only=True)
    volume_exponent: int = static(default=2, choices=(0, 1, 2), kw_only=True)
    power: int = static(default=1, choices=(1, 2), kw_only=True)
    smoothing: Hyper = leaf(default=0.0, interval="[0, inf)", kw_only=True)

    def from_sums(self, sums: Sums) -> Any:
        right, missed, excess, true, counted = self.of_classes(sums)
        weight, s = self.weights(true), jnp.asarray(self.smoothing, true.dtype)
        wrong, right = missed + excess, 2 * right
        if self.ratio == "sums":
            right = jnp.sum(weight * right, -1) + s
            value = wrong_share(1.0, jnp.sum(weight * wrong, -1), right)
        else:
            shares = weight * wrong_share(1.0, wrong, right + s)
            value = quotient(jnp.sum(shares, -1), jnp.sum(weight, -1))
        any_counts = None if counted is None else jnp.any(counted, -1)
        return self.judged(value, jnp.max(true, -1, initial=0), any_counts)

    def weights(self, true: Array) -> Array:
        present = true > 0
        volume = jax.lax.integer_pow(jnp.where(present, true, 1), self.volume_exponent)
        weight = jnp.where(present, quotient(jnp.ones_like(volume), volume), 0)
        if self.absent != "one":
            return weight
        most = jnp.max(weight, -1, keepdims=True, initial=0)
        return jnp.where(present, weight, jnp.where(most == 0, 1, most))


def dice_cross_entropy(
    y_true: Input,
    y_pred: Input,
    *,
    ce_weight: Hyper = 1.0,
    power: int = 1,
    smoothing: Hyper = 0.0,
    class_axis: int | None = -1,
    from_logits: bool = True,
    exclusive: bool = False,
    absent: str = "one",
    batch: bool = False,
    ignore_class: Ignored = None,
    where: Input | None = None,
    axis_name: AxisName = None,
) -> Array:
    """mean(1 - (2 Σtp + s) / (Σt + Σp + s)) over the classes + `ce_weight` mean(cross-entropy).

    Use: segmentation, where nothing speaks for another: the cross-entropy has a gradient where
    Dice has none, Dice minds the small regions that it forgets.

    s = `smoothing`. The cross-entropy is the mean over the pixels of an image: the binary one, of
    all classes too, or with exclusive=True the categorical one. Probabilities are no less than 1e-7
    there. All else as `jaccard`; `absent` is about the classes of Dice.
    Shapes: (N, ..., C) for both; values (N,), or a scalar with batch=True. Range: 0 to inf.
    Raises ValueError for shapes that do not fit, unknown options, and a negative weight or
    smoothing.
    Source: Isensee et al. (2018), arXiv:1809.10486, with the batch dimension of `batch`.

    >>> print(dice_cross_entropy([[[1.0], [0.0]]], [[[0.0], [0.0]]]).round(4))
    [1.1931]
    """
    loss = DiceCrossEntropy(
        ce_weight=ce_weight,
        power=power,
        smoothing=smoothing,
        class_axis=class_axis,
        from_logits=from_logits,
        exclusive=exclusive,
        absent=absent,
        batch=batch,
        ignore_class=ignore_class,
        axis_name=axis_name,
    )
    return regions.values(loss, y_true, y_pred, where)


class DiceCrossEntropy(_Images):
    fn = dice_cross_entropy
    aliases = ("dice_ce",)
    ce_weight: Hyper = leaf(default=1.0, interval="[0, inf)", kw_only=True)
    power: int = static(default=1, choices=(1, 2), kw_only=True)
    smoothing: Hyper = leaf(default=0.0, interval="[0, inf)", kw_only=True)

    def sums(self, y_true: Any, y_pred: Any, where: Any = None) -> tuple[Sums, Array, Array]:
        e = self.entries(y_true, y_pred, where)
        entropy = regions.total(self.cross_entropy(e), e, self._axis(e.true.ndim))
        count = regions.total(jnp.ones_like(e.true), e, self._axis(e.true.ndim))
        if self.exclusive and self.class_axis is not None:
            count = count / e.true.shape[self.class_axis]
        return self.of_entries(e), entropy, count

    def cross_entropy(self, e: Entries) -> Array:
        """Of every entry; those of the classes of a pixel add up."""
        if not self.from_logits:
            p = probability(e.raw)
            other = 0 if self.exclusive else (1 - e.true) * jnp.log1p(-p)
            return -(e.true * jnp.log(p) + other)
        if self.exclusive and self.class_axis is not None:
            return xmuly(e.true, surprise(log_softmax(e.raw, self.class_axis)))
        return binary_cross_entropy(e.true, 1 - e.true, e.raw)

    def from_sums(self, sums: tuple[Sums, Array, Array]) -> Any:
        found, entropy, count = sums
        right, missed, excess, true, counted = self.of_classes(found)
        s, of_ce = (jnp.asarray(x, right.dtype) for x in (self.smoothing, self.ce_weight))
        value = self.judged(wrong_share(1.0, missed + excess, 2 * right + s), true, counted)
        if isinstance(value, tuple):
            value, mask = value
            dice = jnp.sum(jnp.where(mask, value, 0), -1) / jnp.maximum(jnp.sum(mask, -1), 1)
        else:
            dice = mean(value, -1)
        value = dice + of_ce * quotient(settle(entropy), count)
        return value if counted is None else (value, jnp.any(counted, -1))


def boundary_distance(
    y_true: Input,
    y_pred: Input,
    *,
    class_axis: int | None = -1,
    from_logits: bool = True,
    exclusive: bool = False,
    batch: bool = False,
    where: Input | None = None,
    axis_name: AxisName = None,
) -> Array:
    """mean(dp) over the pixels of a class of an image, d = `y_true` the distance to its boundary.

    Use: segmentation of small or thin regions, beside `generalized_dice`: pixels cost the more the
    farther they are from where they should be. Alone it may end in an empty prediction.

    d is negative inside the region, positive outside, made beforehand: with SciPy
    `distance_transform_edt(~mask) - distance_transform_edt(mask)` of each image and class.
    All else as `jaccard`. Shapes: (N, ..., C) for both; values (N, C), or (C,) with batch=True.
    Unit: that of d; it is negative where the prediction is right.
    Raises ValueError for shapes that do not fit and unknown options.
    Source: Kervadec et al. (2019), arXiv:1812.07032, eq. 5.

    >>> print(boundary_distance([[[-1.0], [1.0]]], [[[0.0], [0.0]]]))
    [[0.]]
    """
    loss = BoundaryDistance(
        class_axis=class_axis,
        from_logits=from_logits,
        exclusive=exclusive,
        batch=batch,
        axis_name=axis_name,
    )
    return regions.values(loss, y_true, y_pred, where)


class BoundaryDistance(_Logits):
    fn = boundary_distance
    domain = "distance"
    aliases = ("boundary",)

    def sums(self, y_true: Any, y_pred: Any, where: Any = None) -> Any:
        e = self.entries(y_true, y_pred, where)
        axes = self._axis(e.true.ndim)
        count = regions.total(jnp.ones_like(e.true), e, axes)
        return regions.total(e.true * e.inside, e, axes), count, regions.counted(e, axes)

    def from_sums(self, sums: Any) -> Any:
        total, count, counted = sums
        value = quotient(total, count)
        return value if counted is None else (value, counted)
