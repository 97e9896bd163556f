"""Losses of the overlap of two boxes."""

import math
from typing import NamedTuple, TypeAlias

import jax
from jax import numpy as jnp

from lossjax.core import check
from lossjax.core.loss import Loss, static
from lossjax.core.types import Array, Input
from lossjax.math.elementwise import finite, floored, quotient, wrong_share

__all__ = [
    "CIoU",
    "DIoU",
    "EIoU",
    "GIoU",
    "IoU",
    "ciou",
    "diou",
    "eiou",
    "giou",
    "iou",
    "pairwise_iou",
]

_FORMATS = ("xyxy", "cxcywh", "xywh")
_LEAST = 1e-18  # the second derivative of a smaller box's angle is beyond float32


class _Side(NamedTuple):
    """Lengths along one axis of two boxes, in a unit that encloses both.

    All formulas are ratios: so no area overflows or vanishes. Where both boxes are flat at one
    place, and nothing is enclosed, they have the length 1 together.
    """

    true: Array
    predicted: Array
    both: Array
    missed: Array
    excess: Array
    gap: Array
    enclosing: Array  # 1, and its derivative
    low: Array  # of the predicted edges from the true ones
    high: Array
    unit: Array  # 0 where both are flat at one place
    sizes: tuple[Array, Array]  # of both, in the unit of the coordinates


_Sides: TypeAlias = tuple[_Side, _Side]


def iou(y_true: Input, y_pred: Input, *, box_format: str) -> Array:
    """1 - |t ∩ p| / |t ∪ p|, of the areas of two boxes t = `y_true`, p = `y_pred`.

    Use: detection, where boxes overlap already. Boxes that do not have the loss 1 and no gradient:
    `giou` and `diou` pull them together.

    `box_format` says what the four numbers are: "xyxy" two corners, "cxcywh" the centre and the
    sizes, "xywh" the first corner and the sizes.
    Shapes: (..., 4) for both; values (...). Range: 0 (equal boxes, empty ones too) to 1. A box of
    a negative size is empty. Along an axis on which both are flat at one place they are equal; two
    empty boxes that differ have the loss 1. Infinite coordinates count as very large ones.
    Raises ValueError for an unknown `box_format` and for shapes that do not fit.
    Source: Yu et al. (2016), arXiv:1608.01471, without the logarithm.

    >>> print(iou([0.0, 0.0, 2.0, 2.0], [1.0, 0.0, 3.0, 2.0], box_format="xyxy").round(4))
    0.6667
    """
    return _loss(_sides("iou", y_true, y_pred, box_format))


class _Box(Loss):
    couples = "none"
    domain = "box"
    box_format: str = static(choices=_FORMATS, kw_only=True)


class IoU(_Box):
    fn = iou
    default_name = "iou"


def giou(y_true: Input, y_pred: Input, *, box_format: str) -> Array:
    """1 - |t ∩ p| / |t ∪ p| + 1 - |t ∪ p| / |c|, where the box c encloses t and p.

    Use: detection; boxes apart are drawn together. It does so slowly, by growing the prediction
    first: `diou` moves it.

    Boxes, `box_format` and shapes as `iou`. Range: 0 (equal boxes) to 2 (far apart, or two
    different points).
    Raises ValueError for an unknown `box_format` and for shapes that do not fit.
    Source: Rezatofighi et al. (2019), arXiv:1902.09630.

    >>> print(giou([0.0, 0.0, 1.0, 1.0], [2.0, 0.0, 3.0, 1.0], box_format="xyxy").round(4))
    1.3333
    """
    sides = _sides("giou", y_true, y_pred, box_format)
    return _loss(sides) + _beside(sides)


class GIoU(_Box):
    fn = giou
    default_name = "giou"


def diou(y_true: Input, y_pred: Input, *, box_format: str) -> Array:
    """1 - |t ∩ p| / |t ∪ p| + d² / c²: d between the centres, c the diagonal that encloses both.

    Use: detection; boxes apart are moved together.

    Boxes, `box_format` and shapes as `iou`. Range: 0 (equal boxes) to 2 (far apart).
    Raises ValueError for an unknown `box_format` and for shapes that do not fit.
    Source: Zheng et al. (2020), arXiv:1911.08287, eq. 7.

    >>> print(diou([0.0, 0.0, 1.0, 1.0], [2.0, 0.0, 3.0, 1.0], box_format="xyxy").round(4))
    1.4
    """
    sides = _sides("diou", y_true, y_pred, box_format)
    return _loss(sides) + _distance(sides)


