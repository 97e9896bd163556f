"""lossjax itself, as it is used inside a train step."""

from collections.abc import Callable
from typing import Any

import jax
from jax import numpy as jnp

from bench import record
from bench.cases import Case
from bench.peers.base import JaxPeer, ValueAndGrad

ARGUMENTS = {"none": (), "weight": ("sample_weight",), "mask": ("mask",)}


class Ours(JaxPeer):
    """The loss is a constant of the program, as it is for all peers."""

    name = record.OURS
    module = "lossjax"

    def function(self, case: Case) -> Callable[..., jax.Array]:
        def loss(y_true: Any, y_pred: Any, *weights: Any) -> jax.Array:
            named = dict(zip(ARGUMENTS[case.weighting], weights, strict=True))
            return case.loss(y_true, y_pred, **named)

        return loss


class Traced(Ours):
    """The loss is an argument of the program: a new `delta` or `gamma` does not recompile."""

    name = "lossjax.traced"

    def value_and_grad(self, case: Case) -> ValueAndGrad | None:
        if not jax.tree.leaves(case.loss):
            return None  # it has no numbers that could be traced

        @jax.jit
        def run(loss: Any, *inputs: Any) -> tuple[Any, Any]:
            named = Case(loss, case.shape, case.dtype, case.weighting)
            return jax.value_and_grad(self.function(named), argnums=1)(*inputs)

        loss = jax.tree.map(jnp.asarray, case.loss)
        return lambda *inputs: run(loss, *inputs)
