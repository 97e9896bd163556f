"""Domains of losses to which a distribution is predicted: `y_pred` is its parameters.

Every parameter may be any real number: what must be positive comes as its logarithm, what lies
between 0 and 1 as a logit. So one maker makes every domain.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from jax import numpy as jnp

from lossjax.core.domain.base import EXTREME, ZERO, Domain, Edge, Line, Rule, Sample
from lossjax.core.types import Array


class Gaussian(NamedTuple):
    """Normal distributions: their means, and the logarithms of their variances."""

    mean: Any
    log_variance: Any


class Laplace(NamedTuple):
    """Laplace distributions: their means, and the logarithms of their mean absolute deviations."""

    mean: Any
    log_scale: Any


class Gamma(NamedTuple):
    """Gamma distributions: the logarithms of their means, and of their shapes."""

    log_mean: Any
    log_shape: Any


class InverseGaussian(NamedTuple):
    """Inverse Gaussian distributions: the logarithms of their means, and of their shapes."""

    log_mean: Any
    log_shape: Any


class StudentT(NamedTuple):
    """Student's distributions: their centres, log scales, and log degrees of freedom."""

    location: Any
    log_scale: Any
    log_degrees: Any


class NegativeBinomial(NamedTuple):
    """Counts of variance μ + μ² / r: log μ, the mean, and log r, where a large r is Poisson's."""

    log_mean: Any
    log_total_count: Any


class ZeroInflatedNegativeBinomial(NamedTuple):
    """As `NegativeBinomial`, but 0 beside that with the probability sigmoid(zero_logit)."""

    log_mean: Any
    log_total_count: Any
    zero_logit: Any


class Beta(NamedTuple):
    """Beta distributions: the logarithms of both shapes; the mean is α / (α + β)."""

    log_alpha: Any
    log_beta: Any


class Mixture(NamedTuple):
    """K normal distributions of d dimensions: logits (..., K) of the weights, the rest (..., K, d).

    The variances are those along each dimension.
    """

    logits: Any
    mean: Any
    log_variance: Any


_DRAWN = 0.7  # the deviation of parameters that are drawn


def _made(
    kind: Any,
    name: str,
    target: str,
    truth: Callable[[np.random.Generator, tuple[int, ...]], np.ndarray],
    truths: tuple[float, float, float],
    rule: Callable[[Array], tuple[Array, str]] | None = None,
    far: float = 80.0,
) -> Domain:
    """`truth` draws what came, `truths` are three of it; `rule` is what must hold of it.

    From -`far` to `far` the loss is finite in float32, the other parameters being 0.
    """
    names = kind._fields
    rows, usual = np.array(truths, np.float32)[:, None], np.zeros((3, len(names)), np.float32)

    def draw(rng: np.random.Generator, s: tuple[int, ...]) -> tuple[Any, Any]:
        return truth(rng, s), kind(*(rng.normal(0, _DRAWN, s) for _ in names))

    def rules(loss: Any, t: Any, p: Any) -> Iterator[Rule]:
        if rule:
            yield Rule("y_true", t, *rule(t))

    def along(x: Array) -> tuple[Any, Any]:
        rest = [jnp.zeros((1, 1))] * (len(names) - 1)
        return jnp.full((1, 1), truths[1]), kind(x[None, None], *rest)

    def at(where: int, value: float) -> np.ndarray:
        """Side by side: such edges are of tests, which tell them apart."""
        return np.where(np.arange(len(names)) == where, np.float32(value), usual)

    def edges() -> Iterator[Edge]:
        yield ZERO, "y_pred", rows, usual
        for i, field in enumerate(names):
            for value in (-far, far):
                yield EXTREME, f"{field} = {value:g}", rows, at(i, value)

    def extremes(limits: Any) -> Iterator[Sample]:
        yield "smallest", rows, usual + float(limits.smallest_normal)
        for i, field in enumerate(names):
            yield f"{field} = 8", rows, at(i, 8)

    def point(where: int, value: float) -> Any:
        return kind(*([value if i == where else 0.0] for i in range(len(names))))

    return Domain(
        name,
        draw,
        target=target,
        rules=rules,
        accuracy=None,
        curves=(Line(f"y_true = {truths[1]:g}", names[0], -3, 3, along),),
        points=(
            ("parameters 0", [truths[1]], point(0, 0.0)),
            *(
                (f"{field} = {x:g}", [truths[1]], point(i, x))
                for i, field in enumerate(names)
                for x in (-3.0, 3.0)
            ),
        ),
        grid=(
            [[x] for x in truths],
            [point(i, x) for i in range(len(names)) for x in np.linspace(-far, far, 41)],
        ),
        edges=edges,
        extremes=extremes,
    )


