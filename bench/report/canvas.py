"""What all drawings share: sizes (in points, which are a page's pixels), a legend, ticks."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.report.palette import LIGHT, MARKERS

WIDE, NARROW = 900, 360
FONT = 12
LETTER = 0.6 * FONT  # the mean width of a letter
LINE = 1.5 * FONT
DPI = 72
STYLE: Any = {
    "font.size": FONT,
    "axes.titlesize": FONT,
    "axes.edgecolor": LIGHT["grid"],
    "axes.labelcolor": LIGHT["muted"],
    "text.color": LIGHT["ink"],
    "xtick.color": LIGHT["muted"],
    "ytick.color": LIGHT["ink"],
    "svg.fonttype": "none",
}


class Canvas:
    """A drawing that is filled from the top: `top` is where the next part goes."""

    def __init__(self, width: float, height: float, title: str, notes: Sequence[str]) -> None:
        """Title and notes are for a picture that stands alone; a page has them as text."""
        self.width = width
        self.top = 2 * LINE if title else 0.0
        self.notes = notes
        self.height = height + self.top + LINE * len(notes)
        self.figure = Figure(figsize=(width / DPI, self.height / DPI), dpi=DPI)
        if title:
            self.text(0, 4, title, size=1.25 * FONT, va="top")
        for index, note in enumerate(notes):
            top = self.height - LINE * (len(notes) - index)
            self.text(4, top, note, size=0.9 * FONT, color=LIGHT["muted"], va="top")

    def text(self, left: float, top: float, text: str, **style: Any) -> None:
        self.figure.text(left / self.width, 1 - top / self.height, text, **style)

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        x, y = self.width, self.height
        return self.figure.add_axes((left / x, 1 - (top + height) / y, width / x, height / y))

    def legend(self, colors: dict[str, str], line: str = "") -> None:
        handles = [
            Line2D([], [], color=LIGHT[role], marker=MARKERS[role], ls=line)
            for role in colors.values()
        ]
        self.figure.legend(
            handles,
            list(colors),
            loc="upper left",
            bbox_to_anchor=(0, 1 - self.top / self.height),
            ncols=_legend_columns(self.width, colors),
            frameon=False,
            borderaxespad=0,
            borderpad=0.2,
            columnspacing=1.5,
            handletextpad=0.4,
        )
        self.top += legend_height(self.width, colors)


def _legend_columns(width: float, names: Iterable[str]) -> int:
    widest = max(len(name) for name in names) * LETTER + 4 * FONT
    return max(1, int(width // widest))


def legend_height(width: float, names: Sequence[str] | dict[str, str]) -> float:
    return math.ceil(len(names) / _legend_columns(width, names)) * 1.6 * FONT + 6


def ticks(low: float, high: float, length: float) -> list[float]:
    """Round numbers between the limits of a logarithmic axis, as many as fit on its length."""
    steps = (0.01, 0.02, 0.05, 0.1, 0.2) if high < 4 * low else ()
    choices = [_multiples(step, low, high) for step in steps]
    choices += [_between(d, low, high) for d in ((1, 1.5, 2, 3, 4, 5, 7), (1, 2, 5), (1, 3), (1,))]
    for found in choices:
        longest = max((len(f"{x:g}") for x in found), default=0)
        if len(found) * (longest * LETTER + FONT) <= length:
            return found
    return choices[-1][:: math.ceil(len(choices[-1]) * 4 * LETTER / length)]


def _multiples(step: float, low: float, high: float) -> list[float]:
    first, last = math.ceil(low / step), math.floor(high / step)
    return [round(i * step, 2) for i in range(first, last + 1)]


def _between(digits: Sequence[float], low: float, high: float) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [d * 10.0**p for p in powers for d in digits if low <= d * 10.0**p <= high]
