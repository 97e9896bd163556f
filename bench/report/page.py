"""The page: one HTML file that loads nothing."""

import functools
import shlex
from collections.abc import Sequence

import altair as alt
import jinja2
import vl_convert

from bench import compare
from bench.frames import device_label
from bench.record import Record
from bench.report.charts import GLYPHS, HUES, LIGHT, specs
from bench.report.sections import Headline, Section

PAGES = jinja2.Environment(
    loader=jinja2.PackageLoader("bench.report", "."),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
)


def page(headline: Headline | None, sections: Sequence[Section], records: Sequence[Record]) -> str:
    dates = sorted(record.started[:10] for record in records)
    plots = [figure.plot for section in sections for figure in section.figures if figure.plot]
    return PAGES.get_template("page.html").render(
        span=dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}",
        headline=headline,
        sections=sections,
        hues=HUES,
        glyphs=GLYPHS,
        light=LIGHT,
        specs={plot.name: specs(plot) for plot in plots},
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
