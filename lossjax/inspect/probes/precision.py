"""How far from float64, and what 16-bit inputs do."""

from collections.abc import Iterator

import jax
import numpy as np
from jax import numpy as jnp

from lossjax._types import Array
from lossjax.inspect._case import Case, attempt, is_finite
from lossjax.inspect._report import Finding

_TOLERABLE = 1e-5  # of the largest value
_HALF = 300.0  # its square is beyond the largest float16, 65504


def float64(case: Case) -> Iterator[Finding]:
    """How many digits does float32 lose?"""
    if case.seen.dtype != np.float32 or not is_finite(case.seen):
        return
    exact, error = _exact(case, case.y_true, case.y_pred)
    if error or exact.dtype != np.float64 or not exact.size:
        return
    off = np.abs(case.seen - exact)
    ulps = off / np.spacing(np.maximum(np.abs(exact), 1e-30).astype(np.float32))
    size = np.abs(exact).max()
    cause = f"At most {ulps.max():.2g} ulps from float64, {off.max():.1e} in absolute terms."
    if off.max() > _TOLERABLE * size:
        fix = "Look for differences of large numbers: log(1 + x) is jnp.log1p(x), exp(x) - 1 expm1."
        yield Finding("float64", "warning", cause, fix)
    else:
        yield Finding("float64", "ok", cause)


def half(case: Case) -> Iterator[Finding]:
    """Are float16 and bfloat16 predictions finite and near?"""
    t, p = case.few
    fix = "Compute in float32: y_pred.astype(jnp.float32); lossjax.Loss does."
    far = None
    for dtype in (jnp.float16, jnp.bfloat16):
        near = (_cast(t, dtype), _cast(p, dtype))
        found, error = attempt(case.jitted, *near)
        if error:
            yield Finding("16 bits", "warning", f"{dtype.__name__} raises {error}", fix)
            return
        found = found.astype(float)
        exact, error = _exact(case, *near)
        if not is_finite(found):
            yield Finding(
                "16 bits", "warning", f"{dtype.__name__} predictions are not finite.", fix
            )
            return
        if not error and exact.size:
            off = np.abs(found - exact).max() / max(np.abs(exact).max(), 1e-30)
            far = max(far or 0.0, off)
    if case.is_paired and not case.is_probability and not bool(jnp.all(p >= 0)):
        wide = [jnp.zeros_like(t, jnp.float16), jnp.full_like(p, _HALF, jnp.float16)]
        found, _ = attempt(case.jitted, *wide)
        if found is not None and not is_finite(found):
            cause = f"float16 overflows at an error of {_HALF:g}."
            yield Finding("16 bits", "warning", cause, fix)
            return
    if far is not None and far > 1e-3:
        cause = f"16-bit predictions are {far:.1e} off, relative to the largest value."
        yield Finding("16 bits", "warning", cause, fix)
    else:
        yield Finding("16 bits", "ok", "Finite, and near float64, for float16 and bfloat16.")


def _exact(case: Case, t: Array, p: Array) -> tuple[np.ndarray, str]:
    """The values computed in float64 from the same inputs."""
    with jax.enable_x64(True):
        return attempt(
            jax.jit(lambda t, p: case.values(t, p)), *(_cast(x, jnp.float64) for x in (t, p))
        )


def _cast(x: Array, dtype: type) -> Array:
    return x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x
