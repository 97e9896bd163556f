"""The measurements of several records as one table: of each case the newest."""

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from bench.record import FLOOR, NUMBERS, OURS, SAMPLES, Record, Row, geometric_mean, ratio

TRACED = "lossjax.traced"  # with its numbers as arguments of the program: no other library
WEIGHTED = {"none": "no weights", "weight": "sample_weight", "mask": "mask"}
ALIKE = ["weights", "dtype", "device"]  # what a plot, and a fact, holds one of
Place = tuple[str, tuple[int, ...]]


def device_label(record: Record) -> str:
    device = record.device
    if device["platform"] == "cpu":
        return f"{device['cpu']}, {device['cores']} cores"
    return f"{device['count']} × {device['kind']}"


def measured(records: Sequence[Record], command: str) -> pd.DataFrame:
    """A line for each program. Those for absent devices depend on no host."""
    lines: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for record in sorted(records, key=lambda r: r.started):
        device = "" if command == "devices" else device_label(record)
        groups = record.groups() if record.command == command else {}
        for (case, weighting, *rest), rows in groups.items():
            known = {"label": case.removesuffix("()"), "weights": WEIGHTED[weighting]}
            known |= {"device": device, "record": record}
            plain = groups.get((case, "none", *rest), {}) if weighting != "none" else {}
            lines[device, case, weighting, *rest] = [
                {**known, **_numbers(row, rows, plain)} for row in rows.values()
            ]
    frame = pd.DataFrame([line for group in lines.values() for line in group])
    if frame.empty:
        return frame
    return frame.assign(
        nanoseconds=1e9 * frame["seconds"] / frame["elements"],
        megabytes=frame["temp_bytes"] / 1e6,
        temp=100 * frame["temp_bytes"] / frame["input_bytes"],
        kept=100 * frame["residual_bytes"] / frame["input_bytes"],
        moved=frame["bytes"] / frame["floor_bytes"],
        microseconds=1e6 * frame["estimated_seconds"],
    )


def _numbers(row: Row, rows: Mapping[str, Row], plain: Mapping[str, Row]) -> dict[str, Any]:
    """What is known of a program. Ratios are to those that ran in the same rounds."""
    taken = _samples(row)
    found = {name: getattr(row, name) for name in ("shape", "dtype", "target", "implementation")}
    found |= {"elements": math.prod(row.shape), "input_bytes": row.input_bytes}
    found |= {"error": row.values.get("error")}
    found |= {name: row.values.get(name, math.nan) for name in NUMBERS}
    found["seconds"] = statistics.median(taken) if taken else math.nan
    unweighted = plain.get(OURS) if row.implementation == OURS else None
    references = {"speedup": rows.get(OURS), "floor": rows.get(FLOOR), "weighed": unweighted}
    for name, other in references.items():
        below = _samples(other) if other else ()
        numbers = ratio(taken, below) if taken and below else (math.nan,) * 3
        found |= dict(zip((name, f"{name} low", f"{name} high"), numbers, strict=True))
    return found


def _samples(row: Row) -> Sequence[float]:
    return next((row.values[name] for name in SAMPLES if name in row.values), ())


def alike(frame: pd.DataFrame) -> list[pd.DataFrame]:
    return [some for _, some in frame.groupby(ALIKE, sort=False)]


def ours(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["implementation"] == OURS]


def peers(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[~frame["implementation"].isin([OURS, TRACED, FLOOR])]


def times(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape))


def ratio_text(x: float) -> str:
    return f"{x:.2f}" if x < 10 else f"{x:.1f}" if x < 100 else f"{x:.0f}"


def share_text(x: float) -> str:
    return f"{x:.1f} %" if x < 10 else f"{x:.0f} %"


def mean_text(values: pd.Series) -> str:
    """The geometric mean; nothing of nothing."""
    mean = geometric_mean(values.dropna())
    return "" if mean is None else ratio_text(mean)


def most(frame: pd.DataFrame, number: str) -> tuple[float, str] | None:
    """The largest number, and of which case it is; None if there is no number."""
    if frame[number].isna().all():
        return None
    line = frame.loc[frame[number].idxmax()]
    return line[number], f"{line['label']}, {times(line['shape'])}"


def scope(frame: pd.DataFrame, names: Sequence[str] = ALIKE) -> str:
    """What the lines have in common, in words."""
    return ", ".join(filter(None, frame.iloc[0][names]))


def by_shape(keys: Sequence[Place]) -> tuple[dict[Place, tuple[str, str]], list[str]]:
    """The (panel, row) of each (label, shape), and a note on the marked rows.

    Losses that compare all rows, or run step by step, are measured at shapes of their own. A
    panel for each of these would be all but empty: they go to the panel of the run's shape of
    the same rank by size, and the row is marked.
    """
    shapes: dict[str, list[tuple[int, ...]]] = {}
    for label, shape in dict.fromkeys(keys):
        shapes.setdefault(label, []).append(shape)
    counts = Counter(shape for some in shapes.values() for shape in some)
    usual = {shape for shape in counts if 2 * counts[shape] > max(counts.values())}
    # A shape beside the usual ones, not in their place, is one more of the run.
    panels = usual.union(*(some for some in shapes.values() if usual <= {*some}))
    place, notes = {}, []
    for label, some in shapes.items():
        own = sorted({*some} - panels, key=math.prod, reverse=True)
        free = sorted(panels - {*some}, key=math.prod, reverse=True)
        moved = dict(zip(own, free, strict=False))
        for shape in some:
            place[label, shape] = times(moved.get(shape, shape)), label + "†" * bool(moved)
        if moved:
            notes.append(f"{label} at {' and '.join(map(times, moved))}")
    return place, [f"† at shapes of its own: {'; '.join(notes)}."] if notes else []
