"""Losses of a sequence."""

import functools
import itertools

import numpy as np
from mpmath import mp

from cases import Case, Elsewhere
from exact import largest, probabilities
from lossjax import losses
from samples import STEP_CLASSES


def ctc(labels, logits):
    """All alignments of the labels, one after the other; `logits` step after step."""
    steps = [
        probabilities(logits[i : i + STEP_CLASSES], from_logits=True)
        for i in range(0, len(logits), STEP_CLASSES)
    ]
    paths = alignments(tuple(int(label) for label in labels if label != 0), len(steps))
    return -mp.log(
        mp.fsum(mp.fprod(s[c] for s, c in zip(steps, path, strict=True)) for path in paths)
    )


@functools.cache
def alignments(labels, steps):
    """The paths that are `labels` once runs are merged and blanks are dropped."""
    paths = itertools.product(range(STEP_CLASSES), repeat=steps)
    return [p for p in paths if tuple(c for c, _ in itertools.groupby(p) if c) == labels]


def of_ctc(t, p, _):
    """Sums of probabilities are kept as logarithms, as large as all steps together."""
    steps = np.sum(np.ptp(p, -1), (1, 2))
    return largest(1, steps), np.broadcast_to(largest(1, steps)[:, None, None, None], p.shape)


IMPOSSIBLE = 9e4


def of_paths(sample):
    """What has no path counts as about 1e5.

    Probabilities of paths are kept as logarithms, of the size of the loss.
    """
    if sample.value[0] < IMPOSSIBLE:
        return sample._replace(rounding=1e-7 * sample.value[0])
    free = np.full_like(sample.gradient, np.nan)
    return sample._replace(value=np.array([IMPOSSIBLE, np.inf]), gradient=free, product=free)


CASES = (
    Case(
        losses.CTC,
        exact=ctc,
        sizes=of_ctc,
        limit=of_paths,
        ulps=(2, 1),
        elsewhere=(
            Elsewhere(
                "torch",
                "F.ctc_loss(y_pred.log_softmax(-1).transpose(0, 1), y_true, "
                "torch.full((len(y_true),), y_pred.shape[1]), (y_true != 0).sum(-1), "
                "reduction='none').mean()",
                note="reduction='mean' also divides by the lengths of the labels",
            ),
            Elsewhere(
                "optax",
                "optax.losses.ctc_loss(y_pred, jnp.zeros(y_pred.shape[:2]), y_true, "
                "(y_true == 0).astype(float)).mean()",
            ),
        ),
    ),
)
