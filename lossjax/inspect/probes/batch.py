"""Whether samples keep to themselves: alone, in parts of a batch, masked, and none at all."""

import functools
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from lossjax.core.loss import Loss
from lossjax.inspect._case import Case, attempt, changed, differ, is_finite, rows
from lossjax.inspect._report import Finding
from lossjax.inspect._subject import as_loss


def neighbours(case: Case) -> Iterator[Finding]:
    """Does the value of a sample depend on another sample?"""
    name = "neighbours"
    if not case.is_per_sample:
        yield Finding(name, "skipped", "There are no values per sample.")
    elif case.depends:
        yield Finding(
            name,
            "warning",
            case.depends,
            "If it is meant (batch statistics, pairs), do not accumulate or shard it, and mask "
            "inside; otherwise reduce only over the axes behind the first.",
        )
    else:
        yield Finding(name, "ok", "Each value depends on its own sample alone.")


def empty(case: Case) -> Iterator[Finding]:
    """Is a batch without samples finite?"""
    found, error = attempt(case.run, *case.rows(slice(0)))
    if error:
        cause, fix = f"A batch without samples raises {error}", "Do not index or reduce axis 0."
    elif not is_finite(found):
        cause, fix = "A batch without samples is NaN: 0 / 0.", "Divide by max(count, 1)."
    else:
        yield Finding("empty batch", "ok", f"Values of shape {found.shape}.")
        return
    yield Finding("empty batch", "note", cause, fix)


def accumulation(case: Case) -> Iterator[Finding]:
    """Is the loss of a batch that of its parts?"""
    name = "accumulation"
    t, p = case.few
    sizes = 1, len(p) - 1
    if sizes[1] == 1:
        yield Finding(name, "skipped", "2 samples do not have unequal parts.")
        return
    parts = [case.rows(slice(1)), case.rows(slice(1, len(p)))]
    if isinstance(case.loss, Loss) and case.loss.reduction not in (None, "none"):
        pair, error = attempt(jax.jit(functools.partial(_both, case.loss)), t, p)
        if error:  # refusing is an answer too
            yield Finding(name, "note", f"Totals are refused: {error}")
            return
        whole, merged = pair
    else:
        whole, _ = attempt(case.run, t, p)
        found = [attempt(case.run, *part) for part in parts]
        if any(error or x.shape[1:] != whole.shape[1:] for x, error in found):
            cause = f"Parts of {sizes[0]} and {sizes[1]} samples raise, or have other axes."
            yield Finding(name, "warning", cause, "Leave axis 0 alone: it is that of the samples.")
            return
        arrays = [x for x, _ in found]
        merged = np.concatenate(arrays) if whole.ndim else np.mean(arrays)
    if differ(merged, whole):
        yield Finding(
            name,
            "warning",
            f"Parts of {sizes[0]} and {sizes[1]} samples do not add up to the batch"
            + ("." if np.ndim(whole) else f": {float(merged):.6g}, not {float(whole):.6g}."),
            "Return values per sample, and add sums and weights up (Loss.total).",
        )
    else:
        yield Finding(name, "ok", "The parts of a batch add up to the whole.")


def _both(loss: Loss, t: Any, p: Any) -> tuple[Any, Any]:
    """The loss of a batch, and that of its parts added up."""
    first, rest = (loss.total(*rows(t, p, part)) for part in (slice(1), slice(1, None)))
    return loss(t, p), (first + rest).result()


def masked(case: Case) -> Iterator[Finding]:
    """Does what a mask takes out have any influence?"""
    name = "mask"
    if not case.is_per_sample:
        yield Finding(name, "skipped", "There are no values per sample to mask.")
        return
    t, p = case.few
    is_loss = isinstance(case.loss, Loss)
    loss = case.loss if is_loss else as_loss(case.values)
    seen, _ = attempt(case.run, t, p)
    mask = changed(np.ones(seen.shape, bool), 0, False)

    @jax.jit
    def both(q: Any) -> Any:
        return jax.value_and_grad(lambda q: jnp.sum(loss(t, q, mask=mask)))(q)

    found, error = attempt(both, p)
    if error:
        cause = f"A mask of shape {mask.shape} raises {error}"
        yield Finding(name, "warning", cause, "Return values of shape (samples, ...).")
        return
    (clean, gradient), (dirty, slope) = found, attempt(both, changed(p, 0, np.nan))[0]
    if differ(dirty, clean) or differ(slope[1:], gradient[1:]) or not is_finite(slope[0]):
        yield Finding(
            name,
            "warning",
            "What a masked sample holds changes the loss or its gradient.",
            "Compute each value from its own sample; statistics of the batch need the mask inside.",
        )
    else:
        as_a_loss = "" if is_loss else " when the function is used as a Loss"
        cause = f"A masked sample has no influence{as_a_loss}, not even as NaN."
        yield Finding(name, "ok", cause)
