"""Losses added and multiplied by numbers, and losses of a part of y_pred."""

import dataclasses
import json
from typing import NamedTuple

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from jax.experimental import checkify

import lossjax
from lossjax import Objective, inspect, losses, testing
from lossjax.losses import MeanAbsoluteError as MAE
from lossjax.losses import MeanSquaredError as MSE
from lossjax.testing.suite import PROPERTIES

RNG = np.random.default_rng(0)
T = RNG.integers(0, 2, (6, 4)).astype("f")
Z = RNG.normal(size=(6, 4)).astype("f")
W = RNG.uniform(0.5, 2, 6).astype("f")
ROWS = np.arange(6) != 2


def dice_and_focal(coefficient=0.5):
    focal = losses.BinaryFocalCrossentropy(from_logits=True)
    return losses.Dice(axis=-1) + coefficient * focal


def test_it_is_the_sum_of_what_its_terms_are():
    loss = dice_and_focal()
    dice, focal = losses.Dice(axis=-1), losses.BinaryFocalCrossentropy(from_logits=True)
    for given in ({}, {"sample_weight": W}, {"mask": ROWS}, {"sample_weight": W, "mask": ROWS}):
        parts = dice(T, Z, **given), focal(T, Z, **given)
        np.testing.assert_allclose(loss(T, Z, **given), parts[0] + 0.5 * parts[1], rtol=1e-6)
        found = loss.terms(T, Z, **given)
        assert list(found) == ["dice", "binary_focal_crossentropy"]
        np.testing.assert_array_equal(np.stack(list(found.values())), parts)


@pytest.mark.parametrize(
    "loss", [dice_and_focal(), MSE().on(lambda t, p: (t, 2 * p))], ids=["sum", "on"]
)
def test_the_generic_suite_holds(loss):
    asked = [name for name in PROPERTIES if name != "config"]
    assert testing.assert_loss(loss, T, 1 / (1 + np.exp(-Z)), only=tuple(asked)) == asked


def test_terms_of_the_whole_batch_have_totals_that_merge():
    loss = losses.Dice() + 0.5 * losses.BinaryCrossentropy(from_logits=True)
    whole = loss(T, Z, sample_weight=W)
    parts = sum(loss.total(T[i], Z[i], W[i]) for i in (slice(0, 1), slice(1, 6)))
    np.testing.assert_allclose(parts.result(), whole, rtol=1e-6)
    assert parts.zero().result() == loss.total(T[:0], Z[:0], W[:0]).result()
    args = loss.without(jnp.asarray(ROWS), T, Z, W)
    np.testing.assert_allclose(loss(*args), loss(T[ROWS], Z[ROWS], W[ROWS]), rtol=1e-6)


def test_coefficients_are_leaves():
    traces = []

    @jax.jit
    def step(loss):
        traces.append(1)
        return loss(T, Z)

    for c in (0.5, 0.25):
        loss = dataclasses.replace(dice_and_focal(), coefficients=(1.0, c))
        np.testing.assert_allclose(step(loss), dice_and_focal(c)(T, Z), rtol=1e-6)
    assert len(traces) == 1
    slope = jax.grad(lambda loss: loss(T, Z))(dice_and_focal())
    np.testing.assert_allclose(slope.coefficients, list(dice_and_focal().terms(T, Z).values()))
    traced = jax.grad(lambda c: (MSE() + c * MAE())(T, Z))(2.0)
    np.testing.assert_allclose(traced, MAE()(T, Z))


def test_sums_of_sums_are_flat_and_numbers_of_numpy_and_jax_multiply():
    loss = 2 * (MSE() + np.float32(0.5) * MAE()) + jnp.float32(3) * MAE()
    assert [float(c) for c in loss.coefficients] == [2, 1, 3]
    assert loss.names()[1:] == ("mean_absolute_error", "mean_absolute_error_1")
    assert repr(sum([MSE(), losses.Huber(delta=2.0)])) == ("MeanSquaredError() + Huber(delta=2.0)")
    assert repr(0.5 * MSE()) == "0.5 * MeanSquaredError()"


@pytest.mark.parametrize("other", [1, "mse", None])
def test_what_is_no_loss_cannot_be_added(other):
    with pytest.raises(TypeError, match="unsupported operand"):
        MSE() + other


@pytest.mark.parametrize("factor", [MAE(), "2", None, np.ones(2)])
def test_what_is_no_number_cannot_multiply(factor):
    with pytest.raises(TypeError, match="MeanSquaredError'"):
        MSE() * factor


