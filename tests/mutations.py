"""Whether the tests notice: errors planted one at a time, each of which `make test` must catch.

    python tests/mutations.py            # all, half a minute each
    python tests/mutations.py huber ctc  # those whose words hold one of these

Every error is planted in a copy of the tree, in which a part of `make test` is then run, that
part which `ARGS="-k ..."` selects: what it catches the whole catches too. An error whose text is
not found in the source any more is one that has to be written anew.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]


class Error(NamedTuple):
    """`old` becomes `new` in a file of lossjax; `tests` selects what is run, as `-k` does."""

    words: str
    path: str
    old: str
    new: str
    tests: str


ERRORS: tuple[Error, ...] = ()


def planted(error: Error, tree: Path) -> None:
    path = tree / "lossjax" / error.path
    source = path.read_text("utf-8")
    if source.count(error.old) != 1:
        found = source.count(error.old)
        raise SystemExit(f"{error.words}: need {error.old!r} once in {path.name}, got it {found}x.")
    path.write_text(source.replace(error.old, error.new), "utf-8")


def caught(error: Error) -> str | None:
    """The first test that fails; None if none does."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        ignored = shutil.ignore_patterns(".venv", ".git", "__pycache__", ".*_cache", ".hypothesis")
        shutil.copytree(ROOT, tree, ignore=ignored)
        planted(error, tree)
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-m", "not thorough"]
        command += ["-k", error.tests, "--no-header", "-p", "no:cacheprovider"]
        done = subprocess.run(command, cwd=tree, capture_output=True, text=True)
    lines = [x for x in done.stdout.splitlines() if x.startswith(("FAILED", "ERROR"))]
    if done.returncode not in (0, 1, 2) or (done.returncode == 2 and not lines):
        raise SystemExit(f"{error.words}: no tests were run.\n{done.stdout[-500:]}{done.stderr}")
    return lines[0].split(" - ")[0] if lines else None


def main(wanted: list[str]) -> int:
    chosen = [e for e in ERRORS if not wanted or any(word in e.words for word in wanted)]
    missed = 0
    for number, error in enumerate(chosen, 1):
        start = time.monotonic()
        test = caught(error)
        missed += test is None
        took = f"{time.monotonic() - start:.0f} s"
        print(f"{number}/{len(chosen)} {error.words}: {test or 'NOT CAUGHT'} ({took})", flush=True)
    print(f"{len(chosen) - missed} of {len(chosen)} errors caught")
    return missed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
