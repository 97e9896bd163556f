"""Several losses into one number: outputs, weights, terms from inside the model, regularisers."""

import dataclasses
import functools
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import numpy as jnp

from lossjax import losses
from lossjax.core import check
from lossjax.core.combined import WeightedTotals
from lossjax.core.loss import Loss, static
from lossjax.core.reduce import Total, leading
from lossjax.core.registry import class_of, snake_case
from lossjax.core.types import Array, Input
from lossjax.core.words import told
from lossjax.objective.outputs import (
    Compared,
    Leaf,
    Path,
    Weight,
    different_structures,
    everywhere,
    free,
    is_learned,
    is_named,
    is_nested,
    joined,
    joined_truth,
    keyed,
    matched,
    named,
    paths,
    weights_of,
)

__all__ = ["Objective", "Result", "Totals", "Whole", "add_loss"]


class Result(NamedTuple):
    """The number to minimise and what it is made of.

    `terms` holds every term before its weight; `shares` what each contributes, weight included,
    as a part of the sum of the sizes of all contributions. `logs` has Keras's names: "loss"
    alone if there is one loss, else "<output>_loss" for each too; and the terms that are no loss.
    No two have one name: the later is `name_1`.
    """

    loss: Array
    terms: dict[str, Array]
    shares: dict[str, Array]
    logs: dict[str, Array]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Whole:
    """The value of a term that only the whole batch has; `reason` says why.

    It `pads` if a masked row has no part in it.
    """

    value: Array
    reason: str = dataclasses.field(metadata={"static": True})
    pads: bool = dataclasses.field(default=False, metadata={"static": True})

    def __add__(self, other: Any) -> "Whole":
        raise ValueError(f"the parts of a batch cannot be added up for this loss. {self.reason}")

    def result(self) -> Array:
        """The value itself."""
        return self.value


class Term(NamedTuple):
    """What a total belongs to: its name, the key of its weight (None: as it is), its dtype."""

    name: str
    key: str | None = None
    dtype: str | None = None
    is_added: bool = True  # else it is logged alone


class Output(NamedTuple):
    """An output of a model: where it is, what logs call it, the first of its losses."""

    path: Path
    name: str
    loss: Loss | None


# Keys that a step and `fit` log beside the terms.
RESERVED = ("loss", "shares")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Totals:
    """Every term of an objective for a batch; the sum of those of its parts is that of the whole.

    Adding raises ValueError if a term has no meaning for a part of the batch.
    """

    parts: tuple[Any, ...]
    terms: tuple[Term, ...] = dataclasses.field(metadata={"static": True})

    def __add__(self, other: "Totals") -> "Totals":
        if not isinstance(other, Totals):
            return NotImplemented
        added = []
        for term, a, b in zip(self.terms, self.parts, other.parts, strict=True):
            try:
                added.append(a + b)
            except ValueError as error:
                raise ValueError(f"Objective: {term.name}: {error}") from error
        return Totals(tuple(added), self.terms)

    def __radd__(self, zero: int) -> "Totals":
        """So that the builtin `sum(totals)` works: it starts from 0."""
        return self if zero == 0 else NotImplemented

    @property
    def mergeable(self) -> bool:
        """Whether totals of parts of a batch can be added up."""
        return not any(isinstance(part, Whole) for part in self.parts)

    @property
    def pads(self) -> bool:
        """Whether rows of padding can be left without influence."""
        return all(part.pads for part in self.parts if isinstance(part, Whole))

    def by_rows(self, count: Array | int) -> "Totals":
        """The same with terms that only a whole batch has as means over batches of `count` rows."""

        def merged(part: Any) -> Any:
            if not isinstance(part, Whole):
                return part
            return Total(part.value * count, jnp.asarray(count, part.value.dtype))

        return Totals(tuple(map(merged, self.parts)), self.terms)


