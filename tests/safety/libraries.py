"""The losses of the table, and what each library makes of them at a point."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import numpy as jnp

from bench.cases import Case as Timed
from bench.peers import Optax, Torch
from cases import ROWS, Case
from lossjax import losses
from safety.limits import direction
from safety.points import Point, points

# What the functions of optax and torch that bench knows take from a loss.
OPTIONS_OF_OTHERS = {"from_logits", "delta", "gamma", "q"}
NAMES = {"none": [], "weight": ["sample_weight"], "mask": ["mask"]}
OTHERS = {"optax": Optax(), "torch": Torch()}


class Result(NamedTuple):
    """Arrays, or "raises" where a library cannot compute one."""

    value: Any
    gradient: Any
    jvp: Any
    product: Any  # of the Hessian and `direction`


@dataclasses.dataclass(frozen=True)
class Variant:
    """A loss with options."""

    case: Case
    config: dict[str, Any]

    @property
    def loss(self) -> type[losses.Loss]:
        return self.case.loss

    @property
    def name(self) -> str:
        return f"{self.loss.__name__}({self.options})"

    @property
    def options(self) -> str:
        return ", ".join(f"{k}={v}" for k, v in self.config.items())

    @property
    def points(self) -> list[Point]:
        classes = {len(x) for x in self.config.values() if isinstance(x, list)}
        every = points(self.loss(**self.config))
        fit = [point for point in every if not classes or point.y_pred.shape[-1] in classes]
        return [point for point in fit if point.weights is None or self.is_weighed(point)]

    def is_weighed(self, point: Point) -> bool:
        """Whether one weight is that of a sample: values of a sample may be several, or none."""
        loss, packed = self.loss(**self.config, reduction=None), self.case.packed
        y_pred = packed(point.y_pred) if packed else point.y_pred
        return jax.eval_shape(loss, point.y_true, y_pred).ndim < 2


def variants() -> list[Variant]:
    return [
        Variant(case, _of_three_classes(config))
        for case in ROWS
        if case.one_array or case.packed
        for config in (*case.configs, *case.at_edges)
    ]


def _of_three_classes(config: dict[str, Any]) -> dict[str, Any]:
    return {k: v[:3] if isinstance(v, list) else v for k, v in config.items()}


def results(library: str, variant: Variant, some: Sequence[Point]) -> list[Result | None]:
    """Of each point; None where the library has no such loss."""
    found: list[Result | None] = [None] * len(some)
    alike: dict[Any, list[int]] = {}
    for i, point in enumerate(some):
        key = point.weighting, point.y_true.shape, point.y_pred.shape, point.y_pred.dtype
        alike.setdefault(key, []).append(i)
    for (weighting, *_), rows in alike.items():
        function = _function(library, variant, weighting)
        if function is None:
            continue
        run = _with_torch if library == "torch" else _with_jax
        for i, result in zip(rows, run(function, [some[i] for i in rows]), strict=True):
            found[i] = result
    return found


def _function(library: str, variant: Variant, weighting: str) -> Callable[..., Any] | None:
    """`(y_true, y_pred[, weights]) -> values or a number`; samples are rows, whatever `axis`.

    Without weights lossjax and Keras give sums, with them means. The functions of optax and torch
    have no reduction: they give means.
    """
    loss, config = variant.loss, variant.config
    reduction = "sum" if weighting == "none" else "sum_over_batch_size"
    if library == "lossjax":
        found = _ours(loss(**config, reduction=reduction), variant.case.packed, weighting)
    elif not variant.case.one_array:
        return None
    elif library == "Keras":
        if weighting == "mask":  # Keras has no public way to hand over a mask: weights 0 and 1
            reduction = "mean_with_sample_weight"
        twin = variant.case.twin
        found = twin and twin(**config, reduction=reduction)
    elif set(config) <= OPTIONS_OF_OTHERS:
        timed = Timed(loss(**config), (3, 3), weighting=weighting)
        found = OTHERS[library].function(timed)
    else:
        return None
    if found is not None and config.get("axis") == 0:
        return lambda t, p, *weights: found(t.T, p.T, *weights)
    return found


def _ours(loss: losses.Loss, packed: Any, weighting: str) -> Callable[..., Any]:
    def call(t: Any, p: Any, *weights: Any) -> Any:
        given = dict(zip(NAMES[weighting], weights, strict=True))
        return loss(t, packed(p) if packed else p, **given)

    return call


def _arrays(point: Point) -> tuple[np.ndarray, ...]:
    weights = () if point.weights is None else (point.weights,)
    return point.y_true, point.y_pred, *weights


def _with_jax(function: Callable[..., Any], some: Sequence[Point]) -> list[Result]:
    def one(arrays: tuple[Any, ...]) -> Result:
        t, p, *weights = arrays
        tangent = jnp.asarray(direction(p.shape), p.dtype)

        def value(p: Any) -> Any:
            return jnp.sum(function(t, p, *weights))

        v, slope = jax.jvp(value, (p,), (tangent,))
        gradient, product = jax.jvp(jax.grad(value), (p,), (tangent,))
        return Result(v, gradient, slope, product)

    stacked = tuple(np.stack(x) for x in zip(*map(_arrays, some), strict=True))
    # A loop, not vmap: in it runs the program of one batch, as users have it.
    found = jax.jit(lambda arrays: jax.lax.map(one, arrays))(stacked)
    return [jax.tree.map(lambda x, i=i: np.asarray(x[i]), found) for i in range(len(some))]


def _with_torch(function: Callable[..., Any], some: Sequence[Point]) -> list[Result]:
    torch = OTHERS["torch"].library

    def tensor(x: np.ndarray) -> Any:
        if x.dtype.name == "bfloat16":
            return torch.from_numpy(x.astype(np.float32)).to(torch.bfloat16)
        return torch.from_numpy(x.astype(np.int64) if x.dtype == np.int32 else x)

    def one(point: Point) -> Result:
        t, p, *weights = map(tensor, _arrays(point))
        tangent = torch.from_numpy(direction(point.y_pred.shape)).to(p.dtype)

        def value(p: Any) -> Any:
            return function(t, p, *weights)

        slope = torch.func.grad(value)
        every = (
            lambda: value(p),
            lambda: slope(p),
            lambda: torch.func.jvp(value, (p,), (tangent,))[1],
            lambda: torch.func.vjp(slope, p)[1](tangent)[0],  # it lacks many forward rules
        )
        return Result(
            *(_attempt(lambda f=f: f().detach().float().numpy(force=True)) for f in every)
        )

    return [one(point) for point in some]


def _attempt(f: Callable[[], Any]) -> Any:
    try:
        return f()
    except Exception:  # torch has no derivative of many functions, in classes of all kinds
        return "raises"
