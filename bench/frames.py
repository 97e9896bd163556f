"""The measurements of records as one table, of each case the newest: for all that shows them."""

import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import pandas as pd

from bench.record import FLOOR, NUMBERS, OURS, Record, Row, ratio

TRACED = "lossjax.traced"  # with its numbers as arguments of the program: no other library
KNOWN = [OURS, "keras", "optax", "torch", "torch.compile", TRACED, "jax-cce", "tokamax", FLOOR]
WEIGHTED = {"none": "no weights", "weight": "sample_weight", "mask": "mask"}
ALIKE = ["weights", "dtype", "device"]  # what a plot, and a fact, holds one of
Place: TypeAlias = tuple[str, tuple[int, ...]]


def device_label(record: Record) -> str:
    device = record.device
    if device["platform"] == "cpu":
        return f"{device['cpu']}, {device['cores']} cores"
    return f"{device['count']} × {device['kind']}"


def measured(records: Iterable[Record], command: str) -> pd.DataFrame:
    """A line for each program. Those for absent devices depend on no host."""
    lines: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for record in sorted(records, key=lambda r: r.started):
        device = "" if command == "devices" else device_label(record)
        groups = record.groups() if record.command == command else {}
        for (case, weighting, *rest), rows in groups.items():
            plain = groups.get((case, "none", *rest), {}) if weighting != "none" else {}
            lines[device, case, weighting, *rest] = [
                {"device": device, "record": record, **described(row), **_numbers(row, rows, plain)}
                for row in rows.values()
            ]
    frame = pd.DataFrame([line for group in lines.values() for line in group])
    if frame.empty:
        return frame
    parts = frame[["temp_bytes", "residual_bytes"]].mul(100 / frame["input_bytes"], axis=0)
    frame[["temp", "kept"]] = parts
    frame["megabytes"] = frame["temp_bytes"] / 1e6
    frame["moved"] = frame["bytes"] / frame["floor_bytes"]
    return frame.assign(nanoseconds=1e9 * frame["seconds"] / frame["elements"])


def described(row: Row) -> dict[str, Any]:
    found = {name: getattr(row, name) for name in ("dtype", "target", "implementation")}
    found |= {"loss": row.case.removesuffix("()"), "weights": WEIGHTED[row.weighting]}
    return found | {"sizes": row.shape, "shape": times(row.shape), "elements": math.prod(row.shape)}


def _numbers(row: Row, rows: Mapping[str, Row], plain: Mapping[str, Row]) -> dict[str, Any]:
    """What is known of a program. Ratios are to those that ran in the same rounds."""
    taken = row.samples
    found = {name: row.values.get(name, math.nan) for name in NUMBERS}
    found |= {"error": row.values.get("error"), "samples": taken, "input_bytes": row.input_bytes}
    found["seconds"] = statistics.median(taken or [math.nan])
    unweighted = plain.get(OURS) if row.implementation == OURS else None
    references = {"speedup": rows.get(OURS), "floor": rows.get(FLOOR), "weighed": unweighted}
    for name, other in references.items():
        paired = other is not None and len(taken) == len(other.samples) > 0
        numbers = ratio(taken, other.samples) if other and paired else (math.nan,) * 3
        found |= dict(zip((name, f"{name} low", f"{name} high"), numbers, strict=True))
    return found


def numbered(frame: pd.DataFrame, number: str) -> pd.DataFrame:
    """With that number and its spread as `value`, `low` and `high`."""
    names = {number: "value", f"{number} low": "low", f"{number} high": "high"}
    return frame.rename(columns=names)


def alike(frame: pd.DataFrame) -> list[pd.DataFrame]:
    return [some for _, some in frame.groupby(ALIKE, sort=False)]


def ours(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["implementation"] == OURS]


def peers(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[~frame["implementation"].isin([OURS, TRACED, FLOOR])]


def ordered(names: Iterable[str]) -> list[str]:
    """Each once: those that are known in their order, then the others."""
    found = dict.fromkeys(names)
    return [*(name for name in KNOWN if name in found), *(n for n in found if n not in KNOWN)]


def times(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape))


def ratio_text(x: float) -> str:
    return f"{x:.2f}" if x < 10 else f"{x:.1f}" if x < 100 else f"{x:.0f}"


def share_text(x: float) -> str:
    return f"{x:.1f} %" if x < 10 else f"{x:.0f} %"


def bytes_text(x: float) -> str:
    for unit in ("B", "kB", "MB"):
        if x < 1000:
            return f"{x:.3g} {unit}"
        x /= 1000
    return f"{x:.3g} GB"


def seconds_text(x: float) -> str:
    return f"{x:.3g} s" if x >= 1 else f"{x * 1e3:.3g} ms" if x >= 1e-3 else f"{x * 1e6:.3g} µs"


def mean_text(values: pd.Series) -> str:
    """The geometric mean; nothing of nothing."""
    return "" if values.isna().all() else ratio_text(statistics.geometric_mean(values.dropna()))


def most(frame: pd.DataFrame, number: str, form: Callable[[float], str] = ratio_text) -> str | None:
    """The largest number, and of which case it is; None if there is no number."""
    if frame[number].isna().all():
        return None
    line = frame.loc[frame[number].idxmax()]
    return f"{form(line[number])} ({line['loss']}, {line['shape']})"


def scope(frame: pd.DataFrame, names: Sequence[str] = ALIKE) -> str:
    """What the lines have in common, in words."""
    return ", ".join(filter(None, frame.iloc[0][names]))


def placed(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """With a panel and a row for each line, the largest shape first."""
    pairs = list(zip(frame["loss"], frame["sizes"], strict=True))
    place, notes = by_shape(pairs)
    found = pd.DataFrame([place[pair] for pair in pairs], frame.index, ["panel", "row"])
    order = frame["elements"].sort_values(ascending=False, kind="stable").index
    return frame.join(found).loc[order], notes


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
