"""Losses of regions, image by image and class by class."""

import dataclasses

import jax
import numpy as np
import pytest
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
CHANNELS = "y_pred.transpose(1, 2), y_true.transpose(1, 2)"

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
                f"monai.losses.GeneralizedDiceLoss(sigmoid=True, w_type='uniform')({CHANNELS})",
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
            Elsewhere(
                "monai",
                f"monai.losses.DiceLoss(sigmoid=True)({CHANNELS})",
                {"ce_weight": 0.0, "smoothing": 1e-5},
                note="Dice alone, with the options of regions.",
            ),
            Elsewhere(
                "segmentation-models-pytorch",
                f"smp.losses.DiceLoss('multilabel', smooth=1.0)({CHANNELS})",
                {"ce_weight": 0.0, "smoothing": 2.0, "batch": True, "absent": "zero"},
                note="Its smoothing stands beside the overlap, ours beside twice that.",
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
            Elsewhere(
                "monai",
                f"monai.losses.TverskyLoss(sigmoid=True, alpha=0.3, beta=0.7)({CHANNELS})",
                {"exponent": 1.0, "smoothing": 1e-5},
                note="Its alpha weighs false alarms.",
            ),
        ),
    ),
)


RNG = np.random.default_rng(0)
TRUE = np.float32(RNG.integers(0, 2, (3, 4, 5, 2)))
TRUE[0, ..., 1] = 0  # an image without the second class
LOGITS = np.float32(RNG.normal(0, 2, TRUE.shape))
PIXELS = RNG.permuted(np.tile(np.arange(20) < 14, (3, 1)), axis=1).reshape(3, 4, 5)
EVERY = (losses.Jaccard, losses.FocalTversky, losses.GeneralizedDice, losses.DiceCrossEntropy)
every = pytest.mark.parametrize("cls", [*EVERY, losses.BoundaryDistance], ids=lambda c: c.__name__)


def shares(z):
    return 1 / (1 + np.exp(-np.float64(z)))


def test_sums_are_those_of_an_image_and_a_class():
    p = shares(LOGITS)
    for batch, axes in ((False, (1, 2)), (True, (0, 1, 2))):
        both = np.sum(TRUE * p, axes)
        want = 1 - both / (np.sum(TRUE + p, axes) - both)
        loss = losses.Jaccard(batch=batch, reduction=None)
        np.testing.assert_allclose(loss(TRUE, LOGITS), want, rtol=1e-6)
        first = [np.moveaxis(x, -1, 1) for x in (TRUE, LOGITS)]
        moved = losses.jaccard(*first, class_axis=1, batch=batch)
        np.testing.assert_allclose(moved, want, rtol=1e-6)


def test_a_class_that_an_image_has_not():
    values = np.asarray(losses.jaccard(TRUE, LOGITS))
    assert values[0, 1] == 1
    others = values.sum() - 1
    found = {a: losses.Jaccard(absent=a)(TRUE, LOGITS) for a in ("one", "zero", "skip")}
    np.testing.assert_allclose(found["one"], values.mean(), rtol=1e-6)
    np.testing.assert_allclose(found["zero"], others / 6, rtol=1e-6)
    np.testing.assert_allclose(found["skip"], others / 5, rtol=1e-6)
    # It has the largest weight of the other classes, or none.
    one, other = (losses.generalized_dice(TRUE[:1], LOGITS[:1], absent=a) for a in ("one", "skip"))
    alone = losses.generalized_dice(TRUE[:1, ..., :1], LOGITS[:1, ..., :1])
    np.testing.assert_allclose(other, alone, rtol=1e-6)
    assert one > other


