"""Where derivatives exist, vanish, blow up, and whether they are the slope of the value."""

from collections.abc import Iterator

import jax
import numpy as np
from jax import numpy as jnp

from lossjax._types import Array
from lossjax.inspect._case import Case, attempt, direction, is_finite, raised, where
from lossjax.inspect._report import Finding

_LARGE = 1e4


def differentiable(case: Case) -> Iterator[Finding]:
    """Differentiable in `y_pred`, how often, and where is the gradient zero or not finite?"""
    name = "gradient"
    found, error = attempt(case.derivatives, case.y_true, case.y_pred)
    if error:
        first, error = attempt(jax.jit(jax.grad(case.scalar, argnums=1)), case.y_true, case.y_pred)
        if error:
            fix = "Use differentiable operations of jax.numpy; y_pred must be floating."
            yield Finding(name, "error", f"No gradient by y_pred: {error}", fix)
        else:
            cause = f"Differentiable once, not twice; the gradient has shape {first.shape}."
            fix = "Give the custom rule a derivative of its own; jax.custom_jvp does."
            yield Finding(name, "warning", cause, fix)
        return
    values, gradient, product = found
    if not is_finite(gradient):
        bad = ~np.isfinite(gradient)
        cause = f"{bad.sum()} of {bad.size} entries are NaN or infinite, the first at {where(bad)}."
        yield Finding(name, "error", cause, "See the finding on edges for the kind of input.")
    elif gradient.size and not gradient.any():
        yield Finding(
            name,
            "error",
            "Zero everywhere: nothing is learnt.",
            "Look for argmax, round, sign, comparisons, casts to int and stop_gradient.",
        )
    else:
        yield _zeros(name, values, gradient)
    yield from _orders(case, product)


def _zeros(name: str, values: np.ndarray, gradient: np.ndarray) -> Finding:
    if values.shape != gradient.shape[: values.ndim] or not values.ndim:
        return Finding(name, "ok", "Finite at every sample.")
    dead = ~gradient.reshape(*values.shape, -1).any(-1)
    stuck = dead & (values > 1e-5 * np.abs(values).max())
    if stuck.any():
        return Finding(
            name,
            "warning",
            f"Zero at {stuck.sum()} of {stuck.size} samples that have a loss above 0, the first at "
            f"{where(stuck)}: they are not learnt from.",
            "Look for clipping (jnp.clip has no gradient outside), saturation and comparisons.",
        )
    rest = f"; zero at {dead.sum()} of {dead.size}, whose loss is 0 too" if dead.any() else ""
    return Finding(name, "ok", f"Finite at every sample{rest}.")


def _orders(case: Case, product: np.ndarray) -> Iterator[Finding]:
    t, p = case.few

    def forward(p: Array, v: Array) -> tuple[Array, ...]:
        def scalar(q: Array) -> Array:
            return case.scalar(t, q)

        return tuple(jax.jvp(f, (p,), (v,))[1] for f in (scalar, jax.grad(scalar)))

    try:
        jax.eval_shape(forward, p, direction(p))
        error = ""
    except Exception as problem:  # whatever the rule of a user raises
        error = raised(problem)
    if error:
        fix = "Use jax.custom_jvp in place of jax.custom_vjp."
        yield Finding("jvp", "warning", f"No forward mode, so no jvp and no hessian: {error}", fix)
    elif not is_finite(product):
        cause = (
            f"The second derivative is NaN or infinite, first at {where(~np.isfinite(product))}."
        )
        yield Finding("jvp", "warning", cause, "See the finding on edges for the kind of input.")
    elif product.size and not product.any():
        cause = "Forward and reverse mode; the second derivative is 0 everywhere on this data."
        yield Finding("jvp", "note", cause)
    else:
        yield Finding("jvp", "ok", "Forward and reverse mode, twice.")


