"""What got slower, or needs more memory, between two runs: `python -m bench compare OLD NEW`.

Times of a shared machine mean little from one day to the next, so what is compared is the ratio
to the floor, sample by sample of the same rounds. Resampling the rounds of each run (a bootstrap)
gives an interval for new / old. It holds the noise within the runs, not that between them.
"""

import argparse
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.record import FLOOR, OURS, Record, Row, load, ratio

TOLERANCE = 0.05
CONFIDENCE = 0.95
RESAMPLES = 2000
# Of fewer samples, not even the smallest and the largest hold the median between them with 95 %.
FEWEST_ROUNDS = 6
# A program's scalars and padding: from 0 bytes to 64 is no regression.
SLACK_BYTES = 4096

DEVICE = ("platform", "kind", "count", "cpu", "cores")  # what makes it the same one

# What the samples of a command are divided by.
REFERENCES = {"seconds": FLOOR, "first_call_seconds": "keras"}
BYTES = ("temp_bytes", "residual_bytes", "bytes")

WORSE, BETTER, SAME = "worse", "better", "unchanged"
FAILS, WORKS = "fails now", "works now"
FEW = f"not judged: fewer than {FEWEST_ROUNDS} rounds"
UNMATCHED = "not judged: no {} to divide by"
ONLY_OLD, ONLY_NEW = "only in old", "only in new"
REGRESSIONS, GAINS = (WORSE, FAILS), (BETTER, WORKS)
ORDER = (*REGRESSIONS, *GAINS, SAME)  # others follow


@dataclasses.dataclass(frozen=True)
class Change:
    """One quantity of one case in both runs. Samples have an interval of new / old, bytes none."""

    case: str
    weighting: str
    shape: tuple[int, ...]
    dtype: str
    target: str
    quantity: str
    verdict: str
    old: float | None = None
    new: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def factor(self) -> float | None:
        """New over old."""
        if self.old is None or self.new is None:
            return None
        if self.old == 0:
            return float("inf") if self.new else 1.0
        return self.new / self.old

    @property
    def cells(self) -> tuple[str, ...]:
        """As text, below `HEADER`."""
        show = size if self.quantity in BYTES else "{:.2f}".format
        factor = "" if self.factor is None else f"{self.factor:.2f}"
        if self.low is not None and self.high is not None:
            factor += f" ({self.low:.2f} to {self.high:.2f})"
        return (
            self.case,
            self.weighting,
            " × ".join(map(str, self.shape)),
            self.dtype,
            self.target,
            self.quantity,
            "" if self.old is None else show(self.old),
            "" if self.new is None else show(self.new),
            factor,
        )


HEADER = (
    *("loss", "weighting", "shape", "dtype", "target", "quantity"),
    *("old", "new", f"new / old ({CONFIDENCE:.0%})"),
)
WORDS = 6  # the first columns are words, the next numbers
ALWAYS = (0, *range(WORDS, len(HEADER)))  # the columns that a table never leaves out


def size(number: float) -> str:
    """Bytes, as people read them."""
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} GB"


def mismatch(old: Record, new: Record) -> list[str]:
    """Why the two runs are no fair comparison."""
    found = []
    if old.command != new.command:
        found.append(f"command: {old.command} and {new.command}")
    if old.command != "devices":  # those programs do not depend on where they are compiled
        for name in DEVICE:
            values = old.device.get(name), new.device.get(name)
            if values[0] != values[1]:
                found.append(f"device {name}: {values[0]} and {values[1]}")
    dtypes = [sorted({row.dtype for row in record.rows}) for record in (old, new)]
    if not {*dtypes[0]} & {*dtypes[1]}:
        found.append(f"dtype: {', '.join(dtypes[0])} and {', '.join(dtypes[1])}")
    return found


def changes(old: Record, new: Record, tolerance: float = TOLERANCE) -> list[Change]:
    """One for each quantity of each case of either run, in the order of the new one."""
    key = _matching(old, new)
    olds = {key(rows[OURS]): rows for rows in old.groups().values() if OURS in rows}
    news = {key(rows[OURS]): rows for rows in new.groups().values() if OURS in rows}
    found = []
    for name in [*news, *(name for name in olds if name not in news)]:
        if name in olds and name in news:
            found += _pair(olds[name], news[name], tolerance)
        elif name in news:
            found.append(_change(news[name][OURS], "", ONLY_NEW))
        else:
            found.append(_change(olds[name][OURS], "", ONLY_OLD))
    return found


def _matching(old: Record, new: Record) -> Callable[[Row], tuple[Any, ...]]:
    """What makes rows the same: also what both runs have one of, if that is not the same one."""
    fields = ["case", "weighting", "shape"]
    for name in ("dtype", "target"):
        ones = [{getattr(row, name) for row in record.rows} for record in (old, new)]
        if ones[0] & ones[1] or len(ones[0]) > 1 or len(ones[1]) > 1:
            fields.append(name)
    return lambda row: tuple(getattr(row, name) for name in fields)


def _pair(olds: dict[str, Row], news: dict[str, Row], tolerance: float) -> list[Change]:
    old, new = olds[OURS], news[OURS]
    failed = "error" in old.values, "error" in new.values
    if any(failed):
        verdict = {(False, True): FAILS, (True, False): WORKS, (True, True): SAME}[failed]
        return [_change(new, "compiles and runs", verdict)]
    found = []
    for name, reference in REFERENCES.items():
        if name in old.values and name in new.values:
            sides = [(rows[OURS], rows.get(reference)) for rows in (olds, news)]
            found.append(_sampled(name, reference, sides, tolerance))
    for name in BYTES:
        if name in old.values and name in new.values:
            found.append(_counted(old, new, name, tolerance))
    return found


