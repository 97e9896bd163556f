"""Losses that couple the samples of a batch, with the batch on several devices."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lossjax import losses


@pytest.mark.thorough
def test_equal_to_the_whole_batch_on_one_device():
    program = Path(__file__).with_name("sharded_losses.py")
    env = os.environ | {"PYTHONPATH": str(program.parents[2])}
    done = subprocess.run(
        [sys.executable, program], capture_output=True, text=True, check=False, env=env
    )
    assert (done.stdout, done.returncode) == ("done\n", 0), done.stdout + done.stderr[-3000:]


def test_an_axis_of_no_shard_map_is_refused():
    match = r"axis_name must be an axis of the shard_map around the call, got .*plain jit leave it"
    y, labels = np.eye(3, dtype=np.float32), np.arange(3)
    for name in ("data", ("data", "model")):
        for loss in (losses.Dice(axis_name=name), losses.Tversky(axis=-1, axis_name=name)):
            with pytest.raises(ValueError, match=match):
                loss(y, y)
            with pytest.raises(ValueError, match=match):
                loss.total(y, y)
        with pytest.raises(ValueError, match=match):
            losses.Circle(axis_name=name)(labels, y)
        for function, truth in ((losses.dice, y), (losses.tversky, y), (losses.circle, labels)):
            with pytest.raises(ValueError, match=match):
                function(truth, y, axis_name=name)
    with pytest.raises(TypeError, match="must be printable str or tuple or None, got 3"):
        losses.Dice(axis_name=3)
    with pytest.raises(TypeError, match="Dice: axis_name must be"):
        losses.Dice(axis_name=(0,))


def test_configs_have_the_axis_name_where_there_is_one():
    for cls in (losses.Dice, losses.Tversky, losses.Circle):
        assert "axis_name" not in cls().get_config()
        again = losses.deserialize(losses.serialize(cls(axis_name=["a", "b"])))
        assert again.axis_name == ("a", "b")
