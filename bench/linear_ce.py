"""Large-vocabulary cross-entropy: lossjax beside what else computes it, at one set of sizes.

Every peer is a function of (hidden, kernel, labels) that returns (value, (gradient of hidden,
gradient of kernel)), float32; a peer that cannot be used says why in `missing`.
"""

import dataclasses
import importlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

import lossjax


@dataclasses.dataclass(frozen=True)
class Sizes:
    tokens: int = 2048
    features: int = 512
    classes: int = 32768

    @property
    def logits_bytes(self) -> int:
        return 4 * self.tokens * self.classes

    def inputs(self, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        hidden = rng.normal(size=(self.tokens, self.features)).astype(np.float32)
        kernel = rng.normal(size=(self.features, self.classes)) / np.sqrt(self.features)
        return hidden, kernel.astype(np.float32), rng.integers(0, self.classes, self.tokens)


@dataclasses.dataclass(frozen=True)
class Peer:
    """`loss(hidden, kernel, labels)` is a mean in JAX; torch comes as a finished function."""

    name: str
    module: str
    loss: Callable[..., Any] | None = None
    finished: Callable[..., Any] | None = None

    @property
    def missing(self) -> str | None:
        try:
            importlib.import_module(self.module)
        except ImportError as error:
            return str(error)
        return None

    def value_and_grad(self) -> Callable[..., Any]:
        if self.finished is not None:
            return self.finished
        return jax.jit(jax.value_and_grad(self.loss, (0, 1)))

    def temp_bytes(self, sizes: Sizes) -> int | None:
        """Of the compiled program, beyond inputs and gradients; None where it is not XLA's."""
        if self.finished is not None:
            return None
        program = self.value_and_grad().lower(*map(jnp.asarray, sizes.inputs())).compile()
        return program.memory_analysis().temp_size_in_bytes


def _lossjax(hidden: Any, kernel: Any, labels: Any) -> Any:
    return lossjax.linear_cross_entropy(labels, hidden, kernel)


def _dense(hidden: Any, kernel: Any, labels: Any) -> Any:
    import optax

    return optax.softmax_cross_entropy_with_integer_labels(hidden @ kernel, labels).mean()


def _jax_cce(hidden: Any, kernel: Any, labels: Any) -> Any:
    import jax_cce

    return jax_cce.linear_cross_entropy(hidden, kernel.T, labels)


def _tokamax(hidden: Any, kernel: Any, labels: Any) -> Any:
    import tokamax

    return tokamax.linear_softmax_cross_entropy_loss(
        hidden, labels, kernel, reduction="mean", implementation="chunked_xla"
    )


def _torch(hidden: np.ndarray, kernel: np.ndarray, labels: np.ndarray) -> Any:
    import torch

    x, w = (torch.from_numpy(np.asarray(a)).requires_grad_() for a in (hidden, kernel))
    loss = torch.nn.functional.cross_entropy(x @ w, torch.from_numpy(np.asarray(labels)))
    loss.backward()
    return loss, (x.grad, w.grad)


PEERS = (
    Peer("lossjax", "lossjax", _lossjax),
    Peer("optax", "optax", _dense),
    Peer("jax-cce", "jax_cce", _jax_cce),
    Peer("tokamax chunked_xla", "tokamax", _tokamax),
    Peer("torch", "torch", finished=_torch),
)
