"""Agreement with the installed Keras, on its JAX backend: values, gradients, names, errors."""

import inspect
import warnings

import chex
import jax
import numpy as np
import pytest
from jax import numpy as jnp
from keras.src import backend

import keras
from cases import ROWS, VARIANTS, Case, each_domain, ends, variant_id
from lossjax import losses, testing

# Keras rounds 1 - p, log(1 + x) and its clips in float32; our rounding is elsewhere.
ATOL = 2e-6
REDUCTIONS = ("sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none", None)

TWINS = [case for case in ROWS if case.twin]
THEIRS = [(case, config) for case, config in VARIANTS if case.twin]
variants = pytest.mark.parametrize(("case", "config"), ends(THEIRS, kept=(-1,)), ids=variant_id)

domains = pytest.mark.parametrize("case", each_domain(TWINS), ids=variant_id)


def value_and_gradients(loss, y_true, y_pred, **weights):
    """Gradients of the sum of the result, and the result; float labels have a gradient too."""

    def total(y_pred, y_true):
        out = loss(y_true, y_pred, **weights)
        return jnp.sum(out), out

    argnums = (0, 1) if jnp.issubdtype(y_true.dtype, jnp.floating) else 0
    return jax.grad(total, argnums, has_aux=True)(y_pred, y_true)


def assert_agree(jobs, y_true, y_pred, rtol, atol=ATOL):
    """Compare ours and theirs of each job (ours, theirs, weights), all in one program a side."""

    def run(side):
        def every(y_true, y_pred):
            return [value_and_gradients(job[side], y_true, y_pred, **job[2]) for job in jobs]

        return jax.jit(every)(y_true, y_pred)

    for (loss, _, weights), got, want in zip(jobs, run(0), run(1), strict=True):
        chex.assert_trees_all_equal_shapes_and_dtypes(got, want)
        message = f"{loss} with {weights}"
        chex.assert_trees_all_close(got, want, rtol=rtol, atol=atol, custom_message=message)


# What Keras changes after 3.15; lossjax follows the release, and its docstrings tell both.
AFTER_3_15 = tuple(map(int, keras.__version__.split(".")[:2])) > (3, 15)


def their_config(case: Case, config):
    if AFTER_3_15 and case.loss is losses.Tversky:
        return config | {"alpha": config.get("beta", 0.5), "beta": config.get("alpha", 0.5)}
    if AFTER_3_15 and "label_smoothing" in config and config.get("axis", -1) != -1:
        pytest.skip("smooths by the size of `axis`, not of the last axis")
    return config


def job(case: Case, config, reduction="sum_over_batch_size", **weights):
    """The same loss of both libraries; Keras takes a mask as an attribute of `y_pred`."""
    theirs = case.twin(**their_config(case, config), reduction=reduction)

    def masked(y_true, y_pred, sample_weight=None, mask=None):
        if mask is None:
            return theirs(y_true, y_pred, sample_weight)
        if case.couples != "none" and config.get("axis") is None:
            rows = mask if mask.any() else ~mask  # where none is left, the loss is 0
            return mask.any() * of_rows(theirs, y_true, y_pred, sample_weight, rows)
        backend.set_keras_mask(y_pred, jnp.asarray(mask))
        return theirs(y_true, y_pred, sample_weight)

    return case.loss(**config, reduction=reduction), masked, weights


def of_rows(loss, y_true, y_pred, weight, mask):
    """Of the rows that are left: Keras itself masks values alone, each of which sees all rows."""
    weight = weight[mask] if np.ndim(weight) else weight
    found = loss(y_true[mask], y_pred[mask], weight)
    return jnp.zeros((len(mask), *found.shape[1:])).at[mask].set(found) if found.ndim else found


def weights_and_mask(loss, y_true, y_pred):
    """Of the shape of the values per sample; of the batch for a loss with a single value."""
    values = loss.call(y_true, jnp.asarray(y_pred))
    shape = (values[0] if isinstance(values, tuple) else values).shape or (len(y_pred),)
    rng = np.random.default_rng(1)
    return rng.uniform(0.1, 2, shape).astype(np.float32), rng.uniform(size=shape) < 0.6


