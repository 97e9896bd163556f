"""Losses of errors relative to the size, or to the spread, of what is predicted."""

from typing import Any

from jax import numpy as jnp

from lossjax.core import check
from lossjax.core.loss import Loss, leaf, static
from lossjax.core.types import AXIS_NAME_TYPES, AXIS_TYPES, Array, Axis, AxisName, Hyper, Input
from lossjax.math import curves, moments
from lossjax.math.elementwise import log_ratio, mean, quotient
from lossjax.math.fusion import elementwise
from lossjax.math.moments import Sums
from lossjax.math.norm import norm

__all__ = [
    "SMAPE",
    "ConcordanceCorrelation",
    "RelativeL2",
    "ScaleInvariantLog",
    "concordance_correlation",
    "relative_l2",
    "scale_invariant_log",
    "smape",
]


def smape(y_true: Input, y_pred: Input) -> Array:
    """200 * mean(|y_pred - y_true| / (|y_true| + |y_pred|)), with 0 / 0 = 0.

    Use: comparing forecasts of series of different sizes, as competitions do. To train with, take
    another: a prediction of the wrong sign has no gradient, and too low costs more than too high
    by the same difference.

    Shapes: (..., d) for both, ranks aligned; values (...). Range: 0 to 200, in percent of the
    middle of both; half of it is the form with 100. At equality the derivative is 0.
    Raises ValueError for shapes that do not fit.
    Source: Makridakis and Hibon (2000), Int. J. Forecast. 16(4), 451-476, with absolute values.

    >>> print(smape([[1.0, 2.0]], [[3.0, 2.0]]))
    [50.]
    """
    y_true, y_pred = check.pair("smape", y_true, y_pred, align=True)
    return 200.0 * mean(_disparity(y_true, y_pred), -1)


@elementwise()
def _disparity(t: Array, p: Array) -> Array:
    return curves.disparity(t, p)


class SMAPE(Loss):
    fn = smape
    couples = "none"
    aliases = ("symmetric_mean_absolute_percentage_error",)


def relative_l2(y_true: Input, y_pred: Input, *, axis: Axis = -1, epsilon: Hyper = 1e-7) -> Array:
    """√Σ(y_pred - y_true)² / max(√Σ y_true², epsilon), with sums over `axis`.

    Use: fields of different sizes that are to count alike, as solutions of equations do. Not where
    a field may be about 0.

    `epsilon` > 0 has the unit of `y_true`; samples below it count by their absolute error.
    Shapes: (..., d) for both, ranks aligned; values without the axes `axis`: (1, 2) for fields of
    shape (B, H, W). At equality the derivative is 0.
    Raises ValueError for an epsilon ≤ 0 or infinite and for shapes that do not fit.
    Source: Li et al. (2021), arXiv:2010.08895, the relative error of its experiments.

    >>> print(relative_l2([[3.0, 4.0]], [[3.0, 5.0]]))
    [0.2]
    """
    y_true, y_pred = check.pair("relative_l2", y_true, y_pred, align=True)
    check.within("relative_l2", "epsilon", epsilon, "(0, inf)")
    y_true, y_pred = (
        jnp.atleast_1d(y) for y in check.same_rank("relative_l2", y_true, y_pred, axis)
    )
    least = jnp.asarray(epsilon, y_pred.dtype)
    # A truth that is broadcast is as long as what it is broadcast to.
    size = norm(jnp.broadcast_to(y_true, jnp.broadcast_shapes(y_true.shape, y_pred.shape)), axis)
    value = quotient(norm(y_pred - y_true, axis), jnp.maximum(size, least))
    return jnp.squeeze(value, axis)


class RelativeL2(Loss):
    fn = relative_l2
    couples = "none"
    axis: Axis = static(default=-1, types=AXIS_TYPES, kw_only=True)
    epsilon: Hyper = leaf(default=1e-7, interval="(0, inf)", kw_only=True)


