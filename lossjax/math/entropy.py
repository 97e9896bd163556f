"""Cross-entropies of an entry and their focal forms, with derivatives of their own.

The rules of `elementwise` hold here too.
"""

from collections.abc import Callable

import jax
from jax import numpy as jnp

from lossjax.core.types import Array, Hyper
from lossjax.math.elementwise import EPSILON, finite, log1p, log1p_in_loop, power, probability
from lossjax.math.fusion import at_least, at_most, bounded, is_small, largest, partials


def smoothing_amount(label_smoothing: Hyper, dtype: jnp.dtype) -> Array | None:
    """None where there is nothing to smooth: XLA would multiply by 1 and add 0."""
    none = isinstance(label_smoothing, (int, float)) and label_smoothing == 0
    return None if none else jnp.asarray(label_smoothing, dtype)


def smoothed(t: Array, amount: Array | None, classes: int) -> Array:
    return t if amount is None else t * (1 - amount) + amount / classes


def class_count(t: Array) -> int:
    return max(1, t.shape[-1]) if t.ndim else 1


def known_exponent(gamma: Hyper) -> float:
    """A positive Python number, an int where it is whole; 0 for what is traced."""
    if not isinstance(gamma, (int, float)) or gamma <= 0:
        return 0
    return int(gamma) if gamma in range(1, 9) else float(gamma)


def _power_less_1(x: Array, y: Hyper) -> Array:
    """x ** (y - 1), to be multiplied by 0 where x = 0: there it is huge in place of infinite."""
    return power(x if isinstance(y, int) else at_least(1e-37, x), y - 1)


@partials(lambda dz, _, z: dz * jnp.where(z > 0, -1, 1))
def _negative_size(z: Array) -> Array:
    """-|z|, at 0 with the slope of z < 0, which `sigmoids` needs there."""
    return -jnp.abs(z)


def sigmoids(z: Array) -> tuple[Array, Array]:
    """σ(z) and σ(-z), both with all digits, from one exponential."""
    e = jnp.exp(_negative_size(z))
    near = 1 / (1 + e)
    return jnp.where(z > 0, near, e * near), jnp.where(z > 0, e * near, near)


def _sigmoid_slope(z: Array) -> Array:
    return sigmoid(z) * sigmoid(-z)


@partials(lambda dz, _, z: dz * _sigmoid_slope(z))
def sigmoid(z: Array) -> Array:
    """σ(z) with a slope that has all digits where σ(z) is nearly 1."""
    return jax.nn.sigmoid(z)


def _by_logit(t: Array, u: Array, z: Array) -> Array:
    # σ(z) - t would round to 0 as soon as σ(z) rounds to t = 1.
    p, not_p = sigmoids(z)
    return u * p - t * not_p


def binary_cross_entropy(t: Array, u: Array, z: Array) -> Array:
    """-t log σ(z) - u log σ(-z) for t + u = 1; 0 at the perfect infinite logit.

    u is an argument because 1 - t loses the digits of a smoothed label.
    """
    return _entropy(log1p, t, u, z)


@partials(
    lambda dt, _, log1p, t, u, z: dt * finite(jax.nn.softplus(-z)),
    lambda du, _, log1p, t, u, z: du * finite(jax.nn.softplus(z)),
    lambda dz, _, log1p, t, u, z: dz * _by_logit(t, u, z),
    static=1,
)
def _entropy(log1p: Callable[[Array], Array], t: Array, u: Array, z: Array) -> Array:
    x = bounded(z)
    return u * at_least(0.0, x) - t * at_most(0.0, x) + log1p(jnp.exp(_negative_size(z)))


@partials(
    lambda dt, _, t, u, z: dt * finite(jax.nn.softplus(-z)),
    lambda du, _, t, u, z: du * finite(jax.nn.softplus(z)),
    lambda dz, _, t, u, z: dz * _by_logit(t, u, z),
)
def weighted_cross_entropy(t: Array, u: Array, z: Array) -> Array:
    """As `binary_cross_entropy`, for any t and u ≥ 0."""
    x = bounded(z)
    tail = (t + u) * log1p_in_loop(jnp.exp(_negative_size(z)))
    return u * at_least(0.0, x) - t * at_most(0.0, x) + tail


@partials(
    lambda dt, _, t, u, p: -dt / p,
    lambda du, _, t, u, p: du / (1 - p),
    lambda dp, _, t, u, p: dp * (t / p / p + u / (1 - p) / (1 - p)),
)
def _by_probability(t: Array, u: Array, p: Array) -> Array:
    # u / (1 - p) - t / p with one division; differentiated as it is, it would lose its digits.
    return (u * p - t * (1 - p)) / (p * (1 - p))


@partials(
    lambda dt, _, t, u, p: -dt * jnp.log(p),
    lambda du, _, t, u, p: -du * log1p(-p),
    lambda dp, _, t, u, p: dp * _by_probability(t, u, p),
)
def _of_probability(t: Array, u: Array, p: Array) -> Array:
    return -(t * jnp.log(p) + u * log1p(-p))


