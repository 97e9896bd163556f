"""The language model of the examples runs, learns, and saves memory."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.thorough
def test_language_model():
    program = EXAMPLES / "12_language_model.py"
    done = subprocess.run(
        [sys.executable, program, "--steps", "12"], capture_output=True, text=True, check=True
    )
    values = [float(x) for x in re.findall(r"loss +(\S+)", done.stdout)]
    assert values[-1] < values[0] - 1
    assert int(re.search(r"(\d+) MB saved", done.stdout)[1]) > 100
