"""docs/devices.md: what the committed record of `bench devices` says, and why."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from parts import code, table

PAGE = Path(__file__).parent / "devices.md"
RECORD = Path(__file__).parents[1] / "bench" / "results" / "devices.json"
MOST = 1.05
HEAD = """# Bytes on accelerators

Accelerators are bound by the bytes that a loss moves between memory and chip. The floor reads each
input once and writes the gradient once. This page has the bytes of the compiled programs of value
and gradient over that floor. They are **what XLA's compilers say of chips that are not here, not
measurements**. Written by `make pages` from `bench/results/devices.json`.
"""
# Why the bytes of some losses are more, by their names without options.
REASONS = {
    "A sum over the row, the image or the batch comes before the gradient. What does not stay on "
    "the chip meanwhile is read again": (
        "Brier",
        "CategoricalCrossentropy",
        "CategoricalFocalCrossentropy",
        "CategoricalHinge",
        "ConcordanceCorrelation",
        "ConfidencePenalty",
        "CosineSimilarity",
        "CrossEntropy",
        "Dice",
        "DiceCrossEntropy",
        "FocalTversky",
        "GeneralizedDice",
        "Jaccard",
        "JensenShannon",
        "MultiMargin",
        "Poly1",
        "RelativeL2",
        "ScaleInvariantLog",
        "SparseCategoricalCrossentropy",
        "SparseCategoricalFocalCrossentropy",
        "Tversky",
    ),
    "The same, and what a GPU sums is written first": (
        "LDAM",
        "LogitAdjusted",
        "SymmetricCrossEntropy",
    ),
    "All labels are read first, to see whether they are 0 and 1": ("Hinge", "SquaredHinge"),
    "Numbers are sorted, or searched in rounds": (
        "BiTempered",
        "EnsembleCRPS",
        "Entmax15",
        "FenchelYoung",
        "LovaszHinge",
        "LovaszSoftmax",
        "Sparsemax",
    ),
    "Every class is compared with every label of its row, one after the other": (
        "MultiLabelMargin",
    ),
    "Value and gradient are two kernels, each of which reads the inputs": ("AsymmetricFocal",),
    "Arrays are written by one kernel and read by another": (
        "CIoU",
        "CumulativeLink",
        "DIoU",
        "EIoU",
        "GIoU",
        "GammaNLL",
        "GemanMcClure",
        "GeneralRobust",
        "InverseGaussianNLL",
        "IoU",
        "MeanSquaredLogarithmicError",
        "MixtureNLL",
        "PseudoHuber",
        "StudentTNLL",
        "ZeroInflatedNegativeBinomialNLL",
    ),
}


def page() -> str:
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    found = over_floor(record["rows"])
    targets = list(dict.fromkeys(row["target"] for row in record["rows"]))
    above = {case: of for case, of in found.items() if is_above(of)}
    rows = [[f"`{case}`", *(_cell(of.get(t)) for t in targets)] for case, of in above.items()]
    why = [[reason, code(names)] for reason, names in REASONS.items()]
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    parts = [
        HEAD,
        table(
            ["", *targets], [[f"losses at most {MOST} times the floor", *_counts(found, targets)]]
        ),
        f"## Above\n\n{table(['loss', *targets], rows)}\n“–”: the compiler failed.\n",
        f"## Why\n\n{table(['why', 'losses'], why)}",
        f"`python -m bench {' '.join(record['argv'])}`, {record['started'][:10]}; {versions}.\n",
    ]
    return "\n".join(parts)


def over_floor(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Bytes over the floor of each target, of the cases that have a floor."""
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        if floor := row["values"].get("floor_bytes"):
            found.setdefault(row["case"], {})[row["target"]] = row["values"]["bytes"] / floor
    return found


def is_above(by_target: Mapping[str, float]) -> bool:
    return max(by_target.values()) > MOST


def _counts(found: Mapping[str, Mapping[str, float]], targets: Sequence[str]) -> Iterator[str]:
    for target in targets:
        of = [by_target[target] for by_target in found.values() if target in by_target]
        yield f"{sum(x <= MOST for x in of)} of {len(of)}"


def _cell(over: float | None) -> str:
    return "–" if over is None else f"{over:.2f}" if over < 100 else f"{over:,.0f}"
