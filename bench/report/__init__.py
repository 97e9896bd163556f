"""One page from any records: `python -m bench report A.json B.json ... -o report.html`."""

import argparse
import functools
import shlex
from collections.abc import Sequence
from pathlib import Path

import altair as alt
import jinja2
import vl_convert
from rich.console import Console

from bench import compare
from bench.frames import device_label, measured
from bench.record import Record, load
from bench.report.charts import GLYPHS, HUES, LIGHT, Plot, png, specs
from bench.report.sections import COMMANDS, Headline, Section, changed, headline


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
        written.append(Path(args.output))
        written[0].write_text(page(headline(records), found, records), encoding="utf-8")
    if args.png:
        folder = Path(args.png)
        folder.mkdir(parents=True, exist_ok=True)
        written += [png(plot, folder) for plot in plots(found)]
    for path in written:
        Console().print(f"wrote {path}", markup=False, highlight=False, soft_wrap=True)
    return 0


def sections(records: Sequence[Record]) -> list[Section]:
    """Those for which there are numbers."""
    frames = {command: measured(records, command) for command in dict.fromkeys(COMMANDS.values())}
    made = [make(frames[command]) for make, command in COMMANDS.items() if len(frames[command])]
    return [section for section in made if section] + changed(records)


def plots(sections: Sequence[Section]) -> list[Plot]:
    return [figure.plot for section in sections for figure in section.figures if figure.plot]


PAGES = jinja2.Environment(
    loader=jinja2.PackageLoader("bench.report", "."),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
)


def page(headline: Headline | None, sections: Sequence[Section], records: Sequence[Record]) -> str:
    dates = sorted(record.started[:10] for record in records)
    return PAGES.get_template("page.html").render(
        span=dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}",
        headline=headline,
        sections=sections,
        hues=HUES,
        glyphs=GLYPHS,
        light=LIGHT,
        specs={plot.name: specs(plot) for plot in plots(sections)},
        vega=vega(),
        device_label=device_label,
        compare=compare,
        join=shlex.join,
        quote=shlex.quote,
        zip=zip,
    )


@functools.cache
def vega() -> str:
    """The script that draws, with all that it needs."""
    version = ".".join(alt.SCHEMA_VERSION.strip("v").split(".")[:2])  # what `specs` are for
    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", version))
