"""The loop over epochs and batches; every piece of it can be used alone."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import jax
import numpy as np
from jax import numpy as jnp
from jax.sharding import Mesh

from lossjax.core import check
from lossjax.core.types import Array
from lossjax.core.words import told
from lossjax.objective import Objective
from lossjax.training import identity, means
from lossjax.training.batch import Batch
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
from lossjax.training.interruption import interruptions
from lossjax.training.metrics import Metrics
from lossjax.training.programs import Program, program
from lossjax.training.progress import Bar
from lossjax.training.run import Run, told_apart
from lossjax.training.state import State, checked_state
from lossjax.training.step import as_objective, columns, update

Step: TypeAlias = Callable[[list[Array], Array, Batch], tuple[list[Array], Array]]

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
    A short batch is filled up with rows that have no influence, unless a term is one number for the
    whole batch that knows no masks, as of a function that takes the mean over all samples.
    What was compiled for the objective, the metrics, the shapes and the mesh serves later runs of
    a state from the same `init`; numbers of a loss that are to change between them are arrays.

    `validation` is data too, or the last `validation_split` of the rows. `metrics` are described
    by `lossjax.training.metrics.Metrics`: ["accuracy", "mae"], {"name": function}. `callbacks` are
    called with (epoch, logs, state); one that returns a text, or True, ends training.
    `accumulate` and `mesh` are those of `make_step`. `steps_per_call` steps are one call of the
    device, by default 16 where a step is short and holds no convolution on a CPU, else one.
    `prefetch` batches of an iterable are read ahead by a thread. `verbose` tells whether to show
    progress; by default on a terminal.

    Ctrl-C, and with `stop_on_nan` a loss that is not finite, end training early with what there
    is; `history.stopped` says why. So does SIGTERM, and then SystemExit(143) ends the process, or
    the handler is called that was there. Whatever is raised, that or an error of the data or a
    callback or a second Ctrl-C, has the attributes `state` and `history`: what would have been
    returned; `state` is None where a step failed, which takes it over. With a `Checkpoint` among
    the callbacks it is on disk by then. The state passed in stays as it is.
    """
    checked_state("fit", state)
    for name, number, least in (
        ("epochs", epochs, 0),
        ("accumulate", accumulate, 1),
        ("prefetch", prefetch, 0),
        ("seed", seed, 0),
        ("steps_per_epoch", 1 if steps_per_epoch is None else steps_per_epoch, 1),
        ("steps_per_call", 1 if steps_per_call == "auto" else steps_per_call, 1),
    ):
        check.whole("fit", name, number, least)
    checkpoint, others = told_apart(callbacks)
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
    run = Run(state, names, mesh, checkpoint, others, stop_on_nan)
    run.settings = {"batch_size": int(batch_size), "seed": int(seed), "shuffle": bool(shuffle)}
    run.settings["steps"] = batches.steps and int(batches.steps)
    if checkpoint:
        run.words = identity.of_run(state.tx, objective, scored, batches)
    choices = (objective, scored, run.tree, accumulate, tuple(names))
    one, many = (program(make, *choices, donated=(0, 1)) for make in (_one, _many))
    with (
        run.carried(),
        interruptions(run.is_here) as interruption,
        run.opened(),
        Bar(epochs, batches.steps, verbose) as bar,
    ):
        most = steps_per_call
        if most == "auto":
            first = spread(batches.first(), mesh)
            most = _steps_per_call(one, run.leaves, run.sums, first, batches, epochs)
        while run.epoch < epochs and not run.history.stopped:
            chunks: Any = prefetched(batches.chunks(run.epoch, run.batch, most), prefetch)
            with contextlib.closing(chunks):  # an exception would keep its thread alive
                for batch, number in chunks:
                    step = one if number == 1 else many
                    batch = spread(batch, mesh, axis=int(number > 1))
                    run.leaves, run.sums = step(run.leaves, run.sums, batch)
                    before, run.batch = run.batch, run.batch + number
                    saves = checkpoint is not None and checkpoint.is_due(before, run.batch)
                    if saves or before // CHECK != run.batch // CHECK:
                        run.history.stopped = stop_on_nan * _trouble(run.sums, names, batches)
                    if saves and not run.history.stopped:
                        run.save()
                    if bar.is_due():
                        done = run.epoch * (batches.steps or 0) + run.batch
                        bar.show(run.epoch, done, means.read(run.sums, names))
                    if interruption.how or run.history.stopped:
                        break
            run.history.stopped = stop_on_nan * _trouble(run.sums, names, batches)
            logs = means.read(run.sums, names)
            if validate and not (interruption.how or run.history.stopped):
                found = interruption.unless(lambda: validate(run.state)) or {}
                logs |= {f"val_{name}": value for name, value in found.items()}
            if interruption.how and not run.history.stopped:
                run.save()
                run.history.stopped = f"{interruption.how} {run.place}"
                break
            run.history.epochs.append(logs)
            bar.epoch(run.epoch, logs)
            if run.history.stopped:  # what is not finite is neither saved nor shown to callbacks
                break
            run.history.stopped = run.end_epoch(logs)
            is_last = run.epoch == epochs or run.history.stopped
            if checkpoint and (is_last or run.epoch % checkpoint.every == 0):
                run.save()
    return run.end


def _one(
    objective: Objective, metrics: Metrics, tree: Any, accumulate: int, names: tuple[str, ...]
) -> Step:
    """A step of `fit`. It takes the state as a list, which is fastest."""

    def one(leaves: list[Array], sums: Array, batch: Batch) -> tuple[list[Array], Array]:
        state = jax.tree.unflatten(tree, leaves)
        new, result, scores = update(state, batch, objective, metrics, accumulate)
        logs = columns(result, scores, batch)
        return jax.tree.leaves(new), means.add(sums, [logs[name] for name in names], batch, state)

    return one


def _many(*choices: Any) -> Step:
    """Several steps, of as many batches."""
    one = _one(*choices)

    def many(leaves: list[Array], sums: Array, batches: Batch) -> tuple[list[Array], Array]:
        return jax.lax.scan(
            lambda carry, batch: (one(*carry, batch), None), (leaves, sums), batches
        )[0]

    return many


def _steps_per_call(
    step: Program,
    leaves: list[Array],
    sums: Array,
    batch: Batch,
    batches: Arrays | Stream,
    epochs: int,
) -> int:
    """Judged by the program, not by the clock: the same run takes the same steps every time."""
    steps = batches.steps or 0
    if (
        isinstance(batches, Stream)
        or steps < STEPS_PER_CALL
        or steps * epochs < 20 * STEPS_PER_CALL
    ):
        return 1
    lowered = step.jitted.lower(step.arrays, leaves, sums, batch)
    cost = lowered.cost_analysis() or {}
    # XLA's CPU backend runs a convolution in a loop ten times slower than outside of one.
    has_trap = jax.default_backend() == "cpu" and "stablehlo.convolution" in lowered.as_text()
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
