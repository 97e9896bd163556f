"""docs/accuracy.md: how many digits the rows in tests/losses hold each loss to."""

from pathlib import Path

from parts import by_family, table

PAGE = Path(__file__).parent / "accuracy.md"
HEAD = """# Accuracy

How far value and gradient may be from the exact number. The exact number is computed from the
definition of the loss with 220 digits, for inputs of ordinary and of extreme size. The unit is one
*ulp*: the distance between two neighbours among the numbers of float32, which have seven digits.
The best that any program can do is half of one, and one operation after the other adds to it.

The tests hold every loss to its numbers here, which are about twice what is measured. "–" is a loss
that is held to no number of digits. Written by `make pages`.
"""


def page() -> str:
    try:
        from cases import ROWS
    except ImportError:  # of what tests need: the page stays as it is
        return PAGE.read_text(encoding="utf-8")
    bounds = {row.loss: row.ulps for row in ROWS if row.exact is not None}
    rows = []
    for family, members in by_family().items():
        for cls in members:
            link = f"[{cls.__name__}](gallery/{family}.md#{cls.__name__.lower()})"
            rows.append([family, link, *map(str, bounds.get(cls) or ("–", "–"))])
    return f"{HEAD}\n{table(['family', 'loss', 'value, in ulps', 'gradient, in ulps'], rows)}"
