"""How far from float64, and what 16-bit inputs do."""

from collections.abc import Iterator

import numpy as np
from jax import numpy as jnp

from lossjax.inspect._case import Case, attempt, cast, is_finite
from lossjax.inspect._report import Finding

_TOLERABLE = 1e-5  # of the largest value
_HALF = 300.0  # its square is beyond the largest float16, 65504
_ROUNDINGS = 16  # of a 16-bit dtype: more of them is more than that of in- and output


def float64(case: Case) -> Iterator[Finding]:
    """How many digits does float32 lose?"""
    name = "float64"
    if case.seen.dtype != np.float32 or not is_finite(case.seen):
        cause = f"The values are {case.seen.dtype}, or not finite."
        yield Finding(name, "skipped", cause)
        return
    found, error = case.exact(case.y_true, case.y_pred)
    if error or found[0].dtype != np.float64 or not found[0].size:
        cause = "Not computed in float64" + (f": {error}" if error else ", cast to float32 inside.")
        yield Finding(name, "skipped", cause)
        return
    exact = found[0]
    off = np.abs(case.seen - exact)
    ulps = off / np.spacing(np.maximum(np.abs(exact), 1e-30).astype(np.float32))
    cause = f"At most {ulps.max():.2g} ulps from float64, {off.max():.1e} in absolute terms."
    if off.max() > _TOLERABLE * np.abs(exact).max():
        fix = "Look for differences of large numbers: log(1 + x) is jnp.log1p(x), exp(x) - 1 expm1."
        yield Finding(name, "warning", cause, fix)
    else:
        yield Finding(name, "ok", cause)


def half(case: Case) -> Iterator[Finding]:
    """Are float16 and bfloat16 predictions finite and near?"""
    name = "16 bits"
    t, p = case.few
    fix = "Compute in float32: y_pred.astype(jnp.float32); lossjax.Loss does."
    far = {}
    for dtype in (jnp.float16, jnp.bfloat16):
        near = (cast(t, dtype), cast(p, dtype))
        found, error = attempt(case.run, *near)
        if error:
            yield Finding(name, "warning", f"{dtype.__name__} raises {error}", fix)
            return
        found = found.astype(float)
        if not is_finite(found):
            yield Finding(name, "warning", f"{dtype.__name__} predictions are not finite.", fix)
            return
        exact, error = case.exact(*near)
        if not error and found.size:
            off = np.abs(found - exact[0]).max() / max(np.abs(exact[0]).max(), 1e-30)
            far[dtype] = off
    if case.is_paired and not case.is_probability and not np.all(p >= 0):
        wide = [np.zeros_like(t, np.float16), np.full_like(p, _HALF, np.float16)]
        found, _ = attempt(case.run, *wide)
        if found is not None and not is_finite(found):
            cause = f"float16 overflows at an error of {_HALF:g}."
            yield Finding(name, "note", cause, fix)
            return
    off = " and ".join(f"{dtype.__name__} {x:.0e}" for dtype, x in far.items())
    text = f", {off} from float64, relative to the largest value" if off else ""
    lossy = any(x > _ROUNDINGS * float(jnp.finfo(dtype).eps) for dtype, x in far.items())
    yield Finding(name, "note" if lossy else "ok", f"Finite{text}.", fix if lossy else "")
