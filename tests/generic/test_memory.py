"""What a loss keeps and writes besides its result: memory, counted, never timed."""

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from cases import CASES, DEEP, VARIANTS, each_domain, ends, variant_id
from lossjax import losses, testing
from lossjax.math.fusion import SMALL

SHAPE = (512, 2048)

# Numbers in a list are one for each of so many classes.
OF_ROWS = [
    (c, k)
    for c, k in VARIANTS
    if "axis" not in k and not any(isinstance(x, list) for x in k.values())
]
rows = pytest.mark.parametrize(("case", "config"), ends(OF_ROWS), ids=variant_id)

# Whose large programs are others on a GPU.
ELSEWHERE = [
    losses.SparseCategoricalCrossentropy(from_logits=True),
    losses.CategoricalFocalCrossentropy(from_logits=True, label_smoothing=0.1),
    losses.AsymmetricFocal(),
    losses.MeanSquaredLogarithmicError(),
]


of_cpu = pytest.mark.skipif(jax.default_backend() != "cpu", reason="of the program for CPUs")


def arguments(loss, shape=SHAPE):
    return map(jnp.asarray, testing.sample(loss, shape))


@of_cpu
@rows
def test_extra_memory_of_value_and_gradient(case, config):
    if case.extra is None:
        pytest.skip("its row has no `extra`")
    loss = case.loss(**config)
    y_true, y_pred = arguments(loss)
    program = jax.jit(jax.value_and_grad(lambda p, t: loss(t, p))).lower(y_pred, y_true).compile()
    percent = 100 * program.memory_analysis().temp_size_in_bytes / y_pred.nbytes
    assert percent <= case.extra


HALF = [c for c in CASES if c.loss._declared.widens]
SOME = ("Hinge", "Huber", "SparseCategoricalCrossentropy")


def _half(case):
    marks = () if case.loss.__name__ in SOME else pytest.mark.thorough
    return pytest.param(case, id=case.loss.__name__, marks=marks)


@pytest.mark.parametrize("case", [*map(_half, HALF)])
def test_sixteen_bits_are_widened_where_they_are_used(case):
    """Value and gradient are those of float32, and no array of the inputs' size is written."""
    logits = {"from_logits": True} if hasattr(case.loss, "from_logits") else {}
    loss = case.loss(**logits)
    y_true, y_pred = arguments(loss, (64, 4 * SMALL // 64))
    y_true, y_pred = (y if y.dtype == np.int32 else y.astype("bfloat16") for y in (y_true, y_pred))
    run = jax.jit(jax.value_and_grad(lambda p, t: loss(t, p)))
    program = run.lower(y_pred, y_true).compile()
    value, gradient = program(y_pred, y_true)
    expected, wide = run(
        *(y if y.dtype == np.int32 else y.astype(np.float32) for y in (y_pred, y_true))
    )
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    assert gradient.dtype == y_pred.dtype
    np.testing.assert_allclose(gradient.astype(np.float32), wide, rtol=2**-7, atol=1e-12)
    if jax.default_backend() == "cpu":
        assert program.memory_analysis().temp_size_in_bytes <= y_pred.nbytes / 8


@rows
def test_residuals(case, config):
    """The derivative in y_pred keeps one array of its size, and what is as small as a row."""
    if case.residuals is None:
        pytest.skip("its row has no `residuals`")
    loss = case.loss(**config)
    y_true, y_pred = arguments(loss, (6, 7))
    _, pullback = jax.vjp(jax.jit(lambda p: loss(y_true, p)), y_pred)
    kept = [x for x in jax.tree.leaves(pullback) if np.size(x) >= y_pred.size]
    assert len(kept) <= case.residuals


@pytest.mark.parametrize("case", each_domain([c for c in CASES if c.any_rank]), ids=variant_id)
def test_large_arrays_give_what_their_parts_give(case):
    """Programs of small arrays are others (`fusion.SMALL`); most tests have small arrays."""
    config = [k for c, k in OF_ROWS if c is case][-1]
    loss = case.loss(**config, reduction=None)
    y_true, y_pred = testing.sample(loss, (64, 4 * SMALL // 64))
    weigh = np.linspace(-1, 2, 64, dtype=np.float32)

    @jax.jit
    def results(t, p, w):
        values, pullback = jax.vjp(lambda p: loss(t, p), p)
        return values, pullback(w)[0]

    whole = results(y_true, y_pred, weigh)
    parts = [
        results(y_true[i : i + 8], y_pred[i : i + 8], weigh[i : i + 8]) for i in range(0, 64, 8)
    ]
    for large, small in zip(whole, map(np.concatenate, zip(*parts, strict=True)), strict=True):
        np.testing.assert_allclose(large, small, rtol=3e-6, atol=1e-6 * np.abs(small).max())


@pytest.mark.parametrize("loss", ELSEWHERE, ids=repr)
def test_programs_for_a_gpu_give_the_same(loss, monkeypatch):
    """The branch that `lax.platform_dependent` takes there, run here."""
    y_true, y_pred = testing.sample(loss, (32, 2 * SMALL // 32))
    if isinstance(loss, losses.SparseCategoricalCrossentropy):
        y_true[:2], y_pred[2], y_pred[3, :9] = [-1, y_pred.shape[-1]], -np.inf, -np.inf

    def results():
        return jax.jit(jax.value_and_grad(lambda p: loss(y_true, p)))(y_pred)

    def chosen(*xs, default, **branches):
        taken.append("cuda" in branches)
        return branches.get("cuda", default)(*xs)

    (value, slope), taken = results(), []
    monkeypatch.setattr(jax.lax, "platform_dependent", chosen)
    got, slope_there = results()
    assert any(taken)
    np.testing.assert_allclose(got, value, rtol=3e-6)
    for there, here in zip(jax.tree.leaves(slope_there), jax.tree.leaves(slope), strict=True):
        np.testing.assert_allclose(there, here, rtol=3e-5, atol=1e-6 * np.abs(here).max())


@pytest.mark.parametrize(
    ("case", "rows"),
    [(c, 2 * SMALL // 1024) for c in CASES] + [(c, 64) for c in DEEP if c in CASES],
    ids=variant_id,
)
def test_nan_is_seen(case, rows):
    """Reductions of large arrays on CPU drop NaN from max and min that are written carelessly."""
    domain = case.loss._declared.domain
    if case.couples == "pairs" or domain.in_steps or domain.shape[-1] == 1:
        pytest.skip("small arrays")
    loss = case.example(reduction=None)
    y_true, y_pred = testing.sample(loss, (rows, 1024))
    y_pred[3, 2] = np.nan
    if domain.accuracy == "sparse":
        y_true[3] = 2
    values = np.ravel(jax.jit(loss)(y_true, y_pred))
    if case.couples != "none":
        assert np.isnan(values).any()
        return
    assert np.isnan(values[3])
    assert np.isfinite(np.delete(values, 3)).all()


@of_cpu
def test_integer_labels_make_no_one_hot():
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    y_true, y_pred = arguments(loss, (64, 4 * SMALL // 64))
    text = jax.jit(jax.grad(lambda p: loss(y_true, p))).lower(y_pred).as_text()
    assert "stablehlo.iota" not in text or f"64x{4 * SMALL // 64}xi" not in text
