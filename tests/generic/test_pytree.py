"""Losses as pytrees: traced, vmapped, differentiated, copied, pickled, subclassed."""

import copy
import dataclasses
import pickle

import chex
import jax
import numpy as np
import pytest
from jax import numpy as jnp

import lossjax
from cases import CASES, DEEP_VARIANTS, each_domain, variant_id
from lossjax import losses, testing

variants = pytest.mark.parametrize(("case", "config"), DEEP_VARIANTS, ids=variant_id)


@pytest.mark.parametrize("case", CASES, ids=variant_id)
def test_class_and_function_agree(case):
    fn, cls = case.loss.fn, case.loss
    defaults = {
        f.name: f.default for f in dataclasses.fields(cls) if f.name not in ("name", "dtype")
    }
    defaults.pop("reduction")
    defaults = {name: x for name, x in defaults.items() if x is not dataclasses.MISSING}
    if cls is losses.CategoricalGeneralizedCrossEntropy:
        defaults.pop("q")
    arguments = fn.__defaults__ or ()
    names = fn.__code__.co_varnames[: fn.__code__.co_argcount][-len(arguments) or 99 :]
    own = dict(zip(names, arguments, strict=True)) | (fn.__kwdefaults__ or {})
    if cls is losses.Circle:  # references are data: the class compares the batch with itself
        own = {k: v for k, v in own.items() if not k.startswith("ref_")}
    for data in ("where", "label_length", "logit_length"):  # of each call
        own.pop(data, None)
    assert defaults == own
    assert cls.__doc__ == fn.__doc__
    for word in ("Shapes", "Source"):
        assert word in fn.__doc__ or word.lower() in fn.__doc__, word


@variants
@pytest.mark.thorough
def test_one_compilation_serves_all_values(case, config):
    y_true, y_pred = testing.sample(case.loss(**config))
    chex.clear_trace_counter()
    f = jax.jit(chex.assert_max_traces(lambda loss, t, p: loss(t, p), n=1))
    loss = case.loss(**config)
    chex.assert_trees_all_close(f(loss, y_true, y_pred), loss(y_true, y_pred), rtol=1e-5)
    other = jax.tree.map(lambda x: x * 0.5, loss)
    chex.assert_trees_all_close(f(other, y_true, y_pred), other(y_true, y_pred), rtol=1e-5)


@variants
@pytest.mark.thorough
def test_vmap_over_leaves_is_a_loop(case, config):
    y_true, y_pred = testing.sample(case.loss(**config))
    loss = case.loss(**config)
    if not jax.tree.leaves(loss):
        return
    many = jax.tree.map(lambda x: jnp.stack([jnp.asarray(x) * s for s in (1.0, 0.5)]), loss)
    got = jax.vmap(lambda loss: loss(y_true, y_pred))(many)
    want = [jax.tree.map(lambda x, i=i: x[i], many)(y_true, y_pred) for i in range(2)]
    chex.assert_trees_all_close(got, jnp.stack(want), rtol=1e-5)


@pytest.mark.parametrize("case", each_domain([c for c in CASES if c.any_rank]), ids=variant_id)
def test_vmap_over_samples_is_a_loop(case):
    loss = case.example(reduction=None)
    y_true, y_pred = testing.sample(loss)
    each = jax.vmap(lambda t, p: loss(t[None], p[None])[0])(y_true, y_pred)
    chex.assert_trees_all_close(each, loss(y_true, y_pred), rtol=1e-6)


@pytest.mark.parametrize("case", each_domain(CASES), ids=variant_id)
def test_survives_copies_and_placeholders(case):
    loss = case.loss(**case.configs[-1], reduction="sum", name="mine", dtype="float32")
    y_true, y_pred = testing.sample(loss)
    want = loss(y_true, y_pred)
    for same in (
        pickle.loads(pickle.dumps(loss)),
        copy.copy(loss),
        copy.deepcopy(loss),
        dataclasses.replace(loss),
        jax.tree.map(lambda x: x, loss),
    ):
        assert jax.tree.structure(same) == jax.tree.structure(loss)
        chex.assert_trees_all_equal(same(y_true, y_pred), want)
    jax.tree.map(lambda _: object(), loss)
    jax.tree.map(lambda _: None, loss)
    chex.assert_trees_all_close(jax.jit(loss)(y_true, y_pred), want, rtol=1e-5)
    chex.assert_trees_all_close(jax.jit(lambda: loss(y_true, y_pred))(), want, rtol=1e-5)
    paths = [jax.tree_util.keystr(k) for k, _ in jax.tree_util.tree_leaves_with_path(loss)]
    assert all(hasattr(loss, path.removeprefix(".")) for path in paths)


