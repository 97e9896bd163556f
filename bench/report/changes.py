"""The section on what changed between two runs of a command on the same device."""

import dataclasses
import math
from collections.abc import Sequence

from bench.compare import (
    BETTER,
    CONFIDENCE,
    HEADER,
    ONLY_NEW,
    ONLY_OLD,
    SAME,
    WORDS,
    WORSE,
    Change,
    changes,
    mismatch,
)
from bench.record import Record
from bench.report.charts import Figure, Point, Section, Table
from bench.report.data import by_shape, split, unique
from bench.report.layout import WEIGHTED, Quantity, dots, ratio_text

COLORS = {WORSE: "red", SAME: "grey", BETTER: "green"}
FACTOR = Quantity("changes", "Changes", "new / old", ratio_text, largest_first=True)


def changed(records: Sequence[Record], tolerance: float) -> list[Section]:
    """One for each run, against the last one before it that shares cases with it."""
    found: list[Section] = []
    for command, some in split(records, lambda r: r.command).items():
        runs = sorted(some, key=lambda r: r.started)
        for index, new in enumerate(runs):
            for old in reversed(runs[:index]):
                section = _section(command, old, new, tolerance, len(found))
                if section:
                    found.append(section)
                    break
    return found


def _section(
    command: str, old: Record, new: Record, tolerance: float, number: int
) -> Section | None:
    if mismatch(old, new):
        return None
    found = changes(old, new, tolerance)
    if all(change.verdict in (ONLY_OLD, ONLY_NEW) for change in found):
        return None
    counts = split(found, lambda change: change.verdict)
    facts = [f"{'; '.join(f'{len(some)} {verdict}' for verdict, some in counts.items())}."]
    for name in sorted({*old.versions, *new.versions}):
        before, now = (record.versions.get(name, "absent") for record in (old, new))
        if before != now:
            facts.append(f"{name}: {before} before, {now} now.")
    sampled = [c for c in found if c.low is not None and c.verdict in COLORS]
    figures = []
    for index, some in enumerate(
        split(sampled, lambda c: (c.weighting, c.dtype, c.quantity)).values()
    ):
        name = "-".join(["changes", command, *(str(n + 1) for n in (number, index) if n)])
        figures.append(_plot(name, some))
    rows = [(change.verdict, *change.cells) for change in found]
    table = Table(("verdict", *HEADER), rows, WORDS + 1, "All cases")
    figures.append(Figure(None, table))
    lead = (
        f"Each case of `{command}` in a run and in the one before it. Times are compared as the "
        f"ratio to their reference in the same rounds; the bar is the {CONFIDENCE:.0%} interval "
        f"from resampling the rounds. A case is worse if its whole interval is above "
        f"{1 + tolerance:g}."
    )
    return Section(f"What changed: {command}", lead, facts, figures, [old, new])


def _plot(name: str, found: Sequence[Change]) -> Figure:
    place, notes = by_shape([(_label(c), c.shape) for c in found])
    points = []
    for change in found:
        panel, row = place[_label(change), change.shape]
        points.append((panel, Point(row, change.verdict, change.factor, change.low, change.high)))
    shapes = unique(place[_label(c), c.shape][0] for c in sorted(found, key=_size, reverse=True))
    first = found[0]
    title = f"Change of {first.quantity}: {WEIGHTED[first.weighting]}, {first.dtype}"
    return dataclasses.replace(dots(FACTOR, name, title, points, shapes, notes, COLORS), table=None)


def _label(change: Change) -> str:
    return change.case.removesuffix("()")


def _size(change: Change) -> int:
    return math.prod(change.shape)
