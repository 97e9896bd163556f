"""What is measured: every loss of `lossjax.losses`, its inputs, its weights."""

import dataclasses
import difflib
import itertools
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import jax
import numpy as np
from jax import numpy as jnp

from lossjax import Loss, losses, testing
from lossjax.core.domain import Domain
from lossjax.core.registry import example

KEPT = 0.8  # share of the rows that a mask keeps
FEATURES = 512  # of the hidden states of LinearCrossEntropy


@dataclasses.dataclass(frozen=True)
class Case:
    """A configured loss on inputs of one shape (that of `y_pred`) and dtype."""

    loss: Loss
    shape: tuple[int, ...]
    dtype: str = "float32"
    weighting: str = "none"
    kept: ClassVar[float] = KEPT

    @property
    def name(self) -> str:
        return repr(self.loss)

    @property
    def key(self) -> tuple[str, str, tuple[int, ...], str]:
        """What a row tells of it."""
        return self.name, self.weighting, self.shape, self.dtype

    @property
    def kind(self) -> str:
        """The key of a peer's table: the class, and whether it takes logits."""
        logits = " from logits" if getattr(self.loss, "from_logits", False) else ""
        return type(self.loss).__name__ + logits

    @property
    def domain(self) -> Domain:
        return testing.domain_of(self.loss)

    @property
    def is_elementwise(self) -> bool:
        """The work grows with the size of `y_pred`: not with pairs of rows, nor with steps."""
        return not (self.domain.in_batches or self.domain.in_steps or self.domain.predicted)

    def inputs(self, seed: int = 0) -> tuple[Any, ...]:
        """(y_true, y_pred) and the weights or the mask, if any: one number a row."""
        y_true, y_pred = testing.sample(self.loss, self.shape, seed)

        def cast(x: np.ndarray) -> np.ndarray:
            is_label = np.issubdtype(x.dtype, np.integer)
            return x.astype(np.int32 if is_label else jnp.dtype(self.dtype))

        return *jax.tree.map(cast, (y_true, y_pred)), *self._weights(seed)

    def _weights(self, seed: int) -> tuple[np.ndarray, ...]:
        rows = np.random.default_rng([seed, 1]).uniform(size=self.shape[0])
        if self.weighting == "weight":
            return ((rows + 0.5).astype(np.float32),)
        return (rows < self.kept,) if self.weighting == "mask" else ()

    def structs(self) -> tuple[Any, ...]:
        """The shapes and dtypes of `inputs`, for a program that is compiled but not run."""
        few = dataclasses.replace(self, shape=(2, *self.shape[1:])).inputs()
        rows = self.shape[:1]
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct(rows + x.shape[1:], x.dtype), few)


@dataclasses.dataclass(frozen=True)
class LinearCase(Case):
    """Labels, and (hidden, kernel) for `y_pred`; `shape` is that of the logits.

    A mask keeps half of the tokens, as the prompts of fine-tuning do.
    """

    features: int = FEATURES
    kept: ClassVar[float] = 0.5

    @property
    def name(self) -> str:
        return super().name + (f", D={self.features}" if self.features != FEATURES else "")

    def inputs(self, seed: int = 0) -> tuple[Any, ...]:
        rng = np.random.default_rng(seed)
        rows, classes = self.shape
        y_true = rng.integers(0, classes, rows, np.int32)
        hidden = rng.normal(size=(rows, self.features))
        kernel = rng.normal(size=(self.features, classes)) / self.features**0.5
        y_pred = tuple(x.astype(jnp.dtype(self.dtype)) for x in (hidden, kernel))
        return y_true, y_pred, *self._weights(seed)

    def structs(self) -> tuple[Any, ...]:
        rows, classes = self.shape
        struct, dtype = jax.ShapeDtypeStruct, jnp.dtype(self.dtype)
        y_pred = struct((rows, self.features), dtype), struct((self.features, classes), dtype)
        weights = (struct(x.shape, x.dtype) for x in self._weights(0))
        return struct((rows,), np.int32), y_pred, *weights


def loss_classes() -> list[type[Loss]]:
    """Every loss of the namespace, by name; not those that are made of losses."""
    named = {cls for cls in vars(losses).values() if isinstance(cls, type)}
    found = (cls for cls in named if issubclass(cls, Loss) and cls._declared.fn)
    return sorted(found, key=lambda cls: cls.__name__)


def find(name: str) -> type[Loss]:
    """The loss with this class, function or other name; ValueError with the nearest one."""
    names = {
        known: cls
        for cls in loss_classes()
        for known in (cls.__name__, cls._declared.fn.__name__, *cls._declared.aliases)
    }
    if name not in names:
        nearest = difflib.get_close_matches(name, names, n=1)
        hint = f" Did you mean {nearest[0]!r}?" if nearest else f" Known: {', '.join(names)}."
        raise ValueError(f"bench: no loss is called {name!r}.{hint}")
    return names[name]


def configurations(cls: type[Loss]) -> list[Loss]:
    """The defaults, and logits too where the loss may take them: other formulas, other costs."""
    logits: dict[str, Any] = {"from_logits": True}
    is_of_shares = getattr(cls, "from_logits", None) is False
    return [example(cls), cls(**logits)] if is_of_shares else [example(cls)]


def fitted(loss: Loss, shape: tuple[int, ...]) -> tuple[int, ...]:
    """`shape`, or one like it for losses of all rows, of steps, or of images of 16 classes."""
    domain = testing.domain_of(loss)
    if domain.in_batches:
        return min(shape[0], 1024), min(shape[-1], 64)
    if domain.predicted:
        return shape[0], shape[-1]
    if domain.in_steps and len(shape) != 3:
        return min(shape[0], 16), 64, min(shape[-1], 128)
    if len(domain.shape) == 3 and len(shape) != 3:
        return max(1, shape[0] // 16), shape[-1], 16
    return shape


def cases(
    names: Iterable[str] | None = None,
    shapes: Sequence[tuple[int, ...]] = ((2048, 4096), (256, 128)),
    dtypes: Sequence[str] = ("float32",),
    weightings: Sequence[str] = ("none",),
) -> list[Case]:
    """All combinations; those of one loss and shape that differ in weighting are neighbours."""
    classes = loss_classes() if names is None else [find(name) for name in names]
    found: dict[tuple[object, ...], Case] = {}
    for cls, shape, dtype in itertools.product(classes, shapes, dtypes):
        for loss, weighting in itertools.product(configurations(cls), weightings):
            kind = LinearCase if testing.domain_of(loss).predicted else Case
            case = kind(loss, fitted(loss, shape), dtype, weighting)
            found.setdefault(case.key, case)
    return list(found.values())
