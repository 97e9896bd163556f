"""Batches from arrays, iterables and callables: checked, shuffled, padded, put on devices."""

import contextlib
import functools
import itertools
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from lossjax.core import check
from lossjax.training.batch import Batch, as_batch, as_inputs, checked, is_array, padded
from lossjax.training.truth import Truth

Chunk: TypeAlias = tuple[Batch, int]  # several batches, stacked, and how many; or one, and 1


def automatic(mesh: Mesh | None) -> Mesh | None:
    """The mesh with automatic axes: with explicit ones, losses that gather or sort fail."""
    if mesh is None or all(kind == AxisType.Auto for kind in mesh.axis_types):
        return mesh
    return Mesh(mesh.devices, mesh.axis_names)


def spread(tree: Any, mesh: Mesh | None, axis: int = 0) -> Any:
    """Rows over the devices of the mesh; each process brings its own. None: left to the step."""
    if mesh is None:
        return tree
    spec = PartitionSpec(*[None] * axis, mesh.axis_names)
    sharding = NamedSharding(mesh, spec)
    return jax.tree.map(
        lambda a: jax.make_array_from_process_local_data(sharding, np.asarray(a)), tree
    )


def placed(tree: Any, mesh: Mesh | None) -> Any:
    """Arrays that are not on the mesh yet, copied to all of its devices."""
    if mesh is None:
        return tree
    everywhere, devices = NamedSharding(mesh, PartitionSpec()), set(mesh.devices.flat)

    def place(a: Any) -> Any:
        return a if a.sharding.device_set == devices else jax.device_put(a, everywhere)

    return jax.tree.map(place, tree)


