"""Losses of the angle between vectors."""

import jax
import numpy as np
from mpmath import mp

from cases import Case, Elsewhere
from exact import EPS, dot, largest, row_largest
from lossjax import losses
from samples import CLASSES, magnitudes


def cosine_similarity(t, p, axis=-1):
    norms = [max(mp.sqrt(dot(x, x)), EPS) for x in (t, p)]
    return -dot(t, p) / (norms[0] * norms[1])


def lengths(x):
    return np.sqrt(np.sum(x * x, -1, keepdims=True))


def of_cosine(t, p, _):
    u, v, length = t / lengths(t), p / lengths(p), lengths(p)
    value = row_largest(u * v)
    return value, largest(u, value[:, None] * v) / length


def vectors(rng):
    """Of every length from 1e-15 to 1e16, parallel, orthogonal and between."""
    n = 80
    t = rng.normal(size=(n, CLASSES))
    noise = 10.0 ** rng.uniform(-8, 1, (n, 1)) * rng.normal(size=(n, CLASSES))
    length = [magnitudes(rng, -15, 16, (n, 1)) for _ in range(2)]
    return np.float32(t * length[0]), np.float32((t + noise) * length[1])


def circle(labels, embeddings, gamma=80.0, margin=0.4):
    """The sum over a batch of unit vectors, given one after the other."""
    width = len(embeddings) // len(labels)
    vectors = [embeddings[i : i + width] for i in range(0, len(embeddings), width)]

    def value(i):
        same, other = [], []
        for j, vector in enumerate(vectors):
            d = max(1 - dot(vectors[i], vector), 0)
            if labels[i] != labels[j]:
                other.append(gamma * max(1 + margin - d, 0) * (1 - margin - d))
            elif i != j:
                same.append(-gamma * max(margin + d, 0) * (margin - d))
        if not same or not other:
            return mp.zero
        return mp.log(1 + mp.fsum(map(mp.exp, same)) * mp.fsum(map(mp.exp, other)))

    return mp.fsum(map(value, range(len(vectors))))


def of_circle(t, p, config):
    """Distances are rounded at 1, and enter multiplied by gamma."""
    gamma = config.get("gamma", 80.0)
    return np.full(len(t), gamma), np.full(p.shape, gamma * gamma)


CASES = (
    Case(
        losses.CosineSimilarity,
        ({}, {"axis": 0}),
        exact=cosine_similarity,
        elsewhere=(
            Elsewhere("torch", "F.cosine_similarity(y_pred, y_true).mean()", times=-1.0),
            Elsewhere("optax", "optax.losses.cosine_similarity(y_pred, y_true).mean()", times=-1.0),
        ),
        sizes=of_cosine,
        inputs=vectors,
        ulps=(6, 6),  # rsqrt
        lost_by_keras=("axis",),
        residuals=1,
        extra=5,
    ),
    Case(
        losses.Circle,
        ({}, {"gamma": 10.0, "margin": 0.2}),
        exact=circle,
        sizes=of_circle,
        ulps=(3, 8),
    ),
)


def test_circle_has_all_bits_of_its_products():
    """Whatever the precision of the model's is."""
    with jax.default_matmul_precision("bfloat16"):
        program = jax.make_jaxpr(jax.grad(lambda p: losses.Circle()(np.arange(4) % 2, p)))
        text = str(program(np.float32(np.eye(4))))
    assert text.count("dot_general") == text.count("Precision.HIGHEST, Precision.HIGHEST") > 1
