"""Losses that are the Lovász extension of the Jaccard loss."""

import dataclasses

import jax
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
                "kornia",
                "kornia.losses.lovasz_hinge_loss(y_pred[:, None], y_true)",
                IMAGE,
                note="Its lovasz_softmax_loss is not the published loss for several classes: "
                "0.7263 where that, and segmentation-models-pytorch in float32, has 0.7046.",
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


def test_pixels_that_do_not_count_are_not_there():
    rng = np.random.default_rng(0)
    t, z = np.float32(rng.integers(0, 2, (3, 8, 2))), np.float32(rng.normal(0, 2, (3, 8, 2)))
    pixels = rng.permuted(np.tile(np.arange(8) < 5, (3, 1)), axis=1)
    poisoned, labelled = (np.where(pixels[..., None], x, y) for x, y in ((z, np.nan), (t, 9)))
    for loss in (losses.LovaszHinge(), losses.LovaszSoftmax(exclusive=False)):
        ignoring = dataclasses.replace(loss, ignore_class=9)

        @jax.jit
        def run(z, poisoned, loss=loss, ignoring=ignoring):
            value = jax.value_and_grad(lambda z: loss(t, z, mask=pixels))(poisoned)
            alone = loss(*(x[pixels].reshape(3, 5, 2) for x in (t, z)))
            return *value, alone, ignoring(labelled, z)

        value, slope, *others = run(z, poisoned)
        np.testing.assert_allclose(others, value, rtol=1e-6)
        assert not slope[~pixels].any()
        assert slope[pixels].any()


def test_the_mean_is_that_of_the_classes_that_are_there():
    t = np.float32([[[1, 0, 0], [1, 0, 0]], [[0, 1, 0], [1, 0, 0]]])
    z = np.float32(np.random.default_rng(1).normal(size=t.shape))
    every = np.asarray(losses.lovasz_softmax(t, z, absent="one"))
    there = t.any(1)
    np.testing.assert_allclose(losses.LovaszSoftmax()(t, z), every[there].mean(), rtol=1e-6)
    p = np.exp(z) / np.exp(z).sum(-1, keepdims=True)
    np.testing.assert_allclose(every[~there], p.max(1)[~there], rtol=1e-6)
