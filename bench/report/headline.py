"""The numbers on top: how much faster than each peer, how far from the floor."""

import dataclasses
from collections.abc import Sequence

from bench.record import FLOOR, OURS, Record
from bench.report.charts import Table
from bench.report.data import Group, latest, peers_of, split, times
from bench.report.layout import WEIGHTED, alike, ratio_text, scope
from bench.report.timing import mean_text, medians


@dataclasses.dataclass(frozen=True)
class Card:
    number: str
    text: str


@dataclasses.dataclass(frozen=True)
class Headline:
    """`cards` are of the part of the timings that `where` names."""

    where: str
    cards: Sequence[Card]
    table: Table


def headline(records: Sequence[Record]) -> Headline | None:
    groups = latest(records, "losses")
    if not groups:
        return None
    main = max(alike(groups), key=lambda some: (some[0].weighting == "none", len(some)))
    cards = []
    for peer in peers_of(main):
        found = medians(g.over(peer, OURS) for g in main)
        if found:
            text = f"as fast as {peer}: geometric mean of {len(found)} rows"
            cards.append(Card(f"{mean_text(found)}×", text))
    found = medians(g.over(OURS, FLOOR) for g in main)
    if found:
        text = f"the time of the floor: geometric mean of {len(found)} rows, at most "
        cards.append(Card(f"{mean_text(found)}×", f"{text}{ratio_text(max(found))}"))
    return Headline(scope(main[0]), cards, _table(groups))


def _table(groups: Sequence[Group]) -> Table:
    """Geometric means of each device, dtype and weighting, and of its common shapes alone."""
    peers = peers_of(groups)
    words = ("device", "dtype", "weights", "shape")
    numbers = (*(f"over {peer}" for peer in peers), "time / floor", "at most", "time / unweighted")
    rows = []
    for some in alike(groups):
        parts = {times(shape): part for shape, part in split(some, lambda g: g.shape).items()}
        most = max(map(len, parts.values()))
        parts = {shape: part for shape, part in parts.items() if 2 * len(part) > most}
        for shape, part in {**(parts if len(parts) > 1 else {}), "all": some}.items():
            over = medians(g.over(OURS, FLOOR) for g in part)
            first = part[0]
            rows.append(
                [
                    *(first.device, first.dtype, WEIGHTED[first.weighting], shape),
                    *(mean_text(medians(g.over(peer, OURS) for g in part)) for peer in peers),
                    mean_text(over),
                    ratio_text(max(over)) if over else "",
                    mean_text(medians(g.over_unweighted() for g in part)),
                ]
            )
    columns = list(zip((*words, *numbers), *rows, strict=True))
    # Neither what is the same in every row and said above the table, nor what nothing is known of.
    held = [c for c in columns if any(c[1:])]
    held = [c for c in held if c[0] not in ("device", "dtype", "shape") or len({*c[1:]}) > 1]
    header, *cells = zip(*held, strict=True)
    return Table(header, cells, words=len({*words} & {*header}))