def _normal(rng: np.random.Generator, s: tuple[int, ...]) -> np.ndarray:
    return rng.normal(size=s)


def _positive(rng: np.random.Generator, s: tuple[int, ...]) -> np.ndarray:
    return rng.gamma(2, size=s)


def _above_zero(t: Array) -> tuple[Array, str]:
    return t > 0, "must be above 0"


def _count(rng: np.random.Generator, s: tuple[int, ...]) -> np.ndarray:
    return rng.poisson(2, s).astype(float)


def _not_negative(t: Array) -> tuple[Array, str]:
    return t >= 0, "must not be negative"


def _share(rng: np.random.Generator, s: tuple[int, ...]) -> np.ndarray:
    return rng.uniform(0.05, 0.95, s)


def _inside(t: Array) -> tuple[Array, str]:
    return (t > 0) & (t < 1), "must lie between 0 and 1, without both"


GAUSSIAN = _made(Gaussian, "gaussian", "real numbers", _normal, (0.0, 1.0, -2.5))
LAPLACE = _made(Laplace, "laplace", "real numbers", _normal, (0.0, 1.0, -2.5))
GAMMA, INVERSE_GAUSSIAN = (
    _made(kind, name, "numbers above 0", _positive, (0.5, 1.0, 4.0), _above_zero, far)
    # The square of the mean divides.
    for kind, name, far in ((Gamma, "gamma", 80.0), (InverseGaussian, "inverse gaussian", 40.0))
)
# The square of the scale divides.
STUDENT_T = _made(StudentT, "student t", "real numbers", _normal, (0.0, 1.0, -2.5), far=40.0)
NEGATIVE_BINOMIAL, ZERO_INFLATED = (
    _made(kind, name, "counts", _count, (0.0, 2.0, 9.0), _not_negative)
    for kind, name in (
        (NegativeBinomial, "negative binomial"),
        (ZeroInflatedNegativeBinomial, "zero inflated"),
    )
)
BETA = _made(Beta, "beta", "numbers between 0 and 1", _share, (0.125, 0.5, 0.875), _inside)


def _draw_mixture(rng: np.random.Generator, s: tuple[int, ...]) -> tuple[Any, Any]:
    """Of two components, for a shape without them."""
    of_all = (*s[:-1], 2, s[-1])
    logits, log_variance = rng.normal(size=of_all[:-1]), rng.normal(0, _DRAWN, of_all)
    return rng.normal(size=s), Mixture(logits, rng.normal(size=of_all), log_variance)


def _two(logit: float = 0.0, left: float = -1.0, log_variance: float = 0.0) -> Mixture:
    """Of one dimension."""
    return Mixture([logit, 0.0], [[left], [1.0]], [[log_variance], [0.0]])


def _of_left(x: Array) -> tuple[Any, Any]:
    mean = jnp.stack([x, jnp.ones_like(x)])[None, :, None]
    return jnp.zeros((1, 1)), Mixture(jnp.zeros((1, 2)), mean, jnp.zeros((1, 2, 1)))


def _mixture_edges() -> Iterator[Edge]:
    """Side by side, as those of `_made`."""
    rows = np.array([[0], [1], [-2.5]], np.float32)
    usual = np.array([0, 0, -1, 1, 0, 0], np.float32)
    yield ZERO, "y_pred", rows, np.zeros((3, 6), np.float32)
    for i, name in ((0, "logit"), (2, "mean"), (4, "log_variance")):
        for value in (-80, 80):
            at = np.where(np.arange(6) == i, np.float32(value), usual)
            yield EXTREME, f"{name} = {value}", rows, np.tile(at, (3, 1))


MIXTURE = Domain(
    "mixture",
    _draw_mixture,
    target="real numbers",
    accuracy=None,
    curves=(Line("y_true = 0", "mean of one of two components, the other at 1", -3, 3, _of_left),),
    points=(
        ("between both", [0.0], _two()),
        ("at one of both", [1.0], _two()),
        ("at the rare one", [1.0], _two(logit=5.0)),
        ("far from both", [10.0], _two()),
        ("in a narrow one", [-1.0], _two(log_variance=-5.0)),
    ),
    grid=([[0.0], [1.0]], [_two(left=x, logit=z) for x in (-80, 0, 80) for z in (-80, 0, 80)]),
    edges=_mixture_edges,
    extremes=lambda limits: ((n, t, p / 10) for _, n, t, p in _mixture_edges()),
)
