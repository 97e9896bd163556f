"""Two losses on the same data: how far apart, where, in ulps."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from lossjax.core.config import resolved
from lossjax.core.domain import Domain
from lossjax.inspect import _subject
from lossjax.inspect._case import attempt, where
from lossjax.inspect._table import Shown, Table, number


@dataclasses.dataclass(frozen=True)
class Gap:
    """Where two arrays are furthest apart.

    `largest` is the largest absolute difference, at `position`, where `a` and `b` stand; `ulps`
    the largest difference in units of the last place of the coarser dtype of the two, of which
    nothing below `dtype`'s smallest normal number counts; `unequal` of `size` entries differ at
    all. NaN equals NaN; NaN or infinity against anything else is infinitely far.
    """

    what: str
    largest: float
    position: str
    a: float
    b: float
    ulps: float
    unequal: int
    size: int
    dtype: str


@dataclasses.dataclass(frozen=True, repr=False)
class Comparison(Shown):
    """What `compare` found; prints as a table."""

    a: str
    b: str
    source: str
    gaps: tuple[Gap, ...]

    def __getitem__(self, what: str) -> Gap:
        """The gap of "values", "result" or "gradient"; KeyError where it was not compared."""
        return {gap.what: gap for gap in self.gaps}[what]

    def __repr__(self) -> str:
        gaps = ", ".join(f"{gap.what} {gap.ulps:.3g} ulps" for gap in self.gaps)
        return f"Comparison({self.a}, {self.b}: {gaps})"

    def tables(self) -> Iterator[Table]:
        """One row for values, one for gradients."""
        columns = ("", "largest difference", "at", "a", "b", "ulps", "unequal")
        rows = []
        for gap in self.gaps:
            unequal = f"{gap.unequal} of {gap.size}"
            ends = (number(gap.largest), gap.position, number(gap.a), number(gap.b))
            rows.append((gap.what, *ends, f"{gap.ulps:.3g} of {gap.dtype}", unequal))
        yield Table(f"a = {self.a}, b = {self.b}, on {self.source}", columns, rows)


def compare(
    a: Any, b: Any, y_true: Any = None, y_pred: Any = None, *, domain: str | Domain | None = None
) -> Comparison:
    """The largest difference between two losses on the same data, where, and in ulps.

    `a` and `b` are a `Loss`, the name of one or any function (y_true, y_pred) -> array, such as
    a loss of another library. Values per sample are compared where both give them, else the
    results of a call; gradients by `y_pred` where JAX can differentiate both. Without data some
    are generated for what `a` takes, or for `domain`.

    Raises ValueError where the shapes of the results differ; what the losses raise comes through.

    >>> from lossjax import inspect
    >>> found = inspect.compare("huber", "mse", [[0.0], [0.0]], [[1.0], [3.0]])
    >>> found["values"].largest, found["values"].position
    (6.5, '[1]')
    """
    a, b = resolved("compare", a), resolved("compare", b)
    t, p, source = _subject.data("compare", a, y_true, y_pred, domain)
    t, p = jax.tree.map(jnp.asarray, (t, p), is_leaf=lambda x: isinstance(x, list))
    f, g = _subject.values_of(a), _subject.values_of(b)
    what, found = "values", [np.asarray(h(t, p)) for h in (f, g)]
    if found[0].shape != found[1].shape:
        f, g, what = a, b, "result"
        found = [np.asarray(h(t, p)) for h in (f, g)]
    if found[0].shape != found[1].shape:
        raise ValueError(
            f"compare: a and b must give results of one shape, got {found[0].shape} and "
            f"{found[1].shape}. Give both the same reduction."
        )
    gaps = [_gap(what, *found)]
    slopes = [attempt(jax.grad(lambda q, h=h: jnp.sum(h(t, q))), p)[0] for h in (f, g)]
    if all(slope is not None for slope in slopes):
        flat = [np.concatenate([x.ravel() for x in jax.tree.leaves(s)]) for s in slopes]
        single = isinstance(slopes[0], np.ndarray)
        gaps.append(_gap("gradient", *(slopes if single else flat)))
    return Comparison(_subject.name_of(a), _subject.name_of(b), source, tuple(gaps))


def _gap(what: str, a: np.ndarray, b: np.ndarray) -> Gap:
    dtype = min(a.dtype, b.dtype, key=lambda d: d.itemsize)
    fine = [np.asarray(x, np.float64) for x in (a, b)]
    with np.errstate(invalid="ignore"):
        off = np.abs(fine[0] - fine[1])
    same = (fine[0] == fine[1]) | (np.isnan(fine[0]) & np.isnan(fine[1]))
    off = np.where(same, 0, np.where(np.isfinite(off), off, np.inf))
    limits = jnp.finfo(dtype) if jnp.issubdtype(dtype, jnp.floating) else jnp.finfo(jnp.float32)
    size = np.maximum(np.maximum(*map(np.abs, fine)), float(limits.tiny))
    # The last place of a number between 2^k and 2^(k+1) is 2^k times the machine epsilon.
    unit = np.exp2(np.floor(np.log2(np.where(np.isfinite(size), size, 1)))) * float(limits.eps)
    worst = int(np.argmax(off)) if off.size else 0
    ends = [float(x.ravel()[worst]) if x.size else 0.0 for x in fine]
    return Gap(
        what=what,
        largest=float(off.max(initial=0)),
        position=where(off == off.max()) if off.size else "",
        a=ends[0],
        b=ends[1],
        ulps=float((off / unit).max(initial=0)),
        unequal=int((~same).sum()),
        size=off.size,
        dtype=str(limits.dtype),
    )
