"""Objective: Keras's compile-level loss live, terms from inside the model, and error texts."""

import chex
import jax
import keras
import numpy as np
import pytest
from jax import numpy as jnp

import lossjax
from lossjax import Objective, Total, losses

RNG = np.random.default_rng(0)
T = {k: RNG.uniform(0.1, 0.9, (6, 3)).astype("f") for k in "ab"}
P = {k: RNG.uniform(0.1, 0.9, (6, 3)).astype("f") for k in "ab"}
W = {k: RNG.uniform(0, 2, 6).astype("f") for k in "ab"}


def keras_logs(loss, y_true, y_pred, weights=None, sample_weight=None):
    """What a Keras model whose outputs are its inputs logs for one batch."""

    def layer(path, array):
        return keras.Input(array.shape[1:], name=f"in_{path}"), keras.layers.Identity(name=path)

    if isinstance(y_pred, dict):
        pairs = {k: layer(k, v) for k, v in y_pred.items()}
        outputs = {k: identity(x) for k, (x, identity) in pairs.items()}
        inputs = [x for x, _ in pairs.values()]
    elif isinstance(y_pred, list):
        pairs = [layer("ab"[i], v) for i, v in enumerate(y_pred)]
        inputs, outputs = [x for x, _ in pairs], [identity(x) for x, identity in pairs]
    else:
        inputs, identity = layer("a", y_pred)
        outputs = identity(inputs)
    model = keras.Model(inputs, outputs)
    model.compile(loss=loss, loss_weights=weights, run_eagerly=True)
    x = list(y_pred.values()) if isinstance(y_pred, dict) else y_pred
    return model.test_on_batch(x, y_true, sample_weight=sample_weight, return_dict=True)


def assert_same_logs(got, want):
    assert list(got) == sorted(want, key=lambda name: (name != "loss", name))
    chex.assert_trees_all_close(dict(got), {k: jnp.float32(v) for k, v in want.items()}, rtol=1e-5)


@pytest.mark.parametrize(
    ("loss", "keys", "weights", "weighed"),
    [
        ("mse", "", None, None),
        ("crossentropy", "", None, "one"),
        (losses.Huber(reduction="sum"), "", None, "one"),
        ("mae", "ab", None, None),
        ({"a": "mse", "b": "mae"}, "ab", None, "each"),
        ({"a": "mse", "b": "mae"}, "ab", {"a": 0.5, "b": 3.0}, "each"),
        ({"a": "mse", "b": "mae"}, "ab", {"a": 0.5, "b": 0.0}, None),
        ({"a": "mse"}, "ab", None, None),
        ({"a": "mse", "b": None}, "ab", None, None),
        ({"a": losses.MeanSquaredError(reduction="sum"), "b": losses.Dice()}, "ab", None, None),
    ],
)
def test_numbers_and_names_of_keras(loss, keys, weights, weighed):
    def theirs(x):
        return keras.losses.deserialize(losses.serialize(x)) if isinstance(x, losses.Loss) else x

    y_true, y_pred = (T, P) if keys else (T["a"], P["a"])
    sample_weight = {"each": W, "one": W["a"], None: None}[weighed]
    their_loss = jax.tree.map(theirs, loss, is_leaf=lambda x: isinstance(x, losses.Loss))
    want = keras_logs(their_loss, y_true, y_pred, weights, sample_weight)
    assert_same_logs(Objective(loss, weights)(y_true, y_pred, sample_weight).logs, want)


def test_outputs_in_a_list_have_names():
    y_true, y_pred = [T["a"], T["b"]], [P["a"], P["b"]]
    for loss in (["mse", "mae"], {"b": "mae", "a": "mse"}):
        objective = Objective(loss, output_names=["a", "b"])
        want = keras_logs(loss, y_true, y_pred)
        assert_same_logs(objective(y_true, y_pred).logs, want)
        assert_same_logs(objective(T, y_pred).logs, want)
    assert list(Objective(["mse", "mae"])(y_true, y_pred).terms) == ["mse_loss", "mae_loss"]
    assert list(Objective("mse")(y_true, y_pred).terms) == ["mse_loss", "mse_loss_1"]
    partial = Objective([None, "mae"])([T["b"]], y_pred)
    chex.assert_trees_all_close(partial.loss, losses.MeanAbsoluteError()(T["b"], P["b"]))


def test_nested_outputs_and_several_losses_of_one():
    y_true, y_pred = {"h": {"x": T["a"]}, "z": T["b"]}, {"h": {"x": P["a"]}, "z": P["b"]}
    result = Objective({"h": {"x": "mse"}, "z": "mae"})(y_true, y_pred)
    assert list(result.logs) == ["loss", "h/x_loss", "z_loss"]
    result = Objective({"a": ["mse", "mae"]}, {"a": [1.0, 2.0]})(T, P)
    want = losses.MeanSquaredError()(T["a"], P["a"]) + 2 * losses.MeanAbsoluteError()(
        T["a"], P["a"]
    )
    chex.assert_trees_all_close(result.loss, want)
    assert list(Objective([losses.Dice(), "bce"])(T["a"], P["a"]).terms) == [
        "dice_loss",
        "bce_loss",
    ]


