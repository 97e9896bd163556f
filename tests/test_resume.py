"""Nothing is lost: a run that is killed goes on from its last checkpoint, bit for bit."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import jax
import numpy as np
import optax
import pytest
from flax import nnx

from lossjax import training

X = np.random.default_rng(0).normal(size=(60, 3)).astype("f")
Y = X[:, :1]
KILLS = 20


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


@pytest.mark.parametrize("step", [3, 8, 13])
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
    with pytest.raises(ValueError, match="is of another model, optimizer or list of callbacks"):
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


def main(folder, marker):
    """A run that says when it begins to train, and prints what it ends with."""
    checkpoint = training.Checkpoint(folder, every_steps=1)

    def begun(epoch, logs, state):
        Path(marker).touch()

    begun.start = lambda state: None
    print(digest(*run([checkpoint, begun], epochs=40)))


def test_killed_at_random_moments(tmp_path):
    """Saves follow one another at once, so that most of the kills fall into one."""
    chance, kills, started = random.Random(0), 0, 0
    command = [sys.executable, __file__, str(tmp_path / "saved")]
    while True:
        marker = tmp_path / f"marker {started}"
        process = subprocess.Popen(
            [*command, str(marker)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started += 1
        if kills == KILLS:
            out, errors = process.communicate(timeout=600)
            assert process.returncode == 0, errors[-3000:]
            break
        while not marker.exists() and process.poll() is None:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.5))
        process.send_signal(signal.SIGKILL)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL, errors[-3000:]
        kills += 1
    assert out.split()[-1] == digest(*run([lambda *_: None], epochs=40))


if __name__ == "__main__":
    warnings.simplefilter("error")
    main(*sys.argv[1:])
