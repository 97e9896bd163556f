"""What is measured beside the loss, by name, of one output or of all."""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any

import jax
from jax import numpy as jnp

from lossjax import losses
from lossjax.core import check
from lossjax.core.loss import Loss, static
from lossjax.core.reduce import Total
from lossjax.core.registry import registry
from lossjax.core.texts import nearest
from lossjax.core.types import Array
from lossjax.objective.objective import (
    Objective,
    Output,
    Result,
    Term,
    Totals,
    counted,
    crossentropy,
    loss_total,
    resolve,
    split,
    unsplit,
)
from lossjax.objective.outputs import Compared, clash, free
from lossjax.training.means import EXP_WEIGHT, WEIGHT

_KINDS = {
    "binary": losses.BinaryCrossentropy,
    "categorical": losses.CategoricalCrossentropy,
    "sparse": losses.SparseCategoricalCrossentropy,
}
_EXPLICIT = {
    "binary_accuracy": "binary",
    "categorical_accuracy": "categorical",
    "sparse_categorical_accuracy": "sparse",
    "top_k_categorical_accuracy": "categorical",
    "sparse_top_k_categorical_accuracy": "sparse",
}
_STANDARD = ("accuracy", "acc", "top_5_accuracy", "perplexity", *_EXPLICIT)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Score:
    """A metric of some samples; those of the parts of a batch add up. `is_log`: exp is to come."""

    totals: Totals
    is_log: bool = dataclasses.field(default=False, metadata={"static": True})

    def __add__(self, other: "Score") -> "Score":
        return Score(self.totals + other.totals, self.is_log)

    @property
    def pads(self) -> bool:
        """As `Totals.pads`."""
        return self.totals.pads

    def by_rows(self, count: Array | int) -> "Score":
        """As `Totals.by_rows`."""
        return Score(self.totals.by_rows(count), self.is_log)

    def result(self) -> Array:
        """The value of the metric."""
        value = Objective(None).value(self.totals).loss
        return jnp.exp(value) if self.is_log else value

    def columns(self, name: str, rows: Array | int) -> dict[str, Array]:
        """What `means` divides to have the metric of all samples: for each of so many rows."""
        total = self.totals.parts[0] if len(self.totals.parts) == 1 else None
        if not isinstance(total, Total) or total.weight is None:
            return {name: self.result()}
        count = jnp.asarray(rows, total.sum.dtype)
        suffix = EXP_WEIGHT if self.is_log else WEIGHT
        return {name: total.sum / count, f"{name}{suffix}": total.weight / count}


