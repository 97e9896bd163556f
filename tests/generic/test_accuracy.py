"""Value and gradient of every loss against 220 digits, in ulps of float32, and beside Keras's.

The unit of an error is one ulp at the exact result. Where the formula rounds at another size
(log q at a softmax sum of 1, 1 - a ratio, two addends of a gradient that cancel), `SIZES` tells
the size of the largest addend, and the unit is one ulp there. An absolute error below the
smallest normal number counts as none: XLA flushes subnormals to zero.

Elementwise losses have one entry in a row, so that no sum hides its parts. The table is printed
(`pytest -s`) and recorded as property "accuracy" of the tests: bound, ours, Keras's, and where
ours is worst.
"""

import zlib
from typing import NamedTuple

import jax
import numpy as np
import pytest
from jax import numpy as jnp

import exact
import keras
from cases import CASES
from cases import VARIANTS as ALL_VARIANTS
from lossjax import losses, testing

# A sample is one row here, whatever axis it lies along: `axis` makes no variant.
TABLE = [
    (case.loss, {key: x for key, x in config.items() if key != "axis"})
    for case, config in ALL_VARIANTS
]
MORE = [
    (losses.Huber, {"delta": 1e-3}),
    (losses.BinaryCrossentropy, {"label_smoothing": 0.001, "from_logits": True}),
    (losses.BinaryFocalCrossentropy, {"label_smoothing": 0.001, "from_logits": True}),
    (losses.BinaryFocalCrossentropy, {"gamma": 0.5, "from_logits": True}),
    (losses.CategoricalFocalCrossentropy, {"gamma": 0.5, "from_logits": True}),
    (losses.CategoricalGeneralizedCrossEntropy, {"q": 0.1}),
    (losses.Tversky, {"alpha": 5.0, "beta": 0.0}),
]


def variant_name(variant):
    loss, config = variant
    return f"{loss.__name__}({', '.join(f'{k}={x}' for k, x in config.items())})"


VARIANTS = list({variant_name(v): v for v in TABLE + MORE}.values())

TINY = float(np.finfo(np.float32).tiny)
CLASSES = 5


# --- inputs: (y_true, y_pred), a sample each row ------------------------------------------------


def neighbours(x, ulps):
    """Floats so many ulps above `x`."""
    return (x.view(np.int32) + np.int32(ulps)).view(np.float32)


def pairs(a, b):
    return [np.float32(x).reshape(-1, 1) for x in np.meshgrid(a, b)]


def joined(*samples):
    return [np.concatenate(x) for x in zip(*samples, strict=True)]


def magnitudes(rng, low, high, n):
    return np.float32(10.0 ** rng.uniform(low, high, n))


def real(rng):
    """Errors from 1e-30 to 1e18, dense near 0.3, 1, 1.5 and 5, and by a few ulps."""
    grid = [0, 1e-30, 1e-10, 1e-4, 0.1, 1, 3, 1e3, 1e8, 1e18]
    grid = [*grid, *np.negative(grid[1:])]
    size = np.concatenate([magnitudes(rng, -30, 18, 100), magnitudes(rng, -4, 2, 200)])
    bends = [np.float32(rng.normal(x, 0.02 * x, 40)) for x in (0.3, 1, 1.5, 5)]
    error = np.concatenate([size, *bends])
    t = np.float32(rng.normal(size=200))
    close = neighbours(t, rng.choice([1, 2, 5, 100, 10000], 200))
    zero = np.zeros(error.size, np.float32)
    signed = error * np.float32(rng.choice([-1, 1], error.size))
    return joined(pairs(grid, grid), (zero[:, None], signed[:, None]), (t[:, None], close[:, None]))


def positive(rng):
    grid = [-1, 0, 1e-30, 1e-10, 1e-7, 1e-3, 0.1, 1, 2, 1e4, 1e10, 1e30]
    t, p = magnitudes(rng, -8, 8, 300), magnitudes(rng, -8, 8, 300)
    near = neighbours(t, rng.choice([-100, -2, -1, 1, 2, 100, 10000], 300))
    return joined(pairs(grid, grid), (t[:, None], p[:, None]), (t[:, None], near[:, None]))


def count(rng):
    rates = np.concatenate([magnitudes(rng, -30, 18, 60), magnitudes(rng, -2, 2, 60), [0, 1]])
    return pairs(rates, [0, 1, 2, 7, 1000])


def sign(rng):
    scores = np.concatenate([magnitudes(rng, -30, 18, 60), rng.normal(size=200), [0, 1]])
    near_one = neighbours(np.ones(6, np.float32), np.array([-100, -2, -1, 1, 2, 100]))
    scores = np.concatenate([scores, near_one])
    return pairs([*scores, *-scores], [-1, 0, 1])[::-1]


