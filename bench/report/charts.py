"""What a report shows, before it is drawn or written: plots and tables of the same numbers."""

import dataclasses
from collections.abc import Callable, Sequence

from bench.record import Record


@dataclasses.dataclass(frozen=True)
class Point:
    """A number in a row of a panel; without a `value` the program failed."""

    row: str
    series: str
    value: float | None
    low: float | None = None
    high: float | None = None


@dataclasses.dataclass(frozen=True)
class Panel:
    title: str
    points: Sequence[Point]


@dataclasses.dataclass(frozen=True)
class Dots:
    """One row a loss, one dot a series, panels side by side on the same axis.

    `scale` is "log", or "share" for per cents that may be 0. `colors` names roles of the palette.
    """

    name: str
    title: str
    axis: str
    rows: Sequence[str]
    colors: dict[str, str]
    panels: Sequence[Panel]
    form: Callable[[float], str]
    scale: str = "log"
    notes: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Line:
    series: str
    xs: Sequence[float]
    ys: Sequence[float]


@dataclasses.dataclass(frozen=True)
class Curves:
    """A small panel a loss, a line a series, both axes logarithmic."""

    name: str
    title: str
    axis: str
    x_axis: str
    colors: dict[str, str]
    panels: Sequence[tuple[str, Sequence[Line]]]
    notes: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Table:
    """Cells as text. The first `words` columns are words, the others numbers."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1
    title: str = "Numbers"


@dataclasses.dataclass(frozen=True)
class Figure:
    plot: Dots | Curves | None
    table: Table | None


@dataclasses.dataclass(frozen=True)
class Section:
    """`facts` are sentences that are computed from the numbers; `records` where these are from."""

    title: str
    lead: str
    facts: Sequence[str]
    figures: Sequence[Figure]
    records: Sequence[Record]


def cell(point: Point | None, form: Callable[[float], str]) -> str:
    if point is None:
        return ""
    if point.value is None:
        return "fails"
    if point.low is None or point.high is None:
        return form(point.value)
    return f"{form(point.value)} ({form(point.low)} to {form(point.high)})"


def table_of(dots: Dots) -> Table:
    """The numbers of a plot: a column for each series of each panel that has any."""
    found = {
        (panel.title, point.series, point.row): point
        for panel in dots.panels
        for point in panel.points
    }
    held = {key[:2] for key in found}
    columns = [
        (panel.title, series)
        for panel in dots.panels
        for series in dots.colors
        if (panel.title, series) in held
    ]
    header = [f"{series}, {title}" if title else series for title, series in columns]
    rows = [
        [row, *(cell(found.get((*column, row)), dots.form) for column in columns)]
        for row in dots.rows
    ]
    return Table(["loss", *header], rows)


def figure(dots: Dots) -> Figure:
    return Figure(dots, table_of(dots))
