"""The terminal's view of a record: a table a command, its means, and what went wrong."""

import math
import statistics
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

import pandas as pd
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench import frames
from bench.record import FLOOR, OURS, Record, ratio
from lossjax.devices import TARGETS

# Each, and the number in the frame, from where on it is red: above, or below for a speed-up.
LIMITS = {"floor": 2.5, "weighed": 1.15, "speedup": 1 / 1.05}
LIMIT = 1.05  # of the floor of bytes
DENSE = ("optax", "torch")  # make the logits of a large vocabulary
ESTIMATES = "estimates by XLA's compiler, not measurements"
Maker: TypeAlias = Callable[[pd.DataFrame, str, bool], Iterable[Table]]


def terminal() -> Console:
    console = Console()
    if not console.is_terminal:  # a file has no width
        console.width = max(console.width, 140)
    return console


def show(record: Record) -> None:
    """Print what a command has found."""
    console = terminal()
    frame = frames.measured([record], record.command)
    device = record.device
    title = f"{record.command} on {device['kind']} ({device['cores']} cores of {device['cpu']})"
    for table in TABLES[record.command](frame, title, console.width >= 120) if len(frame) else ():
        console.print(table)
    for _, row in frame[frame["error"].notna()].iterrows() if len(frame) else ():
        where = ", ".join((row["loss"], row["weights"], row["shape"], row["dtype"]))
        text = f"{row['implementation']} is not measured: {where}: {row['error']}"
        console.print(text, style="red", markup=False, highlight=False)
    for name, reason in record.missing.items():
        console.print(f"{name} cannot be used: {reason}", markup=False, highlight=False)


def grid(cells: pd.DataFrame, title: str, caption: str = "", style: str = "") -> Table:
    """The columns of the index are words, the others numbers, whose text may hold markup."""
    table = Table(title=title, caption=caption, title_justify="left", box=box.SIMPLE_HEAD)
    table.title_style = style or table.title_style
    for name in cells.index.names:
        table.add_column(name, overflow="fold")
    for name in cells.columns:
        table.add_column(name, justify="right", no_wrap=True)
    words = cells.index.to_frame().astype(str).to_numpy()
    for line, texts in zip(words, cells.astype(object).fillna("-").to_numpy(), strict=True):
        table.add_row(*map(escape, line), *texts)
    return table


def told(frame: pd.DataFrame, *more: str) -> tuple[list[str], str]:
    """The columns that tell the cases apart, and what is the same in all of them."""
    names = ["loss", *(n for n in ("weights", "shape", "dtype") if frame[n].nunique() > 1), *more]
    same = (frame[n].iloc[0] for n in ("weights", "shape", "dtype") if n not in names)
    return names, ", ".join(filter(None, same))


def by_case(frame: pd.DataFrame, texts: Iterable[str], names: list[str]) -> pd.DataFrame:
    """A line a case and a column an implementation."""
    cells = frame.assign(text=list(texts))
    cells = cells.pivot_table("text", names, "implementation", "first", sort=False)
    return cells[frames.ordered(cells)]


def compared(frame: pd.DataFrame, title: str, wide: bool) -> Iterator[Table]:
    """Time of lossjax; how much more it takes than the floor and less than the others."""
    names, same = told(frame)
    own = (
        frames.ours(frame).set_index(names)["seconds"].map(frames.seconds_text, na_action="ignore")
    )
    cells, caption = own.to_frame(OURS), ""
    lines = _ratios(frame)
    if len(lines):
        headers = lines["header"].unique()
        spread = (lines["high"] - lines["low"]) / lines["value"] / 2
        spread = spread.where(lines["samples"].str.len() > 1)  # nothing is known of one round's
        spread = spread.map(" [dim]±{:.0%}[/dim]".format, na_action="ignore").astype(object)
        lines = lines.assign(wide=lines["text"] + (spread.fillna("") if wide else ""))
        more = lines.pivot_table("wide", names, "header", "first", sort=False)
        cells = cells.join(more[headers])
        caption = "under a library: its time over lossjax's, above 1 where lossjax is faster"
    yield grid(cells, f"{title}; {same}", caption)
    if len(lines):
        yield _summary(lines)


def elsewhere(frame: pd.DataFrame, title: str, wide: bool) -> Iterator[Table]:
    """How much more the equal call of another library takes; the losses that gain least first."""
    lines = _ratios(frame)
    if len(lines):
        lines = lines[lines["header"] != "over\nfloor"].sort_values("value", kind="stable")
        cells = lines.set_index(["loss", "implementation", "shape"])[["text"]]
        caption = "its time over lossjax's, above 1 where lossjax is faster"
        yield grid(cells.rename(columns={"text": "ratio"}), title, caption)