class _Moments(Loss):
    """With the batch among the axes `axis` it is made of sums over the batch."""

    couples = "sums"
    axis_name: AxisName = static(default=None, types=AXIS_NAME_TYPES, kw_only=True, beyond=True)

    def entries(self, y_true: Any, y_pred: Any, where: Array | None) -> moments.Entries:
        return _entries(self._declared.fn.__name__, y_true, y_pred, where)


def _entries(name: str, y_true: Any, y_pred: Any, where: Input | None) -> moments.Entries:
    return moments.entries(name, *check.pair(name, y_true, y_pred, align=True), where)


def _with_counted(value: Array, sums: Sums) -> Any:
    return value if sums.counted is None else (value, sums.counted)


def concordance_correlation(
    y_true: Input,
    y_pred: Input,
    *,
    axis: Axis = None,
    where: Input | None = None,
    axis_name: AxisName = None,
) -> Array:
    """1 - 2 cov(t, p) / (var t + var p + (mean p - mean t)²), t = `y_true`, p = `y_pred`.

    Use: agreement up to the spread of the truth, as of ratings of emotions: it punishes a wrong
    mean and a wrong spread, which 1 minus a correlation does not. Batches must be large enough
    for a variance.

    Shapes: equal, ranks aligned; values without the axes `axis`. axis=None takes moments over
    everything, the batch included, and gives a scalar; axis=0 gives one value a column. Range: 0
    (equal) to 2; 1 for a constant prediction, and 0 where nothing varies and all is equal.
    `where`, masks and weights as in `dice`; `axis_name` too. Variances divide by the number.
    Totals of parts are made of plain squares: where the mean is far beyond the spread, subtract a
    number near it from both, which changes no value.
    Raises ValueError for shapes that do not fit.
    Source: Lin (1989), Biometrics 45(1), 255-268.

    >>> print(concordance_correlation([0.0, 2.0], [1.0, 2.0]).round(4))
    0.3333
    """
    check.axis_name("concordance_correlation", axis_name)
    entries = _entries("concordance_correlation", y_true, y_pred, where)
    return _concordance(_standard_squares(entries, axis, axis_name))


def _standard_squares(e: moments.Entries, axis: Axis, axis_name: AxisName) -> Sums:
    """A shift and a factor common to both change nothing, but for what is rounded."""
    return _squares(moments.standardised(e, axis, axis_name), axis, axis_name)


def _squares(e: moments.Entries, axis: Axis, axis_name: AxisName = None) -> Sums:
    squares = jnp.square(e.true) + jnp.square(e.pred)
    return moments.sums(e, axis, axis_name, e.true, e.pred, squares, jnp.square(e.error))


def _concordance(sums: Sums) -> Array:
    t, p, squares, error = moments.means(sums)
    spread = squares - 2 * t * p
    return quotient(error, jnp.where(spread > 0, spread, jnp.inf))


class ConcordanceCorrelation(_Moments):
    fn = concordance_correlation
    aliases = ("ccc",)
    axis: Axis = static(default=None, types=AXIS_TYPES, kw_only=True)

    def call(self, y_true: Any, y_pred: Any, where: Array | None = None) -> Any:
        entries = self.entries(y_true, y_pred, where)
        return self.from_sums(_standard_squares(entries, self.axis, self._axis_name()))

    def sums(self, y_true: Any, y_pred: Any, where: Array | None = None) -> Sums:
        return _squares(self.entries(y_true, y_pred, where), self.axis)

    def from_sums(self, sums: Sums) -> Any:
        return _with_counted(_concordance(sums), sums)


