"""Sections about compiled programs: memory on this device, devices that are not here."""

from collections.abc import Sequence

from bench.compare import size
from bench.record import OURS, Record
from bench.report.charts import Figure, Point, Section, Table
from bench.report.data import Group, by_shape, latest, records_of, split, times, unique
from bench.report.layout import (
    Quantity,
    alike,
    by_shapes,
    dots,
    failures,
    ratio_text,
    scope,
    share_text,
    slug,
)


def _share(group: Group, implementation: str, name: str) -> float | None:
    number = group.value(implementation, name)
    return None if number is None else 100 * number / group.rows[implementation].input_bytes


def _shares(name: str, title: str, value: str) -> Quantity:
    def points(group: Group, row: str) -> list[Point]:
        found = []
        for implementation in group.rows:
            share = _share(group, implementation, value)
            if share is not None or group.fails(implementation):
                found.append(Point(row, implementation, share))
        return found

    return Quantity(name, title, "% of one input", share_text, points, scale="share")


MEMORY = (
    _shares("memory", "Temporary memory", "temp_bytes"),
    _shares("residuals", "Kept for the gradient", "residual_bytes"),
)


def memory(records: Sequence[Record]) -> Section | None:
    groups = latest(records, "memory")
    figures: list[Figure] = []
    for quantity, value in zip(MEMORY, ("temp_bytes", "residual_bytes"), strict=True):
        held = [g for g in groups if any(value in row.values for row in g.rows.values())]
        figures += by_shapes(quantity, held)
    figures += failures(groups)
    if not figures:
        return None
    facts = []
    for some in alike(groups):
        shares = {
            g: s for g, s in ((g, _share(g, OURS, "temp_bytes")) for g in some) if s is not None
        }
        if shares:
            most = max(shares, key=lambda g: shares[g])
            facts.append(
                f"{scope(some[0])}: lossjax needs at most {share_text(shares[most])} "
                f"of one input ({most.where})."
            )
    lead = (
        "What XLA's program for value and gradient allocates beside inputs and outputs, as a share "
        "of the bytes of one input (y_pred). 100 % is one more array of that size."
    )
    return Section("Memory", lead, facts, figures, records_of(groups))


def _over_floor(group: Group, implementation: str) -> float | None:
    moved, least = (group.value(implementation, name) for name in ("bytes", "floor_bytes"))
    return moved / least if moved and least else None


def _bytes(group: Group, row: str) -> list[Point]:
    found = []
    for implementation in group.rows:
        over = _over_floor(group, implementation)
        if over is not None or group.fails(implementation):
            found.append(Point(row, implementation, over))
    return found


BYTES = Quantity("devices", "Bytes over the floor", "times the floor", ratio_text, _bytes)


def devices(records: Sequence[Record]) -> Section | None:
    groups = latest(records, "devices")
    if not groups:
        return None
    figures: list[Figure] = []
    facts: list[str] = []
    for some in alike(groups):
        figures += [*_panels(some, groups), Figure(None, _programs(some))]
        facts += _facts(some)
    figures += failures(groups)
    lead = (
        "Programs compiled ahead of time for devices that are not here. All numbers are estimates "
        "made from the compiled programs; nothing was run. The floor of bytes is to read the "
        "inputs once and to write the gradient once."
    )
    return Section("Devices: estimates", lead, facts, figures, records_of(groups))


def _panels(some: Sequence[Group], groups: Sequence[Group]) -> list[Figure]:
    """A plot for each shape, with a panel a target."""
    held = [g for g in some if _bytes(g, g.label)]
    if not held:
        return []
    place, notes = by_shape([(g.label, g.shape) for g in held])
    found: list[Figure] = []
    for shape, part in split(held, lambda g: place[g.label, g.shape][0]).items():
        points = [(g.target, p) for g in part for p in _bytes(g, place[g.label, g.shape][1])]
        name = slug("devices", part[0], groups) + (f"-{len(found) + 1}" if found else "")
        title = f"Bytes over the floor (estimates): {scope(part[0])}, {shape}"
        found.append(dots(BYTES, name, title, points, unique(g.target for g in part), notes))
    return found


def _facts(groups: Sequence[Group]) -> list[str]:
    facts = []
    for target, some in split(groups, lambda g: g.target).items():
        ours = [g for g in some if OURS in g.rows]
        over = {g: x for g, x in ((g, _over_floor(g, OURS)) for g in ours) if x is not None}
        if not ours:
            continue
        good = sum(not g.fails(OURS) for g in ours)
        fact = f"{target}, {scope(some[0])}: {good} of {len(ours)} programs of lossjax compile"
        if over:
            most = max(over, key=lambda g: over[g])
            fact += f"; they move at most {ratio_text(over[most])} times the floor ({most.where})"
        facts.append(fact + ".")
    return facts


def _programs(groups: Sequence[Group]) -> Table:
    """All that is known of each program, or why there is none."""
    rows = []
    for group in sorted(groups, key=lambda g: (g.label.lower(), g.target)):
        for implementation, row in group.rows.items():
            over, share = (
                _over_floor(group, implementation),
                _share(group, implementation, "temp_bytes"),
            )
            seconds, kernels = (row.values.get(x) for x in ("estimated_seconds", "kernels"))
            rows.append(
                [
                    group.label,
                    times(group.shape),
                    group.target,
                    implementation,
                    "fails" if "error" in row.values else "compiles",
                    "" if over is None else ratio_text(over),
                    "" if over is None else size(row.values["bytes"]),
                    "" if share is None else share_text(share),
                    "" if kernels is None else f"{kernels:g}",
                    "" if seconds is None else f"{1e6 * seconds:.4g}",
                ]
            )
    words = ("loss", "shape", "target", "implementation", "program")
    numbers = ("bytes / floor", "bytes", "temp / input", "kernels", "estimated time, µs")
    return Table((*words, *numbers), rows, len(words), "All programs")
