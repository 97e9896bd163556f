"""README: its programs print what it says, its table of speed is that of `bench`.

`python tests/pages/test_readme.py` writes that table, `make pages` the one of the losses.
"""

import contextlib
import io
import re
from pathlib import Path

import pytest

from bench.record import load
from bench.report.sections import headline
from blocks import BLOCKS

README = Path(__file__).parents[2] / "README.md"
RESULTS = README.parent / "bench" / "results"
SPEED = re.compile(r"(<!-- speed: .*? -->\n)(.*?)(<!-- end of speed -->)", re.DOTALL)


def speed():
    """The headline of the committed record, and the command that made it."""
    record = load(RESULTS / "losses.json")
    found = headline([record]).table.reset_index()
    lines = [[*found], ["---"] * len(found.columns), *found.to_numpy()]
    rows = "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
    versions = ", ".join(f"{k} {v}" for k, v in record.versions.items())
    where = f"{record.device['cpu']}, {record.device['cores']} cores; {versions}"
    return f"{rows}\n`python -m bench {' '.join(record.argv)}`, {record.started[:10]}, {where}.\n"


def test_speed_is_that_of_the_record():
    written = SPEED.search(README.read_text(encoding="utf-8"))
    assert written is not None
    assert written[2] == speed(), "run `python tests/pages/test_readme.py`"


programs = BLOCKS.findall(README.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("program", "output"), programs, ids=range(len(programs)))
def test_programs_print_what_readme_says(program, output):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(program, "README.md", "exec"), {"__name__": "readme"})
    assert printed.getvalue().split() == output.split()


def test_readme_has_programs():
    assert len(programs) >= 3
    assert all(output for _, output in programs)


if __name__ == "__main__":
    text = README.read_text(encoding="utf-8")
    README.write_text(SPEED.sub(lambda m: m[1] + speed() + m[3], text), encoding="utf-8")
