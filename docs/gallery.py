"""`python docs/gallery.py` writes gallery.md and its pictures.

Formula, use and source are those of the docstrings; values and gradients are computed.
"""

import inspect as python
import io
import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image

from bench.cases import loss_classes
from lossjax import Loss, inspect, losses, testing
from lossjax.core.registry import listed
from lossjax.testing import Domain

PAGE = Path(__file__).parent / "gallery.md"
PICTURES = PAGE.parent / "gallery"
COLORS = 64  # of a picture: a third of the bytes, and no visible difference

# What varies in a picture.
FAMILIES: dict[type[Loss], dict[str, Any]] = {
    losses.BinaryCrossentropy: {"label_smoothing": [0, 0.1, 0.3]},
    losses.BinaryFocalCrossentropy: {"gamma": [0, 1, 2, 5]},
    losses.CategoricalFocalCrossentropy: {"gamma": [0, 1, 2, 5]},
    losses.CategoricalGeneralizedCrossEntropy: {"q": [0.1, 0.5, 0.9]},
    losses.Circle: {"gamma": [20, 40, 80]},
    losses.Huber: {"delta": [0.5, 1, 2]},
    losses.LinearCrossEntropy: {"soft_cap": [1, 3, 10]},
    losses.Tversky: {"alpha": [0.2, 0.5, 0.8], "beta": [0.8, 0.5, 0.2]},
}


def domain_of(loss: Loss) -> Domain:
    """What the loss takes, with samples at which to look at it."""
    domain = testing.domain_of(loss)
    if not domain.points:
        raise ValueError(
            f"docs/gallery.py: {type(loss).__name__} takes {domain.name!r}, and that domain has no "
            f"`points` at which to look at a loss: add some."
        )
    return domain


def file_of(cls: type[Loss]) -> str:
    return f"{cls.fn.__name__}.png"


def described(cls: type[Loss]) -> tuple[str, str, str]:
    """Formula, use and the rest of the docstring of a loss, without its example."""
    text = python.cleandoc(cls.fn.__doc__ or "").split("\n>>> ")[0]
    formula, *paragraphs = (part.strip() for part in text.split("\n\n"))
    uses = [part for part in paragraphs if part.startswith("Use: ")]
    if len(uses) != 1:
        raise ValueError(
            f"docs/gallery.py: the docstring of {cls.fn.__name__} needs one paragraph that starts "
            f'with "Use: " and says when to use the loss, got {len(uses)}.'
        )
    rest = "\n\n".join(part for part in paragraphs if part not in uses)
    rest = re.sub(r"\n+(?=(Shapes|Values|Raises|Source)\b)", "\n\n", rest)
    rest = re.sub(r"^(Shapes|Values|Source): ", r"**\1:** ", rest, flags=re.MULTILINE)
    return one_line(formula), one_line(uses[0].removeprefix("Use: ")), rest.strip()


def one_line(text: str) -> str:
    return " ".join(text.split())


def cell(text: str) -> str:
    return text.replace("|", "\\|")


def code(words: Sequence[str]) -> str:
    return " ".join(f"`{word}`" for word in words)


def number(x: float) -> str:
    """Three digits, without a sign of zero."""
    return "0" if x == 0 else f"{x:.3g}".replace("e+0", "e").replace("e-0", "e-")


def numbers(x: Any) -> str:
    """Nested arrays, as they would be written in a program."""
    if isinstance(x, tuple):
        return ", ".join(numbers(part) for part in x)
    x = np.asarray(x)
    return number(x.item()) if x.ndim == 0 else f"[{', '.join(numbers(part) for part in x)}]"


def stacked(samples: Sequence[Any]) -> Any:
    """A batch of one for each sample, all along a new first axis."""
    if isinstance(samples[0], tuple):
        return tuple(stacked(part) for part in zip(*samples, strict=True))
    array = np.asarray(samples)
    return array if array.dtype.kind == "i" else array.astype(np.float32)


