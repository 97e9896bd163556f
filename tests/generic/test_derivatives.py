"""Every derivative, against finite differences in float64, and at the edges."""

import functools

import chex
import jax
import numpy as np
import pytest
from jax import numpy as jnp
from jax.test_util import check_grads

from cases import DEEP_VARIANTS, variant_id
from lossjax import losses, testing
from lossjax.math.fusion import SMALL

inf, nan = np.inf, np.nan
RNG = np.random.default_rng(0)
variants = pytest.mark.parametrize(("case", "config"), DEEP_VARIANTS, ids=variant_id)


@variants
@pytest.mark.thorough
def test_against_finite_differences(case, config):
    """Both modes, to order 2, in y_pred, float y_true, sample_weight and every leaf."""
    with jax.enable_x64(True):
        loss = jax.tree.map(lambda x: np.float64(x) + 0.01, case.loss(**config))
        y_true, y_pred = testing.sample(loss, (4, 3, 5) if case.domain == "sequence" else (4, 5))
        y_pred = y_pred.astype(np.float64)
        n = case.loss(**config, reduction=None)(y_true, y_pred).shape
        weight = np.linspace(0.5, 1.5, *(n or (4,)))
        if np.issubdtype(y_true.dtype, np.floating):
            # away from the ties at 0 and 1, where a difference across is no derivative
            y_true = 0.9 * y_true.astype(np.float64) + 0.04

            def value(loss, p, w, t):
                return loss(t, p, sample_weight=w)

            arguments = (loss, y_pred, weight, y_true)
        else:

            def value(loss, p, w):
                return loss(y_true, p, sample_weight=w)

            arguments = (loss, y_pred, weight)
        # Eager is ten times faster here: small operations are compiled once for all losses, but a
        # scan at every call.
        value = jax.jit(value) if case.loss is losses.CTC else value
        check_grads(value, arguments, order=2, eps=1e-5, rtol=1e-4, atol=1e-5)


@variants
@pytest.mark.thorough
def test_every_way_to_a_hessian(case, config):
    with jax.enable_x64(True):
        loss = case.loss(**config)
        y_true, y_pred = testing.sample(loss, (2, 4, 3) if case.domain == "sequence" else (3, 5))
        y_pred = y_pred.astype(np.float64)

        def f(p):
            return loss(y_true, p)

        ways = [jax.jacfwd(jax.jacrev(f)), jax.jacrev(jax.jacrev(f)), jax.jacfwd(jax.jacfwd(f))]
        first, *others = (jax.jit(way)(y_pred) for way in ways)
        for other in others:
            chex.assert_trees_all_close(other, first, rtol=1e-9, atol=1e-12)


def logits(**config):
    return {"from_logits": True} | config


