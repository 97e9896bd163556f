"""Metrics: Keras's numbers and names, exact over batches and padding, and names that are taken."""

import chex
import equinox as eqx
import jax
import numpy as np
import optax
import pytest
from jax import numpy as jnp

import keras
from lossjax import Objective, losses, training
from lossjax.training.metrics import Metrics

RNG = np.random.default_rng(0)
ROWS = 11
SCORES = RNG.uniform(0.05, 0.95, (ROWS, 6)).astype("f")
SHARES = SCORES / SCORES.sum(-1, keepdims=True)
CLASSES = RNG.integers(0, 6, ROWS)
ONE_HOT = np.eye(6, dtype="f")[CLASSES]
BITS = RNG.integers(0, 2, (ROWS, 6)).astype("f")
LOGITS = RNG.normal(size=(ROWS, 6)).astype("f")
WORDS = RNG.integers(0, 6, (ROWS, 4))


class Same(eqx.Module):
    """Its inputs, times one."""

    factor: jax.Array

    def __call__(self, x):
        return jax.tree.map(lambda a: a * self.factor, x)


class Hidden(Same):
    """Hidden states and the kernel that makes logits of them."""

    kernel: jax.Array

    def __call__(self, x):
        return x * self.factor, self.kernel


@pytest.fixture(scope="module")
def state():
    return training.init(Same(jnp.ones(())), optax.set_to_zero())


def values(metrics, loss, y_true, y_pred, mask=None, rows=None):
    scores = Metrics(metrics).scores(Objective(loss), y_true, y_pred, mask, rows)
    return {name: score.result() for name, score in scores.items()}


def of_keras(metrics, loss, y_true, y_pred):
    """What a Keras model whose outputs are its inputs logs beside losses."""
    keys = list(y_pred) if isinstance(y_pred, dict) else [""]
    arrays = y_pred if isinstance(y_pred, dict) else {"": y_pred}
    inputs = [keras.Input(arrays[k].shape[1:]) for k in keys]
    outputs = [keras.layers.Identity(name=k or "a")(x) for k, x in zip(keys, inputs, strict=True)]
    outputs = dict(zip(keys, outputs, strict=True)) if keys[1:] else outputs[0]
    model = keras.Model(inputs if keys[1:] else inputs[0], outputs)
    model.compile(loss=loss, metrics=metrics, run_eagerly=True)
    x = [arrays[k] for k in keys] if keys[1:] else y_pred
    logs = model.test_on_batch(x, y_true, return_dict=True)
    return {name: jnp.float32(v) for name, v in logs.items() if not name.endswith("loss")}


TWO_TRUE, TWO_PRED = {"a": CLASSES, "b": BITS[:, :1]}, {"a": SHARES, "b": SCORES[:, :1]}
SPARSE, BINARY = "sparse_categorical_crossentropy", "binary_crossentropy"


@pytest.mark.parametrize(
    ("metrics", "loss", "y_true", "y_pred"),
    [
        (["accuracy", "mae"], BINARY, BITS[:, :1], SCORES[:, :1]),
        (["acc"], BINARY, BITS[:, 0], SCORES[:, :1]),
        (["accuracy"], "categorical_crossentropy", ONE_HOT, SHARES),
        (["accuracy"], SPARSE, CLASSES, SHARES),
        (["accuracy"], SPARSE, CLASSES[:, None], SHARES),
        (["accuracy"], "mse", ONE_HOT, SHARES),  # by the shapes
        (["categorical_accuracy", "top_k_categorical_accuracy"], "mse", ONE_HOT, SHARES),
        (["sparse_top_k_categorical_accuracy"], SPARSE, CLASSES, SHARES),
        ({"a": ["accuracy", "mae"], "b": "accuracy"}, {"a": SPARSE, "b": BINARY}, None, None),
        ([["accuracy"], ["mse", "accuracy"]], {"a": SPARSE, "b": BINARY}, None, None),
    ],
)
def test_numbers_and_names_of_keras(metrics, loss, y_true, y_pred):
    if y_true is None:
        y_true, y_pred = TWO_TRUE, TWO_PRED
        loss = {k: losses.get(v) for k, v in loss.items()}
        theirs = {"a": SPARSE, "b": BINARY}
        if isinstance(metrics, dict):
            metrics = metrics | {"a": ["accuracy"]}  # Keras compares classes with rows in "mae"
    else:
        theirs = loss
    want = of_keras(metrics, theirs, y_true, y_pred)
    chex.assert_trees_all_close(values(metrics, loss, y_true, y_pred), want, rtol=1e-6)