@jax.tree_util.register_pytree_node_class
class Metrics:
    """Metrics as users give them, as in Keras: one, a list, or a dict.

    A metric is "accuracy" ("acc"), "top_5_accuracy" (or any number), "perplexity", a function of
    (y_true, y_pred) with one value a sample, or what a loss may be. Masks and `ignore_class` count,
    weights of samples do not. One alone is of every output that has a loss; several outputs have a
    list with one entry for each, or a dict. In a dict a key that names an output is followed by its
    metric or a list of them, logged as "mae", or as "<output>_mae" if there are several outputs;
    any other key is the name of a log, and its metric, such as an `Objective`, is of all outputs.

    What an accuracy compares follows from the loss of the output: an edge at 0.5, or at 0 if the
    loss takes logits (0.5 in Keras whatever they are) or signs; the largest of the classes; or,
    where the loss does not tell, as in Keras, the shapes. `LinearCrossEntropy` has accuracy and
    perplexity for one more sweep a batch, the logits not being made.

    It is a pytree of the numbers among the metrics.
    """

    def __init__(self, asked: Any = None) -> None:
        self.asked = asked
        for metric in jax.tree.leaves(asked, is_leaf=_is_metric):
            if not (_is_metric(metric) or callable(metric)):
                raise ValueError(
                    f"metrics: a metric is a loss, {', '.join(_STANDARD[:4])} or a function of "
                    f"(y_true, y_pred) with one value a sample, got {str(metric)[:60]!r}."
                    f"{nearest(str(metric)[:60], [*_STANDARD, *registry])}"
                )

    def tree_flatten(self) -> tuple[list[Any], Any]:
        """Numbers, and everything else."""
        return split(self.asked)

    @classmethod
    def tree_unflatten(cls, aux: Any, numbers: Any) -> "Metrics":
        """What `tree_flatten` took apart."""
        metrics = object.__new__(cls)
        metrics.asked = unsplit(aux, numbers)
        return metrics

    def scores(
        self, objective: Objective, y_true: Any, y_pred: Any, mask: Any, rows: Array | None
    ) -> dict[str, Score]:
        """Every metric by the name of its log, not weighed by the weights of samples, as in Keras.

        `objective` says which outputs there are, and what an accuracy is for each.
        """
        inputs = objective.inputs(y_true, y_pred, None, mask)
        found: dict[str, Score] = {}
        vocabulary: dict[Any, Any] = {}
        for name, output, metric in self._named(objective, inputs):
            if output is None:
                found[free(name, found)] = _of_all(metric, inputs, rows)
                continue
            here = inputs.at(output.path)
            if _is_standard(metric) and isinstance(output.loss, losses.LinearCrossEntropy):
                if output.path not in vocabulary:  # one sweep for all of its metrics
                    vocabulary[output.path] = _terms(output.loss, here, rows)
                dtype, total = output.loss.dtype, _of_terms(metric, vocabulary[output.path])
            else:
                loss = _loss(metric, output.loss, here)
                dtype, total = loss.dtype, loss_total(loss, here, rows)
            totals = Totals((total,), (Term(name, None, dtype),))
            found[free(name, found)] = Score(totals, metric == "perplexity")
        return found

    def _named(
        self, objective: Objective, inputs: Compared
    ) -> Iterator[tuple[str, Output | None, Any]]:
        """Each metric with the name of its log and its output, None where it takes all."""
        outputs, asked = objective.outputs(inputs), self.asked
        if not isinstance(asked, Mapping) or _is_config(asked):
            if not isinstance(asked, (list, tuple)):  # an output without a loss may have no truth
                outputs = [o for o in outputs if o.loss is not None] or outputs
            yield from _each(asked, outputs, objective, inputs)
            return
        for key, metric in sorted(asked.items()):  # the order that a jitted function is given
            own = [o for o in outputs if o.name == key or o.name.startswith(f"{key}/")]
            if own:
                yield from _each([metric] * len(own) if own[1:] else metric, own, objective, inputs)
            elif isinstance(metric, (list, tuple)):
                names = [o.name for o in outputs if o.name]
                raise ValueError(
                    f"metrics: a list of metrics belongs to an output, and {str(key)[:60]!r} is "
                    f"none of {names}.{nearest(str(key)[:60], names)}"
                )
            else:
                is_of_one = not outputs[1:] and not isinstance(metric, (Objective, Mapping))
                yield key, outputs[0] if is_of_one else None, metric


def _each(
    asked: Any, outputs: list[Output], objective: Objective, inputs: Compared
) -> Iterator[tuple[str, Output, Any]]:
    """As Keras: for several outputs a list has one entry for each, itself a metric or a list."""
    if not isinstance(asked, (list, tuple)):
        asked = [asked] * len(outputs)
    elif not outputs[1:]:
        asked = [asked]
    elif len(asked) != len(outputs):
        raise ValueError(
            f"metrics: a list needs an entry for each output, itself a metric, a list of some or "
            f"None, got {len(asked)} for {len(outputs)} outputs. A dict is by the outputs' names."
        )
    for output, metrics in zip(outputs, asked, strict=True):
        for metric in metrics if isinstance(metrics, (list, tuple)) else [metrics]:
            if isinstance(metric, Objective):
                raise ValueError("metrics: an Objective needs a name, {'name': Objective(...)}.")
            if metric is not None:
                here = inputs.at(output.path)
                name = metric if _is_standard(metric) else resolve(metric, *here[:2]).name
                yield objective.labelled(name, output.path, inputs), output, metric


def _of_all(metric: Any, inputs: Compared, rows: Array | None) -> Score:
    """A metric of all outputs: a loss for each, weighed as an objective weighs them."""
    if _is_standard(metric):
        raise ValueError(
            f"metrics: {metric!r} is of one output: name it, metrics={{'output': {metric!r}}}."
        )
    metric = metric if isinstance(metric, Objective) else Objective(metric)
    if metric.regularizers:
        raise ValueError("metrics: regularizers belong to the objective that is trained.")
    totals = metric.totals(inputs.y_true, inputs.y_pred, None, inputs.mask, rows=rows)
    return Score(metric.weighed(totals))


def logs_of(result: Result, scores: Mapping[str, Any]) -> dict[str, Any]:
    """The logs of the loss, and the metrics. ValueError for a name that both have."""
    for name in scores:
        taken = clash(name, ["shares", *result.logs, *result.terms])
        if taken is not None:
            raise ValueError(
                f"metrics: the name {name!r} is taken: {taken!r} is a log of the loss, and "
                f"'val_{taken}' what validation makes of it. Choose another, {{'name': metric}}."
            )
    return {**result.logs, **scores}


