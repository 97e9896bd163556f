"""Losses of the overlap of two boxes."""

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from mpmath import mp

import lossjax
from cases import Case, Elsewhere
from lossjax import losses

FORMATS = ("xyxy", "cxcywh", "xywh")


def sides(t, p, box_format):
    """Along both axes: (first, last) of both boxes and of what encloses them."""
    for i in (0, 1):
        both = []
        for a, b in ((t[i], t[i + 2]), (p[i], p[i + 2])):
            first = a - b / 2 if box_format == "cxcywh" else a
            both.append((first, b if box_format == "xyxy" else first + b))
        edges = [x for box in both for x in box]
        yield *both, (min(edges), max(edges))


def length(side):
    return max(side[1] - side[0], mp.mpf(0))


def areas(found):
    """Of both boxes, their intersection and what encloses them; flat at one place is one length."""
    factors = []
    for t, p, all_ in found:
        both = min(t[1], p[1]) - max(t[0], p[0])
        lengths = [length(t), length(p), max(both, 0), length(all_)]
        factors.append(lengths if length(all_) else [1, 1, 1, 1])
    return [x * y for x, y in zip(*factors, strict=True)]


def wrong(t, p, box_format):
    a, b, both, _ = areas(sides(t, p, box_format))
    return 1 - both / (a + b - both) if a + b else mp.mpf(1)


def iou(t, p, box_format):
    return wrong(t, p, box_format)


def giou(t, p, box_format):
    a, b, both, all_ = areas(sides(t, p, box_format))
    return wrong(t, p, box_format) + (all_ - (a + b - both)) / all_


def diou(t, p, box_format):
    apart = diagonal = 0
    for a, b, all_ in sides(t, p, box_format):
        apart += ((sum(a) - sum(b)) / 2) ** 2
        diagonal += length(all_) ** 2
    return wrong(t, p, box_format) + (apart / diagonal if diagonal else 0)


def ciou(t, p, box_format, stop_alpha_gradient):
    (a, b, _), (c, d, _) = sides(t, p, box_format)
    w, h, w_, h_ = map(length, (a, c, b, d))
    if min(max(w, h), max(w_, h_)) < 1e-18:
        return diou(t, p, box_format)
    v = (4 / mp.pi**2) * (mp.atan2(w, h) - mp.atan2(w_, h_)) ** 2
    return diou(t, p, box_format) + (v * v / (wrong(t, p, box_format) + v) if v else 0)


def eiou(t, p, box_format):
    value = diou(t, p, box_format)
    for a, b, all_ in sides(t, p, box_format):
        change = (a[1] - a[0]) - (b[1] - b[0])
        value += (change / length(all_)) ** 2 if length(all_) else 0
    return value


def of_sides(t, p, config):
    """Moving an edge by a length changes shares by 1; both slopes of a side are sums of such."""
    of_corners = config["box_format"] == "xyxy"
    lengths = [y[:, 2:] - y[:, :2] if of_corners else y[:, 2:] for y in (t, p)]
    return None, np.tile(1 / np.maximum(*lengths), 2)


def case(loss, exact, elsewhere=(), **options):
    configs = tuple({"box_format": name} | options for name in FORMATS)
    return Case(
        loss,
        configs,
        exact=exact,
        sizes=of_sides,
        ulps=(6, 10),
        keras=None,
        elsewhere=elsewhere,
    )


EPS = "Its eps=1e-7, the default, stands in every divisor: equal empty boxes have the loss 1 there."


def of_torchvision(name, note=EPS, boxes="y_pred, y_true"):
    call = f"torchvision.ops.{name}({boxes}, reduction='mean', eps=0.0)"
    return (Elsewhere("torchvision", call, {"box_format": "xyxy"}, note=note),)


CASES = (
    case(
        losses.IoU,
        iou,
        (
            Elsewhere(
                "torchvision",
                "(1 - torchvision.ops.box_iou(y_pred, y_true).diagonal()).mean()",
                {"box_format": "xyxy"},
            ),
        ),
    ),
    case(losses.GIoU, giou, of_torchvision("generalized_box_iou_loss")),
    case(losses.DIoU, diou, of_torchvision("distance_box_iou_loss")),
    case(
        losses.CIoU,
        ciou,
        of_torchvision(
            "complete_box_iou_loss",
            "Its eps reaches alpha alone: in all else there is 1e-7, which large boxes do not see. "
            "A box without height is NaN there.",
            "1e6 * y_pred, 1e6 * y_true",
        ),
        stop_alpha_gradient=False,
    ),
    case(losses.EIoU, eiou),
)


BOXES = np.float32([[1, 2, 4, 5], [0.5, 0.5, 2, 1], [3, 1, 3.5, 6]])
OTHERS = np.float32([[2, 1, 5, 4], [1, 0.25, 1.5, 3], [1, 2, 4, 5], [7, 7, 9, 8]])


def written(boxes, box_format):
    first, last = boxes[..., :2], boxes[..., 2:]
    if box_format == "xyxy":
        return boxes
    start = first if box_format == "xywh" else (first + last) / 2
    return np.concatenate([start, last - first], -1)


