"""Plots as parts of a page, and as pictures."""

import io
import re
from html import escape
from pathlib import Path

import matplotlib as mpl

from bench.report import curves, dots
from bench.report.canvas import DPI, FONT, STYLE, WIDE, Canvas
from bench.report.charts import Curves, Dots
from bench.report.palette import LIGHT


def svg(plot: Dots | Curves, width: int) -> str:
    """An `<svg>` element: no header, no size, fonts of the page, colours as CSS variables."""
    # The names of its parts are made from the salt: those of two drawings must differ.
    with mpl.rc_context({**STYLE, "svg.hashsalt": f"{plot.name} {width}"}):
        file = io.StringIO()
        figure = _draw(plot, width, alone=False).figure
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(r"font(?:-family)?: [^;\"]*?'[^;\"]*", f"font-size: {FONT}px", text)
    for role, color in LIGHT.items():
        text = text.replace(color, f"var(--{role})")
    box = re.search(r'viewBox="[^"]*"', text)
    head = f'<svg role="img" aria-label="{escape(plot.title)}" {box[0] if box else ""}>'
    return re.sub(r"<svg[^>]*>", lambda _: head, text, count=1)


def png(plot: Dots | Curves, folder: Path) -> Path:
    """The wide drawing with title and notes, at twice its size in pixels, on white."""
    path = folder / f"{plot.name}.png"
    with mpl.rc_context(STYLE):
        figure = _draw(plot, WIDE, alone=True).figure
        figure.savefig(path, dpi=2 * DPI, facecolor="white", metadata={"Software": None})
    return path


def _draw(plot: Dots | Curves, width: int, alone: bool) -> Canvas:
    title, notes = (plot.title, plot.notes) if alone else ("", ())
    if isinstance(plot, Dots):
        return dots.draw(plot, width, title, notes)
    return curves.draw(plot, width, title, notes)
