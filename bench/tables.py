"""The terminal's view of a record: a table a command, its means, and what went wrong."""

import dataclasses
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.record import FLOOR, OURS, Ratio, Record, Row, geometric_mean, ratio

Group: TypeAlias = tuple[Any, ...]


@dataclasses.dataclass(frozen=True)
class Column:
    """A ratio for each case, red where it is on the wrong side of `limit`."""

    header: str
    ratios: Mapping[Group, Ratio]
    better: Callable[..., float]  # min if it should be small, max if large
    limit: float

    def cell(self, group: Group, wide: bool) -> str:
        found = self.ratios.get(group)
        if found is None:
            return "-"
        spread = (found.high - found.low) / found.median / 2
        return self.coloured(found.median) + (f" [dim]±{spread:.0%}[/dim]" if wide else "")

    def coloured(self, number: float) -> str:
        is_bad = number != self.better(number, self.limit)
        return f"[red]{number:.2f}[/red]" if is_bad else f"{number:.2f}"

    def worst(self, groups: Iterable[Group]) -> tuple[float, Group] | None:
        worst = min if self.better is max else max
        found = [(self.ratios[group].median, group) for group in groups if group in self.ratios]
        return worst(found, default=None)

    def mean(self, groups: Iterable[Group]) -> float | None:
        return geometric_mean(self.ratios[group].median for group in groups if group in self.ratios)


def show(record: Record, console: Console | None = None) -> None:
    """Print what a command has found."""
    console = console or Console()
    if not console.is_terminal:  # a file has no width
        console.width = max(console.width, 140)
    if record.rows and record.command in TABLES:
        for table in TABLES[record.command](record, console.width >= 120):
            console.print(table)
    for row in record.rows:
        if "error" in row.values:
            where = " ".join((row.case, row.weighting, size(row.shape), row.dtype))
            text = f"{row.implementation} is not measured: {where}: {row.values['error']}"
            console.print(text, style="red", markup=False, highlight=False)
    for name, reason in record.missing.items():
        console.print(f"{name} cannot be used: {reason}", markup=False, highlight=False)


def losses(record: Record, wide: bool) -> Iterable[Table]:
    """Time of lossjax; how much more it takes than the floor and less than the others."""
    return _compared(record, "seconds", wide)


def compilation(record: Record, wide: bool) -> Iterable[Table]:
    """The same for first calls."""
    return _compared(record, "first_call_seconds", wide)


def _compared(record: Record, samples: str, wide: bool) -> Iterable[Table]:
    groups = record.groups()
    columns = _columns(record, samples)
    table, names = _table(record, groups)
    table.caption = "under a library: its time over lossjax's, above 1 where lossjax is faster"
    for header in (OURS, *(column.header for column in columns)):
        table.add_column(header, justify="right")
    for group, sides in groups.items():
        ours = sides.get(OURS)
        taken = ours.values.get(samples) if ours else None
        cells = [column.cell(group, wide) for column in columns]
        table.add_row(*names(group), time(statistics.median(taken)) if taken else "-", *cells)
    yield table
    sums = Table(title="geometric means, and worst rows", title_justify="left")
    sums.add_column("weights")
    for column in columns:
        sums.add_column(column.header, justify="right")
    for weighting in dict.fromkeys(group[1] for group in groups):
        chosen = [group for group in groups if group[1] == weighting]
        means = [column.mean(chosen) for column in columns]
        sums.add_row(weighting, *("-" if m is None else f"[bold]{m:.2f}[/bold]" for m in means))
        cells = []
        for column in columns:
            worst = column.worst(chosen)
            name = "" if worst is None else f"\n{escape(worst[1][0])}\n{size(worst[1][2])}"
            cells.append("-" if worst is None else column.coloured(worst[0]) + name)
        sums.add_row("  worst", *cells, end_section=True)
    yield sums


def _columns(record: Record, samples: str) -> list[Column]:
    groups = record.groups()

    def found(above: Callable[[Group], Row | None], below: Callable[[Group], Row | None]) -> Any:
        pairs = {group: (above(group), below(group)) for group in groups}
        return {
            group: ratio(a.values[samples], b.values[samples])
            for group, (a, b) in pairs.items()
            if a and b and len(a.values.get(samples, ())) == len(b.values.get(samples, ())) > 0
        }

    def side(name: str) -> Callable[[Group], Row | None]:
        return lambda group: groups[group].get(name)

    def unweighted(group: Group) -> Row | None:
        case, weighting, *rest = group
        return groups.get((case, "none", *rest), {}).get(OURS) if weighting != "none" else None

    columns = [Column("over\nfloor", found(side(OURS), side(FLOOR)), min, 2.5)]
    columns += [
        Column(name.replace(".", ".\n"), found(side(name), side(OURS)), max, 1 / 1.05)
        for name in implementations(record)
        if name not in (OURS, FLOOR)
    ]
    columns.append(Column("over\nunweighted", found(side(OURS), unweighted), min, 1.15))
    return [column for column in columns if column.ratios]


