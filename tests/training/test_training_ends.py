"""Every way in which training ends: nothing that was trained is lost, and it is said why."""

import csv
import itertools
import logging
import os
import shutil
import signal
import threading
import time

import chex
import jax
import numpy as np
import optax
import pytest
from flax import nnx
from jax import numpy as jnp

from cases import quick
from lossjax import Objective, losses, training
from lossjax.training import callbacks as ours
from lossjax.training import data as batches
from lossjax.training import identity, loop, means
from lossjax.training.interruption import interruptions
from lossjax.training.metrics import Metrics
from lossjax.training.programs import Program, program

X = np.random.default_rng(0).normal(size=(20, 3)).astype("f")
Y = (X @ np.array([[1.0], [-2.0], [0.5]])).astype("f")
START = training.init(nnx.Linear(3, 1, rngs=nnx.Rngs(0)), optax.adam(0.1))
PARTS = [(X[i : i + 5], Y[i : i + 5]) for i in range(0, 20, 5)]


class Broken(Exception):
    pass


def fit(callbacks=(), objective="mse", data=(X, Y), state=START, **how):
    how = {"epochs": 3, "batch_size": 5, **how}
    return training.fit(state, objective, data, callbacks=callbacks, **how)


def steps(state):
    return int(state.step)


@pytest.fixture(scope="module")
def want():
    return fit(data=PARTS, validation=(X, Y))


class Breaks:
    """Training whose data, callback or validation ends it in its second epoch, if it is told to."""

    def __init__(self, what):
        self.what, self.epoch = what, 0

    def data(self):
        for number, part in enumerate(PARTS):
            if (self.what, self.epoch, number) == ("data", 1, 2):
                raise Broken(self.what)
            yield part

    def validation(self):
        if (self.what, self.epoch) == ("validation", 1):
            raise Broken(self.what)
        yield X, Y

    def __call__(self, epoch, logs, state):
        self.epoch = epoch + 1
        if (self.what, epoch) == ("callback", 1):
            raise Broken(self.what)
        if (self.what, epoch) == ("Ctrl-C twice", 1):
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize(
    ("what", "error", "place"),
    [
        ("data", Broken, "after 2 batches of epoch 2"),
        ("callback", Broken, "after 4 batches of epoch 2"),
        ("validation", Broken, "after 4 batches of epoch 2"),
        ("Ctrl-C twice", KeyboardInterrupt, "after 4 batches of epoch 2"),
    ],
)
def test_an_exception_brings_what_there_is_and_saves_it(tmp_path, want, what, error, place):
    """And the run goes on from there, to the same end."""
    checkpoint, broken = training.Checkpoint(tmp_path / "saved"), Breaks(what)
    log = training.CSVLog(tmp_path / "log.csv")
    with pytest.raises(error) as raised:
        fit([checkpoint, log, broken], data=broken.data, validation=broken.validation)
    state, history = raised.value.state, raised.value.history
    assert history.stopped == f"{error.__name__} {place}"
    assert steps(state) == 4 + int(place[6])
    assert history["loss"] == want[1]["loss"][: len(history.epochs)]
    assert f"ended {place}" in raised.value.__notes__[0]
    assert str(tmp_path) in raised.value.__notes__[0]
    saved, _ = checkpoint.load(START)
    chex.assert_trees_all_equal(jax.tree.leaves(saved), jax.tree.leaves(state))

    fine = Breaks("")
    got = fit([checkpoint, log, fine], data=fine.data, validation=fine.validation)
    chex.assert_trees_all_equal(got[0].params, want[0].params)
    assert got[1]["loss"] == want[1]["loss"]
    # Validated in other batches.
    np.testing.assert_allclose(got[1]["val_loss"], want[1]["val_loss"], rtol=1e-6)
    with (tmp_path / "log.csv").open(newline="") as file:
        assert [float(row["loss"]) for row in csv.DictReader(file)] == want[1]["loss"]


def test_data_that_runs_out_brings_what_there_is():
    with pytest.raises(ValueError, match="ran out after 1 batches of epoch 2") as raised:
        fit(data=iter(PARTS + PARTS[:1]), steps_per_epoch=4)
    assert steps(raised.value.state) == 5
    assert len(raised.value.history.epochs) == 1
    assert training.predict(raised.value.state, X).shape == (20, 1)


