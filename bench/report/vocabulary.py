"""The section on the loss of a large vocabulary: memory over the number of classes."""

from collections.abc import Sequence

from bench.record import OURS, Record
from bench.report.charts import Curves, Figure, Line, Section, Table
from bench.report.data import Group, latest, peers_of, records_of, split, unique
from bench.report.layout import alike, failures, ratio_text, scope, share_text, slug
from bench.report.palette import colors

HEADER = ("case", "tokens", "classes", "implementation", "MB", "of the logits")


def vocabulary(records: Sequence[Record]) -> Section | None:
    groups = latest(records, "linear-ce")
    figures, facts = [], []
    for some in alike(groups):
        panels = []
        rows = [row for g in some for row in _cells(g)]
        for label, sizes in split(some, lambda g: (g.label, g.shape[0])).items():
            sizes.sort(key=lambda g: g.size)
            lines = [_line(sizes, name) for name in (OURS, *peers_of(sizes))]
            lines = [line for line in lines if len(line.xs) > 1]
            if lines:
                panels.append((f"{label[0]}, {label[1]} tokens", lines))
        plot = _plot(some, groups, panels) if panels else None
        if rows:
            figures.append(Figure(plot, Table(HEADER, rows)))
        facts += _facts(some)
    figures += failures(groups)
    if not figures:
        return None
    lead = (
        "What XLA's program for the value and the gradients of hidden states and kernel allocates "
        "beside inputs and outputs. Dense forms hold the logits; the others grow more slowly."
    )
    return Section("Large vocabulary", lead, facts, figures, records_of(groups))


def _plot(some: Sequence[Group], groups: Sequence[Group], panels: list) -> Curves:
    held = unique(line.series for _, lines in panels for line in lines)
    return Curves(
        slug("vocabulary", some[0], groups),
        f"Temporary memory over the vocabulary: {scope(some[0])}",
        "MB",
        "classes",
        colors(held),
        panels,
    )


def _line(sizes: Sequence[Group], name: str) -> Line:
    found = [(g.shape[-1], mb) for g in sizes if (mb := _megabytes(g, name))]
    return Line(name, [x for x, _ in found], [y for _, y in found])


def _megabytes(group: Group, name: str) -> float | None:
    temp = group.value(name, "temp_bytes")
    return None if temp is None else temp / 1e6


def _cells(group: Group) -> list[list[str]]:
    found = []
    for name, row in group.rows.items():
        mb = _megabytes(group, name)
        if mb is not None:
            share = share_text(100 * mb * 1e6 / row.input_bytes)
            found.append([group.label, *map(str, group.shape), name, f"{mb:.1f}", share])
    return found


def _facts(some: Sequence[Group]) -> list[str]:
    """The times of the libraries, at the size at which they were timed."""
    return [
        f"{g.where}: {name} takes {ratio_text(over.median)} times as long as lossjax."
        for g in some
        for name in g.peers
        if (over := g.over(name, OURS)) is not None
    ]
