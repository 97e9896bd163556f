"""docs/elsewhere.md: other libraries' calls and ours, as tests/elsewhere recorded them."""

import json
from pathlib import Path
from typing import Any

from parts import code, table

RECORDS = Path(__file__).parents[1] / "tests" / "elsewhere"
HEAD = """# From other libraries

What a loss of another library is called here. Each line was computed by that library, in float64:
value and, where it has one, the gradient by `y_pred` agree to ten digits (the numbers are recorded
in [tests/elsewhere](../tests/elsewhere), and the suite compares them). `F` is
`torch.nn.functional`, `jnp` is `jax.numpy`, `np` is NumPy, `smp` is segmentation_models_pytorch,
`sm` is statsmodels.api, `stats` is scipy.stats.
"""


def page() -> str:
    found = [x for path in sorted(RECORDS.glob("*.json")) for x in records(path)]
    libraries = sorted({x["library"] for x in found}, key=str.lower)
    return "\n".join([HEAD, *(section(name, found) for name in libraries)])


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
