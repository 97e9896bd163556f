"""Losses of a real-valued error that bound the pull of outliers, averaged over the last axis."""

from collections.abc import Callable

from jax import numpy as jnp

from lossjax.core import check
from lossjax.core.loss import Loss, leaf, static
from lossjax.core.types import Array, Hyper, Input
from lossjax.math import general, robust
from lossjax.math.elementwise import mean
from lossjax.math.fusion import elementwise

__all__ = [
    "Cauchy",
    "GemanMcClure",
    "GeneralRobust",
    "PseudoHuber",
    "Tukey",
    "Welsch",
    "cauchy",
    "geman_mcclure",
    "general_robust",
    "pseudo_huber",
    "tukey",
    "welsch",
]


def _mean_of(curve: Callable[..., Array], t: Array, p: Array, *numbers: Hyper) -> Array:
    """Of the curve of the errors."""
    return mean(_of_error(curve, t, p, *(jnp.asarray(x, p.dtype) for x in numbers)), -1)


@elementwise(static=1)
def _of_error(curve: Callable[..., Array], t: Array, p: Array, *numbers: Array) -> Array:
    return curve(p - t, *numbers)


def pseudo_huber(
    y_true: Input, y_pred: Input, *, delta: Hyper = 1.0, shifted: bool = True
) -> Array:
    """mean(delta² (√(1 + (e / delta)²) - 1)), e = y_pred - y_true.

    Use: as `huber`, smooth to every order: about e²/2 for small errors and delta |e| - delta² for
    large ones. With a small delta it is the absolute error without its kink.

    `delta` > 0 has the unit of `y_true`. shifted=False leaves the -1 out: a perfect prediction
    then costs delta², and the gradient is the same. Charbonnier's √(e² + ε²) is that with
    delta = ε, divided by ε.
    Shapes: (..., d) for both, ranks aligned; values (...). Unit: that of `y_true` squared. The
    derivative is e / √(1 + (e / delta)²), within ±delta.
    Raises ValueError for a delta ≤ 0 or infinite and for shapes that do not fit.
    Source: Charbonnier et al. (1994), ICIP, 168-172; Hartley and Zisserman (2003), Multiple view
    geometry, A6.8.

    >>> print(pseudo_huber([[0.0]], [[3.0]], delta=4.0))
    [4.]
    """
    y_true, y_pred = check.pair("pseudo_huber", y_true, y_pred, align=True)
    check.within("pseudo_huber", "delta", delta, "(0, inf)")
    curve = robust.pseudo_huber_curve if shifted else robust.charbonnier_curve
    return _mean_of(curve, y_true, y_pred, delta)


class PseudoHuber(Loss):
    fn = pseudo_huber
    couples = "none"
    aliases = ("charbonnier",)
    delta: Hyper = leaf(default=1.0, interval="(0, inf)", kw_only=True)
    shifted: bool = static(default=True, kw_only=True)


def cauchy(y_true: Input, y_pred: Input, *, scale: Hyper = 1.0) -> Array:
    """mean(log(1 + x²/2)), x = (y_pred - y_true) / scale.

    Use: regression with outliers far away: an error beyond √2 scale pulls less the larger it is.
    Start near the solution, or with `huber`: what is far off at the start hardly moves.

    `scale` > 0 has the unit of `y_true`. `general_robust` has this as its shape 0.
    Shapes: (..., d) for both, ranks aligned; values (...). The derivative is
    x / (1 + x²/2) / scale, at most 1 / (√2 scale).
    Raises ValueError for a scale ≤ 0 or infinite and for shapes that do not fit.
    Source: Black and Anandan (1996), Comput. Vis. Image Underst. 63(1), the Lorentzian.

    >>> print(cauchy([[0.0]], [[2.0]]).round(4))
    [1.0986]
    """
    y_true, y_pred = check.pair("cauchy", y_true, y_pred, align=True)
    check.within("cauchy", "scale", scale, "(0, inf)")
    return _mean_of(robust.cauchy_curve, y_true, y_pred, scale)


class Cauchy(Loss):
    fn = cauchy
    couples = "none"
    aliases = ("lorentzian",)
    scale: Hyper = leaf(default=1.0, interval="(0, inf)", kw_only=True)


def geman_mcclure(y_true: Input, y_pred: Input, *, scale: Hyper = 1.0) -> Array:
    """mean(2 x² / (x² + 4)), x = (y_pred - y_true) / scale.

    Use: as `cauchy`, with a value that is bounded: outliers are given up.

    `scale` > 0 has the unit of `y_true`. `general_robust` has this as its shape -2.
    Shapes: (..., d) for both, ranks aligned; values (...). Range: 0 to 2. The derivative is
    x / (1 + x²/4)² / scale.
    Raises ValueError for a scale ≤ 0 or infinite and for shapes that do not fit.
    Source: Geman and McClure (1985), Proc. ASA Statist. Comput. Sect., 12-18.

    >>> print(geman_mcclure([[0.0]], [[2.0]]))
    [1.]
    """
    y_true, y_pred = check.pair("geman_mcclure", y_true, y_pred, align=True)
    check.within("geman_mcclure", "scale", scale, "(0, inf)")
    return _mean_of(robust.geman_mcclure_curve, y_true, y_pred, scale)