def scaling(record: Record, wide: bool) -> Iterable[Table]:
    """Time per element over the least of the curve; and over the floor, which has steps too."""
    curves: dict[Group, dict[int, float]] = {}
    for (case, weighting, shape, dtype, _), sides in record.groups().items():
        timed = {
            name: row.values["seconds"] for name, row in sides.items() if "seconds" in row.values
        }
        elements = math.prod(shape)
        for name, samples in timed.items():
            curve = curves.setdefault((case, weighting, dtype, name), {})
            curve[elements] = statistics.median(samples) / elements
        if {OURS, FLOOR} <= timed.keys():
            curve = curves.setdefault((case, weighting, dtype, f"{OURS} / {FLOOR}"), {})
            curve[elements] = ratio(timed[OURS], timed[FLOOR]).median
    sizes = sorted({elements for curve in curves.values() for elements in curve})
    headers = ["best", *(f"2^{math.log2(n):.0f}" for n in sizes)]
    table = Table(title=title(record), title_justify="left")
    table.caption = "time per element over the best one; for the ratio, the ratio itself"
    for header in ("loss", ""):
        table.add_column(header, no_wrap=True)
    for header in headers:
        table.add_column(header, justify="right")
    for (case, weighting, dtype, name), curve in curves.items():
        unusual = [text for text in (weighting, dtype) if text not in ("none", "float32")]
        best = min(curve.values())
        unit, text = (1.0, "") if "/" in name else (best, f"{best * 1e9:.3g} ns")
        cells = [f"{curve[n] / unit:.2f}" if n in curve else "-" for n in sizes]
        table.add_row(escape(" ".join((case, *unusual))), name, text, *cells)
    yield table


def memory(record: Record, wide: bool) -> Iterable[Table]:
    """Temporary bytes and residuals, in parts of one input."""
    sides_of = implementations(record)
    groups = record.groups()
    table, names = _table(record, groups)
    table.caption = "temporary bytes, and bytes kept from forward to backward, in parts of y_pred"
    table.add_column("y_pred", justify="right")
    for name in sides_of:
        table.add_column(f"{name}\ntemp", justify="right")
        table.add_column(f"{name}\nkept", justify="right")
    for group, sides in groups.items():
        one = next(iter(sides.values())).input_bytes
        cells = []
        for name in sides_of:
            values = sides[name].values if name in sides else {}
            for key in ("temp_bytes", "residual_bytes"):
                cells.append(f"{values[key] / one:.1%}" if key in values else "-")
        table.add_row(*names(group), f"{one / 1e6:.3g} MB", *cells)
    yield table


TABLES: dict[str, Callable[[Record, bool], Iterable[Table]]] = {
    "losses": losses,
    "scaling": scaling,
    "memory": memory,
    "compile": compilation,
    "training": losses,
}


def _table(record: Record, groups: Iterable[Group]) -> tuple[Table, Callable[[Group], list[str]]]:
    """A table whose first columns tell the cases apart, and the cells of a case in these."""
    cells = {group: [escape(group[0]), group[1], size(group[2]), group[3]] for group in groups}
    headers = ("loss", "weights", "shape", "dtype")
    varying = [0, *(i for i in (1, 2, 3) if len({names[i] for names in cells.values()}) > 1)]
    fixed = sorted({names[i] for names in cells.values() for i in {1, 2, 3} - set(varying)})
    table = Table(title=f"{title(record)}; {', '.join(fixed)}", title_justify="left")
    for i in varying:
        table.add_column(headers[i], justify="right" if i == 2 else "left", no_wrap=True)
    return table, lambda group: [cells[group][i] for i in varying]


def implementations(record: Record) -> list[str]:
    """In the order of the cases that have most of them: the first may lack one of the middle."""
    groups = sorted(record.groups().values(), key=len, reverse=True)
    return list(dict.fromkeys(name for sides in groups for name in sides))


def title(record: Record) -> str:
    device = record.device
    return f"{record.command} on {device['kind']} ({device['cores']} cores of {device['cpu']})"


def size(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def time(seconds: float) -> str:
    for unit, factor in (("s", 1), ("ms", 1e3)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"
