"""Whether samples keep to themselves: alone, in parts of a batch, masked, and none at all."""

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from lossjax._base import Loss
from lossjax.inspect._case import Case, attempt, differ, is_finite, raised
from lossjax.inspect._report import Finding


def neighbours(case: Case) -> Iterator[Finding]:
    """Does the value of a sample depend on another sample?"""
    name = "neighbours"
    t, p = case.few
    if not case.is_per_sample or len(p) < 2:
        return
    together, _ = attempt(case.values, t, p)
    alone, error = attempt(case.values, *case.rows(slice(1)))
    poisoned, _ = attempt(case.values, t, p.at[1].set(jnp.nan))
    is_alone = alone is not None and alone.shape[:1] == (1,)
    if error or not is_alone or differ(alone[0], together[0]):
        cause = "A sample has another loss alone than in a batch."
    elif poisoned is not None and is_finite(together[0]) and not is_finite(poisoned[0]):
        cause = "A NaN in one sample reaches the values of the others."
    else:
        yield Finding(name, "ok", "Each value depends on its own sample alone.")
        return
    yield Finding(
        name,
        "warning",
        cause,
        "If it is meant (batch statistics, pairs), do not accumulate or shard it, and mask inside; "
        "otherwise reduce only over the axes behind the first.",
    )


def empty(case: Case) -> Iterator[Finding]:
    """Is a batch without samples finite?"""
    found, error = attempt(case.values, *case.rows(slice(0)))
    if error:
        cause, fix = f"A batch without samples raises {error}", "Do not index or reduce axis 0."
    elif not is_finite(found):
        cause, fix = "A batch without samples is NaN: 0 / 0.", "Divide by max(count, 1)."
    else:
        yield Finding("empty batch", "ok", f"Values of shape {found.shape}.")
        return
    yield Finding("empty batch", "warning", cause, fix)


def accumulation(case: Case) -> Iterator[Finding]:
    """Is the loss of a batch that of its parts?"""
    name, samples = "accumulation", len(case.y_pred)
    if samples < 3:
        return
    cut = samples // 3
    parts = [case.rows(slice(cut)), case.rows(slice(cut, None))]
    if isinstance(case.loss, Loss):
        loss = case.loss
        if loss.reduction in (None, "none"):
            return
        try:
            whole = loss(case.y_true, case.y_pred)
            merged = sum(loss.total(*part) for part in parts).result()
        except Exception as error:  # refusing is an answer too
            yield Finding(name, "note", f"Totals are refused: {raised(error)}")
            return
    elif not case.seen.ndim:
        whole = case.seen
        merged = np.mean([np.asarray(case.values(*part)) for part in parts])
    else:
        whole = case.seen
        found = [attempt(case.values, *part) for part in parts]
        if any(error or x.shape[1:] != whole.shape[1:] for x, error in found):
            cause = f"Parts of {cut} and {samples - cut} samples raise, or have other axes."
            yield Finding(name, "warning", cause, "Leave axis 0 alone: it is that of the samples.")
            return
        merged = np.concatenate([x for x, _ in found])
    if differ(merged, whole):
        yield Finding(
            name,
            "warning",
            f"Parts of {cut} and {samples - cut} samples do not add up to the batch"
            + ("." if np.ndim(whole) else f": {float(merged):.6g}, not {float(whole):.6g}."),
            "Return values per sample, and add sums and weights up (Loss.total).",
        )
    else:
        yield Finding(name, "ok", "The parts of a batch add up to the whole.")


def masked(case: Case) -> Iterator[Finding]:
    """Does what a mask takes out have any influence?"""
    name = "mask"
    if not isinstance(case.loss, Loss) or not case.is_per_sample or len(case.few[1]) < 2:
        return
    t, p = case.few
    loss = case.loss
    seen, _ = attempt(case.values, t, p)
    mask = jnp.ones(seen.shape, bool).at[0].set(False)

    @jax.jit
    def both(q: Any) -> Any:
        return jax.value_and_grad(lambda q: jnp.sum(loss(t, q, mask=mask)))(q)

    masked_out, error = attempt(both, p)
    if error:
        cause = f"A mask of shape {mask.shape} raises {error}"
        yield Finding(name, "warning", cause, "Return values of shape (samples, ...).")
        return
    (clean, gradient), (dirty, slope) = masked_out, attempt(both, p.at[0].set(jnp.nan))[0]
    if differ(dirty, clean) or differ(slope[1:], gradient[1:]) or not is_finite(slope):
        yield Finding(
            name,
            "error",
            "What a masked sample holds changes the loss or its gradient.",
            "Compute each value from its own sample; statistics of the batch need the mask inside.",
        )
    else:
        yield Finding(name, "ok", "A masked sample has no influence, not even as NaN.")
