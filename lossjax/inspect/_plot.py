"""`plot`: the curve of a loss; `plot_batch`: which samples of a batch carry it."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import numpy as jnp

from lossjax import losses
from lossjax.core import check
from lossjax.core.config import resolved
from lossjax.core.loss import Loss
from lossjax.core.texts import nearest
from lossjax.core.types import Array, Input
from lossjax.inspect import _picture, _subject
from lossjax.inspect._case import raised
from lossjax.inspect._explain import explain, position
from lossjax.inspect._picture import INK, MAIN, MUTED, OTHER

POINTS = 401
BINS = 30
POLE = 3  # an end is cut off that lies so many times the spread of the curves outside it
NAMED = 5  # samples that are named in a picture


class Line(NamedTuple):
    """One sample whose prediction depends on one number x.

    `inputs` makes (y_true, y_pred), with a batch axis, of x; the value is that of the first
    sample.
    """

    label: str
    axis: str
    low: float
    high: float
    inputs: Callable[[Array], tuple[Any, Any]]


def _of_truth(truth: float, axis: str, low: float, high: float) -> Line:
    def inputs(x: Array) -> tuple[Any, Any]:
        return jnp.full((1, 1), truth), x[None, None]

    return Line(f"y_true = {truth:g}", axis, low, high, inputs)


def _of_error(x: Array) -> tuple[Any, Any]:
    """A true value that is not 0: some losses are relative to it."""
    return jnp.ones((1, 1)), 1 + x[None, None]


def _of_class(axis: str, low: float, high: float, one_hot: bool, share: bool) -> Line:
    def inputs(x: Array) -> tuple[Any, Any]:
        other = 1 - x if share else jnp.zeros_like(x)
        truth = jnp.asarray([[1.0, 0.0]]) if one_hot else jnp.zeros(1, int)
        return truth, jnp.stack([x, other])[None]

    return Line("", axis, low, high, inputs)


def _of_angle(x: Array) -> tuple[Any, Any]:
    return jnp.asarray([[1.0, 0.0]]), jnp.stack([jnp.cos(x), jnp.sin(x)])[None]


def _of_region(x: Array) -> tuple[Any, Any]:
    """Two pixels, one inside the region and one outside; below 0 the first one is missed."""
    return jnp.asarray([[1.0, 0.0]]), jnp.stack([1 + jnp.minimum(x, 0), jnp.maximum(x, 0)])[None]


def _of_pair(x: Array) -> tuple[Any, Any]:
    """An embedding, one of its class at the cosine x, and one of another class at right angles."""
    rest, zero, one = jnp.sqrt(jnp.maximum(1 - x**2, 1e-12)), jnp.zeros_like(x), jnp.ones_like(x)
    rows = [[one, zero, zero], [x, rest, zero], [zero, zero, one]]
    return jnp.asarray([0, 0, 1]), jnp.stack([jnp.stack(row) for row in rows])


def _of_step(x: Array) -> tuple[Any, Any]:
    """One step of a sequence whose label is class 1, beside the blank."""
    return jnp.ones((1, 1), int), jnp.stack([jnp.zeros_like(x), x])[None, None]


def _of_hidden(x: Array) -> tuple[Any, Any]:
    """A hidden state of one number, and a kernel that makes the logits x and 0 of it."""
    return jnp.zeros(1, int), (jnp.ones((1, 1)), jnp.stack([x, jnp.zeros_like(x)])[None])


_SHARE, _LOGIT = "probability of the true class", "logit of the true class, the other being 0"
_LINES: dict[str, tuple[Line, ...]] = {
    "real": (Line("", "error y_pred - y_true, y_true being 1", -3, 3, _of_error),),
    "positive": (_of_truth(1.0, "y_pred, y_true being 1", 0.01, 4),),
    "count": (_of_truth(2.0, "rate y_pred, the count being 2", 0.02, 8),),
    "binary": tuple(_of_truth(t, "probability y_pred", 0.005, 0.995) for t in (1.0, 0.0)),
    "region": (
        Line("", "below 0: part missed; above 0: part in excess", -0.995, 0.995, _of_region),
    ),
    "binary logits": tuple(_of_truth(t, "logit y_pred", -6, 6) for t in (1.0, 0.0)),
    "class": (_of_class(_SHARE, 0.005, 0.995, True, True),),
    "distribution": (_of_class(_SHARE, 0.005, 0.995, True, True),),
    "class logits": (_of_class(_LOGIT, -6, 6, True, False),),
    "label": (_of_class(_SHARE, 0.005, 0.995, False, True),),
    "label logits": (_of_class(_LOGIT, -6, 6, False, False),),
    "sign": (_of_truth(1.0, "score y_pred, y_true being 1", -3, 3),),
    "score": (_of_class("score of the true class, the other being 0", -3, 3, True, False),),
    "embedding": (Line("", "cosine to the embedding of its class", -0.995, 0.995, _of_pair),),
    "sequence": (Line("", "logit of the label in the only step", -6, 6, _of_step),),
    "hidden": (Line("", _LOGIT, -6, 6, _of_hidden),),
}
_ANGLE = Line("", "angle between y_true and y_pred, in radians", -np.pi, np.pi, _of_angle)


def plot(loss: Any, *, domain: str | None = None, **family: Sequence[float]) -> Any:
    """Value, gradient and curvature of a loss over the error, the probability or the logit.

    `loss` is a `Loss`, a class of one, a name or a function. A hyperparameter may be given as a
    sequence of numbers, `plot("huber", delta=[0.5, 1, 2])`: a curve for each; several, of one
    length, vary together. `domain`, one of `lossjax.testing.DOMAINS`, says what the loss takes;
    known for the losses of lossjax, "real" for others. Derivatives are by the number on the
    horizontal axis. Where a curve grows steeply towards an end of that axis, it is cut off, and
    the title says from where to where it goes.

    Returns a matplotlib figure, which a notebook shows and `.savefig(path)` writes. Raises
    ValueError for a domain without a curve, for sequences of unequal length and for a loss that
    cannot be computed there.
    """
    found = resolved("plot", loss)
    domain = domain or _subject.domain_of(found) or "real"
    if domain not in _LINES:
        raise ValueError(
            f"plot: no curve for {_subject.name_of(found)}: domain must be one of "
            f"{tuple(_LINES)}, got {domain!r}.{nearest(domain, _LINES)}"
        )
    lines = _LINES[domain]
    if isinstance(found, losses.CosineSimilarity) or found is losses.cosine_similarity:
        lines = (_ANGLE,)
    members = list(_family(found, family))
    if len(members) > 1:
        lines = lines[:1]
    curves = [(name or line.label, line, member) for name, member in members for line in lines]
    title = _subject.name_of(found) + (f", {lines[0].label}" if family and lines[0].label else "")
    figure, axes = _picture.panels(title, 3)
    for (label, line, member), color in zip(curves, _picture.shades(len(curves)), strict=True):
        xs = np.linspace(line.low, line.high, POINTS, dtype=np.float32)
        style = (0, (4, 2)) if line is not lines[0] else "-"  # equal curves stay visible
        for ax, ys in zip(axes, _curves(member, line, xs), strict=True):
            ys = np.where(np.isfinite(ys), ys, np.nan)
            ax.plot(xs, ys, color=color, label=label, lw=1.8, ls=style)
    for ax, name in zip(axes, ("value", "gradient", "curvature"), strict=True):
        _picture.named(ax, name + _limited(ax), lines[0].axis)
    if len(curves) > 1:
        axes[0].legend(fontsize=8, frameon=False, labelcolor=INK)
    return figure


def _family(loss: Any, family: dict[str, Sequence[float]]) -> Iterator[tuple[str, Any]]:
    if not family:
        yield "", loss
        return
    columns = [check.curves("plot", name, values) for name, values in family.items()]
    if len(lengths := set(map(len, columns))) > 1:
        raise ValueError(
            f"plot: hyperparameters that vary together need sequences of one length, got "
            f"{sorted(lengths)} numbers for {sorted(family)}."
        )
    if isinstance(loss, Loss):
        for name in family:
            check.choice("plot", "the hyperparameter", name, tuple(loss.hyperparameters()))
    for row in zip(*columns, strict=True):
        changed = dict(zip(family, row, strict=True))
        is_loss = isinstance(loss, Loss)
        made = (
            dataclasses.replace(loss, **changed) if is_loss else functools.partial(loss, **changed)
        )
        yield ", ".join(f"{name} = {value:g}" for name, value in changed.items()), made


def _curves(loss: Any, line: Line, xs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Value, first and second derivative at every x, each x a batch of its own."""
    values = _subject.values_of(loss)

    def value(x: Array) -> Array:
        return jnp.sum(jnp.atleast_1d(values(*line.inputs(x)))[0])

    def all_three(x: Array) -> tuple[Array, Array, Array]:
        return value(x), jax.grad(value)(x), jax.grad(jax.grad(value))(x)

    try:
        found = jax.jit(jax.vmap(all_three))(xs)
    except Exception as error:  # whatever the loss of a user raises
        raise ValueError(
            f"plot: {_subject.name_of(loss)} cannot be computed or differentiated on the samples "
            f"of this domain: {raised(error)} Pass domain=, or ask lossjax.inspect.check."
        ) from error
    value_, slope, curvature = (np.asarray(x) for x in found)
    return value_, slope, curvature