class DIoU(_Box):
    fn = diou
    default_name = "diou"


def ciou(
    y_true: Input, y_pred: Input, *, box_format: str, stop_alpha_gradient: bool = True
) -> Array:
    """`diou` + α v, v = (angle(t) - angle(p))² 4/π², α = v / (`iou` + v); angle: arctan(w / h).

    Use: detection; as `diou`, and boxes get the shape of the truth, which IoU alone gives late.

    α is a weight without gradient, as in the paper: the gradient is not quite that of the value.
    `stop_alpha_gradient=False` gives that one. A box whose sides are below 1e-18 has no shape: v is
    0, for its angle would have derivatives beyond float32.
    Boxes, `box_format` and shapes as `iou`. Range: 0 (equal boxes) to less than 3.
    Raises ValueError for an unknown `box_format` and for shapes that do not fit.
    Source: Zheng et al. (2020), arXiv:1911.08287, eq. 8 to 11.

    >>> print(ciou([0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 2.0], box_format="xyxy").round(4))
    0.5532
    """
    sides = _sides("ciou", y_true, y_pred, box_format)
    wrong, shape = _loss(sides), 4 / math.pi**2 * jnp.square(_turn(sides))
    alpha = quotient(shape, wrong + shape)
    alpha = jax.lax.stop_gradient(alpha) if stop_alpha_gradient else alpha
    return wrong + _distance(sides) + alpha * shape


class CIoU(_Box):
    fn = ciou
    default_name = "ciou"
    stop_alpha_gradient: bool = static(default=True, kw_only=True)


def eiou(y_true: Input, y_pred: Input, *, box_format: str) -> Array:
    """`diou` + (w - w')² / W² + (h - h')² / H², with the sizes W, H of the box that encloses both.

    Use: detection; as `ciou`, with a gradient for each size, also where the shape is right.

    Boxes, `box_format` and shapes as `iou`. Range: 0 (equal boxes) to less than 4.
    Raises ValueError for an unknown `box_format` and for shapes that do not fit.
    Source: Zhang et al. (2022), arXiv:2101.08158, eq. 6, without the focal weight.

    >>> print(eiou([0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 2.0], box_format="xyxy").round(4))
    0.8
    """
    sides = _sides("eiou", y_true, y_pred, box_format)
    w, h = (jnp.square((s.high - s.low) / s.enclosing) for s in sides)
    return _loss(sides) + _distance(sides) + w + h


class EIoU(_Box):
    fn = eiou
    default_name = "eiou"


def pairwise_iou(boxes: Input, others: Input, *, box_format: str) -> Array:
    """|a ∩ b| / |a ∪ b| of every a of `boxes` and b of `others`.

    Use: to match predictions and truths, or to see which predictions are the same.

    `box_format` as in `iou`, whose value for the pair is 1 minus this. Shapes: (..., N, 4) and
    (..., M, 4); values (..., N, M).
    Raises ValueError for an unknown `box_format` and for shapes that do not fit.

    >>> square, boxes = [[0, 0, 2, 2]], [[0, 0, 2, 2], [1, 0, 3, 2]]
    >>> print(pairwise_iou(square, boxes, box_format="xyxy").round(4))
    [[1.     0.3333]]
    """
    name = "pairwise_iou"
    check.choice(name, "box_format", box_format, _FORMATS)
    a, b = (check.wide(check.array(name, *x)) for x in (("boxes", boxes), ("others", others)))
    check.boxes(name, "boxes", a, least=2)
    check.boxes(name, "others", b, least=2)
    sides = _of_both(box_format, a[..., :, None, :], b[..., None, :, :])
    return quotient(_right(sides), _right(sides) + _wrong(sides))


# --- what the formulas are made of --------------------------------------------------------------


def _sides(name: str, y_true: Input, y_pred: Input, box_format: str) -> _Sides:
    check.choice(name, "box_format", box_format, _FORMATS)
    y_true, y_pred = check.pair(name, y_true, y_pred, align=True)
    check.boxes(name, "y_true", y_true)
    check.boxes(name, "y_pred", y_pred)
    return _of_both(box_format, y_true, y_pred)


def _of_both(box_format: str, true: Array, predicted: Array) -> _Sides:
    def along(i: int) -> _Side:
        (t, t_), (p, p_) = (map(finite, (y[..., i], y[..., i + 2])) for y in (true, predicted))
        first, second = p - t, p_ - t_
        if box_format == "xyxy":
            return _side(t_ - t, p_ - p, first, second)
        if box_format == "xywh":
            return _side(t_, p_, first, first + second)
        return _side(t_, p_, first - second / 2, first + second / 2)

    return along(0), along(1)