@variants
@pytest.mark.thorough
def test_strict_promotion(case, config):
    """Libraries run under these settings, so no dtype and no rank may be promoted silently."""
    loss = case.loss(**config)
    y_true, y_pred = testing.sample(loss)
    n = case.loss(**config, reduction=None)(y_true, y_pred).shape
    weight = np.ones(n or (len(y_pred),), np.float32)
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        strict = jax.value_and_grad(
            lambda loss, p: loss(y_true, p, sample_weight=weight, mask=weight > 0), (0, 1)
        )(loss, y_pred)
    chex.assert_tree_all_finite(strict)


def test_integers_become_floats():
    loss = losses.Huber(delta=2)
    assert isinstance(loss.delta, float)
    gradient = jax.grad(lambda loss: loss([[0.0]], [[5.0]]))(loss)
    assert gradient.delta == 3.0


def test_labels_are_never_rounded():
    """bfloat16 is exact up to 256 only: Keras computes class 1001 as 1000."""
    logits = jnp.zeros((1, 1024)).at[0, 1001].set(20.0)
    for dtype in ("float32", "bfloat16", "float16"):
        for y_pred in (logits, logits.astype(dtype)):
            loss = losses.SparseCategoricalCrossentropy(from_logits=True, dtype=dtype)
            assert loss([1001], y_pred) < 1e-5


class Tilted(losses.Loss):
    """A user's loss."""

    under: float = 3.0
    squared: bool = lossjax.static(default=True)

    def call(self, y_true, y_pred):
        e = y_true - y_pred
        return jnp.mean(jnp.where(e > 0, self.under, 1.0) * (e**2 if self.squared else e), -1)


class Steeper(Tilted):
    """A subclass of a subclass has a field more."""

    power: float = 2.0


def test_a_users_loss():
    t, p = np.array([[1.0], [0.0]], np.float32), np.array([[0.0], [1.0]], np.float32)
    assert Tilted(under=5.0)(t, p) == 3.0
    assert jax.grad(lambda loss: loss(t, p))(Tilted()).under == 0.5
    assert losses.get("Tilted").under == 3.0
    assert losses.deserialize(losses.serialize(Tilted(2.0, False))).under == 2.0
    assert Steeper(power=3.0).power == 3.0
    assert Tilted().name == "tilted"
    assert repr(Tilted(squared=False)) == "Tilted(squared=False)"
    assert repr(losses.Huber(delta=jnp.float32(0.5))).startswith("Huber(delta=")


def test_mistakes_in_a_users_loss():
    def init(self, k):
        self.k = k

    with pytest.raises(TypeError, match="WithInit: a loss is a dataclass"):
        type("WithInit", (losses.Loss,), {"__init__": init})
    with pytest.raises(TypeError, match=r"'Huber' is already taken by lossjax\.losses"):
        type("Huber", (losses.Loss,), {"__module__": "elsewhere"})
    mode = type("Mode", (losses.Loss,), {"__annotations__": {"mode": str}, "mode": "fast"})
    with pytest.raises(TypeError, match=r"Mode: mode must be a number.* got 'fast'"):
        mode()
    with pytest.raises(NotImplementedError, match=r"Loss must override call"):
        losses.Loss()([1.0], [1.0])
    with pytest.raises(dataclasses.FrozenInstanceError):
        losses.Huber().delta = 2.0


def test_dtype_is_none_unless_given():
    """Keras says "float32"."""
    assert losses.MeanSquaredError().dtype is None
    assert losses.MeanSquaredError(dtype="bfloat16").dtype == "bfloat16"
