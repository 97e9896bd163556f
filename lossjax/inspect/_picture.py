"""How figures look; matplotlib is imported when one is made."""

import io
from typing import Any

INK, MUTED, GRID = "#1f2430", "#667085", "#dfe3ea"
MAIN, OTHER = "#6d28d9", "#c76a00"
DPI = 110
PANEL = (3.9, 3.2)  # inches


def panels(title: str, count: int) -> tuple[Any, Any]:
    """A figure with `count` panels in a row. It belongs to no window and no backend."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "lossjax.inspect: plots need matplotlib, which is not installed: "
            "pip install 'lossjax[inspect]'."
        ) from error

    class Picture(Figure):
        def _repr_png_(self) -> bytes:
            file = io.BytesIO()
            self.savefig(file, format="png")
            return file.getvalue()

    size = (PANEL[0] * count, PANEL[1])
    figure = Picture(figsize=size, dpi=DPI, layout="constrained", facecolor="white")
    axes = figure.subplots(1, count)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, color=INK)
    for ax in axes:
        ax.grid(color=GRID, linewidth=0.6)
        ax.set_axisbelow(True)
        ax.spines[["top", "right"]].set_visible(False)
        ax.spines[["left", "bottom"]].set_color(GRID)
        ax.tick_params(colors=MUTED, labelsize=8, length=0)
    return figure, axes


def named(ax: Any, title: str, x: str) -> None:
    """The title of a panel and of its horizontal axis."""
    ax.set_title(title, fontsize=9, loc="left", color=INK)
    ax.set_xlabel(x, fontsize=8, color=MUTED)


def shades(count: int) -> list[Any]:
    """Colours for so many curves: a scale where they are many."""
    if count <= 2:
        return [MAIN, OTHER][:count]
    import matplotlib as mpl

    # The yellow end is too light for a line on white.
    return [mpl.colormaps["viridis"](0.85 * i / (count - 1)) for i in range(count)]