def probability_entropy(t: Array, u: Array, p: Array) -> Array:
    """-t log p - u log(1 - p), with p clipped."""
    return _of_probability(t, u, probability(p))


def _wrongness(t: Array, u: Array, z: Array) -> tuple[Array, Array, Array, Array]:
    """σ(z), σ(-z), 1 - p_t and the entropy."""
    # At an infinite logit the entropy is infinite and 1 - p_t has slope 0: finite() makes
    # their product the limit 0.
    z = finite(z)
    p, not_p = sigmoids(z)
    return p, not_p, t * not_p + u * p, _entropy(log1p_in_loop, t, u, z)


def _focal_by_label(t: Array, u: Array, z: Array, gamma: Hyper, sign: int) -> Array:
    p, not_p, wrongness, entropy = _wrongness(t, u, z)
    slope = gamma * _power_less_1(wrongness, gamma) * entropy * (p if sign > 0 else not_p)
    return slope + power(wrongness, gamma) * finite(jax.nn.softplus(sign * z))


def _focal_by_z(t: Array, u: Array, z: Array, gamma: Hyper) -> Array:
    p, not_p, wrongness, entropy = _wrongness(t, u, z)
    inner = gamma * entropy * (u - t) * (p * not_p) + wrongness * (u * p - t * not_p)
    return _power_less_1(wrongness, gamma) * inner


def _focal_by_gamma(t: Array, u: Array, z: Array, gamma: Hyper) -> Array:
    _, _, wrongness, entropy = _wrongness(t, u, z)
    return power(wrongness, gamma) * jnp.log(jnp.where(wrongness == 0, 1, wrongness)) * entropy


@partials(
    lambda dt, _, n, t, u, z, gamma: dt * _focal_by_label(t, u, z, n or gamma, -1),
    lambda du, _, n, t, u, z, gamma: du * _focal_by_label(t, u, z, n or gamma, 1),
    lambda dz, _, n, t, u, z, gamma: dz * _focal_by_z(t, u, z, n or gamma),
    lambda dgamma, _, n, t, u, z, gamma: dgamma * _focal_by_gamma(t, u, z, gamma),
    static=1,
)
def binary_focal(n: float, t: Array, u: Array, z: Array, gamma: Array) -> Array:
    """(1 - p_t)^gamma times the binary cross-entropy of the logits z; gamma = n unless n is 0.

    1 - p_t is a sum of two terms ≥ 0, so that it keeps its digits where p_t rounds to 1.
    """
    if is_small(t, z):  # the steps of the derivative, which are made once
        _, _, wrongness, entropy = _wrongness(t, u, z)
    else:
        wrongness = t * jax.nn.sigmoid(-z) + u * jax.nn.sigmoid(z)
        entropy = binary_cross_entropy(t, u, z)
    return power(wrongness, n or gamma) * entropy


def _focal_by_log_q(log_q: Array, gamma: Hyper) -> Array:
    u = -jnp.expm1(log_q)
    # q log q is 0 at q = 0
    inner = gamma * jnp.exp(log_q) * at_least(-largest(log_q), log_q) - u
    return _power_less_1(u, gamma) * inner


def _focal_by_exponent(log_q: Array, gamma: Array) -> Array:
    u = -jnp.expm1(log_q)
    return -power(u, gamma) * jnp.log(jnp.where(u == 0, 1, u)) * finite(log_q)


@partials(
    lambda dlog_q, _, n, log_q, gamma: dlog_q * _focal_by_log_q(log_q, n or gamma),
    lambda dgamma, _, n, log_q, gamma: dgamma * _focal_by_exponent(log_q, gamma),
    static=1,
)
def focal(n: float, log_q: Array, gamma: Array) -> Array:
    """-(1 - q)^gamma log q; gamma = n unless n is 0."""
    return -power(-jnp.expm1(log_q), n or gamma) * log_q


@partials(
    lambda dp, out, p, q: dp * jnp.where(p == 0, 0, (q - 1) * finite(out / _positive(p))),
    lambda dq, out, p, q: dq * out * jnp.log(_positive(p)),
)
def _box_cox_by_p(p: Array, q: Array) -> Array:
    positive = _positive(p)
    return -jnp.power(positive, q) / positive  # q - 1 as an exponent would be rounded


def _positive(p: Array) -> Array:
    # The slope at p = 0 is -inf; that at EPSILON is a finite push in the same direction.
    return jnp.where(p == 0, EPSILON, p)


def _box_cox_by_q(p: Array, q: Array) -> Array:
    log_p = jnp.log(jnp.where(p == 0, 1, p))
    return -(jnp.power(p, q) * log_p + box_cox(p, q)) / q


@partials(
    lambda dp, _, p, q: dp * _box_cox_by_p(p, q), lambda dq, _, p, q: dq * _box_cox_by_q(p, q)
)
def box_cox(p: Array, q: Array) -> Array:
    """(1 - p^q)/q for 0 <= p: -log p in the limit q = 0, and exact near p = 1."""
    return -jnp.expm1(q * jnp.log(p)) / q
