"""Whether the word `couples` of a loss is true: which samples have an influence on which values."""

from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from lossjax.core.loss import Loss
from lossjax.testing.sampling import sample

_ROUNDING = 1e-5


def influence(loss: Loss, y_true: Any = None, y_pred: Any = None) -> np.ndarray:
    """Whether sample i has an influence on the value of sample j, as an array [i, j] of bools.

    Every sample takes the place of the one before it, one at a time: so all stay possible inputs.
    By default of samples that suit the loss. A scalar for the whole batch is one value, [i, 0].
    """
    y_true, y_pred = _inputs(loss, y_true, y_pred)
    true, pred = (_each_changed(tree, len(jax.tree.leaves(y_pred)[0])) for tree in (y_true, y_pred))

    @jax.jit
    @jax.vmap
    def values(t: Any, p: Any) -> Any:
        found = loss.call(t, p)
        return found[0] if isinstance(found, tuple) else found

    found = np.asarray(values(true, pred), np.float64)
    before, after = found[-1:], found[:-1]
    same = np.isclose(after, before, rtol=_ROUNDING, atol=_ROUNDING, equal_nan=True)
    same = same.reshape(len(after), -1) if before.ndim == 1 else same
    return np.asarray(~same.all(tuple(range(2, same.ndim))))


def _inputs(loss: Loss, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    drawn = sample(loss) if y_pred is None else (y_true, y_pred)
    true, pred = (jax.tree.map(jnp.asarray, tree) for tree in drawn)
    return true, pred


def _each_changed(tree: Any, count: int) -> Any:
    """Copies of the inputs along a new axis: in each another sample is changed, in the last none.

    Arrays of another length than that of the batch belong to all of its samples.
    """
    rows = np.tile(np.arange(count), (count + 1, 1))
    rows[np.arange(count), np.arange(count)] = (np.arange(count) + 1) % count

    def leaf(x: Any) -> Any:
        has_rows = x.ndim and len(x) == count
        return x[rows] if has_rows else jnp.broadcast_to(x, (count + 1, *x.shape))

    return jax.tree.map(leaf, tree)


def assert_couples(loss: Loss, y_true: Any = None, y_pred: Any = None) -> None:
    """AssertionError where `couples`, which a loss declares, is not what its values depend on.

    A loss that declares nothing passes: nothing is taken for granted of it.
    """
    y_true, y_pred = _inputs(loss, y_true, y_pred)
    where, word = type(loss).__name__, loss._coupling(y_pred)
    if word is None:
        return
    found = influence(loss, y_true, y_pred)
    per_sample = found.shape[0] == found.shape[1]
    others = found & (np.eye(*found.shape) == 0) if per_sample else found
    if word == "none" and others.any():
        i, j = np.argwhere(others)[0].tolist()
        what = f"the value of sample {j}" if per_sample else "the one value of the batch"
        raise AssertionError(
            f'{where}: couples="none" is wrong: sample {i} has an influence on {what}. Declare '
            f'"sums" and what they are if it depends on sums over the batch, else "pairs".'
        )
    if word != "none" and not others.any():
        raise AssertionError(
            f"{where}: couples={word!r} is wrong: each value depends on its own sample alone. "
            f'Declare "none".'
        )
    if word == "sums":
        _assert_merge(loss, y_true, y_pred)


def _assert_merge(loss: Any, y_true: Any, y_pred: Any) -> None:
    half = len(jax.tree.leaves(y_pred)[0]) // 3

    @jax.jit
    def both(t: Any, p: Any) -> Any:
        parts = [
            loss.sums(*jax.tree.map(lambda x, rows=rows: x[rows], (t, p)))
            for rows in (slice(half), slice(half, None))
        ]
        return jax.tree.map(jnp.add, *parts), loss.sums(t, p)

    for merged, whole in zip(*map(jax.tree.leaves, both(y_true, y_pred)), strict=True):
        if merged.shape != whole.shape or not np.allclose(merged, whole, rtol=1e-4, atol=1e-5):
            raise AssertionError(
                f'{type(loss).__name__}: couples="sums" is wrong: the sums of two parts of a batch '
                f"do not add up to those of the batch. Return sums, no means, from `sums`, or "
                f'declare "pairs".'
            )
