"""Losses of regions, image by image and class by class, from logits.

What all of them have in common is said in the docstring of `jaccard`.
"""

from types import NoneType
from typing import Any

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
from lossjax.math.elementwise import power as raised
from lossjax.math.elementwise import wrong_share
from lossjax.math.regions import Entries, Sums

__all__ = ["FocalTversky", "Jaccard", "focal_tversky", "jaccard"]

_ABSENT = ("one", "zero", "skip")


class _Regions(Loss):
    """Options that are those of every loss of regions; `sums` is one for each value.

    Values that are not of the whole batch are no sums over it: `couples` is "none" there.
    """

    couples = "sums"
    domain = "region"
    class_axis: int | None = static(default=-1, types=(int, NoneType), kw_only=True)
    from_logits: bool = static(default=True, kw_only=True)
    exclusive: bool = static(default=False, kw_only=True)
    absent: str = static(default="one", choices=_ABSENT, kw_only=True)
    batch: bool = static(default=False, kw_only=True)
    ignore_class: Ignored = static(default=None, types=IGNORED_TYPES, kw_only=True)
    axis_name: AxisName = static(default=None, types=AXIS_NAME_TYPES, kw_only=True)

    def _axis(self, ndim: int) -> tuple[int, ...]:
        return check.region_axes(type(self).__name__, ndim, self.class_axis, self.batch)

    def entries(self, y_true: Any, y_pred: Any, where: Any) -> Entries:
        name = self._declared.fn.__name__
        if self.exclusive and self.class_axis is None:
            raise ValueError(f"{name}: exclusive=True needs a class_axis, got class_axis=None.")
        return regions.entries(name, self, *check.pair(name, y_true, y_pred, align=True), where)

    def sums(self, y_true: Any, y_pred: Any, where: Any = None) -> Sums:
        e = self.entries(y_true, y_pred, where)
        axes = check.region_axes(type(self).__name__, e.true.ndim, self.class_axis, self.batch)
        return regions.sums(e, axes, squared=getattr(self, "power", 1) == 2)

    def judged(self, value: Array, sums: Sums) -> Any:
        """The values, and which of them count."""
        present, mask = sums.true > 0, sums.counted
        if self.absent == "zero":
            value = jnp.where(present, value, 0)
        if self.absent == "skip":
            mask = present if mask is None else present & mask
        return value if mask is None else (value, mask)


def _values(loss: Any, y_true: Input, y_pred: Input, where: Input | None) -> Array:
    """Of a function: 0 where nothing counts."""
    name = loss._declared.fn.__name__
    check.axis_name(name, loss.axis_name)
    found = loss.call(*check.pair(name, y_true, y_pred), where)
    return jnp.where(found[1], found[0], 0) if isinstance(found, tuple) else found


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
    return _values(loss, y_true, y_pred, where)


class Jaccard(_Regions):
    fn = jaccard
    aliases = ("soft_iou",)
    power: int = static(default=1, choices=(1, 2), kw_only=True)
    smoothing: Hyper = leaf(default=0.0, interval="[0, inf)", kw_only=True)

    def from_sums(self, sums: Sums) -> Any:
        right = sums.right + jnp.asarray(self.smoothing, sums.right.dtype)
        return self.judged(wrong_share(1.0, sums.missed + sums.excess, right), sums)


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
    return _values(loss, y_true, y_pred, where)


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
        return self.judged(raised(share, self.exponent), sums)
