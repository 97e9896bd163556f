"""The loop over epochs and batches; every piece of it can be used alone."""

import contextlib
import signal
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import jax
import numpy as np
from jax import numpy as jnp
from jax.sharding import Mesh

from lossjax import _check
from lossjax._types import Array
from lossjax._words import told
from lossjax.objective import Objective
from lossjax.training import means
from lossjax.training.batch import Batch
from lossjax.training.checkpoint import Checkpoint
from lossjax.training.data import (
    Arrays,
    Stream,
    automatic,
    placed,
    prefetched,
    source,
    spread,
)
from lossjax.training.data import split as split_rows
from lossjax.training.evaluation import Evaluation, prepared
from lossjax.training.history import History
from lossjax.training.metrics import Metrics
from lossjax.training.progress import Bar
from lossjax.training.state import State, checked_state
from lossjax.training.step import as_objective, columns, update

CHECK = 512  # steps between two looks at whether the loss is finite
STEPS_PER_CALL = 16
SMALL = 2e7  # flops of a step that may take less time than calling it


@told
def fit(
    state: State,
    objective: Any,
    data: Any,
    *,
    epochs: int = 1,
    batch_size: int = 32,
    validation: Any = None,
    validation_split: float = 0.0,
    metrics: Any = None,
    callbacks: Sequence[Any] = (),
    steps_per_epoch: int | None = None,
    accumulate: int = 1,
    mesh: Mesh | None = None,
    steps_per_call: int | Literal["auto"] = "auto",
    prefetch: int = 0,
    shuffle: bool = True,
    seed: int = 0,
    stop_on_nan: bool = True,
    verbose: bool | None = None,
) -> tuple[State, History]:
    """The state after training, and what was logged: the means of each epoch over its samples.

    `data` is (x, y), (x, y, sample_weight) or a dict of "x", "y", "sample_weight" and "mask", each
    an array, tensor or data frame or a nest of these; or an iterable of such batches, as a list or
    a `DataLoader`, or a function that returns one. A list is never one data set. Class numbers
    that an output does not have raise ValueError where something counts them: all labels are
    looked at once, of iterables in the first epoch, but for those on an accelerator.
    Rows of arrays are shuffled by `seed` and the number of the epoch; of iterables, nothing is.
    A short batch is filled up with rows that have no influence, unless the loss couples samples.

    `validation` is data too, or the last `validation_split` of the rows. `metrics` are described
    by `lossjax.training.metrics.Metrics`: ["accuracy", "mae"], {"name": function}. `callbacks` are
    called with (epoch, logs, state); one that returns a text ends training. `accumulate` and
    `mesh` are those of `make_step`. `steps_per_call` steps are one call of the device, by default
    16 where a step is short and holds no convolution on a CPU, else one. `prefetch` batches of an
    iterable are read ahead by a thread. `verbose` tells whether to show progress; by default on a
    terminal.

    Ctrl-C, and with `stop_on_nan` a loss that is not finite, end training early with what there
    is; `history.stopped` says why. The state passed in stays as it is.
    """
    checked_state("fit", state)
    accumulate = _check.whole("fit", "accumulate", accumulate, 1)
    objective, scored, mesh = as_objective(objective), Metrics(metrics), automatic(mesh)
    if validation_split:
        data, validation = split_rows(data, validation_split, validation)
    batches = source(
        "fit",
        data,
        batch_size,
        multiple=accumulate * (mesh.size if mesh else 1),
        steps=steps_per_epoch,
        seed=seed if shuffle else None,
        shared=mesh is not None,
    )
    state = placed(jax.tree.map(lambda a: jnp.array(a, copy=True), state), mesh)
    names = prepared(batches, state, objective, scored)
    validate = None
    if validation is not None:
        validate = Evaluation(
            "fit: validation", validation, batch_size, state, objective, scored, mesh
        )
    checkpoint = next((c for c in callbacks if isinstance(c, Checkpoint)), None)
    others = [c for c in callbacks if c is not checkpoint]
    if checkpoint:
        checkpoint.open()
    for callback in others:
        getattr(callback, "start", lambda state: None)(state)

    history, epoch, start = History(), 0, 0
    leaves, tree = jax.tree.flatten(state)
    sums = placed(means.zeros(len(names)), mesh)
    one, many = _compiled(tree, objective, scored, accumulate, tuple(names))
    run = {"batch_size": batch_size, "seed": seed, "shuffle": shuffle, "steps": batches.steps}

    def kept() -> Any:
        return leaves, sums, [getattr(callback, "memory", None) for callback in others]

    def save() -> None:
        if checkpoint is None:
            return
        beside = {"epoch": epoch, "batch": start, "history": vars(history), "run": run}
        checkpoint.save(jax.tree.leaves(kept()), beside)

    if checkpoint and (found := checkpoint.restore(jax.tree.leaves(kept()))):
        arrays, beside = found
        if beside["run"] != run:
            raise ValueError(
                f"fit: the checkpoint in {checkpoint.folder} is of a run with {beside['run']}, "
                f"this one has {run}. Choose another folder, or the same settings."
            )
        leaves, sums, memories = jax.tree.unflatten(jax.tree.structure(kept()), arrays)
        for callback, memory in zip(others, memories, strict=True):
            if memory is not None:
                callback.memory = memory
        epoch, start, history = beside["epoch"], beside["batch"], History(**beside["history"])

    most = steps_per_call
    if most == "auto":
        most = _steps_per_call(one, leaves, sums, spread(batches.first(), mesh), batches, epochs)
    with interruptions() as interrupted, Bar(epochs, batches.steps, verbose) as bar:
        while epoch < epochs and not history.stopped:
            for batch, number in prefetched(batches.chunks(epoch, start, most), prefetch):
                step = one if number == 1 else many
                leaves, sums = step(leaves, sums, spread(batch, mesh, axis=int(number > 1)))
                before, start = start, start + number
                saves = checkpoint is not None and checkpoint.is_due(before, start)
                if saves or before // CHECK != start // CHECK:
                    history.stopped = stop_on_nan * _trouble(sums, names, batches)
                if saves and not history.stopped:
                    save()
                if bar.is_due():
                    bar.show(epoch, start, means.read(sums, names))
                if interrupted.is_set() or history.stopped:
                    break
            if interrupted.is_set():
                save()
                history.stopped = f"interrupted after {start} batches of epoch {epoch + 1}"
                break
            history.stopped = stop_on_nan * _trouble(sums, names, batches)
            logs, sums = means.read(sums, names), placed(means.zeros(len(names)), mesh)
            state = jax.tree.unflatten(tree, leaves)
            if validate and not history.stopped:
                logs |= {f"val_{name}": value for name, value in validate(state).items()}
            history.epochs.append(logs)
            bar.epoch(epoch, logs)
            epoch, start = epoch + 1, 0
            if history.stopped:  # what is not finite is neither saved nor shown to callbacks
                break
            reasons = [callback(epoch - 1, logs, state) for callback in others]
            history.stopped = "; ".join(reason for reason in reasons if reason)
            if checkpoint and (epoch % checkpoint.every == 0 or epoch == epochs):
                save()
    state = jax.tree.unflatten(tree, leaves)
    for callback in others:
        state = getattr(callback, "finish", lambda state: state)(state)
    if checkpoint:
        checkpoint.close()
    return state, history