def split(tree: Any) -> tuple[list[Any], Any]:
    """The numbers among the leaves; and names, functions and the structure, which are no arrays."""
    flat, structure = jax.tree.flatten(tree)
    choices = tuple(x if isinstance(x, str) or callable(x) else None for x in flat)
    return [x for x, c in zip(flat, choices, strict=True) if c is None], (structure, choices)


def unsplit(aux: Any, numbers: Any) -> Any:
    """What `split` took apart."""
    (structure, choices), rest = aux, iter(numbers)
    return jax.tree.unflatten(structure, [next(rest) if c is None else c for c in choices])


class _Function(Loss):
    """A plain function of (y_true, y_pred) as a loss, as Keras's `compile` takes it."""

    function: Any = static(default=None)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        if isinstance(y_true, jax.Array) and isinstance(y_pred, jax.Array):
            y_true, y_pred = check.aligned(y_true, y_pred)
        return self.function(y_true, y_pred)


@jax.tree_util.register_pytree_node_class
class Objective:
    """The weighted sum of a model's losses, with the meaning of Keras's `compile(loss=...)`.

    `loss` is one loss for every output, or a dict, list or nest of losses that follows the
    outputs. Each is a `Loss`, a name that `lossjax.losses.get` knows, "crossentropy" (binary,
    sparse or categorical, as the shapes tell), a function of (y_true, y_pred), or None for an
    output without a loss. Several in a list for one output are summed.

    `weights` has the structure of `loss`; a dict may leave keys out, which then weigh 1. A weight
    is a number, a function of the step, or "learned": its loss L then enters as exp(-s) L + s/2,
    s being a parameter, the logarithm of a variance (Kendall et al. (2018), arXiv:1705.07115,
    eq. 10), which starts at 0 and which `training.init(..., objective=...)` trains too.

    `class_weight` maps class numbers of a single output to weights of its samples, or is a list
    or an array of them; a class that it leaves out weighs 1. `regularizers` are functions of the
    model's parameters, by name; their values are added as they are. `output_names` name outputs
    that come as a list; a named tuple has names and is addressed by them, like a dict. With
    `log_terms` the terms of losses that have some (`LinearCrossEntropy`: cross_entropy, z_loss,
    log_sum_exp, accuracy, entropy) are logged; they cost no second pass.

    What a loss takes of several arrays is one output: (hidden, kernel) of `LinearCrossEntropy`, or
    a y_pred, and a y_true, of the structure that the `domain` of a loss of yours draws.

    It is a pytree: numbers among the weights and the hyperparameters of the losses are leaves.

    >>> from lossjax import losses
    >>> objective = Objective({"a": "mse", "b": losses.Huber()}, weights={"a": 0.5})
    >>> y_true = {"a": [[1.0]], "b": [[3.0]]}
    >>> result = objective(y_true, {"a": [[3.0]], "b": [[3.5]]})
    >>> {name: float(value) for name, value in result.logs.items()}
    {'loss': 2.125, 'a_loss': 4.0, 'b_loss': 0.125}
    """

    @told
    def __init__(
        self,
        loss: Any,
        weights: Any = None,
        *,
        class_weight: Mapping[int, float] | Input | None = None,
        regularizers: Mapping[str, Callable[[Any], Any]] | None = None,
        output_names: list[str] | None = None,
        log_terms: bool = False,
    ) -> None:
        self.loss = loss
        self.weights: dict[str, Weight] = dict(weights_of(keyed(loss), weights))
        self.class_weight = _by_class(class_weight)
        self.regularizers = dict(regularizers or {})
        self.output_names = list(output_names or [])
        self.log_terms = bool(log_terms)

    def tree_flatten(self) -> tuple[list[Any], Any]:
        """Numbers, and everything else."""
        numbers, aux = split((self.loss, self.weights))
        dicts = (tuple(self.class_weight.items()), tuple(self.regularizers.items()))
        return numbers, (aux, dicts, tuple(self.output_names), self.log_terms)

    @classmethod
    def tree_unflatten(cls, aux: Any, numbers: Any) -> "Objective":
        """What `tree_flatten` took apart."""
        choices, (class_weight, regularizers), output_names, log_terms = aux
        objective = object.__new__(cls)
        objective.loss, objective.weights = unsplit(choices, numbers)
        objective.class_weight, objective.regularizers = dict(class_weight), dict(regularizers)
        objective.output_names, objective.log_terms = list(output_names), log_terms
        return objective

    def log_variances(self) -> dict[str, Array]:
        """The parameters of the learned weights at their start; empty if none is learned."""
        return {key: jnp.zeros(()) for key, weight in self.weights.items() if is_learned(weight)}

    def __call__(
        self,
        y_true: Any,
        y_pred: Any,
        sample_weight: Any = None,
        mask: Any = None,
        *,
        auxiliary: Mapping[str, Any] | None = None,
        params: Any = None,
        step: Input = 0,
        log_variances: Mapping[str, Any] | None = None,
    ) -> Result:
        """The loss of a batch, each term, and each term's share.

        `y_true` has the structure of `y_pred`; so have `sample_weight` and `mask`, or one array
        serves every output. `auxiliary` are terms made inside the model, added as they are;
        `params` is what regularisers see, `step` what schedules see.
        Raises KeyError, TypeError or ValueError where structures do not fit.
        """
        totals = self.totals(y_true, y_pred, sample_weight, mask, auxiliary=auxiliary)
        return self.value(totals, params=params, step=step, log_variances=log_variances)

    def totals(
        self,
        y_true: Any,
        y_pred: Any,
        sample_weight: Any = None,
        mask: Any = None,
        *,
        rows: Array | None = None,
        auxiliary: Mapping[str, Any] | None = None,
    ) -> Totals:
        """Every term as a total. A row of the batch that is false in `rows` has no influence."""
        inputs = self.inputs(y_true, y_pred, sample_weight, mask)
        found: dict[Term, Any] = {}
        taken = set(RESERVED)

        def add(name: str, total: Any, *how: Any) -> None:
            name = free(name, taken)
            taken.add(name)
            found[Term(name, *how)] = total

        for path, key, name, loss in self._losses(inputs):
            here = inputs.at(path)
            if self.class_weight:
                here = here._replace(sample_weight=self._class_weights(loss, here, inputs))
            total, terms = _total_and_terms(loss, here, rows, self.log_terms)
            add(name, total, key, loss.dtype)
            for term, total in terms.items():
                add(self.labelled(term, path, inputs), total, None, None, False)
        for name, value in (auxiliary or {}).items():
            add(name, _auxiliary_total(name, value, rows))
        return Totals(tuple(found.values()), tuple(found))

    def value(
        self,
        totals: Totals,
        *,
        params: Any = None,
        step: Input = 0,
        log_variances: Mapping[str, Any] | None = None,
    ) -> Result:
        """What the totals of a batch, or the sum of those of its parts, amount to."""
        terms: dict[str, Array] = {}
        parts: dict[str, Array] = {}
        logs: dict[str, Array] = {}
        for term, total in zip(totals.terms, totals.parts, strict=True):
            value = total.result()
            if term.dtype is not None:
                value = value.astype(term.dtype)
            logs[term.name] = value = check.wide(value)
            if term.is_added:
                terms[term.name] = value
                parts[term.name] = self._weighed(term.key, value, step, log_variances)
        for name, regularizer in self.regularizers.items():
            if params is None:
                raise ValueError(f"Objective: regularizer {name!r} needs `params`, got None.")
            name = free(name, {*RESERVED, *logs})
            logs[name] = terms[name] = parts[name] = check.wide(jnp.sum(regularizer(params)))
        loss = functools.reduce(jnp.add, parts.values(), jnp.zeros(()))
        size = functools.reduce(jnp.add, map(jnp.abs, parts.values()), jnp.zeros(()))
        shares = {name: part / jnp.where(size == 0, 1, size) for name, part in parts.items()}
        of_losses = [term.name for term in totals.terms if term.key is not None]
        hidden = of_losses if len(of_losses) == 1 else []
        logs = {"loss": loss} | {k: logs[k] for k in sorted(logs) if k not in hidden}
        return Result(loss, terms, shares, logs)

    def weighed(self, totals: Totals) -> Totals:
        """The terms times their weights of step 0, to be added up as they are."""

        def times(term: Term, part: Any) -> Any:
            if isinstance(part, Whole):
                return dataclasses.replace(part, value=self._weighed(term.key, part.value, 0, None))
            if isinstance(part, Total):
                return dataclasses.replace(part, sum=self._weighed(term.key, part.sum, 0, None))
            return WeightedTotals(
                {term.name: part}, (self._weighed(term.key, jnp.ones(()), 0, None),)
            )

        parts = tuple(map(times, totals.terms, totals.parts))
        return Totals(parts, tuple(term._replace(key=None) for term in totals.terms))

    def _weighed(self, key: str | None, value: Array, step: Input, log_variances: Any) -> Array:
        weight = 1.0 if key is None else self.weights[key]
        if is_learned(weight):
            if not log_variances or key not in log_variances:
                raise ValueError(
                    f"Objective: the weight of {key!r} is learned: pass its parameters as "
                    f"`log_variances`, or the objective to training.init(..., objective=...)."
                )
            return jnp.exp(-log_variances[key]) * value + log_variances[key] / 2
        # A schedule may return float64 where x64 is on; the loss keeps its dtype.
        return value * jnp.asarray(weight(step) if callable(weight) else weight, value.dtype)

    def _ordered(self, y_true: Any, y_pred: Any) -> Any:
        """`y_true` in the order of the outputs, where it is a dict for outputs in a list."""
        if isinstance(y_true, Mapping) and not isinstance(y_pred, Mapping) and self.output_names:
            if set(y_true) != set(self.output_names):
                raise different_structures(y_true, y_pred)
            y_true = [y_true[name] for name in self.output_names]
            return y_true if is_nested(y_pred) else y_true[0]
        if isinstance(y_pred, (list, tuple)) and is_nested(y_pred):
            if len(y_pred) == 1 and not is_nested(y_true):
                return [y_true]
            has_loss = self.loss if isinstance(self.loss, (list, tuple)) else y_pred
            given = [x is not None for x in has_loss]
            if isinstance(y_true, (list, tuple)) and len(y_true) == sum(given) < len(given):
                rest = iter(y_true)
                return [next(rest) if is_given else None for is_given in given]
        return y_true

    def inputs(self, y_true: Any, y_pred: Any, sample_weight: Any = None, mask: Any = None) -> Any:
        """The same in one structure, in which each output is an array, or what one loss takes."""
        tree = self._tree(y_pred)
        outputs = joined(tree, y_pred)
        y_true = joined_truth(tree, self._ordered(named(y_true, y_pred, tree), outputs))
        return Compared(y_true, outputs, named(sample_weight, y_pred), named(mask, y_pred))

    def compared(self, *trees: Any) -> Iterator[tuple[Loss, Compared]]:
        """Each loss with what belongs to its output, of the arguments of a call."""
        inputs = self.inputs(*trees)
        return ((loss, inputs.at(path)) for path, _, _, loss in self._losses(inputs))

    def outputs(self, inputs: Compared) -> list[Output]:
        """Every output, in the model's order."""
        first: dict[Path, Loss] = {}
        for path, _, _, loss in self._losses(inputs):
            first.setdefault(path, loss)
        return [Output(p, self._name(p), first.get(p)) for p in paths(inputs.y_pred, first)]

    def labelled(self, what: str, path: Path, inputs: Compared) -> str:
        """What logs call something of an output: after the output too, if there are several."""
        name = self._name(path) if len(self.outputs(inputs)) > 1 else ""
        return f"{name}_{what}" if name else what

    def _tree(self, y_pred: Any) -> Any:
        """The losses, in the order of the outputs where these come as a list and have names."""
        tree = keyed(self.loss)
        has_keys = isinstance(y_pred, Mapping) or is_named(y_pred)
        if not isinstance(tree, Mapping) or has_keys or not self.output_names:
            return tree
        if set(tree) != set(self.output_names):
            raise ValueError(
                f"Objective: Expected keys {self.output_names} in loss dict, but found "
                f"loss.keys()={list(tree)}."
            )
        tree = [tree[name] for name in self.output_names]
        return tree if is_nested(y_pred) else tree[0]

    def _name(self, path: Path) -> str:
        """What logs call an output; one that has only a place in a list shares the list's name."""
        last = path[-1] if path else None
        if not isinstance(last, int):
            return "/".join(map(str, path))
        if len(path) == 1 and self.output_names:
            return self.output_names[last]
        return "/".join(map(str, path[:-1]))

    def _losses(self, inputs: Compared) -> Iterator[tuple[Path, str, str, Loss]]:
        """The losses with the paths of their outputs, the keys of their weights, their logs."""
        tree, y_pred = self._tree(inputs.y_pred), inputs.y_pred
        found = matched(tree, y_pred) if not isinstance(tree, Leaf) else everywhere(tree, y_pred)
        for path, leaf in found:
            if leaf.identifier is None:
                continue
            here = inputs.at(path)
            loss = resolve(leaf.identifier, here.y_true, here.y_pred)
            name, has_place = self._name(path), isinstance(path[-1] if path else 0, int)
            if has_place and not (len(path) == 1 and self.output_names):
                name = "/".join(filter(None, (name, loss.name)))
            yield path, leaf.key, f"{name}_loss", loss

    def _class_weights(self, loss: Loss, here: Compared, inputs: Compared) -> Array:
        """The weight of each sample; of each token, if the loss takes labels of more axes."""
        if is_nested(inputs.y_pred):
            raise ValueError(
                "Objective: `class_weight` is only supported for models with a single output. "
                "Give `sample_weight` for each output."
            )
        if here.sample_weight is not None:
            raise ValueError(
                "Objective: `class_weight` and `sample_weight` cannot both be given. Multiply "
                "the weights of the samples by those of their classes."
            )
        check.single_truth(loss, here.y_true)
        t, shape = jnp.asarray(here.y_true), jnp.shape(jax.tree.leaves(here.y_pred)[0])
        number = jnp.round(check.class_column(loss, t, shape)).astype(jnp.int32)
        classes = jnp.array(list(self.class_weight), jnp.int32)
        of_class = jnp.array(list(self.class_weight.values()), jnp.float32)
        is_class = number[..., None] == classes
        return jnp.where(is_class.any(-1), jnp.sum(is_class * of_class, -1), 1)


