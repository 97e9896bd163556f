"""Softmax and its relatives over the last axis, which may be sharded over `axis_name`.

Every function has a derivative rule that keeps one array of the size of the logits at most, and
is linear in the tangents: a rule is differentiated again like any other code.
"""

import functools
from typing import TypeAlias

import jax
from jax import numpy as jnp

from lossjax.core import check
from lossjax.core.types import Array
from lossjax.math.elementwise import finite, pick, xmuly
from lossjax.math.fusion import largest as largest_number
from lossjax.math.fusion import partials, settle

Name: TypeAlias = str | None
Pair: TypeAlias = tuple[Array, Array]
Triple: TypeAlias = tuple[Array, Array, Array]


def total(x: Array, axis_name: Name) -> Array:
    """The sum over the vocabulary."""
    x = jnp.sum(x, -1)
    return x if axis_name is None else jax.lax.psum(x, axis_name)


def size(z: Array, axis_name: Name) -> int:
    return z.shape[-1] * (1 if axis_name is None else jax.lax.axis_size(axis_name))


def classes(z: Array, axis_name: Name) -> Array:
    """The class numbers of the columns that are here."""
    here = jnp.arange(z.shape[-1])
    return here if axis_name is None else here + jax.lax.axis_index(axis_name) * z.shape[-1]


def without_padding(axis_name: Name, number: int | None, x: Array, fill: float) -> Array:
    """x with `fill` in the columns that are none of so many classes; None: all are."""
    return x if number is None else jnp.where(classes(x, axis_name)[None] < number, x, fill)


def lowest(z: Array) -> float:
    """A logit whose softmax is 0, finite even over the square of a temperature.

    The derivative by the temperature would be 0 * inf.
    """
    return -(largest_number(z) ** 0.75)


def capped(z: Array, cap: Array) -> Array:
    """c tanh(z / c)."""
    # inf * tanh(z / inf) would be NaN.
    is_finite = jnp.isfinite(cap)
    c = jnp.where(is_finite, cap, 1)
    return jnp.where(is_finite, c * jnp.tanh(z / c), z)


def largest(z: Array, axis_name: Name) -> Array:
    """The maximum, with a last axis of 1; has no derivative."""
    m = jnp.max(z, -1, keepdims=True, initial=-jnp.inf)
    return m if axis_name is None else jax.lax.pmax(m, axis_name)


def _minus(z: Array, m: Array) -> Array:
    """z - m, and 0 where both are inf: an infinite logit has won.

    Not as a `where` with a 0: that constant would be kept as an array of the size of z. z comes
    second because a NaN that comes first is dropped: see `fusion`.
    """
    m = finite(m)
    return jnp.minimum(m, z) - m


def _share(z: Array, m: Array, axis_name: Name) -> Array:
    e = jnp.exp(_minus(z, m))
    return e / total(e, axis_name)[:, None]


def _share_change(p: Array, dz: Array, axis_name: Name) -> Array:
    return p * (dz - total(p * dz, axis_name)[:, None])


# The shift of the exponents is found inside: jax 0.10 forgets the rule of a function in a scan
# that gets it as a constant argument.
@partials(lambda dz, p, axis_name, z: _share_change(p, dz, axis_name), static=1)
def softmax(axis_name: Name, z: Array) -> Array:
    return _share(z, largest(z, axis_name), axis_name)


@partials(
    lambda dz, _, axis_name, z: dz - total(softmax(axis_name, z) * dz, axis_name)[:, None], static=1
)
def log_softmax(axis_name: Name, z: Array) -> Array:
    # The maximum and the logarithm are kept apart: their rounded sum loses digits.
    shifted = _minus(z, largest(z, axis_name))
    return shifted - jnp.log(total(jnp.exp(shifted), axis_name))[:, None]


@partials(lambda dz, _, axis_name, z: total(softmax(axis_name, z) * dz, axis_name), static=1)
def log_sum_exp(axis_name: Name, z: Array) -> Array:
    m = largest(z, axis_name)
    return jnp.log(total(jnp.exp(_minus(z, m)), axis_name)) + m[:, 0]


def valid(labels: Array, z: Array, axis_name: Name) -> Array:
    return check.exists(labels, size(z, axis_name))


def _columns_here(axis_name: Name, listed: Array, z: Array) -> Array:
    """Of listed classes (tokens, k) their columns of z, and one too far for those not here."""
    columns = z.shape[-1]
    here = listed
    if axis_name is not None:
        here = listed - jax.lax.axis_index(axis_name) * columns
    # A negative index would count from the end.
    return jnp.where(check.exists(here, columns), here, columns)


def at_listed(axis_name: Name, listed: Array, z: Array) -> Array:
    """z (tokens, V) at the classes that are listed, (tokens, k); 0 for no class."""
    here = _columns_here(axis_name, listed, z)
    picked = jnp.take_along_axis(z, here, 1, mode="fill", fill_value=0)
    return picked if axis_name is None else jax.lax.psum(picked, axis_name)


