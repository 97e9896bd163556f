"""Batches from arrays, iterables and callables: checked, shuffled, padded, put on devices."""

import contextlib
import functools
import itertools
import queue
import threading
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec


class Batch(NamedTuple):
    """Inputs, truth, weights and masks of some samples; `rows` is false for padding."""

    x: Any
    y: Any = None
    sample_weight: Any = None
    mask: Any = None
    rows: Any = None

    @property
    def size(self) -> int:
        """The number of rows, padding included."""
        return len(jax.tree.leaves(self.x)[0])


Chunk: TypeAlias = tuple[Batch, int]  # several batches, stacked, and how many; or one, and 1


def as_batch(where: str, data: Any) -> Batch:
    """A `Batch` of (x, y), (x, y, sample_weight), a dict of these and "mask", or x alone."""
    if isinstance(data, Batch):
        return data
    if isinstance(data, Mapping) and "x" in data:
        unknown = sorted(set(data) - set(Batch._fields[:4]))
        if unknown:
            raise ValueError(
                f"{where}: a batch has the keys {', '.join(Batch._fields[:4])}, got {unknown}. "
                f"Put several inputs into a dict under 'x'."
            )
        return Batch(**data)
    if isinstance(data, (tuple, list)) and 1 <= len(data) <= 3:
        return Batch(*data)
    if isinstance(data, np.ndarray | jax.Array):
        return Batch(data)
    got = sorted(data) if isinstance(data, Mapping) else type(data).__name__
    raise ValueError(
        f"{where}: a batch is (x, y), (x, y, sample_weight) or a dict with 'x' and 'y', got {got}."
    )


def checked(where: str, batch: Batch) -> Batch:
    """All arrays of a batch, or of a data set, have the same number of rows, at least one."""
    counts = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(batch._asdict()):
        if np.ndim(leaf) == 0:
            name = jax.tree_util.keystr(path)
            raise ValueError(f"{where}: {name} must be an array with one row a sample, got {leaf}.")
        counts[jax.tree_util.keystr(path)] = np.shape(leaf)[0]
    if len(set(counts.values())) > 1:
        raise ValueError(f"{where}: all arrays need the same number of rows, got {counts}.")
    if not counts or not max(counts.values()):
        raise ValueError(f"{where}: the data is empty: at least one row is needed.")
    return batch


def padded(batch: Batch, size: int) -> Batch:
    """`batch` with its first row repeated up to `size` rows: zeros may have no derivative."""
    count = batch.size
    take = np.where(np.arange(size) < count, np.arange(size), 0)
    return jax.tree.map(lambda a: a[take], batch)._replace(rows=np.arange(size) < count)


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
        self.batch = checked(where, jax.tree.map(np.asarray, batch))
        if size < 1:
            raise ValueError(f"{where}: batch_size must be at least 1, got {size}.")
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
    ) -> None:
        self.where, self.data, self.multiple, self.steps = where, data, multiple, steps
        self.is_continued = hasattr(data, "__next__") or steps is not None
        self.pads = False
        self.full = 0
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
            return checked(self.where, as_batch(self.where, data))
        raise self._ran_out(0, 0)

    def chunks(self, epoch: int, start: int, most: int) -> Iterator[Chunk]:
        """Batches of an epoch from number `start`; those before are read and left out."""
        self._seek(epoch, start)
        number = start
        while self.steps is None or number < self.steps:
            wanted = most if self.steps is None else min(most, self.steps - number)
            found = list(itertools.islice(self._read(), wanted))
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

    def _read(self) -> Iterator[Batch]:
        for data in self._rest or ():
            batch = checked(self.where, as_batch(self.where, data))
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
    is_arrays = isinstance(data, (np.ndarray, jax.Array, Mapping, tuple))
    if not is_arrays and not callable(data) and not hasattr(data, "__iter__"):
        raise TypeError(
            f"{where}: data must be arrays, an iterable of batches or a function that returns "
            f"one, got {type(data).__name__}."
        )
    if not is_arrays:
        return Stream(where, data, multiple=multiple, steps=steps)
    return Arrays(where, as_batch(where, data), size, multiple=multiple, seed=seed, shared=shared)


def split(data: Any, share: float) -> tuple[Any, Any]:
    """The rows of arrays before the last `share`, and these, as Keras's `validation_split`."""
    batch = checked("fit", jax.tree.map(np.asarray, as_batch("fit", data)))
    edge = int(batch.size * (1 - share))
    if not 0 < edge < batch.size:
        raise ValueError(
            f"fit: validation_split={share} of {batch.size} rows leaves {edge} to train on."
        )
    return jax.tree.map(lambda a: a[:edge], batch), jax.tree.map(lambda a: a[edge:], batch)