def test_a_step_that_fails_has_taken_the_state(monkeypatch):
    """What is left is the best one."""

    class Fails(Program):
        def __init__(self, make, objective, metrics, tree, *choices, donated):
            whole = program(make, objective, metrics, tree, *choices, donated=donated)
            super().__init__(whole.jitted, whole.arrays)
            self.tree = tree

        def __call__(self, leaves, sums, batch):
            fails = steps(jax.tree.unflatten(self.tree, leaves)) == 6
            found = super().__call__(leaves, sums, batch)
            if fails:
                raise Broken("device")
            return found

    monkeypatch.setattr(loop, "program", Fails)
    for stopping, left in (([], None), ([training.EarlyStopping("loss")], 4)):
        with pytest.raises(Broken) as raised:
            fit(stopping)
        state, history = raised.value.state, raised.value.history
        assert (state and steps(state)) == left
        assert len(history.epochs) == 1


def test_errors_before_training_are_as_they_are():
    with pytest.raises(ValueError, match="the data is empty") as raised:
        fit(data=(X[:0], Y[:0]))
    assert not hasattr(raised.value, "state")


def test_the_thread_that_reads_ahead_ends(tmp_path):
    """Although the exception, which holds the generator that would end it, is held."""

    before, errors = threading.active_count(), []

    class Fails(training.Checkpoint):
        def save(self, trees, beside):
            raise Broken

    fails = Fails(tmp_path, every_steps=2)
    try:
        fit([fails], data=itertools.cycle(PARTS), steps_per_epoch=99, prefetch=2)
    except Broken as error:
        errors.append(error)
    until = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < until:
        time.sleep(0.05)
    assert threading.active_count() <= before
    assert steps(errors[0].state) == 2
    assert "could not be saved: Broken" in errors[0].__notes__[0]


def test_a_callback_is_finished_on_every_way():
    class Closing:
        closed = 0

        def __call__(self, epoch, logs, state):
            raise Broken

        def finish(self, state):
            self.closed += 1
            raise OSError("which must not hide the first one")

    closing = Closing()
    with pytest.raises(Broken) as raised:
        fit([closing])
    assert closing.closed == 1
    assert steps(raised.value.state) == 4


def kill(number):
    def callback(epoch, logs, state):
        if epoch == 0:
            os.kill(os.getpid(), number)

    return callback


def test_sigterm_saves_and_ends_the_process(tmp_path, want):
    before, how = signal.getsignal(signal.SIGTERM), {"data": PARTS, "validation": (X, Y)}
    with pytest.raises(SystemExit) as raised:
        fit([training.Checkpoint(tmp_path), kill(signal.SIGTERM)], **how)
    assert raised.value.code == 143
    assert raised.value.history.stopped == "terminated after 1 batches of epoch 2"
    assert steps(raised.value.state) == 5
    assert signal.getsignal(signal.SIGTERM) is before
    state, history = fit([training.Checkpoint(tmp_path)], **how)
    chex.assert_trees_all_equal(state.params, want[0].params)
    assert history == want[1]


def test_a_handler_of_ones_own_is_called_at_the_end():
    seen = []
    old = signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
    try:
        state, history = fit([kill(signal.SIGTERM)])
        assert seen == [signal.SIGTERM]
        assert history.stopped == "terminated after 1 batches of epoch 2"
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _, history = fit([kill(signal.SIGTERM)])
        assert (len(history.epochs), history.stopped) == (3, "")
    finally:
        signal.signal(signal.SIGTERM, old)
    assert steps(state) == 5


def test_a_signal_leaves_a_validation(tmp_path, want):
    """Which may take longer than the time there is until the process is killed."""
    is_armed = [True]

    def validation():
        yield X[:10], Y[:10]
        if is_armed:
            os.kill(os.getpid(), is_armed.pop() and signal.SIGINT)
        yield X[10:], Y[10:]

    checkpoint = training.Checkpoint(tmp_path)
    state, history = fit([checkpoint], data=PARTS, validation=validation)
    assert history.stopped == "interrupted after 4 batches of epoch 1"
    assert (steps(state), history.epochs) == (4, [])
    state, history = fit([checkpoint], data=PARTS, validation=validation)
    chex.assert_trees_all_equal(state.params, want[0].params)
    assert history["loss"] == want[1]["loss"]


