"""Draws dots: a row a loss, panels beside each other on a wide page, below on a narrow one."""

from collections.abc import Iterable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from bench.report.canvas import FONT, LETTER, LINE, WIDE, Canvas, legend_height, ticks
from bench.report.charts import Dots, Panel, Point
from bench.report.palette import LIGHT, MARKERS

PER_LINE = 5  # panels
GAP = 16
ABOVE, BELOW = 3.6 * FONT, 3.4 * FONT  # for titles and ticks, for ticks and the axis's name
STEP = 7  # between the dots of a row
FAILED = 0.97  # where on the axis a failure is marked


def draw(plot: Dots, width: int, title: str = "", notes: Sequence[str] = ()) -> Canvas:
    wide = width == WIDE
    per_line = min(len(plot.panels), PER_LINE) if wide else 1
    left = max(len(row) for row in plot.rows) * LETTER + 10 if wide else 8
    panel_width = (width - left - GAP * per_line) / per_line
    most = max(len(group) for panel in plot.panels for group in _by_row(panel.points).values())
    # On a narrow page a row has its label above its dots.
    pitch = max(LINE, STEP * most + 5) if wide else STEP * most + 5 + LINE
    shift = 0.0 if wide else 0.5 * LINE / pitch
    lines = [plot.panels[i : i + per_line] for i in range(0, len(plot.panels), per_line)]
    rows = [plot.rows if wide else _rows_of(plot.rows, line) for line in lines]
    height = sum(len(part) * pitch + ABOVE + BELOW for part in rows)
    canvas = Canvas(width, legend_height(width, plot.colors) + height, title, notes)
    canvas.legend(plot.colors)
    limits = _limits(plot)
    for line, part in zip(lines, rows, strict=True):
        canvas.top += ABOVE
        for column, panel in enumerate(line):
            x = left + column * (panel_width + GAP)
            axes = canvas.axes(x, canvas.top, panel_width, len(part) * pitch)
            _scale(axes, plot, limits, panel_width)
            axes.set_title(panel.title, pad=1.9 * FONT, color=LIGHT["ink"])
            _bands(axes, len(part))
            if not wide:
                _inside(axes, part, 0.5 * LINE / pitch)
            elif column == 0:
                axes.set_yticks(range(len(part)), part)
            places = {row: index + shift for index, row in enumerate(part)}
            _points(axes, plot, panel, places, STEP / pitch)
        canvas.top += len(part) * pitch + BELOW
    return canvas


def _by_row(points: Iterable[Point]) -> dict[str, list[Point]]:
    found: dict[str, list[Point]] = {}
    for point in points:
        found.setdefault(point.row, []).append(point)
    return found


def _rows_of(rows: Sequence[str], panels: Sequence[Panel]) -> list[str]:
    held = {point.row for panel in panels for point in panel.points}
    return [row for row in rows if row in held]


def _bands(axes: Axes, count: int) -> None:
    axes.set_ylim(count - 0.5, -0.5)
    axes.set_yticks([])
    for index in range(0, count, 2):
        axes.axhspan(index - 0.5, index + 0.5, color=LIGHT["band"], lw=0, zorder=0)


def _inside(axes: Axes, rows: Sequence[str], below: float) -> None:
    at: Any = {"transform": axes.get_yaxis_transform(), "va": "center", "ha": "left"}
    for index, row in enumerate(rows):
        axes.text(0.01, index - 0.5 + below, row, color=LIGHT["ink"], **at)


def _points(axes: Axes, plot: Dots, panel: Panel, places: dict[str, float], step: float) -> None:
    """The dots of a row stand below each other, so that equal values do not hide each other."""
    order = list(plot.colors)
    heights: dict[tuple[str, str], float] = {}
    for row, points in _by_row(panel.points).items():
        names = sorted((p.series for p in points), key=order.index)
        for index, name in enumerate(names):
            heights[row, name] = places[row] + step * (index - (len(names) - 1) / 2)
    for series, role in plot.colors.items():
        style: Any = {"color": LIGHT[role], "ls": ""}
        own = [(p, heights[p.row, series]) for p in panel.points if p.series == series]
        bars = [(y, p.low, p.high) for p, y in own if p.low is not None and p.high is not None]
        if bars:
            axes.hlines(*zip(*bars, strict=True), color=LIGHT[role], lw=1.5, alpha=0.55)
        good = [(p.value, y) for p, y in own if p.value is not None]
        failed = [(FAILED, y) for p, y in own if p.value is None]
        axes.plot(*_columns(good), marker=MARKERS[role], ms=5, mew=0.8, **style)
        at = axes.get_yaxis_transform()
        axes.plot(*_columns(failed), marker="x", ms=6, transform=at, **style)


def _columns(pairs: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in pairs], [y for _, y in pairs]


def _limits(plot: Dots) -> tuple[float, float]:
    points = [point for panel in plot.panels for point in panel.points]
    numbers = [x for p in points for x in (p.value, p.low, p.high) if x is not None]
    if plot.scale == "share":
        return -0.15, 1.5 * max([1, *numbers])
    low, high = min([1, *numbers]), max([1, *numbers])
    margin = max(high / low, 1.1) ** 0.06
    return low / margin, high * margin


def _scale(axes: Axes, plot: Dots, limits: tuple[float, float], width: float) -> None:
    if plot.scale == "share":
        axes.set_xscale("symlog", linthresh=1, linscale=0.5)
        found = [0.0, *ticks(1, limits[1], 0.8 * width)]
    else:
        axes.set_xscale("log")
        found = ticks(*limits, width)
        axes.axvline(1, color=LIGHT["ink"], lw=1, zorder=1)
    axes.set_xlim(*limits)
    axes.set_xlabel(plot.axis)
    axes.set_xticks(found)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.grid(axis="x", color=LIGHT["grid"], lw=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, top=True, labeltop=True)
    for side in axes.spines.values():
        side.set_visible(False)