def add_loss(module: Any, name: str, value: Any) -> None:
    """Add a term to the objective from inside a flax nnx module: call it in `__call__`.

    `value` is summed if it is an array, as in Keras, and enters unweighted. One value per sample
    (B, ...) or a `lossjax.Total` stays exact when the batch is accumulated in parts or padded; a
    scalar belongs to the whole batch. Terms of equal names add up; each is logged as `name`.
    Flax linen: `self.sow("losses", name, value)`.
    """
    attribute = f"auxiliary_{name}"
    variable = auxiliary_variable()
    old = getattr(module, attribute, None)
    setattr(module, attribute, variable((*old.get_value(), value) if old else (value,)))


@functools.cache
def auxiliary_variable() -> Any:
    """The kind of nnx variable that `add_loss` leaves in a module."""
    from flax import nnx

    class AuxiliaryLoss(nnx.Variable):  # type: ignore[misc, unused-ignore]
        """Terms of the objective that a call of the module made."""

    return AuxiliaryLoss


def resolve(identifier: Any, y_true: Any, y_pred: Any) -> Loss:
    """The loss that Keras's `compile` makes of an identifier, its name included."""
    name = identifier if isinstance(identifier, str) else None
    if name and name.lower() in ("crossentropy", "ce"):
        identifier = crossentropy(jnp.shape(y_true), jnp.shape(y_pred))
    found = losses.get(identifier)
    if isinstance(found, Loss):
        return found
    name = name or snake_case(re.sub(r"\W", "", getattr(found, "__name__", type(found).__name__)))
    cls = class_of(found)
    return _Function(function=found, name=name) if cls is None else cls(name=name)