def test_weights_of_every_kind():
    mse, mae = losses.MeanSquaredError()(T["a"], P["a"]), losses.MeanAbsoluteError()(T["b"], P["b"])
    loss = {"a": "mse", "b": "mae"}
    result = Objective(loss, {"b": lambda step: step * 2.0})(T, P, step=jnp.int32(3))
    chex.assert_trees_all_close(result.loss, mse + 6 * mae)
    chex.assert_trees_all_close(sum(result.shares.values()), jnp.float32(1))
    objective = Objective(loss, {"a": "learned"})
    assert objective.log_variances() == {"a": 0}
    s = {"a": jnp.log(2 * mse)}  # where the derivative by the log-variance is 0
    value, slope = jax.value_and_grad(lambda s: objective(T, P, log_variances=s).loss)(s)
    chex.assert_trees_all_close(value, 0.5 + s["a"] / 2 + mae, rtol=1e-6)
    chex.assert_trees_all_close(slope, {"a": jnp.float32(0)}, atol=1e-6)
    with pytest.raises(ValueError, match=r"the weight of 'a' is learned: pass its parameters"):
        objective(T, P)


def test_is_a_pytree_of_its_numbers():
    objective = Objective({"a": losses.Huber(delta=0.1), "b": "mae"}, {"a": 0.5})
    traces = []

    @jax.jit
    def f(objective):
        traces.append(1)
        return objective(T, P).loss

    for delta in (0.1, 0.2):
        changed = Objective({"a": losses.Huber(delta=delta), "b": "mae"}, {"a": delta})
        chex.assert_trees_all_close(f(changed), changed(T, P).loss)
    assert len(traces) == 1
    slope = jax.grad(lambda o: o(T, P).loss)(objective)
    chex.assert_trees_all_close(slope.weights["a"], losses.Huber(delta=0.1)(T["a"], P["a"]))


@pytest.mark.parametrize("labels", [[0, 1, 2, 1, 0, 5], [[0], [1], [2], [1], [0], [1]]])
def test_class_weight(labels):
    labels, weight = np.array(labels), {0: 0.5, 2: 4.0}
    weights = np.array([weight.get(int(i), 1.0) for i in labels.ravel()], "f")
    pred = np.eye(6, dtype="f")[[0, 1, 2, 3, 4, 5]] * 0.4 + 0.1
    loss = losses.SparseCategoricalCrossentropy()
    chex.assert_trees_all_close(
        Objective(loss, class_weight=weight)(labels, pred).loss, loss(labels, pred, weights)
    )
    one_hot = np.eye(6, dtype="f")[labels.ravel()]
    chex.assert_trees_all_close(
        Objective("categorical_crossentropy", class_weight=weight)(one_hot, pred).loss,
        losses.CategoricalCrossentropy()(one_hot, pred, weights),
    )


def test_class_weight_of_keras():
    labels = np.array([0, 1, 1, 0, 1, 0])
    model = keras.Sequential([keras.Input((3,)), keras.layers.Identity()])
    model.compile(loss="sparse_categorical_crossentropy", run_eagerly=True, optimizer="sgd")
    want = model.train_on_batch(P["a"], labels, class_weight={0: 0.2, 1: 3.0})
    got = Objective("sparse_categorical_crossentropy", class_weight={0: 0.2, 1: 3.0})(
        labels, P["a"]
    )
    chex.assert_trees_all_close(got.loss, jnp.float32(want), rtol=1e-5)


def test_rows_that_are_padding_have_no_influence():
    rows = jnp.arange(6) < 4
    for loss in ("mse", losses.Dice(), losses.Tversky(axis=-1), losses.Huber(reduction="sum")):
        for weight in (None, W["a"]):
            objective = Objective(loss)
            got = objective.value(objective.totals(T["a"], P["a"], weight, rows=rows)).loss
            part = None if weight is None else weight[:4]
            want = objective(T["a"][:4], P["a"][:4], part).loss
            chex.assert_trees_all_close(got, want, rtol=1e-6)


@pytest.mark.parametrize(
    "loss", [losses.Circle(), losses.CosineSimilarity(axis=0), lambda t, p: jnp.mean(p)]
)
def test_what_couples_the_batch_is_not_taken_apart(loss):
    objective = Objective(loss)
    y_true = np.arange(6) % 2 if isinstance(loss, losses.Circle) else T["a"]
    totals = objective.totals(y_true, P["a"])
    assert not totals.mergeable
    with pytest.raises(ValueError, match="parts of a batch cannot be added up"):
        totals + totals
    with pytest.raises(ValueError, match="the batch cannot be padded"):
        objective.totals(y_true, P["a"], rows=jnp.arange(6) < 4)


