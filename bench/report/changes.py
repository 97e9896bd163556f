"""The section on what changed between two runs of a command on the same device."""

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence

import pandas as pd

from bench import compare
from bench.record import Record
from bench.report.charts import Figure, plotted, table_of
from bench.report.data import WEIGHTED
from bench.report.sections import Section, placed

LOOKS = {compare.WORSE: 1, compare.SAME: 8, compare.BETTER: 4}  # red, grey, green


def changed(records: Sequence[Record]) -> list[Section]:
    """One for each run, against the last one before it that shares cases with it."""
    runs = sorted(records, key=lambda record: record.started)
    found: list[Section] = []
    for index, new in enumerate(runs):
        before = [old for old in reversed(runs[:index]) if not compare.mismatch(old, new)]
        made = (_section(old, new, len(found)) for old in before)
        found += filter(None, [next(filter(None, made), None)])
    return found


def _section(old: Record, new: Record, number: int) -> Section | None:
    found = compare.changes(old, new)
    counts = Counter(change.verdict for change in found)
    if not {*counts} - {compare.ONLY_OLD, compare.ONLY_NEW}:
        return None
    facts = [f"{'; '.join(f'{count} {verdict}' for verdict, count in counts.items())}."]
    for name in sorted({*old.versions, *new.versions}):
        before, now = (record.versions.get(name, "absent") for record in (old, new))
        if before != now:
            facts.append(f"{name}: {before} before, {now} now.")
    frame = pd.DataFrame([{**dataclasses.asdict(c), "value": c.factor} for c in found])
    frame["label"] = frame["case"].str.removesuffix("()")
    frame["elements"] = frame["shape"].map(math.prod)
    sampled = frame[frame["low"].notna() & frame["verdict"].isin([*LOOKS])]
    figures: list[Figure] = []
    for (weighting, dtype, quantity), some in sampled.groupby(
        ["weighting", "dtype", "quantity"], sort=False
    ):
        numbers = (str(n + 1) for n in (number, len(figures)) if n)
        points, notes = placed(some)
        plot = plotted(
            "-".join(["changes", new.command, *numbers]),
            f"Change of {quantity}: {WEIGHTED[weighting]}, {dtype}",
            "new / old",
            points.rename(columns={"verdict": "series"}),
            notes=notes,
            looks=LOOKS,
            largest_first=True,
        )
        figures.append(Figure(plot, table_of(plot)))
    cells = pd.DataFrame(
        [(c.verdict, *c.cells) for c in found], columns=["verdict", *compare.HEADER]
    )
    figures.append(Figure(None, cells.set_index([*cells][: compare.WORDS + 1]), "All cases"))
    return Section(f"What changed: {new.command}", facts, figures, [old, new])
