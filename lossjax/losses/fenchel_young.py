"""Fenchel-Young losses of scores of several classes, whose probabilities may be 0."""

from jax import numpy as jnp

from lossjax.core import check
from lossjax.core.loss import Loss, static
from lossjax.core.types import Array, Input
from lossjax.math import entmax
from lossjax.math.elementwise import guarded, power, xmuly
from lossjax.math.fusion import partials, settle
from lossjax.math.softmax import below_largest, one_hot

__all__ = ["Entmax15", "FenchelYoung", "Sparsemax", "entmax15", "fenchel_young", "sparsemax"]

_BETA = {"sparsemax": 1, "entmax15": 2}  # 1 / (alpha - 1)


def fenchel_young(y_true: Input, y_pred: Input, *, regularizer: str = "entmax15") -> Array:
    """Σ (p - t) z - Ω(p) + Ω(t), t = `y_true`, z = `y_pred`; p has the largest Σ p z - Ω(p).

    Use: classes that exclude each other, where many are to have exactly no probability. A sample
    far enough on the right side has the loss 0 and no gradient.

    Ω(p) = Σ (p^a - p) / (a (a - 1)), with a = 2 for `regularizer="sparsemax"` (p is the nearest
    distribution to z) and a = 1.5 for "entmax15"; a → 1 would be the softmax with its
    cross-entropy. The gradient by z is p - t.
    Shapes: scores (..., classes); class numbers (...), integers, or targets of the shape of the
    scores, which sum to 1; values (...), in units of the score, 0 where p = t. A label out of
    range has the loss 0 and the derivative 0.
    Raises ValueError for other shapes and other regularizers.
    Source: Blondel et al. (2020), arXiv:1901.02324, eq. 14; Peters et al. (2019),
    arXiv:1905.05702. optax leaves Ω(t) out, which is 0 for class numbers.

    >>> print(fenchel_young([0, 1], [[3.0, 0.0], [0.5, 0.0]], regularizer="sparsemax"))
    [0.     0.5625]
    """
    check.choice("fenchel_young", "regularizer", regularizer, tuple(_BETA))
    return _fenchel_young("fenchel_young", y_true, y_pred, _BETA[regularizer])


def _fenchel_young(where: str, y_true: Input, y_pred: Input, beta: int) -> Array:
    y, z = check.truth_and_logits(where, y_true, y_pred)
    if check.is_targets(y):
        return settle(_conjugate_gap(beta, y, below_largest(z)))
    exists = check.exists(y, z.shape[-1])
    x = below_largest(guarded(z, exists[..., None]))
    return jnp.where(exists, settle(_conjugate_gap(beta, one_hot(y, z), x)), 0)


def _by_target(t: Array, x: Array, beta: int) -> Array:
    return beta * power(t, 1 / beta) - x


@partials(
    lambda dt, _, beta, t, x: jnp.sum(dt * _by_target(t, x, beta), -1),
    lambda dx, _, beta, t, x: jnp.sum(dx * (entmax.shares(beta, x) - t), -1),
    static=1,
)
def _conjugate_gap(beta: int, t: Array, x: Array) -> Array:
    p, a = entmax.shares(beta, x), 1 + 1 / beta
    return jnp.sum(xmuly(p - t, x) + (t**a - p**a) * (beta / a), -1)


class FenchelYoung(Loss):
    fn = fenchel_young
    couples = "none"
    domain = "label logits"
    regularizer: str = static(default="entmax15", types=(str,), kw_only=True)


def sparsemax(y_true: Input, y_pred: Input) -> Array:
    """(Σ over p > 0 of (z² - c²) + 1) / 2 - z_y; p = max(z - c, 0) sums to 1, z = `y_pred`.

    Use: `fenchel_young` with `regularizer="sparsemax"`, whose shapes and errors it has: the
    probabilities p are 0 for most classes, and the loss is 0 where z_y, of the class y = `y_true`,
    is above all others by 1.

    Values in units of the score squared; 0 or more.
    Source: Martins and Astudillo (2016), arXiv:1602.02068, eq. 27.

    >>> print(sparsemax([0, 1], [[3.0, 0.0], [0.5, 0.0]]))
    [0.     0.5625]
    """
    return _fenchel_young("sparsemax", y_true, y_pred, 1)


class Sparsemax(Loss):
    fn = sparsemax
    couples = "none"
    domain = "label logits"


def entmax15(y_true: Input, y_pred: Input) -> Array:
    """Σ (p - t) z + (1 - Σ p^1.5) 4/3 for one-hot t; p = max(z/2 - c, 0)² sums to 1, z = `y_pred`.

    Use: `fenchel_young` with `regularizer="entmax15"`, whose shapes and errors it has: between the
    softmax, where every class has a probability, and `sparsemax`. The loss is 0 where z of the
    class `y_true` is above all others by 2.

    Source: Peters et al. (2019), arXiv:1905.05702, eq. 8.

    >>> print(entmax15([0, 1], [[3.0, 0.0], [2.0, 0.0]]).round(4))
    [0. 2.]
    """
    return _fenchel_young("entmax15", y_true, y_pred, 2)


class Entmax15(Loss):
    fn = entmax15
    couples = "none"
    domain = "label logits"
