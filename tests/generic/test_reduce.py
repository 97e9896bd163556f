"""Weights, masks and reductions: worked by hand, and the shapes that are refused."""

import chex
import jax
import numpy as np
import pytest
from jax import numpy as jnp

from lossjax import Total, losses

T = np.zeros((4, 1), np.float32)
P = np.array([[1.0], [2.0], [3.0], [4.0]], np.float32)
W = np.array([1.0, 2.0, 0.0, 1.0], np.float32)
M = np.array([True, True, False, True])


def mae(reduction="sum_over_batch_size", **weights):
    return losses.MeanAbsoluteError(reduction=reduction)(T, P, **weights)


@pytest.mark.parametrize(
    ("reduction", "weights", "want"),
    [
        ("sum_over_batch_size", {}, 10 / 4),
        ("mean", {}, 10 / 4),
        ("auto", {}, 10 / 4),
        ("sum", {}, 10),
        ("mean_with_sample_weight", {}, 10 / 4),
        ("none", {}, [1, 2, 3, 4]),
        (None, {}, [1, 2, 3, 4]),
        ("sum_over_batch_size", {"sample_weight": W}, 9 / 4),
        ("mean_with_sample_weight", {"sample_weight": W}, 9 / 4),
        ("mean_with_sample_weight", {"sample_weight": [1, 1, 1, 0]}, 6 / 3),
        ("sum", {"sample_weight": W}, 9),
        (None, {"sample_weight": W}, [1, 4, 0, 4]),
        ("sum_over_batch_size", {"sample_weight": 2.0}, 20 / 4),
        ("mean_with_sample_weight", {"sample_weight": 2.0}, 20 / 2),  # the weight as given
        ("sum_over_batch_size", {"mask": M}, 7 / 3),
        ("mean_with_sample_weight", {"mask": M}, 7 / 3),
        ("sum", {"mask": M}, 7),
        (None, {"mask": M}, [1, 2, 0, 4]),
        ("sum_over_batch_size", {"mask": M, "sample_weight": W}, 9 / 3),
        ("mean_with_sample_weight", {"mask": M, "sample_weight": W}, 9 / 4),
        ("mean_with_sample_weight", {"sample_weight": [1, -1, 0, 0]}, 0),
        ("sum_over_batch_size", {"mask": ~M & M}, 0),
        ("mean_with_sample_weight", {"sample_weight": 0 * W}, 0),
    ],
)
def test_by_hand(reduction, weights, want):
    chex.assert_trees_all_close(mae(reduction, **weights), np.asarray(want, np.float32))


@pytest.mark.parametrize("argument", ["sample_weight", "mask"])
@pytest.mark.parametrize(
    ("values", "shape"),
    [
        ((4, 3), (4,)),
        ((3, 3), (3,)),
        ((4, 3), (4, 2)),
        ((4, 3, 1), (4,)),
        ((4,), (4, 3)),
        ((4,), (3,)),
        ((4, 1), (4, 3)),
    ],
    ids=str,
)
def test_shapes_that_do_not_fit_are_refused(argument, values, shape):
    y = np.zeros((*values, 5), np.float32)
    weights = {argument: np.ones(shape)}
    match = rf"MeanSquaredError: sample_weight and mask must broadcast .*{shape[0]}"
    for call in (losses.MeanSquaredError(), losses.MeanSquaredError().total):
        with pytest.raises(ValueError, match=match):
            call(y, y, **weights)
        with pytest.raises(ValueError, match=match):
            jax.jit(lambda y, call=call: call(y, y, **weights))(y)


def test_the_hint_tells_the_shape_to_use():
    y = np.zeros((4, 3, 5), np.float32)
    with pytest.raises(ValueError, match=r"values per sample, of shape \(4, 3\), got \(4,\). Re"):
        losses.MeanSquaredError()(y, y, sample_weight=W)
    weighed = losses.MeanSquaredError()(y, y + 1, sample_weight=W.reshape(4, 1))
    chex.assert_trees_all_close(weighed, jnp.float32(1.0))


def test_mask_and_weight_of_shapes_that_do_not_fit_each_other():
    y = np.zeros((4, 3, 5), np.float32)
    with pytest.raises(ValueError, match="mask and sample_weight need shapes that fit"):
        losses.MeanSquaredError()(y, y, sample_weight=np.ones((4, 2)), mask=np.ones((4, 3)))


POISON = [np.nan, np.inf, -np.inf]


