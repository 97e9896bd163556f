"""Training that is killed goes on from its last checkpoint as if nothing had happened."""

import json
import tempfile
import warnings
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp


class Checkpoint:
    """Save to `folder` after every `every` epochs, and after every `every_steps` steps if given.

    A callback for `fit`, which goes on from the newest complete checkpoint that is there: with
    parameters, optimizer, step, random keys, position in the data, running means and history,
    so that the end is that of an uninterrupted run, bit for bit. Written by orbax beside the
    training, `keep` are kept. OSError if the folder cannot be written to; a save that fails later
    (a full disk) is a warning, and training goes on.
    """

    def __init__(
        self, folder: str | Path, *, every: int = 1, every_steps: int | None = None, keep: int = 3
    ) -> None:
        self.folder = Path(folder).absolute()
        self.every, self.every_steps, self.keep = every, every_steps, keep

    def open(self) -> None:
        """Make the folder, and see that it can be written to."""
        import orbax.checkpoint as ocp

        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder) as file:
                file.write(b"lossjax")
        except OSError as error:
            raise OSError(
                f"Checkpoint: cannot write to the folder {self.folder}: {error.strerror}."
            ) from error
        options = ocp.CheckpointManagerOptions(max_to_keep=self.keep)
        self._ocp, self._manager = ocp, ocp.CheckpointManager(self.folder, options=options)
        self._number = self._manager.latest_step() or 0

    def restore(self, arrays: Any) -> tuple[Any, dict[str, Any]] | None:
        """The newest arrays, like `arrays`, and what was written beside; None if there are none."""
        if self._manager.latest_step() is None:
            return None
        arguments = self._ocp.args.Composite(
            arrays=self._ocp.args.StandardRestore(jax.tree.map(_struct, _plain(arrays))),
            beside=self._ocp.args.JsonRestore(),
        )
        try:
            found = self._manager.restore(self._number, args=arguments)
        except ValueError as error:
            raise ValueError(
                f"Checkpoint: what is in {self.folder} is of another model, optimizer or list "
                f"of callbacks. Choose another folder."
            ) from error
        return jax.tree.map(_like, found.arrays, arrays), found.beside

    def is_due(self, before: int, after: int) -> bool:
        """Whether to save between these two steps of an epoch."""
        every = self.every_steps
        return every is not None and before // every != after // every

    def save(self, arrays: Any, beside: dict[str, Any]) -> None:
        """Begin to write a checkpoint; it counts once it is complete."""
        self._number += 1
        arguments = self._ocp.args.Composite(
            arrays=self._ocp.args.StandardSave(_plain(arrays)),
            beside=self._ocp.args.JsonSave(json.loads(json.dumps(beside))),
        )
        try:
            self._manager.save(self._number, args=arguments, force=True)
        except (OSError, ValueError, RuntimeError) as error:
            self._failed(error)

    def close(self) -> None:
        """Wait until what was saved is on disk."""
        try:
            self._manager.wait_until_finished()
        except (OSError, ValueError, RuntimeError) as error:
            self._failed(error)
        self._manager.close()

    def _failed(self, error: Exception) -> None:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        warnings.warn(
            f"Checkpoint: saving to {self.folder} failed, training goes on: {first}",
            RuntimeWarning,
            stacklevel=2,
        )


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