@variants
def test_class_and_function(case, config):
    loss = case.loss(**config)
    y_true, y_pred = testing.sample(loss)
    w, m = weights_and_mask(loss, y_true, y_pred)
    jobs = [
        job(case, config, None),
        job(case, config, "mean_with_sample_weight", sample_weight=w, mask=m),
    ]
    if case.function is not None:
        jobs.append(function_job(case, loss, config))
    assert_agree(jobs, y_true, y_pred, case.keras_rtol)


def function_job(case, loss, config):
    """What has no default in function form is as in the class."""
    name = case.function.__name__
    needed = [
        k
        for k, p in inspect.signature(case.function).parameters.items()
        if p.default is p.empty and not k.startswith("y_")
    ]

    def theirs(y_true, y_pred, **arguments):
        return getattr(keras.losses, name)(y_true, y_pred, **their_config(case, arguments))

    return case.function, theirs, {k: getattr(loss, k) for k in needed} | config


# Weights and masks do not know which loss they meet, but for these: one value per sample, a mask
# of the loss's own (twice), a single value for the batch.
WEIGHED = [
    (c, config)
    for c, config in THEIRS
    if (c.loss in (losses.MeanSquaredError, losses.Circle, losses.Dice) and not config)
    or (c.loss is losses.SparseCategoricalCrossentropy and config == {"ignore_class": 1})
]


@pytest.mark.thorough
@pytest.mark.parametrize(("case", "config"), WEIGHED, ids=variant_id)
@pytest.mark.parametrize("reduction", [r for r in REDUCTIONS if r not in ("mean", "none")])
def test_every_weight_and_mask(case, config, reduction):
    y_true, y_pred = testing.sample(case.loss)
    w, m = weights_and_mask(case.loss(), y_true, y_pred)
    jobs = [
        job(case, config, reduction, sample_weight=weight, mask=mask)
        for weight in (None, 0.7, w, -w, w[:, None], 0 * w)
        for mask in (None, m, m[:, None], m & False)
        if case.loss is losses.MeanSquaredError or mask is None or mask.ndim == 1
    ]
    assert_agree(jobs, y_true, y_pred, case.keras_rtol)


@pytest.mark.thorough
@pytest.mark.parametrize("case", [c for c in TWINS if c.any_rank], ids=variant_id)
def test_weights_per_step(case):
    config = case.configs[-1]
    loss = case.loss(**config)
    y_true, y_pred = testing.sample(loss, (3, 4, 5))
    w, m = weights_and_mask(loss, y_true, y_pred)
    jobs = [
        job(case, config, sample_weight=w, mask=m),
        job(case, config, "mean_with_sample_weight", sample_weight=w[:, :1]),
        job(case, config, "sum", sample_weight=w[:1], mask=m),
    ]
    assert_agree(jobs, y_true, y_pred, case.keras_rtol)


@domains
def test_dtypes(case):
    """Keras's class form casts every input to float32 first; we compute in it, and keep labels."""
    y_true, y_pred = testing.sample(case.loss)
    inputs = [jnp.asarray(y_pred).astype(d) for d in ("float16", "bfloat16", "float32")]
    inputs.append((jnp.asarray(y_pred) * 10).astype("int32"))
    if case.domain != "class":  # both warn of labels that are no distribution
        inputs = [*inputs, inputs[-1] != 0]
    ours, theirs, _ = job(case, {})
    got = jax.jit(lambda: [ours(y_true, p) for p in inputs])()
    want = jax.jit(lambda: [theirs(y_true, p) for p in inputs])()
    chex.assert_trees_all_equal_shapes_and_dtypes(got, want)
    chex.assert_trees_all_close(got, want, rtol=case.keras_rtol, atol=ATOL)
    for dtype in ("bfloat16", "float16"):
        rounded = case.loss(dtype=dtype)(y_true, y_pred)
        chex.assert_trees_all_equal(rounded, got[2].astype(dtype))


@domains
def test_empty_batch(case):
    y_true, y_pred = (x[:0] for x in testing.sample(case.loss))
    assert_agree([job(case, {}, r) for r in REDUCTIONS], y_true, y_pred, case.keras_rtol)


