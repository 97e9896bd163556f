"""The safety pages: a section a loss, of what it does where losses break, and their index.

`tests/safety` computes what they say.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from parts import code, family_of, known, table
from safety.points import GROUPS

# {options: {edge: {library: words}}}
Found = Mapping[str, Mapping[str, Mapping[str, str]]]

LIBRARIES = ("lossjax", "Keras", "optax", "torch")
PASSED, ABSENT, UNKNOWN = "✓", "–", "?"
UNDEFINED = "No exact definition yet: give the row of the loss an `exact`."
OPTIONS, DEFAULTS = "Options: ", "defaults"
INTRODUCTION = """\
# At the edges

Every loss with every kind of option, at inputs where losses break. Asked are the value, the
gradient by `y_pred`, the directional derivative (forward mode) and a product with the Hessian
(forward over reverse), under jit.

- **lossjax, Keras**: each number must be the limit, computed from the definition with 220 digits
  (`exact` in the row of the loss). On a kink whatever lies between the slopes of its two sides is
  right; where the slope jumps, or the definition is 0 / 0, the number must be finite, and equal to
  Keras's where that is finite. A limit beyond 3e29 counts as infinite: any number of its sign is
  right, NaN never.
- **optax, torch**: each number must be finite where that limit is. Their definitions clip less, so
  an infinite loss may be what they define; it ends a training run all the same. They have no
  weights and no masks: the means are written as their users write them, `(v * w).mean()` and
  `(v * m).sum() / m.sum()`. Of torch the product with the Hessian is reverse over reverse.
- ✓: all four numbers at all points of the group. –: no such loss. ?: the library was not there when
  the section was made. Otherwise what failed, and where.

Left out: infinite vectors in cosine similarity (no direction), infinite rates and counts, infinite
entries of the hidden states of `LinearCrossEntropy`. The largest numbers of bfloat16 are those of
float32, so that most sums of them are infinite. CTC counts what has no path as about 1e5, as Keras
does.

Written by `make pages`, a page for each family; passed of asked, in all of them:
"""


def section(name: str, found: Found, versions: Mapping[str, str]) -> str:
    """Options with the same words at an edge share a row."""
    if not found:
        return f"## {name}\n\n{UNDEFINED}\n"
    found = {options or DEFAULTS: by_edge for options, by_edge in found.items()}
    rows: dict[tuple[str, ...], list[str]] = {}
    for edge in GROUPS:
        for options, by_edge in found.items():
            if edge in by_edge:
                words = (by_edge[edge].get(library, UNKNOWN) for library in LIBRARIES)
                rows.setdefault((edge, *words), []).append(options)
    lines = [
        [edge, "all" if len(some) == len(found) else code(some), *words]
        for (edge, *words), some in rows.items()
    ]
    made = ", ".join(f"{package} {version}" for package, version in versions.items())
    return (
        f"## {name}\n\n{OPTIONS}{code(found)}. Computed on CPU; {made}.\n\n"
        f"{table(['at', 'options', *LIBRARIES], lines)}"
    )


def index(written: Mapping[str, str]) -> str:
    """The introduction, what was passed, and where each loss is."""
    passed: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    for text in written.values():
        for edge, library, words, times in cells(text):
            if words not in (ABSENT, UNKNOWN):
                count = passed[edge][library]
                count[0] += times * (words == PASSED)
                count[1] += times
    counts = [
        [edge, *("{} of {}".format(*row[x]) if x in row else ABSENT for x in LIBRARIES)]
        for edge, row in sorted(passed.items(), key=lambda item: GROUPS.index(item[0]))
    ]
    families: dict[str, list[str]] = {}
    for cls in known():
        link = f"[{cls.__name__}]({family_of(cls)}.md#{cls.__name__.lower()})"
        families.setdefault(family_of(cls), []).append(link)
    links = [[f"[{family}]({family}.md)", " ".join(some)] for family, some in families.items()]
    return (
        f"{INTRODUCTION}\n{table(['at', *LIBRARIES], counts)}\n"
        f"{table(['family', 'losses'], sorted(links))}"
    )


def cells(text: str) -> Iterator[tuple[str, str, str, int]]:
    """(edge, library, words, for how many options) of a section."""
    every = next((line for line in text.splitlines() if line.startswith(OPTIONS)), "")
    lines = [line[2:-2].split(" | ") for line in text.splitlines() if line.startswith("| ")]
    for edge, options, *row in lines[2:]:
        times = (every if options == "all" else options).count("`") // 2
        for library, words in zip(LIBRARIES, row, strict=True):
            yield edge, library, words, times
