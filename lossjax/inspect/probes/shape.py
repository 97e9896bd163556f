"""What comes back, whether shapes broadcast by accident, and the order of the arguments."""

import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np

from lossjax.core import check
from lossjax.core.loss import Loss
from lossjax.inspect._case import Case, attempt, differ, is_finite
from lossjax.inspect._report import Finding

_MEAN = "Return one value per sample, e.g. jnp.mean(..., axis=-1); the reduction comes after."
_PREDICTIONS = (
    "y_pred y_hat yhat pred preds prediction predictions logit logits output outputs input inputs "
    "predictor_outputs log_predictions log_probs probs"
)
_TRUTHS = "y_true y target targets label labels truth true"
ORDER = "argument order"
SWAP = "Write f(y_true, y_pred), the order of Keras and lossjax: lambda t, p: f(p, t)."


def per_sample(case: Case) -> Iterator[Finding]:
    """A value for each sample? Which axes does it reduce?"""
    name, shape, given = "per sample", case.seen.shape, case.y_pred.shape
    samples = given[0]
    is_loss = isinstance(case.loss, Loss)
    if not shape:
        severity = "note" if is_loss else "error"
        cause = f"One number for the whole batch of {samples}: no sample can be weighed or masked."
        yield Finding(name, severity, cause, _reduction_fix(case.loss))  # type: ignore[arg-type]
        return
    fewer, error = attempt(case.run, *case.rows(slice(samples - 1)))
    grows = fewer is not None and fewer.ndim > 0 and fewer.shape[0] == samples - 1
    if shape[0] != samples or (not error and not grows):
        # A choice of who writes `axis=0`, not a mistake.
        severity = "note" if is_loss and hasattr(case.loss, "axis") else "error"
        yield Finding(
            name,
            severity,  # type: ignore[arg-type]
            f"Values of shape {shape} for y_pred of shape {given}: the axis of the samples is "
            f"reduced.",
            _MEAN,
        )
    elif error:
        cause = f"{samples} samples give {shape}, but {samples - 1} raise {error}"
        yield Finding(name, "warning", cause, "Take sizes from the arrays: y_pred.shape.")
    elif len(given) > 1 and shape == given:
        yield Finding(
            name,
            "note",
            f"One value for each entry, shape {shape}: no axis is reduced, and a weight for each "
            f"sample does not fit.",
            "Average over the last axis, as Keras does.",
        )
    else:
        axes = tuple(range(len(shape), len(given))) if given[: len(shape)] == shape else None
        what = "" if axes is None else f", reducing axes {axes}" if axes else ", reducing no axis"
        yield Finding(name, "ok", f"Values of shape {shape}{what}.")


def _reduction_fix(loss: Any) -> str:
    """What a loss of Keras or torch is made with to give values per sample."""
    given = None if isinstance(loss, Loss) else getattr(loss, "reduction", None)
    return _MEAN if given in (None, "none") else "Make it with reduction=None, and reduce after."


def is_swapped(loss: Any) -> str:
    """The names of the arguments, where they say that the prediction comes first."""
    try:
        first, second = list(inspect.signature(loss).parameters)[:2]
    except (TypeError, ValueError):
        return ""
    swapped = first.lower() in _PREDICTIONS.split() and second.lower() in _TRUTHS.split()
    return f"({first}, {second})" if swapped else ""


def order(case: Case) -> Iterator[Finding]:
    """Does anything but the names speak for swapped arguments?"""
    swapped, _ = attempt(case.run, case.y_pred, case.y_true)
    if not is_finite(case.seen) and swapped is not None and is_finite(swapped):
        cause = "The values are not finite, but are with truth and prediction swapped."
        yield Finding(ORDER, "error", cause, SWAP)
        return
    if case.is_paired and len(case.y_true) > 1:
        t = case.y_true
        matched, _ = attempt(case.run, t, t)
        crossed, _ = attempt(case.run, t, np.roll(t, 1, 0))
        known = matched is not None and crossed is not None
        if known and is_finite(matched) and is_finite(crossed):
            slack = 1e-6 * max(1, float(np.abs(crossed).max()))
            if np.mean(matched) > np.mean(crossed) + slack:
                cause = (
                    f"y_pred = y_true costs {np.mean(matched):.4g} on average, the truth of "
                    f"another sample {np.mean(crossed):.4g}: being right costs more."
                )
                yield Finding(
                    ORDER, "warning", cause, "Look for a wrong sign or swapped arguments."
                )
                return
    yield Finding(ORDER, "ok", "Nothing speaks for swapped arguments.")


def broadcasting(case: Case) -> Iterator[Finding]:
    """Do (N,) and (N, 1) make (N, N) values?"""
    name, t, p = "broadcasting", case.y_true, case.y_pred
    fix = (
        "Raise where y_true.shape != y_pred.shape, or drop the axis: y_pred[..., 0]. The functions "
        "and classes of lossjax.losses do."
    )
    given = _grown(case, t, p)
    if given:
        yield Finding(name, "error", given, fix)
        return
    t, p = case.few
    if case.is_paired and p.ndim in (1, 2):
        t, p = (t, p[:, None]) if p.ndim == 1 else (t[:, 0], p[:, :1])
    elif t.ndim == p.ndim - 1:
        t = t[..., None]
    else:
        cause = f"y_true {t.shape} and y_pred {p.shape} are not broadcast."
        yield Finding(name, "ok", cause)
        return
    found = _grown(case, t, p)
    if found:
        yield Finding(name, "note", f"If an axis is forgotten: {found}", fix)
    else:
        cause = f"Shapes such as {t.shape} against {p.shape} are aligned or refused."
        yield Finding(name, "ok", cause)


def _grown(case: Case, t: np.ndarray, p: np.ndarray) -> str:
    """What goes wrong with shapes of which neither broadcasts to the other."""
    a, b = check.aligned(t, p)
    if a.shape == t.shape and b.shape == p.shape:
        return ""
    found, _ = attempt(case.run, t, p)
    right, _ = attempt(case.run, a, b)
    if found is None or right is None or not differ(found.ravel(), right.ravel()):
        return ""
    return (
        f"y_true {t.shape} and y_pred {p.shape} are broadcast: every truth meets every "
        f"prediction, values of shape {found.shape}."
    )
