"""Which loss, weight, truth and mask belongs to which output of a model."""

import itertools
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from lossjax import losses
from lossjax.core import check
from lossjax.core.combined import has_parts
from lossjax.core.loss import Loss
from lossjax.core.registry import class_of, registry
from lossjax.core.texts import nearest

Path: TypeAlias = tuple[str | int, ...]
Weight: TypeAlias = Any  # a number, a function of the step, or LEARNED

LEARNED = "learned"


class Leaf(NamedTuple):
    """One loss of the structure that the user gave, and the key of its weight."""

    identifier: Any
    key: str


class Several:
    """The arrays that are one output, or its truth, for a loss that takes several: a leaf."""

    def __init__(self, arrays: Any) -> None:
        self.arrays = arrays


class Compared(NamedTuple):
    """What losses compare, for all outputs."""

    y_true: Any
    y_pred: Any
    sample_weight: Any = None
    mask: Any = None

    def at(self, path: Path) -> "Compared":
        """The same for the output at `path`: arrays, or what its loss takes in a tuple."""
        found = (_at(name, tree, path, self.y_pred) for name, tree in self._asdict().items())
        return Compared(*(x.arrays if isinstance(x, Several) else x for x in found))


def clash(name: str, taken: Collection[str]) -> str | None:
    """Which of the `taken` names of logs `name` would replace, in training or in validation."""
    return next((t for t in taken if name in (t, f"val_{t}") or t == f"val_{name}"), None)


def free(name: str, taken: Collection[str]) -> str:
    """`name`, or with a number if that is taken: Keras shows the last of equal names alone."""
    names = itertools.chain([name], (f"{name}_{i}" for i in itertools.count(1)))
    return next(n for n in names if clash(n, taken) is None)


def is_learned(weight: Weight) -> bool:
    return isinstance(weight, str)


def is_nested(tree: Any) -> bool:
    """A dict, or a list of anything but numbers: those are an array."""
    if isinstance(tree, (list, tuple)) and not isinstance(tree, Leaf):
        return not all(isinstance(x, (int, float)) or _is_numbers(x) for x in tree)
    return isinstance(tree, Mapping)


def _is_numbers(tree: Any) -> bool:
    return isinstance(tree, (list, tuple)) and not is_nested(tree)


def joined(tree: Any, y_pred: Any) -> Any:
    """`y_pred` with dicts for named tuples, and in one piece the arrays that one loss takes."""
    if _is_whole(tree, 1, y_pred):
        return Several(y_pred)
    if (loss := _takes_several(tree)) is not None:
        if isinstance(y_pred, (list, tuple)) and not any(map(is_nested, y_pred)):
            return Several(tuple(y_pred))
        names = loss._declared.domain.predicted
        if isinstance(y_pred, Mapping) and not set(y_pred).isdisjoint(names):
            check.several(getattr(loss, "__name__", type(loss).__name__), y_pred, names)
    if is_named(y_pred) and isinstance(tree, list) and len(tree) == len(y_pred):
        tree = dict(zip(y_pred._fields, tree, strict=True))
    y_pred = _as_dict(y_pred)
    if isinstance(y_pred, Mapping):
        return {k: joined(_below(tree, k), v) for k, v in y_pred.items()}
    if is_nested(y_pred):
        return [joined(_below(tree, i), v) for i, v in enumerate(y_pred)]
    return y_pred


def joined_truth(tree: Any, y_true: Any) -> Any:
    """`y_true`, in one piece where the loss of the only output takes labels and their lengths."""
    found = _loss(tree)
    is_sequence = found is not None and found._declared.domain.in_steps
    return Several(tuple(y_true)) if is_sequence and is_nested(y_true) else y_true


def named(tree: Any, y_pred: Any, losses: Any = None) -> Any:
    """`tree` with dicts for named tuples; where `y_pred` has one, a plain tuple has its order.

    In one piece is what one of `losses` takes for its truth.
    """
    if _is_whole(losses, 0, tree):
        return Several(tree)
    if not is_nested(tree):
        return tree
    below = _as_dict(y_pred)
    if is_named(y_pred) and not isinstance(tree, Mapping) and len(tree) == len(y_pred):
        tree = dict(zip(below, tree, strict=True))
    tree = _as_dict(tree)
    if isinstance(tree, Mapping):
        return {k: named(v, _below(below, k), _below(losses, k)) for k, v in tree.items()}
    return [named(v, _below(below, i), _below(losses, i)) for i, v in enumerate(tree)]


