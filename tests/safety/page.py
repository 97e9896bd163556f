"""docs/safety.md: every cell of the table."""

import importlib
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from safety.libraries import LIBRARIES, OTHERS, Variant, results, variants
from safety.limits import Limit, limit
from safety.points import GROUPS, Point
from safety.verdict import HUGE, failures

PAGE = Path(__file__).parents[2] / "docs" / "safety.md"
PASSED, ABSENT = "✓", "–"
INTRODUCTION = """\
# At the edges

Every loss with every kind of option, at inputs where losses break. Asked are the value, the
gradient by `y_pred`, the directional derivative (forward mode) and a product with the Hessian
(forward over reverse), under jit.

- **lossjax, Keras**: each number must be the limit, computed from the definition with 220 digits
  (`tests/exact.py`). On a kink whatever lies between the slopes of its two sides is right; where
  the slope jumps, or the definition is 0 / 0, the number must be finite, and equal to Keras's
  where that is finite. A limit beyond 3e29 counts as infinite: any number of its sign is right,
  NaN never.
- **optax, torch**: each number must be finite where that limit is. Their definitions clip less, so
  an infinite loss may be what they define; it ends a training run all the same. They have no
  weights and no masks: the means are written as their users write them, `(v * w).mean()` and
  `(v * m).sum() / m.sum()`. Of torch the product with the Hessian is reverse over reverse.
- ✓: all four numbers at all points of the group. –: no such loss. Otherwise what failed, and where.

Left out: infinite vectors in cosine similarity (no direction), infinite rates and counts, infinite
entries of the hidden states of `LinearCrossEntropy`. The largest numbers of bfloat16 are those of
float32, so that most sums of them are infinite. CTC counts what has no path as about 1e5, as Keras
does.
"""


def cells(
    variant: Variant, libraries: Sequence[str], some: Sequence[Point] | None = None
) -> Iterator[tuple[str, str, str]]:
    """(group, library, ✓ or what fails) of one loss, at some points or at all."""
    some = variant.points if some is None else some
    limits = _limits(variant, some)
    for library in libraries:
        known = [_finite_only(x) for x in limits] if library in OTHERS else limits
        made = results(library, variant, some)
        failed: dict[str, list[str]] = {point.group: [] for point in some}
        absent = set()
        for point, bounds, result in zip(some, known, made, strict=True):
            if result is None:
                absent.add(point.group)
                continue
            what = ", ".join(failures(point, bounds, result))
            if what:
                failed[point.group].append(": ".join(filter(None, (point.name, what))))
        for group, texts in failed.items():
            text = ABSENT if group in absent else "; ".join(texts) or PASSED
            yield group, library, text


def _limits(variant: Variant, some: Sequence[Point]) -> list[Limit | None]:
    """From the definition, or where it has none what Keras returns, if that is finite."""
    found = [limit(variant.case, variant.config, point) for point in some]
    free = [i for i, x in enumerate(found) if x is None]
    theirs = results("Keras", variant, [some[i] for i in free])
    for i, result in zip(free, theirs, strict=True):
        if result is not None and all(np.isfinite(np.float64(x)).all() for x in result):
            numbers = map(np.float64, (result.value, result.gradient, result.product))
            found[i] = Limit(*(np.stack([x, x]) for x in numbers))
    return found


def _finite_only(bounds: Limit | None) -> Limit | None:
    if bounds is None:
        return None
    return Limit(*(np.where(np.abs(x) > HUGE, x, np.nan) for x in bounds[:3]))


def page() -> str:
    found: dict[str, dict[str, dict[str, str]]] = {}
    every = variants()
    for i, variant in enumerate(every, 1):
        print(f"{i} of {len(every)}: {variant.name}", flush=True)
        with warnings.catch_warnings():
            # Of Keras and lossjax about one class, of torch about shapes.
            warnings.simplefilter("ignore")
            for group, library, text in cells(variant, LIBRARIES):
                found.setdefault(group, {}).setdefault(variant.name, {})[library] = text
    counts = [
        [group, *(_count([row[library] for row in found[group].values()]) for library in LIBRARIES)]
        for group in GROUPS
    ]
    versions = ", ".join(f"{name} {_version(name)}" for name in ("jax", "keras", *OTHERS))
    parts = [
        INTRODUCTION,
        f"Made by `PYTHONPATH=.:tests python -m safety`, on CPU; {versions}.\n",
        _table(["passed of asked", *LIBRARIES], counts),
    ]
    for group in GROUPS:
        rows = found[group].items()
        lines = [[f"`{name}`", *(row[x] for x in LIBRARIES)] for name, row in rows]
        parts += [f"## {group[0].upper()}{group[1:]}\n", _table(["loss", *LIBRARIES], lines)]
    return "\n".join(parts)


def _count(texts: Sequence[str]) -> str:
    asked = [text for text in texts if text != ABSENT]
    return f"{asked.count(PASSED)} of {len(asked)}" if asked else ABSENT


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(x.replace('|', '∣') for x in line)} |\n" for line in lines)


def _version(name: str) -> str:
    return importlib.import_module(name).__version__.split("+")[0]
