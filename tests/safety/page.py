"""What docs/safety says of a loss: every cell of its table."""

import importlib.util
import warnings
from collections.abc import Iterator, Sequence

import numpy as np

from edges import ABSENT, LIBRARIES, PASSED
from lossjax import Loss
from safety.libraries import OTHERS, Variant, results, variants
from safety.limits import Limit, limit
from safety.points import Point
from safety.verdict import HUGE, failures


def found(loss: type[Loss]) -> dict[str, dict[str, dict[str, str]]]:
    """{options: {group: {library: ✓ or what fails}}}, of the libraries that are installed.

    Empty without a definition: there is nothing to compare with.
    """
    every: dict[str, dict[str, dict[str, str]]] = {}
    installed = [x for x in LIBRARIES if importlib.util.find_spec(x.lower())]
    for variant in variants():
        if variant.loss is loss and variant.case.exact is not None:
            with warnings.catch_warnings():
                # Of Keras and lossjax about one class, of torch about shapes.
                warnings.simplefilter("ignore")
                for group, library, text in cells(variant, installed):
                    every.setdefault(variant.options, {}).setdefault(group, {})[library] = text
    return every


def versions() -> dict[str, str]:
    """Of the libraries that are installed."""
    packages = ("jax", *(library.lower() for library in LIBRARIES[1:]))
    installed = (name for name in packages if importlib.util.find_spec(name))
    return {name: importlib.import_module(name).__version__.split("+")[0] for name in installed}


def cells(
    variant: Variant, libraries: Sequence[str], some: Sequence[Point] | None = None
) -> Iterator[tuple[str, str, str]]:
    """(group, library, ✓ or what fails) of one loss, at some points or at all."""
    some = variant.points if some is None else some
    limits = _limits(variant, some)
    for library in libraries:
        known = [_finite_only(x) for x in limits] if library in OTHERS else limits
        made = results(library, variant, some)
        failed: dict[str, list[str]] = {point.group: [] for point in some}
        absent = set()
        for point, bounds, result in zip(some, known, made, strict=True):
            if result is None:
                absent.add(point.group)
                continue
            what = ", ".join(failures(point, bounds, result))
            if what:
                failed[point.group].append(": ".join(filter(None, (point.name, what))))
        for group, texts in failed.items():
            text = ABSENT if group in absent else "; ".join(texts) or PASSED
            yield group, library, text


def _limits(variant: Variant, some: Sequence[Point]) -> list[Limit | None]:
    """From the definition, or where it has none what Keras returns, if that is finite."""
    found = [limit(variant.case, variant.config, point) for point in some]
    free = [i for i, x in enumerate(found) if x is None]
    theirs = results("Keras", variant, [some[i] for i in free])
    for i, result in zip(free, theirs, strict=True):
        if result is not None and all(np.isfinite(np.float64(x)).all() for x in result):
            numbers = map(np.float64, (result.value, result.gradient, result.product))
            found[i] = Limit(*(np.stack([x, x]) for x in numbers))
    return found


def _finite_only(bounds: Limit | None) -> Limit | None:
    if bounds is None:
        return None
    return Limit(*(np.where(np.abs(x) > HUGE, x, np.nan) for x in bounds[:3]))
