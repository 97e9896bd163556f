"""Vocabulary-parallel and partitioned by the compiler, on eight virtual devices."""

import subprocess
import sys
from pathlib import Path


def test_equal_to_one_device():
    program = Path(__file__).with_name("sharded_linear.py")
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("done\n", 0), done.stdout + done.stderr[-3000:]
