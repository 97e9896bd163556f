"""Training that is killed goes on from its last checkpoint as if nothing had happened."""

import contextlib
import gc
import itertools
import json
import logging
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import jax
import numpy as np
from jax import numpy as jnp

from lossjax.core import check
from lossjax.training.history import History
from lossjax.training.state import State

Trees: TypeAlias = dict[str, Any]  # of arrays, each by the name of what it belongs to
Beside: TypeAlias = dict[str, Any]  # what is no array


class Checkpoint:
    """Save to `folder` after every `every` epochs, and after every `every_steps` steps if given.

    A callback for `fit`, which goes on from the newest complete checkpoint that is there: with
    parameters, optimizer, step, random keys, position in the data, running means and history,
    so that the end is that of an uninterrupted run, bit for bit. What is not as it was, such as
    the loss, the learning rate or the rows of the data, is a warning that names it. However
    `fit` ends, it saves and waits until all is written, by orbax beside the training; `keep` are
    kept. OSError if the folder cannot be written to; a save that fails later (a full disk) is a
    warning, and training goes on.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        every: int = 1,
        every_steps: int | None = None,
        keep: int | None = 3,
    ) -> None:
        self.folder = Path(folder).absolute()
        self.every = check.whole("Checkpoint", "every", every, 1)
        self.every_steps, self.keep = every_steps, keep
        for name, number in (("every_steps", every_steps), ("keep", keep)):
            if number is not None:
                check.whole("Checkpoint", name, number, 1)
        self._manager: Any = None

    def __str__(self) -> str:
        folder = str(self.folder)
        return folder if len(folder) <= 80 else f"...{folder[-77:]}"

    def load(self, state: State) -> tuple[State, History]:
        """The state of the newest complete checkpoint, and what was logged, without training.

        `state` is what `init` makes of the same model and optimizer; it stays as it is. What is
        loaded is the state after the last step; `fit` ends with the best, where `EarlyStopping`
        keeps it.
        """
        reader = Checkpoint(self.folder)  # this one may be in use
        reader._start(read_only=True)
        try:
            found = reader.restore({"state": state})
        finally:
            reader.close()
        if found is None:
            raise FileNotFoundError(f"Checkpoint: there is none in the folder {self}.")
        arrays, beside = found
        return arrays["state"], History(**beside["history"])

    def open(self) -> None:
        """Make the folder, and see that it can be written to."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder) as file:
                file.write(b"lossjax")
        except OSError as error:
            raise OSError(
                f"Checkpoint: cannot write to the folder {self}: {error.strerror}."
            ) from error
        self._start(read_only=False)

    def _start(self, read_only: bool) -> None:
        import orbax.checkpoint as ocp

        for logger in _LOGGERS:
            logger.addFilter(_is_of_another)
        options = ocp.CheckpointManagerOptions(max_to_keep=self.keep, read_only=read_only)
        self._ocp, self._manager = ocp, ocp.CheckpointManager(self.folder, options=options)
        self._number = self._manager.latest_step() or 0

    def restore(self, like: Trees) -> tuple[Trees, Beside] | None:
        """The newest complete arrays, and what was written beside; None if there are none.

        They are the trees in `like` whose arrays have the same shapes. Whatever is missing or cut
        off of a checkpoint, an older one takes its place.
        """
        damaged: list[str] = []
        found = None
        with _without_unraisable():
            for number in sorted(self._manager.all_steps(), reverse=True):
                try:
                    found = self._read(number, like)
                    break
                except Exception as error:  # of any kind
                    damaged.append(f"{number} ({type(error).__name__})")
            if damaged:
                gc.collect()  # asyncio tells of errors in its tasks when it is done with them
        if damaged:
            them = f"damaged are the checkpoints {', '.join(damaged):.60} in {self}"
            if found is None:
                raise ValueError(
                    f"Checkpoint: {them}, and there is no other. Put the missing files back, or "
                    f"choose another folder to start anew."
                )
            _warn(f"{them}; number {number} is taken.")
        if found is not None:
            _same_model(str(self), found[1]["arrays"]["state"], _described(like["state"]))
        return found

    def _read(self, number: int, like: Trees) -> tuple[Trees, Beside]:
        args, restored = self._ocp.args, self._manager.restore
        beside = restored(number, args=args.Composite(beside=args.JsonRestore())).beside
        parts = beside["arrays"]
        wanted = {name: _kinds(_described(tree)) for name, tree in like.items()}
        fitting = [name for name, arrays in parts.items() if wanted.get(name) == _kinds(arrays)]
        targets: list[Any] = []
        for name, arrays in parts.items():
            if name in fitting:
                targets += [_struct(a) for a in jax.tree.leaves(_plain(like[name]))]
            else:
                targets += [np.zeros(shape, jnp.dtype(dtype)) for _, shape, dtype in arrays]
        flat = restored(number, args=args.Composite(arrays=args.StandardRestore(targets))).arrays
        rest = iter(flat)
        leaves = {name: list(itertools.islice(rest, len(a))) for name, a in parts.items()}
        trees = {n: jax.tree.unflatten(jax.tree.structure(like[n]), leaves[n]) for n in fitting}
        return {name: jax.tree.map(_like, tree, like[name]) for name, tree in trees.items()}, beside

    def is_due(self, before: int, after: int) -> bool:
        """Whether to save between these two steps of an epoch."""
        every = self.every_steps
        return every is not None and before // every != after // every

    def save(self, trees: Trees, beside: Beside) -> None:
        """Begin to write a checkpoint; it counts once it is complete."""
        self._number += 1
        beside = beside | {"arrays": {name: _described(tree) for name, tree in trees.items()}}
        arguments = self._ocp.args.Composite(
            arrays=self._ocp.args.StandardSave(jax.tree.leaves(_plain(list(trees.values())))),
            beside=self._ocp.args.JsonSave(json.loads(json.dumps(beside))),
        )
        try:
            self._manager.save(self._number, args=arguments, force=True)
        except (OSError, ValueError, RuntimeError) as error:
            self._failed(error)

    def close(self) -> None:
        """Wait until what was saved is on disk."""
        if self._manager is None:
            return
        try:
            self._manager.wait_until_finished()
        except (OSError, ValueError, RuntimeError) as error:
            self._failed(error)
        self._manager.close()
        self._manager = None
        for logger in _LOGGERS:
            logger.removeFilter(_is_of_another)

    def _failed(self, error: Exception) -> None:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        _warn(f"saving to {self} failed, training goes on: {first:.150}")


