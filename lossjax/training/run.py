"""How far a run of `fit` is; and that nothing of it is lost, whichever way it ends."""

import contextlib
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
from jax.sharding import Mesh

from lossjax.core.types import Array
from lossjax.training import identity, means
from lossjax.training.checkpoint import Checkpoint
from lossjax.training.data import placed
from lossjax.training.history import History
from lossjax.training.state import State

SHOWN = 3  # differences to the run before


class Run:
    """What changes from step to step and from epoch to epoch, with the callbacks and a checkpoint.

    A run that goes on must have the `settings` of the one before it; where its `words` are others,
    they are told. `end` is what `fit` returns, or an exception of it brings along.
    """

    def __init__(
        self,
        state: State,
        names: list[str],
        mesh: Mesh | None,
        checkpoint: Checkpoint | None,
        callbacks: Sequence[Any],
        stop_on_nan: bool,
    ) -> None:
        self.leaves, self.tree = jax.tree.flatten(state)
        self.names, self.mesh, self.stop_on_nan = names, mesh, stop_on_nan
        self.checkpoint, self.callbacks = checkpoint, callbacks
        self.settings: dict[str, Any] = {}
        self.words: identity.Words = {}
        self.epoch, self.batch, self.sums, self.history = 0, 0, self._nothing(), History()
        self.saved = (0, 0)  # at which epoch and batch; there is nothing to save at the start
        self.memories: dict[str, Any] = {}
        self.end: Any = None

    @property
    def state(self) -> State:
        """The state after the last step."""
        return jax.tree.unflatten(self.tree, self.leaves)

    @property
    def place(self) -> str:
        """How far it is, in words."""
        return f"after {self.batch} batches of epoch {self.epoch + 1}"

    def is_here(self) -> bool:
        """Whether there is a state: a step takes it away until it gives the next one back."""
        return not any(leaf.is_deleted() for leaf in self.leaves)

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """From the start, or where a checkpoint left off, to whatever end there is."""
        if self.checkpoint:
            self.checkpoint.open()
        try:
            for callback in self.callbacks:
                getattr(callback, "start", lambda state: None)(self.state)
            self.memories = self._memories()
            self._go_on()
            try:
                yield
            except BaseException as error:
                self._abandon(error)
                raise
            state = self.state
            for callback in self.callbacks:
                state = _finish(callback)(state)
            self.end = state, self.history
        finally:
            if self.checkpoint:
                self.checkpoint.close()

    @contextlib.contextmanager
    def carried(self) -> Iterator[None]:
        """Whatever is raised brings what there is along, as `error.state` and `error.history`."""
        try:
            yield
        except BaseException as error:
            if self.end:
                vars(error).update(zip(("state", "history"), self.end, strict=True))
            raise

    def save(self) -> None:
        """Write a checkpoint, if there is one and it is not of this very step."""
        if self.checkpoint is None or self.saved == (self.epoch, self.batch):
            return
        # Of an epoch that has not ended for all callbacks, it ends anew: it is not in the history.
        history = {"epochs": self.history.epochs[: self.epoch], "stopped": self.history.stopped}
        beside = {
            "epoch": self.epoch,
            "batch": self.batch,
            "history": history,
            "means": means.written(self.sums, self.names),
            "settings": self.settings,
            "words": self.words,
            "callbacks": self._callback_words(),
        }
        self.checkpoint.save({"state": self.state, **self.memories}, beside)
        self.saved = (self.epoch, self.batch)

    def end_epoch(self, logs: Mapping[str, float]) -> str:
        """Show the logs of the epoch to the callbacks; why these want training to end."""
        state = self.state
        said = [_reason(callback, callback(self.epoch, logs, state)) for callback in self.callbacks]
        self.memories = self._memories()
        self.epoch, self.batch, self.sums = self.epoch + 1, 0, self._nothing()
        return "; ".join(reason for reason in said if reason)

    def _nothing(self) -> Array:
        return placed(means.zeros(len(self.names)), self.mesh)

    def _memories(self) -> dict[str, Any]:
        """Those of the callbacks that have one; later changes of its containers are not seen."""
        found = {name: callback.memory for name, callback in self._remembering().items()}
        return jax.tree.map(lambda a: a, found)

    def _remembering(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for callback in self.callbacks:
            if getattr(callback, "memory", None) is not None:
                name = type(callback).__name__
                while name in found:  # the same kind once more
                    name += "'"
                found[name] = callback
        return found

    def _callback_words(self) -> dict[str, identity.Words]:
        found = self._remembering().items()
        return {name: identity.of_callback(name, callback) for name, callback in found}

    def _go_on(self) -> None:
        """Take everything from the checkpoint, if there is one."""
        found = self.checkpoint and self.checkpoint.restore({"state": self.state, **self.memories})
        if not self.checkpoint or not found:
            return
        trees, beside = found
        now = {k: v for k, v in self.settings.items() if v != beside["settings"].get(k)}
        if now:
            before = {name: beside["settings"].get(name) for name in now}
            raise ValueError(
                f"fit: the checkpoint in {self.checkpoint} is of a run with {before}, this one "
                f"has {now}. Choose another folder, or the same settings."
            )
        self.leaves = jax.tree.leaves(trees["state"])
        self.epoch, self.batch = self.saved = beside["epoch"], beside["batch"]
        self.history = History(**beside["history"])
        # The rows before do not count for a log that is new: it would not be the epoch's mean.
        sums = means.reread(beside["means"], self.names, math.nan if self.batch else 0.0)
        self.sums = placed(sums, self.mesh)
        for name, callback in self._remembering().items():
            if name in trees:
                callback.memory = self.memories[name] = trees[name]
        _tell(self._changes(beside, trees))

    def _changes(self, beside: dict[str, Any], trees: dict[str, Any]) -> list[str]:
        """What is not as it was before the checkpoint, by name."""
        changes = identity.differences(beside["words"], self.words)
        new = [name for name in means.shown(self.names) if name not in beside["means"]]
        if self.batch:
            changes += [f"{name:.40} is not known for epoch {self.epoch + 1}" for name in new]
        old, now = beside["callbacks"], self._callback_words()
        for name, words in now.items():
            if name in trees:
                changes += identity.differences(old[name], words)
            else:
                changes.append(f"{name:.40} begins anew")
        return changes + [f"{name:.40} is left out" for name in old if name not in now]

    def _abandon(self, error: BaseException) -> None:
        """Save what there is and end the callbacks, before an exception goes on."""
        told = f"fit: ended {self.place}; `error.state` and `error.history` are what there was"
        state = None
        with contextlib.suppress(Exception):  # a step that fails has taken the state with it
            jax.block_until_ready((self.leaves, self.sums))
            state = self.state
        # Several processes would have to save together.
        if self.checkpoint and state is not None and jax.process_count() == 1:
            is_sound = not (self.stop_on_nan and means.trouble(self.sums, self.names)[0])
            try:
                if is_sound:
                    self.save()
                    told += f", saved in {self.checkpoint}"
            except Exception as failure:
                told += f", which could not be saved: {type(failure).__name__}"
        for callback in self.callbacks:
            with contextlib.suppress(Exception):
                state = _finish(callback)(state)
        self.history.stopped = f"{type(error).__name__} {self.place}"
        self.end = state, self.history
        error.add_note(f"{told}.")


def told_apart(callbacks: Any) -> tuple[Checkpoint | None, list[Any]]:
    """The checkpoint, of which there is one at most, and the callbacks that are functions."""
    if not isinstance(callbacks, Sequence):
        raise TypeError(f"fit: callbacks must be a list, got {type(callbacks).__name__}.")
    checkpoints = [c for c in callbacks if isinstance(c, Checkpoint)]
    if len(checkpoints) > 1:
        raise ValueError(f"fit: callbacks may hold one Checkpoint, got {len(checkpoints)}.")
    others = [c for c in callbacks if not isinstance(c, Checkpoint)]
    for callback in others:
        if not callable(callback) or isinstance(callback, type):
            raise TypeError(
                f"fit: a callback must be a function of (epoch, logs, state), or an object that "
                f"is called so, got {callback!r:.60}."
            )
    return next(iter(checkpoints), None), others


def _tell(changes: list[str]) -> None:
    if not changes:
        return
    more = f", and {len(changes) - SHOWN} more" if len(changes) > SHOWN else ""
    warnings.warn(
        f"fit: the checkpoint is of another run, it goes on: {'; '.join(changes[:SHOWN])}{more}.",
        RuntimeWarning,
        stacklevel=2,
    )


def _finish(callback: Any) -> Callable[[Any], Any]:
    return getattr(callback, "finish", lambda state: state)


def _reason(callback: Any, said: Any) -> str:
    """Why a callback ends training; empty if it does not."""
    name = getattr(callback, "__qualname__", type(callback).__name__)
    if said is None or isinstance(said, str):
        return said or ""
    if isinstance(said, bool):
        return f"{name:.60} returned True" if said else ""
    raise TypeError(
        f"fit: a callback must return None, or a text or True to end training, got {said!r:.60} "
        f"from {name:.60}."
    )
