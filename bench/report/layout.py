"""From groups to dot plots: what goes into one plot, which panel, which row, which name."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence

from bench.record import OURS, geometric_mean
from bench.report.charts import Dots, Figure, Panel, Point, Table, figure
from bench.report.data import Group, by_shape, split, unique
from bench.report.palette import colors

WEIGHTED = {"none": "no weights", "weight": "sample_weight", "mask": "mask"}
SPREAD = "A bar spans the middle 60 % of the rounds."


@dataclasses.dataclass(frozen=True)
class Quantity:
    """What a plot shows of each group, and how."""

    name: str
    title: str
    axis: str
    form: Callable[[float], str]
    points: Callable[[Group, str], Sequence[Point]] = lambda group, row: ()
    scale: str = "log"
    largest_first: bool = False


def ratio_text(x: float) -> str:
    return f"{x:.2f}" if x < 10 else f"{x:.1f}" if x < 100 else f"{x:.0f}"


def share_text(x: float) -> str:
    return f"{x:.1f} %" if x < 10 else f"{x:.0f} %"


def scope(group: Group, *but: str) -> str:
    """What the groups that are like this one have in common, in words."""
    parts = {"weighting": WEIGHTED[group.weighting], "dtype": group.dtype, "device": group.device}
    return ", ".join(text for name, text in parts.items() if text and name not in but)


def slug(name: str, group: Group, groups: Iterable[Group], *but: str) -> str:
    """The name of a plot among all that are made of `groups`."""
    devices = unique(g.device for g in groups)
    parts = {
        "weighting": "" if group.weighting == "none" else group.weighting,
        "dtype": "" if group.dtype == "float32" else group.dtype,
        "device": "" if len(devices) == 1 else str(devices.index(group.device) + 1),
    }
    return "-".join([name, *(text for key, text in parts.items() if text and key not in but)])


def alike(groups: Sequence[Group], *but: str) -> list[list[Group]]:
    """Those that a plot may hold."""
    names = [name for name in ("device", "dtype", "weighting") if name not in but]
    return list(split(groups, lambda g: tuple(getattr(g, name) for name in names)).values())


def by_shapes(
    quantity: Quantity, groups: Sequence[Group], palette: dict[str, str] | None = None, *but: str
) -> list[Figure]:
    """A plot for each device, dtype and weighting but for those named, with a panel a shape."""
    found = []
    for some in alike(groups, *but):
        held = [g for g in some if quantity.points(g, g.label)]
        if not held:
            continue
        place, notes = by_shape([(g.label, g.shape) for g in held])
        placed = [(place[g.label, g.shape], g) for g in held]
        titles = unique(panel for (panel, _), g in sorted(placed, key=lambda p: -p[1].size))
        points = [(panel, p) for (panel, row), g in placed for p in quantity.points(g, row)]
        name = slug(quantity.name, some[0], groups, *but)
        title = f"{quantity.title}: {scope(some[0], *but)}"
        found.append(dots(quantity, name, title, points, titles, notes, palette))
    return found


def dots(
    quantity: Quantity,
    name: str,
    title: str,
    points: Sequence[tuple[str, Point]],
    titles: Sequence[str],
    notes: Sequence[str],
    palette: dict[str, str] | None = None,
) -> Figure:
    """A plot of (panel, point) pairs with its table."""
    panels = split(points, lambda pair: pair[0])
    series = unique(point.series for _, point in points)
    if any(point.value is None for _, point in points):
        notes = [*notes, "× fails."]
    roles = colors(series) if palette is None else {s: palette[s] for s in palette if s in series}
    return figure(
        Dots(
            name,
            title,
            quantity.axis,
            _ranked([point for _, point in points], quantity.largest_first),
            roles,
            [Panel(title, [p for _, p in panels[title]]) for title in titles if title in panels],
            quantity.form,
            quantity.scale,
            notes,
        )
    )


def _ranked(points: Sequence[Point], largest_first: bool) -> list[str]:
    """The rows by geometric mean, of this library if it is there; those without numbers last."""
    means = {}
    for row, some in split(points, lambda p: p.row).items():
        own = [p for p in some if p.series == OURS] or some
        # A share may be 0, which has no logarithm.
        means[row] = geometric_mean(max(p.value, 1e-9) for p in own if p.value is not None)
    sign = -1 if largest_first else 1
    return sorted(means, key=lambda row: (means[row] is None, sign * (means[row] or 0), row))


def failures(groups: Sequence[Group]) -> list[Figure]:
    """A table of what failed, and why."""
    rows = [
        [
            row.implementation,
            g.where,
            WEIGHTED[g.weighting],
            g.dtype,
            row.target,
            row.values["error"],
        ]
        for g in groups
        for name, row in g.rows.items()
        if "error" in row.values
    ]
    header = ("implementation", "case", "weights", "dtype", "target", "reason")
    count = f"Failures: {len(rows)}"
    return [Figure(None, Table(header, rows, len(header), count))] if rows else []
