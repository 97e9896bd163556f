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
class Elsewhere:
    """A call of another library that is `times` the mean of the loss with the arguments `config`.

    `call` is written as its users write it, an expression of `y_true` and `y_pred` that gives one
    number; tests/elsewhere/generate.py evaluates it on arrays of that library, in float64.
    """

    library: str  # as it is installed
    call: str
    config: dict[str, Any] = dataclasses.field(default_factory=dict)
    _: dataclasses.KW_ONLY
    times: float = 1.0
    gradient: str = ""  # by y_pred, of a library whose numbers have none
    note: str = ""  # what else a reader of the table should know


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
    # The groups of edges at which it is not right yet; its page in docs/safety shows how.
    unsafe: tuple[str, ...] = ()
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
    elsewhere: tuple[Elsewhere, ...] = ()
    # Logits, or parameters side by side, -> y_pred, where that is more than one array.
    packed: Callable[[Any], Any] | None = None
    # Part of the derivative is stopped, where numbers are not 0: it is no difference across.
    is_stopped: bool = False

    def example(self, **config: Any) -> Loss:
        """The loss, whose choices without default have their first value."""
        return example(self.loss, **config)  # type: ignore[no-any-return]

    @property
    def domain(self) -> str:
        return self.loss._declared.domain.name

    @property
    def kind(self) -> tuple[Any, ...]:
        """What decides how a loss is called: losses of one kind go one way through the core."""
        domain = self.loss._declared.domain
        of_domain = domain.labelled, domain.is_nested, bool(domain.predicted), domain.in_batches
        return self.couples, self.loss.call is Loss.call, *of_domain

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
    """As parameters: the last of `configs`, of DEEP losses `kept`; the others where time is."""

    def is_kept(case: Case, config: dict[str, Any]) -> bool:
        return config in [case.configs[i] for i in (kept if case in DEEP else (-1,))]

    return [
        pytest.param(*variant, marks=() if is_kept(*variant) else pytest.mark.thorough)
        for variant in variants
    ]


def each_domain(rows: Any) -> list[Any]:
    """As parameters: the first row of each domain, the others of DEEP where time is."""
    first = {row.domain: row for row in reversed(list(rows))}
    asked = [row for row in rows if row in DEEP or first[row.domain] is row]
    return quick(asked, lambda row: first[row.domain] is row)


ROWS = _rows()
# What most tests iterate over: losses of one array and another.
CASES = tuple(row for row in ROWS if row.one_array)
VARIANTS = [(case, config) for case in CASES for config in case.configs]
# Keras's losses, and the first of each kind, are asked everything. The others are asked what
# differs from loss to loss: values, derivatives, digits, edges, memory, names, leaves.
_FIRST = {row.kind: row for row in reversed(ROWS)}
# Losses of regions that are not Keras's have a value a class: most tests want one a sample.
DEEP = tuple(
    row
    for row in ROWS
    if row.keras or (_FIRST[row.kind] is row and not row.domain.startswith("region"))
)
DEEP_VARIANTS = [(case, config) for case, config in VARIANTS if case in DEEP]
# And those of several arrays that each have a row a sample.
OF_SAMPLES = [(c, k) for c in ROWS if not c.loss._declared.domain.predicted for k in c.configs]
