"""Losses that are the Lovász extension of the Jaccard loss, one for each image and class."""

from types import NoneType
from typing import Any, NamedTuple

import jax
from jax import numpy as jnp

from lossjax.core import check
from lossjax.core.loss import Loss, static
from lossjax.core.types import IGNORED_TYPES, Array, Ignored, Input
from lossjax.math import regions
from lossjax.math.elementwise import absolute, floored, quotient
from lossjax.math.fusion import bounded, settle
from lossjax.math.regions import Entries

__all__ = ["LovaszHinge", "LovaszSoftmax", "lovasz_hinge", "lovasz_softmax"]


class _Found(NamedTuple):
    value: Array
    true: Array
    counted: Array | None


class _Lovasz(Loss):
    """What `sums` gives is of an image and a class each: nothing is to be added up.

    It says "sums" for the masks of pixels, which losses of samples alone do not get.
    """

    couples = "sums"
    domain = "region"
    class_axis: int | None = static(default=-1, types=(int, NoneType), kw_only=True)
    ignore_class: Ignored = static(default=None, types=IGNORED_TYPES, kw_only=True)

    def _axis(self, ndim: int) -> tuple[int, ...]:
        return check.region_axes(type(self).__name__, ndim, self.class_axis, batch=False)

    def errors(self, e: Entries) -> Array:
        raise NotImplementedError

    def sums(self, y_true: Any, y_pred: Any, where: Any = None) -> _Found:
        name = self._declared.fn.__name__
        pair = check.pair(name, y_true, y_pred, align=True)
        e = regions.entries(name, self, *pair, where)
        axes = self._axis(e.true.ndim)
        value = _extension(self.errors(e), e, axes)
        return _Found(value, regions.total(e.true, e, axes), regions.counted(e, axes))

    def from_sums(self, found: _Found) -> Any:
        return regions.judged(self.absent, *found)  # type: ignore[attr-defined]


def _extension(errors: Array, e: Entries, axes: tuple[int, ...]) -> Array:
    """Σ errors times what each adds to 1 - |t ∩ p| / |t ∪ p|, the largest error first."""
    weight = jnp.ones_like(errors) if e.weight is None else jnp.broadcast_to(e.weight, errors.shape)
    groups = [axis for axis in range(errors.ndim) if axis not in axes]

    def rows(x: Array) -> Array:
        x = x.transpose(*groups, *axes)
        return x.reshape(*x.shape[: len(groups)], -1 if x.size else 0)

    columns = tuple(map(rows, (-errors, weight * e.true, weight * (1 - e.true))))
    errors, true, false = jax.lax.sort(columns, dimension=-1, num_keys=1)
    marked = jnp.cumsum(false, -1)
    # Those seen so far are wrong: 1 - (|t| - seen) / (|t| + marked).
    wrong = quotient(jnp.cumsum(true, -1) + marked, jnp.sum(true, -1, keepdims=True) + marked)
    steps = jnp.diff(wrong, prepend=0)
    return settle(jnp.sum(bounded(-errors) * steps, -1))


def lovasz_hinge(
    y_true: Input,
    y_pred: Input,
    *,
    class_axis: int | None = -1,
    absent: str = "one",
    ignore_class: Ignored = None,
    where: Input | None = None,
) -> Array:
    """Σ_k max(0, e_k) (J_k - J_(k-1)), e = 1 - z (2t - 1) from the largest to the smallest.

    Use: segmentation of one class, or of several that may overlap, measured by the intersection
    over the union: of all convex losses it follows that one most closely.

    t = `y_true`, 0 or 1; z = `y_pred` are scores. J_k = 1 - |t ∩ p| / |t ∪ p| where the k pixels of
    the largest errors are wrong, the others right. Sums are over the pixels of a class of an image;
    for those of a batch make it one image: `y.reshape(1, -1, C)`. Without a pixel in the truth it
    is the largest error, or what `absent` says: "one", which leaves it so, "zero" or "skip".
    `class_axis`, `ignore_class`, `where` and masks as in `jaccard`.
    Shapes: (N, ..., C) for both; values (N, C). Range: 0 to inf. At ties one of the subgradients.
    Raises ValueError for shapes that do not fit and unknown options.
    Source: Berman et al. (2018), arXiv:1705.08790, eq. 8 and 9, algorithm 1.

    >>> print(lovasz_hinge([[[1.0], [0.0]]], [[[0.5], [-1.0]]]))
    [[0.5]]
    """
    loss = LovaszHinge(class_axis=class_axis, absent=absent, ignore_class=ignore_class)
    return regions.values(loss, y_true, y_pred, where)


class LovaszHinge(_Lovasz):
    fn = lovasz_hinge
    domain = "region logits"
    absent: str = static(default="one", choices=regions.ABSENT, kw_only=True)

    def errors(self, e: Entries) -> Array:
        return floored(0.0, 1 - e.raw * (2 * e.true - 1))


def lovasz_softmax(
    y_true: Input,
    y_pred: Input,
    *,
    class_axis: int | None = -1,
    from_logits: bool = True,
    exclusive: bool = True,
    absent: str = "skip",
    ignore_class: Ignored = None,
    where: Input | None = None,
) -> Array:
    """Σ_k e_k (J_k - J_(k-1)), e = |t - p| of the pixels of a class, from the largest on.

    Use: segmentation of classes that exclude each other, measured by the mean intersection over
    the union. Often after, or beside, a cross-entropy, which learns faster at first.

    `y_true` is one-hot, `y_pred` are logits of a softmax over `class_axis`; of sigmoids with
    exclusive=False. J_k as in `lovasz_hinge`, also for a batch as one image. Classes that an image
    has not are left out of the mean (absent="skip"), or count 0 ("zero"), or their largest p
    ("one"). `ignore_class`, `where` and masks as in `jaccard`.
    Shapes: (N, ..., C) for both; values (N, C). Range: 0 to 1. At ties one of the subgradients.
    Raises ValueError for shapes that do not fit and unknown options.
    Source: Berman et al. (2018), arXiv:1705.08790, eq. 11 to 13.

    >>> print(lovasz_softmax([[[1.0, 0.0], [0.0, 1.0]]], [[[0.0, 0.0], [0.0, 0.0]]]))
    [[0.5 0.5]]
    """
    loss = LovaszSoftmax(
        class_axis=class_axis,
        from_logits=from_logits,
        exclusive=exclusive,
        absent=absent,
        ignore_class=ignore_class,
    )
    return regions.values(loss, y_true, y_pred, where)


class LovaszSoftmax(_Lovasz):
    fn = lovasz_softmax
    from_logits: bool = static(default=True, kw_only=True)
    exclusive: bool = static(default=True, kw_only=True)
    absent: str = static(default="skip", choices=regions.ABSENT, kw_only=True)

    def errors(self, e: Entries) -> Array:
        # |t - p| with all digits: 1 - p is known.
        return absolute(e.true * e.outside - (1 - e.true) * e.inside)
