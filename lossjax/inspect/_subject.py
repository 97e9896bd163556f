"""Any loss as one thing: a `Loss`, a name, or a function (y_true, y_pred) -> values."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from lossjax import testing
from lossjax.core.domain import DOMAINS, REAL, Domain, named
from lossjax.core.loss import Loss, static
from lossjax.core.registry import class_of, first_paragraph
from lossjax.core.types import Reduction

# Tried in turn for a function of which nothing is known.
_GUESSES = tuple(
    DOMAINS[name] for name in ("real", "binary", "distribution", "label logits", "label")
)


class _Function(Loss):
    """A plain function as a `Loss`, to weigh and reduce its values."""

    function: Any = static(default=None)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return self.function(y_true, y_pred)


def name_of(loss: Any) -> str:
    """What to call it in a table or a plot."""
    if isinstance(loss, _Function):
        return name_of(loss.function)
    if isinstance(loss, Loss):
        return repr(loss)
    loss = getattr(loss, "func", loss)  # of functools.partial
    return getattr(loss, "__name__", None) or type(loss).__name__


def as_loss(loss: Any, reduction: Reduction = None) -> Loss:
    """A function as a `Loss`; a `Loss` as it is, or with another reduction if one is given."""
    if not isinstance(loss, Loss):
        return _Function(function=loss, reduction=reduction or "sum_over_batch_size")
    return loss if reduction is None else dataclasses.replace(loss, reduction=reduction)


def values_of(loss: Any) -> Callable[[Any, Any], Any]:
    """The function from (y_true, y_pred) to values per sample, nothing cast on the way in."""
    if not isinstance(loss, Loss):
        return loss
    unreduced = dataclasses.replace(loss, reduction=None, dtype=None)
    return lambda y_true, y_pred: unreduced(y_true, y_pred)


def domain_of(loss: Any) -> Domain | None:
    """The kind of inputs that a loss takes, as far as it says so."""
    if isinstance(loss, _Function):
        loss = loss.function
    if isinstance(loss, Loss):
        own = loss._declared.domain is not REAL or type(loss).__module__.startswith(
            "lossjax.losses"
        )
        return testing.domain_of(loss) if own else None
    cls = class_of(loss)
    return None if cls is None else testing.domain_of(cls)


def data(
    where: str, loss: Any, y_true: Any, y_pred: Any, domain: str | Domain | None
) -> tuple[Any, Any, str]:
    """(y_true, y_pred, where they come from): the caller's, or generated for the domain."""
    if (y_true is None) != (y_pred is None):
        raise ValueError(f"{where}: give y_true and y_pred, or neither to have them generated.")
    if y_true is not None:
        return y_true, y_pred, "the data given"
    found = domain_of(loss) if domain is None else named(where, domain)
    for guess in (found,) if found else _GUESSES:
        if guess.predicted:
            raise ValueError(
                f"{where}: no data can be generated for {name_of(loss)}. Give y_true and y_pred."
            )
        pair = testing.draw(guess)
        if found or _is_finite(values_of(loss), *pair):
            return *pair, f"generated data of the domain {guess.name!r}"
    return *testing.draw(REAL), f"generated data of the domain {REAL.name!r}"


def _is_finite(values: Callable[..., Any], y_true: Any, y_pred: Any) -> bool:
    try:
        found = values(jax.numpy.asarray(y_true), jax.numpy.asarray(y_pred))
        return all(bool(np.isfinite(np.asarray(x)).all()) for x in jax.tree.leaves(found))
    except Exception:  # whatever a loss does with inputs that are not meant for it
        return False


def first_lines(loss: Any) -> str:
    """The formula of a documented loss: the first paragraph of its docstring."""
    return first_paragraph((loss._declared.fn if isinstance(loss, Loss) else None) or loss)