def unit_interval(rng):
    p = np.concatenate([magnitudes(rng, -30, 0, 40), rng.uniform(size=80), [0, 1e-7, 0.5, 1]])
    return np.concatenate([p, 1 - 2.0 ** -np.arange(1, 25), 1 - magnitudes(rng, -6.5, 0, 40)])


def binary(rng):
    return pairs([0, 0.3, 1], unit_interval(rng))


def logits(rng):
    z = np.concatenate([magnitudes(rng, -30, 4, 40), rng.normal(0, 3, 60), [80, 100, 1e4]])
    return np.concatenate([z, -z])


def binary_logits(rng):
    return pairs([0, 0.3, 1], logits(rng))


def rows(rng, n):
    return np.eye(CLASSES, dtype=np.float32)[rng.integers(0, CLASSES, n)]


def shares(rng, n):
    """Probabilities: mild ones, one of nearly 1, and unnormalised ones from 1e-6 to 1e6."""
    p = rng.dirichlet(np.ones(CLASSES), n)
    sure = rows(rng, n) + rng.dirichlet(np.ones(CLASSES), n) * magnitudes(rng, -5, 0, (n, 1))
    wild = magnitudes(rng, -6, 6, (n, 1)) * magnitudes(rng, -5, 0, (n, CLASSES))
    return np.float32(np.concatenate([p, sure / sure.sum(-1, keepdims=True), wild]))


def scores(rng, n):
    """Logits of every size up to 1e4, some nearly equal."""
    sizes = [1e-3, 1, 5, 30, 1e4]
    return np.concatenate([np.float32(rng.normal(0, s, (n, CLASSES))) for s in sizes])


def targets(rng, n):
    """One-hot, and one soft row in four."""
    soft = np.float32(rng.dirichlet(np.ones(CLASSES), n))
    return np.where(np.arange(n)[:, None] % 4 == 0, soft, rows(rng, n))


def with_targets(y_pred):
    def sample(rng):
        p = y_pred(rng, 12)
        return targets(rng, len(p)), p

    return sample


def with_labels(y_pred):
    def sample(rng):
        p = y_pred(rng, 12)
        return rng.integers(-1, CLASSES + 1, len(p)), p

    return sample


def label(rng):
    """The label's probability covers (0, 1]; the others do not count."""
    p = np.concatenate([magnitudes(rng, -30, 0, 60), unit_interval(rng)])
    p = np.float32(p[p > 0])
    return np.zeros(p.size, int), np.stack([p, 1 - p], 1)


def vectors(rng):
    """Of every length from 1e-15 to 1e16, parallel, orthogonal and between."""
    n = 80
    t = rng.normal(size=(n, CLASSES))
    noise = 10.0 ** rng.uniform(-8, 1, (n, 1)) * rng.normal(size=(n, CLASSES))
    length = [magnitudes(rng, -15, 16, (n, 1)) for _ in range(2)]
    return np.float32(t * length[0]), np.float32((t + noise) * length[1])


def score(rng):
    n = 40
    p = [np.float32(rng.normal(0, s, (n, CLASSES))) for s in (1e-20, 1, 100, 1e10)]
    return rows(rng, 4 * n), np.concatenate(p)


def distribution(rng):
    t, p, sure = shares(rng, 24)[:24], shares(rng, 24)[:24], shares(rng, 24)[24:48]
    return joined((t, p), (sure, sure[:, ::-1]), (t, neighbours(t, 3)), (rows(rng, 24), p))


def region(rng):
    n = 40
    t = np.float32(rng.integers(0, 2, (3 * n, CLASSES)))
    p = np.concatenate([rng.uniform(size=(n, CLASSES)), magnitudes(rng, -12, 0, (n, CLASSES))])
    good = np.abs(t[2 * n :] - magnitudes(rng, -7, -1, (n, CLASSES)))
    return t, np.concatenate([p, good]).astype(np.float32)


def embedding(rng):
    x = rng.normal(size=(6, 5, 3))
    return rng.integers(0, 2, (6, 5)), np.float32(x / np.linalg.norm(x, axis=-1, keepdims=True))


def sequence(rng):
    labels = [[[1, 2]], [[1, 1]], [[2, 0]], [[0, 0]]] * 2
    z = [rng.normal(0, s, (4, 1, 4, exact.CTC_CLASSES)) for s in (1, 30)]
    return np.array(labels), np.float32(np.concatenate(z))


SAMPLES = {
    "real": real,
    "positive": positive,
    "count": count,
    "sign": sign,
    "binary": binary,
    "binary logits": binary_logits,
    "class": with_targets(shares),
    "class logits": with_targets(scores),
    "label": with_labels(shares),
    "label logits": with_labels(scores),
    "score": score,
    "distribution": distribution,
    "region": region,
    "embedding": embedding,
    "sequence": sequence,
    "CosineSimilarity": vectors,
    "CategoricalGeneralizedCrossEntropy": label,
}