ALIGNING = [c for c in TWINS if c.domain in ("real", "positive")]
SHAPES = [
    ((2,), (2, 1)),
    ((2, 1), (2,)),
    ((2, 3, 1), (2, 3)),
    ((2, 3), (2, 3, 1)),
    ((2, 1), (2, 3)),
    ((3,), (2, 3)),
    ((), (2,)),
    ((3,), (3,)),
    ((2, 3, 4, 5), (2, 3, 4, 5)),
]


@pytest.mark.thorough
@pytest.mark.parametrize("case", ALIGNING, ids=variant_id)
def test_ranks_are_aligned(case):
    rng = np.random.default_rng(0)
    inputs = [
        tuple(rng.gamma(2, size=shape).astype(np.float32) for shape in shapes) for shapes in SHAPES
    ]
    name = case.loss.fn.__name__
    for ours, theirs in (
        (getattr(losses, name), getattr(keras.losses, name)),
        job(case, {})[:2],
        job(case, {}, None)[:2],
    ):
        got = jax.jit(lambda f=ours: [f(t, p) for t, p in inputs])()
        want = jax.jit(lambda f=theirs: [f(t, p) for t, p in inputs])()
        chex.assert_trees_all_equal_shapes_and_dtypes(got, want)
        chex.assert_trees_all_close(got, want, rtol=1e-5, atol=ATOL)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "case",
    [c for c in TWINS if c.any_rank and c.domain != "label"],
    ids=variant_id,
)
def test_class_form_aligns_ranks_of_every_loss(case):
    y_true, y_pred = testing.sample(case.loss, (6, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # a single class
        for t, p in ((y_true[:, 0], y_pred), (y_true, y_pred[:, 0])):
            # the cosine of single numbers has the gradient 0, up to rounding over |p| = 0.02
            assert_agree([job(case, {}, None)], t, p, case.keras_rtol, atol=1e-5)


def test_lists_are_arrays():
    t, p = [[0.0, 1.0], [0.0, 0.0]], [[1.0, 1.0], [1.0, 0.0]]
    chex.assert_trees_all_close(
        losses.MeanSquaredError()(t, p), keras.losses.MeanSquaredError()(t, p)
    )
    assert losses.mean_squared_error(t, p).tolist() == [0.5, 0.5]


def test_custom_loss_takes_nested_inputs():
    def call(self, y_true, y_pred):
        return jnp.mean((y_true["a"] - y_pred["a"]) ** 2 + y_pred["b"][0] ** 2, -1)

    t = {"a": np.ones((4, 3), np.float32), "unused": np.zeros(2, np.float32)}
    p = {"a": np.full((4, 3), 3.0, np.float16), "b": [np.ones((4, 3), np.int32)]}
    ours = type("Nested", (losses.Loss,), {"call": call, "__module__": __name__})
    theirs = type("Nested", (keras.losses.Loss,), {"call": call})
    got, want = ours()(t, p), theirs()(t, p)
    assert got.dtype == want.dtype
    chex.assert_trees_all_close(got, want)


def test_namespace():
    """Name for name; the files of the families are there as submodules are."""
    ours = {n for n in dir(losses) if not n.startswith("_")}
    families = {n for n in ours if inspect.ismodule(getattr(losses, n))}
    theirs = {n for n in dir(keras.losses) if not n.startswith("_")}
    own = {n for n in ours - theirs - families if _is_ours(getattr(losses, n))}
    assert ours - families - own == theirs


def _is_ours(made):
    return made.__module__.startswith("lossjax.")


@pytest.mark.parametrize("case", TWINS, ids=variant_id)
def test_signatures(case):
    """Names, order and defaults of all arguments; those after `reduction` are keyword-only."""
    for name in (case.loss.__name__, case.function.__name__):
        ours = inspect.signature(getattr(losses, name)).parameters
        theirs = inspect.signature(getattr(keras.losses, name)).parameters
        beyond = {k: p for k, p in ours.items() if k not in theirs}
        assert all(p.kind is p.KEYWORD_ONLY for p in beyond.values())
        ours = {k: p for k, p in ours.items() if k not in beyond}
        assert ours.keys() == theirs.keys()
        assert {k: p.default for k, p in ours.items() if k != "name"} == {
            k: p.default for k, p in theirs.items() if k != "name"
        }
        positional = [k for k, p in ours.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
        assert positional == list(theirs)[: len(positional)]
    assert case.loss().name == getattr(keras.losses, case.loss.__name__)().name