def _summary(lines: pd.DataFrame) -> Table:
    rows = {}
    for weights, some in lines.groupby("weights", sort=False):
        by_header = some.groupby("header")
        means = by_header["value"].agg(statistics.geometric_mean)
        worst = some.loc[by_header["excess"].idxmax()].set_index("header")
        rows[weights, "mean"] = means.map("[bold]{:.2f}[/bold]".format)
        rows[weights, "worst"] = (
            worst["text"] + "\n" + worst["loss"].map(escape) + "\n" + worst["shape"]
        )
    summary = pd.DataFrame(rows).T.rename_axis(["weights", ""])
    return grid(summary[lines["header"].unique()], "geometric means, and worst rows")


def _ratios(frame: pd.DataFrame) -> pd.DataFrame:
    """Every ratio and the header above it, red where it is on the wrong side of its limit."""
    names = [n for n in frames.ordered(frame["implementation"]) if n not in (OURS, FLOOR)]
    parts = [(OURS, "floor", "over\nfloor"), *((name, "speedup", name) for name in names)]
    found = []
    for name, number, header in [*parts, (OURS, "weighed", "over\nunweighted")]:
        some = frame[(frame["implementation"] == name) & frame[number].notna()]
        lines = frames.numbered(some, number).assign(header=header)
        excess = lines["value"] / LIMITS[number]
        found.append(lines.assign(excess=1 / excess if number == "speedup" else excess))
    if not any(map(len, found)):
        return pd.DataFrame()
    lines = pd.concat(filter(len, found))
    plain = lines["value"].map("{:.2f}".format)
    texts = plain.where(lines["excess"] <= 1, "[red]" + plain + "[/red]")
    return lines.assign(text=texts).reset_index(drop=True)


def scaling(frame: pd.DataFrame, title: str, wide: bool) -> Iterator[Table]:
    """Time per element over the least of the curve; and over the floor, which has steps too."""
    own = frames.ours(frame)
    over = own.assign(nanoseconds=own["floor"], implementation=f"{OURS} / {FLOOR}")
    lines = pd.concat([frame, over]).sort_values("loss", kind="stable")
    names, same = told(frame.assign(shape=""), "implementation")
    curves = lines.pivot_table("nanoseconds", names, "elements", sort=False).sort_index(axis=1)
    best, is_time = curves.min(axis=1), ~curves.index.isin([f"{OURS} / {FLOOR}"], "implementation")
    cells = curves.div(best.where(is_time, 1), axis=0).map("{:.2f}".format, na_action="ignore")
    cells = cells.rename(columns=lambda n: f"2^{math.log2(n):.0f}")
    cells.insert(0, "best", best.map("{:.3g} ns".format).where(is_time, ""))
    caption = "time per element over the best one; for the ratio, the ratio itself"
    yield grid(cells, f"{title}; {same}", caption)


def memory(frame: pd.DataFrame, title: str, wide: bool) -> Iterator[Table]:
    """Temporary bytes and residuals, in parts of one input."""
    names, same = told(frame)
    cells = frame.groupby(names, sort=False)["input_bytes"].first().map(frames.bytes_text)
    cells = cells.to_frame("y_pred")
    for number in ("temp", "kept"):
        part = by_case(frame, frame[number].map(frames.share_text, na_action="ignore"), names)
        cells = cells.join(part.add_suffix(f"\n{number}"))
    caption = "temporary bytes, and bytes kept from forward to backward, in parts of y_pred"
    sides = frames.ordered(frame["implementation"])
    headers = ["y_pred", *(f"{side}\n{number}" for side in sides for number in ("temp", "kept"))]
    yield grid(cells.reindex(columns=headers), f"{title}; {same}", caption)


