"""README's lines of measured numbers: of the committed records, of the speed and safety pages."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from parts import table

RESULTS = Path(__file__).parents[1] / "bench" / "results"
HEAD = ["measured", "lossjax", "others", "command"]
NAMES = {"keras": "Keras"}
OURS = ("lossjax auto", "lossjax")  # the first where it is: steps a call as `fit` chooses them


def lines(speed: str, safety: str) -> str:
    """The table; `speed` is the page of the mean speed-ups, `safety` that of the counts."""
    where = record("losses")["device"]
    rows = [of_speed(speed), *of_records(), of_safety(safety)]
    return f"{table(HEAD, rows)}\nOn {where['cpu']}, {where['cores']} cores, in float32.\n"


def of_speed(page: str) -> list[str]:
    """The last row of the table of speed-ups: all losses, all shapes."""
    head, *_, last = (cells(line) for line in re.findall(r"^\|.*", page.split("<!-- end")[0], re.M))
    over = {name[5:]: times for name, times in zip(head, last, strict=True) if "over " in name}
    others = ", ".join(f"{NAMES.get(name, name)} {times}" for name, times in over.items())
    return ["time of value and gradient, mean over losses", "1", others, command("losses")]


def of_records() -> Iterator[list[str]]:
    """What is less where it is better."""
    shape = "largest temporary array of a loss, 2048 × 4096 inputs"
    yield row("memory", shape, "temp_bytes", max, megabytes, shape=[2048, 4096])
    name = "first call with compilation, mean over losses"
    yield row("compile", name, "first_call_seconds", geometric, seconds)
    name = "temporary memory of 2,048 tokens, 262,144 classes"
    yield row("linear-ce", name, "temp_bytes", max, megabytes, shape=[2048, 262144])
    name = "a training step of a small network"
    yield row("training", name, "seconds", geometric, seconds, case="digits")


def of_safety(page: str) -> list[str]:
    """How often a NaN behind a mask had no influence."""
    head, counts = (
        cells(next(line for line in page.splitlines() if line.startswith(f"| {first} |")))
        for first in ("at", "behind a mask")
    )
    ours, *others = (f"{name} {n}" for name, n in zip(head[1:], counts[1:], strict=True))
    name = "right where NaN is behind a mask"
    return [name, ours.removeprefix("lossjax "), ", ".join(others), "`make pages`"]


def row(
    command_name: str,
    name: str,
    number: str,
    over: Callable[[list[float]], float],
    form: Callable[[float], str],
    **only: Any,
) -> list[str]:
    """The medians of a number of each implementation, over the rows that are `only` those.

    Of the losses that any other library has: lossjax alone has many more.
    """
    rows = [x for x in record(command_name.replace("-", "_"))["rows"] if number in x["values"]]
    theirs = {x["case"] for x in rows if x["implementation"] not in OURS}
    found: dict[str, list[float]] = {}
    for x in rows:
        if x["case"] in theirs and all(x[key] == value for key, value in only.items()):
            found.setdefault(x["implementation"], []).append(float(np.median(x["values"][number])))
    ours = next(found[k] for k in OURS if k in found)
    others = (f"{NAMES.get(k, k)} {form(over(v))}" for k, v in found.items() if k not in OURS)
    return [name, form(over(ours)), ", ".join(others), command(command_name)]


def record(name: str) -> dict[str, Any]:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def command(name: str) -> str:
    words = record(name.replace("-", "_"))["argv"]
    return f"`python -m bench {' '.join(words[: words.index('--json')])}`"


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("| ").split("|")]


def geometric(numbers: list[float]) -> float:
    return float(np.exp(np.mean(np.log(numbers))))


def megabytes(size: float) -> str:
    return f"{size / 1e6:.{2 * (size < 1e6)}f} MB"


def seconds(time: float) -> str:
    return f"{time:.2f} s" if time > 0.01 else f"{1000 * time:.2f} ms"
