"""The safety table: no cell of lossjax's fails, and the table is able to see a failure."""

import warnings

import numpy as np
import pytest

from cases import DEEP, ROWS, Case, ends, variant_id
from edges import PASSED
from lossjax import losses
from safety import page
from safety.libraries import Variant, results, variants
from safety.limits import limit
from safety.page import cells
from safety.points import EXTREME, GROUPS, INFINITE
from safety.verdict import failures


def assert_no_cell_fails(variant, points):
    if variant.case.exact is None:
        pytest.skip("its row has no `exact`")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about one class
        found = {group: text for group, _, text in cells(variant, ["lossjax"], points)}
    failed = {group: text for group, text in found.items() if text != PASSED}
    assert {k: text for k, text in failed.items() if k not in variant.case.unsafe} == {}
    assert found.keys() <= set(GROUPS)


@pytest.mark.parametrize(
    ("case", "config"), ends((v.case, v.config) for v in variants()), ids=variant_id
)
def test_edges(case, config):
    """Those that one program computes: three samples of float32, without weights."""
    variant = Variant(case, config)
    alike = [
        point
        for point in variant.points
        if point.weighting == "none" and point.y_pred.dtype == np.float32 and len(point.y_pred) == 3
    ]
    shape = alike[0].y_pred.shape if alike else ()
    assert_no_cell_fails(variant, [point for point in alike if point.y_pred.shape == shape])


@pytest.mark.thorough
@pytest.mark.parametrize(
    "variant", [v for v in variants() if v.case in DEEP], ids=lambda variant: variant.name
)
def test_no_cell_fails(variant):
    assert_no_cell_fails(variant, variant.points)


def variant_of(loss, config):
    return Variant(next(row for row in ROWS if row.loss is loss), config)


def one(library, variant, group):
    points = [point for point in variant.points if point.group == group]
    limits = [limit(variant.case, variant.config, point) for point in points]
    return list(zip(points, limits, results(library, variant, points), strict=True))


def limits_of(loss, group):
    variant = variant_of(loss, {})
    points = [point for point in variant.points if point.group == group]
    return {point.name: limit(variant.case, variant.config, point) for point in points}


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
    variant = variant_of(losses.SparseCategoricalCrossentropy, {"from_logits": True})
    point, bounds, result = one("lossjax", variant, "zero vectors")[0]
    assert list(failures(point, bounds, result)) == []
    broken = result._replace(**{field: wrong(getattr(result, field))})
    assert any(text.startswith(words) for text in failures(point, bounds, broken))


def test_a_small_kink_is_one_and_what_falls_is_not_infinite():
    """A slope that jumps by 1e-35 has no curvature."""
    found = limits_of(losses.LaplaceNLL, EXTREME)
    products = found["log_scale = 80"].product[0]
    assert np.isnan(products).sum() == 1
    assert np.nanmax(np.abs(products)) < 1e-30
    found = limits_of(losses.BiTempered, INFINITE)
    assert found["inf on the right class"].value[1] < 1e-100


def test_a_masked_class_in_keras_is_seen():
    variant = variant_of(losses.CategoricalCrossentropy, {"from_logits": True})
    failed = {
        point.name: list(failures(point, bounds, result))
        for point, bounds, result in one("Keras", variant, INFINITE)
    }
    assert failed["-inf on a wrong class"] == ["value NaN"]
    assert "gradient NaN" in failed["inf on the right class"]


def test_a_loss_without_a_definition_has_no_cells(monkeypatch):
    monkeypatch.setattr(page, "variants", lambda: [Variant(Case(losses.Huber), {})])
    assert page.found(losses.Huber) == {}
