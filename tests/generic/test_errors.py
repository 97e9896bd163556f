"""Error texts: where, what is required, what was got; raised under jit too."""

import functools
import warnings

import jax
import numpy as np
import pytest

from cases import CASES, variant_id
from lossjax import losses, testing

V, COLUMN, MATRIX = np.zeros(4, np.float32), np.zeros((4, 1), np.float32), np.zeros((4, 3), "f")
L = np.zeros(4, np.int32)

NOT_ALIGNED = [
    c
    for c in CASES
    if c.function and c.domain in ("sign", "score", "distribution", "count", "region")
]


def assert_refused(fn, *arguments, error, match):
    """Whatever the shapes say is known at trace time."""
    with pytest.raises(error, match=match):
        fn(*arguments)
    if all(isinstance(x, np.ndarray) for x in arguments):
        with pytest.raises(error, match=match):
            jax.jit(fn)(*arguments)


@pytest.mark.parametrize("case", NOT_ALIGNED, ids=variant_id)
def test_function_form_never_makes_a_square(case):
    name = case.function.__name__
    for pair in ((V, COLUMN), (COLUMN, V)):
        assert_refused(
            case.function,
            *pair,
            error=ValueError,
            match=rf"{name}: y_true and y_pred need .*\(4, 1\)",
        )
    assert case.loss(reduction=None)(V, COLUMN).shape in ((4,), (4, 1), ())  # the class aligns them


@pytest.mark.parametrize(
    ("fn", "y_true", "y_pred", "match"),
    [
        (losses.mean_squared_error, MATRIX, MATRIX.T, r"need equal shapes.*\(4, 3\) and \(3, 4\)"),
        (losses.mean_squared_error, COLUMN, MATRIX[:1], r"one that broadcasts to the other"),
        (losses.mean_squared_error, MATRIX[..., None, None], MATRIX, r"\(4, 3, 1, 1\)"),
        (
            losses.binary_crossentropy,
            V,
            COLUMN,
            r"must have the same shape.* Pass y_pred\[..., 0\]",
        ),
        (losses.binary_focal_crossentropy, COLUMN, MATRIX, "must have the same shape"),
        (losses.categorical_crossentropy, V[:3], MATRIX, "must have the same shape"),
        (losses.categorical_focal_crossentropy, V, COLUMN, "need equal shapes"),
        (
            functools.partial(losses.categorical_focal_crossentropy, axis=0),
            MATRIX,
            MATRIX[0],
            r"need as many axes where axis is counted from the front, got \(4, 3\) and \(3,\)",
        ),
        (losses.sparse_categorical_crossentropy, L[:3], MATRIX, r"here \(4,\), got \(3,\)"),
        (losses.sparse_categorical_crossentropy, MATRIX, MATRIX, "holds class numbers"),
        (losses.ctc, L, MATRIX, "ctc: Targets `y_true` are expected"),
        (losses.ctc, L[:, None], MATRIX, "ctc: Logits `y_pred` are expected"),
        (losses.circle, L, V, r"circle: y_pred must have shape \(batch, dimension\), got \(4,\)"),
        (losses.circle, L[:3], MATRIX, r"circle: y_true must have shape \(4,\)"),
    ],
)
def test_shapes(fn, y_true, y_pred, match):
    assert_refused(fn, y_true, y_pred, error=ValueError, match=match)


def test_labels_of_the_generalized_cross_entropy():
    """(N, 1) is (N,), where Keras makes (N, N) values."""
    loss = losses.CategoricalGeneralizedCrossEntropy(reduction=None)
    np.testing.assert_array_equal(loss(L[:, None], MATRIX), loss(L, MATRIX))
    match = r"here \(4,\), got \(4, 2\)"
    assert_refused(loss, MATRIX[:, :2].astype(int), MATRIX, error=ValueError, match=match)


@pytest.mark.parametrize("case", CASES, ids=variant_id)
def test_kinds(case):
    y_true, y_pred = testing.sample(case.loss)
    loss = case.example()
    for bad, match in (
        ("text", "must be an array or numbers nested in lists, got str"),
        (
            {"a": y_pred},
            "must be an array or numbers nested in lists, got dict. For several outputs",
        ),
        (y_pred.astype(complex), "must hold real numbers, got dtype complex"),
        (None, "must be an array or numbers nested in lists, got NoneType"),
    ):
        assert_refused(loss, y_true, bad, error=TypeError, match=f"y_pred {match}")
        assert_refused(loss, bad, y_pred, error=TypeError, match=f"y_true {match}")


@pytest.mark.parametrize("case", CASES, ids=variant_id)
def test_reduction(case):
    name = case.loss.__name__
    with pytest.raises(ValueError, match=f"{name}: Invalid value for argument `reduction`"):
        case.example(reduction="avg")
    with pytest.raises(ValueError, match="Did you mean 'mean'"):
        case.example(reduction="meen")
    assert case.example(reduction="auto").reduction == "sum_over_batch_size"


SMOOTHED = [c for c in CASES if c.function and hasattr(c.loss, "label_smoothing")]


@pytest.mark.parametrize("case", SMOOTHED, ids=variant_id)
@pytest.mark.parametrize("value", [-0.1, 1.5, np.nan])
def test_label_smoothing(case, value):
    y_true, y_pred = testing.sample(case.loss)
    match = r"label_smoothing must be in the interval \[0, 1\], got "
    with pytest.raises(ValueError, match=match):
        case.loss(label_smoothing=value)
    with pytest.raises(ValueError, match=match):
        case.function(y_true, y_pred, label_smoothing=value)


def test_ranges():
    with pytest.raises(
        ValueError, match=r"Huber: delta must be in the interval \[0, inf\], got -1"
    ):
        losses.Huber(delta=-1.0)
    with pytest.raises(ValueError, match=r"huber: delta must be in the interval"):
        losses.huber(MATRIX, MATRIX, delta=-1.0)
    for q in (0, 1, -1):
        with pytest.raises(ValueError, match=r"q must be in the interval \(0, 1\), got"):
            losses.CategoricalGeneralizedCrossEntropy(q=q)
    with pytest.raises(ValueError, match="`axis` must be of type `int`"):
        losses.categorical_crossentropy(MATRIX, MATRIX, axis=True)
    with pytest.raises(ValueError, match="axis must be an axis of y_pred"):
        losses.sparse_categorical_crossentropy(L, MATRIX, axis=5)
    with pytest.raises(TypeError, match="axis must be int, got 'last'"):
        losses.SparseCategoricalCrossentropy(axis="last")
    with pytest.raises(ValueError, match="dtype must be a floating point type"):
        losses.Huber(dtype="int32")


@pytest.mark.parametrize("name", ["categorical_crossentropy", "categorical_focal_crossentropy"])
def test_a_single_class_is_warned_of(name):
    with pytest.warns(SyntaxWarning, match=f"In loss {name}, expected y_pred.shape .*num_classes"):
        getattr(losses, name)(COLUMN, COLUMN)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        getattr(losses, name)(MATRIX, MATRIX + 1)


def test_unknown_names():
    with pytest.raises(ValueError, match=r"Could not interpret loss identifier: 'hubr'.*'huber'"):
        losses.get("hubr")
    with pytest.raises(ValueError, match=r"unknown key 'detla'.*'delta'"):
        losses.get({"class_name": "Huber", "config": {"detla": 1.0}})
