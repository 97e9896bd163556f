"""What a model is worth on data that it is not trained on, and what it predicts."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp
from jax.sharding import Mesh

from lossjax.core.words import told
from lossjax.objective import Objective
from lossjax.training.batch import Batch, is_array
from lossjax.training.data import Arrays, Stream, automatic, inputs, placed, source, spread
from lossjax.training.metrics import Metrics, logs_of
from lossjax.training.programs import program
from lossjax.training.state import State, checked_state
from lossjax.training.step import as_objective, columns, measure, value_of
from lossjax.training.truth import Truth


@told
def evaluate(
    state: State,
    objective: Any,
    data: Any,
    *,
    batch_size: int = 32,
    metrics: Any = None,
    mesh: Mesh | None = None,
) -> dict[str, float]:
    """The loss, its terms and the metrics of all data at once, whatever the size of a batch.

    Every reduction is that of one batch of all samples. Where a loss couples the samples of its
    batch (`Circle`), it is the mean over batches, weighed by their rows, as in Keras.
    """
    checked_state("evaluate", state)
    objective, scored, mesh = as_objective(objective), Metrics(metrics), automatic(mesh)
    state = placed(state, mesh)
    return Evaluation("evaluate", data, batch_size, state, objective, scored, mesh)(state)


@told
def predict(state: State, x: Any, *, batch_size: int = 32) -> Any:
    """The outputs of the model for the rows of `x`, in their order, as NumPy arrays.

    `x` is an array, or several in a tuple or dict; a dict as `fit` takes it; or an iterable of
    batches as `fit` takes it, such as a list or a `DataLoader`: what is not x in them is ignored.
    An array of several that has no row for each of `x`, like a kernel, is that of the first batch.
    """
    checked_state("predict", state)
    if isinstance(x, list) and x and not _takes(state, x[0]) and _takes(state, x):
        raise ValueError(
            "predict: a list holds batches, but this model takes all of the list at once. Pass "
            "several inputs as a tuple or as {'x': [...]}, batches as an iterator, iter([...])."
        )
    batches = inputs("predict", x, batch_size)
    batches.pad()
    found: list[Any] = []
    for batch, _ in batches.chunks(0, 0, 1):
        out, tree = jax.tree.flatten(_outputs(state, batch.x))
        if not found:
            has_rows = _have_rows(state, batch.x, out)
            once = jax.device_get([a for a, own in zip(out, has_rows, strict=True) if not own])
        out = jax.device_get([a for a, own in zip(out, has_rows, strict=True) if own])
        found.append(out if batch.rows is None else [a[np.asarray(batch.rows)] for a in out])
    whole, rest = map(np.concatenate, zip(*found, strict=True)), iter(once)
    return jax.tree.unflatten(tree, [next(whole if own else rest) for own in has_rows])


class Evaluation:
    """The loss and the metrics of a data set, for one state after the other."""

    def __init__(
        self,
        where: str,
        data: Any,
        size: int,
        state: State,
        objective: Objective,
        metrics: Metrics,
        mesh: Mesh | None,
    ) -> None:
        multiple = mesh.size if mesh else 1
        self.batches = source(where, data, size, multiple=multiple, shared=mesh is not None)
        self.objective, self.metrics, self.mesh = objective, metrics, mesh
        prepared(self.batches, state, objective, metrics)

    def __call__(self, state: State) -> dict[str, float]:
        # Two sums are added only if they hold equally many batches: so rounding stays small.
        sums: list[Any] = []
        for batch, _ in self.batches.chunks(0, 0, 1):
            found = _measure(state, spread(batch, self.mesh), self.objective, self.metrics)
            level = 0
            while level < len(sums) and sums[level] is not None:
                found, sums[level] = _add(sums[level], found), None
                level += 1
            sums[level : level + 1] = [found]
        totals, scores = functools.reduce(_add, [found for found in sums if found is not None])
        result = value_of(self.objective, state, state.params, totals)
        logs = logs_of(result, {name: score.result() for name, score in scores.items()})
        return {name: float(value) for name, value in jax.device_get(logs).items()}


def prepared(
    batches: Arrays | Stream, state: State, objective: Objective, metrics: Metrics
) -> list[str]:
    """The names of what `means` is to add up; short batches are padded from now on, if they may.

    The batches are from now on as the losses take them, and those with wrong labels raise.
    """
    look = program(_logs, objective, metrics)
    totals, scores, found, y_pred = jax.eval_shape(look, state, batches.first())
    batches.take(Truth(objective, y_pred))
    if totals.pads and all(score.pads for score in scores.values()):
        batches.pad()
    return sorted(found, key=lambda name: (name != "loss", name))


def _logs(objective: Objective, metrics: Metrics) -> Callable[[State, Batch], Any]:
    def logs(state: State, batch: Batch) -> Any:
        totals, scores, y_pred = measure(state, batch, objective, metrics)
        result = value_of(objective, state, state.params, totals)
        return totals, scores, columns(result, scores, batch), y_pred

    return logs


@jax.jit
def _measure(state: State, batch: Batch, objective: Objective, metrics: Metrics) -> Any:
    count = batch.size if batch.rows is None else jnp.sum(batch.rows)
    totals, scores, _ = measure(state, batch, objective, metrics)
    return totals.by_rows(count), {name: score.by_rows(count) for name, score in scores.items()}


@jax.jit
def _add(a: Any, b: Any) -> Any:
    return a[0] + b[0], {name: a[1][name] + b[1][name] for name in a[1]}


@jax.jit
def _outputs(state: State, x: Any) -> Any:
    return state.outputs(state.params, state.rest, x, train=False)[0]


def _takes(state: State, x: Any) -> bool:
    """Whether the model makes of an array, or of several in a list, one output for each row."""
    rows = {np.shape(a)[:1] if is_array(a) else () for a in jax.tree.leaves(x)}
    try:
        out = jax.eval_shape(_outputs, state, jax.tree.map(np.asarray, x))
    except Exception:  # whatever a model does with what it is not made for
        return False
    return {a.shape[:1] for a in jax.tree.leaves(out)} == rows


def _have_rows(state: State, x: Any, out: list[Any]) -> list[bool]:
    """Whether each of several outputs grows with the number of rows."""
    if len(out) == 1:
        return [True]

    def twice(a: Any) -> jax.ShapeDtypeStruct:
        dtype = jax.dtypes.canonicalize_dtype(a.dtype)
        return jax.ShapeDtypeStruct((2 * len(a), *a.shape[1:]), dtype)

    other = jax.tree.leaves(jax.eval_shape(_outputs, state, jax.tree.map(twice, x)))
    return [a.shape != b.shape for a, b in zip(out, other, strict=True)]
