"""Calls of libraries as their users write them: those that the rows of the losses name."""

import ast
import functools
import importlib
import importlib.metadata
from collections.abc import Callable
from typing import Any

from bench.cases import Case
from bench.peers.base import JaxPeer
from bench.peers.torch import Torch

# What users of a library call it.
ALIASES = {
    "F": "torch.nn.functional",
    "jnp": "jax.numpy",
    "np": "numpy",
    "smp": "segmentation_models_pytorch",
    "sm": "statsmodels.api",
    "stats": "scipy.stats",
}
OF_TORCH = (
    "coral-pytorch",
    "entmax",
    "kornia",
    "monai",
    "segmentation-models-pytorch",
    "timm",
    "torch",
    "torchvision",
)
OF_JAX = ("optax", "jax")
ON_TORCHVISION = ("segmentation_models_pytorch", "timm", "torchvision")


def written(call: str) -> Callable[[Any, Any], Any]:
    """`(y_true, y_pred) -> value` of an expression, with the modules that it names imported."""
    tree = ast.parse(call, mode="eval")
    dotted = [ast.unparse(x) for x in ast.walk(tree) if isinstance(x, (ast.Name, ast.Attribute))]
    scope: dict[str, Any] = {}
    for name in sorted(dotted, key=len):
        first, *rest = name.split(".")
        if first.isidentifier() and first not in ("y_true", "y_pred"):
            module = _imported(".".join([ALIASES.get(first, first), *rest]))
            if module and not rest:
                scope[first] = module
    function: Callable[[Any, Any], Any] = eval(f"lambda y_true, y_pred: {call}", scope)
    return function  # of the calls of this repository's own rows


def _imported(name: str) -> Any:
    """The module of a dotted name; None where it is a function, or the name of an argument."""
    if name.partition(".")[0] in ON_TORCHVISION:
        without_operators()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        return None


@functools.cache
def without_operators() -> None:
    """Lets a torchvision for GPUs load beside a torch without: its losses are all Python."""
    torch = importlib.import_module("torch")
    for name in ("nms", "qnms"):
        torch.library.define(f"torchvision::{name}", "(Tensor a, Tensor b, float c) -> Tensor")


class _Calls:
    """The call of one library that is this case's loss times a number."""

    def __init__(self, library: str, call: str, times: float) -> None:
        self.call, self.times = call, times
        self.name = library

    def check(self) -> Any:
        super().check()  # type: ignore[misc]
        return importlib.metadata.version(self.name)

    def function(self, case: Case) -> Callable[..., Any]:
        call, times = written(self.call), self.times
        return call if times == 1 else lambda y_true, y_pred: call(y_true, y_pred) / times


class JaxCalls(_Calls, JaxPeer):
    module = "jax"


class TorchCalls(_Calls, Torch):
    pass
