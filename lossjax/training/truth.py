"""What the losses take `y` for: class numbers, which must exist, or numbers, which must fit."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from lossjax.core.loss import Loss
from lossjax.objective import Objective
from lossjax.objective.outputs import Compared
from lossjax.training.batch import Batch, beyond, named


class _Labels(NamedTuple):
    """What holds the class numbers of one loss, and what else is of its output."""

    loss: Loss
    here: Compared

    @property
    def y(self) -> Any:
        """The class numbers; where lengths are given, (labels, lengths) are the truth."""
        y = self.here.y_true
        return y[0] if isinstance(y, (tuple, list)) else y


def wraps_around(y: Any) -> bool:
    """Whether NumPy's integers in `y` would be others in a loss."""
    return any(beyond(a, _held()) for a in jax.tree.leaves(y))


def _held() -> np.dtype[Any]:
    return jax.dtypes.canonicalize_dtype(np.int64)


class Truth:
    """The losses of a model whose outputs have these shapes.

    Labels are looked at here since inside a loss, which is traced, one that is out of range can
    only be a sample with loss 0.
    """

    def __init__(self, objective: Objective, y_pred: Any) -> None:
        self.objective, self.y_pred = objective, y_pred

    def __call__(self, where: str, batch: Batch, look: bool) -> Batch:
        """The batch with a `y` that JAX can hold; its labels are looked at where `look` says so.

        Integers that would wrap around become what comes closest: numbers become floats; class
        numbers, where floats would be other classes, the last integer, out of range as they are.
        """
        wraps = wraps_around(batch.y)
        if look or wraps:
            self._look(where, batch)
        if not wraps:
            return batch
        labels = {id(found.y) for found in self._labels(batch)}
        limits = np.iinfo(_held())

        def fit(a: Any) -> Any:
            if not beyond(a, _held()):
                return a
            if id(a) in labels:
                return a.clip(limits.min, limits.max).astype(_held())
            return a.astype(jax.dtypes.canonicalize_dtype(float))

        return batch._replace(y=jax.tree.map(fit, batch.y))

    def _look(self, where: str, batch: Batch) -> None:
        """ValueError for a class number that the output does not have, unless nothing counts it."""
        for found in self._labels(batch):
            name = next((name for name, a in named(batch) if a is found.y), "y")
            _look(where, name, found)

    def _labels(self, batch: Batch) -> Iterator[_Labels]:
        trees = (batch.y, self.y_pred, batch.sample_weight, batch.mask)
        for found in map(_Labels._make, self.objective.compared(*trees)):
            if found.loss._declared.domain.labelled and hasattr(found.y, "dtype"):
                yield found


def _look(where: str, name: str, labels: _Labels) -> None:
    y, loss, here = _on_host(labels.y), labels.loss, labels.here
    domain = loss._declared.domain
    known = None if y is None or not y.size or domain.classes is None else domain.classes
    classes = None if known is None else known(loss, y, here.y_pred)
    if y is None or classes is None or (classes.start <= y.min() and y.max() < classes.stop):
        return
    whole = np.trunc(y)  # as losses take them
    wrong = ~((classes.start <= whole) & (whole < classes.stop))  # NaN is neither
    ignored, shift = getattr(loss, "ignore_class", None), getattr(loss, "shift", 0)
    if ignored is not None:
        wrong &= ~np.isin(y, ignored)
    if shift:
        wrong[..., :shift] = False  # nothing is to predict these
    if isinstance(here.y_true, (tuple, list)):
        wrong &= np.arange(y.shape[1]) < np.asarray(here.y_true[1])[:, None]
    for counts in (here.sample_weight, here.mask):
        if counts is not None:
            wrong &= _over(np.asarray(counts) != 0, y, loss, here.y_pred)
    if wrong.any():
        at = tuple(np.argwhere(wrong)[0].tolist())
        raise ValueError(f"{where}: {name} holds {_problem(loss, y, at, classes)}")


def _on_host(a: Any) -> np.ndarray | None:
    """None for what is on an accelerator: to look at it would mean to wait for it."""
    if isinstance(a, jax.Array):
        here = a.is_fully_addressable and all(d.platform == "cpu" for d in a.devices())
        return np.asarray(a) if here else None
    return a


def _over(counts: np.ndarray, y: np.ndarray, loss: Loss, y_pred: Any) -> np.ndarray:
    """Which labels count, from one entry for each, for each row, or for each step of a sequence."""
    if loss._declared.domain.in_steps:  # where there is no step there is no sample
        return np.broadcast_to(counts.reshape(len(y), -1).any(-1, keepdims=True), y.shape)
    shift, shape = getattr(loss, "shift", 0), y.shape
    if shift and counts.shape[-1] == shape[-1] - shift:
        counts = np.concatenate([np.zeros_like(y[..., :shift], bool), counts], -1)
    axis = getattr(loss, "axis", -1)
    if y.ndim == jax.tree.leaves(y_pred)[0].ndim and y.shape[axis] == 1:  # of the classes
        shape = y.squeeze(axis).shape
    while counts.ndim > len(shape) and counts.shape[-1] == 1:
        counts = counts[..., 0]
    counts = counts.reshape(counts.shape + (1,) * (len(shape) - counts.ndim))
    return np.broadcast_to(counts, shape).reshape(y.shape)


def _problem(loss: Loss, y: np.ndarray, at: tuple[int, ...], classes: range) -> str:
    found = f"{y[at]} at {list(at)}, "
    advice = loss._declared.domain.wrong_class
    if classes.start < 0:
        return f"{found}which JAX's integers do not hold. {advice}"
    found += f"but the output has {len(classes)} classes, 0 to {classes[-1]}. "
    if advice:
        return f"{found}{advice}"
    if y[at] == len(classes) and y.min() > 0:
        return f"{found}If labels count from 1, pass y - 1."
    if not hasattr(loss, "ignore_class") or not abs(y[at]) < 2**31:
        return f"{found}A mask leaves out what is no class."
    return f"{found}If it means no class, pass ignore_class={int(y[at])} to the loss."
