"""README and the guide: their programs print what they say, their numbers are those of `bench`.

`python tests/pages/test_readme.py` writes these numbers, `make pages` the tables of losses and of
calls.
"""

import contextlib
import io
import re
from pathlib import Path

import numpy as np
import pytest

from bench.record import load
from bench.report.sections import headline
from blocks import BLOCKS
from cases import quick

ROOT = Path(__file__).parents[2]
README, SPEED = ROOT / "README.md", ROOT / "docs" / "speed.md"
RESULTS = ROOT / "bench" / "results"
ELSEWHERE = ("adding_a_loss", "meshes")  # with tests of their own
GUIDE = [path for path in sorted((ROOT / "docs").glob("*.md")) if path.stem not in ELSEWHERE]
# Programs that do what tests do elsewhere too.
SLOW = ("calculated", "from_monai", "from_optax", "from_torch", "imbalance", "nan", "start")


def between(name):
    return re.compile(rf"(<!-- {name}: .*? -->\n)(.*?)(<!-- end of {name} -->)", re.DOTALL)


def speed():
    """The headline of the committed record, and the command that made it."""
    record = load(RESULTS / "losses.json")
    found = headline([record]).table.reset_index()
    lines = [[*found], ["---"] * len(found.columns), *found.to_numpy()]
    rows = "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
    versions = ", ".join(f"{k} {v}" for k, v in record.versions.items())
    where = f"{record.device['cpu']}, {record.device['cores']} cores; {versions}"
    return f"{rows}\n`python -m bench {' '.join(record.argv)}`, {record.started[:10]}, {where}.\n"


def compared():
    """Six lines: what lossjax and the others need, and the command that says so."""
    rows = [*of_speed(), of_memory(), of_first_call(), of_vocabulary(), of_safety()]
    head = ["measured", "lossjax", "others", "command"]
    lines = [head, ["---"] * len(head), *rows]
    record = load(RESULTS / "losses.json")
    where = f"{record.device['cpu']}, {record.device['cores']} cores"
    table = "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
    return f"{table}\nOn {where}; with their samples and versions in [bench/results](bench/results).\n"
