"""A loss with the data it is tried on, and what all probes ask of them."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import numpy as jnp

from lossjax._types import Array

SAMPLES = 8  # that the probes which try many inputs take


class Derivatives(NamedTuple):
    """Values per sample, and of their sum the gradient and one Hessian-vector product."""

    values: Any
    gradient: Any
    product: Any


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """`values` is the loss without reduction; `seen` what it returns for the data."""

    loss: Any
    values: Callable[[Any, Any], Any]
    y_true: Array
    y_pred: Array
    seen: Array

    def rows(self, index: Any) -> tuple[Array, Array]:
        """Some samples; a `y_true` without a batch axis is for all of them."""
        has_batch = self.y_true.ndim > 0 and self.y_true.shape[0] == self.y_pred.shape[0]
        return self.y_true[index] if has_batch else self.y_true, self.y_pred[index]

    @functools.cached_property
    def few(self) -> tuple[Array, Array]:
        """The first samples."""
        return self.rows(slice(SAMPLES))

    @property
    def is_per_sample(self) -> bool:
        return self.seen.ndim > 0 and self.seen.shape[0] == self.y_pred.shape[0]

    def scalar(self, y_true: Any, y_pred: Any) -> Any:
        """The sum of the values."""
        return jnp.sum(self.values(y_true, y_pred))

    @functools.cached_property
    def jitted(self) -> Any:
        """The values under jit."""
        return jax.jit(lambda t, p: self.values(t, p))

    @functools.cached_property
    def derivatives(self) -> Callable[[Any, Any], Derivatives]:
        """All at one point, compiled together; reverse over reverse, which all rules have."""

        def of(t: Any, p: Any) -> Derivatives:
            gradient, pull = jax.vjp(jax.grad(lambda q: self.scalar(t, q)), p)
            return Derivatives(self.values(t, p), gradient, *pull(direction(p)))

        return jax.jit(of)

    @functools.cached_property
    def is_probability(self) -> bool:
        """Whether all predictions lie in [0, 1]."""
        return bool(jnp.all((self.y_pred >= 0) & (self.y_pred <= 1)))

    @functools.cached_property
    def is_distribution(self) -> bool:
        """Whether the predictions of a sample sum to 1."""
        p = self.y_pred
        wide = self.is_probability and p.ndim > 1 and p.shape[-1] > 1
        return wide and bool(jnp.allclose(jnp.sum(p, -1), 1, atol=1e-3))

    @property
    def is_paired(self) -> bool:
        """Whether truth and prediction are alike: floats of one shape."""
        floating = jnp.issubdtype(self.y_true.dtype, jnp.floating)
        return floating and self.y_true.shape == self.y_pred.shape


def direction(p: Any) -> Any:
    """A fixed direction for derivatives, no entry of which is 0."""
    steps = np.random.default_rng(0).uniform(0.5, 1.5, p.shape)
    return jnp.asarray(np.where(np.arange(p.size).reshape(p.shape) % 2, steps, -steps), p.dtype)


def attempt(f: Callable[..., Any], *args: Any) -> tuple[Any, str]:
    """The result of `f` on the host, or what it raised."""
    try:
        return jax.tree.map(np.asarray, f(*args)), ""
    except Exception as error:  # whatever the loss of a user raises is a finding
        return None, raised(error)


def raised(error: Exception) -> str:
    """An exception in one line."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:160]}".rstrip(": ")


def is_finite(x: Any) -> bool:
    return bool(np.isfinite(np.asarray(x, float)).all())


def differ(a: Any, b: Any, rtol: float = 1e-4) -> bool:
    """Whether two results differ by more than the rounding of float32."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    if a.shape != b.shape:
        return True
    size = np.max(np.abs(b[np.isfinite(b)]), initial=1e-6)
    return not np.allclose(a, b, rtol=rtol, atol=rtol * size, equal_nan=True)


def where(bad: Any) -> str:
    """The position of the first true entry."""
    bad = np.asarray(bad)
    index = np.unravel_index(int(np.argmax(bad)), bad.shape)
    return f"[{', '.join(str(int(i)) for i in index)}]" if bad.ndim else "the value"
