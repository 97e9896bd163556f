"""Libraries on JAX: lossjax itself, Keras, optax, and those for large vocabularies alone."""

import functools
import importlib
import os
from collections.abc import Callable
from typing import Any

import jax
from jax import numpy as jnp

from bench import record
from bench.cases import Case
from bench.peers.base import REDUCTIONS, JaxPeer, Table, ValueAndGrad

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


class Keras(JaxPeer):
    """On its JAX backend: the class of the same name, with the same arguments."""

    name = module = "keras"

    @functools.cached_property
    def library(self) -> Any:
        os.environ["KERAS_BACKEND"] = "jax"  # read when Keras is imported
        keras = importlib.import_module(self.module)
        if keras.backend.backend() != "jax":
            raise ImportError(f"keras was imported with the backend {keras.backend.backend()!r}")
        return keras

    def function(self, case: Case) -> Callable[..., jax.Array] | None:
        cls = getattr(self.library.losses, type(case.loss).__name__, None)
        if cls is None:
            return None
        config = case.loss.get_config()  # without what Keras does not have, at its default
        if case.weighting == "mask":
            if case.loss._declared.couples != "none":
                return None  # Keras masks the values, each of which is made of all rows
            # Keras has no public way to hand a mask to a loss; its models set a private attribute
            # of y_pred. Weights of 0 and 1 under this reduction are the same number.
            config["reduction"] = "mean_with_sample_weight"
        loss = cls(**config)
        return lambda y_true, y_pred, *weights: loss(y_true, y_pred, *weights)


class Optax(JaxPeer):
    """Its function of the same meaning, and `.mean()`, as its users write it."""

    name = module = "optax"

    def table(self) -> Table:
        """`(loss, y_true, y_pred) -> values`; a loss that is not here is one that optax lacks.

        Its `dice_loss` of probabilities raises under jit (optax 0.2.8), so it is not here either.
        """
        optax = self.library
        labelled = optax.softmax_cross_entropy_with_integer_labels
        return {
            "BinaryCrossentropy from logits": _called(optax.sigmoid_binary_cross_entropy),
            "CategoricalCrossentropy from logits": _called(optax.softmax_cross_entropy),
            "Hinge": _called(optax.hinge_loss),
            "LogCosh": _called(optax.log_cosh),
            "MeanSquaredError": _called(optax.squared_error),
            "SparseCategoricalCrossentropy from logits": _called(labelled),
            "BinaryFocalCrossentropy from logits": lambda loss, t, p: (
                optax.losses.sigmoid_focal_loss(p, t, gamma=loss.gamma)
            ),
            "CTC": lambda loss, t, p: optax.ctc_loss(
                p, jnp.zeros(p.shape[:2]), t, (t == 0).astype(p.dtype)
            ),
            "CosineSimilarity": lambda loss, t, p: -optax.cosine_similarity(p, t),
            "Huber": lambda loss, t, p: optax.huber_loss(p, t, delta=loss.delta),
            "KLDivergence": lambda loss, t, p: optax.kl_divergence(jnp.log(p), t),
            "LinearCrossEntropy": lambda loss, t, p: labelled(p[0] @ p[1], t),
        }

    def function(self, case: Case) -> Callable[..., jax.Array] | None:
        values, reduce = self.table().get(case.kind), REDUCTIONS[case.weighting]
        if values is None:
            return None
        return lambda y_true, y_pred, *weights: reduce(values(case.loss, y_true, y_pred), *weights)


def _called(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda loss, y_true, y_pred: function(y_pred, y_true)


class JaxCCE(JaxPeer):
    name, module = "jax-cce", "jax_cce"

    def function(self, case: Case) -> Callable[..., jax.Array] | None:
        loss = self.library.linear_cross_entropy
        if case.weighting != "none":
            return None
        return lambda labels, y_pred: loss(y_pred[0], y_pred[1].T, labels)  # it takes (V, D)


class Tokamax(JaxPeer):
    name = module = "tokamax"

    def function(self, case: Case) -> Callable[..., jax.Array] | None:
        loss = self.library.linear_softmax_cross_entropy_loss
        # The only implementation that runs everywhere and does not make the logits.
        how = {"reduction": "mean", "implementation": "chunked_xla"}
        if case.weighting != "none":
            return None
        return lambda labels, y_pred: loss(y_pred[0], labels, y_pred[1], **how)