class Arrays:
    """Rows of arrays in memory, in an order that the seed and the epoch determine.

    With several processes every one holds all rows and takes its share of each batch, so that
    a batch is the same on any number of devices.
    """

    def __init__(
        self,
        where: str,
        batch: Batch,
        size: int,
        *,
        multiple: int = 1,
        seed: int | None = None,
        shared: bool = False,
    ) -> None:
        self.where, self.batch = where, jax.tree.map(np.asarray, checked(where, batch))
        self.size, self.seed = min(size, self.batch.size), seed
        self.steps = -(-self.batch.size // self.size)
        # What a padded batch has; without padding the last batch is what is left.
        self.full = -(-self.size // multiple) * multiple
        self.pads = False
        self.is_shared = shared and jax.process_count() > 1
        self._row_mask = functools.cache(self._row_mask_of)

    def pad(self) -> None:
        """Fill short batches up from now on."""
        self.pads = bool(self.batch.size % self.size) or self.full != self.size

    def first(self) -> Batch:
        """The first batch, which is not used up by looking at it."""
        return next(self.chunks(0, 0, 1))[0]

    def take(self, truth: Truth) -> None:
        """What the losses are to get from now on; all labels are looked at once, here."""
        self.batch = truth(self.where, self.batch, look=True)

    def chunks(self, epoch: int, start: int, most: int) -> Iterator[Chunk]:
        """Batches from number `start`; `most` at once as long as so many full ones are left."""
        leaves, tree = jax.tree.flatten(self.batch._replace(rows=None))
        count = self.batch.size
        order = np.arange(count)
        if self.seed is not None:
            order = np.random.default_rng([self.seed, epoch]).permutation(count)
        whole = count // self.size
        while start < self.steps:
            number = most if start + most <= whole else 1
            index = order[start * self.size : (start + number) * self.size]
            index = index.reshape(number, -1) if number > 1 else index
            rows = None
            if self.pads:
                valid = index.shape[-1]
                rows = self._row_mask(valid, number)
                filler = np.repeat(index[..., :1], self.full - valid, axis=-1)
                index = np.concatenate([index, filler], axis=-1)
            if self.is_shared:
                width = index.shape[-1] // jax.process_count()
                here = slice(jax.process_index() * width, (jax.process_index() + 1) * width)
                index, rows = index[..., here], rows if rows is None else rows[..., here]
            found = jax.tree.unflatten(tree, [leaf.take(index, axis=0) for leaf in leaves])
            yield found if rows is None else found._replace(rows=rows), number
            start += number

    def _row_mask_of(self, valid: int, number: int) -> Any:
        rows = np.arange(self.full) < valid
        rows = rows if number == 1 else np.broadcast_to(rows, (number, self.full))
        # The same few masks serve all steps: on the device, each costs a third as much to pass.
        return rows if self.is_shared else jax.numpy.asarray(rows)


class Stream:
    """Batches from an iterable, or from a function that returns one; all padded to the first."""

    def __init__(
        self,
        where: str,
        data: Any,
        *,
        multiple: int = 1,
        steps: int | None = None,
        read: Callable[[str, Any], Batch] = as_batch,
    ) -> None:
        self.where, self.data, self.multiple, self.steps = where, data, multiple, steps
        self.read = read
        self.is_continued = hasattr(data, "__next__") or steps is not None
        self.pads = False
        self.full = 0
        self._truth: Truth | None = None
        self._looks = True  # at labels, for one epoch
        self._rest: Iterator[Any] | None = None
        self._taken = 0  # from `_rest`
        self._position = (0, 0)  # epoch and number of the batch that `_rest` gives next

    def pad(self) -> None:
        """Fill short batches up from now on."""
        self.pads = True

    def first(self) -> Batch:
        """The first batch, which is not used up by looking at it."""
        self._seek(0, 0)
        for data in self._rest or ():
            self._rest = itertools.chain([data], self._rest or ())
            return checked(self.where, self.read(self.where, data))
        raise self._ran_out(0, 0)

    def take(self, truth: Truth) -> None:
        """What the losses are to get from now on; labels are looked at once, as they come."""
        self._truth = truth

    def chunks(self, epoch: int, start: int, most: int) -> Iterator[Chunk]:
        """Batches of an epoch from number `start`; those before are read and left out."""
        self._seek(epoch, start)
        number = start
        while self.steps is None or number < self.steps:
            wanted = most if self.steps is None else min(most, self.steps - number)
            found = list(itertools.islice(self._read(number), wanted))
            self._taken += len(found)
            self._position = (epoch, number + len(found))
            same = len({tuple(np.shape(a) for a in jax.tree.leaves(b)) for b in found}) == 1
            if len(found) == most > 1 and same:
                yield jax.tree.map(lambda *a: np.stack(a), *found), most
            else:
                yield from ((batch, 1) for batch in found)
            number += len(found)
            if len(found) < wanted:
                break
        if number == 0 or (self.steps is not None and number < self.steps):
            raise self._ran_out(epoch, number)
        self._looks = False

    def _ran_out(self, epoch: int, number: int) -> ValueError:
        need = "at least one is" if self.steps is None else f"{self.steps} are"
        return ValueError(
            f"{self.where}: the data ran out after {number} batches of epoch {epoch + 1}; {need} "
            f"needed. Pass a list of batches, or a function that returns a new iterator."
        )

    def _seek(self, epoch: int, start: int) -> None:
        """Go to a batch: on from here where the epochs share one iterator, else from the start."""
        if self._rest is not None and (epoch, start) == self._position:
            return
        if self._rest is None or not self.is_continued:
            self._rest = iter(self.data() if callable(self.data) else self.data)
            self._taken = 0
        before = epoch * (self.steps or 0) if self.is_continued else 0
        for _ in itertools.islice(self._rest, max(0, before + start - self._taken)):
            self._taken += 1

    def _read(self, start: int) -> Iterator[Batch]:
        for number, data in enumerate(self._rest or (), start + 1):
            batch = checked(self.where, self.read(self.where, data))
            if self._truth is not None:
                batch = self._truth(f"{self.where}: batch {number}", batch, self._looks)
            count = batch.size
            self.full = self.full or -(-count // self.multiple) * self.multiple
            if self.pads and batch.rows is None:
                batch = padded(batch, max(self.full, -(-count // self.multiple) * self.multiple))
            yield batch


def prefetched(chunks: Iterator[Chunk], depth: int) -> Iterator[Chunk]:
    """The same, read ahead by a thread, `depth` at most; an error of the data is raised here."""
    if not depth:
        yield from chunks
        return
    ready: queue.Queue[tuple[Chunk | None, BaseException | None]] = queue.Queue(depth)
    is_over = threading.Event()

    def put(item: tuple[Chunk | None, BaseException | None]) -> None:
        while not is_over.is_set():
            with contextlib.suppress(queue.Full):
                return ready.put(item, timeout=0.1)

    def read() -> None:
        failure: BaseException | None = None
        try:
            for chunk in chunks:
                put((_ahead(chunk), None))
                if is_over.is_set():
                    return
        except BaseException as error:
            failure = error
        put((None, failure))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        while True:
            chunk, failure = ready.get()
            if failure is not None:
                raise failure
            if chunk is None:
                return
            yield chunk
    finally:
        is_over.set()


def _ahead(chunk: Chunk) -> Chunk:
    """On an accelerator the copy starts now; a CPU takes NumPy's arrays ten times faster."""
    return chunk if jax.default_backend() == "cpu" else jax.device_put(chunk)


def source(
    where: str,
    data: Any,
    size: int,
    *,
    multiple: int = 1,
    steps: int | None = None,
    seed: int | None = None,
    shared: bool = False,
) -> Arrays | Stream:
    """Batches of whatever data is: arrays in memory, or something to iterate over."""
    size = check.whole(where, "batch_size", size, 1)
    batch = _rows(where, data)
    if batch is None:
        return Stream(where, data, multiple=multiple, steps=steps)
    return Arrays(where, batch, size, multiple=multiple, seed=seed, shared=shared)


def inputs(where: str, x: Any, size: int) -> Arrays | Stream:
    """Batches of inputs: rows of an array, tuple or dict of these; or the x of an iterable's."""
    size = check.whole(where, "batch_size", size, 1)
    if isinstance(x, Mapping):
        return Arrays(where, as_inputs(where, x), size)
    if isinstance(x, tuple) or is_array(x):
        return Arrays(where, Batch(x), size)
    _check_iterable(where, x)
    return Stream(where, x, read=as_inputs)


def _rows(where: str, data: Any) -> Batch | None:
    """Arrays as one batch of all rows; None for what there is to iterate over."""
    if isinstance(data, (Mapping, tuple)) or is_array(data):
        return as_batch(where, data)
    _check_iterable(where, data)
    if isinstance(data, list) and any(map(is_array, data)):
        raise ValueError(
            f"{where}: a list holds batches, got a list of arrays. Pass (x, y), or batches of x "
            f"alone as [(x1,), (x2,)]."
        )
    return None


def _check_iterable(where: str, data: Any) -> None:
    is_text = isinstance(data, (str, bytes))
    if is_text or not (callable(data) or hasattr(data, "__iter__")):
        is_samples = hasattr(data, "__getitem__") and not is_text
        hint = " A DataLoader makes batches of it." if is_samples else ""
        raise TypeError(
            f"{where}: data must be arrays, an iterable of batches or a function that returns "
            f"one, got {type(data).__name__}.{hint}"
        )


def split(data: Any, share: Any, validation: Any) -> tuple[Batch, Batch]:
    """The rows of arrays before the last `share`, and these, as Keras's `validation_split`."""
    if validation is not None:
        raise ValueError("fit: give validation or validation_split, not both.")
    if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share < 1:
        raise ValueError(f"fit: validation_split must be between 0 and 1, got {share!r:.80}.")
    batch = _rows("fit", data)
    if batch is None:
        raise TypeError(
            f"fit: validation_split takes the last rows of arrays, got {type(data).__name__}. "
            f"Pass other batches as validation=."
        )
    batch = jax.tree.map(np.asarray, checked("fit", batch))
    edge = int(batch.size * (1 - share))
    if not 0 < edge < batch.size:
        raise ValueError(
            f"fit: validation_split={share} of {batch.size} rows leaves {edge} to train on."
        )
    return jax.tree.map(lambda a: a[:edge], batch), jax.tree.map(lambda a: a[edge:], batch)
