"""jit, vmap, how often a loss is traced and what memory it takes."""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from lossjax import devices
from lossjax.core.loss import Loss
from lossjax.inspect._case import Case, attempt, differ, rows
from lossjax.inspect._report import Finding

_ENTRIES = 2**16  # of y_pred, where memory is asked for
_STATIC = (float, np.floating)


def jit(case: Case) -> Iterator[Finding]:
    """Does it run under jit, with the same result?"""
    found, error = case.compiled
    if error:
        numpy = "TracerArrayConversion" in error
        fix = (
            "Use jax.numpy in place of numpy: NumPy needs numbers, and jit has none yet."
            if numpy
            else "Write no Python if, int() or float() on array values: jnp.where, jax.lax.cond."
        )
        yield Finding("jit", "error", f"Raises under jit, grad and vmap: {error}", fix)
    elif differ(found, case.seen):
        cause = "Another result under jit than without."
        fix = "Remove what changes from call to call: random numbers, counters, global state."
        yield Finding("jit", "error", cause, fix)
    elif _leaks(case):
        cause = "It keeps an array of the computation beyond the call, which jit may not."
        fix = "Return what is needed after the call; append to no list, set no attribute."
        yield Finding("jit", "warning", cause, fix)
    else:
        yield Finding("jit", "ok", "The same values under jit.")


def _leaks(case: Case) -> bool:
    try:
        with jax.checking_leaks():
            jax.eval_shape(lambda t, p: case.values(t, p), *case.few)
    except Exception as error:  # JAX has no type of its own for it
        return "Leaked" in str(error)
    return False


def vmap(case: Case) -> Iterator[Finding]:
    """Does it run under vmap, with the same result?"""
    t, p = (np.stack([x, x]) for x in case.few)
    found, error = attempt(jax.jit(jax.vmap(case.values)), t, p)
    if error:
        fix = "Take axes from the end (axis=-1), and write no Python if on array values."
        yield Finding("vmap", "warning", f"Raises under vmap: {error}", fix)
    elif differ(found[1], np.asarray(case.run(*case.few))):
        cause = "Another result under vmap than without."
        yield Finding("vmap", "error", cause, "Take axes from the end: axis=-1.")
    else:
        yield Finding("vmap", "ok", "The same values under vmap.")


def traces(case: Case) -> Iterator[Finding]:
    """Does a new hyperparameter compile again?"""
    if not isinstance(case.loss, Loss):
        shapes = len(set(case.traced))
        severity, fix = "ok", ""
        if len(case.traced) > shapes:
            severity, fix = "warning", "Look for arguments that are new objects at every call."
        cause = (
            f"Traced {len(case.traced)} times for {shapes} shapes and dtypes. A number that a "
            f"function closes over is compiled in; a field of a lossjax.Loss is an argument."
        )
        yield Finding("traces", severity, cause, fix)  # type: ignore[arg-type]
        return
    numbers = [
        f.name
        for f in dataclasses.fields(case.loss)
        if f.metadata.get("static") and isinstance(getattr(case.loss, f.name), _STATIC)
    ]
    if numbers:
        yield Finding(
            "traces",
            "warning",
            f"Static numbers: {', '.join(numbers)}; every new value compiles again and has no "
            f"gradient.",
            "Declare them as plain fields: `x: float = 1.0`.",
        )
        return
    count = 0

    def run(loss: Any, t: Any, p: Any) -> Any:
        nonlocal count
        count += 1
        return loss(t, p)

    run_jitted = jax.jit(run)
    for loss in (case.loss, jax.tree.map(lambda x: x * 1.01, case.loss)):
        _, error = attempt(functools.partial(run_jitted, loss), *case.few)
        if error:
            fix = "Write no Python if on a hyperparameter: jnp.where, or a static field."
            yield Finding("traces", "warning", f"Raises where it is an argument: {error}", fix)
            return
    severity, fix = ("ok", "") if count == 1 else ("warning", "Look for static or integer fields.")
    cause = f"Traced {count} time{'s' * (count > 1)} for two sets of hyperparameters."
    yield Finding("traces", severity, cause, fix)  # type: ignore[arg-type]


def _lines(case: Case, samples: int) -> int:
    """The length of the traced program; 0 where it cannot be traced for so many samples."""
    try:
        jaxpr = jax.make_jaxpr(case.values)(*rows(*case.few, slice(samples)))
    except Exception:  # whatever the loss of a user raises
        return 0
    return len(str(jaxpr).splitlines())


def memory(case: Case) -> Iterator[Finding]:
    """How much more than its inputs does the gradient need?"""
    t, p = case.y_true, case.y_pred
    if not t.ndim or len(t) != len(p) or not p.size:
        yield Finding("memory", "skipped", "y_true has no axis of samples to make longer.")
        return
    few = len(case.few[1])
    if 0 < _lines(case, few - 1) < _lines(case, few):
        cause = "The program grows with the number of samples: each is traced by itself."
        fix = "Write no Python loop over samples: jax.vmap, or operations on whole arrays."
        yield Finding("memory", "warning", cause, fix)
        return
    samples = max(len(p), _ENTRIES * len(p) // p.size)
    big = [jax.ShapeDtypeStruct((samples, *x.shape[1:]), x.dtype) for x in (t, p)]
    try:
        cost = devices.cost(jax.value_and_grad(case.scalar, argnums=1), *big)
    except Exception:  # a loss for one size alone; that it runs at all is asked elsewhere
        yield Finding("memory", "skipped", f"It does not compile for {samples} samples.")
        return
    ratio = cost.temp_bytes / (samples * p.size // len(p) * p.dtype.itemsize)
    cause = (
        f"Value and gradient of {samples} samples need {ratio:,.3g} times y_pred in temporary "
        f"arrays."
    )
    if ratio > 8:
        fix = "Look for pairs of samples or entries (N × N), and for steps kept for the gradient."
        yield Finding("memory", "note", cause, fix)
    else:
        yield Finding("memory", "ok", cause)
