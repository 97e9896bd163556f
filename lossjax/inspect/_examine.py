"""`check`: every question about a loss, asked in turn."""

import functools
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from lossjax.core.check import array
from lossjax.core.config import resolved
from lossjax.core.domain import Domain
from lossjax.inspect import _subject, probes
from lossjax.inspect._case import Case, attempt, differ, is_finite, raised, rows, where
from lossjax.inspect._packed import single
from lossjax.inspect._report import Finding, Report
from lossjax.inspect._table import progress

MANY = 1024  # samples that all questions are asked of; the others are looked at for NaN


def check(
    loss: Any, y_true: Any = None, y_pred: Any = None, *, domain: str | Domain | None = None
) -> Report:
    """What goes wrong with a loss: shapes, broadcasting, derivatives, edges, precision, masks.

    `loss` is a `Loss`, the name of one or a function (y_true, y_pred) -> values per sample.
    `y_true` and `y_pred` are arrays, or pytrees of arrays, with the samples along axis 0, 2 at
    least; several arrays are asked of as the columns of one, which the report names. Without
    them some are generated for what the loss takes, or for `domain`, a `Domain` or the name of one
    of `lossjax.testing.DOMAINS`; for a function of which nothing is known, of the first domain on
    which it is finite. Edges follow the predictions: probabilities where all lie in [0, 1].
    Of more than 1024 samples the first 1024 are asked everything, the others whether value and
    gradient are finite. A terminal shows what is being asked.

    Nothing that the loss raises comes through: it is a finding. Raises TypeError for what is no
    loss or no array, ValueError for less than 2 samples.

    >>> from lossjax import inspect
    >>> report = inspect.check(lambda t, p: ((t - p) ** 2).mean())
    >>> report["per sample"].severity
    'error'
    """
    found = resolved("check", loss)
    y_true, y_pred, source = _subject.data("check", found, y_true, y_pred, domain)
    name = _subject.name_of(found)
    found, y_true, y_pred, columns = single(found, y_true, y_pred)
    t, p = array("check", "y_true", y_true), array("check", "y_pred", y_pred)
    if not p.ndim or len(p) < 2:
        raise ValueError(f"check: y_pred needs 2 samples at least, got shape {p.shape}.")
    if not jnp.issubdtype(p.dtype, jnp.floating):
        p = p.astype(jnp.float32)
    with warnings.catch_warnings(), progress(f"check {name}") as told:
        # Of the loss, about the unusual inputs that it is tried on.
        warnings.simplefilter("ignore")
        findings = tuple(_findings(found, t, p, told, bool(columns)))
    return Report(name, source + columns, findings)


def _findings(
    loss: Any, t: Any, p: Any, told: Callable[[str], None], is_packed: bool
) -> Iterator[Finding]:
    values = _subject.values_of(loss)
    t, p = np.asarray(t), np.asarray(p)
    yield from _data(t, p)
    t, p = _finite(t, p)
    if len(p) < 2:
        return
    asked: tuple[Callable[[Case], Iterator[Finding]], ...] = probes.EAGER
    names = probes.is_swapped(loss)
    if is_packed:  # truths and predictions are nothing alike
        asked = tuple(probe for probe in asked if probe not in (probes.order, probes.broadcasting))
    elif names:
        cause = f"The arguments are {names}; the other questions are asked with them turned round."
        yield Finding(probes.ORDER, "error", cause, probes.SWAP)
        values = functools.partial(_turned, values)
        asked = tuple(probe for probe in asked if probe is not probes.order)
    few = rows(t, p, slice(MANY))
    try:
        seen = values(*map(jnp.asarray, few))
    except Exception as error:  # whatever the loss of a user raises is a finding
        fix = "With y_true and y_pred swapped it runs: look at their order."
        fix = "" if attempt(values, *few[::-1])[1] else fix
        yield Finding("call", "error", f"Raises {raised(error)}", fix)
        return
    if not isinstance(seen, (jax.Array, np.ndarray, np.generic, float)):
        cause = f"Returns {type(seen).__name__}, not an array."
        yield Finding("call", "error", cause, "Return one array: the values per sample.")
        return
    case = Case(loss, values, *few, np.asarray(seen), is_packed)
    if differ(attempt(values, *few)[0], case.seen):
        cause = "Two calls with the same data give different values."
        fix = "Remove what changes from call to call: random numbers, counters, global state."
        yield Finding("call", "error", cause, fix)
        return
    if not is_finite(case.seen):
        bad = ~np.isfinite(case.seen)
        cause = f"{bad.sum()} of {bad.size} values are NaN or infinite, the first at {where(bad)}."
        yield Finding("call", "error", cause, "See the finding on edges for the kind of input.")
    for probe in asked:
        told(probe.__name__)
        yield from probe(case)
    if case.run is values:
        cause = "Not asked, as jit does not give its values: derivatives, edges, precision, memory."
        yield Finding("jit", "skipped", cause)
        return
    for probe in probes.TRACED:
        told(probe.__name__)
        yield from probe(case)
    if len(p) > MANY and case.is_per_sample:
        told("the other samples")
        yield _rest(case, t, p)


def _turned(values: Callable[[Any, Any], Any], t: Any, p: Any) -> Any:
    return values(p, t)


def _data(t: Any, p: Any) -> Iterator[Finding]:
    for name, x in (("y_true", t), ("y_pred", p)):
        if not is_finite(x):
            cause = (
                f"{name} is NaN or infinite at {where(~np.isfinite(np.asarray(x, float)))}; the "
                f"other questions are asked of the other samples."
            )
            yield Finding("data", "error", cause, "Mend the data, or mask these samples.")


def _finite(t: Any, p: Any) -> tuple[Any, Any]:
    """The samples without NaN and infinity."""
    good = np.isfinite(np.asarray(p, float)).reshape(len(p), -1).all(1)
    if t.ndim and len(t) == len(p):
        good &= np.isfinite(np.asarray(t, float)).reshape(len(t), -1).all(1)
    return (t, p) if good.all() else rows(t, p, good)


def _rest(case: Case, t: Any, p: Any) -> Finding:
    """Value and gradient of the samples that the other questions were not asked of."""
    for start in range(0, len(p), MANY):
        start = min(start, len(p) - MANY)  # of one length, so compiled once
        found, error = attempt(case.derivatives, *rows(t, p, slice(start, start + MANY)))
        if error:
            return Finding("all samples", "skipped", f"There is no gradient: {error}")
        for what, x in (("value", found.values), ("gradient", found.gradient)):
            bad = ~np.isfinite(x.reshape(len(x), -1)).all(1)
            if bad.any():
                cause = f"NaN or infinite {what} at sample {start + int(np.argmax(bad))}."
                fix = "See the finding on edges for the kind of input."
                return Finding("all samples", "error", cause, fix)
    return Finding("all samples", "ok", f"Value and gradient of all {len(p)} are finite.")
