"""optax: its function of the same meaning, and `.mean()`, as its users write it."""

from collections.abc import Callable
from typing import Any

import jax
from jax import numpy as jnp

from bench.cases import Case
from bench.peers.base import JaxPeer, Table, masked, weighted


def _table(optax: Any) -> Table:
    """`(loss, y_true, y_pred) -> values`; a loss that is not here is one that optax lacks.

    Its `dice_loss` of probabilities raises under jit (optax 0.2.8), so it is not here either.
    """

    def ctc(t: Any, p: Any) -> Any:
        return optax.ctc_loss(p, jnp.zeros(p.shape[:2]), t, (t == 0).astype(p.dtype))

    return {
        "BinaryCrossentropy from logits": lambda loss, t, p: optax.sigmoid_binary_cross_entropy(
            p, t
        ),
        "BinaryFocalCrossentropy from logits": lambda loss, t, p: optax.losses.sigmoid_focal_loss(
            p, t, gamma=loss.gamma
        ),
        "CTC": lambda loss, t, p: ctc(t, p),
        "CategoricalCrossentropy from logits": lambda loss, t, p: optax.softmax_cross_entropy(p, t),
        "CosineSimilarity": lambda loss, t, p: -optax.cosine_similarity(p, t),
        "Hinge": lambda loss, t, p: optax.hinge_loss(p, t),
        "Huber": lambda loss, t, p: optax.huber_loss(p, t, delta=loss.delta),
        "KLDivergence": lambda loss, t, p: optax.kl_divergence(jnp.log(p), t),
        "LinearCrossEntropy": lambda loss, t, p: optax.softmax_cross_entropy_with_integer_labels(
            p[0] @ p[1], t
        ),
        "LogCosh": lambda loss, t, p: optax.log_cosh(p, t),
        "MeanSquaredError": lambda loss, t, p: optax.squared_error(p, t),
        "SparseCategoricalCrossentropy from logits": lambda loss, t, p: (
            optax.softmax_cross_entropy_with_integer_labels(p, t)
        ),
    }


class Optax(JaxPeer):
    name = "optax"
    module = "optax"

    def table(self) -> Table:
        return _table(self.library)

    def function(self, case: Case) -> Callable[..., jax.Array] | None:
        values = self.table().get(case.kind)
        if values is None:
            return None

        def loss(y_true: Any, y_pred: Any, *weights: Any) -> jax.Array:
            v = values(case.loss, y_true, y_pred)
            if case.weighting == "none":
                return v.mean()
            return (weighted if case.weighting == "weight" else masked)(v, *weights)

        return loss