def is_listed(axis_name: Name, listed: Array, z: Array) -> Array:
    """Which columns of z are among the classes that are listed."""
    here = _columns_here(axis_name, listed, z)
    return jax.vmap(lambda row: jnp.zeros(z.shape[-1], bool).at[row].set(True, mode="drop"))(here)


def _label_logit(labels: Array, z: Array, axis_name: Name) -> Pair:
    """The logit of each label, with a last axis of 1, and the maximum; equal for no class."""
    m = largest(z, axis_name)
    here = labels
    if axis_name is not None:
        here = labels - jax.lax.axis_index(axis_name) * z.shape[-1]
    picked, found = pick(z, here, -1)
    if axis_name is not None:
        picked = jax.lax.psum(jnp.where(found, picked, 0), axis_name)
    picked = jnp.where(valid(labels, z, axis_name)[:, None], picked[:, None], m)
    # No number changes, but the label's logit is read before exp(z) takes the place of z: one
    # buffer of logits in place of two.
    return picked, jnp.maximum(m, picked)


@partials(
    lambda dlabels, *_: dlabels,  # never called: integers have no tangent
    lambda dz, p, axis_name, labels, z: _share_change(p, dz, axis_name),
    static=1,
)
def _label_softmax(axis_name: Name, labels: Array, z: Array) -> Array:
    """softmax, by the same steps as `label_entropy`: they are made once."""
    return _share(z, _label_logit(labels, z, axis_name)[1], axis_name)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def label_entropy(axis_name: Name, number: int | None, labels: Array, z: Array) -> Triple:
    """-log softmax at the labels, the log-sum-exp, and the label's logit less the mean logit.

    The mean is that of so many classes, None for all. Not to be used where a label is out of range.
    """
    picked, m = _label_logit(labels, z, axis_name)
    log_s = jnp.log(total(jnp.exp(_minus(z, m)), axis_name))
    entropy = log_s - _minus(picked, m)[:, 0]
    gaps = without_padding(axis_name, number, picked - z, 0)
    return entropy, log_s + m[:, 0], total(gaps, axis_name) / (number or size(z, axis_name))


@label_entropy.defjvp
def _label_entropy_jvp(
    axis_name: Name, number: int | None, primals: Pair, tangents: Pair
) -> tuple[Triple, Triple]:
    (labels, z), (_, dz) = primals, tangents
    p = _label_softmax(axis_name, labels, z)
    hit = (labels[:, None] == classes(z, axis_name)[None]).astype(z.dtype)
    gap = without_padding(axis_name, number, hit - 1 / (number or size(z, axis_name)), 0)
    slopes = p - hit, p, gap
    by_entropy, by_log_sum, by_gap = (total(slope * dz, axis_name) for slope in slopes)
    return label_entropy(axis_name, number, labels, z), (by_entropy, by_log_sum, by_gap)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def target_entropy(axis_name: Name, t: Array, z: Array) -> Pair:
    """-Σ t log softmax, whatever the targets sum to, and the log-sum-exp."""
    m = largest(z, axis_name)
    shifted = _minus(z, m)
    log_s = jnp.log(total(jnp.exp(shifted), axis_name))
    entropy = -total(xmuly(t, shifted - log_s[:, None]), axis_name)
    return settle(entropy), log_s + m[:, 0]


@target_entropy.defjvp
def _target_entropy_jvp(axis_name: Name, primals: Pair, tangents: Pair) -> tuple[Pair, Pair]:
    (t, z), (dt, dz) = primals, tangents
    p, log_p = softmax(axis_name, z), log_softmax(axis_name, z)
    slope = total(t, axis_name)[:, None] * p - t
    change = total(slope * dz - dt * finite(log_p), axis_name)
    return target_entropy(axis_name, t, z), (change, total(p * dz, axis_name))


def _entropy_change(dz: Array, out: Array, axis_name: Name, z: Array) -> Array:
    p, log_p = softmax(axis_name, z), finite(log_softmax(axis_name, z))
    return -total(p * (log_p + out[:, None]) * dz, axis_name)


@partials(_entropy_change, static=1)
def entropy(axis_name: Name, z: Array) -> Array:
    """-Σ p log p of p = softmax(z)."""
    return -total(xmuly(softmax(axis_name, z), log_softmax(axis_name, z)), axis_name)


def first_largest(z: Array, axis_name: Name) -> Array:
    """The class of the largest logit, the first of equals."""
    z = jax.lax.stop_gradient(z)
    at = jnp.where(z == largest(z, axis_name), classes(z, axis_name)[None], size(z, axis_name))
    first = jnp.min(at, -1, initial=size(z, axis_name))
    return first if axis_name is None else jax.lax.pmin(first, axis_name)
