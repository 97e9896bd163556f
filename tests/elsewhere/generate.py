"""Freeze what other libraries answer: value and gradient of each `elsewhere` of the rows.

    pip install torch torchvision kornia monai segmentation-models-pytorch timm entmax \
        coral-pytorch optax scipy statsmodels scikit-learn lifelines
    PYTHONPATH=.:tests python tests/elsewhere/generate.py [Huber ...]

It writes a JSON file a family beside itself, of all rows or of those of the losses named. Calls of
libraries that are not installed keep what was recorded. Reading the files needs none of them.
"""

import importlib.metadata
import json
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from bench.peers.calls import OF_JAX, OF_TORCH, written
from cases import ROWS, Case, Elsewhere
from lossjax import testing

HERE = Path(__file__).parent


def main(names: list[str]) -> None:
    jax.config.update("jax_enable_x64", True)
    rows = [row for row in ROWS if row.elsewhere]
    for family in sorted({family_of(row) for row in rows}):
        before, found = kept(family), {}
        for row in rows:
            for peer in row.elsewhere if family_of(row) == family else ():
                found[key(row, peer)] = before.get(key(row, peer), {}) | stated(row, peer)
                if not names or row.loss.__name__ in names:
                    found[key(row, peer)] |= recorded(row, peer)
        lines = (f"{json.dumps(k)}: {json.dumps(found[k])}" for k in sorted(found))
        path_of(family).write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def family_of(row: Case) -> str:
    return row.loss.__module__.rpartition(".")[2]


def path_of(family: str) -> Path:
    return HERE / f"{family}.json"


def kept(family: str) -> dict[str, Any]:
    path = path_of(family)
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def key(row: Case, peer: Elsewhere) -> str:
    return f"{ours(row, peer)} = {peer.call}"


def ours(row: Case, peer: Elsewhere) -> str:
    words = ", ".join(f"{name}={value!r}" for name, value in peer.config.items())
    return f"losses.{row.loss.__name__}({words})"


def stated(row: Case, peer: Elsewhere) -> dict[str, Any]:
    """What the page says; it is written from the records alone."""
    parts = {"library": peer.library, "call": peer.call, "times": peer.times, "note": peer.note}
    return {"ours": ours(row, peer)} | parts


def recorded(row: Case, peer: Elsewhere) -> dict[str, Any]:
    try:
        version = importlib.metadata.version(peer.library)
    except importlib.metadata.PackageNotFoundError:
        print(f"{peer.library} is not installed: {row.loss.__name__} keeps what was recorded.")
        return {}
    inputs = jax.tree.map(wide, testing.sample(row.loss(**peer.config)))
    value, gradient = answer(peer, *inputs)
    here = peer.times * float(row.loss(**peer.config)(*inputs))
    print(f"{key(row, peer)}\n  {value} (ours: {here})", flush=True)
    return {"version": version, "value": value, "gradient": gradient, "inputs": leaves(inputs)}


def wide(x: Any) -> np.ndarray:
    return x.astype(np.float64 if np.issubdtype(x.dtype, np.floating) else np.int64)


def leaves(tree: Any) -> list[Any]:
    return [np.asarray(x).tolist() for x in jax.tree.leaves(tree)]


def answer(peer: Elsewhere, y_true: Any, y_pred: Any) -> tuple[float, list[Any] | None]:
    """Value, and the gradient by the leaves of y_pred; None where the library has none."""
    if peer.library in OF_TORCH:
        import torch

        def tensor(x: Any) -> Any:
            return torch.tensor(x, requires_grad=x.dtype == np.float64)

        true, pred = jax.tree.map(torch.tensor, y_true), jax.tree.map(tensor, y_pred)
        value = written(peer.call)(true, pred)
        value.backward()
        return value.item(), [x.grad.tolist() for x in jax.tree.leaves(pred)]
    if peer.library in OF_JAX:
        value, gradient = jax.value_and_grad(
            lambda p: written(peer.call)(jax.tree.map(jnp.asarray, y_true), p)
        )(jax.tree.map(jnp.asarray, y_pred))
        return float(value), leaves(gradient)
    slope = leaves(written(peer.gradient)(y_true, y_pred)) if peer.gradient else None
    return float(written(peer.call)(y_true, y_pred)), slope


if __name__ == "__main__":
    main(sys.argv[1:])
