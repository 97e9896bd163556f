"""Plots, drawn by Vega, and tables of the same numbers."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import altair as alt
import pandas as pd
from PIL import Image

from bench.frames import KNOWN, ordered, ratio_text
from bench.record import OURS

# A series has a colour, for light pages and dark ones, and a marker: those of its place in `KNOWN`.
HUES = ["#8b5cf6", "#e5484d", "#3b82f6", "#d97706", "#16a34a", "#d946a0", "#0e9aa8"]
HUES += ["#84912a", "#8a909c", "#a1734a"]
MARKS = ["circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "triangle-left"]
MARKS += ["triangle-right", "circle", "square"]
GLYPHS = "●■▲◆▼✚◀▶●■"  # what looks like these
LIGHT = {"ink": "#1f2430", "muted": "#667085", "grid": "#dfe3ea"}
PAGE = {name: f"var(--{name})" for name in LIGHT}
TICKS = [0, *(digit * 10.0**power for power in range(-2, 6) for digit in (1, 2, 5))]
AXIS: Any = {"grid": True, "labelExpr": "format(datum.value, ',.5~r')", "labelOverlap": "greedy"}
NUMBERS = ["value", "low", "high"]


class Plot(NamedTuple):
    """Panels with the same axes: a row a loss and a dot a series; with `x_axis` a curve a series.

    The columns of `points` are panel, row, series, `NUMBERS`, text and x. `looks` are places of
    series in the lists above. `scale` is "log", or "symlog" for per cents, which may be 0.
    """

    points: pd.DataFrame
    looks: Mapping[str, int]
    notes: Sequence[str]
    rows: Sequence[str]
    panels: Sequence[str]
    name: str
    title: str
    axis: str
    scale: str = "log"
    x_axis: str = ""


class Figure(NamedTuple):
    """The index of the table are words, the other cells numbers: all as text."""

    plot: Plot | None
    table: pd.DataFrame
    title: str = "Numbers"


def plotted(
    points: pd.DataFrame,
    looks: Mapping[str, int] | None = None,
    notes: Sequence[str] = (),
    form: Callable[[float], str] = ratio_text,
    largest_first: bool = False,
    **more: str,
) -> Plot:
    """A point without a value is of a program that failed. `more` are what a plot is told."""
    points = points if "series" in points else points.rename(columns={"implementation": "series"})
    points = points.reindex(columns=["panel", "row", "series", *NUMBERS, "x", "remark"])
    texts = [_text(form, *line) for line in points[NUMBERS].itertuples(index=False)]
    points["text"] = texts + points.pop("remark").astype(object).fillna("")
    if looks is None:
        names = ordered(points["series"])
        places = [*KNOWN, *(name for name in names if name not in KNOWN)]
        looks = {name: places.index(name) % len(HUES) for name in names}
    held = {name: place for name, place in looks.items() if name in {*points["series"]}}
    notes = [*notes, *(["× fails."] if "fails" in texts else [])]
    order = {}
    for row, some in points.groupby("row"):  # by this library's numbers if there are any
        own = some[some["series"] == OURS] if OURS in {*some["series"]} else some
        values = own["value"].dropna().clip(lower=1e-9)  # a share may be 0
        mean = statistics.geometric_mean(values) if len(values) else 0
        order[row] = not mean, mean * (-1 if largest_first else 1), row
    rows, panels = sorted(order, key=lambda row: order[row]), [*points["panel"].unique()]
    return Plot(points, held, notes, rows, panels, **more)


def _text(form: Callable[[float], str], value: float, low: float, high: float) -> str:
    spread = "" if pd.isna(low) else f" ({form(low)} to {form(high)})"
    return "fails" if pd.isna(value) else form(value) + spread


def table_of(plot: Plot) -> pd.DataFrame:
    """Of dots a line a row, of curves a line a row and x."""
    index, columns = (["row", "x"], ["series"]) if plot.x_axis else (["row"], ["panel", "series"])
    cells = plot.points.pivot(index=index, columns=columns, values="text").fillna("")
    if plot.x_axis:
        cells = cells.rename("{:,}".format, level="x").rename_axis(["loss", plot.x_axis])
        return cells[[*plot.looks]]
    keys = [(p, s) for p in plot.panels for s in plot.looks if (p, s) in cells]
    cells = cells.loc[list(plot.rows), keys].rename_axis("loss")
    return cells.set_axis([f"{series}, {panel}" for panel, series in keys], axis=1)


def specs(plot: Plot) -> list[dict[str, Any]]:
    """Vega-Lite's, one a panel: as wide as what holds it, in the page's ink."""
    charts = (_panel(plot, panel, PAGE, legend=None) for panel in plot.panels)
    sized = (chart.properties(width="container", autosize="fit-x") for chart in charts)
    return [chart.configure(**_config(PAGE)).to_dict() for chart in sized]


def png(plot: Plot, folder: Path) -> Path:
    """All panels with legend, title and notes, at twice its size in pixels, on white."""
    columns = min(len(plot.panels), 3 if plot.x_axis else 2)
    wide = 880 // columns
    legend = alt.Legend(title=None, orient="top", labelFontSize=13)
    drawn = {panel: _panel(plot, panel, LIGHT, legend) for panel in plot.panels}
    panels = [chart.properties(width=wide, title=panel) for panel, chart in drawn.items()]
    title = alt.Title(plot.title, subtitle=[*plot.notes], anchor="start", fontSize=15, offset=12)
    chart = alt.concat(*panels, columns=columns, title=title, background="white")
    chart = chart.resolve_scale(color="shared", shape="shared").configure(**_config(LIGHT))
    path = folder / f"{plot.name}.png"
    chart.save(path, scale_factor=2)
    Image.open(path).convert("RGB").save(path, optimize=True)  # a third of the size
    return path


def _config(ink: Mapping[str, str]) -> dict[str, Any]:
    axis: dict[str, Any] = {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal"}
    axis |= {"labelColor": ink["muted"], "titleColor": ink["muted"], "gridColor": ink["grid"]}
    return {
        "axis": {**axis, "domain": False, "ticks": False, "labelSeparation": 6},
        "background": "transparent",
        "title": {"color": ink["ink"], "subtitleColor": ink["muted"], "fontWeight": "normal"},
        "view": {"stroke": None},
    }


def _panel(plot: Plot, panel: str, ink: Mapping[str, str], legend: Any) -> Any:
    """A chart of the points of the panel. The page sets `only` to the series that it shows."""
    color, shape = (
        channel(
            "series:N",
            scale=alt.Scale(domain=[*plot.looks], range=[some[i] for i in plot.looks.values()]),
            legend=legend,
        )
        for channel, some in ((alt.Color, HUES), (alt.Shape, MARKS))
    )
    shown = alt.when("only === null || only === datum.series").then(alt.value(1))
    text = alt.Tooltip("text:N", title=plot.axis)
    base = alt.Chart(plot.points[plot.points["panel"] == panel]).encode(
        color=color,
        opacity=shown.otherwise(alt.value(0.1)),
        tooltip=["row:N", "series:N", text, *(["x:Q"] if plot.x_axis else [])],
    )
    layers = _curves(plot, base, shape) if plot.x_axis else _dots(plot, base, shape, ink)
    return alt.layer(*layers).add_params(alt.param(name="only", value=None))


def _dots(plot: Plot, base: Any, shape: Any, ink: Mapping[str, str]) -> list[Any]:
    """The dots of a row stand below its name and each other: equal values hide no one."""
    rows = list(plot.rows)
    slots = ["", *plot.looks]  # the first holds the name
    y = alt.Y("row:N", axis=None, scale=alt.Scale(domain=rows, padding=0))
    slot = alt.YOffset("series:N", scale=alt.Scale(domain=slots, paddingOuter=0.3))
    least, most = plot.points[NUMBERS].min().min(), plot.points[NUMBERS].max().max()
    log = plot.scale == "log"
    limits = [min(1, least) if log else 0, max(1, most)]
    ticks = [x for x in TICKS if limits[0] <= x <= limits[1] and (log or x == int(x))]
    values = {"values": ticks} if len(ticks) > 3 else {}
    scale = alt.Scale(type=plot.scale, domain=limits, nice=False, padding=14)
    x = alt.X("value:Q", scale=scale, axis=alt.Axis(title=plot.axis, **AXIS, **values))
    names = pd.DataFrame({"row": rows, "series": ""})
    named, dots = alt.Chart(names).encode(y=y), base.encode(y=y, yOffset=slot)
    bar = dots.transform_filter("datum.low !== null").mark_rule(strokeWidth=2, strokeOpacity=0.55)
    good = dots.transform_filter("datum.value !== null").mark_point(filled=True, size=50)
    failed = dots.transform_filter("datum.value === null").mark_text(text="×", fontSize=16, dx=-8)
    label = named.mark_text(align="left", fontSize=12, dy=-2, color=ink["ink"])
    line = alt.Chart(names[:1]).mark_rule(color=ink["ink"]).encode(x=alt.datum(1))
    layers = [
        alt.Chart(names[::2]).mark_bar(color=HUES[8], fillOpacity=0.1).encode(y=y),
        *([line] if log else []),
        bar.encode(x=alt.X("low:Q", scale=scale), x2="high:Q"),
        good.encode(x=x, shape=shape),
        failed.encode(x=alt.value("width")),
        label.encode(yOffset=slot, text="row:N", x=alt.value(4)),
    ]
    return [layer.properties(height=len(rows) * (9 * len(slots) + 6)) for layer in layers]


def _curves(plot: Plot, base: Any, shape: Any) -> list[Any]:
    xs, ys = (
        alt.Scale(type="log", base=b, domain=[some.min(), some.max()], nice=False, padding=8)
        for b, some in ((2, plot.points["x"]), (10, plot.points["value"]))
    )
    powers = alt.Axis(
        title=plot.x_axis, labelExpr="'2^' + round(log(datum.value) / LN2)", labelOverlap="greedy"
    )
    axis = alt.Axis(title=plot.axis, **AXIS)
    x, y = alt.X("x:Q", scale=xs, axis=powers), alt.Y("value:Q", scale=ys, axis=axis)
    lines = base.encode(x=x, y=y).properties(height=130)
    points = lines.mark_point(filled=True, size=40).encode(shape=shape)
    return [lines.mark_line(strokeWidth=1.5), points]
