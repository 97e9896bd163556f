"""The sections of a report, each of the records of one command, and the numbers on top."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pandas as pd

from bench import compare
from bench.frames import (
    ALIKE,
    TRACED,
    alike,
    bytes_text,
    device_label,
    mean_text,
    measured,
    most,
    numbered,
    ordered,
    ours,
    peers,
    placed,
    ratio_text,
    scope,
    seconds_text,
    share_text,
)
from bench.record import OURS, Record
from bench.report.charts import Figure, plotted, table_of

FASTER = "times as fast as the peer"
PLAIN = {"no weights": "", "float32": "", "sample_weight": "weight"}  # in the name of a plot
FLOOR_LOOKS = {"no weights": 0, "sample_weight": 2, "mask": 4, TRACED: 5}
LOOKS = {compare.WORSE: 1, compare.SAME: 8, compare.BETTER: 4}  # red, grey, green


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
        text = f"as fast as {peer}: geometric mean of {over.count()} rows"
        cards.append((f"{mean_text(over)}×", text))
    over = ours(main)["floor"]
    if over.notna().any():
        text = f"the time of the floor: geometric mean of {over.count()} rows, at most "
        cards.append((f"{mean_text(over)}×", f"{text}{ratio_text(over.max())}"))
    return Headline(scope(main), cards, _means(frame))


def _over(frame: pd.DataFrame) -> dict[str, pd.Series]:
    numbers = peers(frame).dropna(subset="speedup")
    found = dict(list(numbers.groupby("implementation")["speedup"]))
    return {name: found[name] for name in ordered(found)}


def _means(frame: pd.DataFrame) -> pd.DataFrame:
    """Geometric means of each device, dtype and weighting, and of its common shapes alone."""
    lines = []
    for some in alike(frame):
        counts = ours(some)["shape"].value_counts(sort=False)
        common = counts.index[2 * counts > counts.max()]
        parts = [(shape, some[some["shape"] == shape]) for shape in common]
        for shape, part in [*(parts if len(parts) > 1 else []), ("all", some)]:
            own = ours(part)
            over = {f"over {peer}": mean_text(numbers) for peer, numbers in _over(part).items()}
            worst = ratio_text(own["floor"].max()) if own["floor"].notna().any() else ""
            lines.append({key: part.iloc[0][key] for key in ("device", "dtype", "weights")})
            lines[-1] |= {"shape": shape, **dict.fromkeys(map("over {}".format, _over(frame)), "")}
            lines[-1] |= {**over, "time / floor": mean_text(own["floor"]), "at most": worst}
            lines[-1] |= {"time / unweighted": mean_text(own["weighed"])}
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
        plot = plotted(points, notes=notes, axis=axis, **known, **more)
        yield Figure(plot, table_of(plot))


def curves(
    frame: pd.DataFrame, number: str, name: str, title: str, axis: str, **more: Any
) -> Iterator[Figure]:
    """A plot for each weighting, dtype and device."""
    frame = frame[frame[number].notna()].sort_values(["panel", "x"], kind="stable")
    for some, known in _plots(frame, number, name, title, ALIKE):
        plot = plotted(some, axis=axis, **known, **more)
        # Neither nothing, which has no logarithm, nor one size is a curve.
        held = plot.points[plot.points["value"] > 0]
        held = held[held.groupby(["panel", "series"])["x"].transform("nunique") > 1]
        yield Figure(plot._replace(points=held) if len(held) else None, table_of(plot))


def _plots(
    frame: pd.DataFrame, number: str, name: str, title: str, keys: list[str]
) -> Iterator[tuple[pd.DataFrame, dict[str, Any]]]:
    """The points of each plot, its name among all that are made of `frame`, and its title."""
    frame = numbered(frame, number)
    devices = list(frame["device"].unique())
    for _, some in frame.groupby(keys, sort=False):
        words = {key: PLAIN.get(some[key].iloc[0], some[key].iloc[0]) for key in keys}
        words["device"] = str(devices.index(words["device"]) + 1) if len(devices) > 1 else ""
        slug = "-".join([name, *filter(None, words.values())])
        yield some, {"name": slug, "title": f"{title}: {scope(some, keys)}"}


def section(
    frame: pd.DataFrame, title: str, facts: Sequence[str], figures: Iterator[Figure]
) -> Section | None:
    """With a table of what failed, and why; None where there is nothing to show."""
    shown = [*figures]
    if len(failed := frame[frame["error"].notna()]):
        failed = failed.assign(case=failed["loss"] + ", " + failed["shape"])
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
            facts.append(
                f"Geometric mean, {scope(some)}: {mean_text(some['floor'])}; at most {found}."
            )
        if found := most(some, "weighed"):
            mean = mean_text(some["weighed"])
            facts.append(f"{scope(some)}: {mean} times as long as without, at most {found}.")
    own, plain = frame["implementation"] == OURS, frame["weights"] == "no weights"
    shown = frame.assign(series=frame["weights"].where(own, TRACED))
    shown = shown[own | plain & (frame["implementation"] == TRACED)].dropna(subset="floor")
    title, axis = "Time over the floor", "times the floor"
    figures = dots(shown, "floor", "floor", title, axis, "weights", looks=FLOOR_LOOKS)
    return section(frame, title, facts, figures)


def scaling(frame: pd.DataFrame) -> Section | None:
    facts = []
    for some in map(ours, alike(frame)):
        curve = some.groupby("loss")["nanoseconds"]
        if len(spread := (curve.max() / curve.min()).dropna()):
            facts.append(
                f"{scope(some)}: lossjax's slowest size takes at most {ratio_text(spread.max())} "
                f"times as long per element as its fastest ({spread.idxmax()})."
            )
    points = frame.assign(panel=frame["loss"], row=frame["loss"], x=frame["elements"])
    more = {"form": "{:.3g}".format, "x_axis": "elements"}
    figures = curves(points, "nanoseconds", "scaling", "Scaling", "ns / element", **more)
    return section(frame, "Scaling", facts, figures)


def memory(frame: pd.DataFrame) -> Section | None:
    facts = [
        f"{scope(some)}: of one input, lossjax needs at most {found}."
        for some in alike(frame)
        if (found := most(ours(some), "temp", share_text))
    ]
    more: Any = {"axis": "% of one input", "form": share_text, "scale": "symlog"}
    kinds = {"temp": ("memory", "Temporary memory"), "kept": ("residuals", "Kept for the gradient")}
    held = ((number, *names) for number, names in kinds.items() if frame[number].notna().any())
    figures = (plot for names in held for plot in dots(frame, *names, **more))
    return section(frame, "Memory", facts, figures)


def first_call(frame: pd.DataFrame) -> Section | None:
    facts = []
    for some in alike(frame):
        over = _over(some).items()
        if means := [f"{mean_text(x)} over {name} ({len(x)} rows)" for name, x in over]:
            facts.append(f"Geometric mean, {scope(some)}: {', '.join(means)}.")
    if (half := ours(frame)["seconds"].median()) > 0:
        facts.append(f"Half of lossjax's first calls take {seconds_text(half)} or less.")
    figures = dots(peers(frame), "speedup", "first-call", "First call", FASTER, largest_first=True)
    return section(frame, "First call", facts, figures)


def vocabulary(frame: pd.DataFrame) -> Section | None:
    facts = [
        f"{line['loss']}, {line['shape']}: {line['implementation']} takes "
        f"{ratio_text(line['speedup'])} times as long as lossjax."
        for _, line in peers(frame).dropna(subset="speedup").iterrows()
    ]
    tokens, classes = (frame["sizes"].str[i] for i in (0, -1))
    panel = frame["loss"] + ", " + tokens.astype(str) + " tokens"
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
            fact += f"; of the floor, they move at most {found}"
        facts.append(f"{fact}.")
    title = "Bytes over the floor (estimates)"
    plots = dots(frame, "moved", "devices", title, "times the floor")
    figures = iter([*plots, *map(_programs, alike(frame))])
    return section(frame, "Devices: estimates", facts, figures)


def _programs(frame: pd.DataFrame) -> Figure:
    """All that is known of each program, or that there is none."""
    frame = frame.sort_values(["loss", "target"], key=lambda s: s.str.lower(), kind="stable")
    program = frame["error"].isna().map({True: "compiles", False: "fails"})
    words = [frame["loss"], frame["shape"], frame["target"]]
    numbers = {
        "bytes / floor": ("moved", ratio_text),
        "bytes": ("bytes", bytes_text),
        "temp / input": ("temp", share_text),
        "kernels": ("kernels", "{:g}".format),
        "estimated time": ("estimated_seconds", seconds_text),
    }
    cells = {
        title: frame[name].map(form, na_action="ignore").fillna("")
        for title, (name, form) in numbers.items()
    }
    index = [*words, frame["implementation"], program.rename("program")]
    return Figure(None, pd.DataFrame(cells).set_index(index), "All programs")


def changed(records: Sequence[Record]) -> list[Section]:
    """One for each run, against the last one before it that shares cases with it."""
    runs = sorted(records, key=lambda record: record.started)
    found: list[Section] = []
    for index, new in enumerate(runs):
        before = [old for old in reversed(runs[:index]) if not compare.mismatch(old, new)]
        made = (_compared(old, new, len(found)) for old in before)
        found += filter(None, [next(filter(None, made), None)])
    return found


def _compared(old: Record, new: Record, number: int) -> Section | None:
    found = compare.changes(old, new)
    counts = Counter(found["verdict"]) if len(found) else Counter[str]()
    if not {*counts} - {compare.ONLY_OLD, compare.ONLY_NEW}:
        return None
    facts = [f"{'; '.join(f'{count} {verdict}' for verdict, count in counts.items())}."]
    known = found.assign(series=found["verdict"], device=device_label(new), error=None)
    sampled = known[known["low"].notna() & known["verdict"].isin([*LOOKS])]
    name = f"changes-{new.command}" + (f"-{number + 1}" if number else "")
    title = f"Change of {found['quantity'].iloc[0]}"
    more: Any = {"looks": LOOKS, "largest_first": True}
    figures = [*dots(sampled, "value", name, title, "new / old", **more)]
    figures.append(Figure(None, compare.table_of(found), "All cases"))
    facts += compare.renewed(old, new)
    return Section(f"What changed: {new.command}", facts, figures, [old, new])


COMMANDS = {  # in the order of the page
    speed: "losses",
    floor: "losses",
    scaling: "scaling",
    memory: "memory",
    first_call: "compile",
    vocabulary: "linear-ce",
    devices: "devices",
}