def _compiled(
    tree: Any, objective: Objective, metrics: Metrics, accumulate: int, names: tuple[str, ...]
) -> tuple[Any, Any]:
    """The steps of `fit`: one, and several. They take the state as a list, which is fastest."""

    def one(leaves: list[Array], sums: Array, batch: Batch) -> tuple[list[Array], Array]:
        state = jax.tree.unflatten(tree, leaves)
        new, result, scores = update(state, batch, objective, metrics, accumulate)
        logs = columns(result, scores, batch)
        return jax.tree.leaves(new), means.add(sums, [logs[name] for name in names], batch, state)

    def many(leaves: list[Array], sums: Array, batches: Batch) -> tuple[list[Array], Array]:
        return jax.lax.scan(
            lambda carry, batch: (one(*carry, batch), None), (leaves, sums), batches
        )[0]

    return jax.jit(one, donate_argnums=(0, 1)), jax.jit(many, donate_argnums=(0, 1))


def _steps_per_call(
    step: Any, leaves: list[Array], sums: Array, batch: Batch, batches: Arrays | Stream, epochs: int
) -> int:
    """Judged by the program, not by the clock: the same run takes the same steps every time."""
    steps = batches.steps or 0
    if (
        isinstance(batches, Stream)
        or steps < STEPS_PER_CALL
        or steps * epochs < 20 * STEPS_PER_CALL
    ):
        return 1
    program = step.lower(leaves, sums, batch)
    cost = program.cost_analysis() or {}
    # XLA's CPU backend runs a convolution in a loop ten times slower than outside of one.
    has_trap = jax.default_backend() == "cpu" and "stablehlo.convolution" in program.as_text()
    return STEPS_PER_CALL if cost.get("flops", SMALL) < SMALL and not has_trap else 1


def _trouble(sums: Array, names: list[str], batches: Arrays | Stream) -> str:
    """Where a loss that is not finite came from; empty if all were."""
    step, bad = means.trouble(sums, names)
    if not step:
        return ""
    text = f"not finite from step {step} on: {', '.join(bad)}"
    if not isinstance(batches, Arrays):
        return text
    epoch, number = divmod(step - 1, batches.steps)
    batch, _ = next(batches.chunks(epoch, number, 1))
    leaves = jax.tree_util.tree_leaves_with_path(batch._asdict())
    inputs = [jax.tree_util.keystr(path) for path, a in leaves if not np.isfinite(a).all()]
    found = f"{', '.join(inputs)} is not" if inputs else "but its inputs are"
    return f"{text} (batch {number + 1} of epoch {epoch + 1}, {found} finite)"


@contextlib.contextmanager
def interruptions() -> Iterator[threading.Event]:
    """Set by the first Ctrl-C, between two steps; the second one is raised as always."""
    is_set = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield is_set
        return
    old = signal.getsignal(signal.SIGINT)

    def handle(*_: Any) -> None:
        is_set.set()
        signal.signal(signal.SIGINT, old)

    signal.signal(signal.SIGINT, handle)
    try:
        yield is_set
    finally:
        signal.signal(signal.SIGINT, old)
