"""`check`: every question about a loss, asked in turn."""

import warnings
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from lossjax import _check
from lossjax.inspect import _subject, probes
from lossjax.inspect._case import Case, attempt, is_finite, raised, where
from lossjax.inspect._report import Finding, Report


def check(
    loss: Any, y_true: Any = None, y_pred: Any = None, *, domain: str | None = None
) -> Report:
    """What goes wrong with a loss: shapes, broadcasting, derivatives, edges, precision, masks.

    `loss` is a `Loss`, the name of one or a function (y_true, y_pred) -> values per sample.
    `y_true` and `y_pred` are single arrays with the samples along axis 0, 2 at least. Without
    them some are generated for what the loss takes, or for `domain`, one of
    `lossjax.testing.DOMAINS`; for a function of which nothing is known, of the first domain on
    which it is finite. Edges follow the predictions: probabilities where all lie in [0, 1].

    Nothing that the loss raises comes through: it is a finding. Raises TypeError for what is no
    loss or no array, ValueError for less than 2 samples.

    >>> from lossjax import inspect
    >>> report = inspect.check(lambda t, p: ((t - p) ** 2).mean())
    >>> report["per sample"].severity
    'error'
    """
    found = _subject.resolved("check", loss)
    y_true, y_pred, source = _subject.data("check", found, y_true, y_pred, domain)
    t, p = _check.array("check", "y_true", y_true), _check.array("check", "y_pred", y_pred)
    if not p.ndim or len(p) < 2:
        raise ValueError(f"check: y_pred needs 2 samples at least, got shape {p.shape}.")
    if not jnp.issubdtype(p.dtype, jnp.floating):
        p = p.astype(jnp.float32)
    with warnings.catch_warnings():
        # Of the loss, about the unusual inputs that it is tried on.
        warnings.simplefilter("ignore")
        findings = tuple(_findings(found, t, p))
    return Report(_subject.name_of(found), source, findings)


def _findings(loss: Any, t: Any, p: Any) -> Iterator[Finding]:
    values = _subject.values_of(loss)
    for name, x in (("y_true", t), ("y_pred", p)):
        if not is_finite(x):
            cause = f"{name} is NaN or infinite at {where(~np.isfinite(np.asarray(x, float)))}."
            yield Finding("data", "error", cause, "Mend the data, or mask these samples.")
    try:
        seen = values(t, p)
    except Exception as error:  # whatever the loss of a user raises is a finding
        yield Finding("call", "error", f"Raises {raised(error)}", _swap(values, t, p))
        return
    if not isinstance(seen, (jax.Array, np.ndarray, np.generic, float)):
        cause = f"Returns {type(seen).__name__}, not an array."
        yield Finding("call", "error", cause, "Return one array: the values per sample.")
        return
    case = Case(loss, values, t, p, np.asarray(seen))
    if not is_finite(case.seen):
        bad = ~np.isfinite(case.seen)
        cause = f"{bad.sum()} of {bad.size} values are NaN or infinite, the first at {where(bad)}."
        yield Finding("call", "error", cause, "See the finding on edges for the kind of input.")
    for probe in probes.EAGER:
        yield from probe(case)
    traced = tuple(probes.jit(case))
    yield from traced
    if traced[0].severity == "error":
        cause = "Not asked, as it cannot be traced: derivatives, edges, precision, memory."
        yield Finding("jit", "note", cause)
        return
    for probe in probes.TRACED:
        yield from probe(case)


def _swap(values: Any, t: Any, p: Any) -> str:
    _, error = attempt(values, p, t)
    return "" if error else "With y_true and y_pred swapped it runs: look at their order."