def test_a_reduction_of_all_and_values_per_sample():
    loss = dice_and_focal()
    values = dataclasses.replace(loss, reduction=None)(T, Z)
    dice, focal = (dataclasses.replace(term, reduction=None) for term in loss.losses)
    np.testing.assert_allclose(values, dice(T, Z) + 0.5 * focal(T, Z), rtol=1e-6)
    uneven = MSE(reduction=None) + losses.CosineSimilarity(axis=0, reduction=None)
    with pytest.raises(ValueError, match=r"one shape, got \(6,\) and \(4,\). Give each term"):
        uneven(T, Z)


def test_configs():
    loss = 2 * dice_and_focal() + losses.Huber(delta=3.0).on("mean")
    written = json.loads(json.dumps(losses.serialize(loss)))
    assert repr(losses.deserialize(written)) == repr(loss)

    class Own(losses.Loss):
        def call(self, y_true, y_pred):
            return jnp.mean(y_pred, -1)

    written = losses.serialize(MSE() + Own())
    assert isinstance(losses.deserialize(written, {"Own": Own}).losses[1], Own)
    with pytest.raises(ValueError, match=r"a function has no config. Name a part"):
        losses.serialize(MSE().on(lambda t, p: (t, p)))
    written["config"]["losses"][0]["config"]["unknown"] = 1
    with pytest.raises(ValueError, match="unknown key 'unknown'"):
        losses.deserialize(written)


class Both(NamedTuple):
    mean: jax.Array
    scale: jax.Array


def test_terms_of_parts():
    pred = {"mean": Z, "logits": 2 * Z}
    loss = MSE().on("mean") + losses.BinaryCrossentropy(from_logits=True).on("logits")
    want = MSE()(T, Z) + losses.BinaryCrossentropy(from_logits=True)(T, 2 * Z)
    np.testing.assert_allclose(loss(T, pred), want, rtol=1e-6)
    both = MSE().on("mean")(Both(T, W), Both(Z, W))  # of y_true too, if it has it
    np.testing.assert_allclose(both, MSE()(T, Z), rtol=1e-6)
    with pytest.raises(ValueError, match=r"must have 'men', got .* Did you mean 'mean'"):
        MSE().on("men")(T, pred)
    with pytest.raises(TypeError, match="part must be a name or a function, got 3"):
        MSE().on(3)


def test_in_an_objective():
    loss = MSE().on("mean") + 0.1 * losses.BinaryCrossentropy(from_logits=True).on("logits")
    pred = {"mean": Z, "logits": 2 * Z}
    found = Objective(loss, log_terms=True)(T, pred, sample_weight=W)
    np.testing.assert_allclose(found.loss, loss(T, pred, W), rtol=1e-6)
    assert set(found.logs) == {"loss", "mean_squared_error", "binary_crossentropy"}
    both = Objective([MSE(), dice_and_focal()])([T, T], [Z, Z])
    np.testing.assert_allclose(both.loss, MSE()(T, Z) + dice_and_focal()(T, Z), rtol=1e-6)


def test_a_metric_of_sums_has_its_weight():
    metric = Objective({"a": losses.Dice(), "b": MSE() + losses.Dice()}, weights={"a": 3.0})
    pred = {"a": T / 2, "b": T / 4}
    true = {"a": T, "b": T}
    totals = metric.weighed(metric.totals(true, pred))
    found = Objective(None).value(totals).loss
    want = 3 * losses.Dice()(T, T / 2) + MSE()(T, T / 4) + losses.Dice()(T, T / 4)
    np.testing.assert_allclose(found, want, rtol=1e-6)


def test_in_the_tools():
    loss = losses.BinaryCrossentropy() + 0.5 * losses.Dice(axis=-1)
    p = 1 / (1 + np.exp(-Z))
    assert inspect.check(loss, T, p).severity == "ok"
    assert inspect.compare(loss, losses.BinaryCrossentropy(), T, p).a == repr(loss)
    found = inspect.explain(loss, T, p)
    assert found.name == "BinaryCrossentropy() + 0.5 * Dice(axis=-1)"
    dice = losses.Dice(axis=-1)(T, p)
    assert found.why.startswith("1 * binary_crossentropy ")
    assert found.why.endswith(f" + 0.5 * dice {dice:.6g}")
    np.testing.assert_array_equal(lossjax.checked(loss)(T, p), loss(T, p))
    with pytest.raises(checkify.JaxRuntimeError, match=r"BinaryCrossentropy: y_true must be in"):
        lossjax.checked(loss)(T + 5, p)