def _side(true: Array, predicted: Array, low: Array, high: Array) -> _Side:
    """From both sizes, and from the distances of the lower and of the upper edges.

    Differences of edges alone: those of equal or touching boxes are exact.
    """
    sizes, inverted = (floored(0.0, true), floored(0.0, predicted)), floored(0.0, -predicted)
    length = jax.lax.stop_gradient(_enclosing(sizes[0], low - inverted, high + inverted))
    flat = length < jnp.finfo(length.dtype).tiny
    scale = jnp.where(flat, 1, length)
    # 1 where they overlap, 1/2 where they touch. In the unit, small ones might be 0.
    meet = jnp.where(flat, 1, (1 + jnp.sign(_overlap(sizes[0], predicted, low, high))) / 2)
    true, predicted, signed = (jnp.where(flat, 1, x / scale) for x in (*sizes, predicted))
    low, high, inverted = (jnp.where(flat, 0, x / scale) for x in (low, high, inverted))
    missed = floored(0.0, low) + floored(0.0, -high)
    excess = floored(0.0, -low) + floored(0.0, high)
    both = jnp.where(signed < true, signed - excess, true - missed)  # with all digits
    both -= jax.lax.stop_gradient(jnp.minimum(0, both))  # rounded, it may be negative
    return _Side(
        true,
        predicted,
        meet * both,
        meet * missed + (1 - meet) * true,
        meet * excess + (1 - meet) * predicted,
        floored(0.0, low - true) + floored(0.0, -high - true),
        _enclosing(true, low - inverted, high + inverted),
        low,
        high,
        jnp.where(flat, 0, length),
        sizes,
    )


def _overlap(true: Array, predicted: Array, low: Array, high: Array) -> Array:
    """Negative where they are apart."""
    return jnp.minimum(jnp.minimum(true, predicted), true + jnp.minimum(high, -low))


def _enclosing(true: Array, low: Array, high: Array) -> Array:
    return true + floored(0.0, -low) + floored(0.0, high)


def _wrong(sides: _Sides) -> Array:
    """The area that is in one box alone: a sum of what is not negative, which loses no digits."""
    x, y = sides
    missed = x.missed * y.true + x.both * y.missed
    return missed + x.excess * y.predicted + x.both * y.excess


def _right(sides: _Sides) -> Array:
    x, y = sides
    return x.both * y.both


def _loss(sides: _Sides) -> Array:
    """1 - |t ∩ p| / |t ∪ p|."""
    return wrong_share(1.0, _wrong(sides), _right(sides))


def _beside(sides: _Sides) -> Array:
    """The share of the enclosing box that is in neither."""
    x, y = sides
    corners = x.missed * y.excess + x.excess * y.missed
    between = x.gap * y.enclosing + (x.true + x.excess) * y.gap
    return (corners + between) / (x.enclosing * y.enclosing)


def _common(sides: _Sides) -> tuple[Array, Array]:
    """The units of both axes in that of the longer one."""
    longer = jnp.maximum(*(s.unit for s in sides))
    none = longer == 0
    x, y = (jnp.where(none, 1, s.unit / jnp.where(none, 1, longer)) for s in sides)
    return x, y


def _distance(sides: _Sides) -> Array:
    """The squared distance of the centres, over the squared diagonal that encloses both."""
    both = list(zip(sides, _common(sides), strict=True))
    apart = jnp.stack([unit * (s.low + s.high) / 2 for s, unit in both])
    diagonal = jnp.stack([unit * s.enclosing for s, unit in both])
    return jnp.sum(jnp.square(apart), 0) / jnp.sum(jnp.square(diagonal), 0)


def _turn(sides: _Sides) -> Array:
    """The angle between the diagonals of both boxes; 0 where one has none."""
    (w, h), (w_, h_) = (_unit(*sizes) for sizes in zip(*(s.sizes for s in sides), strict=True))
    across, along = w * h_ - h * w_, w * w_ + h * h_
    return jnp.arctan2(across, jnp.where((across == 0) & (along == 0), 1, along))


def _unit(w: Array, h: Array) -> tuple[Array, Array]:
    """The longer one is 1, that of a box without shape is 0."""
    longer = jax.lax.stop_gradient(jnp.maximum(w, h))
    none = longer < _LEAST
    scale = jnp.where(none, 1, longer)
    return jnp.where(none, 0, w / scale), jnp.where(none, 0, h / scale)