@every
def test_pixels_that_do_not_count_are_not_there(cls):
    """As if each image had its own pixels alone, also where the others are NaN."""
    loss = cls(exclusive=cls is losses.DiceCrossEntropy)
    poisoned = np.where(PIXELS[..., None], LOGITS, np.nan)
    labelled = np.where(PIXELS[..., None], TRUE, 255)

    @jax.jit
    def run(z, poisoned):
        value = jax.value_and_grad(lambda z: loss(TRUE, z, mask=PIXELS))(poisoned)
        alone = [loss(*(x[PIXELS].reshape(3, 14, 2) for x in (TRUE, z)))]
        if cls in EVERY:
            alone.append(dataclasses.replace(loss, ignore_class=255)(labelled, z))
        return value, alone

    (value, slope), alone = run(LOGITS, poisoned)
    np.testing.assert_allclose(alone, value, rtol=2e-6)
    assert np.isfinite(slope).all()
    assert not slope[~PIXELS].any()


@every
def test_totals_of_parts_merge(cls):
    """With masks of pixels, for a value of every class too."""
    loss = cls(batch=True)

    @jax.jit
    def run(z):
        parts = [
            loss.total(TRUE[k], z[k], mask=PIXELS[k]) for k in (slice(1), slice(1, 1), slice(1, 3))
        ]
        return sum(parts).result(), loss(TRUE, z, mask=PIXELS)

    merged, whole = run(LOGITS)
    np.testing.assert_allclose(merged, whole, rtol=1e-6)


def test_weights_of_pixels_are_in_the_sums():
    weight = np.broadcast_to(PIXELS[..., None], TRUE.shape).astype(np.float32)
    weighed = losses.Jaccard()(TRUE, LOGITS, sample_weight=2 * weight)
    np.testing.assert_allclose(weighed, losses.Jaccard()(TRUE, LOGITS, mask=PIXELS), rtol=1e-6)


def test_classes_that_exclude_each_other_have_a_softmax_and_its_cross_entropy():
    one_hot = np.float32(np.eye(2)[RNG.integers(0, 2, (3, 4, 5))])
    e = np.exp(np.float64(LOGITS))
    p = e / e.sum(-1, keepdims=True)
    entropy = -np.sum(one_hot * np.log(p), -1).mean((1, 2))
    dice = 1 - 2 * np.sum(one_hot * p, (1, 2)) / np.sum(one_hot + p, (1, 2))
    want = dice.mean(-1) + 0.5 * entropy
    options = {"exclusive": True, "ce_weight": 0.5}
    got = losses.dice_cross_entropy(one_hot, LOGITS, **options)
    np.testing.assert_allclose(got, want, rtol=1e-6)
    of_shares = losses.dice_cross_entropy(one_hot, np.float32(p), from_logits=False, **options)
    np.testing.assert_allclose(of_shares, want, rtol=1e-5)


def test_a_nearly_perfect_prediction_keeps_its_digits():
    """As 1 minus a ratio it would be 0, and without a gradient."""
    truth = np.float32([[1, 1, 0, 0]])
    value, slope = jax.value_and_grad(
        lambda z: losses.focal_tversky(truth, z, class_axis=None, exponent=1.0)[0]
    )(20 * (2 * truth - 1))
    np.testing.assert_allclose(value, 2 * np.exp(-20) / 2, rtol=1e-6)
    np.testing.assert_allclose(slope[0], np.exp(-20) * np.float32([-0.35] * 2 + [0.15] * 2), 1e-6)


def test_options_that_do_not_fit_are_told():
    match = r"class_axis must be an axis of y_pred after the first, .*has 4 axes, got 0"
    with pytest.raises(ValueError, match=match):
        losses.jaccard(TRUE, LOGITS, class_axis=0)
    with pytest.raises(ValueError, match="jaccard: exclusive=True needs a class_axis, got None"):
        losses.jaccard(TRUE, LOGITS, class_axis=None, exclusive=True)
    with pytest.raises(ValueError, match=r"absent must be one of .*got 'none'"):
        losses.generalized_dice(TRUE, LOGITS, absent="none")
    with pytest.raises(ValueError, match=r"power must be one of \(1, 2\), got True"):
        losses.Jaccard(power=True)
    with pytest.raises(ValueError, match="totals with weights or a mask of the values need one"):
        losses.Jaccard(batch=True).total(TRUE, LOGITS, sample_weight=[1.0, 2.0])
