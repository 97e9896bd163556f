"""Results that print as tables: on a terminal through rich, in a notebook as HTML."""

import contextlib
import dataclasses
import io
from collections.abc import Callable, Iterator, Sequence
from html import escape
from typing import Any

WIDTH = 100
_COLORS = {
    "skipped": "dim",
    "ok": "green",
    "note": "cyan",
    "warning": "yellow",
    "error": "bold red",
}


@dataclasses.dataclass(frozen=True)
class Table:
    """Cells of text below a title; `foot` are sentences after it."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    foot: Sequence[str] = ()


class Shown:
    """Something that prints as tables; a subclass gives them in `tables`."""

    def tables(self) -> Iterator[Table]:
        """The tables, first to last."""
        raise NotImplementedError

    def __str__(self) -> str:
        file = io.StringIO()
        # Not the terminal: a text must be the same wherever it is made.
        console = rich().Console(file=file, width=WIDTH, color_system=None, legacy_windows=False)
        console.print(self)
        return "\n".join(line.rstrip() for line in file.getvalue().splitlines())

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
        from rich.table import Table as RichTable
        from rich.text import Text

        for table in self.tables():
            yield Text(table.title, style="bold")
            shown = RichTable(show_edge=False, pad_edge=False, header_style="bold")
            for column in table.columns:
                shown.add_column(column, overflow="fold")
            for row in table.rows:
                shown.add_row(*(Text(cell, style=_COLORS.get(cell, "")) for cell in row))
            yield shown
            yield Text("\n".join((*table.foot, "")))

    def _repr_html_(self) -> str:
        return "".join(map(_html, self.tables()))


def _html(table: Table) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in table.columns)
    rows = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in table.rows
    )
    foot = "".join(f"<p>{escape(line)}</p>" for line in table.foot)
    return f"<h4>{escape(table.title)}</h4><table><tr>{head}</tr>{rows}</table>{foot}"


def rich() -> Any:
    """The module `rich.console`."""
    try:
        import rich.console
    except ImportError as error:
        raise ImportError(
            "lossjax.inspect: tables need rich, which is not installed: "
            "pip install 'lossjax[inspect]'."
        ) from error
    return rich.console


@contextlib.contextmanager
def progress(task: str) -> Iterator[Callable[[str], None]]:
    """A line on a terminal that says what is being done, and goes when it is; nothing elsewhere."""
    try:
        console = rich().Console(stderr=True)
    except ImportError:
        console = None
    if console is None or not console.is_terminal or console.is_jupyter:
        yield lambda step: None
        return
    with console.status(task) as status:
        yield lambda step: status.update(f"{task}: {step}")


def number(value: Any) -> str:
    """A number with the digits that matter."""
    return f"{float(value):.6g}"