def _is_whole(tree: Any, which: int, arrays: Any) -> bool:
    """Whether a loss, or each of several of one output, takes these arrays at once.

    `which` is 0 for truths, 1 for predictions.
    """
    if isinstance(tree, list):
        return bool(tree) and all(_is_whole(child, which, arrays) for child in tree)
    found = _loss(tree)
    if isinstance(found, Loss) and has_parts(found):
        return is_nested(arrays)
    return found is not None and found._declared.domain.takes(which, arrays)


def is_named(tree: Any) -> bool:
    return isinstance(tree, tuple) and hasattr(tree, "_fields") and not isinstance(tree, Leaf)


def _as_dict(tree: Any) -> Any:
    return tree._asdict() if is_named(tree) else tree


def _below(tree: Any, key: Any) -> Any:
    if isinstance(tree, Leaf):
        return tree
    if isinstance(tree, Mapping):
        return tree.get(key)
    is_there = isinstance(tree, (list, tuple)) and key in range(len(tree))
    return tree[key] if is_there else None


def _takes_several(tree: Any) -> Any:
    """The loss, or the first of losses of one output, if it predicts several arrays."""
    if isinstance(tree, list):
        each = [_takes_several(child) for child in tree]
        return each[0] if each and all(each) else None
    found = _loss(tree)
    return found if found is not None and found._declared.domain.predicted else None


def _loss(tree: Any) -> Any:
    """A loss, or the class it will be of; None for functions of users, and what is not one loss."""
    found = tree.identifier if isinstance(tree, Leaf) else None
    found = registry.get(found) if isinstance(found, str) else found
    return found if isinstance(found, Loss) else class_of(found)


def keyed(loss: Any, path: Path = ()) -> Any:
    """The structure of `loss` with a `Leaf` for each loss."""
    if isinstance(loss, Mapping) and "class_name" not in loss:
        # The order in which a jitted function is given a dict: so terms have the same names there.
        return {k: keyed(v, (*path, k)) for k, v in sorted(loss.items())}
    if isinstance(loss, (list, tuple)):
        return [keyed(v, (*path, i)) for i, v in enumerate(loss)]
    return Leaf(losses.get(loss) if isinstance(loss, (Mapping, type)) else loss, _key(path))


def _key(path: Path) -> str:
    return "/".join(map(str, path)) or "loss"


def weights_of(tree: Any, weights: Any) -> Iterator[tuple[str, Weight]]:
    if isinstance(tree, Leaf):
        if isinstance(weights, (list, tuple)) and len(weights) == 1:
            weights = weights[0]
        is_number = isinstance(weights, (int, float)) or hasattr(weights, "dtype")
        if weights is not None and not (is_number or callable(weights) or weights == LEARNED):
            raise ValueError(
                f"Objective: the weight of {tree.key!r} must be a number, a function of the "
                f"step or {LEARNED!r}, got {weights!r}."
            )
        yield tree.key, 1.0 if weights is None else weights
    elif weights is None:
        for child in tree.values() if isinstance(tree, Mapping) else tree:
            yield from weights_of(child, None)
    elif isinstance(tree, Mapping):
        if not isinstance(weights, Mapping):
            raise TypeError(
                f"Objective: `weights` must be a dict as the losses are, with keys among "
                f"{list(tree)}, got {weights!r}."
            )
        for key in weights:
            if key not in tree:
                raise ValueError(
                    f"Objective: `weights` has a key that is no loss: {key!r}; losses are "
                    f"{list(tree)}.{nearest(key, tree)}"
                )
        for key, child in tree.items():
            yield from weights_of(child, weights.get(key))
    else:
        if not isinstance(weights, (list, tuple)):
            raise TypeError(f"Objective: `weights` must be a list as the losses, got {weights!r}.")
        if len(weights) != len(tree):
            raise ValueError(
                f"Objective: `weights` must match the number of losses, got {len(tree)} losses "
                f"and {len(weights)} weights."
            )
        for child, weight in zip(tree, weights, strict=True):
            yield from weights_of(child, weight)


