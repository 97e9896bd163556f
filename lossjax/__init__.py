"""Losses for JAX with the meaning of Keras's, differentiable in everything."""

import importlib
from typing import TYPE_CHECKING, Any

from lossjax import devices as devices
from lossjax import losses
from lossjax.checked import checked
from lossjax.core.loss import Loss, static
from lossjax.core.reduce import Total
from lossjax.kernels import per_token
from lossjax.kernels.chunked_linear import chunked_linear
from lossjax.kernels.linear_cross_entropy import linear_cross_entropy
from lossjax.objective import Objective, add_loss

if TYPE_CHECKING:
    from lossjax import inspect as inspect

__all__ = [
    "Loss",
    "Objective",
    "Total",
    "add_loss",
    "checked",
    "chunked_linear",
    "devices",
    "inspect",
    "linear_cross_entropy",
    "losses",
    "per_token",
    "static",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`lossjax.inspect` is imported when it is asked for: no training needs it."""
    if name == "inspect":
        return importlib.import_module("lossjax.inspect")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
