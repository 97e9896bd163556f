"""`plot`: the curve of a loss; `plot_batch`: which samples of a batch carry it."""

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from lossjax.core import check
from lossjax.core.config import resolved
from lossjax.core.domain import DOMAINS, REAL, Domain, Line, named
from lossjax.core.loss import Loss
from lossjax.core.types import Array, Input
from lossjax.inspect import _picture, _subject
from lossjax.inspect._case import raised
from lossjax.inspect._explain import explain, position
from lossjax.inspect._picture import INK, MAIN, MUTED, OTHER

POINTS = 401
BINS = 30
POLE = 3  # an end is cut off that lies so many times the spread of the curves outside it
NAMED = 5  # samples that are named in a picture


def plot(loss: Any, *, domain: str | Domain | None = None, **family: Sequence[float]) -> Any:
    """Value, gradient and curvature of a loss over the error, the probability or the logit.

    `loss` is a `Loss`, a class of one, a name or a function. A hyperparameter may be given as a
    sequence of numbers, `plot("huber", delta=[0.5, 1, 2])`: a curve for each; several, of one
    length, vary together. `domain`, a `Domain` or the name of one of `lossjax.testing.DOMAINS`,
    says what the loss takes; known for the losses of lossjax, "real" for others. Derivatives are
    by the number on the horizontal axis. Where a curve grows steeply towards an end of that axis,
    it is cut off, and the title says from where to where it goes.

    Returns a matplotlib figure, which a notebook shows and `.savefig(path)` writes. Raises
    ValueError for a domain without curves, for sequences of unequal length and for a loss that
    cannot be computed there.
    """
    found = resolved("plot", loss)
    chosen = (_subject.domain_of(found) or REAL) if domain is None else named("plot", domain)
    lines = chosen.curves
    if not lines:
        raise ValueError(
            f"plot: no curve for {_subject.name_of(found)}: the domain {chosen.name!r} has no "
            f"`curves`. Pass domain=, one of {tuple(DOMAINS)[:4]} ..., or give it some."
        )
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
        return jnp.mean(jnp.atleast_1d(values(*line.inputs(x)))[0])

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
    domain: str | Domain | None = None,
) -> Any:
    """The distribution of the values of a batch, and which samples carry loss and gradient.

    Arguments as of `explain`. The second panel reads: so large a part of the loss (sum of the
    sizes of the terms) and of the gradient (sum of the norms) comes from so many samples, the
    largest first. Returns a matplotlib figure. Raises ValueError for a loss without a value per
    sample.
    """
    found = explain(loss, y_true, y_pred, sample_weight, mask, domain=domain)
    terms = found.values if found.terms is None else found.terms
    gradients = jax.tree.leaves(found.gradient)
    by_sample = all(x.shape[: terms.ndim] == terms.shape for x in gradients)
    if not terms.ndim or not terms.size or not by_sample:
        raise ValueError(
            f"plot_batch: {found.name} must give one value per sample, got values of shape "
            f"{found.values.shape} for y_pred {' and '.join(str(x.shape) for x in gradients)}."
        )
    entries = np.concatenate([x.reshape(terms.size, -1) for x in gradients], -1)
    slopes = np.sqrt(np.sum(np.square(entries, dtype=float), axis=-1))
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