def test_signals_wait_for_a_step():
    """A second Ctrl-C while a step has the state would lose it; SIGTERM comes twice from some."""
    is_here, seen = [True], []

    def train():
        with interruptions(lambda: is_here[0]) as found:
            seen.append(found.how)
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
            seen.append(found.how)
            is_here[0] = False
            os.kill(os.getpid(), signal.SIGINT)
            seen.append("not raised")
            is_here[0] = True
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(SystemExit):
        train()
    assert seen == ["", "terminated", "not raised"]


def test_signals_are_those_of_the_main_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(fit(epochs=1)[1].stopped))
    thread.start()
    thread.join()
    assert found == [""]


def test_what_is_not_finite_is_not_saved(tmp_path):
    x = X.copy()
    x[7] = np.nan
    data = [(x[i : i + 5], Y[i : i + 5]) for i in range(0, 15, 5)]
    with pytest.raises(ValueError, match="ran out"):
        fit([training.Checkpoint(tmp_path)], data=data, steps_per_epoch=4)
    with pytest.raises(FileNotFoundError, match="there is none in the folder"):
        training.Checkpoint(tmp_path).load(START)


@pytest.mark.parametrize(
    ("values", "how", "best"),
    [
        ([np.nan, np.inf, np.nan], {}, None),
        ([-np.inf, np.nan], {}, None),
        ([np.inf], {"mode": "max"}, None),
        ([3.0, np.nan, -np.inf, 5.0], {}, 0),
        ([np.nan, 3.0, np.nan], {}, 1),
        ([np.nan, 3.0, np.inf], {"mode": "max"}, 1),
        ([np.nan], {"restore_best": False}, 99),
        ([], {}, 99),  # interrupted in the first epoch: nothing to tell
    ],
)
def test_what_is_not_finite_is_never_best(values, how, best):
    stopping = training.EarlyStopping("a", patience=9, **how)
    stopping.start(jnp.array(-1))
    for epoch, value in enumerate(values):
        assert stopping(epoch, {"a": value}, jnp.array(epoch)) is None
    if best is None:
        with pytest.warns(RuntimeWarning, match=r"nothing is restored, .* 'a' was not finite in"):
            assert int(stopping.finish(jnp.array(99))) == 99
    else:
        assert int(stopping.finish(jnp.array(99))) == best


def test_a_value_that_is_never_finite_keeps_the_last_state():
    y = np.full_like(Y, np.nan)
    with pytest.warns(RuntimeWarning, match="'val_loss' was not finite in any epoch"):
        state, history = fit([training.EarlyStopping(patience=2)], validation=(X, y))
    why = "val_loss was not finite for 2 epochs: the last state is kept, none was best"
    assert history.stopped == why
    assert steps(state) == 8


