"""Losses of the angle between vectors."""

import jax
from jax import numpy as jnp

from lossjax.core import check
from lossjax.core.loss import Loss, leaf, static
from lossjax.core.types import AXIS_NAME_TYPES, AXIS_TYPES, Array, Axis, AxisName, Hyper, Input
from lossjax.math import across, pairs
from lossjax.math.angle import cosine

__all__ = ["Circle", "CosineSimilarity", "circle", "cosine_similarity"]


def cosine_similarity(y_true: Input, y_pred: Input, axis: Axis = -1) -> Array:
    """-Σ u v, with u and v the two vectors divided by their norms, or by 1e-7 if that is larger.

    Use: vectors that are compared by direction alone. The gradient is 0 at the opposite direction
    too, and grows as `y_pred` shrinks. Not where lengths matter.

    Shapes: equal, ranks aligned; values without the axes `axis`. Range: -1 (same direction) to 1
    (opposite); 0 for a zero vector, where the derivative is finite (NaN in Keras on JAX).
    Raises ValueError for shapes that do not fit.
    Source: equal to `keras.losses.cosine_similarity`, minus sign included. Keras 3.15 leaves
    `axis` out of the config of its class; its later versions and lossjax do not.

    >>> print(cosine_similarity([[1.0, 0.0]], [[3.0, 4.0]]).round(4))
    [-0.6]
    """
    y_true, y_pred = check.pair("cosine_similarity", y_true, y_pred, align=True)
    y_true, y_pred = jnp.atleast_1d(y_true), jnp.atleast_1d(y_pred)
    return -cosine(y_true, y_pred, axis)


class CosineSimilarity(Loss):
    fn = cosine_similarity
    couples = "none"
    aliases = ("cosine_proximity",)
    domain = "direction"
    axis: Axis = static(default=-1, types=AXIS_TYPES)


def circle(
    y_true: Input,
    y_pred: Input,
    ref_labels: Input | None = None,
    ref_embeddings: Input | None = None,
    remove_diagonal: bool = True,
    gamma: Hyper = 80.0,
    margin: Hyper = 0.4,
    *,
    where: Input | None = None,
    axis_name: AxisName = None,
) -> Array:
    """softplus(logsumexp(-gamma a_p (m - d)) + logsumexp(gamma a_n (1 - m - d))).

    Use: embeddings, close within a class and apart between classes. A batch needs several samples
    of a class and several classes: a sample without a pair of each kind has no gradient.

    With m = `margin` and d = max(1 - cos, 0) the distance of a sample to each reference; the
    first sum runs over references of the same label with weight a_p = max(m + d, 0), the second
    over the others with a_n = max(1 + m - d, 0). Both weights are differentiated, as in Keras
    (the paper holds them fixed).

    Shapes: labels (B,) or (B, 1), embeddings (B, d) of norm 1 (not checked, not normalised);
    references (R,) and (R, d), by default the batch itself. `remove_diagonal` takes the pairs
    (i, i) out. `where` (B,) tells which samples there are: the others have the value 0 and are no
    references of the batch. It is the mask of the class; a weight, also of 0, is that of the value
    alone. Values (B,); 0, with derivative 0, for a sample without a reference of its own label or
    without one of another. The class averages over samples with a loss above 0.
    Inside `shard_map`, `axis_name` is the axis of the mesh, or a tuple of them, over which the
    batch is spread: its references are the samples of all devices. References that are given are
    the same on every device.
    Raises ValueError for wrong ranks and for a negative gamma.
    Source: Sun et al. (2020), arXiv:2002.10857, eq. 6; equal to `keras.losses.circle`.

    >>> print(circle([1, 1, 2], [[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]], gamma=10.0).round(4))
    [0.059  1.1711 0.    ]
    """
    check.within("circle", "gamma", gamma, "[0, inf)")
    check.within("circle", "margin", margin, "(-inf, inf)")
    y_pred = check.prediction("circle", y_pred)
    check.rank("circle", "y_pred", y_pred, "batch dimension")
    check.axis_name("circle", axis_name)
    if where is not None:
        where = check.entries("circle", "where", where, y_pred.shape[:1]).astype(bool)
        y_pred = jnp.where(where[:, None], y_pred, 0)
    labels = _one_each("y_true", y_true, y_pred)
    references, of_references, exists = across.gathered((y_pred, labels, where), axis_name)
    if ref_embeddings is not None:
        references = check.prediction("circle", ref_embeddings).astype(y_pred.dtype)
        exists = None
    if ref_labels is not None:
        of_references = _one_each("ref_labels", ref_labels, references)
    if where is not None:
        exists = where[:, None] & (True if exists is None else exists[None])
    itself = across.row_numbers(len(labels), axis_name) if remove_diagonal else None
    gamma, margin = jnp.asarray(gamma, y_pred.dtype), jnp.asarray(margin, y_pred.dtype)

    # A GPU would keep 10 bits of the factors, and gamma makes the error larger.
    similarity = jnp.matmul(y_pred, references.T, precision="highest")
    distance = jnp.maximum(1 - similarity, 0)
    kept = pairs.of_labels(labels, of_references, exists, itself)
    towards = -gamma * jnp.maximum(margin + distance, 0) * (margin - distance)
    apart = gamma * jnp.maximum(1 + margin - distance, 0) * (1 - margin - distance)
    score = pairs.log_sum_exp(towards, kept.same) + pairs.log_sum_exp(apart, kept.other)
    return jnp.where(kept.has_both, jax.nn.softplus(score), 0)


def _one_each(name: str, labels: Input, embeddings: Array) -> Array:
    labels = check.labels("circle", labels)
    if labels.shape not in (embeddings.shape[:1], (*embeddings.shape[:1], 1)):
        raise ValueError(
            f"circle: {name} must have shape {embeddings.shape[:1]}, one label for each "
            f"embedding, got {labels.shape}."
        )
    return labels.reshape(-1)


class Circle(Loss):
    fn = circle
    couples = "pairs"
    domain = "embedding"
    gamma: Hyper = leaf(default=80.0, interval="[0, inf)")
    margin: Hyper = leaf(default=0.4, interval="(-inf, inf)")
    remove_diagonal: bool = static(default=True)
    axis_name: AxisName = static(default=None, types=AXIS_NAME_TYPES, kw_only=True, beyond=True)

    def call(self, y_true: Array, y_pred: Array, where: Array | None = None) -> tuple[Array, Array]:
        values = circle(y_true, y_pred, where=where, **self.hyperparameters())
        return values, values > 0
