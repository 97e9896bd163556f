"""Value and gradient of every loss against 220 digits, in ulps of float32, and beside Keras's.

The unit of an error is one ulp at the exact result. Where the formula rounds at another size
(log q at a softmax sum of 1, 1 - a ratio, two addends of a gradient that cancel), `sizes` of the
row tells the size of the largest addend, and the unit is one ulp there. An absolute error below
the smallest normal number counts as none: XLA flushes subnormals to zero.

Elementwise losses have one entry in a row, so that no sum hides its parts. The table of the
thorough test is printed (`pytest -s`) and recorded as property "accuracy": bound, ours, Keras's,
and where ours is worst.
"""

from typing import NamedTuple

import jax
import numpy as np
import pytest
from jax import numpy as jnp

import exact
from cases import ROWS
from samples import sample

TINY = float(np.finfo(np.float32).tiny)
SOME = 40  # samples of the test that is not thorough


def variant_name(variant):
    case, config = variant
    return f"{case.loss.__name__}({', '.join(f'{k}={x}' for k, x in config.items())})"


def variants():
    """A sample is one row here, whatever axis it lies along: `axis` makes no variant."""
    for case in ROWS:
        for config in (*case.configs, *case.measured):
            yield case, {key: x for key, x in config.items() if key != "axis"}


every_variant = pytest.mark.parametrize(
    "variant", list({variant_name(v): v for v in variants()}.values()), ids=variant_name
)


def ulps(got, want, size):
    """|got - want| in units of the last place of float32 at `size`."""
    with np.errstate(over="ignore", invalid="ignore"):  # both may be infinite
        rounded = np.float32(want)
        error = np.maximum(np.abs(np.float64(got) - np.float64(want)) - TINY, 0)
    unit = np.spacing(np.float32(np.clip(size, TINY, 1e38))).astype(np.float64)
    return np.where(got == rounded, 0, np.nan_to_num(error / unit, nan=np.inf))


def values_and_gradients(functions, y_true, y_pred):
    """Of several losses, in one program: compiling is what takes the time here."""

    @jax.jit
    @jax.vmap
    def of_all(p, t):
        return [jax.value_and_grad(lambda p, f=f: jnp.sum(f(t, p)))(p) for f in functions]

    return jax.tree.map(np.asarray, of_all(y_pred, y_true))


class Measured(NamedTuple):
    """Of the value or of the gradient: everything an entry each."""

    exact: np.ndarray
    size: np.ndarray
    ours: np.ndarray
    keras: np.ndarray | None = None

    @property
    def ours_ulps(self):
        return ulps(self.ours, self.exact, self.size)

    @property
    def keras_ulps(self):
        return ulps(self.keras, self.exact, self.size)


def measured(case, config, some=None, twin=None):
    """The inputs, and what was measured of the value and of the gradient."""
    if case.exact is None or case.ulps is None:
        pytest.skip("its row has no `exact`, or `ulps=None`")
    y_true, y_pred = sample(case, config)
    if some is not None:
        rows = np.random.default_rng(0).permutation(len(y_pred))[:some]
        y_true, y_pred = y_true[rows], y_pred[rows]
    rows = zip(y_true, y_pred, strict=True)
    want = [exact.value_and_gradient(case.exact, t, p, config) for t, p in rows]
    want = [np.array(x) for x in zip(*want, strict=True)]
    sizes = exact.sizes(case.sizes, y_true, y_pred, config, want)
    functions = [loss(**config, reduction=None) for loss in (case.loss, twin) if loss]
    if case.packed:
        functions = [lambda t, p: case.loss(**config, reduction=None)(t, case.packed(p))]
    got = values_and_gradients(functions, y_true, y_pred)
    return y_true, y_pred, [Measured(*x) for x in zip(want, sizes, *got, strict=True)]


def show(x):
    return f"[{' '.join(map(str, np.ravel(x)))}]"


def report(name, bounds, y_true, y_pred, both):
    """A line of the table for the value and one for the gradient."""
    for kind, m, bound in zip(("value", "gradient"), both, bounds, strict=True):
        row = np.unravel_index(np.argmax(m.ours_ulps), m.exact.shape)[0]
        where = f"t={show(y_true[row])} p={show(y_pred[row])}" if m.ours_ulps.any() else ""
        keras = "–" if m.keras is None else f"{m.keras_ulps.max():.3g}"
        yield f"{name:76}{kind:9}{bound:5}{m.ours_ulps.max():7.2f}{keras:>9}  {where}"


def allowed(case):
    """Those of the row are of a CPU; a GPU's quotients are rounded to one of two neighbours."""
    return case.ulps if jax.default_backend() == "cpu" else [bound + 1 for bound in case.ulps]


@every_variant
def test_accuracy(variant):
    """Within the bounds of the row, at some of the samples."""
    measurement = measured(*variant, some=SOME)
    lines = list(report(variant_name(variant), allowed(variant[0]), *measurement))
    for line, m, bound in zip(lines, measurement[-1], allowed(variant[0]), strict=True):
        assert m.ours_ulps.max() <= bound, line


@pytest.mark.thorough
@every_variant
def test_accuracy_at_every_sample(variant, record_property):
    """Not worse than Keras either, and no farther from Keras than its own rounding."""
    case, config = variant
    measurement = measured(case, config, twin=case.twin)
    for line in report(variant_name(variant), allowed(case), *measurement):
        print(line)
        record_property("accuracy", line)
    for m, bound in zip(measurement[-1], allowed(case), strict=True):
        assert m.ours_ulps.max() <= bound
        if case.twin:
            assert m.ours_ulps.max() <= 2 + 1.5 * m.keras_ulps.max()
            apart = ulps(m.ours, m.keras, m.size)
            assert np.all((apart <= m.keras_ulps + bound) | ~np.isfinite(m.keras))
            assert np.median(m.keras_ulps) <= 4  # the definitions are Keras's