def test_accuracy_follows_the_loss_of_the_output():
    """Where Keras goes by the shapes, and by 0.5 for logits too."""
    several = values("accuracy", "bce", BITS, SCORES)["accuracy"]
    chex.assert_trees_all_close(several, np.mean((SCORES > 0.5) == (BITS > 0)))
    logits = values("accuracy", losses.BinaryCrossentropy(from_logits=True), BITS, LOGITS)
    chex.assert_trees_all_close(logits["accuracy"], np.mean((LOGITS > 0) == (BITS > 0)))
    signs = values("accuracy", "hinge", 2 * BITS - 1, LOGITS)["accuracy"]
    chex.assert_trees_all_equal(signs, logits["accuracy"])
    vector = values("accuracy", None, BITS[:, 0], SCORES[:, 0])["accuracy"]
    chex.assert_trees_all_close(vector, np.mean((SCORES[:, 0] > 0.5) == BITS[:, 0]))
    first = losses.SparseCategoricalCrossentropy(axis=1, from_logits=True)
    found = values("accuracy", first, WORDS, np.stack([LOGITS[:, :4]] * 6, 1))
    chex.assert_trees_all_close(found["accuracy"], np.mean(WORDS == 0))


def test_the_largest_predictions_have_the_truth_among_them():
    place = np.argsort(np.argsort(-SHARES, -1), -1)[np.arange(ROWS), CLASSES]
    found = values(["top_1", "top_2_accuracy", "top_6_accuracy"], SPARSE, CLASSES, SHARES)
    want = {"top_1": place < 1, "top_2_accuracy": place < 2, "top_6_accuracy": place < 6}
    chex.assert_trees_all_close(found, {k: np.float32(v.mean()) for k, v in want.items()})
    nan = np.where(np.arange(6) == 2, np.nan, SHARES)
    wrong = values("top_3", SPARSE, np.full(ROWS, 2), nan)["top_3"]
    beyond = values("top_6", losses.SparseCategoricalCrossentropy(), np.full(ROWS, 9), SHARES)
    assert wrong == beyond["top_6"] == 0


def dense(labels, logits, counts):
    """Accuracy and perplexity of what counts."""
    logp = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    entropy = -np.take_along_axis(logp, labels[..., None], -1)[..., 0]
    right = logits.argmax(-1) == labels
    return {
        "accuracy": np.average(right, weights=counts),
        "perplexity": np.exp(np.average(entropy, weights=counts)),
    }


def test_every_batch_and_padding_gives_the_metric_of_all_samples(state):
    """Labels that do not count are spread unevenly over batches, of which the last is padded."""
    logits = RNG.normal(size=(ROWS, 4, 6)).astype("f")
    ignored = np.arange(4) < np.arange(ROWS)[:, None] % 5
    labels, mask = np.where(ignored, -100, WORDS), np.arange(ROWS)[:, None] % 4 != np.arange(4)
    want = dense(WORDS, logits, ~ignored & mask)
    assert want["accuracy"] != dense(WORDS, logits, mask)["accuracy"]
    loss = losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-100)
    data = {"x": logits, "y": labels, "mask": mask}
    metrics = ["accuracy", "perplexity"]
    _, history = training.fit(state, loss, data, batch_size=4, metrics=metrics, validation=data)
    found = history.epochs[0]
    for name, value in want.items():
        np.testing.assert_allclose([found[name], found[f"val_{name}"]], value, rtol=1e-6)
    assert set(found) == {"loss", "val_loss", *want, *(f"val_{name}" for name in want)}
    for count in (1, 3):
        step = training.make_step(loss, metrics=metrics, accumulate=count)
        logs = step(jax.tree.map(jnp.copy, state), data)[1]
        chex.assert_trees_all_close({k: logs[k] for k in want}, want, rtol=1e-6)


