"""A section of the gallery for a loss, and its picture: `make pages` puts them together.

Formula, use and source are those of the docstring; values and gradients are computed.
"""

import inspect as python
import io
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from PIL import Image

from lossjax import Loss, inspect, testing
from lossjax.core.registry import example, listed
from lossjax.testing import Domain
from parts import code, family_of, one_line, table

COLORS = 64  # of a picture: a third of the bytes, and no visible difference
INTRODUCTION = """\
# The losses

Each loss has its formula, when to use it, its curve, and its values and gradients at points where
losses tend to break. [Which loss?](../which_loss.md) helps to choose one.

The words are those of the docstrings. The numbers are computed in float32 with the default options,
for a batch of one sample: one picture of two pixels where regions are compared, three embeddings
where embeddings are. Gradients are by `y_pred`; "anywhere" is the range over a grid of the whole
domain. Written by `make pages`.
"""


def index(classes: Sequence[type[Loss]]) -> str:
    rows = []
    for cls in classes:
        found, first = listed(cls), described(cls)[1].split(". ")[0].rstrip(".")
        link = f"[{found.name}]({family_of(cls)}.md#{found.name.lower()})"
        rows.append([link, code(found.others), domain_of(example(cls)).target, first])
    return f"{INTRODUCTION}\n{table(['loss', 'by name', '`y_true`', 'use'], rows)}"


def section(cls: type[Loss]) -> str:
    found, (formula, use, rest) = listed(cls), described(cls)
    arguments = ", ".join(f"{k}={v!r}" for k, v in example(cls).hyperparameters().items())
    parts = [
        f"## {found.name}",
        f"`{found.name}({arguments})`; by name: {code(found.others)}",
        f"> {formula}",
        f"**When:** {use[0].upper()}{use[1:]}",
        f"![Value, gradient and curvature of {found.name}]({picture_name(cls)})",
        of_points(example(cls)),
    ]
    if "from_logits=False" in arguments:
        parts += ["With `from_logits=True`:", of_points(cls(from_logits=True))]
    return "\n\n".join(part.rstrip("\n") for part in (*parts, rest) if part) + "\n"


def described(cls: type[Loss]) -> tuple[str, str, str]:
    """Formula, use and the rest of the docstring of a loss, without its example."""
    fn = cls._declared.fn
    text = python.cleandoc(fn.__doc__ or "").split("\n>>> ")[0]
    formula, *paragraphs = (part.strip() for part in text.split("\n\n"))
    uses = [part for part in paragraphs if part.startswith("Use: ")]
    if len(uses) != 1:
        raise ValueError(
            f"docs/gallery.py: the docstring of {fn.__name__} needs one paragraph that starts "
            f'with "Use: " and says when to use the loss, got {len(uses)}.'
        )
    rest = "\n\n".join(part for part in paragraphs if part not in uses)
    rest = re.sub(r"\n+(?=(Shapes|Values|Raises|Source)\b)", "\n\n", rest)
    rest = re.sub(r"^(Shapes|Values|Source): ", r"**\1:** ", rest, flags=re.MULTILINE)
    return one_line(formula), one_line(uses[0].removeprefix("Use: ")), rest.strip()


# --- values and gradients at the points of a domain ----------------------------------------------


def domain_of(loss: Loss) -> Domain:
    """What the loss takes, with samples at which to look at it."""
    domain = testing.domain_of(loss)
    if not domain.points:
        raise ValueError(
            f"docs/gallery.py: {type(loss).__name__} takes {domain.name!r}, and that domain has no "
            f"`points` at which to look at a loss: add some."
        )
    return domain


def of_points(loss: Loss) -> str:
    head, *rows = rows_of(loss)
    return table(head, rows)


