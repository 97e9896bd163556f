"""`lossjax.checked`: what it reports, with position and value, under jit too."""

import functools

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from jax.experimental import checkify

import lossjax
from cases import CASES, each_domain, variant_id
from lossjax import losses, testing

NAN = float("nan")
HALF = [[0.5, 0.5], [0.5, 0.5]]
RIGHT = [[1.0, 0.0], [0.0, 1.0]]

# (loss, y_true, y_pred, what is required, value, position)
BAD = [
    ("SparseCategoricalCrossentropy", [0, 2], HALF, "a class number from 0 to 1", "2", "[1]"),
    ("SparseCategoricalCrossentropy", [-1, 1], HALF, "a class number from 0 to 1", "-1", "[0]"),
    (
        "CategoricalCrossentropy",
        [[1.0, 0.0], [1.0, 1.0]],
        HALF,
        "over its classes must be 1",
        "2.0",
        "[1]",
    ),
    ("CategoricalCrossentropy", RIGHT, [[0.5, 1.5], [0, 1]], "in [0, 1]", "1.5", "[0 1]"),
    ("BinaryCrossentropy", [[0.0, 3.0]], [[0.5, 0.5]], "in [0, 1]", "3.0", "[0 1]"),
    ("Poisson", [[-1.0]], [[1.0]], "must not be negative", "-1.0", "[0 0]"),
    ("Hinge", [[1.0, 2.0]], [[0.0, 0.0]], "must be -1 or 1", "2.0", "[0 1]"),
    ("KLDivergence", [[0.5, 0.25]], [[0.5, 0.5]], "must be 1", "0.75", "[0]"),
    ("Huber", [[1.0], [2.0]], [[0.0], [NAN]], "y_pred must not be NaN", "nan", "[1 0]"),
    ("Huber", [[NAN], [2.0]], [[0.0], [NAN]], "y_true must not be NaN", "nan", "[0 0]"),
    (losses.mean_squared_error, [[1.0]], [[NAN]], "y_pred must not be NaN", "nan", "[0 0]"),
    (lambda t, p: jnp.log(t - p), [0.0], [1.0], "the value must not be NaN", "nan", "[0]"),
]


@pytest.mark.parametrize(("loss", "y_true", "y_pred", "text", "value", "position"), BAD)
def test_it_reports_position_and_value(loss, y_true, y_pred, text, value, position):
    loss = lossjax.checked(loss)
    arrays = jnp.asarray(y_true), jnp.asarray(y_pred)
    with pytest.raises(checkify.JaxRuntimeError) as eager:
        loss(*arrays)
    error, _ = checkify.checkify(jax.jit(loss))(*arrays)
    for message in (str(eager.value), error.get()):
        assert text in message
        assert f"got {value} at position {position}" in message


@pytest.mark.parametrize("case", each_domain(CASES), ids=variant_id)
def test_good_data_gives_the_same_loss(case):
    loss = case.loss(**case.configs[0])
    y_true, y_pred = testing.sample(loss)
    found = lossjax.checked(loss)
    np.testing.assert_array_equal(found(y_true, y_pred), loss(y_true, y_pred))
    assert isinstance(found, case.loss)
    assert found.get_config() == loss.get_config()


def test_what_does_not_count_may_be_anything():
    loss = lossjax.checked(losses.SparseCategoricalCrossentropy(ignore_class=-100))
    y_pred = np.array([[0.5, 0.5], [NAN, 7.0], [0.5, 0.5]], "float32")
    labels = [1, 9, -100]
    for weights in ({"mask": [True, False, True]}, {"sample_weight": [1.0, 0.0, 1.0]}):
        assert np.isfinite(loss(labels, y_pred, **weights))
    with pytest.raises(checkify.JaxRuntimeError, match="y_pred must not be NaN"):
        loss(labels, y_pred, mask=[True, True, True])
    with pytest.raises(checkify.JaxRuntimeError, match="sample_weight must not be NaN"):
        loss([0, 1, 1], HALF + HALF[:1], sample_weight=[1.0, NAN, 1.0])


def test_ignored_labels_and_their_predictions_may_be_anything():
    loss = lossjax.checked(losses.SparseCategoricalCrossentropy(ignore_class=-100))
    y_pred = np.array([[0.5, 0.5], [NAN, 7.0]], "float32")
    assert loss([1, -100], y_pred) == pytest.approx(np.log(2))
    with pytest.raises(checkify.JaxRuntimeError, match="y_pred must not be NaN"):
        loss([1, 0], y_pred)
    loss = lossjax.checked(losses.LinearCrossEntropy(ignore_class=-100))
    labels, hidden = jnp.array([1, -100]), jnp.ones((2, 2))
    assert np.isfinite(loss(labels, (hidden.at[1].set(NAN), jnp.ones((2, 4)))))
    with pytest.raises(checkify.JaxRuntimeError, match=r"y_pred must not be NaN.* \[1 0\]"):
        loss(labels, (hidden, jnp.ones((2, 4)).at[1].set(NAN)))


