"""README and the guide: their programs print what they say, the table of speed is that of `bench`.

`python tests/pages/test_readme.py` writes that table, `make pages` what else is made of numbers.
"""

import contextlib
import io
import re
from pathlib import Path

import pytest

from bench.record import load
from bench.report.sections import headline
from blocks import BLOCKS
from cases import quick

ROOT = Path(__file__).parents[2]
README, PAGE = ROOT / "README.md", ROOT / "docs" / "speed.md"
SPEED = re.compile(r"(<!-- speed: .*? -->\n)(.*?)(<!-- end of speed -->)", re.DOTALL)
ELSEWHERE = ("adding_a_loss", "meshes")  # their tests are
# Their programs are of parts that other tests cover.
SLOW = ("calculated", "imbalance", "nan", "precision", "start", "weights")


def speed():
    """The headline of the committed record, and the command that made it."""
    record = load(ROOT / "bench" / "results" / "losses.json")
    found = headline([record]).table.reset_index()
    lines = [[*found], ["---"] * len(found.columns), *found.to_numpy()]
    rows = "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
    versions = ", ".join(f"{k} {v}" for k, v in record.versions.items())
    where = f"{record.device['cpu']}, {record.device['cores']} cores; {versions}"
    return f"{rows}\n`python -m bench {' '.join(record.argv)}`, {record.started[:10]}, {where}.\n"


def test_speed_is_that_of_the_record():
    written = SPEED.search(PAGE.read_text(encoding="utf-8"))
    assert written is not None
    assert written[2] == speed(), "run `python tests/pages/test_readme.py`"


def programs():
    """(page, number, program, what it prints) of README and the guide."""
    guide = sorted((ROOT / "docs").glob("*.md"))
    for path in (README, *(path for path in guide if path.stem not in ELSEWHERE)):
        for number, found in enumerate(BLOCKS.findall(path.read_text(encoding="utf-8"))):
            yield path.stem, number, *found


PROGRAMS = list(programs())


def is_quick(program):
    return not program[0].startswith(("from_", *SLOW))


@pytest.mark.parametrize(
    "found", quick(PROGRAMS, is_quick), ids=[f"{page}-{number}" for page, number, *_ in PROGRAMS]
)
def test_programs_print_what_their_page_says(found):
    page, number, program, output = found
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(program, f"{page}, program {number}", "exec"), {"__name__": "readme"})
    assert printed.getvalue().split() == output.split()


def test_every_program_has_an_output():
    assert all(output for *_, output in PROGRAMS)
    pages = {page for page, *_ in PROGRAMS}
    assert {"README", "start", "calculated", "weights", "nan", "training", "speed"} <= pages


def test_readme_is_short():
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 130


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(SPEED.sub(lambda m: m[1] + speed() + m[3], text), encoding="utf-8")
