"""Sample inputs for any loss, shared by tests, benchmarks and examples."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from lossjax.core.loss import Loss

__all__ = ["DOMAINS", "domain_of", "draw", "sample"]

Sampler: TypeAlias = Callable[[np.random.Generator, tuple[int, ...]], tuple[np.ndarray, np.ndarray]]


def _softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def _one_hot(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return np.eye(shape[-1])[rng.integers(0, shape[-1], shape[:-1])]


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def _sequence(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    batch, steps, classes = shape
    labels = rng.integers(1, classes, (batch, max(1, steps // 3)))
    lengths = rng.integers(0, labels.shape[1] + 1, (batch, 1))
    return np.where(np.arange(labels.shape[1]) < lengths, labels, 0), rng.normal(size=shape)


# (y_true, y_pred) for a shape of y_pred. "... logits" serve losses with from_logits=True.
DOMAINS: dict[str, Sampler] = {
    "real": lambda rng, s: (rng.normal(size=s), rng.normal(size=s)),
    "positive": lambda rng, s: (rng.gamma(2, size=s), rng.gamma(2, size=s)),
    "count": lambda rng, s: (rng.poisson(2, s).astype(float), rng.gamma(2, size=s)),
    "distribution": lambda rng, s: (_softmax(rng.normal(size=s)), _softmax(rng.normal(size=s))),
    "binary": lambda rng, s: (rng.integers(0, 2, s).astype(float), rng.uniform(0.02, 0.98, s)),
    "binary logits": lambda rng, s: (rng.integers(0, 2, s).astype(float), rng.normal(0, 2, s)),
    "class": lambda rng, s: (_one_hot(rng, s), _softmax(rng.normal(size=s))),
    "class logits": lambda rng, s: (_one_hot(rng, s), rng.normal(0, 2, s)),
    "label": lambda rng, s: (rng.integers(0, s[-1], s[:-1]), _softmax(rng.normal(size=s))),
    "label logits": lambda rng, s: (rng.integers(0, s[-1], s[:-1]), rng.normal(0, 2, s)),
    "sign": lambda rng, s: (rng.choice([-1.0, 1.0], s), rng.normal(size=s)),
    "score": lambda rng, s: (_one_hot(rng, s), rng.normal(size=s)),
    "region": lambda rng, s: (rng.integers(0, 2, s).astype(float), rng.uniform(0, 1, s)),
    "embedding": lambda rng, s: (rng.integers(0, 3, s[0]), _unit(rng.normal(size=s))),
    "sequence": _sequence,
}


def sample(
    loss: Loss | type[Loss], shape: tuple[int, ...] | None = None, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Random (y_true, y_pred) that suit `loss`: float32, labels as integers.

    `shape` is that of `y_pred`, by default (8, 5), or (4, 6, 5) for sequences.

    >>> from lossjax import losses
    >>> y_true, y_pred = sample(losses.SparseCategoricalCrossentropy)
    >>> y_true.shape, y_pred.shape
    ((8,), (8, 5))
    """
    return draw(domain_of(loss), shape, seed)


def domain_of(loss: Loss | type[Loss]) -> str:
    """Which of `DOMAINS` has the inputs that `loss` takes."""
    return loss.domain + (" logits" if getattr(loss, "from_logits", False) else "")


def draw(
    domain: str, shape: tuple[int, ...] | None = None, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """As `sample`, for one of `DOMAINS`."""
    if shape is None:
        shape = (4, 6, 5) if domain == "sequence" else (8, 5)
    y_true, y_pred = DOMAINS[domain](np.random.default_rng(seed), shape)
    if y_true.dtype == np.float64:
        y_true = y_true.astype(np.float32)
    return y_true, y_pred.astype(np.float32)
