"""Nobody is timed who does not compute the same number, with the same gradient."""

from typing import NamedTuple

import numpy as np

from bench.cases import Case


class Tolerance(NamedTuple):
    """Of the value; of a gradient's entry, relative to itself and to the largest entry; and the
    share of the entries that may differ: ties, which libraries break in their own ways.
    """

    value: float
    entry: float
    largest: float
    ties: float


WIDE = Tolerance(value=1e-4, entry=1e-3, largest=1e-6, ties=1e-4)
# Some compute in 16 bits and some in float32. Equal inputs are frequent in 16 bits.
NARROW = Tolerance(value=2e-2, entry=5e-2, largest=4e-2, ties=1e-2)
# Sums of thousands of logarithms, over the steps of a sequence, leave float32 four digits.
STEPS = WIDE._replace(entry=1e-2, largest=1e-3)

# Keras clips the probabilities that it makes of these logits, at 1e-7: with thousands of classes
# a row in a thousand has the gradient 0 there.
CLIPPED = {"CategoricalFocalCrossentropy from logits": WIDE._replace(ties=2e-3)}


def tolerance(case: Case) -> Tolerance:
    if case.dtype != "float32":
        return NARROW
    return CLIPPED.get(case.kind, STEPS if case.domain.in_steps else WIDE)


def disagreement(
    case: Case,
    result: tuple[np.ndarray, np.ndarray],
    reference: tuple[np.ndarray, np.ndarray],
) -> str | None:
    """What differs between two (value, gradient), of which one is taken as right."""
    within = tolerance(case)
    (value, gradient), (value_0, gradient_0) = result, reference
    if not abs(value - value_0) <= within.value * abs(value_0):
        return f"the value is {value:.6g}, lossjax's is {value_0:.6g}"
    if gradient.shape != gradient_0.shape:
        return f"the gradient has the shape {gradient.shape}, lossjax's has {gradient_0.shape}"
    finite = np.isfinite(gradient) & np.isfinite(gradient_0)
    size = np.abs(np.where(finite, gradient_0, 0))
    far = np.abs(gradient - gradient_0) > within.entry * size + within.largest * size.max(initial=0)
    if (share := np.mean(far & finite)) > within.ties:
        return f"{share:.2%} of the gradient's entries differ from lossjax's"
    return None
