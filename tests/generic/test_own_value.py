"""A gradient is the derivative of the value that the call returned, whatever it was given.

Drawn shapes, axes, weights and masks; the oracle is the loss itself, by central differences of its
value in float64, along a random direction through all of its arguments at once.
"""

import dataclasses
import zlib

import chex
import jax
import numpy as np
import pytest
from jax import numpy as jnp
from jax.sharding import Mesh, PartitionSpec

from cases import DEEP_VARIANTS, variant_id
from lossjax import losses, testing

DRAWS = 5
STEP = 1e-6
REDUCTIONS = ("sum_over_batch_size", "sum", "mean_with_sample_weight", None)
SHAPES = ((4, 5), (6,), (3, 2, 5), (2, 1, 2, 5), (0, 5), (4, 1), (4, 0))
IMAGES = ((4, 5), (3, 2, 5), (2, 1, 2, 5))
SHAPES_OF = {
    "sequence": ((3, 4, 5), (1, 6, 3)),
    "embedding": ((6, 3), (5, 4)),
    "label": ((4, 5), (2, 3, 5)),
    "box": ((4, 4), (2, 3, 4)),
}
CLASSES = ("class", "score", "distribution")  # of which there are several
CUTS = (np.s_[:1], 0, np.s_[..., :1])  # of the input that is broadcast to the other
AXES = (-1, 0, None, (0, -1))

variants = pytest.mark.parametrize(("case", "config"), DEEP_VARIANTS, ids=variant_id)
draws = pytest.mark.parametrize("draw", range(DRAWS))


def drawn(case, config, draw):
    """A loss, y_true, y_pred, weights and a mask; the first draw is an ordinary one."""
    seed = zlib.crc32(str((case.loss.__name__, config)).encode())
    rng = np.random.default_rng([seed, draw])
    domain = case.domain.removesuffix(" logits")
    shapes = SHAPES_OF.get(domain, SHAPES[:5] if domain in CLASSES else SHAPES)
    of_images = "class_axis" in case.loss.__dataclass_fields__
    shapes = IMAGES if of_images else shapes
    shape = shapes[rng.integers(len(shapes)) if draw else 0]
    options = config | {"reduction": REDUCTIONS[draw % 4]}
    if draw and "axis" in case.loss.__dataclass_fields__ and domain != "label":
        options["axis"] = AXES[rng.integers(4)] if len(shape) > 1 else -1
    loss = jax.tree.map(lambda x: np.float64(x) + 0.01, case.loss(**options))
    if any(isinstance(x, list) for x in config.values()):
        shape = (*shape[:-1], 5)  # one for each class
    t, p = testing.sample(loss, shape, draw)
    p = p.astype(np.float64)
    if domain not in SHAPES_OF:
        t = 0.9 * t.astype(np.float64) + 0.04  # away from ties
        is_cut = not of_images and broadcasts(case.loss(**config), t, p)
        if draw and p.ndim > 1 and p.size and is_cut:
            index = CUTS[rng.integers(2 if domain in CLASSES else 3)]
            t, p = (t[index], p) if rng.integers(2) else (t, p[index])
            if t.ndim != p.ndim and "axis" in options:
                loss = dataclasses.replace(loss, axis=-1)  # counted from the end
    values = jax.eval_shape(dataclasses.replace(loss, reduction=None), t, p).shape
    inputs = p.shape if domain in SHAPES_OF else np.broadcast_shapes(t.shape, p.shape)
    choices = [values, values[:1] + (1,) * (len(values) - 1)]
    if not values:
        choices = [inputs, inputs[:1], ()]
    weight = mask = None
    if draw % 3 != 2:
        weight = thinned(rng, rng.uniform(0.5, 2, choices[rng.integers(len(choices))]))
    if draw > 1:
        of = choices[rng.integers(len(choices))] if weight is None else weight.shape
        mask = thinned(rng, np.ones(of)) > 0
    return loss, t, p, weight, mask


def broadcasts(loss, t, p):
    """Whether it takes inputs of which one is broadcast to the other."""
    try:
        jax.eval_shape(loss, t[:1], np.concatenate([p, p]))
    except ValueError:
        return False
    return True


def thinned(rng, x):
    """Half of the entries are 0, but the first is not: a mean over nothing is not smooth."""
    kept = rng.uniform(size=x.shape) > 0.5
    return x * (kept | (np.arange(x.size) == 0).reshape(x.shape))