def sample(loss):
    name = type(loss).__name__
    draw = SAMPLES.get(name) or SAMPLES[testing.domain_of(loss).name]
    return draw(np.random.default_rng(zlib.crc32(name.encode())))


# --- measurement --------------------------------------------------------------------------------


def ulps(got, want, size):
    """|got - want| in units of the last place of float32 at `size`."""
    with np.errstate(over="ignore"):
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
    keras: np.ndarray

    @property
    def ours_ulps(self):
        return ulps(self.ours, self.exact, self.size)

    @property
    def keras_ulps(self):
        return ulps(self.keras, self.exact, self.size)


def measured(loss, config):
    """The inputs, and what was measured of the value and of the gradient."""
    ours = loss(**config, reduction=None)
    theirs = getattr(keras.losses, loss.__name__)(**config, reduction=None)
    y_true, y_pred = sample(ours)
    y_true = y_true if loss._declared.domain.labelled else np.float32(y_true)
    y_pred = np.float32(y_pred)
    rows = zip(y_true, y_pred, strict=True)
    want = [exact.value_and_gradient(loss.__name__, t, p, config) for t, p in rows]
    want = [np.array(x) for x in zip(*want, strict=True)]
    sizes = exact.sizes(loss.__name__, y_true, y_pred, config, want)
    got = values_and_gradients((ours, theirs), y_true, y_pred)
    return y_true, y_pred, [Measured(*x) for x in zip(want, sizes, *got, strict=True)]


# --- bounds and tests ---------------------------------------------------------------------------

# Ulps of the value and of the gradient: about twice what was measured, and what dominates.
BOUNDS = {
    "MeanSquaredError": (2, 1),  # the rounded error, squared
    "MeanAbsoluteError": (1, 1),
    "MeanAbsolutePercentageError": (3, 2),
    "MeanSquaredLogarithmicError": (10, 6),  # log1p, squared
    "Huber": (3, 1),
    "LogCosh": (16, 8),  # XLA's expm1 and tanh on CPU have 4 ulps; expm1 is squared
    "CosineSimilarity": (6, 6),  # rsqrt
    "Hinge": (1, 1),
    "SquaredHinge": (4, 1),
    "CategoricalHinge": (2, 1),
    "KLDivergence": (4, 1),  # log1p
    "Poisson": (3, 3),
    "BinaryCrossentropy": (6, 6),
    "BinaryFocalCrossentropy": (12, 12),  # (1 - p_t)^gamma: gamma times the error of p_t
    "CategoricalCrossentropy": (5, 6),  # log, softmax
    "CategoricalFocalCrossentropy": (6, 10),  # expm1(log q) to the power gamma
    "SparseCategoricalCrossentropy": (4, 6),
    "CategoricalGeneralizedCrossEntropy": (8, 3),  # expm1
    "Dice": (3, 7),
    "Tversky": (3, 10),
    "Circle": (3, 8),
    "CTC": (2, 1),
}


def test_every_loss_is_measured():
    assert set(exact.FORMULAS) == set(BOUNDS) == {case.loss.__name__ for case in CASES}


def show(x):
    return f"[{' '.join(map(str, np.ravel(x)))}]"


def report(name, bounds, y_true, y_pred, both):
    """A line of the table for the value and one for the gradient."""
    for kind, m, bound in zip(("value", "gradient"), both, bounds, strict=True):
        row = np.unravel_index(np.argmax(m.ours_ulps), m.exact.shape)[0]
        where = f"t={show(y_true[row])} p={show(y_pred[row])}" if m.ours_ulps.any() else ""
        yield (
            f"{name:76}{kind:9}{bound:5}{m.ours_ulps.max():7.2f}{m.keras_ulps.max():9.3g}  {where}"
        )


@pytest.mark.parametrize("variant", VARIANTS, ids=variant_name)
def test_accuracy(variant, record_property):
    """Within the bounds, not worse than Keras, and no farther from Keras than its own rounding."""
    measurement = measured(*variant)
    for line in report(variant_name(variant), BOUNDS[variant[0].__name__], *measurement):
        print(line)
        record_property("accuracy", line)
    for m, bound in zip(measurement[-1], BOUNDS[variant[0].__name__], strict=True):
        assert m.ours_ulps.max() <= bound
        assert m.ours_ulps.max() <= 2 + 1.5 * m.keras_ulps.max()
        apart = ulps(m.ours, m.keras, m.size)
        assert np.all((apart <= m.keras_ulps + bound) | ~np.isfinite(m.keras))
        assert np.median(m.keras_ulps) <= 4  # the definitions are Keras's


def test_log_cosh_where_keras_has_zero():
    error = np.float32([1e-4])
    assert keras.losses.log_cosh(np.zeros(1), error) == 0
    np.testing.assert_allclose(losses.log_cosh(np.zeros(1), error), 5e-9, rtol=1e-6)