def crossentropy(y_true: tuple[int, ...], y_pred: tuple[int, ...]) -> str:
    if y_pred[-1:] == (1,) or len(y_pred) < 2:
        return "binary_crossentropy"
    is_sparse = len(y_true) < len(y_pred) or (y_true[-1] == 1 and y_pred[-1] > 1)
    return "sparse_categorical_crossentropy" if is_sparse else "categorical_crossentropy"


def loss_total(loss: Loss, inputs: Compared, rows: Array | None) -> Any:
    """The total of a loss, or its value where it is no sum over samples."""
    pads = loss._declared.couples == "pairs"  # such a loss is told who counts
    try:
        return loss.total(*counted(loss, inputs, rows))
    except ValueError as error:
        # A mistake in the inputs is raised here again.
        value = loss(*(counted(loss, inputs, rows) if pads else inputs))
        if value.ndim:
            raise
        if rows is not None and not pads:
            raise ValueError(f"Objective: the batch cannot be padded. {error}") from error
        return Whole(value, str(error), pads)


def counted(loss: Loss, inputs: Compared, rows: Array | None) -> Any:
    """The arguments of a loss, the rows of padding masked."""
    return inputs if rows is None else loss.without(rows, *inputs)


def _total_and_terms(
    loss: Loss, inputs: Compared, rows: Array | None, wanted: bool
) -> tuple[Any, dict[str, Total]]:
    if wanted and isinstance(loss, losses.WeightedSum):
        total = loss_total(loss, inputs, rows)
        return total, {} if isinstance(total, Whole) else jax.lax.stop_gradient(total.parts)
    if not wanted or not isinstance(loss, losses.LinearCrossEntropy):
        return loss_total(loss, inputs, rows), {}
    total, terms = loss.total_and_terms(*counted(loss, inputs, rows))
    return total, jax.lax.stop_gradient(terms)