def _is_config(metric: Any) -> bool:
    return isinstance(metric, Mapping) and "class_name" in metric


def _is_metric(metric: Any) -> bool:
    if isinstance(metric, str):
        known = metric in registry or metric.lower() in ("crossentropy", "ce")
        return known or _is_standard(metric)
    return _is_config(metric) or isinstance(metric, (Loss, Objective))


def _is_standard(metric: Any) -> bool:
    return isinstance(metric, str) and (metric in _STANDARD or _best_of(metric) is not None)


def _best_of(name: str) -> int | None:
    """The k of "top_k_accuracy"."""
    if "top_k_" in name:
        return 5
    found = re.fullmatch(r"top_([1-9]\d{0,8})(_accuracy)?", name)
    return int(found[1]) if found else None


def _loss(metric: Any, of_output: Loss | None, here: Compared) -> Loss:
    """What is to be reduced for a metric of an output that has this loss."""
    if not _is_standard(metric):
        return resolve(metric, here.y_true, here.y_pred)
    domain = (of_output or Loss)._declared.domain
    if domain.accuracy is None or domain.is_nested:
        raise ValueError(
            f"metrics: {metric!r} means nothing for an output of {type(of_output).__name__}."
        )
    kind = _EXPLICIT.get(metric) or domain.accuracy
    kind = kind or crossentropy(jnp.shape(here.y_true), jnp.shape(here.y_pred)).split("_")[0]
    axis = getattr(of_output, "axis", -1)
    how: dict[str, Any] = {"axis": axis if isinstance(axis, int) else -1}
    if kind == "sparse":
        how["ignore_class"] = getattr(of_output, "ignore_class", None)
    from_logits = getattr(of_output, "from_logits", False)
    if metric == "perplexity":
        return _KINDS[kind](from_logits=from_logits, **how)
    how |= {"edge": 0.0 if from_logits else domain.middle, "truth": domain.middle}
    return _Accuracy(kind=kind, best=_best_of(metric), **how)


class _Accuracy(Loss):
    """Whether a prediction is right: beyond the edge as the truth is, or the class of the truth.

    With `best` the class of the truth is among so many with the largest predictions.
    """

    couples = "none"
    kind: str = static(default="binary")
    best: int | None = static(default=None)
    edge: float = static(default=0.5)
    truth: float = static(default=0.5)
    axis: int = static(default=-1)
    ignore_class: Any = static(default=None)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        if self.kind == "binary":
            t, p = check.pair("accuracy", y_true, y_pred, align=True)
            right = ((p > self.edge) == (t > self.truth)).astype(p.dtype)
            return jnp.mean(right, self.axis) if right.ndim > 1 else right
        p = check.prediction("accuracy", y_pred)
        check.class_axis("accuracy", p, self.axis)
        if self.kind == "sparse":
            labels = check.aligned_labels("accuracy", y_true, p, self.axis)
        else:
            labels = jnp.argmax(check.same_shape("accuracy", y_true, p)[0], self.axis)
        right = self._is_best(labels, p).astype(p.dtype)
        if self.kind != "sparse" or self.ignore_class is None:
            return right
        return right, ~check.is_among(labels, self.ignore_class)

    def _is_best(self, labels: Array, p: Array) -> Array:
        if self.best is None:
            return jnp.argmax(p, self.axis) == labels
        exists = check.exists(labels, p.shape[self.axis])
        place = jnp.expand_dims(jnp.where(exists, labels, 0), self.axis)
        of_truth = jnp.take_along_axis(p, place, self.axis)
        # Not p > of_truth: a NaN would be among the best.
        return exists & (jnp.sum(~(p <= of_truth), self.axis) < self.best)


def _terms(loss: losses.LinearCrossEntropy, here: Compared, rows: Array | None) -> Any:
    """The totals of the terms, each token counting once; the logits are not made for it."""
    loss = dataclasses.replace(loss, class_weight=1.0, label_smoothing=0.0)
    return loss.total_and_terms(*counted(loss, here, rows))[1]


def _of_terms(metric: str, terms: Mapping[str, Any]) -> Any:
    if metric not in ("accuracy", "acc", "perplexity"):
        raise ValueError(
            f"metrics: of LinearCrossEntropy there are accuracy and perplexity, got {metric!r}: "
            f"others would need the logits. Objective(loss, log_terms=True) logs its terms."
        )
    return terms["cross_entropy" if metric == "perplexity" else "accuracy"]
