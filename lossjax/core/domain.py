"""What inputs a loss takes: how to draw them, and what holds of them."""

import dataclasses
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from lossjax.core.texts import nearest, shown

Sampler: TypeAlias = Callable[[np.random.Generator, tuple[int, ...]], tuple[Any, Any]]

DOMAINS: dict[str, "Domain"] = {}


@dataclasses.dataclass(frozen=True, eq=False)
class Domain:
    """`draw` makes (y_true, y_pred) for a shape of y_pred, `shape` where none is asked for.

    `labelled` tells that y_true holds class numbers; `logits` is the domain of a loss that has
    from_logits=True.
    """

    name: str
    draw: Sampler
    labelled: bool = False
    logits: "Domain | None" = None
    shape: tuple[int, ...] = (8, 5)

    def __post_init__(self) -> None:
        DOMAINS[self.name] = self


def named(where: str, domain: Any) -> Domain:
    """The domain itself, or the one of that name."""
    if isinstance(domain, Domain):
        return domain
    if not isinstance(domain, str) or domain not in DOMAINS:
        raise ValueError(
            f"{where}: domain must be a Domain or one of {tuple(DOMAINS)}, got {shown(domain)}."
            f"{nearest(domain, DOMAINS)}"
        )
    return DOMAINS[domain]


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


def _hidden(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[np.ndarray, Any]:
    """Labels of seven classes, and (hidden states, kernel)."""
    hidden, kernel = rng.normal(size=shape), rng.normal(size=(shape[-1], 7))
    return rng.integers(0, 7, shape[:-1]), (hidden, kernel)


REAL = Domain("real", lambda rng, s: (rng.normal(size=s), rng.normal(size=s)))
POSITIVE = Domain("positive", lambda rng, s: (rng.gamma(2, size=s), rng.gamma(2, size=s)))
COUNT = Domain("count", lambda rng, s: (rng.poisson(2, s).astype(float), rng.gamma(2, size=s)))
DISTRIBUTION = Domain(
    "distribution", lambda rng, s: (_softmax(rng.normal(size=s)), _softmax(rng.normal(size=s)))
)
BINARY = Domain(
    "binary",
    lambda rng, s: (rng.integers(0, 2, s).astype(float), rng.uniform(0.02, 0.98, s)),
    logits=Domain(
        "binary logits",
        lambda rng, s: (rng.integers(0, 2, s).astype(float), rng.normal(0, 2, s)),
    ),
)
CLASS = Domain(
    "class",
    lambda rng, s: (_one_hot(rng, s), _softmax(rng.normal(size=s))),
    logits=Domain("class logits", lambda rng, s: (_one_hot(rng, s), rng.normal(0, 2, s))),
)
LABEL = Domain(
    "label",
    lambda rng, s: (rng.integers(0, s[-1], s[:-1]), _softmax(rng.normal(size=s))),
    labelled=True,
    logits=Domain(
        "label logits",
        lambda rng, s: (rng.integers(0, s[-1], s[:-1]), rng.normal(0, 2, s)),
        labelled=True,
    ),
)
SIGN = Domain("sign", lambda rng, s: (rng.choice([-1.0, 1.0], s), rng.normal(size=s)))
SCORE = Domain("score", lambda rng, s: (_one_hot(rng, s), rng.normal(size=s)))
REGION = Domain(
    "region", lambda rng, s: (rng.integers(0, 2, s).astype(float), rng.uniform(0, 1, s))
)
EMBEDDING = Domain(
    "embedding", lambda rng, s: (rng.integers(0, 3, s[0]), _unit(rng.normal(size=s))), labelled=True
)
SEQUENCE = Domain("sequence", _sequence, labelled=True, shape=(4, 6, 5))
HIDDEN = Domain("hidden", _hidden, labelled=True)