# Loss, configuration, y_true, y_pred, value, gradient in y_pred: one sample, reduction "sum".
# Where Keras on JAX is finite these are its numbers; the comment says where it is not, or where
# its backends disagree.
EDGES = [
    ("BinaryCrossentropy", {}, [1], [0], 16.118095, [0]),
    ("BinaryCrossentropy", {}, [0], [1], 15.942385, [0]),
    ("BinaryCrossentropy", {}, [1], [inf], 1.192093e-07, [0]),
    ("BinaryCrossentropy", logits(), [1], [-1e4], 1e4, [-1]),
    ("BinaryCrossentropy", logits(), [1], [inf], 0, [0]),  # Keras: NaN
    ("BinaryCrossentropy", logits(), [0], [-inf], 0, [0]),  # Keras: NaN
    ("BinaryCrossentropy", logits(), [1], [-inf], inf, [-1]),
    ("BinaryFocalCrossentropy", {}, [1], [0], 16.118095, [-32.23619]),
    ("BinaryFocalCrossentropy", {}, [1], [-0.5], 36.265713, [-48.354286]),
    ("BinaryFocalCrossentropy", {"gamma": 0.5}, [1], [1], 0, [0]),  # Keras: gradient NaN
    ("BinaryFocalCrossentropy", {"gamma": 0.0}, [1], [1], 1.192093e-07, [0]),  # Keras: NaN
    ("BinaryFocalCrossentropy", logits(), [1], [-60], 60, [-1]),  # Keras: 16.1, dead
    ("BinaryFocalCrossentropy", logits(), [0], [1e4], 1e4, [1]),  # Keras: 15.9, dead
    ("BinaryFocalCrossentropy", logits(), [1], [inf], 0, [0]),
    ("CategoricalCrossentropy", {}, [1, 0], [0, 1], 16.118095, [0, 0]),
    ("CategoricalCrossentropy", {}, [1, 0], [0, 0], 16.118095, [0, 0]),  # Keras: NaN
    ("CategoricalCrossentropy", {}, [1, 0], [3, 1], 0.287682, [-0.083333, 0.25]),
    ("CategoricalCrossentropy", {}, [1, 0], [0.5, -0.5], 1.192093e-07, [0, 0]),  # gradient NaN
    ("CategoricalCrossentropy", logits(), [1, 0], [-1e4, 1e4], 2e4, [-1, 1]),
    ("CategoricalCrossentropy", logits(), [0, 1], [-inf, 0], 0, [0, 0]),  # Keras: NaN
    ("CategoricalCrossentropy", logits(), [1, 0], [inf, 0], 0, [0, 0]),  # Keras: NaN
    ("CategoricalCrossentropy", logits(), [0, 0], [1, 2], 0, [0, 0]),
    ("CategoricalFocalCrossentropy", {}, [1, 0], [0, 1], 4.0295225, [0, 0]),
    ("CategoricalFocalCrossentropy", {}, [1, 0], [0, 0], 4.0295225, [0, 0]),  # Keras: NaN
    ("CategoricalFocalCrossentropy", logits(), [1, 0], [-1e4, 0], 2500, [-0.25, 0.25]),  # dead
    ("SparseCategoricalCrossentropy", {}, 0, [0, 1], 16.118095, [0, 0]),
    ("SparseCategoricalCrossentropy", {}, 0, [0, 0], 16.118095, [0, 0]),  # Keras: NaN
    ("SparseCategoricalCrossentropy", logits(), 0, [1, 1, -inf], 0.693147, [-0.5, 0.5, 0]),  # NaN
    ("SparseCategoricalCrossentropy", logits(), 0, [-1e4, 1e4], 2e4, [-1, 1]),
    ("SparseCategoricalCrossentropy", logits(), -1, [1, 2], 0, [0, 0]),
    ("SparseCategoricalCrossentropy", logits(), 2, [1, 2], 0, [0, 0]),
    ("SparseCategoricalCrossentropy", logits(ignore_class=0), 0, [nan, inf], 0, [0, 0]),
    ("SparseCategoricalCrossentropy", {"ignore_class": 0}, 0, [nan, inf], 0, [0, 0]),
    ("CategoricalGeneralizedCrossEntropy", {}, 0, [0, 1], 2, [-3162.2776, 0]),  # Keras: -inf, NaN
    ("CategoricalGeneralizedCrossEntropy", {}, 5, [0.5, 0.5], 2, [0, 0]),  # Keras: NaN
    ("KLDivergence", {}, [1], [0], 16.118095, [0]),
    ("KLDivergence", {}, [1], [1], 0, [-0.5]),
    ("Poisson", {}, [1], [0], 16.118095, [-1e7]),
    ("MeanAbsoluteError", {}, [1], [1], 0, [0]),  # Keras on JAX: -1, on TensorFlow: 0
    ("MeanAbsolutePercentageError", {}, [0], [1], 1e9, [1e9]),
    ("MeanAbsolutePercentageError", {}, [2], [2], 0, [0]),  # Keras on JAX: -50
    ("MeanSquaredError", {}, [0], [inf], inf, [inf]),
    ("MeanSquaredLogarithmicError", {}, [1], [-2], 0.480453, [0]),
    ("MeanSquaredLogarithmicError", {}, [1], [inf], inf, [0]),  # Keras: gradient NaN
    ("Huber", {}, [0], [inf], inf, [1]),  # Keras: gradient NaN
    ("Huber", {"delta": inf}, [0], [3], 4.5, [3]),  # Keras: gradient NaN
    ("LogCosh", {}, [0], [-inf], inf, [-1]),  # Keras: NaN
    ("LogCosh", {}, [0], [1e-4], 5e-9, [1e-4]),  # Keras: 0
    ("Hinge", {}, [1], [1], 0, [-0.5]),
    ("CategoricalHinge", {}, [1, 0], [1, 0], 0, [-0.5, 0.25]),
    ("CategoricalHinge", {}, [1, 0], [inf, 0], 0, [0, 0]),  # Keras: NaN
    ("CosineSimilarity", {}, [1, 0], [0, 0], 0, [-1e7, 0]),  # Keras on JAX: gradient NaN
    ("CosineSimilarity", {}, [1, 0], [1e-8, 0], -0.1, [-1e7, 0]),
    ("CosineSimilarity", {}, [0, 0], [1, 0], 0, [0, 0]),
    ("CosineSimilarity", {}, [2e19, 0], [2e19, 0], -1, [0, 0]),  # Keras: 0
    ("CosineSimilarity", {}, [3e38, 3e38], [0.003, 0.004], -0.98994949, [-22.627417, 16.970563]),
    ("Dice", {}, [0, 0], [0, 0], 1, [0, 0]),
    ("Tversky", {"alpha": 0.2, "beta": 0.8}, [1, 0], [0, 0], 1, [-5, 0]),
    ("Circle", {}, 1, [1, 0], 0, [0, 0]),
    ("CTC", {}, [0, 0], [[0, 0, 0], [0, 0, 0]], 2.197225, None),
    ("CTC", {}, [1, 2], [[0, 1e4, 0], [0, 1e4, 0]], 1e4, None),
    ("CTC", {}, [1, 0], [[0, 1, -inf], [0, 1, -inf]], 0.075, None),  # Keras: NaN
]


def edge_id(value):
    return str(value).replace(" ", "")


