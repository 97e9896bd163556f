"""Where derivatives exist, vanish, blow up, and whether they are the slope of the value."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import numpy as jnp

from lossjax.core.types import Array
from lossjax.inspect._case import Case, attempt, changed, direction, is_finite, raised, where
from lossjax.inspect._report import SEVERITIES, Finding, Severity

_LARGE = 1e4
_LOOK = "See the finding on edges for the kind of input."


def differentiable(case: Case) -> Iterator[Finding]:
    """Differentiable in `y_pred`, how often, and where is the gradient zero or not finite?"""
    found, error = attempt(case.derivatives, case.y_true, case.y_pred)
    if error:
        fix = "Return floats, made of y_pred by differentiable operations of jax.numpy."
        yield Finding("gradient", "error", f"No gradient by y_pred: {error}", fix)
        for name in ("jvp", "hessian"):
            yield Finding(name, "skipped", "There is no gradient.")
        return
    yield _gradient(found.values, found.gradient)
    t, p = case.few

    def first(q: Array) -> Array:
        return case.scalar(t, q)

    error = _lowered(lambda q: jax.jvp(first, (q,), (direction(q),))[1], p)
    if error:
        fix = "Use jax.custom_jvp in place of jax.custom_vjp."
        yield Finding("jvp", "warning", f"No forward mode: {error}", fix)
    else:
        yield Finding("jvp", "ok", "Forward mode works.")
    yield _hessian(found.product, first, p)


def _gradient(values: np.ndarray, gradient: np.ndarray) -> Finding:
    name = "gradient"
    if not is_finite(gradient):
        bad = ~np.isfinite(gradient)
        cause = f"{bad.sum()} of {bad.size} entries are NaN or infinite, the first at {where(bad)}."
        return Finding(name, "error", cause, _LOOK)
    if gradient.size and not gradient.any():
        if not values.any():
            return Finding(name, "note", "Zero everywhere, as the loss is on this data.")
        fix = "Look for argmax, round, sign, comparisons, casts to int and stop_gradient."
        return Finding(name, "error", "Zero everywhere: nothing is learnt.", fix)
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


def _hessian(product: np.ndarray, first: Callable[[Array], Array], p: np.ndarray) -> Finding:
    """How often it is differentiable, and what the second derivative is."""
    name = "hessian"

    def along(f: Callable[[Array], Array]) -> Callable[[Array], Array]:
        return lambda q: jnp.sum(jax.grad(f)(q) * direction(q))

    def forward(q: Array) -> Array:
        return jax.jvp(jax.grad(first), (q,), (direction(q),))[1]

    if not product.size and p.size:
        error = _lowered(jax.grad(along(first)), p)
        fix = "Give the custom rule a derivative of its own; jax.custom_jvp does."
        return Finding(name, "warning", f"Differentiable once, not twice: {error}", fix)
    if not is_finite(product):
        cause = f"The second derivative is not finite, first at {where(~np.isfinite(product))}."
        return Finding(name, "warning", cause, _LOOK)
    error = _lowered(forward, p)
    if error:
        fix = "Use jax.custom_jvp in place of jax.custom_vjp."
        return Finding(name, "warning", f"Not forward over reverse: {error}", fix)
    if product.size and not product.any():
        return Finding(name, "note", "The second derivative is 0 everywhere on this data.")
    third = _lowered(jax.grad(along(along(first))), p)
    return Finding(name, "ok", f"Differentiable twice, {'not' if third else 'and'} three times.")


def _lowered(f: Callable[[Array], Any], p: np.ndarray) -> str:
    """What `f` raises up to compilation: a rule that is missing is missed that late."""
    try:
        jax.jit(f).lower(p)
    except Exception as error:  # whatever the rule of a user raises
        return raised(error)
    return ""


def slope(case: Case) -> Iterator[Finding]:
    """Is the gradient the slope of the value, by differences in float64?"""
    name, step = "slope", 1e-6
    t, p = case.few
    p, v = p.astype(float), np.asarray(direction(p), float)
    at = {k: case.exact(t, p + k * step * v) for k in (-2, -1, 0, 1, 2)}
    if at[0][1]:
        yield Finding(name, "skipped", f"Not computed in float64: {at[0][1]}")
        return
    sums = {k: np.sum(found[0], dtype=float) for k, (found, _) in at.items()}
    measured, twice = ((sums[k] - sums[-k]) / (2 * k * step) for k in (1, 2))
    gradient = at[0][0][1]
    claimed, size = np.sum(gradient * v), np.sum(np.abs(gradient * v)) + abs(measured) + 1e-12
    if not is_finite((measured, twice, claimed)):
        yield Finding(name, "skipped", "Values or gradient are not finite.")
    elif abs(measured - twice) > 1e-5 * size:
        # A kink, or values that are rounded to float32 inside: differences tell nothing.
        yield Finding(name, "skipped", "Differences of two widths disagree: rounding, or a kink.")
    elif abs(measured - claimed) > 1e-4 * size:
        yield Finding(
            name,
            "warning",
            f"By differences the slope along one direction is {measured:.6g}, by the gradient "
            f"{claimed:.6g}.",
            "Meant with stop_gradient; otherwise mend the custom rule.",
        )
    else:
        yield Finding(name, "ok", "The gradient is the slope that differences in float64 measure.")


class _Edge(NamedTuple):
    """`how` says what counts there: all, no overflow ("large"), or only NaN ("infinite")."""

    label: str
    y_true: Any
    y_pred: Any
    fix: str
    how: str = "all"


def edges(case: Case) -> Iterator[Finding]:
    """Value, gradient and Hessian-vector product at the edges of the domain."""
    found = [(edge.label, _at(case, edge)) for edge in _edges(case)]
    asked = [(label, finding) for label, finding in found if finding is not None]
    if not asked:
        yield Finding("edges", "skipped", "There is no gradient.")
        return
    worst = max((finding for _, finding in asked), key=lambda f: SEVERITIES.index(f.severity))
    if worst.severity != "ok":
        yield worst
        return
    labels = ", ".join(label for label, _ in asked)
    yield Finding("edges", "ok", f"Value and derivatives finite at {len(asked)} edges: {labels}.")


def _at(case: Case, edge: _Edge) -> Finding | None:
    """What happens at one edge; None where the loss refuses it."""
    found, error = attempt(case.derivatives, edge.y_true, edge.y_pred)
    if error:
        return None
    kinds = {"values": "value", "gradient": "gradient", "product": "second derivative"}
    parts = found._asdict()
    if edge.how == "infinite":
        del parts["product"]
        parts = {
            kind: np.nan_to_num(x, posinf=0, neginf=0, nan=np.nan) for kind, x in parts.items()
        }
    bad = {kinds[kind]: x for kind, x in parts.items() if not is_finite(x)}
    severity: Severity = "error"
    if not bad:
        severity = "ok"
    elif edge.how == "infinite" or (edge.how == "large" and not _nan(found.values, found.gradient)):
        severity = "note"
    elif list(bad) == ["second derivative"]:
        severity = "warning"
    seen = ", ".join(f"{name} {'NaN' if _nan(x) else 'infinite'}" for name, x in bad.items())
    return Finding("edges", severity, f"At {edge.label}: {seen}.", edge.fix)


def _nan(*arrays: np.ndarray) -> bool:
    return any(np.isnan(x).any() for x in arrays)


def _edges(case: Case) -> Iterator[_Edge]:
    log = (
        "Clip before the log, jnp.log(jnp.clip(p, 1e-7, 1)), or compute from logits "
        "(jax.nn.log_softmax, jax.nn.softplus)."
    )
    norm = (
        "sqrt, norm and division have no derivative at 0, and where(x == 0, 0, f(x)) still "
        "differentiates f: select the input too, f(where(x == 0, 1, x))."
    )
    t, p = case.few
    paired = case.is_paired
    if case.is_distribution:
        for label, column in (("all mass on the first class", 0), ("all mass on the last", -1)):
            yield _Edge(label, t, changed(np.zeros_like(p), (..., column), 1), log)
        yield _Edge("equal classes", t, np.full_like(p, 1 / p.shape[-1]), norm)
    elif case.is_probability:
        for value in (0, 0.5, 1):
            yield _Edge(f"y_pred = {value}", t, np.full_like(p, value), log)
    if paired:
        yield _Edge("y_pred = y_true", t, t.astype(p.dtype), log if case.is_probability else norm)
        if not case.is_distribution:
            yield _Edge("y_true = y_pred = 0", np.zeros_like(t), np.zeros_like(p), norm)
    if not case.is_probability:
        yield _Edge("y_pred = 0", t, np.zeros_like(p), norm)
        yield from _large(t, p)
        yield from _infinite(case, t, p)
    if p.ndim > 1 and p.shape[-1] > 1 and (paired or t.shape == p.shape[:-1]):
        one = t[..., :1] if paired else np.zeros_like(t)
        fix = "Look for a division by the number of classes minus 1, or by a standard deviation."
        yield _Edge("one class or column", one, p[..., :1], fix)


def _large(t: np.ndarray, p: np.ndarray) -> Iterator[_Edge]:
    fix = "Use forms that do not overflow: jax.nn.softplus, logsumexp, jnp.logaddexp."
    if np.all(p >= 0):
        yield _Edge(f"y_pred = {_LARGE:g}", t, np.full_like(p, _LARGE), fix, "large")
        return
    signs = np.where(np.arange(p.size).reshape(p.shape) % 2, 1, -1)
    for sign in (1, -1):
        large = (sign * _LARGE * signs).astype(p.dtype)
        yield _Edge(f"y_pred = {'±' if sign > 0 else '∓'}{_LARGE:g}", t, large, fix, "large")


def _infinite(case: Case, t: np.ndarray, p: np.ndarray) -> Iterator[_Edge]:
    """Logits whose loss has a finite limit: of a class that is ruled out, and perfect ones."""
    fix = "Leave out terms of weight 0: jnp.where(t == 0, 0, t * log_p), and mask logits with -1e9."
    is_labels = np.issubdtype(t.dtype, np.integer) and t.shape == p.shape[:-1] and not case.packed
    if case.is_paired:
        ones = np.sum(t, -1) == 1
        if not np.all((t == 0) | (t == 1)):
            return
        if p.ndim == 1 or p.shape[-1] == 1 or not np.all(ones):
            perfect = np.where(t > 0, np.inf, -np.inf).astype(p.dtype)
            yield _Edge("perfect logits, ±inf", t, perfect, fix, "infinite")
            return
        wrong = np.roll(t, 1, -1) == 1
    elif is_labels and p.shape[-1] > 1 and not (case.is_per_sample and case.depends):
        wrong = (t[..., None] + 1) % p.shape[-1] == np.arange(p.shape[-1])
    else:
        return
    yield _Edge(
        "-inf for a wrong class", t, np.where(wrong, -np.inf, p).astype(p.dtype), fix, "infinite"
    )
