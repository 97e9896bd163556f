"""The measurements of several records as one: of each case the newest."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from bench.record import FLOOR, OURS, Ratio, Record, Row, ratio
from bench.report.palette import ordered

TRACED = "lossjax.traced"  # with its numbers as arguments of the program: no other library
T = TypeVar("T")


@dataclasses.dataclass(frozen=True, eq=False)
class Group:
    """The implementations of one case in one run, so in the same rounds."""

    record: Record
    device: str
    case: str
    weighting: str
    shape: tuple[int, ...]
    dtype: str
    target: str
    rows: Mapping[str, Row]
    unweighted: Row | None  # this library without weights, in the same rounds

    @property
    def label(self) -> str:
        return self.case.removesuffix("()")

    @property
    def where(self) -> str:
        return f"{self.label}, {times(self.shape)}"

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def peers(self) -> list[str]:
        return [name for name in self.rows if name not in (OURS, TRACED, FLOOR)]

    def value(self, implementation: str, name: str) -> Any:
        row = self.rows.get(implementation)
        return None if row is None else row.values.get(name)

    def over(self, above: str, below: str, name: str = "seconds") -> Ratio | None:
        """How many times the samples of `below` those of `above` are."""
        a, b = self.value(above, name), self.value(below, name)
        return ratio(a, b) if a and b else None

    def over_unweighted(self) -> Ratio | None:
        """What the weights or the mask cost."""
        own = self.value(OURS, "seconds")
        plain = None if self.unweighted is None else self.unweighted.values.get("seconds")
        return ratio(own, plain) if own and plain and self.weighting != "none" else None

    def fails(self, implementation: str) -> bool:
        return self.value(implementation, "error") is not None


def device_label(record: Record) -> str:
    device = record.device
    if device["platform"] == "cpu":
        return f"{device['cpu']}, {device['cores']} cores"
    return f"{device['count']} × {device['kind']}"


def latest(records: Sequence[Record], command: str) -> list[Group]:
    """Every case of the command's records. Programs for absent devices depend on no host."""
    found: dict[tuple[Any, ...], Group] = {}
    for record in sorted(records, key=lambda r: r.started):
        if record.command != command:
            continue
        device = "" if command == "devices" else device_label(record)
        groups = record.groups()
        for key, rows in groups.items():
            case, weighting, shape, dtype, target = key
            plain = groups.get((case, "none", shape, dtype, target), {}).get(OURS)
            found[(device, *key)] = Group(
                record, device, case, weighting, shape, dtype, target, rows, plain
            )
    return list(found.values())


def records_of(groups: Iterable[Group]) -> list[Record]:
    """Each once, oldest first."""
    found = {id(g.record): g.record for g in groups}
    return sorted(found.values(), key=lambda r: r.started)


def peers_of(groups: Iterable[Group]) -> list[str]:
    return ordered(peer for g in groups for peer in g.peers)


def split(items: Iterable[T], key: Callable[[T], Any]) -> dict[Any, list[T]]:
    """Lists of the items with the same key, in the order in which the keys appear."""
    found: dict[Any, list[T]] = {}
    for item in items:
        found.setdefault(key(item), []).append(item)
    return found


def unique(items: Iterable[T]) -> list[T]:
    return list(dict.fromkeys(items))


def times(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape))


def by_shape(
    keys: Sequence[tuple[str, tuple[int, ...]]],
) -> tuple[dict[tuple[str, tuple[int, ...]], tuple[str, str]], list[str]]:
    """The (panel, row) of each (label, shape), and a note on the marked rows.

    Losses that compare all rows, or run step by step, are measured at shapes of their own. A
    panel for each of these would be all but empty: they go to the panel of the run's shape of
    the same rank by size, and the row is marked.
    """
    labels = split(unique(keys), lambda key: key[1])
    most = max(map(len, labels.values()))
    usual = {shape for shape, some in labels.items() if 2 * len(some) > most}
    shapes = {
        label: [shape for _, shape in some]
        for label, some in split(unique(keys), lambda key: key[0]).items()
    }
    # A shape beside the usual ones, not in their place, is one more of the run.
    panels = usual.union(*(some for some in shapes.values() if usual <= {*some}))
    place, notes = {}, []
    for label, some in shapes.items():
        own = sorted({*some} - panels, key=math.prod, reverse=True)
        free = sorted(panels - {*some}, key=math.prod, reverse=True)
        moved = dict(zip(own, free, strict=False))
        row = label + "†" * bool(moved)
        for shape in some:
            place[label, shape] = times(moved.get(shape, shape)), row
        if moved:
            notes.append(f"{label} at {' and '.join(map(times, moved))}")
    return place, [f"† at shapes of its own: {'; '.join(notes)}."] if notes else []
