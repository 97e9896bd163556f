"""The least work that a loss with its gradient can be: its inputs read once, one array written."""

from collections.abc import Callable
from typing import Any

import jax

from bench.cases import Case


def floor(case: Case) -> Callable[..., jax.Array] | None:
    """`y_true + y_pred`, or `y_pred + 1` where labels are one number a row and cost next to
    nothing; None where a loss does more than stream, and bytes tell nothing.
    """
    if not case.is_elementwise:
        return None

    @jax.jit
    def move(y_true: Any, y_pred: Any, *weights: Any) -> jax.Array:
        return y_pred + (y_true if y_true.shape == y_pred.shape else 1)

    return move
