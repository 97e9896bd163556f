"""The language model of the examples runs, learns, and saves memory."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_language_model_of_few_words(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["12_language_model.py", "--steps", "20"])
    main = runpy.run_path(str(EXAMPLES / "12_language_model.py"))["main"]
    small = {"BATCH": 2, "LAYERS": 1, "VOCABULARY": 512, "text": lambda: np.arange(3000) % 512}
    main.__globals__.update(small)
    main()
    out = capsys.readouterr().out
    values = [float(x) for x in re.findall(r"loss +(\S+)", out)]
    assert values[-1] < values[0] - 0.1
    assert "MB saved" in out


@pytest.mark.thorough
def test_language_model():
    program = EXAMPLES / "12_language_model.py"
    done = subprocess.run(
        [sys.executable, program, "--steps", "12"], capture_output=True, text=True, check=True
    )
    values = [float(x) for x in re.findall(r"loss +(\S+)", done.stdout)]
    assert values[-1] < values[0] - 1
    assert int(re.search(r"(\d+) MB saved", done.stdout)[1]) > 100