def everywhere(leaf: Leaf, y_pred: Any, path: Path = ()) -> Iterator[tuple[Path, Leaf]]:
    """One loss for every output."""
    return ((output, leaf) for output in paths(y_pred, (), path))


def paths(y_pred: Any, ends: Collection[Path], path: Path = ()) -> Iterator[Path]:
    """Every output; what a loss takes whole, at one of `ends`, is one."""
    if path in ends or not is_nested(y_pred):
        yield path
        return
    for key in y_pred if isinstance(y_pred, Mapping) else range(len(y_pred)):
        yield from paths(y_pred[key], ends, (*path, key))


def matched(tree: Any, y_pred: Any, path: Path = ()) -> Iterator[tuple[Path, Leaf]]:
    """Losses and outputs walked together; below the top, one loss takes what is there."""
    if isinstance(tree, Leaf):
        yield path, tree
    elif isinstance(tree, Mapping):
        for key, child in tree.items():
            if isinstance(child, Leaf) and child.identifier is None:
                continue
            if not isinstance(y_pred, Mapping) or key not in y_pred:
                raise _no_output((*path, key))
            yield from matched(child, y_pred[key], (*path, key))
    elif not is_nested(y_pred):  # several losses of one output
        for child in tree:
            yield from matched(child, y_pred, path)
    else:
        outputs = list(paths(y_pred, (), path))
        if len(tree) == len(outputs) and all(isinstance(child, Leaf) for child in tree):
            yield from zip(outputs, tree, strict=True)
            return
        if isinstance(y_pred, Mapping) or len(tree) > len(y_pred):
            raise _no_output((*path, 0 if isinstance(y_pred, Mapping) else len(y_pred)))
        if len(tree) < len(y_pred):
            raise ValueError(
                f"Objective: {len(tree)} losses for {len(y_pred)} outputs at {path}. Write None "
                f"for an output without a loss."
            )
        for index, child in enumerate(tree):
            yield from matched(child, y_pred[index], (*path, index))


def _no_output(path: Path) -> KeyError:
    return KeyError(
        f"The path: {path} in the `loss` argument, can't be found in the model's output (`y_pred`)."
    )


def _at(name: str, tree: Any, path: Path, y_pred: Any) -> Any:
    """What `tree` holds for the output at `path`; one array of weights is for every output."""
    is_weight = name in ("sample_weight", "mask")
    are_dicts = isinstance(tree, Mapping) and isinstance(y_pred, Mapping)
    if tree is None or (is_weight and not is_nested(tree)):
        return tree
    for depth, key in enumerate(path):
        keys = tree if isinstance(tree, Mapping) else range(len(tree)) if is_nested(tree) else ()
        if is_weight and tree is None:
            return None
        if key not in keys:
            if name == "y_true" and depth == 0 and not are_dicts:
                raise different_structures(tree, y_pred)
            if is_weight:
                raise ValueError(
                    f"Objective: You should provide one `{name}` array per output in `y`, or one "
                    f"for all; there is none at {path}. Write None for an output without."
                )
            raise KeyError(
                f"The path: {path} in the `loss` argument, can't be found in the labels (`y_true`)."
            )
        tree = tree[key]
    if name == "y_true" and not path and is_nested(tree) and not is_nested(y_pred):
        raise different_structures(tree, y_pred)
    return tree


def different_structures(y_true: Any, y_pred: Any) -> ValueError:
    def structure(tree: Any) -> Any:
        if isinstance(tree, Mapping):
            return {k: structure(v) for k, v in tree.items()}
        return [structure(v) for v in tree] if is_nested(tree) else "*"

    return ValueError(
        f"Objective: y_true and y_pred have different structures: {structure(y_true)} and "
        f"{structure(y_pred)}. Give one y_true for each output."
    )