@pytest.mark.parametrize("case", each_domain(CASES), ids=variant_id)
def test_masked_samples_may_hold_nan(case):
    loss = case.loss(**case.configs[0])
    y_true, y_pred = testing.sample(loss)
    y_pred[0] = NAN
    if y_true.dtype == np.float32:
        y_true[0] = NAN
    found = lossjax.checked(loss)
    with pytest.raises(checkify.JaxRuntimeError, match="must not be NaN, got nan"):
        found(y_true, y_pred)
    if getattr(loss, "axis", -1) is not None and case.domain != "region":
        assert np.isfinite(found(y_true, y_pred, mask=np.arange(len(y_pred)) > 0))


def test_options_of_a_function_count():
    found = lossjax.checked(losses.sparse_categorical_crossentropy)
    logits = jnp.array([[3.0, -2.0], [1.0, 5.0]])
    assert np.isfinite(found([0, 1], logits, from_logits=True)).all()
    with pytest.raises(checkify.JaxRuntimeError, match="y_pred must be in"):
        found([0, 1], logits)


def _scan(loss, t, p):
    return jax.lax.scan(lambda sum, row: (sum + loss(*row), None), 0.0, (t, p))[0]


TRANSFORMED = {
    "vmap": lambda loss, t, p: jnp.sum(jax.vmap(loss)(t, p)),
    "scan": _scan,
    "grad": lambda loss, t, p: jnp.sum(jax.grad(loss, argnums=1)(t, p)),
    "checkpoint": lambda loss, t, p: jnp.sum(jax.grad(jax.checkpoint(loss), argnums=1)(t, p)),
}


@pytest.mark.parametrize("transformed", TRANSFORMED.values(), ids=TRANSFORMED)
def test_under_transformations(transformed):
    loss = lossjax.checked("Poisson")
    run = checkify.checkify(jax.jit(functools.partial(transformed, loss)))
    t, p = jnp.ones((3, 2)), jnp.ones((3, 2))
    assert run(t, p)[0].get() is None
    assert "y_pred must not be negative, got -1.0" in run(t, p.at[1, 0].set(-1))[0].get()


def test_an_objective_of_it():
    objective = lossjax.Objective(lossjax.checked("Poisson"))
    run = checkify.checkify(jax.jit(lambda t, p: objective(t, p).loss))
    error, value = run(jnp.ones((2, 1)), jnp.ones((2, 1)))
    assert error.get() is None
    assert value == losses.Poisson()(jnp.ones((2, 1)), jnp.ones((2, 1)))
    assert "got -1.0 at position [1 0]" in run(jnp.ones((2, 1)), jnp.array([[1], [-1.0]]))[0].get()


def test_a_training_step_of_it():
    optax, nnx = pytest.importorskip("optax"), pytest.importorskip("flax.nnx")
    from lossjax import training

    model = nnx.Linear(1, 1, use_bias=False, kernel_init=nnx.initializers.ones, rngs=nnx.Rngs(0))
    step = checkify.checkify(training.make_step(lossjax.checked("Poisson")))
    x = np.array([[1], [-1]], "float32")
    error, _ = step(training.init(model, optax.sgd(0.1)), (x, np.ones_like(x)))
    assert "y_pred must not be negative, got -1.0 at position [1 0]" in error.get()
    error, (_, logs) = step(training.init(model, optax.sgd(0.1)), (abs(x), np.ones_like(x)))
    assert error.get() is None
    assert logs["loss"] == pytest.approx(1)


def test_totals_gradients_and_hyperparameters():
    loss = lossjax.checked(losses.Huber(delta=2.0))
    t, p = jnp.zeros((2, 1)), jnp.array([[1.0], [5.0]])

    def step(loss, p):
        return jax.value_and_grad(lambda q: loss.total(t, q).result())(p)

    error, (value, _) = checkify.checkify(jax.jit(step))(loss, p)
    assert error.get() is None
    assert value == losses.Huber(delta=2.0)(t, p)
    error, _ = checkify.checkify(jax.jit(step))(loss, p.at[0].set(jnp.nan))
    assert "Huber: y_pred must not be NaN" in error.get()
    by_delta = jax.grad(lambda loss: loss(t, p))(loss).delta
    assert by_delta == jax.grad(lambda loss: loss(t, p))(losses.Huber(delta=2.0)).delta


def test_jit_without_checkify_says_so():
    with pytest.raises(ValueError, match="checkify"):
        jax.jit(lossjax.checked("Huber"))(jnp.ones((1, 1)), jnp.ones((1, 1)))


def test_labels_of_linear_cross_entropy():
    loss = lossjax.checked(losses.LinearCrossEntropy(ignore_class=-100))
    y_pred = jnp.ones((2, 3)), jnp.ones((3, 4))
    assert np.isfinite(loss(jnp.array([3, -100]), y_pred))
    with pytest.raises(checkify.JaxRuntimeError, match=r"from 0 to 3, got 4 at position \[1\]"):
        loss(jnp.array([0, 4]), y_pred)


def test_an_unchecked_loss_pays_nothing():
    arrays = jnp.ones((2, 2)), jnp.ones((2, 2))
    before = str(jax.make_jaxpr(losses.Huber())(*arrays))
    lossjax.checked(losses.Huber())(*arrays)
    assert str(jax.make_jaxpr(losses.Huber())(*arrays)) == before
    assert "check" not in before


def test_errors():
    with pytest.raises(TypeError, match="checked: loss must be a Loss"):
        lossjax.checked(3)
    with pytest.raises(ValueError, match="Did you mean"):
        lossjax.checked("hubr")