def other(tx):
    return training.init(nnx.Linear(3, 1, rngs=nnx.Rngs(0)), tx)


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A folder with a run of one epoch."""
    folder = tmp_path_factory.mktemp("first")
    fit([training.Checkpoint(folder)], epochs=1)
    return folder


@pytest.fixture
def saved(first, tmp_path):
    return shutil.copytree(first, tmp_path / "saved")


@pytest.mark.parametrize(
    ("how", "match"),
    [
        ({"objective": losses.Huber(delta=2.0)}, r"loss was .*Error\(\), is Huber\(delta=2.0\)"),
        ({"state": other(optax.adam(0.2))}, "scale.step_size was -0.1, is -0.2"),
        ({"data": (X[:18], Y[:18])}, "data was 20 rows, checksum .*, is 18 rows"),
        ({"callbacks": [training.EarlyStopping("loss")]}, "EarlyStopping begins anew"),
    ],
)
def test_what_has_changed_is_told_and_training_goes_on(saved, how, match):
    how["callbacks"] = [training.Checkpoint(saved), *how.get("callbacks", ())]
    with pytest.warns(RuntimeWarning, match=f"of another run, it goes on: {match}") as told:
        state, history = fit(epochs=2, **how)
    assert (steps(state), len(history.epochs), len(told)) == (8, 2, 1)
    assert len(str(told[0].message)) <= 300


def test_the_choices_of_a_callback_are_told(tmp_path):
    checkpoint = training.Checkpoint(tmp_path)
    fit([checkpoint, training.EarlyStopping("loss")], epochs=1)
    with pytest.warns(RuntimeWarning, match="goes on: EarlyStopping.patience was 0, is 5"):
        fit([checkpoint, training.EarlyStopping("loss", patience=5)], epochs=1)
    with pytest.warns(RuntimeWarning, match="goes on: EarlyStopping is left out"):
        fit([checkpoint], epochs=1)


def test_a_renamed_optimizer_state_is_told(tmp_path):
    """`trace` has the shapes of `nu`."""
    fit([training.Checkpoint(tmp_path)], state=other(optax.sgd(0.1, momentum=0.9)), epochs=1)
    with pytest.warns(RuntimeWarning) as told:
        fit([training.Checkpoint(tmp_path)], state=other(optax.rmsprop(0.1)), epochs=1)
    texts = " ".join(str(w.message) for w in told)
    assert ".trace['bias'] is taken for .opt_state[0].nu['bias']" in texts
    assert "optimizer was" in texts


def test_metrics_may_be_added(saved):
    _, history = fit([training.Checkpoint(saved)], metrics={"mae": "mae"})  # and no warning
    assert (len(history["loss"]), len(history["mae"])) == (3, 2)


def test_a_metric_that_is_added_within_an_epoch_is_not_known_for_it(tmp_path, want):
    checkpoint, how = training.Checkpoint(tmp_path), {"steps_per_epoch": 4, "epochs": 2}
    with pytest.raises(ValueError, match="ran out after 3 batches"):
        fit([checkpoint], data=PARTS[:3], **how)
    with pytest.warns(RuntimeWarning, match="mae is not known for epoch 1"):
        _, history = fit([checkpoint], data=PARTS * 2, metrics={"mae": "mae"}, **how)
    assert history["loss"] == want[1]["loss"][:2]
    assert np.isnan(history["mae"]).tolist() == [True, False]


def test_sums_are_written_without_a_loss():
    sums = jnp.float32([[3, 0.1, np.inf], [0, 1e-9, np.nan], [2, 1, 0]])
    columns = means.written(sums, ["loss", "a"])
    np.testing.assert_array_equal(means.reread(columns, ["loss", "a"], np.nan), sums)
    swapped = means.reread(columns, ["loss", "b", "a"], np.nan)
    np.testing.assert_array_equal(swapped[:, [0, 1, 3]], sums)
    np.testing.assert_array_equal(swapped[:, 2], [np.nan, 0, 0])


def changed(a, b, *, by="tx"):
    """What is told of two runs that differ in the optimizer, the loss or the metrics."""
    words = []
    for it in (a, b):
        parts = {"tx": optax.sgd(1.0), "loss": "mse", "metrics": {}} | {by: it}
        metrics = Metrics(parts["metrics"])
        data = batches.Stream("", [])
        words.append(identity.of_run(parts["tx"], Objective(parts["loss"]), metrics, data))
    return identity.differences(*words)


class Schedule:
    def __init__(self, rate):
        self.rate = rate

    def __repr__(self):
        return f"Schedule({self.rate})"

    def __call__(self, step):
        return self.rate


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda r: optax.adam(0.1, b1=r), "scale_by_adam.b1 was 0.25, is 0.5"),
        (lambda r: optax.adam(optax.cosine_decay_schedule(r, 9)), "cosine_decay_schedule.init"),
        (lambda r: optax.sgd(Schedule(r)), "scale_by_learning_rate.learning_rate was Schedule"),
        (lambda r: optax.chain(optax.clip(r), optax.sgd(1.0)), "clip.max_delta was 0.25, is 0.5"),
        (lambda r: optax.inject_hyperparams(optax.sgd)(r), "inject_hyperparams.learning_rate"),
        (lambda r: optax.MultiSteps(optax.sgd(r), 2).gradient_transformation(), "scale.step_size"),
        (lambda r: optax.masked(optax.sgd(r), {"a": True}), "scale.step_size"),
        (lambda r: optax.scale(jnp.float32(r)), "scale.step_size was 0.25, is 0.5"),
    ],
)
def test_choices_in_optimizers_of_every_make(make, match):
    assert not changed(make(0.25), make(0.25))
    (text,) = changed(make(0.25), make(0.5))
    assert match in text


def test_losses_in_words():
    def mine(y_true, y_pred):
        return y_pred

    same = [losses.MeanSquaredError(), losses.mean_squared_error, "MSE", losses.MeanSquaredError]
    for loss in same:
        assert not changed("mse", loss, by="loss")
    assert changed({"a": "mse"}, {"a": "mae"}, by="loss") == [
        "loss['a'] was MeanSquaredError(), is MeanAbsoluteError()"
    ]
    (text,) = changed("crossentropy", mine, by="loss")
    assert text.startswith("loss was 'crossentropy', is <function test_losses_in_words.")
    assert not changed({"m": "mse"}, {}, by="metrics")
    assert "metric m: loss was" in changed({"m": "mse"}, {"m": "mae"}, by="metrics")[0]


def test_another_model_is_refused_in_one_sentence(saved, caplog):
    wide = training.init(nnx.Linear(3, 2, rngs=nnx.Rngs(0)), optax.adam(0.1))
    for refused in (
        lambda: fit([training.Checkpoint(saved)], state=wide, data=(X, X[:, :2])),
        lambda: training.Checkpoint(saved).load(wide),
    ):
        with pytest.raises(
            ValueError, match=r"another model or optimizer: it has .* of shape"
        ) as e:
            refused()
        assert e.value.__cause__ is None
        assert "\n" not in str(e.value)
    assert not caplog.records


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """A folder with three checkpoints, and the states in them."""
    folder, states = tmp_path_factory.mktemp("three"), []
    fit(
        [
            training.Checkpoint(folder),
            lambda epoch, logs, s: states.append(jax.device_get(s.params)),
        ]
    )
    return folder, states


def damage(folder, how):
    newest = folder / "3"
    if how == "empty":
        shutil.rmtree(newest)
        newest.mkdir()
    elif how == "a part is missing":
        shutil.rmtree(newest / "arrays")
    elif how == "the description is missing":
        (newest / "beside" / "metadata").unlink()
    elif how == "the description is cut off":
        file = newest / "beside" / "metadata"
        file.write_bytes(file.read_bytes()[:-20])
    else:
        files = [f for f in (newest / "arrays").rglob("d/*") if f.is_file()]
        for file in files:
            file.unlink() if how == "files are missing" else file.write_bytes(b"")


DAMAGES = [
    "empty",
    "a part is missing",
    "the description is missing",
    "the description is cut off",
    "files are missing",
    "files are cut off",
]


@pytest.mark.parametrize("how", quick(DAMAGES, ("empty", "files are missing").__contains__))
def test_an_older_checkpoint_takes_the_place_of_a_damaged_one(tmp_path, three, caplog, how):
    folder, states = three
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    damage(copy, how)
    with pytest.warns(RuntimeWarning, match=r"damaged are .* 3 \(.*; number 2 is taken") as told:
        state, history = training.Checkpoint(copy).load(START)
    assert len(told) == 1
    assert "\n" not in str(told[0].message)
    chex.assert_trees_all_equal(jax.device_get(state.params), states[1])
    assert len(history.epochs) == 2
    if how in ("empty", "files are cut off"):
        with pytest.warns(RuntimeWarning, match="number 2 is taken"):
            state, _ = fit([training.Checkpoint(copy)])
        chex.assert_trees_all_equal(jax.device_get(state.params), states[2])
        state, _ = training.Checkpoint(copy).load(START)  # number 4
        assert steps(state) == 12
    for number in ("1", "2"):
        shutil.rmtree(copy / number / "beside", ignore_errors=True)
    if how == "a part is missing":
        with pytest.raises(ValueError, match=r"and there is no other\. Put the missing files back"):
            fit([training.Checkpoint(copy)])
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


def test_load(tmp_path, three):
    folder, states = three
    state, history = training.Checkpoint(folder).load(START)
    chex.assert_trees_all_equal(jax.device_get(state.params), states[2])
    assert len(history.epochs) == 3
    assert steps(START) == 0
    with pytest.raises(FileNotFoundError, match=r"there is none in the folder .*nothing"):
        training.Checkpoint(tmp_path / "nothing").load(START)
    assert not (tmp_path / "nothing").exists()


def test_load_while_training(tmp_path):
    """By the very checkpoint that is being written."""
    checkpoint, seen = training.Checkpoint(tmp_path), []

    def look(epoch, logs, state):
        if epoch == 2:
            seen.append(steps(checkpoint.load(START)[0]))

    fit([checkpoint, look])
    assert seen[0] in (4, 8)
    assert steps(checkpoint.load(START)[0]) == 12


def test_a_run_that_a_callback_stops_is_saved(tmp_path):
    checkpoint = training.Checkpoint(tmp_path, every=2)
    fit([checkpoint, lambda epoch, logs, state: "enough"])
    state, history = checkpoint.load(START)
    assert (steps(state), history.stopped) == (4, "enough")


def test_a_log_is_whole_at_any_time(tmp_path, monkeypatch):
    path = tmp_path / "log.csv"
    (tmp_path / "link.csv").symlink_to(path)
    log = training.CSVLog(tmp_path / "link.csv")
    log(0, {"loss": 0.5}, None)
    log(1, {"loss": 0.25, "val_loss": 1.0}, None)  # columns may be added
    before = path.read_text().splitlines()
    assert before == ["epoch,loss,val_loss", "1,0.5,", "2,0.25,1.0"]

    def killed(*_):
        raise Broken

    with monkeypatch.context() as patch:
        patch.setattr(ours.os, "replace", killed)
        with pytest.raises(Broken):
            log(2, {"loss": 0.125}, None)
    assert path.read_text().splitlines() == before
    training.CSVLog(path)(1, {"loss": 0.2}, None)  # goes on from the first epoch
    assert path.read_text().splitlines() == ["epoch,loss,val_loss", "1,0.5,", "2,0.2,"]
    assert (tmp_path / "link.csv").is_symlink()
    path.write_text("time,temperature\n1,2\n")
    with pytest.raises(ValueError, match="a file of CSVLog or a new one, got the columns time"):
        training.CSVLog(path)


@pytest.mark.parametrize(
    ("how", "error", "match"),
    [
        ({"epochs": 1.5}, TypeError, "epochs must be a whole number of at least 0, got 1.5"),
        ({"epochs": -1}, ValueError, "epochs must be a whole number of at least 0, got -1"),
        ({"epochs": True}, TypeError, "epochs must be a whole number of at least 0, got True"),
        ({"steps_per_epoch": 1.5}, TypeError, "steps_per_epoch must be .* at least 1, got 1.5"),
        ({"prefetch": -1}, ValueError, "prefetch must be a whole number of at least 0, got -1"),
        ({"steps_per_call": 0}, ValueError, "steps_per_call must be .* at least 1, got 0"),
        ({"seed": None}, TypeError, "seed must be a whole number of at least 0, got None"),
        ({"callbacks": print}, TypeError, "callbacks must be a list, got builtin_function"),
        ({"callbacks": ["csv"]}, TypeError, r"function of \(epoch, logs, state\), .* got 'csv'"),
        ({"callbacks": [training.EarlyStopping]}, TypeError, "got <class .*EarlyStopping"),
    ],
)
def test_errors_of_arguments(how, error, match):
    with pytest.raises(error, match=match):
        fit(**how)


def test_errors_of_checkpoints(tmp_path):
    for how in ({"every": 0}, {"every_steps": 0}, {"keep": 0}, {"every": 1.5}):
        (name,) = how
        with pytest.raises((ValueError, TypeError), match=f"Checkpoint: {name} must be a whole"):
            training.Checkpoint(tmp_path, **how)
    with pytest.raises(ValueError, match="callbacks may hold one Checkpoint, got 2"):
        fit([training.Checkpoint(tmp_path), training.Checkpoint(tmp_path)])


def test_what_callbacks_return():
    said = iter([None, False, "", True])
    _, history = fit([lambda *_: next(said)], epochs=9)
    assert history.stopped == "test_what_callbacks_return.<locals>.<lambda> returned True"
    assert len(history.epochs) == 4
    with pytest.raises(TypeError, match=r"a text or True to end training, got 3 from .*lambda"):
        fit([lambda *_: 3])
