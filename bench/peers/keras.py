"""Keras 3 on its JAX backend: the class of the same name, with the same arguments."""

import functools
import importlib
import os
from collections.abc import Callable
from typing import Any

import jax

from bench.cases import Case
from bench.peers.base import JaxPeer


class Keras(JaxPeer):
    name = "keras"
    module = "keras"

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
        if case.weighting == "mask" and case.loss._declared.couples != "none":
            return None  # Keras masks the values, each of which is made of all rows
        if case.weighting == "mask":
            # Keras has no public way to hand a mask to a loss; its models set a private attribute
            # of y_pred. Weights of 0 and 1 under this reduction are the same number.
            config["reduction"] = "mean_with_sample_weight"
        loss = cls(**config)
        return lambda y_true, y_pred, *weights: loss(y_true, y_pred, *weights)