def slope(case: Case) -> Iterator[Finding]:
    """Is the gradient the slope of the value, by differences in float64?"""
    name, step = "slope", 1e-6
    t, p = case.few
    with jax.enable_x64(True):
        t64 = t.astype(jnp.float64) if jnp.issubdtype(t.dtype, jnp.floating) else t
        p64 = p.astype(jnp.float64)
        v = direction(p64)
        scalar = jax.jit(case.scalar)
        high, error = attempt(scalar, t64, p64 + step * v)
        low, _ = attempt(scalar, t64, p64 - step * v)
        gradient, _ = attempt(jax.jit(jax.grad(case.scalar, argnums=1)), t64, p64)
    if error or gradient is None or high.dtype != np.float64 or not is_finite(gradient):
        return  # cast to float32 inside: differences would be rounding
    measured, claimed = (high - low) / (2 * step), np.sum(gradient * np.asarray(v))
    size = np.sum(np.abs(gradient * np.asarray(v))) + abs(measured) + 1e-12
    if abs(measured - claimed) > 1e-4 * size:
        yield Finding(
            name,
            "warning",
            f"By differences the slope along one direction is {measured:.6g}, by the gradient "
            f"{claimed:.6g}.",
            "Meant with stop_gradient, and normal at a kink; otherwise mend the custom rule.",
        )
    else:
        yield Finding(name, "ok", "The gradient is the slope that differences in float64 measure.")


def edges(case: Case) -> Iterator[Finding]:
    """Value, gradient and Hessian-vector product at the edges of the domain."""
    t, p = case.few
    count = 0
    for label, truth, prediction, fix in _points(case, t, p):
        found, error = attempt(case.derivatives, truth, prediction)
        if error:
            return  # asked by `differentiable`
        count += 1
        bad = [n for n, x in zip(found._fields, found, strict=True) if not is_finite(x)]
        if not bad:
            continue
        only_second = bad == ["product"]
        overflow = not np.isnan(found.values).any() and not np.isnan(found.gradient).any()
        mild = only_second or (overflow and label.startswith("y_pred = ±"))
        kinds = {"values": "value", "gradient": "gradient", "product": "second derivative"}
        yield Finding(
            "edges",
            "warning" if mild else "error",
            f"At {label}: {', '.join(_worst(kinds[n], getattr(found, n)) for n in bad)}.",
            fix,
        )
        return
    yield Finding("edges", "ok", f"Value, gradient and second derivative finite at {count} edges.")


def _worst(name: str, x: np.ndarray) -> str:
    return f"{name} {'NaN' if np.isnan(x).any() else 'infinite'}"


def _points(case: Case, t: Array, p: Array) -> Iterator[tuple[str, Array, Array, str]]:
    """(what, y_true, y_pred, how to mend a loss that fails there)."""
    log = (
        "Clip before the log, jnp.log(jnp.clip(p, 1e-7, 1)), or compute from logits "
        "(jax.nn.log_softmax, jax.nn.softplus)."
    )
    norm = (
        "sqrt, norm and division have no derivative at 0, and where(x == 0, 0, f(x)) still "
        "differentiates f: select the input too, f(where(x == 0, 1, x))."
    )
    if case.is_distribution:
        for label, column in (("all mass on the first class", 0), ("all mass on the last", -1)):
            yield label, t, jnp.zeros_like(p).at[..., column].set(1), log
    elif case.is_probability:
        for value in (0, 1):
            yield f"y_pred = {value}", t, jnp.full_like(p, value), log
    if case.is_paired:
        yield "y_pred = y_true", t, t.astype(p.dtype), log if case.is_probability else norm
    if case.is_probability:
        return
    yield "y_pred = 0", t, jnp.zeros_like(p), norm
    if case.is_paired and not case.is_probability:
        yield "y_true = y_pred = 0", jnp.zeros_like(t), jnp.zeros_like(p), norm
    large = "Use forms that do not overflow: jax.nn.softplus, logsumexp, jnp.logaddexp."
    signs = jnp.where(jnp.arange(p.size).reshape(p.shape) % 2, 1, -1)
    if bool(jnp.all(p >= 0)):
        yield f"y_pred = {_LARGE:g}", t, jnp.full_like(p, _LARGE), large
    else:
        for sign in (1, -1):
            yield f"y_pred = ±{_LARGE:g}", t, (sign * _LARGE * signs).astype(p.dtype), large
