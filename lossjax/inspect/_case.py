"""A loss with the data it is tried on, and what all probes ask of them."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import numpy as jnp

SAMPLES = 8  # that the probes which try many inputs take


class Derivatives(NamedTuple):
    """Values per sample, and of their sum the gradient and one Hessian-vector product."""

    values: Any
    gradient: Any
    product: Any


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """`values` is the loss without reduction; `seen` what it returns for the data.

    All arrays are NumPy's: what is made of them for a probe must not be compiled.
    """

    loss: Any
    values: Callable[[Any, Any], Any]
    y_true: np.ndarray
    y_pred: np.ndarray
    seen: np.ndarray
    packed: bool = False  # the columns of one array, or of both, are those of several
    traced: list[Any] = dataclasses.field(default_factory=list)  # what `jitted` compiled for

    def rows(self, index: Any) -> tuple[np.ndarray, np.ndarray]:
        """Some samples."""
        return rows(self.y_true, self.y_pred, index)

    @functools.cached_property
    def few(self) -> tuple[np.ndarray, np.ndarray]:
        """The first samples; all of them where the loss takes no other number."""
        first = self.rows(slice(SAMPLES))
        return self.rows(slice(None)) if attempt(self.run, *first)[1] else first

    @property
    def is_per_sample(self) -> bool:
        return self.seen.ndim > 0 and self.seen.shape[0] == self.y_pred.shape[0]

    def scalar(self, y_true: Any, y_pred: Any) -> Any:
        """The sum of the values."""
        return jnp.sum(self.values(y_true, y_pred))

    @functools.cached_property
    def jitted(self) -> Any:
        """The values under jit."""

        def run(t: Any, p: Any) -> Any:
            values = self.values(t, p)
            self.traced.append((t.shape, t.dtype, p.shape, p.dtype))
            return values

        return jax.jit(run)

    @functools.cached_property
    def compiled(self) -> tuple[Any, str]:
        """The values for the data under jit, or what it raises there."""
        return attempt(self.jitted, self.y_true, self.y_pred)

    @functools.cached_property
    def run(self) -> Callable[[Any, Any], Any]:
        """The values; under jit, one program in place of many, where that gives the same."""
        found, error = self.compiled
        return self.values if error or differ(found, self.seen) else self.jitted

    @functools.cached_property
    def derivatives(self) -> Callable[[Any, Any], Derivatives]:
        """All at one point, compiled together; reverse over reverse, which all rules have.

        Of a loss that is differentiable once the product is empty.
        """

        def of(t: Any, p: Any) -> Derivatives:
            def gradient(q: Any) -> Any:
                return jax.grad(self.scalar, argnums=1)(t, q)

            try:
                found, pull = jax.vjp(gradient, p)
                (product,) = pull(direction(p))
            except Exception:  # whatever the rule of a user raises
                found, product = gradient(p), jnp.zeros(0)
            return Derivatives(self.values(t, p), found, product)

        return jax.jit(of)

    @functools.cached_property
    def exact(self) -> Callable[[Any, Any], Any]:
        """Values and gradient, computed in float64 from the same numbers."""

        def of(t: Any, p: Any) -> Any:
            return self.values(t, p), jax.grad(self.scalar, argnums=1)(t, p)

        compiled = jax.jit(of)

        def run(t: Any, p: Any) -> Any:
            with jax.enable_x64(True):
                return attempt(compiled, cast(t, np.float64), cast(p, np.float64))

        return run

    @functools.cached_property
    def depends(self) -> str:
        """How the value of a sample depends on other samples; empty where it does not."""
        t, p = self.few
        together, _ = attempt(self.run, t, p)
        half, last = len(p) // 2, len(p) - 1
        others, _ = attempt(self.run, t, changed(p, slice(half, None), p[0]))
        if others is not None and differ(others[:half], together[:half]):
            return "The loss of a sample changes with the predictions of the others."
        for count in (1, last):
            fewer, error = attempt(self.run, *rows(t, p, slice(count)))
            if not error and (len(fewer) != count or differ(fewer, together[:count])):
                return f"A sample has another loss among {count} than among {len(p)}."
        poisoned, _ = attempt(self.run, t, changed(p, last, np.nan))
        if poisoned is not None and is_finite(together) and not is_finite(poisoned[:last]):
            return "A NaN in one sample reaches the values of the others."
        return ""

    @functools.cached_property
    def is_probability(self) -> bool:
        """Whether all predictions lie in [0, 1]."""
        return bool(np.all((self.y_pred >= 0) & (self.y_pred <= 1)))

    @functools.cached_property
    def is_distribution(self) -> bool:
        """Whether the predictions of a sample sum to 1."""
        p = self.y_pred
        wide = self.is_probability and not self.packed and p.ndim > 1 and p.shape[-1] > 1
        return wide and bool(np.allclose(np.sum(p, -1, dtype=float), 1, atol=1e-3))

    @property
    def is_paired(self) -> bool:
        """Whether truth and prediction are alike: floats of one shape."""
        floating = jnp.issubdtype(self.y_true.dtype, jnp.floating)
        return floating and not self.packed and self.y_true.shape == self.y_pred.shape


def rows(y_true: Any, y_pred: Any, index: Any) -> tuple[Any, Any]:
    """Some samples; a `y_true` without a batch axis is for all of them."""
    has_batch = y_true.ndim > 0 and y_true.shape[0] == y_pred.shape[0]
    return y_true[index] if has_batch else y_true, y_pred[index]


def direction(p: Any) -> Any:
    """A fixed direction for derivatives, no entry of which is 0."""
    steps = np.random.default_rng(0).uniform(0.5, 1.5, p.shape)
    return jnp.asarray(np.where(np.arange(p.size).reshape(p.shape) % 2, steps, -steps), p.dtype)


def changed(x: np.ndarray, index: Any, value: Any) -> np.ndarray:
    """A copy with other entries."""
    x = x.copy()
    x[index] = value
    return x


def cast(x: np.ndarray, dtype: Any) -> np.ndarray:
    """Floats in another dtype; whole numbers stay."""
    return x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x


def attempt(f: Callable[..., Any], *args: Any) -> tuple[Any, str]:
    """The result of `f` on the host, from arrays on the device, or what it raised."""
    try:
        return jax.tree.map(np.asarray, f(*jax.tree.map(jnp.asarray, args))), ""
    except Exception as error:  # whatever the loss of a user raises is a finding
        return None, raised(error)


def raised(error: Exception) -> str:
    """An exception in one sentence."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:160]}".rstrip(": .") + "."


def is_finite(x: Any) -> bool:
    return bool(np.isfinite(np.asarray(x, float)).all())


def differ(a: Any, b: Any) -> bool:
    """Whether two results differ by more than the rounding of float32, or of their dtype."""
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape:
        return True
    dtypes = [x.dtype for x in (a, b) if jnp.issubdtype(x.dtype, jnp.floating)]
    rtol = max([1e-4, *(16 * float(jnp.finfo(dtype).eps) for dtype in dtypes)])
    a, b = a.astype(float), b.astype(float)
    size = np.max(np.abs(b[np.isfinite(b)]), initial=1e-6)
    return not np.allclose(a, b, rtol=rtol, atol=rtol * size, equal_nan=True)


def where(bad: Any) -> str:
    """The position of the first true entry."""
    bad = np.asarray(bad)
    index = np.unravel_index(int(np.argmax(bad)), bad.shape)
    return f"[{', '.join(str(int(i)) for i in index)}]" if bad.ndim else "the value"
