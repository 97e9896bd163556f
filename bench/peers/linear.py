"""Libraries that compute the loss of a large vocabulary, and no other."""

from collections.abc import Callable
from typing import Any

import jax

from bench.cases import Case
from bench.peers.base import JaxPeer


class JaxCCE(JaxPeer):
    name = "jax-cce"
    module = "jax_cce"

    def function(self, case: Case) -> Callable[..., jax.Array] | None:
        loss = self.library.linear_cross_entropy

        def mean(labels: Any, y_pred: Any) -> jax.Array:
            hidden, kernel = y_pred
            return loss(hidden, kernel.T, labels)  # it takes (V, D)

        return mean if case.weighting == "none" else None


class Tokamax(JaxPeer):
    name = "tokamax"
    module = "tokamax"

    def function(self, case: Case) -> Callable[..., jax.Array] | None:
        loss = self.library.linear_softmax_cross_entropy_loss

        def mean(labels: Any, y_pred: Any) -> jax.Array:
            hidden, kernel = y_pred
            # The only implementation that runs everywhere and does not make the logits.
            options = {"reduction": "mean", "implementation": "chunked_xla"}
            return loss(hidden, labels, kernel, **options)

        return mean if case.weighting == "none" else None


LINEAR = (JaxCCE(), Tokamax())
