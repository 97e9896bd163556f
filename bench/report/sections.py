"""The sections of a report, each of the records of one command, and the numbers on top."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pandas as pd

from bench.compare import size
from bench.record import OURS, Record
from bench.report.charts import Figure, ordered, plotted, table_of
from bench.report.data import (
    ALIKE,
    TRACED,
    alike,
    by_shape,
    mean_text,
    measured,
    most,
    ours,
    peers,
    ratio_text,
    scope,
    share_text,
    times,
)

FASTER = "times as fast as the peer"
PLAIN = {"no weights": "", "float32": "", "sample_weight": "weight"}  # in the name of a plot
FLOOR_LOOKS = {"no weights": 0, "sample_weight": 2, "mask": 4, TRACED: 5}


class Section(NamedTuple):
    """`facts` are sentences that are computed from the numbers; `records` where these are from."""

    title: str
    facts: Sequence[str]
    figures: Sequence[Figure]
    records: Sequence[Record]


class Headline(NamedTuple):
    """`cards` (a number and what it is) are of the part of the timings that `where` names."""

    where: str
    cards: Sequence[tuple[str, str]]
    table: pd.DataFrame


def headline(records: Sequence[Record]) -> Headline | None:
    frame = measured(records, "losses")
    if frame.empty:
        return None
    main = max(alike(frame), key=lambda some: ((some["weights"] == "no weights").all(), len(some)))
    cards = []
    for peer, over in _over(main).items():
        if over.notna().any():
            text = f"as fast as {peer}: geometric mean of {over.count()} rows"
            cards.append((f"{mean_text(over)}×", text))
    if found := most(ours(main), "floor"):
        over = ours(main)["floor"]
        text = f"the time of the floor: geometric mean of {over.count()} rows, at most "
        cards.append((f"{mean_text(over)}×", f"{text}{ratio_text(found[0])}"))
    return Headline(scope(main), cards, _means(frame))


def _over(frame: pd.DataFrame) -> dict[str, pd.Series]:
    found = dict(list(peers(frame).groupby("implementation")["speedup"]))
    return {name: found[name] for name in ordered(found)}


def _means(frame: pd.DataFrame) -> pd.DataFrame:
    """Geometric means of each device, dtype and weighting, and of its common shapes alone."""
    lines = []
    for some in alike(frame):
        counts = ours(some)["shape"].value_counts(sort=False)
        common = [shape for shape, count in counts.items() if 2 * count > counts.max()]
        parts = [(times(shape), some[some["shape"] == shape]) for shape in common]
        for shape, part in [*(parts if len(parts) > 1 else []), ("all", some)]:
            found = most(ours(part), "floor")
            line = {**{key: part.iloc[0][key] for key in ("device", "dtype", "weights")}}
            line |= {"shape": shape, **dict.fromkeys((f"over {peer}" for peer in _over(frame)), "")}
            line |= {f"over {peer}": mean_text(over) for peer, over in _over(part).items()}
            line |= {"time / floor": mean_text(ours(part)["floor"])}
            line |= {"at most": ratio_text(found[0]) if found else ""}
            lines.append(line | {"time / unweighted": mean_text(ours(part)["weighed"])})
    cells = pd.DataFrame(lines)
    # Neither what is the same in every row and said above the table, nor what nothing is known of.
    words = [n for n in ("device", "dtype", "shape") if cells[n].nunique() > 1]
    words.insert(len(words) - ("shape" in words), "weights")
    return cells.loc[:, (cells != "").any()].set_index(words).filter(regex="over|/|most")


def dots(
    frame: pd.DataFrame, number: str, name: str, title: str, axis: str, *but: str, **more: Any
) -> Iterator[Figure]:
    """A plot for each weighting, dtype and device but for those named, with a panel a shape."""
    frame = frame[frame[number].notna() | frame["error"].notna()]
    for some, known in _plots(frame, number, name, title, [k for k in ALIKE if k not in but]):
        points, notes = placed(some)
        if not points["device"].iloc[0]:  # programs for devices that are not here
            points["panel"] = points["target"] + ", " + points["panel"]
        plot = plotted(*known, axis, points, notes=notes, **more)
        yield Figure(plot, table_of(plot))


def curves(
    frame: pd.DataFrame, number: str, name: str, title: str, axis: str, **more: Any
) -> Iterator[Figure]:
    """A plot for each weighting, dtype and device."""
    frame = frame[frame[number].notna()].sort_values(["panel", "x"], kind="stable")
    for some, known in _plots(frame, number, name, title, ALIKE):
        plot = plotted(*known, axis, some, **more)
        # Neither nothing, which has no logarithm, nor one size is a curve.
        held = plot.points[plot.points["value"] > 0]
        held = held[held.groupby(["panel", "series"])["x"].transform("nunique") > 1]
        yield Figure(plot._replace(points=held) if len(held) else None, table_of(plot))


def _plots(
    frame: pd.DataFrame, number: str, name: str, title: str, keys: list[str]
) -> Iterator[tuple[pd.DataFrame, tuple[str, str]]]:
    """The points of each plot, its name among all that are made of `frame`, and its title."""
    frame = frame.rename(
        columns={number: "value", f"{number} low": "low", f"{number} high": "high"}
    )
    devices = list(frame["device"].unique())
    for _, some in frame.groupby(keys, sort=False):
        words = {key: PLAIN.get(some[key].iloc[0], some[key].iloc[0]) for key in keys}
        words["device"] = str(devices.index(words["device"]) + 1) if len(devices) > 1 else ""
        slug = "-".join([name, *filter(None, words.values())])
        yield some, (slug, f"{title}: {scope(some, keys)}")


def placed(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """With a panel and a row for each line, the largest shape first."""
    pairs = list(zip(frame["label"], frame["shape"], strict=True))
    place, notes = by_shape(pairs)
    found = pd.DataFrame([place[pair] for pair in pairs], frame.index, ["panel", "row"])
    order = frame["elements"].sort_values(ascending=False, kind="stable").index
    return frame.join(found).loc[order], notes


def section(
    frame: pd.DataFrame, title: str, facts: Sequence[str], figures: Iterator[Figure]
) -> Section | None:
    """With a table of what failed, and why; None where there is nothing to show."""
    shown = [*figures]
    if len(failed := frame[frame["error"].notna()]):
        failed = failed.assign(case=failed["label"] + ", " + failed["shape"].map(times))
        failed = failed.rename(columns={"error": "reason"})
        keys = ["implementation", "case", "weights", "dtype", "target", "reason"]
        shown.append(Figure(None, failed[keys].set_index(keys), f"Failures: {len(failed)}"))
    records = {id(record): record for record in frame["record"]}
    made = sorted(records.values(), key=lambda record: record.started)
    return Section(title, facts, shown, made) if shown else None


def speed(frame: pd.DataFrame) -> Section | None:
    figures = dots(peers(frame), "speedup", "speedup", "Speed-up", FASTER, largest_first=True)
    return section(frame, "Speed-up over other libraries", [], figures)


def floor(frame: pd.DataFrame) -> Section | None:
    facts = []
    for some in map(ours, alike(frame)):
        if found := most(some, "floor"):
            mean, number = mean_text(some["floor"]), ratio_text(found[0])
            facts.append(f"Geometric mean, {scope(some)}: {mean}; at most {number} ({found[1]}).")
        if found := most(some, "weighed"):
            mean, number = mean_text(some["weighed"]), ratio_text(found[0])
            facts.append(f"{scope(some)}: {mean} times as long as without, at most {number}.")
    own, plain = frame["implementation"] == OURS, frame["weights"] == "no weights"
    shown = frame.assign(series=frame["weights"].where(own, TRACED))
    shown = shown[own | plain & (frame["implementation"] == TRACED)].dropna(subset="floor")
    title, axis = "Time over the floor", "times the floor"
    figures = dots(shown, "floor", "floor", title, axis, "weights", looks=FLOOR_LOOKS)
    return section(frame, title, facts, figures)


def scaling(frame: pd.DataFrame) -> Section | None:
    facts = []
    for some in map(ours, alike(frame)):
        curve = some.groupby("label")["nanoseconds"]
        spread = (curve.max() / curve.min()).dropna()
        if len(spread):
            facts.append(
                f"{scope(some)}: lossjax's slowest size takes at most {ratio_text(spread.max())} "
                f"times as long per element as its fastest ({spread.idxmax()})."
            )
    points = frame.assign(panel=frame["label"], row=frame["label"], x=frame["elements"])
    more = {"form": "{:.3g}".format, "x_axis": "elements"}
    figures = curves(points, "nanoseconds", "scaling", "Scaling", "ns / element", **more)
    return section(frame, "Scaling", facts, figures)


def memory(frame: pd.DataFrame) -> Section | None:
    facts = [
        f"{scope(some)}: lossjax needs at most {share_text(found[0])} of one input ({found[1]})."
        for some in alike(frame)
        if (found := most(ours(some), "temp"))
    ]
    more: Any = {"axis": "% of one input", "form": share_text, "scale": "symlog"}
    kinds = {"temp": ("memory", "Temporary memory"), "kept": ("residuals", "Kept for the gradient")}
    held = ((number, *names) for number, names in kinds.items() if frame[number].notna().any())
    figures = (plot for names in held for plot in dots(frame, *names, **more))
    return section(frame, "Memory", facts, figures)


def first_call(frame: pd.DataFrame) -> Section | None:
    facts = []
    for some in alike(frame):
        found = {name: x.dropna() for name, x in _over(some).items()}
        means = [
            f"{mean_text(x)} over {name} ({len(x)} rows)" for name, x in found.items() if len(x)
        ]
        if means:
            facts.append(f"Geometric mean, {scope(some)}: {', '.join(means)}.")
    if (half := ours(frame)["seconds"].median()) > 0:
        facts.append(f"Half of lossjax's first calls take {half:.2g} s or less.")
    figures = dots(peers(frame), "speedup", "first-call", "First call", FASTER, largest_first=True)
    return section(frame, "First call", facts, figures)


def vocabulary(frame: pd.DataFrame) -> Section | None:
    timed = peers(frame).dropna(subset="speedup")
    facts = [
        f"{label}, {times(shape)}: {name} takes {ratio_text(over)} times as long as lossjax."
        for label, shape, name, over in timed[
            ["label", "shape", "implementation", "speedup"]
        ].itertuples(index=False)
    ]
    tokens, classes = (frame["shape"].str[i] for i in (0, -1))
    panel = frame["label"] + ", " + tokens.astype(str) + " tokens"
    share = frame["temp"].map(lambda x: f", {share_text(x)}", na_action="ignore")
    points = frame.assign(panel=panel, row=panel, x=classes, remark=share)
    more = {"form": "{:.1f}".format, "x_axis": "classes", "notes": ["Per cents: of the logits."]}
    title = "Temporary memory over the vocabulary"
    figures = curves(points, "megabytes", "vocabulary", title, "MB", **more)
    return section(frame, "Large vocabulary", facts, figures)


def devices(frame: pd.DataFrame) -> Section | None:
    facts = []
    for (target, *_), some in ours(frame).groupby(["target", *ALIKE], sort=False):
        good = some["error"].isna().sum()
        fact = f"{target}, {scope(some)}: {good} of {len(some)} programs of lossjax compile"
        if found := most(some, "moved"):
            fact += f"; they move at most {ratio_text(found[0])} times the floor ({found[1]})"
        facts.append(f"{fact}.")
    title = "Bytes over the floor (estimates)"
    plots = dots(frame, "moved", "devices", title, "times the floor")
    figures = iter([*plots, *map(_programs, alike(frame))])
    return section(frame, "Devices: estimates", facts, figures)


def _programs(frame: pd.DataFrame) -> Figure:
    """All that is known of each program, or that there is none."""
    frame = frame.sort_values(["label", "target"], key=lambda s: s.str.lower(), kind="stable")
    program = frame["error"].isna().map({True: "compiles", False: "fails"})
    words = [frame["label"].rename("loss"), frame["shape"].map(times), frame["target"]]
    numbers = {
        "bytes / floor": ("moved", ratio_text),
        "bytes": ("bytes", size),
        "temp / input": ("temp", share_text),
        "kernels": ("kernels", "{:g}".format),
        "estimated time, µs": ("microseconds", "{:.4g}".format),
    }
    cells = {
        title: frame[name].map(form, na_action="ignore").fillna("")
        for title, (name, form) in numbers.items()
    }
    index = [*words, frame["implementation"], program.rename("program")]
    return Figure(None, pd.DataFrame(cells).set_index(index), "All programs")


COMMANDS = {  # in the order of the page
    speed: "losses",
    floor: "losses",
    scaling: "scaling",
    memory: "memory",
    first_call: "compile",
    vocabulary: "linear-ce",
    devices: "devices",
}