# orbax logs what it raises, in pages; here it is a line. asyncio does so for its tasks, with a
# traceback through orbax or only with the words of tensorstore, which reads for it.
_LOGGERS = (logging.getLogger("absl"), logging.getLogger("asyncio"))


def _is_of_another(record: logging.LogRecord) -> bool:
    said = f"{record.pathname} {record.getMessage()}"
    return "orbax" not in said and "tensorstore" not in said


@contextlib.contextmanager
def _without_unraisable() -> Iterator[None]:
    """After one part that cannot be read, others still arrive for an event loop that is closed,
    or were never begun.
    """
    old = sys.unraisablehook

    def hook(found: Any) -> None:
        if not isinstance(found.exc_value, RuntimeError):
            old(found)

    sys.unraisablehook = hook
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
            yield
    finally:
        sys.unraisablehook = old


def _warn(text: str) -> None:
    warnings.warn(f"Checkpoint: {text}", RuntimeWarning, stacklevel=3)


def _described(tree: Any) -> list[Any]:
    """Name, shape and dtype of each array."""
    leaves = jax.tree_util.tree_leaves_with_path(_plain(tree))
    return [[jax.tree_util.keystr(path), [*np.shape(a)], _dtype(a)] for path, a in leaves]


def _dtype(a: Any) -> str:
    return str(a.dtype if hasattr(a, "dtype") else np.asarray(a).dtype)


def _kinds(described: list[Any]) -> list[Any]:
    """The shapes and dtypes alone."""
    return [kind for _, *kind in described]


def _same_model(folder: str, found: list[Any], wanted: list[Any]) -> None:
    """Arrays of other shapes cannot be taken; what has another name may be another thing."""
    for old, new in itertools.zip_longest(found, wanted, fillvalue=["nothing", [], ""]):
        (name, *kind), (new_name, *new_kind) = old, new
        if kind != new_kind or (len(found) != len(wanted) and name != new_name):
            raise ValueError(
                f"Checkpoint: what is in {folder} is of another model or optimizer: it has "
                f"{_in_words(*old)} where there is {_in_words(*new)} now. Choose another folder."
            )
    renamed = [(old[0], new[0]) for old, new in zip(found, wanted, strict=True) if old != new]
    if renamed:
        _warn(f"in {folder}, what was {renamed[0][0]:.60} is taken for {renamed[0][1]:.60}.")


def _in_words(name: str, shape: list[int], dtype: str) -> str:
    return f"{name:.60} of shape {tuple(shape)}, {dtype}," if dtype else name


def _is_key(a: Any) -> bool:
    return isinstance(a, jax.Array) and jnp.issubdtype(a.dtype, jax.dtypes.prng_key)


def _plain(arrays: Any) -> Any:
    return jax.tree.map(lambda a: jax.random.key_data(a) if _is_key(a) else a, arrays)


def _struct(a: Any) -> Any:
    if isinstance(a, jax.Array):
        return jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=a.sharding)
    return np.asarray(a)


def _like(found: Any, a: Any) -> Any:
    return jax.random.wrap_key_data(found, impl=jax.random.key_impl(a)) if _is_key(a) else found
