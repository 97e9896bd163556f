"""The JSON of a run: every sample, and what it takes to make it again."""

import dataclasses
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import numpy as np

SCHEMA = 1
# Implementations beside the peers: what is measured, and what only moves the bytes.
OURS, FLOOR = "lossjax", "floor"
WEIGHTINGS = ("none", "weight", "mask")
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}

# What a row may hold, beside an `error`: `record.schema.json` says the rest. Lists have one entry
# a round; the k-th entries of the implementations of one case (and of its weightings) are of the
# same round.
FORM = Path(__file__).with_name("record.schema.json")
SAMPLES = ("seconds", "first_call_seconds")
SIZES = ("temp_bytes", "residual_bytes", "bytes")
NUMBERS = (
    *SIZES,
    "floor_bytes",
    "kernels",
    "rounds",
    "kernel_seconds",
    "estimated_seconds",
    "flops",
)


@dataclasses.dataclass(frozen=True)
class Row:
    """One implementation of one case. Ratios are computed from the samples, never stored."""

    case: str
    weighting: str
    shape: tuple[int, ...]
    dtype: str
    implementation: str
    target: str
    values: Mapping[str, Any]

    @property
    def group(self) -> tuple[str, str, tuple[int, ...], str, str]:
        """What rows must share to be compared."""
        return self.case, self.weighting, self.shape, self.dtype, self.target

    @property
    def samples(self) -> Sequence[float]:
        return next((self.values[name] for name in SAMPLES if name in self.values), ())

    @property
    def input_bytes(self) -> int:
        """Of `y_pred`, the unit in which extra memory is told."""
        return math.prod(self.shape) * BYTES[self.dtype]


@dataclasses.dataclass(frozen=True)
class Record:
    """One run of a command."""

    command: str
    argv: Sequence[str]
    started: str
    seconds: float
    device: Mapping[str, Any]
    versions: Mapping[str, str]
    commit: str | None
    dirty: bool
    flags: Mapping[str, str]
    missing: Mapping[str, str]
    rows: Sequence[Row]
    schema: int = SCHEMA

    def groups(self) -> dict[tuple[Any, ...], dict[str, Row]]:
        """The rows of each case by implementation, in the order of the file."""
        found: dict[tuple[Any, ...], dict[str, Row]] = {}
        for row in self.rows:
            found.setdefault(row.group, {})[row.implementation] = row
        return found

    def save(self, path: str | Path) -> None:
        text = json.dumps(dataclasses.asdict(self), indent=1, sort_keys=True)
        # A row of samples is one line: files stay readable, and so do their diffs.
        text = re.sub(r"\[[^\[\]{}\"]*\]", lambda m: " ".join(m[0].split()), text)
        Path(path).write_text(text + "\n", encoding="utf-8")


def load(path: str | Path) -> Record:
    """A record from its file; ValueError for anything that is none."""
    where = f"bench: {Path(path).name}"
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"), parse_constant=_refuse)
    except OSError as error:
        raise ValueError(f"{where}: cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise ValueError(f"{where}: is not JSON: {error}.") from error
    validator = jsonschema.Draft202012Validator(json.loads(FORM.read_text(encoding="utf-8")))
    wrong = jsonschema.exceptions.best_match(validator.iter_errors(data))
    if wrong:
        raise ValueError(
            f"{where}: a record of schema {SCHEMA} is required; {wrong.json_path[:60]}: "
            f"{wrong.message[-120:]}. Make one with `python -m bench losses --json FILE`."
        )
    rows = [Row(**{**row, "shape": tuple(row["shape"])}) for row in data["rows"]]
    return Record(**{**data, "rows": rows})


def _refuse(constant: str) -> None:
    raise ValueError(f"it holds {constant}")


class Ratio(NamedTuple):
    """The median over the rounds of a / b, and between what the middle 60 % lie."""

    median: float
    low: float
    high: float


def ratio(samples_a: Sequence[float], samples_b: Sequence[float]) -> Ratio:
    """How many times b's samples a's are, pair by pair: drift of the machine cancels."""
    if not samples_a or len(samples_a) != len(samples_b):
        raise ValueError(
            f"bench: ratios need the same rounds of both sides, "
            f"got {len(samples_a)} and {len(samples_b)} samples."
        )
    ratios = np.divide(samples_a, samples_b)
    low = np.quantile(ratios, 0.2, method="lower")
    high = np.quantile(ratios, 0.8, method="higher")
    return Ratio(float(np.median(ratios)), float(low), float(high))


def attempted(work: Callable[..., Mapping[str, Any]], *args: Any) -> Mapping[str, Any]:
    """What a row holds; whatever a library or a compiler fails with, the others go on."""
    try:
        return work(*args)
    except Exception as error:
        return {"error": one_line(error)}


def one_line(error: BaseException) -> str:
    """An error as a record keeps it: its first line, without the paths of this machine."""
    text = str(error).strip() or type(error).__name__
    return re.sub(r"(?:/[\w.+-]+){2,}/?", "...", text.splitlines()[0])[:300]
