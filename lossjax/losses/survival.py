"""Losses of the time until an event, of which some samples were not seen to the end.

`y_true` is `losses.Survival(time, event)`, or a dict with these names: event is 1 where the event
came at that time, and 0 where the sample was seen until then and it did not come.
"""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from lossjax.core import check
from lossjax.core.domain.events import Survival
from lossjax.core.loss import Loss, static
from lossjax.core.types import AXIS_NAME_TYPES, Array, AxisName, Input
from lossjax.math import across
from lossjax.math.entropy import binary_cross_entropy

__all__ = ["CoxPH", "DiscreteHazard", "Survival", "cox_ph", "discrete_hazard"]

TIES = ("efron", "breslow")
CENSORED = ("survived", "dropped")


def cox_ph(
    y_true: Any,
    y_pred: Input,
    *,
    ties: str = "efron",
    where: Input | None = None,
    axis_name: AxisName = None,
) -> Array:
    """log Σ_j exp(η_j) - η_i where the event came, Σ over those seen as long as i; η = `y_pred`.

    Use: who goes first, where samples are seen for different times: η is the logarithm of the risk
    relative to the others'. Constants in η have no influence, and absolute times none: take
    `discrete_hazard` for probabilities.

    Of d events at one time, the l-th (l = 0 to d - 1) has Σ_j exp(η_j) less l / d of the sum over
    these d, with `ties="efron"`; with "breslow" it has it whole. Samples of another
    `y_true.stratum`, if that is given, are no rivals.
    Shapes: times, events and strata (B,), η (B, 1) or (B,). Values (B,), 0 where the event did not
    come; the class averages over the events. `where` (B,) tells which samples there are: it is the
    mask of the class; a weight is that of the value alone. O(B log B) time, O(B) memory.
    Inside `shard_map`, `axis_name` is the axis of the mesh, or a tuple of them, over which the
    batch is spread: rivals are the samples of all devices.
    Raises TypeError for another y_true, ValueError for other shapes and other `ties`.
    Source: Cox (1972), Journal of the Royal Statistical Society B 34(2); Efron (1977), JASA 72.

    >>> truth = Survival(time=[1.0, 2.0, 3.0], event=[1, 1, 0])
    >>> print(cox_ph(truth, [0.0, 0.0, 0.0]).round(4))
    [1.0986 0.6931 0.    ]
    """
    check.choice("cox_ph", "ties", ties, TIES)
    check.axis_name("cox_ph", axis_name)
    time, event, stratum = _one_each("cox_ph", y_true)
    eta = check.prediction("cox_ph", y_pred)
    eta = eta[..., 0] if eta.ndim == 2 and eta.shape[1] == 1 else eta
    shapes = [x.shape for x in (time, event, stratum, eta)]
    if eta.ndim != 1 or len(set(shapes)) != 1:
        raise ValueError(
            f"cox_ph: time, event and stratum must have shape (batch,), y_pred (batch, 1) or "
            f"(batch,), got {', '.join(map(str, shapes))}."
        )
    is_there = jnp.ones(len(eta), bool)
    if where is not None:
        is_there = check.entries("cox_ph", "where", where, eta.shape).astype(bool)
    every = across.gathered((time, event, eta, is_there, stratum), axis_name)
    values = _partial_likelihood(*every, is_efron=ties == "efron")
    return values[across.row_numbers(len(eta), axis_name)]


def _one_each(where: str, y_true: Any) -> Survival:
    """Arrays; without strata all are in one."""
    given = y_true._asdict() if isinstance(y_true, Survival) else y_true
    if isinstance(given, Mapping) and given.get("stratum") is None and "time" in given:
        given = {**given, "stratum": np.zeros(np.shape(given["time"]), np.int32)}
    found: Survival = check.parameters(where, "y_true", given, Survival)
    return found._replace(event=found.event.astype(bool))


def _partial_likelihood(
    time: Array, event: Array, eta: Array, is_there: Array, stratum: Array, *, is_efron: bool
) -> Array:
    """The value of each sample, in the order in which it came."""
    # Who is not there comes last, in a stratum of his own.
    order = jnp.lexsort((-time, stratum, ~is_there))
    time, event, eta, is_there, stratum = (x[order] for x in (time, event, eta, is_there, stratum))
    event &= is_there
    eta = jnp.where(is_there, eta, 0)
    new_stratum = _differs(stratum) | _differs(is_there)
    new_time = new_stratum | _differs(time)
    group = jnp.cumsum(new_time) - 1
    last = jax.ops.segment_max(jnp.arange(len(eta)), group, len(eta), indices_are_sorted=True)
    # Apart: their sum, rounded, would lose the digits of the logarithm.
    top, total = (x[last[group]] for x in _running_exp_sum(eta, new_stratum))
    values = jnp.where(event, (top - eta) + jnp.log(total), 0)
    if is_efron:
        share = jnp.where(event, jnp.exp(jnp.where(event, eta - top, 0)) / total, 0)
        values += jnp.where(event, jnp.log1p(-_counted_before(share, event, group)), 0)
    return jnp.zeros_like(values).at[order].set(values)