@pytest.mark.parametrize("bad", POISON)
@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "mean_with_sample_weight", None])
def test_nothing_leaks_from_behind_a_mask_or_a_zero_weight(bad, reduction):
    loss = losses.MeanSquaredError(reduction=reduction)
    t, p = T.copy(), P.copy()
    t[2], p[2] = bad, bad
    for name, value in (("mask", M), ("sample_weight", W)):

        def total(t, p, w, name=name):
            return jnp.sum(loss(t, p, **{name: w}))

        argnums = (0, 1, 2) if name == "sample_weight" else (0, 1)
        got = jax.value_and_grad(total, argnums)(t, p, value)
        want = jax.value_and_grad(total, argnums)(T, P, value)
        chex.assert_tree_all_finite(got)
        chex.assert_trees_all_close(got[0], want[0])
        chex.assert_trees_all_close(got[1][1], want[1][1])


def test_a_masked_weight_may_be_nan():
    weight = np.where(M, W, np.nan).astype(np.float32)
    for reduction in ("sum", "mean_with_sample_weight"):
        loss = losses.MeanSquaredError(reduction=reduction)
        got = jax.value_and_grad(lambda p, loss=loss: loss(T, p, weight, M))(P)
        chex.assert_trees_all_close(got[0], loss(T, P, W, M))
        chex.assert_tree_all_finite(got)


def test_gradient_of_a_zero_weight_is_the_loss_of_its_sample():
    gradient = jax.grad(lambda w: mae("sum", sample_weight=w))(W)
    chex.assert_trees_all_close(gradient, jnp.array([1.0, 2.0, 3.0, 4.0]))


def test_own_mask_and_callers_mask_both_count():
    loss = losses.SparseCategoricalCrossentropy(ignore_class=0)
    y_pred = np.full((4, 2), 0.5, np.float32)
    value = loss([0, 1, 1, 1], y_pred, mask=[True, True, False, True])
    chex.assert_trees_all_close(value, jnp.float32(np.log(2)))


class Masked(losses.Loss):
    """Values with a mask of its own."""

    def call(self, y_true, y_pred):
        return jnp.abs(y_pred - y_true)[:, 0], y_pred[:, 0] < 3


def test_call_may_return_values_with_a_mask():
    chex.assert_trees_all_close(Masked()(T, P), jnp.float32(3 / 2))
    chex.assert_trees_all_close(Masked()(T, P, mask=[1, 0, 1, 1]), jnp.float32(1.0))


class Scalar(losses.Loss):
    """A scalar mean: Keras multiplies it by the mean of the weights."""

    def call(self, y_true, y_pred):
        return jnp.mean(jnp.abs(y_pred - y_true))


def test_scalar_values():
    chex.assert_trees_all_close(Scalar()(T, P), jnp.float32(2.5))
    chex.assert_trees_all_close(Scalar()(T, P, sample_weight=W), jnp.float32(2.5))
    with pytest.raises(ValueError, match="Scalar: a scalar for the whole batch cannot be merged"):
        Scalar().total(T, P)


def test_totals_that_cannot_be_merged_say_so():
    with pytest.raises(ValueError, match="Circle: every value depends on the whole batch"):
        losses.Circle().total(np.zeros(4, np.int32), np.ones((4, 2)))
    with pytest.raises(ValueError, match="reduction=None keeps one value per sample"):
        losses.MeanSquaredError(reduction=None).total(T, P)
    with pytest.raises(ValueError, match=r"Dice: total\(\) needs a reduction"):
        losses.Dice(reduction="none").total(T, P)
    with pytest.raises(ValueError, match="Dice: totals with weights or a mask of the values need"):
        losses.Dice(axis=0).total(T, P, sample_weight=[1.0])
    with pytest.raises(ValueError, match="a sum and a mean cannot be added"):
        _ = Total(jnp.zeros(()), None) + Total(jnp.zeros(()), jnp.ones(()))
    with pytest.raises(TypeError):
        _ = Total(jnp.zeros(()), None) + 1.0


def test_total_of_nothing_is_zero():
    empty = losses.MeanSquaredError().total(T[:0], P[:0])
    chex.assert_trees_all_close(empty.result(), jnp.float32(0))
    whole = losses.MeanSquaredError().total(T, P)
    chex.assert_trees_all_close((empty + whole).result(), whole.result())


class InNumPy(losses.Loss):
    """As people write it before they know of jit."""

    def call(self, y_true, y_pred):
        assert np.isfinite(y_pred[:3]).all()
        return np.abs(np.asarray(y_pred) - np.asarray(y_true)).mean(-1)


def test_a_loss_in_numpy_takes_masks():
    poisoned = np.concatenate([P[:3], [[np.nan]]])
    assert InNumPy()(T, poisoned, mask=[1, 1, 1, 0]) == 2
    assert InNumPy(reduction="sum")(T, poisoned, sample_weight=[1, 1, 2, 0]) == 9
