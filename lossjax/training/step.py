"""One step of training: the gradient of a batch, in one piece or several, on one device or many."""

import functools
import operator
from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import optax
from jax import numpy as jnp
from jax.sharding import Mesh

from lossjax.core import check
from lossjax.core.types import Array
from lossjax.core.words import told
from lossjax.objective.objective import Objective, Result, Totals
from lossjax.training.batch import Batch, as_batch, checked, padded
from lossjax.training.data import automatic, placed, spread
from lossjax.training.metrics import Metrics, Score, logs_of
from lossjax.training.state import State, checked_state
from lossjax.training.truth import Truth, wraps_around

Logs: TypeAlias = dict[str, Any]
Scores: TypeAlias = dict[str, Score]


def as_objective(loss: Any) -> Objective:
    """A loss, or what names it, as an objective."""
    return loss if isinstance(loss, Objective) else Objective(loss)


@told
def make_step(
    objective: Any,
    *,
    metrics: Any = None,
    accumulate: int = 1,
    mesh: Mesh | None = None,
) -> Callable[[State, Any], tuple[State, Logs]]:
    """`step(state, batch)`, compiled: the state after a batch, and what there is to log of it.

    A batch is (x, y), (x, y, sample_weight) or a dict of "x", "y", "sample_weight", "mask". The
    logs are arrays: "loss" and the other terms by Keras's names, the metrics, and "shares".
    Labels are not looked at, as `fit` and `evaluate` do.

    With `accumulate` the batch is taken in so many parts, one after the other; with a `mesh` its
    rows are spread over the devices. Value and gradient are those of the whole batch, also with
    weights and masks. Rows that do not divide evenly are padded, without influence. ValueError
    for losses that couple the samples of a batch, which have no meaning for a part of it.

    The arrays of the state passed in are taken over: they cannot be used again.
    """
    objective, scored = as_objective(objective), Metrics(metrics)
    accumulate = check.whole("make_step", "accumulate", accumulate, 1)
    mesh = automatic(mesh)
    multiple = accumulate * (mesh.size if mesh else 1)

    def step(state: State, batch: Any) -> tuple[State, Logs]:
        checked_state("step", state)
        batch = checked("step", as_batch("step", batch))
        if wraps_around(batch.y):
            y_pred = jax.eval_shape(
                lambda: state.outputs(state.params, state.rest, batch.x, train=False)[0]
            )
            batch = Truth(objective, y_pred)("step", batch, look=False)
        if batch.size % multiple:
            batch = padded(batch, -(-batch.size // multiple) * multiple)
        batch = spread(batch, mesh)
        return _step(placed(state, mesh), batch, objective, scored, accumulate)

    return step


@functools.partial(jax.jit, donate_argnums=0, static_argnums=4)
def _step(
    state: State, batch: Batch, objective: Objective, metrics: Metrics, accumulate: int
) -> tuple[State, Logs]:
    state, result, scores = update(state, batch, objective, metrics, accumulate)
    values = {name: score.result() for name, score in scores.items()}
    return state, {**logs_of(result, values), "shares": result.shares}


def update(
    state: State, batch: Batch, objective: Objective, metrics: Metrics, accumulate: int
) -> tuple[State, Result, Scores]:
    """The state after one batch, what the loss was, and the metrics."""

    def forward(params: Any, rest: Any, batch: Batch, part: Any) -> Any:
        y_pred, auxiliary, rest = state.outputs(params, rest, batch.x, True, part)
        totals = objective.totals(*_compared(batch, y_pred), rows=batch.rows, auxiliary=auxiliary)
        return totals, (rest, score(objective, metrics, batch, y_pred))

    def value(params: Any, totals: Totals) -> tuple[Array, Result]:
        result = value_of(objective, state, params, totals)
        return result.loss, result

    def whole(params: Any) -> Any:
        totals, (rest, scores) = forward(params, state.rest, batch, 0)
        loss, result = value(params, totals)
        return loss, (result, rest, scores)

    if accumulate == 1:
        grads, (result, rest, scores) = jax.grad(whole, has_aux=True)(state.params)
    else:
        micro = jax.tree.map(lambda a: _parts(a, accumulate), batch)
        numbers = jnp.arange(accumulate)

        # Once through the parts for their totals, of which the loss of the whole is a function.
        # Where these derivatives depend on the weights of samples alone, XLA drops the model.
        def look(rest: Any, xs: Any) -> Any:
            totals, (rest, _) = forward(state.params, rest, xs[0], xs[1])
            return rest, totals

        unroll = _has_convolution(look, state.rest, (jax.tree.map(lambda a: a[0], micro), 0))
        _, stacked = jax.lax.scan(look, state.rest, (micro, numbers), unroll=unroll)
        # Totals may hold counts and flags, which have no derivative.
        of_both = jax.grad(value, argnums=(0, 1), has_aux=True, allow_int=True)
        by_params, by_totals = of_both(state.params, _sum(stacked, accumulate))[0]

        def take(carry: Any, xs: Any) -> Any:
            rest, grads = carry
            totals, pull, (rest, scores) = jax.vjp(
                lambda params: forward(params, rest, *xs), state.params, has_aux=True
            )
            grads = jax.tree.map(jnp.add, grads, pull(by_totals)[0])
            return (rest, grads), (totals, scores)

        carry = (state.rest, by_params)
        (rest, grads), (stacked, scores) = jax.lax.scan(
            take, carry, (micro, numbers), unroll=unroll
        )
        result = value(state.params, _sum(stacked, accumulate))[1]
        scores = {name: _sum(totals, accumulate) for name, totals in scores.items()}
    updates, opt_state = state.tx.update(grads, state.opt_state, state.params, value=result.loss)
    params = optax.apply_updates(state.params, updates)
    new = state.replace(step=state.step + 1, params=params, rest=rest, opt_state=opt_state)
    return new, result, scores


def value_of(objective: Objective, state: State, params: Any, totals: Totals) -> Result:
    """The loss of a batch with these totals; regularisers see the model's own parameters."""
    of_model, log_variances = state.split(params)
    return objective.value(totals, params=of_model, step=state.step, log_variances=log_variances)


def measure(
    state: State, batch: Batch, objective: Objective, metrics: Metrics
) -> tuple[Totals, Scores, Any]:
    """The terms, the metrics and the outputs of a batch, the model not being trained."""
    y_pred, auxiliary, _ = state.outputs(state.params, state.rest, batch.x, train=False)
    totals = objective.totals(*_compared(batch, y_pred), rows=batch.rows, auxiliary=auxiliary)
    return totals, score(objective, metrics, batch, y_pred), y_pred


def score(objective: Objective, metrics: Metrics, batch: Batch, y_pred: Any) -> Scores:
    """The metrics of a batch, which are not differentiated."""
    y_pred = jax.lax.stop_gradient(y_pred)
    return metrics.scores(objective, batch.y, y_pred, batch.mask, batch.rows)


def columns(result: Result, scores: Scores, batch: Batch) -> Logs:
    """What `means` adds up of a batch."""
    rows = batch.size if batch.rows is None else jnp.sum(batch.rows)
    found = logs_of(result, scores)
    for name, score in scores.items():
        found |= score.columns(name, rows)
    return found


def _compared(batch: Batch, y_pred: Any) -> tuple[Any, Any, Any, Any]:
    return batch.y, y_pred, batch.sample_weight, batch.mask


def _parts(a: Array, count: int) -> Array:
    """Every `count`-th row makes a part: so each device keeps the rows that it has."""
    return jnp.moveaxis(a.reshape(-1, count, *a.shape[1:]), 1, 0)


def _sum(stacked: Any, count: int) -> Any:
    return functools.reduce(
        operator.add, [jax.tree.map(lambda a, i=i: a[i], stacked) for i in range(count)]
    )


def _has_convolution(f: Callable[..., Any], *arguments: Any) -> bool:
    """XLA's CPU backend runs convolutions in a loop ten times slower than outside of one."""
    if jax.default_backend() != "cpu":
        return False
    return "conv_general_dilated" in str(jax.make_jaxpr(f)(*arguments))