@functools.cache
def everything(name, config):
    """One program for the edges of a configuration: value, derivatives, those by leaves, labels."""
    loss = getattr(losses, name)(**dict(config), reduction="sum")
    labels = loss._declared.domain.labelled

    def program(y_true, y_pred):
        def f(p):
            return loss(y_true, p)

        tangent = jnp.ones_like(y_pred)
        forward = jax.jvp(f, (y_pred,), (tangent,))[1]
        curvature = jax.jvp(jax.grad(f), (y_pred,), (tangent,))[1]
        leaves = jax.tree.leaves(jax.grad(lambda loss: loss(y_true, y_pred))(loss))
        truth = None if labels else jax.grad(lambda t: loss(t, y_pred))(y_true)
        return *jax.value_and_grad(f)(y_pred), forward, curvature, leaves, truth

    return jax.jit(program), jnp.int32 if labels else jnp.float32


@pytest.mark.parametrize("edge", EDGES, ids=edge_id)
def test_at_the_edges(edge):
    """The value, and every derivative finite where the limit is."""
    name, config, y_true, y_pred, value, slope = edge
    program, dtype = everything(name, tuple(config.items()))
    y_true, y_pred = np.asarray([y_true], dtype), np.asarray([y_pred], np.float32)
    got, gradient, forward, curvature, leaves, truth = jax.device_get(program(y_true, y_pred))
    if name == "CTC":
        assert abs(got - value) < 0.15 * value
    else:
        chex.assert_trees_all_close(got, np.float32(value), rtol=1e-5, atol=1e-9)
    if slope is not None:
        chex.assert_trees_all_close(gradient[0], np.float32(slope), rtol=1e-5, atol=1e-20)
    if value != inf or name != "MeanSquaredError":
        chex.assert_tree_all_finite((gradient, curvature, forward))
    if value != inf:
        chex.assert_tree_all_finite((leaves, truth))


@variants
@pytest.mark.thorough
def test_masked_nan_has_no_influence(case, config):
    loss = case.loss(**config)
    y_true, y_pred = testing.sample(loss)
    shape = case.loss(**config, reduction=None)(y_true, y_pred).shape or (len(y_pred),)
    axis = 1 if config.get("axis") == 0 else 0
    mask = np.arange(shape[0]) % 3 != 1
    poisoned = y_pred.copy()
    poisoned[(slice(None),) * axis + (~mask,)] = nan

    def f(loss, p):
        return loss(y_true, p, mask=mask)

    got = jax.value_and_grad(f, (0, 1))(loss, poisoned)
    want = jax.value_and_grad(f, (0, 1))(loss, y_pred)
    chex.assert_tree_all_finite(got)
    chex.assert_trees_all_close(got, want, rtol=1e-5, atol=1e-6)


def test_cosine_of_large_arrays_with_one_huge_row():
    """On CPU a program of large arrays scales vectors only where some square overflows."""
    y = np.ones((2 * SMALL // 64, 64), np.float32)
    y[3] *= 1e19
    values = jax.jit(losses.cosine_similarity)(y, y)
    np.testing.assert_allclose(values, -1, rtol=1e-6)


@pytest.mark.parametrize("platform", ["cpu", "default"])
def test_cosine_of_huge_vectors_that_are_constants(platform, monkeypatch):
    """XLA makes other products of a constant than of an argument."""
    monkeypatch.setattr(jax.lax, "platform_dependent", lambda *xs, **f: f[platform](*xs))
    huge, tiny = np.float32([[3e38, 3e38]]), np.float32([[0.003, 0.004]])

    @jax.jit
    def both(p):
        return jax.value_and_grad(lambda p: losses.CosineSimilarity()(huge, p))(p)

    value, slope = both(tiny)
    np.testing.assert_allclose(value, -0.98994949, rtol=1e-6)
    np.testing.assert_allclose(slope, [[-22.627417, 16.970563]], rtol=1e-5)


def test_cosine_of_a_vector_that_is_broadcast():
    """A number against a vector: only its sign matters."""
    t, p = jnp.array([[1.0], [2.0]]), jnp.array([[1.0, 2.0], [3.0, 4.0]])
    slope = jax.grad(lambda t: losses.cosine_similarity(t, p).sum())(t)
    chex.assert_trees_all_close(slope, jnp.zeros((2, 1)), atol=1e-6)


def test_a_tie_is_one_but_for_rounding():
    """Contracted with the difference, the product of the largest differs from itself."""
    t, p = np.float32(RNG.uniform(size=(2, 64, 32))), np.float32(RNG.normal(size=(1, 64, 32)))
    slope = jax.jit(jax.grad(lambda t, p: losses.categorical_hinge(t, p).sum(), (0, 1)))(t, p)
    chex.assert_tree_all_finite(slope)


def test_class_and_function_agree_on_a_score_that_is_infinitely_wrong():
    for name in ("hinge", "squared_hinge"):
        loss, function = losses.get(name.title().replace("_", "")), losses.get(name)
        arguments = np.float32([[1.0]]), np.float32([[-inf]])
        assert loss(*arguments) == function(*arguments)[0] == inf