def _differs(x: Array) -> Array:
    """Whether each differs from the one before; the first does."""
    return jnp.concatenate([jnp.ones(min(1, len(x)), bool), x[1:] != x[:-1]])


def _running_exp_sum(x: Array, starts: Array) -> tuple[Array, Array]:
    """Of each and those before it, from the last start on: their largest m, and Σ exp(x - m).

    m has no derivative: m + log Σ exp(x - m) is the same for every m.
    """

    def joined(a: Any, b: Any) -> Any:
        (m, s, starts), (n, r, begins) = a, b
        top = jnp.where(begins, n, jnp.maximum(m, n))
        before = jnp.where(begins, 0, s * jnp.exp(jnp.where(begins, 0, m - top)))
        return top, before + r * jnp.exp(n - top), starts | begins

    m = lax.stop_gradient(x)
    top, total, _ = lax.associative_scan(joined, (m, jnp.exp(x - m), starts))
    return top, total


def _counted_before(share: Array, event: Array, group: Array) -> Array:
    """l / d times the share that the d events at one time have of those at risk."""
    count = functools.partial(
        jax.ops.segment_sum, segment_ids=group, num_segments=len(share), indices_are_sorted=True
    )
    tied, events = count(share)[group], count(event.astype(share.dtype))[group]
    before = jnp.cumsum(event) - event
    rank = before - jax.ops.segment_min(before, group, len(share), indices_are_sorted=True)[group]
    return jnp.where(event, rank / jnp.maximum(events, 1) * tied, 0)


class CoxPH(Loss):
    fn = cox_ph
    couples = "pairs"
    domain = "survival"
    ties: str = static(default="efron", types=(str,), kw_only=True)
    axis_name: AxisName = static(default=None, types=AXIS_NAME_TYPES, kw_only=True)

    def call(self, y_true: Any, y_pred: Array, where: Array | None = None) -> tuple[Array, Array]:
        values = cox_ph(y_true, y_pred, where=where, **self.hyperparameters())
        event = _one_each("cox_ph", y_true).event
        return values, event if where is None else event & where


def discrete_hazard(y_true: Any, y_pred: Input, *, censored: str = "survived") -> Array:
    """Σ_{k<t} -log σ(-z_k) - log σ(z_t) if the event came in interval t; z = `y_pred`.

    Use: probabilities that the event comes in each of K intervals of time, with samples that were
    not seen to the end. z_k is the logit of the hazard: that it comes in interval k, if not before.

    A sample without event has survived the intervals before t, and t itself where
    `censored="survived"`; with "dropped" that interval says nothing.
    Shapes: `time` holds interval numbers from 0 to K - 1, of shape (...) as `event`, logits
    (..., K); values (...), in nats. A number out of range has the loss 0 and the derivative 0.
    Raises TypeError for another y_true, ValueError for other shapes and another `censored`.
    Source: Gensheimer and Narasimhan (2019), arXiv:1805.00917, eq. 5; "survived" as Kvamme and
    Borgan (2021), arXiv:1910.06724, eq. 11.

    >>> truth = Survival(time=[1, 0], event=[1, 0])
    >>> print(discrete_hazard(truth, [[-1.0, 0.0], [0.0, 5.0]]).round(4))
    [1.0064 0.6931]
    """
    where = "discrete_hazard"
    check.choice(where, "censored", censored, CENSORED)
    time, event, _ = _one_each(where, y_true)
    z = check.prediction(where, y_pred)
    check.class_axis(where, z, -1)
    interval = check.aligned_labels(where, time, z, -1)
    if event.shape != interval.shape:
        raise ValueError(
            f"{where}: event must have the shape of time, {interval.shape}, got {event.shape}."
        )
    valid = check.exists(interval, z.shape[-1])
    number, event = jnp.arange(z.shape[-1]), event[..., None]
    here = interval[..., None] == number
    asked = valid[..., None] & (number <= interval[..., None])
    if censored == "dropped":
        asked &= ~here | event
    came = (here & event).astype(z.dtype)
    terms = binary_cross_entropy(came, 1 - came, jnp.where(asked, z, 0))
    return jnp.sum(jnp.where(asked, terms, 0), -1)


class DiscreteHazard(Loss):
    fn = discrete_hazard
    couples = "none"
    domain = "interval"
    censored: str = static(default="survived", types=(str,), kw_only=True)