def _sampled(
    name: str, reference: str, sides: Sequence[tuple[Row, Row | None]], tolerance: float
) -> Change:
    quantity = f"time / {reference}" if name == "seconds" else f"first call / {reference}"
    pairs = [(a.values[name], b.values[name]) for a, b in sides if b and name in b.values]
    row = sides[1][0]
    if len(pairs) < 2:
        return _change(row, quantity, UNMATCHED.format(reference))
    old, new = (ratio(a, b).median for a, b in pairs)
    if min(len(a) for a, _ in pairs) < FEWEST_ROUNDS:
        return _change(row, quantity, FEW, old, new)
    low, high = interval(*pairs)
    verdict = WORSE if low > 1 + tolerance else BETTER if high < 1 / (1 + tolerance) else SAME
    return _change(row, quantity, verdict, old, new, low, high)


def _counted(old: Row, new: Row, name: str, tolerance: float) -> Change:
    before, after = old.values[name], new.values[name]
    verdict = SAME
    if abs(after - before) > SLACK_BYTES:
        if after > before * (1 + tolerance):
            verdict = WORSE
        elif after < before / (1 + tolerance):
            verdict = BETTER
    return _change(new, name, verdict, before, after)


def _change(row: Row, quantity: str, verdict: str, *numbers: float) -> Change:
    return Change(*row.group, quantity, verdict, *numbers)


def interval(
    old: tuple[Sequence[float], Sequence[float]], new: tuple[Sequence[float], Sequence[float]]
) -> tuple[float, float]:
    """Where the quotient of the two runs' median ratios lies, with `CONFIDENCE`."""
    rng = np.random.default_rng(0)
    medians = []
    for above, below in (old, new):
        ratios = np.divide(above, below)
        picks = rng.integers(len(ratios), size=(RESAMPLES, len(ratios)))
        medians.append(np.median(ratios[picks], axis=1))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(medians[1] / medians[0], (tail, 1 - tail))
    return float(low), float(high)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("old", help="the record to compare with")
    parser.add_argument("new", help="the record that is judged")
    parser.add_argument(
        "--tolerance",
        type=float,
        default=TOLERANCE,
        metavar="SHARE",
        help="a regression is worse by more than this beyond the noise (default: %(default)s)",
    )
    parser.add_argument(
        "--force", action="store_true", help="compare runs on different devices or of other dtypes"
    )


def run(args: argparse.Namespace) -> int:
    """0: nothing is worse; 1: something is. ValueError if the records cannot be compared."""
    old, new = load(args.old), load(args.new)
    found = _compared(old, new, args)
    _print(Console(), old, new, found)
    return int(any(change.verdict in REGRESSIONS for change in found))


def _compared(old: Record, new: Record, args: argparse.Namespace) -> list[Change]:
    if not args.tolerance >= 0:
        raise ValueError(
            f"bench: --tolerance must be 0 or more, got {args.tolerance}. "
            f"0.05 allows 5 % beyond the noise."
        )
    differences = mismatch(old, new)
    if differences and not args.force:
        raise ValueError(
            f"bench: both runs must be of the same command, device and dtype, "
            f"got {'; '.join(differences)}. Pass --force to compare all the same."
        )
    found = changes(old, new, args.tolerance)
    if all(change.verdict in (ONLY_OLD, ONLY_NEW) for change in found):
        raise ValueError(
            "bench: the runs must share cases of lossjax, got none. "
            "Run both with the same --losses and --shapes."
        )
    if not any(change.verdict in ORDER for change in found):
        reasons = sorted({c.verdict for c in found if c.verdict.startswith("not judged")})
        raise ValueError(
            f"bench: {' and '.join(reasons) or 'the runs hold nothing to compare'}. "
            f"Measure again, with all peers and {FEWEST_ROUNDS} rounds or more."
        )
    return found


def _print(console: Console, old: Record, new: Record, found: Sequence[Change]) -> None:
    for name in sorted({*old.versions, *new.versions}):
        versions = [record.versions.get(name, "absent") for record in (old, new)]
        if versions[0] != versions[1]:
            console.print(f"{name}: {versions[0]} before, {versions[1]} now", highlight=False)
    groups: dict[str, list[Change]] = {verdict: [] for verdict in ORDER}
    for change in found:
        groups.setdefault(change.verdict, []).append(change)
    # A column that says the same in every row is said once.
    cells = list(zip(*(change.cells for change in found), strict=True))
    shown = [i for i in range(len(HEADER)) if i in ALWAYS or len({*cells[i]}) > 1]
    same = [f"{HEADER[i]} {cells[i][0]}" for i in range(WORDS) if i not in shown]
    if same:
        console.print(", ".join(same), highlight=False)
    # What matters most comes last, where the terminal stops.
    for verdict, group in reversed(groups.items()):
        if not group:
            continue
        style = "red" if verdict in REGRESSIONS else "green" if verdict in GAINS else ""
        table = Table(title=f"{len(group)} {verdict}", title_justify="left", title_style=style)
        for index in shown:
            justify: Literal["left", "right"] = "left" if index < WORDS else "right"
            table.add_column(HEADER[index], justify=justify, overflow="fold")
        for change in sorted(group, key=lambda c: c.factor or 0):
            row = change.cells
            table.add_row(*(escape(row[i]) for i in shown))
        console.print(table)
    counts = [f"{len(group)} {verdict}" for verdict, group in groups.items() if group]
    console.print("; ".join(counts) + ".", highlight=False)
