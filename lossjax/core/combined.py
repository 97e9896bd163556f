"""`Dice() + 0.5 * BinaryFocalCrossentropy()`: several losses as one, and of which inputs they are.

They are losses that call losses: weights, masks, padding and totals are those of the terms.
"""

import dataclasses
import numbers
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from lossjax.core import check
from lossjax.core.config import serialize
from lossjax.core.loss import Loss, static
from lossjax.core.registry import Declared
from lossjax.core.texts import nearest, shown
from lossjax.core.types import Array, Input

OWN = "own"
_ORDER = (None, "pairs", "sums", "none")


class _Masks(tuple[Any, ...]):
    """A mask for each term: they lie along the values of one, inside the samples of another."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class WeightedTotals:
    """The `Total` of a `WeightedSum`: those of its terms, weighed when they are complete."""

    parts: dict[str, Any]
    coefficients: tuple[Any, ...]

    def __add__(self, other: "WeightedTotals") -> "WeightedTotals":
        if not isinstance(other, WeightedTotals):
            return NotImplemented
        parts = {name: part + other.parts[name] for name, part in self.parts.items()}
        return WeightedTotals(parts, self.coefficients)

    def __radd__(self, zero: int) -> "WeightedTotals":
        """So that the builtin `sum(totals)` works: it starts from 0."""
        return self if zero == 0 else NotImplemented

    def zero(self) -> "WeightedTotals":
        """The total of nothing, as `Total.zero`."""
        parts = {name: part.zero() for name, part in self.parts.items()}
        return WeightedTotals(parts, self.coefficients)

    def result(self) -> Array:
        values = (part.result() for part in self.parts.values())
        return _weighted(self.coefficients, values)


class WeightedSum(Loss):
    """Σ coefficient · loss of the same inputs, as `+` and `*` between losses and numbers write it.

        loss = losses.Dice() + 0.5 * losses.BinaryFocalCrossentropy(from_logits=True)
        loss(y_true, y_pred, sample_weight)      # each term weighs, masks and reduces as it does
        loss.terms(y_true, y_pred)               # {"dice": ..., "binary_focal_crossentropy": ...}
        dataclasses.replace(loss, coefficients=(1.0, schedule(step)))        # no recompilation

    `reduction="own"` leaves each term its own; any other is that of all terms. Values per sample
    (reduction None) need terms that have them in one shape; a term of the whole batch counts in
    each. Terms that take parts of y_pred say so: `losses.Huber().on("mean")`.
    """

    losses: Any = ()
    coefficients: Any = ()
    reduction: Any = static(default=OWN, kw_only=True)

    def __post_init__(self) -> None:
        where = type(self).__name__
        terms, coefficients = tuple(self.losses), tuple(self.coefficients)
        if not terms or not all(isinstance(term, Loss) for term in terms):
            raise TypeError(f"{where}: losses must be a list of at least one Loss, got {terms!r}.")
        if len(terms) != len(coefficients):
            raise ValueError(
                f"{where}: needs a coefficient for each of {len(terms)} losses, got "
                f"{len(coefficients)}."
            )
        for name, value in (
            ("losses", tuple(_reduced(where, term, self.reduction) for term in terms)),
            ("coefficients", tuple(check.hyper(where, "coefficients", c) for c in coefficients)),
            ("name", self.name or "+".join(term.name for term in terms)),
            ("dtype", check.float_dtype(where, self.dtype)),
        ):
            object.__setattr__(self, name, value)

    @staticmethod
    def added(a: Loss, b: Any) -> Any:
        """`a + b`."""
        if not isinstance(b, Loss):
            return NotImplemented
        terms = [*_terms(a), *_terms(b)]
        return WeightedSum(losses=[loss for _, loss in terms], coefficients=[c for c, _ in terms])

    @staticmethod
    def multiplied(loss: Loss, factor: Any) -> Any:
        """`factor * loss` for a number, which may be traced."""
        is_array = isinstance(factor, (np.ndarray, jax.Array)) and factor.ndim == 0
        if not (is_array or isinstance(factor, numbers.Real)):
            return NotImplemented
        terms = _terms(loss)
        coefficients = [factor if _is_one(c) else factor * c for c, _ in terms]
        return WeightedSum(losses=[loss for _, loss in terms], coefficients=coefficients)

    def __repr__(self) -> str:
        def one(coefficient: Any, term: Loss) -> str:
            factor = "" if _is_one(coefficient) else f"{coefficient} * "
            return f"{factor}{f'({term!r})' if isinstance(term, WeightedSum) else repr(term)}"

        text = " + ".join(map(one, self.coefficients, self.losses))
        if self._is_plain():
            return text
        words = f"reduction={self.reduction!r}, name={self.name!r}, dtype={self.dtype!r}"
        return f"<{text}, {words}>"

    def _is_plain(self) -> bool:
        """Whether it says no more than its terms do."""
        default = "+".join(term.name for term in self.losses)
        return self.reduction == OWN and self.dtype is None and self.name == default

    def names(self) -> tuple[str, ...]:
        """Of the terms; the later of two with one name is `name_1`."""
        found: list[str] = []
        for term in self.losses:
            same = sum(term.name == other.name for other in self.losses[: len(found)])
            found.append(f"{term.name}_{same}" if same else term.name)
        return tuple(found)

    def terms(
        self,
        y_true: Any,
        y_pred: Any,
        sample_weight: Input | None = None,
        mask: Input | None = None,
    ) -> dict[str, Array]:
        """What each term is, before its coefficient, by its name."""
        found = (
            term(y_true, y_pred, sample_weight, own)
            for term, own in zip(self.losses, self._masks(mask), strict=True)
        )
        return dict(zip(self.names(), found, strict=True))

    def __call__(
        self,
        y_true: Any,
        y_pred: Any,
        sample_weight: Input | None = None,
        mask: Input | None = None,
    ) -> Array:
        with jax.named_scope(self.name):
            found = self.terms(y_true, y_pred, sample_weight, mask)
            value = _weighted(self.coefficients, found.values())
            return value if self.dtype is None else value.astype(self.dtype)

    def call(self, y_true: Any, y_pred: Any) -> Array:
        found = [dataclasses.replace(term, reduction=None) for term in self.losses]
        return _weighted(self.coefficients, (term(y_true, y_pred) for term in found))

    def total(
        self,
        y_true: Any,
        y_pred: Any,
        sample_weight: Input | None = None,
        mask: Input | None = None,
    ) -> WeightedTotals:
        """As `Loss.total`: those of all terms, which merge if each of them does."""
        found = (
            term.total(y_true, y_pred, sample_weight, own)
            for term, own in zip(self.losses, self._masks(mask), strict=True)
        )
        return WeightedTotals(dict(zip(self.names(), found, strict=True)), self.coefficients)

    def without(
        self,
        rows: Array,
        y_true: Any,
        y_pred: Any,
        sample_weight: Input | None = None,
        mask: Input | None = None,
    ) -> tuple[Any, Any, Any, Any]:
        given = y_true, y_pred, sample_weight
        masks = (
            term.without(rows, *given, own)[3]
            for term, own in zip(self.losses, self._masks(mask), strict=True)
        )
        return *given, _Masks(masks)

    def _masks(self, mask: Any) -> _Masks:
        return mask if isinstance(mask, _Masks) else _Masks([mask] * len(self.losses))

    def _coupling(self, y_pred: Any) -> str | None:
        return min((term._coupling(y_pred) for term in self.losses), key=_ORDER.index)

    def over(self, change: Callable[[Loss], Loss]) -> "WeightedSum":
        """The same of other terms."""
        return dataclasses.replace(self, losses=tuple(map(change, self.losses)))

    def get_config(self) -> dict[str, Any]:
        """As of any loss, the terms as configs."""
        return super().get_config() | {
            "losses": [serialize(term) for term in self.losses],
            "coefficients": [np.asarray(c).tolist() for c in self.coefficients],
        }


class On(Loss):
    """A loss of a part of y_pred, as `loss.on("logits")` and `loss.on(function)` write it.

    A name is a key of a dict or a field of a named tuple; `y_true` is taken apart in the same way
    if it has it too. A function gets (y_true, y_pred) and returns the two that the loss is to have.
    """

    loss: Any = None
    part: Any = static(default=None)
    reduction: Any = static(default=OWN, kw_only=True)

    def __post_init__(self) -> None:
        where = type(self).__name__
        if not isinstance(self.loss, Loss):
            raise TypeError(f"{where}: loss must be a Loss, got {shown(self.loss)}.")
        if not (isinstance(self.part, str) or callable(self.part)):
            raise TypeError(f"{where}: part must be a name or a function, got {shown(self.part)}.")
        object.__setattr__(self, "loss", _reduced(where, self.loss, self.reduction))
        object.__setattr__(self, "name", self.name or self.loss.name)
        object.__setattr__(self, "dtype", check.float_dtype(where, self.dtype))

    def __repr__(self) -> str:
        return f"{self.loss!r}.on({self.part!r})"

    def _picked(self, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
        if callable(self.part):
            found: tuple[Any, Any] = self.part(y_true, y_pred)
            return found
        names = _names(y_pred)
        if self.part not in names:
            raise ValueError(
                f"{self!r}: y_pred must have {self.part!r}, got {shown(list(names))}."
                f"{nearest(self.part, names)}"
            )
        return _part(y_true, self.part), _part(y_pred, self.part)

    def __call__(
        self,
        y_true: Any,
        y_pred: Any,
        sample_weight: Input | None = None,
        mask: Input | None = None,
    ) -> Array:
        value = self.loss(*self._picked(y_true, y_pred), sample_weight, mask)
        return value if self.dtype is None else value.astype(self.dtype)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return self.loss.call(*self._picked(y_true, y_pred))

    def total(
        self,
        y_true: Any,
        y_pred: Any,
        sample_weight: Input | None = None,
        mask: Input | None = None,
    ) -> Any:
        """That of the loss."""
        return self.loss.total(*self._picked(y_true, y_pred), sample_weight, mask)

    def without(
        self,
        rows: Array,
        y_true: Any,
        y_pred: Any,
        sample_weight: Input | None = None,
        mask: Input | None = None,
    ) -> tuple[Any, Any, Any, Any]:
        found = self.loss.without(rows, *self._picked(y_true, y_pred), sample_weight, mask)
        return y_true, y_pred, sample_weight, found[3]

    def _coupling(self, y_pred: Any) -> str | None:
        if callable(self.part):
            return self.loss._declared.couples
        return self.loss._coupling(_part(y_pred, self.part))

    def over(self, change: Callable[[Loss], Loss]) -> "On":
        """The same of another loss."""
        return dataclasses.replace(self, loss=change(self.loss))

    def get_config(self) -> dict[str, Any]:
        """As of any loss; ValueError for a part that is a function."""
        if callable(self.part):
            raise ValueError(f"{self!r}: a function has no config. Name a part of y_pred.")
        return super().get_config() | {"loss": serialize(self.loss)}


class _OfTerms:
    """What a combined loss declares: of an instance, what its terms do."""

    def __init__(self, of_class: Declared) -> None:
        self.of_class = of_class

    def __get__(self, loss: Any, cls: Any) -> Declared:
        if loss is None:
            return self.of_class
        terms = loss.losses if isinstance(loss, WeightedSum) else (loss.loss,)
        couples = min((term._declared.couples for term in terms), key=_ORDER.index)
        domains = [term._declared.domain.of(term) for term in terms]
        labelled = [domain for domain in domains if domain.labelled]
        return self.of_class._replace(couples=couples, domain=(labelled or domains)[0])


WeightedSum._declared = _OfTerms(WeightedSum._declared)  # type: ignore[assignment]
On._declared = _OfTerms(On._declared)  # type: ignore[assignment]


def _reduced(where: str, loss: Loss, reduction: Any) -> Loss:
    if reduction == OWN:
        return loss
    check.reduction(where, reduction)
    return dataclasses.replace(loss, reduction=reduction)


def _weighted(coefficients: Any, values: Any) -> Array:
    total: Any = 0.0
    for coefficient, value in zip(coefficients, values, strict=True):
        own = value if _is_one(coefficient) else jnp.asarray(coefficient, value.dtype) * value
        total = own if isinstance(total, float) else _added(total, own)
    return jnp.asarray(total)


def _added(a: Array, b: Array) -> Array:
    if a.shape != b.shape and a.ndim and b.ndim:
        raise ValueError(
            f"WeightedSum: terms without reduction need values of one shape, got {a.shape} and "
            f"{b.shape}. Give each term a reduction."
        )
    return a + b


def _is_one(coefficient: Any) -> bool:
    return isinstance(coefficient, (int, float)) and coefficient == 1


def has_parts(loss: Loss) -> bool:
    """Whether it takes a y_pred of several parts apart."""
    if isinstance(loss, WeightedSum):
        return any(map(has_parts, loss.losses))
    return isinstance(loss, On)


def _names(tree: Any) -> tuple[str, ...]:
    names = tree if isinstance(tree, Mapping) else getattr(tree, "_fields", ())
    return tuple(names)


def _part(tree: Any, name: str) -> Any:
    if name not in _names(tree):
        return tree
    return tree[name] if isinstance(tree, Mapping) else getattr(tree, name)


def _terms(loss: Any) -> list[tuple[Any, Loss]]:
    if isinstance(loss, WeightedSum) and loss._is_plain():
        return list(zip(loss.coefficients, loss.losses, strict=True))
    return [(1.0, loss)]
