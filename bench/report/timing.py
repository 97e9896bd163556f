"""Sections made of samples: speed-up, time over the floor, first call."""

import statistics
from collections.abc import Callable, Iterable, Sequence

from bench.record import FLOOR, OURS, Ratio, Record, geometric_mean
from bench.report.charts import Figure, Point, Section
from bench.report.data import TRACED, Group, latest, peers_of, records_of
from bench.report.layout import (
    SPREAD,
    WEIGHTED,
    Quantity,
    alike,
    by_shapes,
    failures,
    ratio_text,
    scope,
)

FLOOR_COLORS = {
    WEIGHTED["none"]: "violet",
    WEIGHTED["weight"]: "blue",
    WEIGHTED["mask"]: "green",
    TRACED: "pink",
}


def medians(ratios: Iterable[Ratio | None]) -> list[float]:
    return [ratio.median for ratio in ratios if ratio]


def mean_text(values: Sequence[float]) -> str:
    """The geometric mean; nothing of nothing."""
    mean = geometric_mean(values)
    return "" if mean is None else ratio_text(mean)


def _over_peers(name: str) -> Callable[[Group, str], list[Point]]:
    def points(group: Group, row: str) -> list[Point]:
        found = []
        for peer in group.peers:
            ratio = group.over(peer, OURS, name)
            if ratio:
                found.append(Point(row, peer, *ratio))
            elif group.fails(peer):
                found.append(Point(row, peer, None))
        return found

    return points


def _means(groups: Sequence[Group], name: str) -> list[str]:
    facts = []
    for some in alike(groups):
        found = {p: medians(g.over(p, OURS, name) for g in some) for p in peers_of(some)}
        texts = [f"{mean_text(x)} over {p} ({len(x)} rows)" for p, x in found.items() if x]
        if texts:
            facts.append(f"Geometric mean, {scope(some[0])}: {', '.join(texts)}.")
    return facts


def _section(
    title: str, lead: str, facts: list[str], figures: list[Figure], groups: Sequence[Group]
) -> Section | None:
    return Section(title, lead, facts, figures, records_of(groups)) if figures else None


def speed(records: Sequence[Record]) -> Section | None:
    groups = latest(records, "losses")
    quantity = Quantity(
        "speedup",
        "Speed-up",
        "times as fast as the peer",
        ratio_text,
        _over_peers("seconds"),
        largest_first=True,
    )
    lead = (
        "Time of a peer over the time of lossjax, for the value and the gradient of each loss: "
        "right of the line lossjax is faster. All run in turn in one process; a dot is the "
        f"median over the rounds. {SPREAD}"
    )
    figures = by_shapes(quantity, groups) + failures(groups)
    return _section("Speed-up over other libraries", lead, [], figures, groups)


def floor(records: Sequence[Record]) -> Section | None:
    groups = latest(records, "losses")

    def points(group: Group, row: str) -> list[Point]:
        found = [(WEIGHTED[group.weighting], group.over(OURS, FLOOR))]
        if group.weighting == "none":
            found.append((TRACED, group.over(TRACED, FLOOR)))
        return [Point(row, series, *ratio) for series, ratio in found if ratio]

    quantity = Quantity("floor", "Time over the floor", "times the floor", ratio_text, points)
    facts = []
    for some in alike(groups):
        over = {g: r.median for g, r in ((g, g.over(OURS, FLOOR)) for g in some) if r}
        if over:
            worst = max(over, key=lambda g: over[g])
            facts.append(
                f"Geometric mean, {scope(some[0])}: {mean_text([*over.values()])}; "
                f"at most {ratio_text(over[worst])} ({worst.where})."
            )
        weighed = medians(g.over_unweighted() for g in some)
        if weighed:
            facts.append(
                f"{scope(some[0])}: {mean_text(weighed)} times as long as without, at most "
                f"{ratio_text(max(weighed))}."
            )
    lead = (
        "Time of lossjax over that of adding its two inputs (1 to y_pred, where y_true is one "
        f"number a row): each is read once, and one array is written. {SPREAD}"
    )
    figures = by_shapes(quantity, groups, FLOOR_COLORS, "weighting")
    return _section("Time over the floor", lead, facts, figures, groups)


def first_call(records: Sequence[Record]) -> Section | None:
    groups = latest(records, "compile")
    name = "first_call_seconds"
    quantity = Quantity(
        "first-call",
        "First call",
        "times as fast as the peer",
        ratio_text,
        _over_peers(name),
        largest_first=True,
    )
    facts = _means(groups, name)
    seconds = [statistics.median(g.value(OURS, name)) for g in groups if g.value(OURS, name)]
    if seconds:
        facts.append(
            f"Half of lossjax's first calls take {statistics.median(seconds):.2g} s or less."
        )
    lead = (
        "Time of a peer's first call, which traces and compiles, over that of lossjax: right of "
        f"the line lossjax is faster. {SPREAD}"
    )
    figures = by_shapes(quantity, groups) + failures(groups)
    return _section("First call", lead, facts, figures, groups)
