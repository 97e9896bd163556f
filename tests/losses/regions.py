"""Losses of regions, image by image and class by class."""

from mpmath import mp

from cases import Case, Elsewhere
from exact import dot
from lossjax import losses


def of_regions(value):
    """The definition for an image of one class, or of one pixel and a class an entry."""

    def definition(t, p, class_axis=-1, from_logits=True, absent="one", batch=False, **options):
        if from_logits:
            p = [1 / (1 + mp.exp(-z)) if z > -1e4 else mp.mpf(0) for z in p]
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