def devices(frame: pd.DataFrame, title: str, wide: bool) -> Iterator[Table]:
    """A table for each target, one of products, and means over the losses that both sides have."""
    for target, some in frame.groupby("target", sort=False):
        names, same = told(some)
        cells = by_case(some, some.apply(_program, axis=1), names)
        caption = "bytes over the floor, temporary memory over y_pred, kernels, time"
        yield grid(cells, f"{target}: {ESTIMATES}; {same}", caption)
    if len(some := frame[frame["loss"].str.startswith("LinearCrossEntropy")]):
        caption = "time: kernel after kernel, each bound by its arithmetic or by its bytes; over: "
        caption += "the time of all arithmetic or that of all bytes, whichever is longer"
        names, same = told(some, "implementation")
        cells = _products(some.set_index(["target", *names]))
        yield grid(cells, f"products of matrices: {ESTIMATES}; {same}", caption)
    if frame["moved"].isna().all():
        return
    over = by_case(frame, frame["moved"], ["target", "loss", "weights", "shape", "dtype"])
    over = over.reindex(columns=frames.ordered([OURS, *frame["implementation"]]))
    rows = {}
    for target, some in over.groupby("target", sort=False):
        own = some[OURS]
        rows[target] = {f"{OURS}\nwithin 5%": f"{(own <= LIMIT).sum()} of {own.count()}"}
        for side in over.columns.drop(OURS):
            both = some[[side, OURS]].dropna().rename(columns={OURS: f"{OURS}\nbeside {side}"})
            rows[target] |= both.apply(frames.mean_text).to_dict()
    means = pd.DataFrame(rows).T.rename_axis("target")
    yield grid(means, f"bytes over the floor: {ESTIMATES}, geometric means")


def _products(frame: pd.DataFrame) -> pd.DataFrame:
    """Steps, arithmetic and traffic, by the figures of the chip."""
    chips = pd.Series(frame.index.get_level_values("target").map(TARGETS), frame.index)
    times = pd.DataFrame(
        {
            "arithmetic": frame["flops"] / chips.map(lambda chip: chip.flops),
            "traffic": frame["bytes"] / chips.map(lambda chip: chip.bandwidth),
            "time": frame["kernel_seconds"],
        }
    )
    cells = {
        "steps": frame["rounds"].map("{:.0f}".format, na_action="ignore"),
        "flops": frame["flops"].map("{:.3g}".format, na_action="ignore"),
        "bytes": frame["bytes"].map(frames.bytes_text, na_action="ignore"),
        **{name: times[name].map(frames.seconds_text, na_action="ignore") for name in times},
        "over": (times["time"] / times[["arithmetic", "traffic"]].max(axis=1)).map(
            frames.ratio_text, na_action="ignore"
        ),
    }
    return pd.DataFrame(cells)


def _program(row: pd.Series) -> str:
    if isinstance(row["error"], str):
        return "error"
    over, time = row["moved"], row["estimated_seconds"]
    text = "-" if math.isnan(over) else f"{over:.2f}"
    text = f"[red]{text}[/red]" if over > LIMIT else text
    end = "-" if math.isnan(time) else frames.seconds_text(time)
    return f"{text} {frames.share_text(row['temp']):>6} {row['kernels']:3g} {end:>7}"


def vocabulary(frame: pd.DataFrame, title: str, wide: bool) -> Iterator[Table]:
    """Time and memory of everything that was timed, beside the dense forms; memory over V."""
    held = frame["megabytes"].map("{:.1f} MB, ".format) + frame["temp"].map(frames.share_text)
    frame = frame.assign(held=held.where(frame["temp"].notna(), "-"))
    timed = frame[frame["seconds"].notna()].set_index(["loss", "weights", "implementation"])
    if len(timed):
        cells = {"time": timed["seconds"].map(frames.seconds_text)}
        taken = timed["samples"]
        bases = taken.groupby("implementation").first().reindex([OURS, *DENSE]).dropna()
        for name, base in bases.items():
            over = [f"{ratio(samples, base).median:.2f}" for samples in taken]
            cells[f"over\n{name}"] = pd.Series(over, taken.index)
        cells["temporary memory\nof the logits"] = timed["held"]
        caption = "over: round by round; over lossjax with its own choice of the chunk, and over "
        caption += "forms that make the logits; below 1 where the row is faster"
        yield grid(pd.DataFrame(cells), f"{title}; {timed['shape'].iloc[0]}", caption)
    first = frame.iloc[0]
    curve = frame[(frame["loss"] == first["loss"]) & (frame["weights"] == first["weights"])]
    curve = curve[curve["temp"].notna()].sort_values("elements", kind="stable")
    cells = by_case(curve, curve["held"], ["shape"]).rename_axis("logits")
    yield grid(cells, "temporary memory over V, of the logits")


TABLES: dict[str, Maker] = {
    "losses": compared,
    "scaling": scaling,
    "memory": memory,
    "compile": compared,
    "elsewhere": elsewhere,
    "training": compared,
    "devices": devices,
    "linear-ce": vocabulary,
}
