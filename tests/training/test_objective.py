"""Objective: Keras's compile-level loss live, terms from inside the model, and error texts."""

from typing import Any, NamedTuple

import chex
import jax
import numpy as np
import pytest
from jax import numpy as jnp

import keras
import lossjax
from lossjax import Objective, Total, losses

RNG = np.random.default_rng(0)
T = {k: RNG.uniform(0.1, 0.9, (6, 3)).astype("f") for k in "ab"}
P = {k: RNG.uniform(0.1, 0.9, (6, 3)).astype("f") for k in "ab"}
W = {k: RNG.uniform(0, 2, 6).astype("f") for k in "ab"}
SPARSE = "sparse_categorical_crossentropy"


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
    rows = jnp.arange(6) < 4
    if isinstance(loss, losses.Circle):
        found = objective.value(objective.totals(y_true, P["a"], rows=rows)).loss
        chex.assert_trees_all_close(found, loss(y_true[:4], P["a"][:4]), rtol=1e-6)
    else:
        with pytest.raises(ValueError, match="the batch cannot be padded"):
            objective.totals(y_true, P["a"], rows=rows)


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


def test_terms_never_replace_each_other():
    auxiliary = {"mse_loss": 1.0, "loss": 2.0, "shares": 3.0, "val_loss": 4.0}
    auxiliary = {name: jnp.float32(value) for name, value in auxiliary.items()}
    rules = {"mse_loss": lambda params: params, "loss_1": lambda params: params}
    objective = Objective("mse", regularizers=rules)
    result = objective(T["a"], P["a"], auxiliary=auxiliary, params=jnp.float32(5))
    mse = losses.MeanSquaredError()(T["a"], P["a"])
    chex.assert_trees_all_close(result.loss, mse + 1 + 2 + 3 + 4 + 5 + 5, rtol=1e-6)
    chex.assert_trees_all_close(sum(result.shares.values()), jnp.float32(1))
    # "val_loss_1" is what validation makes of "loss_1".
    numbered = ["mse_loss_1", "loss_1", "shares_1", "val_loss_2", "mse_loss_2", "loss_1_1"]
    assert list(result.terms) == list(result.shares) == ["mse_loss", *numbered]
    assert sorted(result.logs) == sorted(["loss", *numbered])
    two = Objective({"a": "mse", "val_a": "mae"})
    y_true, y_pred = {"a": T["a"], "val_a": T["b"]}, {"a": P["a"], "val_a": P["b"]}
    logs = two(y_true, y_pred, auxiliary={"a_loss": jnp.float32(7)}).logs
    assert list(logs) == ["loss", "a_loss", "a_loss_2", "val_a_loss_1"]


HIDDEN = RNG.normal(size=(6, 4, 3)).astype("f")
KERNEL, BIAS = RNG.normal(size=(3, 5)).astype("f"), RNG.normal(size=5).astype("f")
TOKENS = RNG.integers(0, 5, (6, 4))
VOCABULARY = losses.LinearCrossEntropy()


class Head(NamedTuple):
    hidden: Any
    kernel: Any


class Pair(NamedTuple):
    a: Any
    b: Any


def test_several_arrays_are_one_output():
    want = VOCABULARY(TOKENS, (HIDDEN, KERNEL, BIAS))
    for loss in (VOCABULARY, "linear_cross_entropy", losses.linear_cross_entropy):
        result = Objective(loss)(TOKENS, (HIDDEN, KERNEL, BIAS))
        chex.assert_trees_all_close(result.loss, want)
        assert list(result.terms) == ["linear_cross_entropy_loss"]
    want, mse = VOCABULARY(TOKENS, (HIDDEN, KERNEL)), losses.MeanSquaredError()(T["a"], P["a"])
    chex.assert_trees_all_close(Objective(VOCABULARY)(TOKENS, Head(HIDDEN, KERNEL)).loss, want)
    found = Objective({"a": "mse", "b": VOCABULARY}, {"b": 2.0})(
        {"a": T["a"], "b": TOKENS}, {"a": P["a"], "b": (HIDDEN, KERNEL)}
    )
    chex.assert_trees_all_close(found.loss, mse + 2 * want, rtol=1e-6)
    assert list(found.logs) == ["loss", "a_loss", "b_loss"]
    for outputs in ([(HIDDEN, KERNEL), P["a"]], ((HIDDEN, KERNEL), P["a"])):
        found = Objective([VOCABULARY, "mse"])([TOKENS, T["a"]], outputs)
        chex.assert_trees_all_close(found.loss, mse + want, rtol=1e-6)
    both = Objective([VOCABULARY, losses.LinearCrossEntropy(z_loss=0.1)])
    assert both(TOKENS, (HIDDEN, KERNEL)).loss > 2 * want
    twice = Objective(VOCABULARY)([TOKENS, TOKENS], [(HIDDEN, KERNEL), (HIDDEN, KERNEL)])
    chex.assert_trees_all_close(twice.loss, 2 * want, rtol=1e-6)