def test_auxiliary_terms():
    per_sample, scalar = jnp.arange(6.0), jnp.float32(2)
    terms = {"each": (per_sample, per_sample), "total": Total(jnp.float32(6), jnp.float32(3))}
    result = Objective("mse")(T["a"], P["a"], auxiliary=terms)
    chex.assert_trees_all_close(result.terms["each"], jnp.float32(30))
    chex.assert_trees_all_close(result.loss, result.terms["mse_loss"] + 32, rtol=1e-6)
    assert list(result.logs) == ["loss", "each", "total"]
    totals = Objective(None).totals(T["a"], P["a"], auxiliary={"one": scalar})
    assert not totals.mergeable
    masked = Objective(None).totals(
        T["a"], P["a"], auxiliary={"each": per_sample}, rows=jnp.arange(6) < 2
    )
    chex.assert_trees_all_close(Objective(None).value(masked).loss, jnp.float32(1))


def test_regularizers_see_the_parameters():
    objective = Objective("mse", regularizers={"l2": lambda params: params["w"] ** 2})
    result = objective(T["a"], P["a"], params={"w": jnp.array([1.0, 2.0])})
    chex.assert_trees_all_close(result.logs["l2"], jnp.float32(5))
    with pytest.raises(ValueError, match="regularizer 'l2' needs `params`"):
        objective(T["a"], P["a"])


TWO = [T["a"], T["b"]], [P["a"], P["b"]]


@pytest.mark.parametrize(
    ("build", "inputs", "error", "match"),
    [
        (lambda: Objective({"c": "mse"}), (T, P), KeyError, r"The path: \('c',\) in the `loss`"),
        (lambda: Objective(["mse"] * 3), TWO, KeyError, r"The path: \(2,\) in the `loss`"),
        (lambda: Objective(["mse"]), TWO, ValueError, "1 losses for 2 outputs"),
        (lambda: Objective("mse"), (T["a"], P), ValueError, "different structures"),
        (lambda: Objective("mse"), (T, P["a"]), ValueError, "different structures"),
        (lambda: Objective("mse"), (T["a"][:2], TWO[1]), ValueError, "different structures"),
        (lambda: Objective("mse"), ({"a": T["a"]}, P), KeyError, r"\('b',\) .*labels"),
        (lambda: Objective("accuracy"), (T, P), ValueError, "Could not interpret loss identifier"),
        (
            lambda: Objective({"a": "mse"}, output_names=["a", "b"]),
            TWO,
            ValueError,
            r"Expected keys \['a', 'b'\] in loss dict, but found loss.keys\(\)=\['a'\]",
        ),
        (
            lambda: Objective(["mse", "mae"], [1.0, 2.0, 3.0]),
            TWO,
            ValueError,
            "`weights` must match the number of losses, got 2 losses and 3 weights",
        ),
        (lambda: Objective(["mse", "mae"], 1.0), TWO, TypeError, "`weights` must be a list"),
        (lambda: Objective({"a": "mse"}, {"A": 1.0}), (T, P), ValueError, "no loss: 'A'"),
        (lambda: Objective("mse", "twice"), (T, P), ValueError, "must be a number, a function"),
        (lambda: Objective("mse", class_weight={0: 1.0}), (T, P), ValueError, "single output"),
        (lambda: Objective("mse"), (T, P, {"a": W["a"]}), ValueError, "one `sample_weight` array"),
        (
            lambda: Objective("mse", class_weight={0: 1.0}),
            (T["a"], P["a"], W["a"]),
            ValueError,
            "cannot both be given",
        ),
        (
            lambda: Objective("mse", class_weight={0: 1.0}),
            (np.zeros((6, 4)), np.zeros((6, 4, 2))),
            ValueError,
            "one class for each sample",
        ),
        (
            lambda: Objective(losses.MeanSquaredError(reduction=None)),
            (T["a"], P["a"]),
            ValueError,
            "reduction=None keeps one value per sample",
        ),
    ],
)
def test_errors(build, inputs, error, match):
    with pytest.raises(error, match=match):
        build()(*inputs)


def test_errors_of_keras_are_of_the_same_kind():
    for loss, weights, y_true, y_pred in (
        ({"c": "mse"}, None, T, P),
        (["mse", "mae"], [1.0, 2.0, 3.0], *TWO),
        ("mse", None, T, P["a"]),
        ("accuracy", None, T["a"], P["a"]),
    ):
        with pytest.raises((KeyError, ValueError)) as theirs:
            keras_logs(loss, y_true, y_pred, weights)
        with pytest.raises(theirs.type):
            Objective(loss, weights)(y_true, y_pred)


def test_add_loss_is_public():
    assert lossjax.add_loss.__doc__.startswith("Add a term")
