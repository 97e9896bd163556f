"""The safety table: no cell of lossjax's fails, and the table is able to see a failure."""

import warnings

import numpy as np
import pytest

from edges import PASSED
from lossjax import losses
from safety.libraries import Variant, results, variants
from safety.limits import limit
from safety.page import cells
from safety.points import INFINITE
from safety.verdict import failures


@pytest.mark.parametrize("variant", variants(), ids=lambda variant: variant.name)
def test_no_cell_fails(variant):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about one class
        found = {group: text for group, _, text in cells(variant, ["lossjax"])}
    assert {group: text for group, text in found.items() if text != PASSED} == {}


def one(library, variant, group):
    points = [point for point in variant.points if point.group == group]
    limits = [limit(variant.loss.__name__, variant.config, point) for point in points]
    return list(zip(points, limits, results(library, variant, points), strict=True))


@pytest.mark.parametrize(
    ("field", "wrong", "words"),
    [
        ("value", lambda x: x * 1.001, "value"),
        ("value", lambda x: x * np.nan, "value NaN"),
        ("gradient", lambda x: x * 0, "gradient 0, not"),
        ("gradient", lambda x: x + np.nan, "gradient NaN"),
        ("gradient", lambda x: -x, "gradient"),
        ("product", lambda x: x * 0.99, "second derivative"),
        ("jvp", lambda x: x * 0, "jvp 0, not"),
        ("jvp", lambda x: "raises", "jvp raises"),
    ],
)
def test_what_is_wrong_is_seen(field, wrong, words):
    variant = Variant(losses.SparseCategoricalCrossentropy, {"from_logits": True})
    point, bounds, result = one("lossjax", variant, "zero vectors")[0]
    assert list(failures(point, bounds, result)) == []
    broken = result._replace(**{field: wrong(getattr(result, field))})
    assert any(text.startswith(words) for text in failures(point, bounds, broken))


def test_a_masked_class_in_keras_is_seen():
    variant = Variant(losses.CategoricalCrossentropy, {"from_logits": True})
    failed = {
        point.name: list(failures(point, bounds, result))
        for point, bounds, result in one("Keras", variant, INFINITE)
    }
    assert failed["-inf on a wrong class"] == ["value NaN"]
    assert "gradient NaN" in failed["inf on the right class"]
