"""A row a loss, of all that its tests need; they are in tests/losses, a file a family.

`Case(losses.X)` is a whole row: what it does not say is not asked of the loss, and the tests that
would need it say so when they are skipped.
"""

import dataclasses
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lossjax.core.registry import example
from lossjax.losses import Loss

SAME_NAME = "same name"


@dataclasses.dataclass(frozen=True)
class Case:
    """`configs` are constructor arguments to try; all else has a default."""

    loss: type[Loss]
    configs: tuple[dict[str, Any], ...] = ({},)
    _: dataclasses.KW_ONLY
    # The definition: (y_true, y_pred, **config) -> the value of one sample, of lists of mpmath's
    # numbers; y_true is one number where it is a label.
    exact: Callable[..., Any] | None = None
    # Ulps of value and gradient, about twice what is measured; None: the measurement has no sense.
    ulps: tuple[float, float] | None = (8, 8)
    # (t, p, config) -> the sizes at which the value and each slope round; see `exact.sizes`.
    sizes: Callable[..., Any] | None = None
    # rng -> inputs to measure at, where those of the domain do not cover what there is.
    inputs: Callable[[Any], Any] | None = None
    measured: tuple[dict[str, Any], ...] = ()  # more configs, to measure alone
    at_edges: tuple[dict[str, Any], ...] = ()  # and to look at the edges alone
    # What is made of the limit of a sample (tests/safety/limits.py).
    limit: Callable[[Any], Any] = lambda limit: limit
    # Its class in Keras; None: it has none. "same name" is also of losses that Keras may not have.
    keras: str | None = SAME_NAME
    keras_rtol: float = 1e-5
    # Options that Keras 3.15 leaves out of its configs; its later versions write them.
    lost_by_keras: tuple[str, ...] = ()
    # The arrays as large as y_pred that are kept for the derivative, and the memory beside them,
    # in percent of y_pred; None: it is not looked at.
    residuals: int | None = None
    extra: float | None = None
    # Logits -> y_pred, where that is more than one array.
    packed: Callable[[Any], Any] | None = None

    def example(self, **config: Any) -> Loss:
        """The loss, whose choices without default have their first value."""
        return example(self.loss, **config)  # type: ignore[no-any-return]

    @property
    def domain(self) -> str:
        return self.loss._declared.domain.name

    @property
    def couples(self) -> str | None:
        return self.loss._declared.couples

    @property
    def function(self) -> Any:
        """The function form; None for a loss that has none."""
        return self.loss._declared.fn

    @property
    def one_array(self) -> bool:
        """Whether y_true and y_pred are an array each."""
        domain = self.loss._declared.domain
        return not domain.predicted and not domain.is_nested

    @property
    def any_rank(self) -> bool:
        """Whether rows along the last axis are the samples, of whatever rank."""
        domain = self.loss._declared.domain
        return self.couples == "none" and not domain.in_steps and self.one_array

    @property
    def twin(self) -> Any:
        """The class of Keras, or None."""
        import keras  # some seconds, for those who need it

        if self.keras == SAME_NAME:
            return getattr(keras.losses, self.loss.__name__, None)
        return self.keras and getattr(keras.losses, self.keras)


def _rows() -> tuple[Case, ...]:
    """Those of all files in tests/losses."""
    files = sorted((Path(__file__).parent / "losses").glob("[!_]*.py"))
    modules = (importlib.import_module(f"losses.{file.stem}") for file in files)
    return tuple(row for module in modules for row in module.CASES)


def variant_id(value: Any) -> str | None:
    if isinstance(value, Case):
        return value.loss.__name__
    if isinstance(value, dict):
        return ",".join(f"{k}={v}" for k, v in value.items()) or "default"
    return None


def quick(params: Any, chosen: Callable[[Any], bool]) -> list[Any]:
    """As parameters: the others than the chosen ones where time is."""
    return [pytest.param(p, marks=() if chosen(p) else pytest.mark.thorough) for p in params]


def ends(variants: Any, kept: tuple[int, ...] = (0, -1)) -> list[Any]:
    """As parameters: of a loss the first and last of `configs`, or `kept`; others where time is."""
    return [
        pytest.param(
            case,
            config,
            marks=() if config in [case.configs[i] for i in kept] else pytest.mark.thorough,
        )
        for case, config in variants
    ]


def each_domain(rows: Any) -> list[Any]:
    """As parameters: the first row of each domain, the others where time is."""
    first = {row.domain: row for row in reversed(list(rows))}
    return quick(rows, lambda row: first[row.domain] is row)


ROWS = _rows()
# What most tests iterate over: losses of one array and another.
CASES = tuple(row for row in ROWS if row.one_array)
VARIANTS = [(case, config) for case in CASES for config in case.configs]