def _by_class(class_weight: Any) -> dict[int, float]:
    """Weights by class number: those of a list or an array are in the order of the classes."""
    if class_weight is None:
        return {}
    try:
        if isinstance(class_weight, Mapping):
            return {int(k): float(v) for k, v in class_weight.items()}
        return {k: float(v) for k, v in enumerate(np.asarray(class_weight))}
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"Objective: `class_weight` must map class numbers to weights, {{0: 1.0, 1: 9.0}}, or "
            f"list one weight for each class, got {str(class_weight)[:80]}."
        ) from error


def _auxiliary_total(name: str, value: Any, rows: Array | None) -> Any:
    """A term made inside the model: the sum over its samples, as Keras adds it."""
    if isinstance(value, tuple):  # of several calls, or several modules
        totals = [_auxiliary_total(name, v, rows) for v in value]
        whole = [total for total in totals if isinstance(total, Whole)]
        if not whole:
            return functools.reduce(operator.add, totals)
        return Whole(functools.reduce(jnp.add, [t.result() for t in totals]), whole[0].reason)
    if isinstance(value, Total):
        return value
    value = check.wide(check.array("add_loss", name, value))
    if value.ndim == 0:
        reason = f"add_loss: {name}: give one value per sample, or a Total, in place of a scalar."
        if rows is not None:
            raise ValueError(f"Objective: the batch cannot be padded. {reason}")
        return Whole(value, reason)
    if rows is not None:
        value = jnp.where(leading(rows, value.ndim), value, 0)
    return Total(jnp.sum(value), None)
