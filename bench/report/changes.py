"""The section on what changed between two runs of a command on the same device."""

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd

from bench import compare
from bench.record import Record
from bench.report.charts import Figure
from bench.report.data import WEIGHTED, device_label
from bench.report.sections import Section, dots

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
    frame = pd.DataFrame(
        {
            **dataclasses.asdict(c),
            **{"label": c.case.removesuffix("()"), "elements": math.prod(c.shape), "error": None},
            **{"weights": WEIGHTED[c.weighting], "device": device_label(new)},
            **{"value": c.factor, "series": c.verdict},
        }
        for c in found
    )
    sampled = frame[frame["low"].notna() & frame["verdict"].isin([*LOOKS])]
    name = f"changes-{new.command}" + (f"-{number + 1}" if number else "")
    title = f"Change of {frame['quantity'].iloc[0]}"
    more: Any = {"looks": LOOKS, "largest_first": True}
    figures = [*dots(sampled, "value", name, title, "new / old", **more)]
    cells = pd.DataFrame(
        [(c.verdict, *c.cells) for c in found], columns=["verdict", *compare.HEADER]
    )
    figures.append(Figure(None, cells.set_index([*cells][: compare.WORDS + 1]), "All cases"))
    return Section(f"What changed: {new.command}", facts, figures, [old, new])