def dense_entropy(labels, logits):
    scale = np.log(np.exp(logits).sum(-1))
    return scale - np.take_along_axis(logits, labels[..., None], -1)[..., 0]


def test_weights_and_padding_of_several_arrays():
    weights, rows = np.array([1.0, 2.0, 0.5, 4.0, 0.0]), jnp.arange(6) < 4
    objective = Objective(losses.LinearCrossEntropy(shift=1), class_weight=weights)
    entropy = dense_entropy(TOKENS[:4, 1:], (HIDDEN @ KERNEL)[:4, :-1])
    want = np.average(entropy, weights=weights[TOKENS[:4, 1:]])
    padded = objective.totals(TOKENS, (HIDDEN, KERNEL), rows=rows)
    parts = [objective.totals(TOKENS[s], (HIDDEN[s], KERNEL)) for s in (slice(2), slice(2, 4))]
    for totals in (padded, sum(parts)):
        chex.assert_trees_all_close(objective.value(totals).loss, np.float32(want), rtol=1e-5)


def test_terms_of_a_loss_are_logged():
    loss = losses.LinearCrossEntropy(z_loss=0.1, ignore_class=0)
    want, terms = losses.linear_cross_entropy(
        TOKENS, HIDDEN, KERNEL, z_loss=0.1, ignore_class=0, return_terms=True
    )
    objective = Objective({"a": loss, "b": "mse"}, log_terms=True)
    totals = [
        objective.totals(
            {"a": TOKENS[s], "b": T["a"][s]}, {"a": (HIDDEN[s], KERNEL), "b": P["a"][s]}
        )
        for s in (slice(2), slice(2, 6))
    ]
    logs = objective.value(sum(totals)).logs
    names = ["cross_entropy", "z_loss", "log_sum_exp", "accuracy", "entropy"]
    for name in names:
        chex.assert_trees_all_close(logs[f"a_{name}"], getattr(terms, name), rtol=1e-6)
    chex.assert_trees_all_close(logs["a_loss"], want, rtol=1e-6)
    chex.assert_trees_all_close(logs["loss"], want + logs["b_loss"], rtol=1e-6)
    one = Objective(loss, log_terms=True)(TOKENS, (HIDDEN, KERNEL))
    assert list(one.logs) == ["loss", *sorted(names)]
    assert list(one.terms) == ["linear_cross_entropy_loss"]


def test_padding_does_not_change_what_a_mean_is_divided_by():
    """By the weights of the values, of which a row may have several."""
    rows, scores = jnp.arange(6) < 4, HIDDEN @ KERNEL
    for reduction in ("mean_with_sample_weight", "sum_over_batch_size"):
        loss = losses.SparseCategoricalCrossentropy(from_logits=True, reduction=reduction)
        for weight in (None, W["a"][:, None], RNG.uniform(size=(6, 4)).astype("f")):
            objective = Objective(loss)
            got = objective.value(objective.totals(TOKENS, scores, weight, rows=rows)).loss
            want = loss(TOKENS[:4], scores[:4], None if weight is None else weight[:4])
            chex.assert_trees_all_close(got, want, rtol=1e-6)


