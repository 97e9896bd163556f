"""The section on sizes: the time an element."""

import statistics
from collections.abc import Sequence

from bench.record import FLOOR, OURS, Record
from bench.report.charts import Curves, Figure, Line, Section, Table
from bench.report.data import TRACED, Group, latest, peers_of, records_of, split
from bench.report.layout import alike, failures, ratio_text, scope, slug
from bench.report.palette import colors


def scaling(records: Sequence[Record]) -> Section | None:
    groups = latest(records, "scaling")
    figures, facts = [], []
    for some in alike(groups):
        names = [OURS, *peers_of(some), TRACED, FLOOR]
        panels, rows = [], []
        spreads: dict[str, float] = {}
        for label, sizes in sorted(split(some, lambda g: g.label).items()):
            sizes.sort(key=lambda g: g.size)
            lines = [line for line in (_line(sizes, name) for name in names) if line.xs]
            if lines:
                panels.append((label, lines))
            rows += [[label, f"{g.size:,}", *_cells(g, names)] for g in sizes]
            ours = _line(sizes, OURS).ys
            if ours:
                spreads[label] = max(ours) / min(ours)
        if not panels:
            continue
        held = {line.series for _, lines in panels for line in lines}
        plot = Curves(
            slug("scaling", some[0], groups),
            f"Scaling: {scope(some[0])}",
            "nanoseconds an element",
            "elements",
            colors([name for name in names if name in held]),
            panels,
        )
        figures.append(Figure(plot, Table(["loss", "elements", *names], rows)))
        if spreads:
            worst = max(spreads, key=lambda label: spreads[label])
            facts.append(
                f"{scope(some[0])}: lossjax's slowest size takes at most "
                f"{ratio_text(spreads[worst])} times as long per element as its fastest ({worst})."
            )
    figures += failures(groups)
    if not figures:
        return None
    lead = (
        "Median time an element of value and gradient, in nanoseconds, over the number of "
        "elements. A flat line is a cost that grows with the size and with nothing else."
    )
    return Section("Scaling", lead, facts, figures, records_of(groups))


def _nanoseconds(group: Group, name: str) -> float | None:
    samples = group.value(name, "seconds")
    return 1e9 * statistics.median(samples) / group.size if samples else None


def _line(sizes: Sequence[Group], name: str) -> Line:
    found = [(g.size, y) for g in sizes if (y := _nanoseconds(g, name)) is not None]
    return Line(name, [x for x, _ in found], [y for _, y in found])


def _cells(group: Group, names: Sequence[str]) -> list[str]:
    numbers = [_nanoseconds(group, name) for name in names]
    return ["" if number is None else f"{number:.3g}" for number in numbers]
