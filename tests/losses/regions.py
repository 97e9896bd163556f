"""Losses of regions, image by image and class by class."""

import numpy as np
from mpmath import mp

from cases import Case, Elsewhere
from exact import dot
from lossjax import losses


def of_regions(value):
    """The definition for an image of one class, or of one pixel and a class an entry."""

    def definition(t, p, class_axis=-1, from_logits=True, absent="one", batch=False, **options):
        p = [sigmoid(z) for z in p] if from_logits else p
        found = (
            [([*t], [*p])]
            if class_axis is None
            else [([a], [b]) for a, b in zip(t, p, strict=True)]
        )
        return mp.fsum(value(*r, **options) for r in found if absent == "one" or any(r[0]))

    return definition


def share(right, wrong):
    return wrong / (wrong + right) if wrong + right else mp.mpf(1)


@of_regions
def jaccard(t, p, power=1, smoothing=0):
    union = mp.fsum(a**power + b**power - a * b for a, b in zip(t, p, strict=True))
    return share(dot(t, p) + smoothing, union - dot(t, p))


@of_regions
def focal_tversky(t, p, fp_weight=0.3, fn_weight=0.7, exponent=0.75, smoothing=0):
    missed, false = dot(t, [1 - b for b in p]), dot(p, [1 - a for a in t])
    wrong = mp.mpf(fn_weight) * missed + mp.mpf(fp_weight) * false
    return share(dot(t, p) + smoothing, wrong) ** mp.mpf(exponent)


def of_classes(value):
    """The definition for an image of one class, or of one pixel and several classes."""

    def definition(t, p, class_axis=-1, batch=False, **options):
        p = [sigmoid(z) for z in p]
        classes = (
            [([*t], [*p])]
            if class_axis is None
            else [([a], [b]) for a, b in zip(t, p, strict=True)]
        )
        return value(classes, **options)

    return definition


def dice_parts(classes, power):
    """Of every class twice the overlap, and what stands below beside it."""
    for t, p in classes:
        both = 2 * dot(t, p)
        yield both, mp.fsum(a**power + b**power for a, b in zip(t, p, strict=True)) - both


@of_classes
def generalized_dice(classes, ratio="sums", volume_exponent=2, power=1, smoothing=0, absent="one"):
    volumes = [mp.fsum(t) for t, _ in classes]
    weights = [1 / v**volume_exponent if v else None for v in volumes]
    other = max([w for w in weights if w is not None], default=1) if absent == "one" else 0
    weights = [other if w is None else w for w in weights]
    right, wrong = zip(*dice_parts(classes, power), strict=True)
    if ratio == "mean":
        shares = [share(r + smoothing, w) for r, w in zip(right, wrong, strict=True)]
        return dot(weights, shares) / mp.fsum(weights)
    return share(dot(weights, right) + smoothing, dot(weights, wrong))


def cross_entropy(t, z):
    def of(a, x):
        return mp.log(1 + mp.exp(-abs(x))) + max(x, 0) - a * x

    return mp.fsum(of(a, x) for a, x in zip(t, z, strict=True)) / len(t)


def dice_cross_entropy(t, p, ce_weight=1, power=1, smoothing=0, absent="one", **options):
    @of_classes
    def dice(classes):
        values = [share(right + smoothing, wrong) for right, wrong in dice_parts(classes, power)]
        kept = [absent == "one" or any(t) for t, _ in classes]
        return dot(values, kept) / len(values)

    return dice(t, p, **options) + ce_weight * cross_entropy(t, p)


def softmax(z):
    e = [mp.exp(x - max(z)) for x in z]
    return [x / mp.fsum(e) for x in e]


def sigmoid(z):
    return 1 / (1 + mp.exp(-z)) if z > -1e4 else mp.mpf(0)


def boundary_distance(d, z, class_axis=-1, exclusive=False, batch=False):
    p = softmax(z) if exclusive else [sigmoid(x) for x in z]
    return dot(d, p) / (1 if class_axis is not None else len(p))


def distances(rng):
    d, z = rng.normal(0, 20, (80, 1, 5)), rng.normal(0, 5, (80, 1, 5))
    return d, z


def of_distances(d, z, config):
    return np.abs(d).max((-2, -1)), np.broadcast_to(np.abs(d).max(-1, keepdims=True) / 4, z.shape)


IMAGE = {"class_axis": None}
ONE_CHANNEL = "y_pred[:, None], y_true[:, None]"  # as its users have them: channels first

CASES = (
    Case(
        losses.Jaccard,
        (
            {},
            IMAGE,
            {"class_axis": None, "batch": True, "smoothing": 1.0},
            {"class_axis": None, "power": 2, "absent": "zero"},
        ),
        exact=jaccard,
        keras=None,
        elsewhere=(
            Elsewhere(
                "monai",
                f"monai.losses.DiceLoss(sigmoid=True, jaccard=True)({ONE_CHANNEL})",
                {"class_axis": None, "smoothing": 5e-6},
                note="It adds its smoothing to twice the sums. Channels come second there.",
            ),
            Elsewhere(
                "segmentation-models-pytorch",
                "smp.losses.JaccardLoss('binary', smooth=1.0)(y_pred, y_true)",
                {"class_axis": None, "batch": True, "smoothing": 1.0, "absent": "zero"},
            ),
        ),
    ),
    Case(
        losses.GeneralizedDice,
        (
            {},
            IMAGE,
            {"ratio": "mean", "volume_exponent": 1},
            {"class_axis": None, "batch": True, "smoothing": 1.0, "volume_exponent": 1},
            {"power": 2, "smoothing": 0.5},
        ),
        exact=generalized_dice,
        ulps=(8, 14),
        keras=None,
        elsewhere=(
            Elsewhere(
                "monai",
                "monai.losses.GeneralizedDiceLoss(sigmoid=True, w_type='uniform')"
                "(y_pred.transpose(1, 2), y_true.transpose(1, 2))",
                {"smoothing": 1e-5, "volume_exponent": 0},
                note="Its w_type 'square' is 2, 'simple' 1; those weights are float32 there.",
            ),
        ),
    ),
    Case(
        losses.DiceCrossEntropy,
        (
            {},
            IMAGE,
            {"class_axis": None, "batch": True, "smoothing": 1.0},
            {"class_axis": None, "power": 2, "absent": "zero", "ce_weight": 0.25},
        ),
        exact=dice_cross_entropy,
        keras=None,
        elsewhere=(
            Elsewhere(
                "monai",
                f"monai.losses.DiceCELoss(sigmoid=True)({ONE_CHANNEL})",
                {"class_axis": None, "smoothing": 1e-5},
            ),
        ),
    ),
    Case(
        losses.BoundaryDistance,
        ({}, {"exclusive": True}, IMAGE, {"class_axis": None, "batch": True}),
        exact=boundary_distance,
        inputs=distances,
        ulps=(8, 12),
        sizes=of_distances,
        keras=None,
    ),
    Case(
        losses.FocalTversky,
        ({}, IMAGE, {"class_axis": None, "exponent": 1.5, "smoothing": 0.5, "fp_weight": 0.9}),
        exact=focal_tversky,
        keras=None,
        elsewhere=(
            Elsewhere(
                "segmentation-models-pytorch",
                "smp.losses.TverskyLoss('binary', alpha=0.3, beta=0.7, gamma=0.75)(y_pred, y_true)",
                {"class_axis": None, "batch": True, "absent": "zero"},
                note="Its alpha weighs false alarms, its gamma is an exponent of the mean.",
            ),
        ),
    ),
)
