"""What got slower, or needs more memory, between two runs: `python -m bench compare OLD NEW`.

Times of a shared machine mean little from one day to the next, so what is compared is the ratio
to the floor, sample by sample of the same rounds. Resampling the rounds of each run (a bootstrap)
gives an interval for new / old. It holds the noise within the runs, not that between them.
"""

import argparse
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from rich.console import Console

from bench.frames import bytes_text, described
from bench.record import FLOOR, OURS, SIZES, Record, Row, load, ratio
from bench.tables import grid, terminal

TOLERANCE = 0.05
CONFIDENCE = 0.95
RESAMPLES = 2000
# Of fewer samples, not even the smallest and the largest hold the median between them with 95 %.
FEWEST_ROUNDS = 6
# A program's scalars and padding: from 0 bytes to 64 is no regression.
SLACK_BYTES = 4096

DEVICE = ("platform", "kind", "count", "cpu", "cores")  # what makes it the same one

REFERENCES = {"seconds": FLOOR, "first_call_seconds": "keras"}  # what samples are divided by

WORSE, BETTER, SAME = "worse", "better", "unchanged"
FAILS, WORKS = "fails now", "works now"
FEW = f"not judged: fewer than {FEWEST_ROUNDS} rounds"
ONLY_OLD, ONLY_NEW = "only in old", "only in new"
REGRESSIONS, GAINS = (WORSE, FAILS), (BETTER, WORKS)
ORDER = (*REGRESSIONS, *GAINS, SAME)  # others follow
Rows: TypeAlias = Mapping[str, Row]
Line: TypeAlias = dict[str, Any]
WORDS = ["loss", "weights", "shape", "dtype", "target", "quantity"]


def mismatch(old: Record, new: Record) -> list[str]:
    """Why the two runs are no fair comparison."""
    facts: dict[str, tuple[Any, Any]] = {"command": (old.command, new.command)}
    if old.command != "devices":  # those programs do not depend on where they are compiled
        pairs = {name: (old.device.get(name), new.device.get(name)) for name in DEVICE}
        facts |= {f"device {name}": pair for name, pair in pairs.items()}
    found = [f"{name}: {a} and {b}" for name, (a, b) in facts.items() if a != b]
    dtypes = [sorted({row.dtype for row in record.rows}) for record in (old, new)]
    if not {*dtypes[0]} & {*dtypes[1]}:
        found.append(f"dtype: {', '.join(dtypes[0])} and {', '.join(dtypes[1])}")
    return found


def changes(old: Record, new: Record, tolerance: float = TOLERANCE) -> pd.DataFrame:
    """A line for each quantity of each case of either run, in the order of the new one.

    `value` is new over old; samples have an interval of it, bytes none.
    """
    key = _matching(old, new)
    olds, news = (
        {key(rows[OURS]): rows for rows in record.groups().values() if OURS in rows}
        for record in (old, new)
    )
    lines = {name: [_line("", ONLY_NEW if name in news else ONLY_OLD)] for name in {**news, **olds}}
    lines |= {n: _pair(olds[n], news[n], tolerance) for n in lines if n in olds and n in news}
    rows = {n: described(some[OURS]) for n, some in {**olds, **news}.items()}
    return pd.DataFrame([{**rows[n], **line} for n, some in lines.items() for line in some])


def _matching(old: Record, new: Record) -> Callable[[Row], tuple[Any, ...]]:
    """What makes rows the same: also what both runs have one of, if that is not the same one."""
    fields = ["case", "weighting", "shape"]
    for name in ("dtype", "target"):
        a, b = ({getattr(row, name) for row in record.rows} for record in (old, new))
        fields += [name] if a & b or max(len(a), len(b)) > 1 else []
    return operator.attrgetter(*fields)


def _pair(olds: Rows, news: Rows, tolerance: float) -> list[Line]:
    old, new = olds[OURS].values, news[OURS].values
    failed = "error" in old, "error" in new
    if any(failed):
        verdict = {(False, True): FAILS, (True, False): WORKS, (True, True): SAME}[failed]
        return [_line("compiles and runs", verdict)]
    both = [name for name in (*REFERENCES, *SIZES) if name in old and name in new]
    judges = (_sampled if name in REFERENCES else _counted for name in both)
    return [judge(name, olds, news, tolerance) for name, judge in zip(both, judges, strict=True)]


def _sampled(name: str, olds: Rows, news: Rows, tolerance: float) -> Line:
    reference = REFERENCES[name]
    quantity = f"{'time' if name == 'seconds' else 'first call'} / {reference}"
    pairs = [
        (rows[OURS].values[name], rows[reference].values[name])
        for rows in (olds, news)
        if reference in rows and name in rows[reference].values
    ]
    if len(pairs) < 2:
        return _line(quantity, f"not judged: no {reference} to divide by")
    old, new = (ratio(*pair).median for pair in pairs)
    if min(len(a) for a, _ in pairs) < FEWEST_ROUNDS:
        return _line(quantity, FEW, old, new)
    low, high = interval(*pairs)
    return _line(quantity, _verdict(low, high, tolerance), old, new, low, high)