def test_named_tuples_are_addressed_by_field():
    y_true, y_pred, weight = Pair(**T), Pair(**P), Pair(**W)
    loss = {"a": "mse", "b": "mae"}
    want = Objective(loss, {"b": 3.0})(T, P, W)
    for truth, weights in ((y_true, weight), (T, W), (tuple(y_true), tuple(weight))):
        got = Objective(loss, {"b": 3.0})(truth, y_pred, weights)
        chex.assert_trees_all_equal(got, want)
    listed = Objective(["mse", "mae"], [1.0, 3.0])(y_true, y_pred, weight)
    chex.assert_trees_all_equal(listed, want)
    nested = Objective({"h": {"b": "mae"}})({"h": T}, {"h": y_pred})
    assert list(nested.terms) == ["h/b_loss"]
    one = Objective({"a": VOCABULARY, "b": "mse"})
    found = one(Pair(TOKENS, T["a"]), Pair(Head(HIDDEN, KERNEL), P["a"]))
    assert list(found.logs) == ["loss", "a_loss", "b_loss"]
    with pytest.raises(KeyError, match=r"\('c',\) in the `loss`"):
        Objective({"c": "mse"})(y_true, y_pred)


def test_labels_with_their_lengths_are_one_truth():
    truth = TOKENS % 4 + 1, np.array([1, 2, 3, 4, 0, 2])
    steps = RNG.normal(size=(6, 9, 5)).astype("f")
    want = losses.CTC()(truth, steps)
    chex.assert_trees_all_close(Objective("ctc")(truth, steps).loss, want)
    found = Objective({"a": "ctc"})({"a": truth}, {"a": steps}).loss
    chex.assert_trees_all_close(found, want)


def test_class_weight_in_a_list():
    want = Objective(SPARSE, class_weight={0: 0.2, 1: 3.0, 2: 1.0})(TOKENS[:, 0] % 3, P["a"])
    for weight in ([0.2, 3.0, 1.0], np.array([0.2, 3.0, 1.0]), jnp.array([0.2, 3.0, 1.0])):
        found = Objective(SPARSE, class_weight=weight)(TOKENS[:, 0] % 3, P["a"])
        chex.assert_trees_all_close(found, want, rtol=1e-6)
    of_tokens = Objective(
        losses.SparseCategoricalCrossentropy(from_logits=True), class_weight=W["a"]
    )
    want = losses.SparseCategoricalCrossentropy(from_logits=True)(
        TOKENS, HIDDEN @ KERNEL, W["a"][TOKENS]
    )
    chex.assert_trees_all_close(of_tokens(TOKENS, HIDDEN @ KERNEL).loss, want, rtol=1e-6)


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
            lambda: Objective("bce", class_weight={0: 1.0, 1: 9.0}),
            (T["a"], P["a"]),
            ValueError,
            "for one-hot classes, where BinaryCrossentropy takes it for 3 labels of a sample",
        ),
        (lambda: Objective("mse", class_weight={"cat": 2.0}), TWO, ValueError, "class numbers to"),
        (lambda: Objective("mse", class_weight=[[1.0]] * 99), TWO, ValueError, "one weight for ea"),
        (
            lambda: Objective(VOCABULARY),
            (TOKENS, {"hidden": HIDDEN, "kernel": KERNEL}),
            TypeError,
            r"got a dict .* Pass \(y_pred\['hidden'\], y_pred\['kernel'\]\)",
        ),
        (
            lambda: Objective(VOCABULARY),
            (TOKENS, HIDDEN),
            TypeError,
            "a tuple .* got ndarray",
        ),
        (lambda: VOCABULARY, (TOKENS, {"hidden": HIDDEN}), TypeError, "got a dict with the keys"),
        (lambda: VOCABULARY, (TOKENS, (HIDDEN,)), TypeError, "got 1 arrays"),
        (lambda: Objective("mse", loss_weights=1), TWO, TypeError, "It is called `weights` here"),
        (lambda: Objective("mse", optimizer=1), TWO, TypeError, "training.init"),
        (
            lambda: losses.SparseCategoricalCrossentropy(ignore_index=0),
            TWO,
            TypeError,
            "SparseCategoricalCrossentropy: there is no argument 'ignore_index'. It is called",
        ),
        (lambda: losses.Huber(detla=1), TWO, TypeError, "'detla'. Did you mean 'delta'"),
        (
            lambda: Objective(losses.MeanSquaredError(reduction=None)),
            (T["a"], P["a"]),
            ValueError,
            "reduction=None keeps one value per sample",
        ),
    ],
)
def test_errors(build, inputs, error, match):
    with pytest.raises(error, match=match) as caught:
        build()(*inputs)
    assert len(str(caught.value)) <= 300


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
