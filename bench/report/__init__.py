"""One page from any records: `python -m bench report A.json B.json ... -o report.html`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bench.frames import measured
from bench.record import Record, load
from bench.report.charts import png
from bench.report.page import page
from bench.report.sections import COMMANDS, Section, changed, headline


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("records", nargs="+", metavar="RECORD", help="what --json has written")
    parser.add_argument("-o", "--output", metavar="FILE", help="the page, e.g. report.html")
    parser.add_argument("--png", metavar="FOLDER", help="write each plot as a picture, too")


def run(args: argparse.Namespace) -> int:
    """Write the page, the pictures, or both."""
    if not (args.output or args.png):
        raise ValueError("bench: report needs -o FILE or --png FOLDER, got neither.")
    records = [load(path) for path in args.records]
    found = sections(records)
    if not found:
        raise ValueError(
            "bench: the records hold no row with numbers. Make one with "
            "`python -m bench losses --json FILE`."
        )
    written = []
    if args.output:
        path = Path(args.output)
        path.write_text(page(headline(records), found, records), encoding="utf-8")
        written.append(path)
    if args.png:
        folder = Path(args.png)
        folder.mkdir(parents=True, exist_ok=True)
        drawn = [figure.plot for section in found for figure in section.figures]
        written += [png(plot, folder) for plot in drawn if plot]
    for path in written:
        Console().print(f"wrote {path}", markup=False, highlight=False, soft_wrap=True)
    return 0


def sections(records: Sequence[Record]) -> list[Section]:
    """Those for which there are numbers."""
    frames = {command: measured(records, command) for command in dict.fromkeys(COMMANDS.values())}
    made = [make(frames[command]) for make, command in COMMANDS.items() if len(frames[command])]
    return [section for section in made if section] + changed(records)
