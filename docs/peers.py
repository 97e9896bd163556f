"""Other libraries' calls and ours, as tests/elsewhere recorded them.

The pages docs/from_*.md say between marks which libraries they show; docs/elsewhere.md shows the
others.
"""

import json
import re
from pathlib import Path
from typing import Any

from parts import code, table

DOCS = Path(__file__).parent
RECORDS = DOCS.parent / "tests" / "elsewhere"
CALLS = re.compile(r"(<!-- calls: (.*?) -->\n)(.*?)(<!-- end of calls -->)", re.DOTALL)
HEAD = """# From other libraries

[Keras](from_keras.md), [optax](from_optax.md), [torch](from_torch.md) and [MONAI](from_monai.md)
have pages of their own. For the others, this is what a loss of theirs is called here.

Each line was computed by that library, in float64: value and, where it has one, the gradient by
`y_pred` agree to ten digits. The numbers are recorded in `tests/elsewhere`, and the tests compare
them. `np` is NumPy, `sm` is statsmodels.api, `stats` is scipy.stats.
"""


def pages() -> dict[Path, str]:
    """The text of each page that shows calls."""
    found = [x for path in sorted(RECORDS.glob("*.json")) for x in records(path)]
    own = {path: path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("from_*.md"))}
    shown = {name for text in own.values() for m in CALLS.finditer(text) for name in names(m)}
    rest = sorted({x["library"] for x in found} - shown, key=str.lower)
    texts = {
        path: CALLS.sub(lambda m: m[1] + sections(names(m), found) + m[4], text)
        for path, text in own.items()
    }
    return texts | {DOCS / "elsewhere.md": f"{HEAD}\n{sections(rest, found)}"}


def names(match: re.Match[str]) -> list[str]:
    return match[2].split(", ")


def sections(libraries: list[str], found: list[dict[str, Any]]) -> str:
    return "\n".join(section(name, found) for name in libraries)


def records(path: Path) -> list[dict[str, Any]]:
    return list(json.loads(path.read_text(encoding="utf-8")).values())


def section(library: str, found: list[dict[str, Any]]) -> str:
    own = sorted((x for x in found if x["library"] == library), key=lambda x: x["call"].lower())
    versions = ", ".join(sorted({x["version"] for x in own}))
    rows = [[code([x["call"]]), code([ours(x)]), x["note"]] for x in own]
    return f"## {library} {versions}\n\n" + table(["theirs", "ours", ""], rows)


def ours(record: dict[str, Any]) -> str:
    factor = f"{record['times']:g} * " if record["times"] != 1 else ""
    return f"{factor}{record['ours']}(y_true, y_pred)"