def computed(loss: Loss, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """Values and gradients of samples, each of which is a batch of its own."""

    def value(y_pred: Any, y_true: Any) -> jax.Array:
        return loss(*batched(loss, y_true, y_pred))

    found = jax.jit(jax.vmap(jax.value_and_grad(value)))(y_pred, y_true)
    return jax.tree.map(np.asarray, found)


def batched(loss: Loss, y_true: Any, y_pred: Any, size: int = 1) -> tuple[Any, Any]:
    """A sample as a batch of one, or of none; the sample of an embedding is a batch."""
    if testing.domain_of(loss).in_batches:
        return (y_true, y_pred) if size else (y_true[:0], y_pred[:0])
    if isinstance(y_pred, tuple):
        hidden, kernel = y_pred
        return y_true[None][:size], (hidden[None][:size], kernel)
    return y_true[None][:size], y_pred[None][:size]


def of_nothing(loss: Loss, y_true: Any, y_pred: Any) -> str:
    """The value of an empty batch; compiled only where there is one."""
    batch = batched(loss, y_true, y_pred, size=0)
    return numbers(loss(*batch)) if not jax.eval_shape(loss, *batch).shape else "no value"


def rows_of(loss: Loss) -> Iterator[list[str]]:
    """The table of the special points of a loss."""
    domain = domain_of(loss)
    yield ["", "`y_true`", "`y_pred`", "value", "gradient"]
    yield ["---"] * 5
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


def span(x: Any) -> str:
    if isinstance(x, tuple):
        return ", ".join(map(span, x))
    return f"{number(x.min())} to {number(x.max())}"


def section(cls: type[Loss]) -> Iterator[str]:
    found, (formula, use, rest) = listed(cls), described(cls)
    arguments = ", ".join(f"{k}={v!r}" for k, v in cls().hyperparameters().items())
    yield f"## {found.name}\n"
    yield f"`{found.name}({arguments})`; by name: {code(found.others)}\n"
    yield f"> {formula}\n"
    yield f"**When:** {use[0].upper()}{use[1:]}\n"
    yield f"![Value, gradient and curvature of {found.name}]({PICTURES.name}/{file_of(cls)})\n"
    settings: list[dict[str, Any]] = [{}]
    if "from_logits" in arguments:
        settings += [{"from_logits": True}]
    for options in settings:
        if options:
            yield "With `from_logits=True`:\n"
        for row in rows_of(cls(**options)):
            yield f"| {' | '.join(map(cell, row))} |"
        yield ""
    yield f"{rest}\n"


def text() -> str:
    """The page."""
    lines = [
        "# The losses\n",
        "Written by `python docs/gallery.py`. The words are those of the docstrings. The numbers\n"
        "are computed in float32, with the default options, for a batch of one sample: one\n"
        "picture of two pixels in `Dice` and `Tversky`, three embeddings in `Circle`. Gradients\n"
        'are by `y_pred`; "anywhere" is the range over a grid of the whole domain.\n',
        "| loss | by name | `y_true` | use |",
        "|---|---|---|---|",
    ]
    for cls in loss_classes():
        found, (_, use, _) = listed(cls), described(cls)
        first = use.split(". ")[0].rstrip(".")
        link = f"[{found.name}](#{found.name.lower()})"
        cells = [link, code(found.others), domain_of(cls()).target, first]
        lines.append(f"| {' | '.join(map(cell, cells))} |")
    return "\n".join([*lines, "", *(line for cls in loss_classes() for line in section(cls))])


def picture(cls: type[Loss]) -> bytes:
    """The curves of a loss, as a PNG without versions or dates."""
    drawn, small = io.BytesIO(), io.BytesIO()
    inspect.plot(cls, **FAMILIES.get(cls, {})).savefig(drawn, format="png")
    image = Image.open(drawn).convert("RGB").quantize(COLORS, dither=Image.Dither.NONE)
    image.save(small, "png", optimize=True)
    return small.getvalue()


def main() -> None:
    PAGE.write_text(text(), encoding="utf-8")
    PICTURES.mkdir(exist_ok=True)
    for cls in loss_classes():
        (PICTURES / file_of(cls)).write_bytes(picture(cls))
        print(PICTURES / file_of(cls))


if __name__ == "__main__":
    main()
