"""The JSON of a run: every sample, and what it takes to make it again."""

import dataclasses
import json
import math
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

SCHEMA = 1
# Implementations beside the peers: what is measured, and what only moves the bytes.
OURS, FLOOR = "lossjax", "floor"
WEIGHTINGS = ("none", "weight", "mask")
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}

# What a row may hold. Lists have one entry a round; the k-th entries of the implementations of
# one case (and of its weightings) are of the same round.
SAMPLES = ("seconds", "first_call_seconds")
NUMBERS = (
    "temp_bytes",
    "residual_bytes",
    "bytes",
    "floor_bytes",
    "kernels",
    "estimated_seconds",
    "flops",
)
TEXTS = ("error",)


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
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{where}: cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise ValueError(f"{where}: is not JSON: {error}.") from error
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        found = data.get("schema") if isinstance(data, dict) else type(data).__name__
        raise ValueError(
            f"{where}: a record of schema {SCHEMA} is required, got {found!r}. "
            f"Make one with `python -m bench losses --json FILE`."
        )
    _fields(where, data, Record)
    rows = []
    for index, row in enumerate(data["rows"]):
        rows.append(_row(f"{where}: row {index}", row))
    return Record(**{**data, "rows": rows})


# The types that the fields of both classes have in JSON.
_TYPES: dict[str, tuple[type, ...]] = {
    "argv": (list,),
    "seconds": (int, float),
    "device": (dict,),
    "versions": (dict,),
    "commit": (str, type(None)),
    "dirty": (bool,),
    "flags": (dict,),
    "missing": (dict,),
    "rows": (list,),
    "schema": (int,),
    "shape": (list,),
    "values": (dict,),
}


def _fields(where: str, data: dict[str, Any], cls: type) -> None:
    names = {field.name for field in dataclasses.fields(cls)}
    for name in sorted(names ^ set(data)):
        raise ValueError(f"{where}: {name!r} is {'missing' if name in names else 'unknown'}.")
    for name, value in data.items():
        types = _TYPES.get(name, (str,))
        if not isinstance(value, types):
            wanted = " or ".join(t.__name__ for t in types)
            raise ValueError(f"{where}: {name!r} must be {wanted}, got {type(value).__name__}.")


def _row(where: str, data: Any) -> Row:
    if not isinstance(data, dict):
        raise ValueError(f"{where}: must be an object, got {type(data).__name__}.")
    _fields(where, data, Row)
    for name, known in (("weighting", WEIGHTINGS), ("dtype", BYTES)):
        if data[name] not in known:
            raise ValueError(
                f"{where}: {name!r} must be one of {', '.join(known)}, got {data[name]!r}."
            )
    if not all(_is_number(n) and isinstance(n, int) and n > 0 for n in data["shape"]):
        raise ValueError(f"{where}: 'shape' must be sizes, got {data['shape']}.")
    for name, value in data["values"].items():
        _value(where, name, value)
    return Row(**{**data, "shape": tuple(data["shape"])})


def _value(where: str, name: str, value: Any) -> None:
    if name in SAMPLES:
        fits = isinstance(value, list) and value != [] and all(map(_is_positive, value))
        wanted = "a list of positive numbers"
    elif name in NUMBERS:
        fits, wanted = _is_number(value) and value >= 0, "a number, 0 or more"
    elif name in TEXTS:
        fits, wanted = isinstance(value, str), "a text"
    else:
        known = ", ".join((*SAMPLES, *NUMBERS, *TEXTS))
        raise ValueError(f"{where}: value {name!r} is unknown; known are {known}.")
    if not fits:
        raise ValueError(f"{where}: {name!r} must be {wanted}, got {str(value)[:60]}.")


def _is_number(x: Any) -> bool:
    return isinstance(x, (int, float)) and not isinstance(x, bool) and math.isfinite(x)


def _is_positive(x: Any) -> bool:
    return _is_number(x) and x > 0


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
    ratios = sorted(a / b for a, b in zip(samples_a, samples_b, strict=True))
    last = len(ratios) - 1
    low, high = math.floor(0.2 * last), math.ceil(0.8 * last)
    return Ratio(statistics.median(ratios), ratios[low], ratios[high])


def geometric_mean(values: Iterable[float]) -> float | None:
    """None where there are none."""
    found = list(values)
    return statistics.geometric_mean(found) if found else None


def one_line(error: BaseException) -> str:
    """An error as a record keeps it: its first line, without the paths of this machine."""
    text = str(error).strip() or type(error).__name__
    return re.sub(r"(?:/[\w.+-]+){2,}/?", "...", text.splitlines()[0])[:300]