class GemanMcClure(Loss):
    fn = geman_mcclure
    couples = "none"
    scale: Hyper = leaf(default=1.0, interval="(0, inf)", kw_only=True)


def welsch(y_true: Input, y_pred: Input, *, scale: Hyper = 1.0) -> Array:
    """mean(1 - exp(-x²/2)), x = (y_pred - y_true) / scale.

    Use: as `geman_mcclure`; beyond a few scales there is no gradient at all.

    `scale` > 0 has the unit of `y_true`. `general_robust` has this as its shape -inf.
    Shapes: (..., d) for both, ranks aligned; values (...). Range: 0 to 1. The derivative is
    x exp(-x²/2) / scale.
    Raises ValueError for a scale ≤ 0 or infinite and for shapes that do not fit.
    Source: Dennis and Welsch (1978), Comm. Statist. B 7(4), 345-359.

    >>> print(welsch([[0.0]], [[1.0]]).round(4))
    [0.3935]
    """
    y_true, y_pred = check.pair("welsch", y_true, y_pred, align=True)
    check.within("welsch", "scale", scale, "(0, inf)")
    return _mean_of(robust.welsch_curve, y_true, y_pred, scale)


class Welsch(Loss):
    fn = welsch
    couples = "none"
    aliases = ("leclerc",)
    scale: Hyper = leaf(default=1.0, interval="(0, inf)", kw_only=True)


def tukey(y_true: Input, y_pred: Input, *, cutoff: Hyper = 4.685) -> Array:
    """mean(cutoff²/6 (1 - (1 - r²)³)), r = (y_pred - y_true) / cutoff, no more than ±1.

    Use: as `welsch`; errors beyond `cutoff` have no gradient at all. The default is for noise of
    the standard deviation 1, where it is 95 % as efficient as least squares.

    `cutoff` > 0 has the unit of `y_true`.
    Shapes: (..., d) for both, ranks aligned; values (...). Range: 0 to cutoff²/6, in the unit of
    `y_true` squared; about e²/2 near 0. The derivative is e (1 - r²)².
    Raises ValueError for a cutoff ≤ 0 or infinite and for shapes that do not fit.
    Source: Beaton and Tukey (1974), Technometrics 16(2), 147-185.

    >>> print(tukey([[0.0, 0.0]], [[3.0, 9.0]], cutoff=6.0))
    [4.734375]
    """
    y_true, y_pred = check.pair("tukey", y_true, y_pred, align=True)
    check.within("tukey", "cutoff", cutoff, "(0, inf)")
    return _mean_of(robust.tukey_curve, y_true, y_pred, cutoff)


class Tukey(Loss):
    fn = tukey
    couples = "none"
    aliases = ("biweight",)
    cutoff: Hyper = leaf(default=4.685, interval="(0, inf)", kw_only=True)


def general_robust(
    y_true: Input,
    y_pred: Input,
    *,
    shape: Hyper = 1.0,
    scale: Hyper = 1.0,
    likelihood: bool = False,
) -> Array:
    """mean(b / shape ((1 + x²/b)^(shape/2) - 1)), b = |shape - 2|, x = (y_pred - y_true) / scale.

    Use: one number from least squares to outliers that are given up, to be annealed, searched for
    or learned. `shape` is 2 for x²/2, 1 for √(1 + x²) - 1, 0 for `cauchy`, -2 for `geman_mcclure`,
    -inf for `welsch`, inf for exp(x²/2) - 1; these and what is near them are exact. To learn
    `shape` or `scale` take likelihood=True: without it a lower shape is always cheaper.

    likelihood=True adds log scale + log Z(shape), Z = ∫ exp(-ρ) dx: the negative log density of
    the error, for a `shape` ≥ 0; below there is none, and the loss is infinite.
    `shape` is in [-inf, inf], `scale` > 0 has the unit of `y_true`; one number or one a column.
    Shapes: (..., d) for both, ranks aligned; values (...). The derivative is
    x (1 + x²/b)^(shape/2 - 1) / scale. That by `shape` is infinite at the shape 2, where it is
    taken beside it, with b the distance of 2 to the next number.
    Raises ValueError for a scale ≤ 0 or infinite, for a shape below 0 with likelihood=True and for
    shapes that do not fit.
    Source: Barron (2019), arXiv:1701.03077, eq. 13 and 16.

    >>> print(general_robust([[0.0]], [[2.0]], shape=-2.0))
    [1.]
    """
    y_true, y_pred = check.pair("general_robust", y_true, y_pred, align=True)
    check.within("general_robust", "shape", shape, "[0, inf]" if likelihood else "[-inf, inf]")
    check.within("general_robust", "scale", scale, "(0, inf)")
    shape, scale = (jnp.asarray(x, y_pred.dtype) for x in (shape, scale))
    values = _of_error(general.general_curve, y_true, y_pred, shape, scale)
    if likelihood:
        values += jnp.log(scale) + general.log_partition(shape)
    return mean(values, -1)


class GeneralRobust(Loss):
    fn = general_robust
    couples = "none"
    aliases = ("barron",)
    shape: Hyper = leaf(default=1.0, interval="[-inf, inf]", kw_only=True)
    scale: Hyper = leaf(default=1.0, interval="(0, inf)", kw_only=True)
    likelihood: bool = static(default=False, kw_only=True)
