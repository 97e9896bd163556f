"""The page: one HTML file that loads nothing."""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

from bench.record import Record
from bench.report import plots
from bench.report.canvas import NARROW, WIDE
from bench.report.charts import Figure, Section, Table
from bench.report.data import device_label
from bench.report.headline import Headline
from bench.report.palette import DARK, LIGHT


def page(headline: Headline | None, sections: Sequence[Section], records: Sequence[Record]) -> str:
    css = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    light = f":root {{{_variables(LIGHT)}}}"
    dark = f"@media (prefers-color-scheme: dark) {{:root {{{_variables(DARK)}}}}}"
    dates = sorted(record.started[:10] for record in records)
    span = dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
    named = [(_identifier(section.title, i), section) for i, section in enumerate(sections)]
    links = (f'<a href="#{name}">{escape(section.title)}</a>' for name, section in named)
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        "<title>lossjax benchmarks</title>",
        f"<style>{light}\n{dark}\n{css}</style>",
        "</head><body>",
        f'<h1>lossjax benchmarks</h1><p class="quiet">{span}</p>',
        f"<nav>{' '.join(links)}</nav>",
    ]
    if headline:
        parts += _headline(headline)
    for name, section in named:
        parts += _section(name, section)
    return "\n".join([*parts, "</body></html>", ""])


def _variables(palette: Mapping[str, str]) -> str:
    return "; ".join(f"--{role}: {color}" for role, color in palette.items())


def _identifier(title: str, index: int) -> str:
    return f"{re.sub(r'[^a-z]+', '-', title.lower()).strip('-')}-{index + 1}"


def _headline(headline: Headline) -> Iterable[str]:
    yield f'<p class="quiet">Value and gradient: {escape(headline.where)}.</p>'
    yield '<div class="cards">'
    for card in headline.cards:
        number, text = escape(card.number), escape(card.text)
        yield f'<div class="card"><b>{number}</b><span>{text}</span></div>'
    yield "</div>"
    yield _table(headline.table)


def _section(name: str, section: Section) -> Iterable[str]:
    yield f'<section id="{name}"><h2>{escape(section.title)}</h2><p>{escape(section.lead)}</p>'
    if section.facts:
        yield f"<ul>{''.join(f'<li>{escape(fact)}</li>' for fact in section.facts)}</ul>"
    for figure in section.figures:
        yield from _figure(figure)
    yield from _sources(section.records)
    yield "</section>"


def _figure(figure: Figure) -> Iterable[str]:
    if figure.plot:
        yield f"<figure><h3>{escape(figure.plot.title)}</h3>"
        for kind, width in (("wide", WIDE), ("narrow", NARROW)):
            yield plots.svg(figure.plot, width).replace("<svg ", f'<svg class="{kind}" ', 1)
        yield f"<figcaption>{escape(' '.join(figure.plot.notes))}</figcaption></figure>"
    if figure.table:
        title, table = escape(figure.table.title), _table(figure.table)
        yield f"<details><summary>{title}</summary>{table}</details>"


def _table(table: Table) -> str:
    def cells(tag: str, texts: Sequence[str]) -> str:
        kinds = [' class="word"' if i < table.words else "" for i in range(len(texts))]
        pairs = zip(kinds, texts, strict=True)
        return "".join(f"<{tag}{kind}>{escape(text)}</{tag}>" for kind, text in pairs)

    body = "\n".join(f"<tr>{cells('td', row)}</tr>" for row in table.rows)
    head = f"<thead><tr>{cells('th', table.header)}</tr></thead>"
    return f'<div class="scroll"><table>{head}<tbody>{body}</tbody></table></div>'


def _sources(records: Sequence[Record]) -> Iterable[str]:
    """What made the numbers, for each run."""
    yield '<dl class="source">'
    for record in records:
        flags = " ".join(f"{name}={shlex.quote(value)}" for name, value in record.flags.items())
        command = f"{flags} python -m bench {shlex.join(record.argv)}".strip()
        commit = (record.commit or "unknown")[:12] + (", with changes" if record.dirty else "")
        versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
        yield f"<dt><code>{escape(command)}</code></dt>"
        yield f"<dd>{escape(device_label(record))}; {escape(versions)}; commit {escape(commit)}; "
        load = record.device.get("load")
        busy = "" if load is None else f", load {load:g} when it began"
        yield f"{escape(record.started)}, {record.seconds:.0f} s{busy}.</dd>"
        for name, reason in record.missing.items():
            yield f"<dd>Not measured: {escape(name)}: {escape(reason)}</dd>"
    yield "</dl>"
