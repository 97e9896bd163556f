"""The computation of a loss as a person would do it by hand, step by step."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from lossjax.core import reduce
from lossjax.core.combined import WeightedSum
from lossjax.core.config import resolved
from lossjax.core.domain import Domain
from lossjax.core.loss import Loss
from lossjax.core.types import Input, Reduction
from lossjax.inspect import _subject
from lossjax.inspect._table import Shown, Table, number

ROWS = 16  # more samples than that are summarised
ENTRIES = 6  # of a sample that are written out
LARGEST = 5  # samples shown of a large batch


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Explanation(Shown):
    """What `explain` found, as NumPy arrays; prints as tables.

    ==============  ===============================================================
    `y_true`        as the loss computes with it: cast and aligned
    `y_pred`        likewise
    `values`        per sample
    `weight`        as given, aligned with the values; None where there is none
    `mask`          likewise, the loss's own mask included
    `terms`         values times weight and mask
    `numerator`     their sum; None where nothing is summed
    `denominator`   what it is divided by; None where nothing is divided
    `result`        what a call of the loss returns
    `gradient`      of the (sum of the) result by `y_pred`; None for whole numbers
    ==============  ===============================================================
    """

    name: str
    formula: str
    reduction: Reduction
    given: str
    y_true: Any
    y_pred: Any
    values: np.ndarray
    weight: np.ndarray | None
    mask: np.ndarray | None
    terms: np.ndarray | None
    numerator: float | None
    denominator: float | None
    why: str
    result: np.ndarray
    gradient: Any

    def __repr__(self) -> str:
        return f"Explanation({self.name}: {_short(self.result)})"

    def tables(self) -> Iterator[Table]:
        """The samples, one a row, and the steps from them to the result."""
        if self.values.ndim:
            yield self._samples() if self.values.size <= ROWS else self._summary()
        yield Table(self.name, ("step", "what", "result"), self._steps())

    def _steps(self) -> list[tuple[str, str, str]]:
        steps = [
            ("inputs", self.given, f"y_true {_form(self.y_true)}, y_pred {_form(self.y_pred)}"),
            ("values", self.formula or "what the function returns", _form(self.values)),
        ]
        if self.weight is not None:
            steps.append(("weight", f"sum {number(self.weight.sum())}", _form(self.weight)))
        if self.mask is not None:
            kept = f"{self.mask.sum()} of {self.mask.size} count"
            steps.append(("mask", kept, _form(self.mask)))
        if self.numerator is not None:
            steps.append(("numerator", f"sum of {self._factors()}", number(self.numerator)))
        if self.denominator is not None:
            steps.append(("denominator", self.why, number(self.denominator)))
        why = self.why if self.denominator is None else "numerator / denominator"
        steps.append(("result", why, _short(self.result)))
        if self.gradient is not None:
            leaves = jax.tree.leaves(self.gradient)
            norm = np.sqrt(sum(float(np.sum(np.square(x, dtype=float))) for x in leaves))
            of = "by y_pred, of the result" + (" summed" if self.result.ndim else "")
            steps.append(("gradient", of, f"{_form(self.gradient)}, norm {number(norm)}"))
        return steps

    def _factors(self) -> str:
        parts = (("value", True), ("weight", self.weight is not None))
        factors = " × ".join(name for name, there in parts if there)
        return factors + (" where the mask is true" if self.mask is not None else "")

    def _columns(self) -> dict[str, Any]:
        """Per-sample columns that line up with the values."""
        shape = self.values.shape
        found = {
            "y_true": self.y_true,
            "y_pred": self.y_pred,
            "value": self.values,
            "weight": _spread(self.weight, shape),
            "counts": _spread(self.mask, shape),
            "term": self.terms if self.weight is not None or self.mask is not None else None,
            "gradient": self.gradient,
        }
        return {
            name + jax.tree_util.keystr(path): x
            for name, tree in found.items()
            for path, x in jax.tree_util.tree_leaves_with_path(tree)
            if x.shape[: len(shape)] == shape
        }

    def _samples(self) -> Table:
        columns = self._columns()
        rows = [
            (position(index), *(_short(x[index]) for x in columns.values()))
            for index in np.ndindex(self.values.shape)
        ]
        return Table("Samples", ("sample", *columns), rows)

    def _summary(self) -> Table:
        columns = {k: np.asarray(x, float) for k, x in self._columns().items()}
        rows = [
            (name, *(number(f(x)) for f in (np.min, np.mean, np.max)))
            for name, x in columns.items()
        ]
        terms = self.values if self.terms is None else self.terms
        if terms.shape != self.values.shape:
            return Table("Samples", ("", "least", "mean", "largest"), rows)
        size = np.abs(terms).ravel()
        order = np.argsort(-np.nan_to_num(size, nan=np.inf), kind="stable")[:LARGEST]
        where = ", ".join(
            f"{position(np.unravel_index(i, terms.shape))}: {number(terms.ravel()[i])}"
            for i in order
        )
        share = size[order].sum() / (size.sum() or 1)
        foot = f"Largest terms: {where}; together {share:.0%} of the sum of all sizes."
        return Table("Samples", ("", "least", "mean", "largest"), rows, (foot,))


def explain(
    loss: Any,
    y_true: Any = None,
    y_pred: Any = None,
    sample_weight: Input | None = None,
    mask: Input | None = None,
    *,
    domain: str | Domain | None = None,
) -> Explanation:
    """How the number comes about: inputs, values, weights, numerator, denominator, gradient.

    `loss` is a `Loss`, the name of one or a function (y_true, y_pred) -> values per sample, whose
    values are then reduced as those of a `Loss` with the default reduction. Arguments are those
    of a call of a `Loss`, whose shapes they have and whose errors it raises. Without data, some
    are generated for what the loss takes, or for `domain`: a `Domain`, or the name of one of
    `lossjax.testing.DOMAINS`.

    >>> from lossjax import inspect
    >>> found = inspect.explain("Huber", [[0.0], [0.0]], [[3.0], [1.0]], sample_weight=[1.0, 4.0])
    >>> found.values, found.terms
    (array([2.5, 0.5], dtype=float32), array([2.5, 2. ], dtype=float32))
    >>> found.numerator, found.denominator, float(found.result)
    (4.5, 2.0, 2.25)
    """
    found = resolved("explain", loss)
    y_true, y_pred, source = _subject.data("explain", found, y_true, y_pred, domain)
    loss = _subject.as_loss(found)
    t, p = loss._prepare(y_true, y_pred, sample_weight, mask)[:2]
    parts = _parts(loss, y_true, y_pred, sample_weight, mask)
    result = loss(y_true, y_pred, sample_weight, mask)
    arrays = {"y_true": t, "y_pred": p, "result": result}
    for name in ("values", "weight", "mask", "terms"):
        arrays[name] = getattr(parts, name)
    return Explanation(
        name=_subject.name_of(loss),
        formula=_subject.first_lines(found),
        reduction=loss.reduction,
        given=f"{source}: y_true {_form(y_true)}, y_pred {_form(y_pred)}",
        numerator=None if parts.numerator is None else float(parts.numerator),
        denominator=None if parts.denominator is None else float(parts.denominator),
        why=parts.why,
        gradient=_gradient(loss, y_true, p, y_pred, sample_weight, mask),
        **jax.tree.map(np.asarray, arrays),
    )


@dataclasses.dataclass(frozen=True)
class _Parts:
    values: Any
    weight: Any
    mask: Any
    terms: Any = None
    numerator: Any = None
    denominator: Any = None
    why: str = ""


def _parts(loss: Loss, t: Any, p: Any, weight: Any, mask: Any) -> _Parts:
    """The steps of `Loss.__call__`."""
    where = type(loss).__name__
    if isinstance(loss, WeightedSum):
        found = zip(loss.coefficients, loss.terms(t, p, weight, mask).items(), strict=True)
        why = " + ".join(f"{_short(c)} * {name} {_short(value)}" for c, (name, value) in found)
        return _Parts(loss.call(t, p), None, None, why=why)
    values, weight, mask = loss._evaluate(loss._prepare(t, p, weight, mask))
    if type(loss).__call__ is not Loss.__call__:
        return _Parts(values, weight, mask, why=f"{where} reduces in a way of its own")
    terms, aligned_weight, aligned_mask = reduce.weigh(where, values, weight, mask)
    parts = _Parts(values, aligned_weight, aligned_mask, terms)
    if loss.reduction in (None, "none") or terms.shape in ((), (0,)):
        one = "values" if loss.reduction in (None, "none") else "a single value, or none,"
        return dataclasses.replace(parts, why=f"{one} returned as they are, not reduced")
    total = reduce.total(where, values, weight, mask, loss.reduction)
    why = _why(loss.reduction, terms, aligned_weight, aligned_mask)
    return dataclasses.replace(parts, numerator=total.sum, denominator=total.weight, why=why)


def _why(reduction: Reduction, terms: Any, weight: Any, mask: Any) -> str:
    """What the denominator counts."""
    if reduction == "sum":
        return 'the numerator: reduction="sum" divides by nothing'
    if reduction == "mean_with_sample_weight" and weight is not None:
        return "the sum of the weights" + (" where the mask is true" if mask is not None else "")
    if mask is not None:
        return "the number of values where the mask is true"
    if weight is None:
        return "the number of values"
    mean = float(jnp.sum(terms)) / (float(jnp.sum(weight)) or 1)
    return (
        f"the number of values, not the sum of the weights, as in Keras; "
        f'reduction="mean_with_sample_weight" gives {number(mean)}'
    )


def _gradient(loss: Loss, y_true: Any, cast: Any, given: Any, weight: Any, mask: Any) -> Any:
    """By `y_pred` in the shape in which it came."""
    cast = jax.tree.map(lambda c, g: jnp.reshape(c, jnp.shape(g)), cast, _as_arrays(given))

    def scalar(p: Any) -> Any:
        return jnp.sum(loss(y_true, p, weight, mask))

    return jax.tree.map(np.asarray, jax.grad(scalar)(cast))


def _as_arrays(tree: Any) -> Any:
    return jax.tree.map(np.asarray, tree, is_leaf=lambda x: isinstance(x, list))


def _spread(x: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray | None:
    """Broadcast to `shape`, or None where it does not fit: a loss of the whole batch."""
    try:
        return None if x is None else np.broadcast_to(x, shape)
    except ValueError:
        return None


def _form(tree: Any) -> str:
    """Shapes and dtypes of the arrays in a pytree."""
    leaves = jax.tree.leaves(_as_arrays(tree))
    return " and ".join(f"{x.shape} {x.dtype}" for x in leaves)


def position(index: tuple[Any, ...]) -> str:
    """The index of a sample as text."""
    return ", ".join(str(int(i)) for i in index)


def _short(x: Any) -> str:
    """A number, or a few of an array."""
    x = np.asarray(x)
    if x.ndim == 0:
        return str(x) if x.dtype.kind in "biu" else number(x)
    flat = x.ravel()
    shown = " ".join(_short(v) for v in flat[:ENTRIES])
    return f"[{shown}{' ...' if flat.size > ENTRIES else ''}]"