@draws
@variants
@pytest.mark.thorough
def test_gradient_is_the_derivative_of_the_value(case, config, draw):
    with jax.enable_x64(True):
        loss, t, p, weight, mask = drawn(case, config, draw)
        floats = {"loss": loss, "y_pred": p}
        floats |= {} if weight is None else {"sample_weight": weight}
        floats |= {"y_true": t} if t.dtype.kind == "f" else {}

        def value(floats):
            given = {"y_true": t, "mask": mask} | floats
            return jnp.sum(given.pop("loss")(**given))

        compiled = jax.jit(jax.value_and_grad(value))
        rng = np.random.default_rng(draw)
        direction = jax.tree.map(lambda x: rng.normal(size=np.shape(x)), floats)
        here, gradient = compiled(floats)
        ends = [
            compiled(jax.tree.map(lambda x, d, h=h: x + h * d, floats, direction))[0]
            for h in (STEP, -STEP)
        ]
        slope = (ends[0] - ends[1]) / (2 * STEP)
        found = sum(map(np.vdot, jax.tree.leaves(gradient), jax.tree.leaves(direction)))
        np.testing.assert_allclose(found, slope, rtol=2e-6, atol=1e-7 * (1 + abs(here)))
        if loss.reduction is not None and not refuses(loss, t, p):
            total = loss.total(t, p, weight, mask).result()
            np.testing.assert_allclose(total, here, rtol=1e-12, atol=1e-14)


def refuses(loss, t, p):
    """Whether a loss has no total: it depends on pairs, or its values are those of no sample."""
    if loss._declared.couples == "sums" and hasattr(loss, "axis"):
        return loss.axis is not None  # with weights some have one, some have none
    axis = getattr(loss, "axis", -1)
    ndim = max(np.ndim(t), np.ndim(p))
    return loss._declared.couples == "pairs" or ndim < 2 or axis in (0, None) or np.ndim(axis) > 0


@pytest.mark.parametrize(("case", "config"), DEEP_VARIANTS, ids=variant_id)
@pytest.mark.thorough
def test_the_same_inside_every_transformation(case, config):
    """Value and gradient inside shard_map, vmap, scan and checkpoint are those outside."""
    loss = case.loss(**config)
    t, p = testing.sample(loss, (4, 5, 3) if loss._declared.domain.in_steps else (4, 5))
    weight = np.float32([1, 0, 2, 0.5]) if config.get("axis") != 0 else None
    mesh = Mesh(np.array(jax.devices()[:1]), ("data",))
    rows = PartitionSpec("data")

    def both(t, p, w):
        return jax.value_and_grad(lambda p: jnp.sum(loss(t, p, w)), argnums=0)(p)

    def sharded(t, p, w):
        return jax.tree.map(lambda x: x.reshape(1, *x.shape), both(t, p, w))

    @jax.jit
    def all_ways(*batch):
        twice = jax.tree.map(lambda x: jnp.stack([x, x]), batch)
        found = jax.shard_map(sharded, mesh=mesh, in_specs=rows, out_specs=rows)(*batch)
        return (
            both(*batch),
            jax.tree.map(lambda x: x[0], found),
            jax.tree.map(lambda x: x[1], jax.vmap(both)(*twice)),
            jax.tree.map(lambda x: x[1], jax.lax.map(lambda a: both(*a), twice)),
            jax.checkpoint(both)(*batch),
        )

    outside, *inside = all_ways(t, p, weight)
    for found in inside:
        chex.assert_trees_all_close(found, outside, rtol=1e-5, atol=1e-7)


def test_a_weight_of_no_row_of_its_own():
    """Rank 1: one value, times each weight; no entry is taken out."""
    p, w = jnp.array([1.0, 2.0, 3.0]), jnp.array([1.0, 0.0, 1.0])

    def loss(p, **weights):
        return losses.MeanSquaredError()(jnp.zeros(3), p, **weights)

    chex.assert_trees_all_close(loss(p, sample_weight=w), jnp.float32(28 / 9))
    slope = jax.grad(lambda p: loss(p, sample_weight=w))(p)
    chex.assert_trees_all_close(slope, jnp.array([4, 8, 12], jnp.float32) / 9)
    slope = jax.grad(lambda p: loss(p, mask=w))(p)
    chex.assert_trees_all_close(slope, p * 2 / 3)


def test_a_tuple_of_axes_keeps_the_columns():
    loss = losses.BinaryCrossentropy(from_logits=True, axis=(0,))
    t, p = np.eye(3, dtype=np.float32), np.ones((3, 3), np.float32)
    slope = jax.grad(lambda p: loss(t, p, [1.0, 0.0, 1.0]))(p)
    assert not slope[:, 1].any()
    assert slope[:, (0, 2)].all()


@pytest.mark.parametrize("name", ["MeanSquaredError", "SparseCategoricalCrossentropy", "Circle"])
def test_a_weight_of_0_is_differentiated_with_the_derivative_of_its_sample(name):
    """As learning to reweight asks for: Ren et al. (2018), arXiv:1803.09050."""
    loss = getattr(losses, name)(reduction="sum")
    t, p = testing.sample(loss)

    def slope(w):
        return jax.grad(lambda p: loss(t, p, w))(p)

    @jax.jit
    def both():
        return jax.jacobian(slope)(jnp.zeros(8)), jax.vmap(slope, out_axes=-1)(jnp.eye(8))

    by_weight, by_rows = both()
    assert np.abs(by_rows).max() > 0.1
    chex.assert_trees_all_close(by_weight, by_rows, rtol=1e-5, atol=1e-5)
