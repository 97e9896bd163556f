"""Nothing is lost: a run that is killed goes on from its last checkpoint, bit for bit."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import optax
import pytest
from flax import nnx

from lossjax import training

X = np.random.default_rng(0).normal(size=(60, 3)).astype("f")
Y = X[:, :1]
KILLS, EPOCHS = 20, 25


class Network(nnx.Module):
    """With everything there is to lose: batch statistics and the counter of random keys."""

    def __init__(self):
        rngs = nnx.Rngs(0)
        self.dense, self.norm = nnx.Linear(3, 64, rngs=rngs), nnx.BatchNorm(64, rngs=rngs)
        self.drop, self.out = nnx.Dropout(0.2, rngs=rngs), nnx.Linear(64, 1, rngs=rngs)

    def __call__(self, x):
        return self.out(self.drop(self.norm(self.dense(x))))


def run(callbacks=(), epochs=4, **how):
    state = training.init(Network(), optax.adam(1e-2))
    how = {"batch_size": 8, "validation": (X, Y), **how}
    return training.fit(state, "mse", (X, Y), epochs=epochs, callbacks=callbacks, **how)


def digest(state, history):
    arrays = [
        jax.random.key_data(a) if jax.dtypes.issubdtype(a.dtype, jax.dtypes.prng_key) else a
        for a in jax.tree.leaves(state)
    ]
    found = hashlib.sha256(json.dumps(history.epochs).encode())
    for array in arrays:
        found.update(np.asarray(array).tobytes())
    return found.hexdigest()


@pytest.fixture(scope="module")
def want():
    return digest(*run([training.EarlyStopping(patience=9)]))


def stop_at(step):
    """Raise, between two steps: as far as the loop is concerned, the end of the world."""

    class Stop(training.Checkpoint):
        def save(self, arrays, beside):
            super().save(arrays, beside)
            if beside["epoch"] * 8 + beside["batch"] >= step:
                self.close()
                raise RuntimeError("killed")

    return Stop


LATE = [pytest.param(step, marks=pytest.mark.thorough) for step in (3, 13)]


@pytest.mark.parametrize("step", [8, *LATE])
def test_resumed_equals_uninterrupted(tmp_path, want, step):
    """In the middle of an epoch and at its end; early stopping and means go on too."""
    first = [stop_at(step)(tmp_path, every_steps=1), training.EarlyStopping(patience=9)]
    with pytest.raises(RuntimeError, match="killed"):
        run(first)
    again = [training.Checkpoint(tmp_path, every_steps=3), training.EarlyStopping(patience=9)]
    state, history = run(again)
    assert digest(state, history) == want
    state, history = run(again)  # all is done: what there is
    assert digest(state, history) == want


def test_more_epochs_go_on_where_fewer_ended(tmp_path, want):
    short = [training.Checkpoint(tmp_path), training.EarlyStopping(patience=9)]
    run(short, epochs=2)
    assert digest(*run(short)) == want


def test_another_run_is_refused(tmp_path):
    run([training.Checkpoint(tmp_path)], epochs=1)
    with pytest.raises(ValueError, match=r"is of a run with .*'batch_size': 8.* this one has .*5"):
        run([training.Checkpoint(tmp_path)], batch_size=5)
    other = training.init(nnx.Linear(3, 1, rngs=nnx.Rngs(0)), optax.sgd(0.1))
    with pytest.raises(ValueError, match=r"is of another model or optimizer: .*dense"):
        training.fit(other, "mse", (X, Y), batch_size=8, callbacks=[training.Checkpoint(tmp_path)])


def test_a_folder_that_cannot_be_written_to_is_told_first(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"Checkpoint: cannot write to the folder .*file"):
        run([training.Checkpoint(tmp_path / "file" / "inside")])


def test_a_save_that_fails_is_told_and_training_goes_on(tmp_path, monkeypatch):
    checkpoint = training.Checkpoint(tmp_path)
    checkpoint.open()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(checkpoint._manager), "save", full)
    with pytest.warns(RuntimeWarning, match="failed, training goes on: .*No space left"):
        _, history = run([checkpoint])
    assert len(history.epochs) == 4


def test_ctrl_c_saves(tmp_path):
    def interrupt(epoch, logs, state):
        if epoch == 1:
            os.kill(os.getpid(), signal.SIGINT)

    _, history = run([training.Checkpoint(tmp_path), interrupt])
    assert history.stopped == "interrupted after 1 batches of epoch 3"
    resumed = run([training.Checkpoint(tmp_path), lambda *_: None])
    assert digest(*resumed) == digest(*run())


class Marked(training.Checkpoint):
    """A checkpoint that touches `marker` in its save number `last`."""

    marker, last = None, 0

    def save(self, arrays, beside):
        super().save(arrays, beside)  # which waits for the save before, and begins
        self.last -= 1
        if self.last == 0:
            self.marker.touch()


def main(folder):
    """Start a run and kill it during one of its first saves, many times; print how one ends.

    Runs are forked, so that only the first has to import everything, and jax finds what an
    earlier one compiled: it must not be used before the fork.
    """
    jax.config.update("jax_compilation_cache_dir", f"{folder}/compiled")
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    chance, numbers = random.Random(0), []
    for number in range(KILLS + 1):
        checkpoint = Marked(f"{folder}/saved", every_steps=1)
        checkpoint.marker = Path(folder) / f"marker {number}"
        checkpoint.last = chance.randint(2, 8)
        child = os.fork()
        if not child:
            Path(folder, "digest").write_text(digest(*run([checkpoint], epochs=EPOCHS)))
            os._exit(0)
        if number < KILLS:
            while not checkpoint.marker.exists():
                time.sleep(0.005)
            time.sleep(chance.uniform(0, 0.1))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == (-signal.SIGKILL if number < KILLS else 0)
        saved = Path(folder, "saved").iterdir()
        numbers.append(max((int(path.name) for path in saved if path.name.isdigit()), default=0))
    print(json.dumps({"numbers": numbers, "digest": Path(folder, "digest").read_text()}))


@pytest.mark.thorough
@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills processes that it forks")
def test_killed_at_random_moments(tmp_path):
    """20 times with SIGKILL, saving after every step: most of the kills fall into a save."""
    done = subprocess.run(
        [sys.executable, __file__, str(tmp_path)], capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(set(found["numbers"])) == KILLS + 1  # every run came further than the one before
    assert found["digest"] == digest(*run(epochs=EPOCHS))


if __name__ == "__main__":
    main(sys.argv[1])
