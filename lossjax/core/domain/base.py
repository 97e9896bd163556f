"""What a domain says of the inputs of a loss; the domains themselves are in the files beside."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np
from jax import numpy as jnp

from lossjax.core.types import Array

Sampler: TypeAlias = Callable[[np.random.Generator, tuple[int, ...]], tuple[Any, Any]]
Edge: TypeAlias = tuple[str, str, Any, Any]  # (group, name, y_true, y_pred)
Sample: TypeAlias = tuple[str, Any, Any]  # (name, y_true, y_pred)

# The groups of edges.
PROBABILITIES, BIG, INFINITE = "probabilities 0 and 1", "±1e4", "±inf"
EXTREME = "extreme parameters"
ZERO, TIES = "zero vectors", "ties"

_SUM = 1e-3  # how far from 1 a distribution may sum, in float32 and after smoothing


class Rule(NamedTuple):
    """Entries of `x` must be `good`; `text` says how."""

    name: str
    x: Array
    good: Array
    text: str


class Line(NamedTuple):
    """One sample whose prediction depends on one number x, from `low` to `high`.

    `inputs` makes (y_true, y_pred), with a batch axis, of x; the value is that of the first
    sample. `axis` says what x is.
    """

    label: str
    axis: str
    low: float
    high: float
    inputs: Callable[[Array], tuple[Any, Any]]


def _nothing(*_: Any) -> Iterable[Any]:
    return ()


@dataclasses.dataclass(frozen=True, eq=False)
class Domain:
    """What inputs a loss takes; a class of losses names it, `domain = "real"` or an object.

    Only `name` and `draw` are needed: `draw(rng, shape)` makes (y_true, y_pred), arrays or pytrees
    of arrays, for a shape of y_pred; `shape` is what is asked for by default. A loss whose draws
    are pytrees takes such, whole, as one output of a model.
    """

    name: str
    draw: Sampler
    shape: tuple[int, ...] = (8, 5)
    # The domain of a loss that has from_logits=True.
    logits: "Domain | None" = None
    # What y_true holds, in words.
    target: str = ""
    # (loss, y_true, y_pred) -> the class numbers that there are, where y_true holds such.
    classes: Callable[[Any, Any, Any], range | None] | None = None
    wrong_class: str = ""  # what to say of a number that is none
    # (loss, y_true, y_pred) -> what is true of entries beside that.
    rules: Callable[[Any, Any, Any], Iterable[Rule]] = _nothing
    # What is compared where a prediction is right or wrong: "binary" (both lie on one side of
    # `middle`), "categorical" or "sparse"; "" where the shapes tell, None where nothing does.
    accuracy: str | None = ""
    middle: float = 0.5
    # The arrays of a y_pred that is a tuple, whose last may be left out; all but the first are
    # those of the whole batch.
    predicted: tuple[str, ...] = ()
    # y_pred is (B, T, C) with steps of its own; y_true may be (labels, lengths).
    in_steps: bool = False
    # The samples of a batch are compared with each other: a batch is what stands alone.
    in_batches: bool = False
    # Curves of a picture; samples worth a line in a table; truths and predictions that span the
    # domain, every one with every other.
    curves: tuple[Line, ...] = ()
    points: Sequence[Sample] = ()
    grid: tuple[Any, Any] = ((), ())
    # Batches of three at the edges, and at those of a dtype of 16 bits.
    edges: Callable[[], Iterable[Edge]] = _nothing
    extremes: Callable[[Any], Iterable[Sample]] = _nothing

    @property
    def labelled(self) -> bool:
        """Whether y_true holds class numbers."""
        return self.classes is not None

    def of(self, loss: Any) -> "Domain":
        """The domain, or that of logits if `loss` takes logits."""
        return self.logits if self.logits and getattr(loss, "from_logits", False) else self

    @functools.cached_property
    def _drawn(self) -> tuple[Any, Any]:
        return self.draw(np.random.default_rng(0), self.shape)

    @functools.cached_property
    def structures(self) -> tuple[Any, Any]:
        """The pytrees that y_true and y_pred are."""
        true, pred = map(jax.tree.structure, self._drawn)
        return true, pred

    @property
    def is_nested(self) -> bool:
        """Whether y_true or y_pred is more than one array."""
        return not all(map(jax.tree_util.treedef_is_leaf, self.structures))

    def takes(self, which: int, tree: Any) -> bool:
        """Whether `tree` is, whole, what a loss takes for y_true (0) or y_pred (1): no array.

        In place of a named tuple that is a dict with its names too; what is None when it is drawn
        may be there or not.
        """
        wanted, drawn = self.structures[which], self._drawn[which]
        if not hasattr(drawn, "_asdict"):
            is_leaf = jax.tree_util.treedef_is_leaf(wanted)
            return not is_leaf and jax.tree.structure(tree) == wanted
        given = tree._asdict() if type(tree) is type(drawn) else tree
        if not isinstance(given, Mapping):
            return False
        names = {name for name, value in given.items() if value is not None}
        needed = {name for name, value in drawn._asdict().items() if value is not None}
        return needed <= names <= set(drawn._fields)


# --- what several domains are made of -----------------------------------------------------------

INF = np.inf
LARGE = 1e4
# A class a row, of three; and the mass on another class.
RIGHT = np.eye(3, dtype=np.float32)
WRONG = np.roll(RIGHT, 1, axis=-1)
LABELS = np.arange(3, dtype=np.int32)
FIXED = np.array([[0.5, -1.5, 2.0], [1.0, 0.25, -0.75], [-2.5, 1.25, 0.5]], np.float32)

_SIZES = np.geomspace(1e-6, 1e6, 121)
FINITE = np.concatenate([-_SIZES[::-1], [0], _SIZES])
REALS = np.concatenate([[-INF], FINITE, [INF]])


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def one_hot(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return np.eye(shape[-1])[rng.integers(0, shape[-1], shape[:-1])]


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def with_zeros(x: np.ndarray) -> np.ndarray:
    """Logits of a class against one whose logit is 0."""
    return np.stack([x, np.zeros_like(x)], -1)


def without_infinity(edges: Iterable[Edge]) -> Iterator[Edge]:
    return (edge for edge in edges if edge[0] != INFINITE)


def of_truth(truth: float, axis: str, low: float, high: float) -> Line:
    """A single entry."""

    def inputs(x: Array) -> tuple[Any, Any]:
        return jnp.full((1, 1), truth), x[None, None]

    return Line(f"y_true = {truth:g}", axis, low, high, inputs)


def within(name: str, x: Array) -> Rule:
    return Rule(name, x, (x >= 0) & (x <= 1), "must be in [0, 1]")


def distribution(name: str, x: Array, axis: Any) -> Iterator[Rule]:
    if isinstance(axis, int):
        yield within(name, x)
        total = jnp.sum(x, axis)
        good = jnp.abs(total - 1) <= _SUM
        yield Rule(f"the sum of {name} over its classes", total, good, "must be 1")


def along_axis(loss: Any, y_true: Any, y_pred: Any) -> range | None:
    """Class numbers of a `y_pred` that has an axis of the classes; y_true may be one-hot."""
    axis = getattr(loss, "axis", -1)
    if not isinstance(axis, int):
        return None
    is_one_hot = y_true.ndim == y_pred.ndim and y_true.shape[axis] != 1
    return None if is_one_hot else range(y_pred.shape[axis])
