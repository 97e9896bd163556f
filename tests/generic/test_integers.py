"""Integers beyond 32 bits: numbers become floats, labels stay labels out of range."""

import jax
import numpy as np
import pytest
from jax import numpy as jnp

import lossjax
from lossjax import losses

HUGE = 5_000_000_000


@pytest.mark.parametrize(
    "given",
    [
        np.array([[HUGE]]),
        np.array([[HUGE]], np.uint64),
        [[HUGE]],
        [[float(HUGE)]],
    ],
    ids=["int64", "uint64", "list", "floats"],
)
def test_targets_and_weights_are_numbers(given):
    mae = losses.MeanAbsoluteError()
    assert mae(given, [[5e9]]) == 0
    assert mae([[5e9]], given) == 0
    assert losses.mean_absolute_error(given, [[5e9]]) == 0
    assert mae([[0.0]], [[1.0]], sample_weight=np.ravel(given)) == np.float32(HUGE)


@pytest.mark.parametrize("jit", [False, True])
def test_uint32(jit):
    given = jnp.array([[4_000_000_000]], jnp.uint32) if jit else np.array([[4e9]], np.uint32)
    mae = jax.jit(losses.MeanAbsoluteError()) if jit else losses.MeanAbsoluteError()
    assert mae(given, jnp.array([[4e9]])) == 0
    assert losses.MeanAbsoluteError()(np.array([[3]], np.uint8), [[2.0]]) == 1


def test_a_label_beyond_32_bits_is_no_other_class():
    p, wraps_to_1 = np.array([[0.25, 0.75]]), np.array([2**32 + 1])
    for labels in (wraps_to_1, wraps_to_1.astype(np.uint64), wraps_to_1.tolist(), -wraps_to_1):
        assert losses.SparseCategoricalCrossentropy()(labels, p) == 0
        assert losses.sparse_categorical_crossentropy(labels, p) == 0
    # -log(probability) of 1 for labels out of range; see `ctc`
    assert losses.CTC()(np.array([[2**32 + 1]]), np.zeros((1, 1, 3))) == 0
    with pytest.raises(ValueError, match=r"labels must lie in \[0, 2\)"):
        lossjax.linear_cross_entropy(wraps_to_1, p, np.eye(2))


def test_64_bits_are_kept_under_x64():
    with jax.enable_x64(True):
        exact = np.array([[2**53 - 1]])
        assert losses.MeanAbsoluteError()(exact, np.array([[2.0**53 - 2]])) == 1
        assert losses.MeanAbsoluteError()(np.array([[2**63]], np.uint64), [[2.0**63]]) == 0
        assert losses.SparseCategoricalCrossentropy()(np.array([2**32]), np.eye(2)[:1]) == 0


def test_what_is_no_number_is_a_sentence():
    for wrong in ([["a"]], [[10**30]], np.array([[None]]), np.array([["2020"]], "datetime64[D]")):
        with pytest.raises(TypeError, match="MeanSquaredError: y_true must"):
            losses.MeanSquaredError()(wrong, [[1.0]])


def test_function_form_with_integer_predictions():
    """Keras cuts the targets off too, and has 1."""
    assert losses.mean_absolute_error([[0.9]], np.array([[1]])) == pytest.approx(0.1, rel=1e-6)
