"""`python -m bench training`: trainings that take turns, and the record of their steps."""

import pytest

from bench import record, training
from bench.record import OURS

TINY = training.MODELS["mlp"]._replace(batch=8, steps=3)


@pytest.mark.thorough
def test_a_step_of_every_training_is_timed(monkeypatch):
    monkeypatch.setitem(training.MODELS, "mlp", TINY)
    rows = training.rows("mlp", rounds=2, seconds=60, progress=lambda share: None)
    assert [row.implementation for row in rows] == [
        OURS,
        "lossjax auto",
        "by hand",
        "nnx.jit",
        "keras",
    ]
    assert all(len(row.values["seconds"]) == 2 for row in rows)
    assert {row.shape for row in rows} == {(8, 10)}


def test_an_epoch_at_a_time():
    seen = []

    def train(pause):
        for epoch in range(2):
            seen.append(epoch)
            pause()
        raise ValueError("nothing left")

    paced = training.Paced(train)
    assert seen == []
    paced.epoch()
    assert seen == [0]
    paced.epoch()
    assert seen == [0, 1]
    with pytest.raises(ValueError, match="nothing left"):
        paced.epoch()


def test_a_training_that_fails_leaves_the_others(monkeypatch):
    def fail(pause):
        raise RuntimeError("no such thing")

    def train(pause):
        while True:
            pause()

    monkeypatch.setattr(training, "trainings", lambda model: {OURS: train, "other": fail})
    ours, other = training.rows("mlp", rounds=1, seconds=60, progress=lambda share: None)
    assert ours.values["seconds"]
    assert other.values == {"error": "no such thing"}
    assert isinstance(ours, record.Row)