def scale_invariant_log(
    y_true: Input,
    y_pred: Input,
    *,
    axis: Axis = -1,
    invariance: Hyper = 0.5,
    epsilon: Hyper = 1e-7,
    where: Input | None = None,
    axis_name: AxisName = None,
) -> Array:
    """mean(g²) - invariance mean(g)², g = log(y_pred / y_true), both no less than epsilon.

    Use: depth, or another quantity > 0 that a picture gives up to a factor: `invariance` is the
    share of a factor common to a sample that is forgiven. Depths that are not known are for
    `where`, or the mask. Predict with exp or softplus: below epsilon there is no gradient.

    `invariance` is in [0, 1] (0: the mean squared logarithmic ratio; 1: the variance of g);
    `epsilon` > 0 has the unit of `y_true`.
    Shapes: equal, ranks aligned; values without the axes `axis`: (1, 2) for pictures of shape
    (B, H, W), None for one value of all pixels of the batch. `where`, masks, weights and
    `axis_name` as in `dice`. The root of the values, times 10, is what BTS and AdaBins train with,
    at an invariance of 0.85 and of all pixels. Totals of parts are made of plain squares: they lose
    digits where the invariance is about 1 and the factor is large.
    Raises ValueError for hyperparameters out of range and for shapes that do not fit.
    Source: Eigen et al. (2014), arXiv:1406.2283, eq. 4.

    >>> print(scale_invariant_log([[1.0, 1.0]], [[2.0, 2.0]], invariance=1.0).round(4))
    [0.]
    """
    name = "scale_invariant_log"
    check.within(name, "invariance", invariance, "[0, 1]")
    check.within(name, "epsilon", epsilon, "(0, inf)")
    check.axis_name(name, axis_name)
    entries = _entries(name, y_true, y_pred, where)
    sums, centre = _centred_ratios(entries, axis, axis_name, epsilon)
    return _scale_invariant(sums, invariance, centre)


@elementwise()
def _log_ratio(t: Array, p: Array, epsilon: Array) -> Array:
    return log_ratio(True, curves.no_less(epsilon, p), curves.no_less(epsilon, t))


def _ratios(e: moments.Entries, epsilon: Hyper) -> Array:
    return _log_ratio(e.true, e.pred, jnp.asarray(epsilon, e.pred.dtype))


def _centred_ratios(
    e: moments.Entries, axis: Axis, axis_name: AxisName, epsilon: Hyper
) -> tuple[Sums, Array]:
    """The sums about the mean, a constant, and that mean: their variance loses no digits."""
    g = _ratios(e, epsilon)
    centre = moments.mean(g, e, axis, axis_name)
    sums = moments.sums(e, axis, axis_name, g - centre, jnp.square(g - centre))
    return sums, jnp.squeeze(centre, axis)


def _scale_invariant(sums: Sums, invariance: Hyper, centre: Array | float = 0.0) -> Array:
    first, second = moments.means(sums)
    apart = 1 - jnp.asarray(invariance, first.dtype)
    return second - jnp.square(first) + apart * jnp.square(centre + first)


class ScaleInvariantLog(_Moments):
    fn = scale_invariant_log
    domain = "positive"
    aliases = ("silog",)
    axis: Axis = static(default=-1, types=AXIS_TYPES, kw_only=True)
    invariance: Hyper = leaf(default=0.5, interval="[0, 1]", kw_only=True)
    epsilon: Hyper = leaf(default=1e-7, interval="(0, inf)", kw_only=True)

    def call(self, y_true: Any, y_pred: Any, where: Array | None = None) -> Any:
        entries = self.entries(y_true, y_pred, where)
        sums, centre = _centred_ratios(entries, self.axis, self._axis_name(), self.epsilon)
        return _with_counted(_scale_invariant(sums, self.invariance, centre), sums)

    def sums(self, y_true: Any, y_pred: Any, where: Array | None = None) -> Sums:
        e = self.entries(y_true, y_pred, where)
        g = _ratios(e, self.epsilon)
        return moments.sums(e, self.axis, None, g, jnp.square(g))

    def from_sums(self, sums: Sums) -> Any:
        return _with_counted(_scale_invariant(sums, self.invariance), sums)
