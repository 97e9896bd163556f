"""Losses that are the Lovász extension of the Jaccard loss."""

import numpy as np
from mpmath import mp

from cases import Case, Elsewhere
from lossjax import losses


def extension(t, errors):
    """As published: the sets of the largest errors, one after the other, and their Jaccard loss."""
    order = sorted(range(len(t)), key=lambda i: -errors[i])
    value = before = mp.mpf(0)
    for k in range(1, len(t) + 1):
        wrong = set(order[:k])
        predicted = [a if i not in wrong else 1 - a for i, a in enumerate(t)]
        both = mp.fsum(a * b for a, b in zip(t, predicted, strict=True))
        union = mp.fsum(t) + mp.fsum(predicted) - both
        now = 1 - both / union if union else mp.mpf(0)
        value, before = value + errors[order[k - 1]] * (now - before), now
    return value


def of_groups(t, errors, class_axis, absent):
    groups = [[i] for i in range(len(t))] if class_axis is not None else [range(len(t))]
    kept = (g for g in groups if absent == "one" or any(t[i] for i in g))
    return mp.fsum(extension([t[i] for i in g], [errors[i] for i in g]) for g in kept)


def lovasz_hinge(t, z, class_axis=-1, absent="one"):
    errors = [max(0, 1 - x * (2 * a - 1)) for a, x in zip(t, z, strict=True)]
    return of_groups(t, errors, class_axis, absent)


def lovasz_softmax(t, z, class_axis=-1, absent="skip", exclusive=True):
    if exclusive:
        e = [mp.exp(x - max(z)) for x in z]
        p = [x / mp.fsum(e) for x in e]
    else:
        p = [1 / (1 + mp.exp(-x)) if x > -1e4 else mp.mpf(0) for x in z]
    return of_groups(t, [abs(a - b) for a, b in zip(t, p, strict=True)], class_axis, absent)


def of_errors(t, z, config):
    """A softmax that is nearly 1 rounds there."""
    return np.ones(len(z)), np.ones_like(z) / 4


IMAGE = {"class_axis": None}

CASES = (
    Case(
        losses.LovaszHinge,
        ({"absent": "zero"}, IMAGE),
        exact=lovasz_hinge,
        keras=None,
        elsewhere=(
            Elsewhere(
                "segmentation-models-pytorch",
                "smp.losses.LovaszLoss('binary', per_image=True)(y_pred, y_true)",
                IMAGE,
                note="per_image=False, its default, is ours of the batch as one image.",
            ),
        ),
    ),
    Case(
        losses.LovaszSoftmax,
        ({"absent": "zero"}, {"class_axis": None, "exclusive": False, "absent": "one"}),
        exact=lovasz_softmax,
        sizes=of_errors,
        keras=None,
    ),
)