def _limited(ax: Any) -> str:
    """Limits in which the curves can be read, and the words for the title if these cut them off."""
    curves = [np.asarray(line.get_ydata(), float) for line in ax.lines]
    ys = np.concatenate([y[np.isfinite(y)] for y in curves])
    if not ys.size:
        return ": never finite"
    low, high = ys.min(), ys.max()
    below, above = np.quantile(ys, [0.1, 0.9])
    if high - low < 1e-3 * max(1.0, abs(low), abs(high)):  # constant: not its rounding
        half = 0.5 * max(1.0, abs(high))
        ax.set_ylim(low - half, high + half)
        return ""
    # Poles lie at the ends; a peak between them is what the curve is about.
    ends = [end for y in curves for end in y[[0, -1]]]
    spread = above - below
    bottom = below if low in ends and below - low > POLE * spread > 0 else low
    top = above if high in ends and high - above > POLE * spread > 0 else high
    if (bottom, top) == (low, high):
        return ""
    margin = 0.1 * (top - bottom)
    ax.set_ylim(bottom - margin, top + margin)
    tiny = 1e-6 * (high - low)
    words = " to ".join(f"{0 if abs(x) < tiny else x:.3g}" for x in (low, high))
    return f", cut off: from {words}"


def plot_batch(
    loss: Any,
    y_true: Any = None,
    y_pred: Any = None,
    sample_weight: Input | None = None,
    mask: Input | None = None,
    *,
    domain: str | None = None,
) -> Any:
    """The distribution of the values of a batch, and which samples carry loss and gradient.

    Arguments as of `explain`. The second panel reads: so large a part of the loss (sum of the
    sizes of the terms) and of the gradient (sum of the norms) comes from so many samples, the
    largest first. Returns a matplotlib figure. Raises ValueError for a loss without a value per
    sample.
    """
    found = explain(loss, y_true, y_pred, sample_weight, mask, domain=domain)
    terms = found.values if found.terms is None else found.terms
    gradient = found.gradient
    by_sample = isinstance(gradient, np.ndarray) and gradient.shape[: terms.ndim] == terms.shape
    if not terms.ndim or not terms.size or not by_sample:
        raise ValueError(
            f"plot_batch: {found.name} must give one value per sample, got values of shape "
            f"{found.values.shape} for y_pred {np.shape(gradient)}."
        )
    slopes = np.sqrt(np.sum(np.square(gradient.reshape(terms.size, -1), dtype=float), axis=-1))
    sizes = np.abs(terms).ravel().astype(float)
    title = f"{found.name}: {terms.size} samples on {found.given.split(':')[0]}"
    figure, (values, shares, both) = _picture.panels(title, 3)
    _distribution(values, terms.ravel())
    for label, x, color in (("loss", sizes, MAIN), ("gradient", slopes, OTHER)):
        part = np.cumsum(np.sort(x)[::-1]) / (x.sum() or 1)
        shares.plot(np.arange(1, x.size + 1) / x.size, part, color=color, label=label, lw=1.8)
    shares.plot([0, 1], [0, 1], color=MUTED, lw=0.8, ls=":", label="all alike")
    shares.legend(fontsize=8, frameon=False, labelcolor=INK, loc="lower right")
    for axis in (shares.xaxis, shares.yaxis):
        axis.set_major_formatter(lambda x, _: f"{x:.0%}")
    _picture.named(shares, "part of the total that they carry", "samples, largest first")
    largest = np.argsort(-sizes, kind="stable")[:NAMED]
    both.scatter(sizes, slopes, s=14, color=MAIN, alpha=0.6, linewidths=0)
    both.scatter(sizes[largest], slopes[largest], s=22, color=OTHER, linewidths=0)
    names = "; ".join(position(np.unravel_index(i, terms.shape)) for i in largest)
    _picture.named(both, "norm of the gradient", f"size of the term; largest at {names}")
    return figure


def _distribution(ax: Any, terms: np.ndarray) -> None:
    finite = terms[np.isfinite(terms)].astype(float)
    ax.hist(finite, bins=min(BINS, max(5, int(np.sqrt(finite.size)) * 2)), color=MAIN, alpha=0.75)
    if finite.size:
        for label, f, style in (("mean", np.mean, "-"), ("median", np.median, "--")):
            ax.axvline(f(finite), color=INK, lw=1, ls=style, label=f"{label} {f(finite):.3g}")
        ax.legend(fontsize=8, frameon=False, labelcolor=INK)
    lost = terms.size - finite.size
    _picture.named(ax, "samples", "term" + (f"; {lost} NaN or infinite" if lost else ""))