def test_of_a_vocabulary_without_its_logits():
    hidden = RNG.normal(size=(ROWS, 4, 3)).astype("f")
    kernel = RNG.normal(size=(3, 6)).astype("f")
    labels = np.where(np.arange(4) < np.arange(ROWS)[:, None] % 5, -100, WORDS)
    want = dense(WORDS, hidden @ kernel, labels != -100)
    options = {"ignore_class": -100, "class_weight": np.arange(6.0), "label_smoothing": 0.2}
    loss = losses.LinearCrossEntropy(**options)
    start = training.init(Hidden(jnp.ones(()), jnp.asarray(kernel)), optax.set_to_zero())
    how = {"batch_size": 4, "metrics": {"right": "accuracy", "ppl": "perplexity"}}
    objective = Objective(loss, log_terms=True)
    _, history = training.fit(start, objective, (hidden, labels), **how)
    logs = history.epochs[0]
    np.testing.assert_allclose([logs["right"], logs["ppl"]], list(want.values()), rtol=1e-5)
    logs = training.evaluate(start, objective, (hidden, labels), **how)
    np.testing.assert_allclose([logs["right"], logs["ppl"]], list(want.values()), rtol=1e-5)
    terms = losses.linear_cross_entropy(labels, hidden, kernel, **options, return_terms=True)[1]
    for name in ("cross_entropy", "z_loss", "log_sum_exp", "accuracy", "entropy"):
        np.testing.assert_allclose(logs[name], getattr(terms, name), rtol=1e-5)
    with pytest.raises(ValueError, match="others would need the logits"):
        values("top_5", loss, labels, (hidden, kernel))


def test_keys_are_outputs_or_names():
    loss = {"a": SPARSE, "b": BINARY}
    whole = Objective({"a": "sparse_categorical_crossentropy", "b": "mae"}, {"a": 0.5})
    found = values({"whole": whole, "b": ["mae", "mse"]}, loss, TWO_TRUE, TWO_PRED)
    assert list(found) == ["b_mae", "b_mse", "whole"]
    chex.assert_trees_all_close(found["whole"], whole(TWO_TRUE, TWO_PRED).loss, rtol=1e-6)
    alone = values("mae", {"b": BINARY}, {"b": TWO_TRUE["b"]}, TWO_PRED)
    chex.assert_trees_all_equal(alone, {"b_mae": found["b_mae"]})
    outputs = [[BITS, BITS], [SCORES, SCORES]]
    assert list(values("mae", "mse", *outputs)) == ["mae", "mae_1"]
    two = Objective("mse", output_names=["u", "v"])
    assert list(Metrics({"v": "mae"}).scores(two, *outputs, None, None)) == ["v_mae"]
    nested = {"h": {"x": BITS, "y": BITS}}, {"h": {"x": SCORES, "y": SCORES}}
    assert list(values({"h": "mae"}, "mse", *nested)) == ["h/x_mae", "h/y_mae"]

    def size(y_true, y_pred):
        return jnp.mean(y_pred, -1)

    assert list(values([size, losses.Huber()], "mse", BITS, SCORES)) == ["size", "huber_loss"]


def test_names_that_are_taken(state):
    data = BITS, SCORES
    for name, taken in (("loss", "loss"), ("mse_loss", "mse_loss"), ("val_loss", "loss")):
        for train in (
            lambda m: training.fit(state, "mse", data, metrics=m),
            lambda m: training.evaluate(state, "mse", data, metrics=m),
            lambda m: training.make_step("mse", metrics=m)(jax.tree.map(jnp.copy, state), data),
        ):
            with pytest.raises(ValueError, match=f"the name '{name}' is taken: '{taken}' is a log"):
                train({name: "mae"})
    with pytest.raises(ValueError, match="the name 'shares' is taken"):
        training.evaluate(state, "mse", data, metrics={"shares": "mae"})


@pytest.mark.parametrize(
    ("metrics", "loss", "match"),
    [
        ("accurracy", "mse", "got 'accurracy'. Did you mean 'accuracy'"),
        ([3], "mse", "a metric is a loss, accuracy, acc, top_5_accuracy, perplexity or a"),
        ({"c": ["mae"]}, {"a": SPARSE, "b": BINARY}, "'c' is none of"),
        (["mae"], {"a": SPARSE, "b": BINARY}, "got 1 for 2 outputs"),
        ({"all": "accuracy"}, {"a": SPARSE, "b": BINARY}, "'accuracy' is of one output"),
        ([Objective("mse")] * 2, {"a": SPARSE, "b": BINARY}, "an Objective needs a name"),
        ({"n": Objective("mse", regularizers={"l2": sum})}, "mse", "regularizers belong to"),
        ([None, "accuracy"], {"a": None, "b": "ctc"}, "'accuracy' means nothing for an output"),
    ],
)
def test_errors(metrics, loss, match):
    y_true, y_pred = TWO_TRUE, TWO_PRED
    if "ctc" in str(loss):
        y_true, y_pred = y_true | {"b": WORDS}, y_pred | {"b": np.stack([SHARES] * 9, 1)}
    with pytest.raises(ValueError, match=match) as caught:
        values(metrics, loss, y_true, y_pred)
    assert len(str(caught.value)) <= 300
