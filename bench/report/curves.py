"""Draws curves: a small panel a loss, all with the same axes."""

import math
import re
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from bench.report.canvas import FONT, LETTER, LINE, WIDE, Canvas, legend_height, ticks
from bench.report.charts import Curves
from bench.report.palette import LIGHT, MARKERS

LEFT, GAP = 3.2 * FONT, 12
HEIGHT = 120
SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def draw(plot: Curves, width: int, title: str = "", notes: Sequence[str] = ()) -> Canvas:
    per_line = 4 if width == WIDE else 2
    panel_width = (width - LEFT - GAP * per_line) / per_line
    titles = [wrapped(name, panel_width) for name, _ in plot.panels]
    above = LINE * max(1 + text.count("\n") for text in titles) + 6
    lines = math.ceil(len(plot.panels) / per_line)
    height = legend_height(width, plot.colors) + LINE + lines * (HEIGHT + above) + 3 * LINE
    canvas = Canvas(width, height, title, notes)
    canvas.legend(plot.colors, "-")
    canvas.text(4, canvas.top, plot.axis, color=LIGHT["muted"], va="top")
    canvas.top += LINE
    xs = [x for _, some in plot.panels for line in some for x in line.xs]
    ys = [y for _, some in plot.panels for line in some for y in line.ys]
    for index, (_, some) in enumerate(plot.panels):
        row, column = divmod(index, per_line)
        x, y = LEFT + column * (panel_width + GAP), canvas.top + row * (HEIGHT + above) + above
        axes = canvas.axes(x, y, panel_width, HEIGHT)
        for line in some:
            role = plot.colors[line.series]
            axes.loglog(line.xs, line.ys, color=LIGHT[role], marker=MARKERS[role], ms=4, lw=1.5)
        axes.set_xlim(min(xs) / 1.5, max(xs) * 1.5)
        axes.set_ylim(min(ys) / 1.2, max(ys) * 1.2)
        axes.set_title(titles[index], pad=4, loc="left")
        _ticks(axes, panel_width, column == 0, index + per_line >= len(plot.panels))
    bottom = canvas.top + lines * (HEIGHT + above) + 1.6 * LINE
    canvas.text(LEFT, bottom, plot.x_axis, color=LIGHT["muted"], va="top")
    return canvas


def wrapped(name: str, width: float) -> str:
    """Broken before a capital or a bracket where it is too long."""
    room = int(width / LETTER)
    lines = [""]
    for part in re.findall(r"\([^)]*\)|[A-Z]?[^A-Z(]+|[A-Z]", name):
        if lines[-1] and len(lines[-1]) + len(part) > room:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


def _ticks(axes: Axes, width: float, first: bool, last: bool) -> None:
    low, high = (math.log2(x) for x in axes.get_xlim())
    powers = range(math.ceil(low), math.floor(high) + 1)
    powers = powers[:: math.ceil(len(powers) * 3.5 * LETTER / width)]
    axes.set_xticks([2.0**p for p in powers])
    axes.set_xticklabels(["2" + str(p).translate(SUPERSCRIPT) if last else "" for p in powers])
    axes.set_yticks(ticks(*axes.get_ylim(), HEIGHT))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}" if first else ""))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
    axes.grid(color=LIGHT["grid"], lw=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelcolor=LIGHT["muted"])