def _counted(name: str, olds: Rows, news: Rows, tolerance: float) -> Line:
    old, new = olds[OURS].values[name], news[OURS].values[name]
    over = new / old if old else math.inf
    verdict = SAME if abs(new - old) <= SLACK_BYTES else _verdict(over, over, tolerance)
    return _line(name, verdict, old, new)


def _verdict(low: float, high: float, tolerance: float) -> str:
    return WORSE if low > 1 + tolerance else BETTER if high < 1 / (1 + tolerance) else SAME


def _line(quantity: str, verdict: str, *numbers: float) -> Line:
    old, new, low, high = (*numbers, math.nan, math.nan, math.nan, math.nan)[:4]
    line = {"quantity": quantity, "verdict": verdict, "old": old, "new": new}
    value = new / old if old else 1.0 if new == old else math.inf
    return {**line, "value": value, "low": low, "high": high}


def interval(*runs: tuple[Sequence[float], Sequence[float]]) -> Sequence[float]:
    """Where the quotient of the two runs' median ratios lies, with `CONFIDENCE`."""
    rng = np.random.default_rng(0)
    ratios = [np.divide(above, below) for above, below in runs]
    picks = (rng.choice(some, size=(RESAMPLES, len(some))) for some in ratios)
    old, new = (np.median(picked, axis=1) for picked in picks)
    tail = (1 - CONFIDENCE) / 2
    return list(np.quantile(new / old, (tail, 1 - tail)))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("old", help="the record to compare with")
    add("new", help="the record that is judged")
    text = "a regression is worse by more than this beyond the noise (default: %(default)s)"
    add("--tolerance", type=float, default=TOLERANCE, metavar="SHARE", help=text)
    text = "compare runs on different devices or of other dtypes"
    add("--force", action="store_true", help=text)


def run(args: argparse.Namespace) -> int:
    """0: nothing is worse; 1: something is. ValueError if the records cannot be compared."""
    old, new = load(args.old), load(args.new)
    found = _compared(old, new, args)
    _print(terminal(), old, new, found)
    return int(found["verdict"].isin(REGRESSIONS).any())


def _compared(old: Record, new: Record, args: argparse.Namespace) -> pd.DataFrame:
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
    verdicts = {*found["verdict"]} if len(found) else set()
    if verdicts <= {ONLY_OLD, ONLY_NEW}:
        raise ValueError(
            "bench: the runs must share cases of lossjax, got none. "
            "Run both with the same --losses and --shapes."
        )
    if not verdicts & {*ORDER}:
        reasons = sorted(verdict for verdict in verdicts if verdict.startswith("not judged"))
        raise ValueError(
            f"bench: {' and '.join(reasons) or 'the runs hold nothing to compare'}. "
            f"Measure again, with all peers and {FEWEST_ROUNDS} rounds or more."
        )
    return found


def table_of(found: pd.DataFrame) -> pd.DataFrame:
    """As text: the words of each change, among them its verdict, and the numbers."""
    lines = []
    for _, line in found.iterrows():
        show = bytes_text if line["quantity"] in SIZES else "{:.2f}".format
        old, new = ("" if math.isnan(x) else show(x) for x in (line["old"], line["new"]))
        value = "" if math.isnan(line["value"]) else f"{line['value']:.2f}"
        if not math.isnan(line["low"]):
            value += f" ({line['low']:.2f} to {line['high']:.2f})"
        lines.append({"old": old, "new": new, f"new / old ({CONFIDENCE:.0%})": value})
    return pd.DataFrame(lines, pd.MultiIndex.from_frame(found[["verdict", *WORDS]]))


def _print(console: Console, old: Record, new: Record, found: pd.DataFrame) -> None:
    console.print(*renewed(old, new), sep="\n", highlight=False)
    # A word that is the same in every row is said once.
    told = [name for name in WORDS[1:] if found[name].nunique() == 1]
    if told:
        same = (f"{name} {found[name].iloc[0]}" for name in told)
        console.print(", ".join(same), highlight=False)
    counts = found["verdict"].value_counts(sort=False)
    verdicts = sorted(counts.index, key=[*ORDER, *counts.index].index)
    cells = table_of(found.sort_values("value", na_position="first", kind="stable"))
    for verdict in reversed(verdicts):  # what matters most comes last, where the terminal stops
        style = "red" if verdict in REGRESSIONS else "green" if verdict in GAINS else ""
        some = cells.xs(verdict, drop_level=False).droplevel(["verdict", *told])
        console.print(grid(some, f"{counts[verdict]} {verdict}", style=style))
    console.print("; ".join(f"{counts[v]} {v}" for v in verdicts) + ".", highlight=False)


def renewed(old: Record, new: Record) -> list[str]:
    """The versions that changed, in words."""
    names = sorted({*old.versions, *new.versions})
    pairs = ((n, *(record.versions.get(n, "absent") for record in (old, new))) for n in names)
    return [f"{name}: {before} before, {now} now." for name, before, now in pairs if before != now]
