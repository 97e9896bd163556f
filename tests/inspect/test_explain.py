"""`lossjax.inspect.explain`: its steps lead to the number that the loss returns."""

import numpy as np
import pytest

from lossjax import inspect, losses, testing

WEIGHT = np.array([0.5, 2, 0, 1, 1, 3, 0.25, 1], "float32")
MASK = np.array([1, 1, 1, 0, 1, 1, 0, 1], bool)


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "mean_with_sample_weight", "sum"])
@pytest.mark.parametrize(("weight", "mask"), [(None, None), (WEIGHT, None), (WEIGHT, MASK)])
def test_the_parts_make_the_result(reduction, weight, mask):
    loss = losses.SparseCategoricalCrossentropy(reduction=reduction, ignore_class=1)
    y_true, y_pred = testing.sample(loss)
    found = inspect.explain(loss, y_true, y_pred, weight, mask)
    terms = found.values * (1 if weight is None else weight) * found.mask
    np.testing.assert_array_equal(found.terms, terms)
    np.testing.assert_allclose(found.numerator, terms.sum(), rtol=1e-6)
    divisor = 1 if found.denominator is None else found.denominator
    np.testing.assert_allclose(found.numerator / divisor, found.result, rtol=1e-6)
    assert (found.denominator is None) == (reduction == "sum")
    np.testing.assert_array_equal(found.result, loss(y_true, y_pred, weight, mask))
    assert found.mask.sum() == ((y_true != 1) & (True if mask is None else mask)).sum()


def test_the_sentence_names_what_is_divided_by():
    args = [[0.0], [0.0]], [[3.0], [1.0]], [1.0, 4.0]
    batch = inspect.explain(losses.Huber(), *args)
    assert "number of values, not the sum of the weights" in batch.why
    assert "gives 0.9" in batch.why
    assert float(losses.Huber(reduction="mean_with_sample_weight")(*args)) == pytest.approx(0.9)
    assert "0.9" in str(batch)


def test_small_inputs_are_written_out():
    pytest.importorskip("rich")
    found = inspect.explain("mse", [1, 2], np.array([[1.5], [4.0]], "float16"), mask=[True, False])
    text = str(found)
    assert found.given == "the data given: y_true (2,) int64, y_pred (2, 1) float16"
    assert found.y_pred.dtype == np.float32
    for words in ("0.25", "False", "1 of 2 count", "numerator", "denominator", "gradient"):
        assert words in text
    html = found._repr_html_()
    assert html.count("<table>") == 2
    assert "<th>gradient</th>" in html
    assert repr(found) == "Explanation(mean_squared_error: 0.25)"


def test_large_inputs_are_summarised():
    pytest.importorskip("rich")
    y_pred = np.zeros((1000, 3), "float32")
    y_pred[417] = 10
    text = str(inspect.explain("mae", np.zeros_like(y_pred), y_pred))
    assert "Largest terms: 417: 10" in text
    assert "100% of the sum" in text
    assert len(text.splitlines()) < 30


def test_gradient_is_that_of_the_result_in_the_shape_given():
    y_pred = np.array([[1.0], [5.0]], "float32")
    found = inspect.explain("mse", [0.0, 0.0], y_pred, sample_weight=[1.0, 0.0])
    np.testing.assert_allclose(found.gradient, [[1.0], [0.0]])


@pytest.mark.parametrize("loss", [losses.Dice(), losses.Circle(), losses.CTC(), losses.hinge])
def test_any_loss_and_data_of_its_own(loss):
    found = inspect.explain(loss)
    assert np.isfinite(found.result).all()
    assert "generated data of the domain" in found.given
    if found.denominator is not None:
        ratio = found.numerator / found.denominator
        np.testing.assert_allclose(ratio, found.result, rtol=1e-6)


def test_a_loss_of_two_inputs():
    hidden, kernel = np.ones((3, 2), "float32"), np.eye(2, 4, dtype="float32")
    found = inspect.explain(losses.LinearCrossEntropy(), np.array([0, 1, 3]), (hidden, kernel))
    assert found.values.shape == (3,)
    assert "a way of its own" in found.why
    assert [g.shape for g in found.gradient] == [(3, 2), (2, 4)]


def test_comparison_of_losses_of_two_inputs():
    data = np.array([0, 3]), (np.ones((2, 2), "float32"), np.eye(2, 4, dtype="float32"))
    found = inspect.compare(losses.LinearCrossEntropy(), losses.LinearCrossEntropy(z_loss=1), *data)
    assert found["gradient"].size == 4 + 8
    assert found["gradient"].largest > 0.1


def test_errors():
    with pytest.raises(TypeError, match=r"explain: loss must be a Loss, .* got int"):
        inspect.explain(3)
    with pytest.raises(ValueError, match="give y_true and y_pred, or neither"):
        inspect.explain("mse", [1.0])
    with pytest.raises(ValueError, match=r"LinearCrossEntropy.*Give y_true and y_pred"):
        inspect.explain(losses.LinearCrossEntropy())
    with pytest.raises(ValueError, match="domain must be a Domain or one of"):
        inspect.explain("mse", domain="reel")