def rows_of(loss: Loss) -> Iterator[list[str]]:
    """The table of the special points of a loss."""
    domain = domain_of(loss)
    yield ["", "`y_true`", "`y_pred`", "value", "gradient"]
    names, *samples = zip(*domain.points, strict=True)
    everywhere = zip(*itertools.product(*domain.grid), strict=True)
    both = (stacked([*some, *all_]) for some, all_ in zip(samples, everywhere, strict=True))
    values, gradients = computed(loss, *both)
    for i, (name, y_true, y_pred) in enumerate(zip(names, *samples, strict=True)):
        gradient = jax.tree.map(lambda x, i=i: x[i], gradients)
        yield [name, *map(numbers, (y_true, y_pred, values[i], gradient))]
    rest = jax.tree.map(lambda x: x[len(names) :], (values, gradients))
    yield ["anywhere", "", "", *map(span, rest)]
    one = (jax.tree.map(lambda x: x[0], stacked(column)) for column in samples)
    yield ["empty batch", "", "", of_nothing(loss, *one), ""]


def is_leaf(x: Any) -> bool:
    """Lists are numbers; tuples and dicts hold several arrays."""
    return isinstance(x, list)


def stacked(samples: Sequence[Any]) -> Any:
    """A batch of one for each sample, all along a new first axis."""

    def stack(*parts: Any) -> np.ndarray:
        array = np.asarray(parts)
        return array if array.dtype.kind == "i" else array.astype(np.float32)

    return jax.tree.map(stack, *samples, is_leaf=is_leaf)


def computed(loss: Loss, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """Values and gradients of samples, each of which is a batch of its own."""

    def value(y_pred: Any, y_true: Any) -> jax.Array:
        return loss(*batched(loss, y_true, y_pred))

    found = jax.jit(jax.vmap(jax.value_and_grad(value)))(y_pred, y_true)
    return jax.tree.map(np.asarray, found)


def batched(loss: Loss, y_true: Any, y_pred: Any, size: int = 1) -> tuple[Any, Any]:
    """A sample as a batch of one, or of none; where samples are compared it is a batch already."""
    domain = testing.domain_of(loss)
    if domain.in_batches:
        return jax.tree.map(lambda x: x if size else x[:0], (y_true, y_pred))

    def rows(x: Any) -> Any:
        return x[None][:size]

    if domain.predicted:  # all but the first are arrays of the whole batch
        return rows(y_true), (rows(y_pred[0]), *y_pred[1:])
    return jax.tree.map(rows, (y_true, y_pred))


def of_nothing(loss: Loss, y_true: Any, y_pred: Any) -> str:
    """The value of an empty batch; compiled only where there is one."""
    batch = batched(loss, y_true, y_pred, size=0)
    return numbers(loss(*batch)) if not jax.eval_shape(loss, *batch).shape else "no value"


def number(x: float) -> str:
    """Three digits, without a sign of zero."""
    return "0" if x == 0 else f"{x:.3g}".replace("e+0", "e").replace("e-0", "e-")


def numbers(x: Any) -> str:
    """Arrays, as they would be written in a program."""
    return ", ".join(nested(np.asarray(part)) for part in jax.tree.leaves(x, is_leaf=is_leaf))


def nested(x: np.ndarray) -> str:
    return f"[{', '.join(map(nested, x))}]" if x.ndim else number(x.item())


def span(x: Any) -> str:
    parts = jax.tree.leaves(x)
    return ", ".join(f"{number(part.min())} to {number(part.max())}" for part in parts)


# --- pictures ------------------------------------------------------------------------------------


def picture_name(cls: type[Loss]) -> str:
    return f"{cls._declared.fn.__name__}.png"


def varied(cls: type[Loss], configs: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    """What varies from curve to curve: the numbers that the row of a loss tries most often."""
    tried = [{k: v for k, v in config.items() if isinstance(v, float)} for config in configs]
    times = Counter(tuple(sorted(some)) for some in tried if some)
    if not times:
        return {}
    names = min(times, key=lambda names: (-times[names], len(names)))
    members = [
        example(cls).hyperparameters(),
        *(some for some in tried if tuple(sorted(some)) == names),
    ]
    rows = sorted({tuple(float(member[name]) for name in names) for member in members})
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))


def picture(cls: type[Loss], configs: Sequence[Mapping[str, Any]]) -> bytes:
    """The curves of a loss, as a PNG without versions or dates."""
    drawn, small = io.BytesIO(), io.BytesIO()
    inspect.plot(example(cls), **varied(cls, configs)).savefig(drawn, format="png")
    image = Image.open(drawn).convert("RGB").quantize(COLORS, dither=Image.Dither.NONE)
    image.save(small, "png", optimize=True)
    return small.getvalue()