def test_every_format_says_the_same_and_pairs_are_those_of_the_loss():
    found = []
    for name in FORMATS:
        a, b = written(BOXES, name), written(OTHERS, name)
        pairs = losses.pairwise_iou(a, b, box_format=name)
        assert pairs.shape == (3, 4)
        one = losses.iou(a[:, None], np.broadcast_to(b, (3, 4, 4)), box_format=name)
        np.testing.assert_allclose(pairs, 1 - one, rtol=1e-6, atol=1e-7)
        found.append([f(a, b[:3], box_format=name) for f in (losses.giou, losses.ciou)])
    np.testing.assert_allclose(found[1:], found[:1] * 2, rtol=1e-5)
    empty = losses.pairwise_iou([[1, 1, 1, 1]], [[1, 1, 1, 1], [2, 1, 2, 1]], box_format="xyxy")
    np.testing.assert_array_equal(empty, [[1, 0]])


def test_equal_boxes_have_the_loss_0_and_touching_ones_no_overlap():
    rng = np.random.default_rng(0)
    start, size = rng.normal(1e3, 1, (500, 2)), rng.uniform(1e-3, 1, (500, 2))
    boxes = np.float32(np.concatenate([start, start + size], -1))
    beside = np.stack([boxes[:, 2], boxes[:, 1], boxes[:, 2] + 1, boxes[:, 3]], -1)
    for name, f in (("xyxy", losses.giou), ("cxcywh", losses.ciou), ("xywh", losses.eiou)):
        value, slope = jax.jit(
            jax.value_and_grad(lambda p, f=f, name=name: f(boxes, p, box_format=name).sum())
        )(boxes)
        assert value == 0
        assert not slope.any()
    assert (losses.iou(boxes, beside, box_format="xyxy") == 1).all()


def test_a_small_box_in_a_large_one_keeps_its_digits():
    """What both share is the small one: from the rest of the large one it would be rounded."""
    t, p = np.float32([0, 0, 1, 1]), np.float32([0.3, 0.3, 1e-5, 2e-5])

    def slope(p):
        return jax.grad(lambda p: losses.iou(t, p, box_format="xywh"))(p)

    np.testing.assert_allclose(slope(p), [0, 0, -2e-5, -1e-5], rtol=1e-6)


def test_of_a_box_without_shape_ciou_is_diou():
    t, p = np.float32([0, 0, 2, 1]), np.float32([1, 0.5, 5e-19, 2e-19])
    found, want = (
        jax.value_and_grad(lambda p, f=f: f(t, p, box_format="xywh"))(p)
        for f in (losses.ciou, losses.diou)
    )
    for a, b in zip(found, want, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_gradient_of_ciou_is_that_of_the_paper():
    """Along the sizes alone, where that of the value differs: alpha is a number there."""
    t, p = np.float32([0, 0, 2, 1]), np.float32([0.25, 0.125, 1, 1.5])
    with jax.enable_x64(True):
        t, p = t.astype(float), p.astype(float)

        def v(p):
            angle = [jnp.arctan((x[2] - x[0]) / (x[3] - x[1])) for x in (t, p)]
            return 4 / jnp.pi**2 * (angle[0] - angle[1]) ** 2

        wrong = losses.iou(t, p, box_format="xyxy")
        alpha = v(p) / (wrong + v(p))

        def fixed(p):
            return losses.diou(t, p, box_format="xyxy") + alpha * v(p)

        def found(p, **options):
            return losses.ciou(t, p, box_format="xyxy", **options)

        want = jax.value_and_grad(fixed)(p)
        got = jax.value_and_grad(found)(p)
        for a, b in zip(got, want, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12)
        whole = jax.grad(lambda p: found(p, stop_alpha_gradient=False))(p)
        assert np.abs(whole - got[1]).max() > 0.01


def test_what_is_no_box_is_told():
    with pytest.raises(ValueError, match=r"IoU: box_format must be one of .*got 'xyyx'.*'xyxy'"):
        losses.IoU(box_format="xyyx")
    with pytest.raises(ValueError, match="giou: box_format must be one of"):
        losses.giou(BOXES, BOXES, box_format=None)
    with pytest.raises(
        ValueError, match=r"iou: y_true must hold boxes, .*\(\.\.\., 4\), got \(3, 3\)"
    ):
        losses.IoU(box_format="xyxy")(BOXES[:3, :3], BOXES[:3, :3])
    with pytest.raises(ValueError, match=r"others must hold boxes, .*N, 4\), got \(4,\)"):
        losses.pairwise_iou(BOXES, OTHERS[0], box_format="xyxy")
    with pytest.raises(TypeError, match="box_format"):
        losses.IoU()
    with pytest.raises(ValueError, match="the size of a box of y_true must not be negative"):
        lossjax.checked(losses.IoU(box_format="xyxy"))(BOXES[:, [2, 1, 0, 3]], BOXES)
    assert losses.IoU(box_format="xywh").get_config()["box_format"] == "xywh"
