"""`python -m bench linear-ce`: the loss of a large vocabulary, its chunks, its memory over V."""

import argparse
import dataclasses
import statistics
from collections.abc import Iterable, Sequence

from rich.markup import escape
from rich.table import Table

from bench import contest, environment, harness, memory, options, tables
from bench.cases import Case, LinearCase
from bench.peers import OURS, PEERS, JaxPeer, Peer
from bench.peers.linear import LINEAR
from bench.progress import collect
from bench.record import Record, Row, ratio
from lossjax import losses

NAMES = ("optax", "torch", *(peer.name for peer in LINEAR))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--shape",
        type=options.shape,
        default=(2048, 32768),
        metavar="TOKENSxCLASSES",
        help="of the logits that are not made (default: 2048x32768)",
    )
    add("--chunks", nargs="*", type=options.count, default=[64, 128, 256, 512], help="beside auto")
    add(
        "--powers",
        nargs=2,
        type=options.count,
        default=[12, 18],
        metavar=("FIRST", "LAST"),
        help="of two, for V: where memory is read (default: 12 18)",
    )
    add("--dtype", choices=("float32", "bfloat16"), default="float32", help="of the inputs")
    add("--peers", nargs="*", choices=NAMES, default=NAMES, help="libraries beside lossjax")
    add("--device", choices=environment.PLATFORMS, help="default: the best that jax sees")
    add("--json", metavar="FILE", help="write the record of the run")
    options.add_rounds(parser, rounds=15, seconds=300)


def run(args: argparse.Namespace) -> Record:
    began = environment.start()
    asked = [peer for peer in (*PEERS, *LINEAR) if peer.name in args.peers]
    missing = {peer.name: peer.missing for peer in asked if peer.missing}
    peers = [OURS, *(peer for peer in asked if not peer.missing)]
    plain = LinearCase(losses.LinearCrossEntropy(), args.shape, args.dtype)
    own = _variants(plain, args.chunks)
    first, last = args.powers
    sizes = [
        dataclasses.replace(plain, shape=(plain.shape[0], 2**power))
        for power in range(first, last + 1)
    ]

    def timed(case: Case, progress: harness.Progress) -> list[Row]:
        return _timed(case, own, peers, args, progress)

    def weighed(case: Case, progress: harness.Progress) -> list[Row]:
        beside = [OURS] if case in own else peers
        return [row for p in beside if isinstance(p, JaxPeer) for row in memory.rows(case, p)]

    rows = collect([plain], lambda case: "time", timed)
    every = dict.fromkeys([plain, *own, *sizes])
    rows += collect(list(every), lambda case: f"memory {case.name} {case.shape}", weighed)
    return environment.record("linear-ce", args.argv, began, missing, _merged(rows))


def _variants(plain: Case, chunks: Sequence[int]) -> list[Case]:
    """Other chunks, and half of the tokens ignored with and without compaction."""
    half = dataclasses.replace(plain, weighting="mask")
    compact = dataclasses.replace(half, loss=losses.LinearCrossEntropy(compact=True))
    sized = [losses.LinearCrossEntropy(chunk=chunk) for chunk in chunks]
    return [*(dataclasses.replace(plain, loss=loss) for loss in sized), half, compact]


def _timed(
    plain: Case,
    own: Sequence[Case],
    peers: Sequence[Peer],
    args: argparse.Namespace,
    progress: harness.Progress,
) -> list[Row]:
    """All in the same rounds, so that all can be compared."""
    contestants, errors = contest.enter([plain], peers)
    more, wrong = contest.enter(own, [OURS])
    samples = harness.measure(contestants | more, args.rounds, args.seconds, progress=progress)
    names = [peer.name for peer in peers]
    return contest.rows([plain, *own], names, "seconds", samples, errors | wrong)


def _merged(rows: Iterable[Row]) -> list[Row]:
    """One row for all that is known of a case by an implementation."""
    found: dict[object, Row] = {}
    for row in rows:
        key = row.group, row.implementation
        known = found.get(key, row)
        found[key] = dataclasses.replace(row, values={**known.values, **row.values})
    return list(found.values())


def show(record: Record, wide: bool) -> Iterable[Table]:
    """Time and memory of everything that was timed; then memory over V."""
    timed = [row for row in record.rows if "seconds" in row.values]
    if timed:
        yield _times(record, timed)
    yield _memory(record)


def _times(record: Record, rows: Sequence[Row]) -> Table:
    table = Table(
        title=f"{tables.title(record)}; {tables.size(rows[0].shape)}", title_justify="left"
    )
    table.caption = "the ratio is to lossjax with its own choice of the chunk, round by round"
    for header in ("loss", "weights", "implementation"):
        table.add_column(header, no_wrap=True)
    for header in ("time", "ratio", "temporary memory\nof the logits"):
        table.add_column(header, justify="right")
    base = rows[0].values["seconds"]
    for row in rows:
        seconds = row.values["seconds"]
        over = ratio(seconds, base)
        cells = tables.time(statistics.median(seconds)), f"{over.median:.2f}", _share(row)
        table.add_row(escape(row.case), row.weighting, row.implementation, *cells)
    return table


def _memory(record: Record) -> Table:
    first = record.rows[0]
    curve = [row for row in record.rows if (row.case, row.weighting) == (first.case, "none")]
    names = list(dict.fromkeys(row.implementation for row in curve if "temp_bytes" in row.values))
    table = Table(title="temporary memory over V, of the logits", title_justify="left")
    table.add_column("logits", no_wrap=True)
    for name in names:
        table.add_column(name, justify="right")
    found = {(row.shape, row.implementation): row for row in curve}
    for shape in sorted({row.shape for row in curve}):
        cells = (_share(found.get((shape, name))) for name in names)
        table.add_row(tables.size(shape), *cells)
    return table


def _share(row: Row | None) -> str:
    if row is None or "temp_bytes" not in row.values:
        return "-"
    temp = row.values["temp_bytes"]
    return f"{temp / 1e6:.1f} MB, {temp / row.input_bytes:.1%}"


tables.TABLES["linear-ce"] = show
