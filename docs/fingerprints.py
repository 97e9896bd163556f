"""Whether the pages of a loss are stale: what they depend on, as a few letters.

- source: the text of its function, docstring included, and of its class;
- row: its options and its definition in `tests/losses`, or wherever its row stands;
- program: value, gradient and a product with the Hessian as JAX lowers them, so that what changes
  below the loss counts if it changes the numbers, and nothing else does. Another release of JAX
  lowers otherwise: programs of two releases are not compared.

Nothing is compiled and no row is imported: it takes seconds, and needs neither Keras nor pytest.
"""

import ast
import functools
import hashlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
from jax import numpy as jnp

from lossjax import Loss, testing
from lossjax.core.registry import example

TESTS = Path(__file__).parents[1] / "tests"
# Of a row: what the pages depend on.
SHOWN = ("configs", "exact", "at_edges", "limit", "keras", "packed")
NAME = re.compile(r"@[\w.<>]+")  # functions within a program are numbered in the order of tracing


def fingerprint(cls: type[Loss]) -> dict[str, str]:
    own = (ast.parse(inspect.getsource(part)) for part in (cls._declared.fn, cls))
    return {
        "source": digest("".join(map(ast.unparse, own))),  # without comments and layout
        "row": digest(row(cls.__name__)),
        "program": digest("".join(programs(cls))),
        "jax": jax.__version__,
    }


def is_stale(kept: dict[str, str] | None, now: dict[str, str]) -> bool:
    if kept is None or any(kept[part] != now[part] for part in ("source", "row")):
        return True
    return kept["jax"] == now["jax"] and kept["program"] != now["program"]


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


# --- the program ---------------------------------------------------------------------------------


def programs(cls: type[Loss]) -> Iterator[str]:
    settings: list[dict[str, Any]] = [{}]
    if "from_logits" in example(cls).hyperparameters():
        settings.append({"from_logits": True})
    for options in settings:
        loss = example(cls, **options)
        y_true, y_pred = jax.tree.map(jnp.asarray, testing.sample(loss))
        text = jax.jit(functools.partial(derivatives, loss)).trace(y_true, y_pred)
        yield NAME.sub("@", text.lower(lowering_platforms=("cpu",)).as_text())


def derivatives(loss: Loss, y_true: Any, y_pred: Any) -> Any:
    def both(y_pred: Any) -> Any:
        return jax.value_and_grad(lambda p: loss(y_true, p))(y_pred)

    return jax.jvp(both, (y_pred,), (y_pred,))


# --- the row -------------------------------------------------------------------------------------


def row(name: str) -> str:
    """`Case(losses.<name>, ...)` as it is written, and what it names of its own file."""
    for tree in files():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and row_of(node) == name:
                shown = [*node.args, *(k.value for k in node.keywords if k.arg in SHOWN)]
                return "\n".join(with_own(tree, shown))
    return ""


def row_of(call: ast.Call) -> str | None:
    """The loss of a row; None for any other call."""
    is_row = getattr(call.func, "id", getattr(call.func, "attr", "")) == "Case"
    return getattr(call.args[0], "attr", None) if is_row and call.args else None


@functools.cache
def files() -> list[ast.Module]:
    paths = [*sorted(TESTS.glob("losses/*.py")), TESTS / "cases.py"]
    return [ast.parse(path.read_text(encoding="utf-8")) for path in paths]


def with_own(tree: ast.Module, nodes: list[Any]) -> Iterator[str]:
    """The text of nodes, and of the functions and numbers of the file that they use."""
    own = {name: node for node in tree.body for name in defined(node)}
    seen: set[int] = set()
    while nodes:
        node = nodes.pop(0)
        if id(node) not in seen:
            seen.add(id(node))
            yield ast.unparse(node)
            names = (x.id for x in ast.walk(node) if isinstance(x, ast.Name))
            nodes += [own[name] for name in names if name in own]


def defined(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]
