"""The loop: numbers of Keras, one compilation, data of every kind, callbacks, and error texts."""

import os
import signal

import chex
import equinox as eqx
import flax.linen as nn
import jax
import numpy as np
import optax
import pytest
from flax import nnx
from jax import numpy as jnp

import keras
import lossjax
from lossjax import Objective, losses, training
from lossjax.training import data as batches
from lossjax.training import loop, means
from lossjax.training.evaluation import prepared
from lossjax.training.metrics import Metrics
from lossjax.training.programs import program

RNG = np.random.default_rng(0)
X = RNG.normal(size=(22, 3)).astype("f")
Y = (X @ np.array([[1.0], [-2.0], [0.5]]) + 0.3).astype("f")
W = RNG.uniform(0, 2, 22).astype("f")


class Linear(nnx.Module):
    def __init__(self):
        self.dense = nnx.Linear(3, 1, rngs=nnx.Rngs(0))

    def __call__(self, x):
        return self.dense(x)


@pytest.fixture(scope="module")
def state():
    return training.init(Linear(), optax.sgd(0.1))


def test_numbers_of_keras_fit(state):
    """Same start, same order, same optimizer: same logs for every epoch, and same weights."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.layers[0].set_weights([np.asarray(a) for a in (state.model.dense.kernel[...], [0.0])])
    model.compile("sgd", "mse", metrics=["mae"])
    model.optimizer.learning_rate = 0.1
    how = {"epochs": 3, "batch_size": 5, "shuffle": False, "validation_split": 0.2}
    want = model.fit(X, Y, sample_weight=W, verbose=0, **how)
    new, history = training.fit(state, "mse", (X, Y, W), metrics={"mae": "mae"}, **how)
    assert history.names == list(want.history) == ["loss", "mae", "val_loss", "val_mae"]
    for name in history.names:
        np.testing.assert_allclose(history[name], want.history[name], rtol=1e-5)
    theirs = np.asarray(model.layers[0].kernel.value)
    chex.assert_trees_all_close(np.asarray(new.model.dense.kernel[...]), theirs, rtol=1e-5)


@pytest.mark.parametrize("steps", [1, 2])
def test_one_compilation_for_all_batches(state, steps):
    """The ragged last batch included."""

    def traces(epochs):
        seen = []

        def loss(y_true, y_pred):
            seen.append(y_pred.shape)
            return (y_true - y_pred) ** 2

        how = {"batch_size": 5, "epochs": epochs, "steps_per_call": steps}
        training.fit(state, loss, (X, Y), **how)
        return seen

    once, thrice = traces(1), traces(3)
    assert len(X) % 5
    assert once == thrice
    assert {shape[0] for shape in once} == {5}


def test_several_steps_a_call_change_nothing(state):
    ends = []
    for number in (1, 3):
        new, history = training.fit(
            state, "mse", (X, Y, W), epochs=3, batch_size=4, steps_per_call=number
        )
        ends.append((new.params, history["loss"]))
    chex.assert_trees_all_close(*ends, rtol=1e-6)


def test_steps_per_call_is_judged_by_the_program(state):
    class Convolution(nnx.Module):
        def __init__(self):
            self.layer = nnx.Conv(1, 1, (3,), rngs=nnx.Rngs(0))

        def __call__(self, x):
            return self.layer(x[..., None])[..., 0]

    wide = training.init(nnx.Linear(400, 4000, rngs=nnx.Rngs(0)), optax.sgd(0.1))
    convolution = training.init(Convolution(), optax.sgd(0.1))
    cases = [(state, X, Y, 16), (convolution, X, X, 1), (wide, X[:, :1] * np.ones(400, "f"), Y, 1)]
    for start, x, y, want in cases:
        data = batches.Arrays("", batches.Batch(np.tile(x, (20, 1)), np.tile(y, (20, 1))), 16)
        leaves, tree = jax.tree.flatten(start)
        one = program(loop._one, Objective("mse"), Metrics(), tree, 1, ("loss",))
        assert loop._steps_per_call(one, leaves, means.zeros(1), data.first(), data, 20) == want


def test_evaluate_does_not_depend_on_the_batch_size(state):
    for loss in (losses.MeanSquaredError(reduction="mean_with_sample_weight"), losses.Dice()):
        data = (X, np.abs(np.tanh(Y)), W)
        want = float(loss(data[1], state.model(X), W))
        for size in (4, 22):
            got = training.evaluate(state, loss, data, batch_size=size)
            np.testing.assert_allclose(got["loss"], want, rtol=1e-6)
    labels = np.arange(22) % 2
    coupled = training.evaluate(state, losses.Circle(), (X, labels), batch_size=8)
    parts = [
        losses.Circle()(labels[s], state.model(X[s])) for s in np.split(np.arange(22), [8, 16])
    ]
    np.testing.assert_allclose(coupled["loss"], np.average(parts, weights=[8, 8, 6]), rtol=1e-5)


def test_a_padded_batch_of_pairs_trains_as_what_is_in_it(state):
    circle, labels = losses.Circle(gamma=2.0), np.arange(22) % 2
    data = batches.Arrays("", batches.Batch(X, labels), 16)
    prepared(data, state, Objective(circle), Metrics())
    assert data.pads
    end, history = training.fit(
        state, circle, (X, labels), batch_size=16, shuffle=False, verbose=False
    )
    step, by_hand, found = training.make_step(circle), jax.tree.map(jnp.copy, state), []
    for rows in np.split(np.arange(22), [16]):
        by_hand, logs = step(by_hand, (X[rows], labels[rows]))
        found.append(logs["loss"])
    assert np.all(np.array(found) > 0)
    chex.assert_trees_all_close(end.params, by_hand.params, rtol=1e-5)
    np.testing.assert_allclose(history["loss"], [np.average(found, weights=[16, 6])], rtol=1e-5)


def test_predict(state):
    chex.assert_trees_all_close(
        training.predict(state, X, batch_size=5), np.asarray(state.model(X)), rtol=1e-6
    )


def test_data_of_every_kind_gives_the_same(state):
    parts = [(X[i : i + 5], Y[i : i + 5]) for i in range(0, 22, 5)]
    kinds = {
        "arrays": (X, Y),
        "jax": (jnp.asarray(X), jnp.asarray(Y)),
        "dict": {"x": X, "y": Y},
        "list": parts,
        "function": lambda: iter(parts),
        "dicts": [{"x": x, "y": y} for x, y in parts],
    }
    ends = {}
    for name, data in kinds.items():
        ends[name] = training.fit(
            state, "mse", data, epochs=2, batch_size=5, shuffle=False, validation=data
        )
    ends["prefetch"] = training.fit(state, "mse", parts, epochs=2, prefetch=2, validation=(X, Y))
    once = iter(parts * 2)
    ends["iterator"] = training.fit(
        state, "mse", once, epochs=2, steps_per_epoch=5, validation=(X, Y)
    )
    for new, history in ends.values():
        chex.assert_trees_all_equal(new.params, ends["arrays"][0].params)
        assert history["loss"] == ends["arrays"][1]["loss"]


def test_grain_loaders(state):
    grain = pytest.importorskip("grain")
    dataset = grain.MapDataset.range(22).map(lambda i: (X[i], Y[i])).batch(5, drop_remainder=False)
    new, _ = training.fit(state, "mse", dataset.to_iter_dataset(), epochs=2)
    want, _ = training.fit(state, "mse", (X, Y), epochs=2, batch_size=5, shuffle=False)
    chex.assert_trees_all_close(new.params, want.params, rtol=1e-6)


def test_a_seed_repeats_a_run_bit_for_bit(state):
    runs = [training.fit(state, "mse", (X, Y), epochs=2, seed=seed)[0].params for seed in (1, 1, 2)]
    chex.assert_trees_all_equal(runs[0], runs[1])
    with pytest.raises(AssertionError):
        chex.assert_trees_all_equal(runs[0], runs[2])


class Dropping(nnx.Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        self.dense, self.norm = nnx.Linear(3, 4, rngs=rngs), nnx.BatchNorm(4, rngs=rngs)
        self.drop, self.out = nnx.Dropout(0.5, rngs=rngs), nnx.Linear(4, 1, rngs=rngs)

    def __call__(self, x):
        h = self.drop(self.norm(self.dense(x)))
        lossjax.add_loss(self.dense, "size", jnp.mean(h**2, -1))
        return self.out(h)


class Linen(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        h = nn.Dropout(0.5, deterministic=not train)(nn.BatchNorm(not train)(nn.Dense(4)(x)))
        self.sow("losses", "size", jnp.mean(h**2, -1))
        return nn.Dense(1)(h)


class Equinox(eqx.Module):
    dense: eqx.nn.Linear
    drop: eqx.nn.Dropout

    def __init__(self):
        self.dense, self.drop = eqx.nn.Linear(3, 1, key=jax.random.key(0)), eqx.nn.Dropout(0.2)

    def __call__(self, x, key=None):
        return self.drop(self.dense(x), key=key)


@pytest.mark.parametrize("model", [Dropping, Linen, Equinox])
def test_models_of_three_libraries(model):
    start = training.init(model(), optax.adam(0.05), sample=X[:1])
    new, history = training.fit(start, "mse", (X, Y), epochs=40, batch_size=22, validation=(X, Y))
    assert history["val_loss"][-1] < history["val_loss"][0] / 2
    assert ("size" in history.names) == (model is not Equinox)
    twice = [training.evaluate(new, "mse", (X, Y)) for _ in range(2)]
    assert twice[0] == twice[1]  # no dropout when it is not trained
    if model is Dropping:
        trained = new.model
        trained.eval()
        assert trained.drop.rngs.count[...] == 40
        chex.assert_trees_all_close(training.predict(new, X), np.asarray(trained(X)), rtol=1e-4)
    if model is Equinox:
        trained = jax.vmap(eqx.nn.inference_mode(new.model))(X)
        chex.assert_trees_all_close(
            training.predict(new, X), np.asarray(trained), rtol=1e-5, atol=1e-6
        )


TOKENS = RNG.integers(0, 7, (10, 4))


class NnxLanguage(nnx.Module):
    def __init__(self):
        self.embed = nnx.Embed(7, 5, rngs=nnx.Rngs(0))
        self.head = nnx.Linear(5, 7, rngs=nnx.Rngs(1))

    def __call__(self, x):
        return self.embed(x), self.head.kernel, self.head.bias


class LinenLanguage(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Embed(7, 5)(x), self.param("kernel", nn.initializers.normal(), (5, 7))


class EquinoxLanguage(eqx.Module):
    embed: eqx.nn.Embedding
    head: eqx.nn.Linear

    def __init__(self):
        self.embed = eqx.nn.Embedding(7, 5, key=jax.random.key(0))
        self.head = eqx.nn.Linear(5, 7, key=jax.random.key(1))

    def __call__(self, x):
        return jax.vmap(self.embed)(x), self.head.weight.T, self.head.bias


@pytest.mark.parametrize("model", [NnxLanguage, LinenLanguage, EquinoxLanguage])
def test_models_that_return_hidden_states_and_a_kernel(model):
    loss = losses.LinearCrossEntropy(shift=1)
    start = training.init(model(), optax.adam(0.1), sample=TOKENS[:1])
    first = training.evaluate(start, loss, (TOKENS, TOKENS), batch_size=10)
    out = training.predict(start, TOKENS, batch_size=4)
    np.testing.assert_allclose(first["loss"], loss(TOKENS, out), rtol=1e-6)
    hidden, kernel, *bias = out
    assert (hidden.shape, kernel.shape) == ((10, 4, 5), (5, 7))
    assert [b.shape for b in bias] == [(7,)] * len(bias)
    if model is EquinoxLanguage:  # the kernel is not copied for each of the ten sequences
        outputs = jax.make_jaxpr(lambda s: s.outputs(s.params, s.rest, TOKENS, True)[0])(start)
        assert "10,5,7]" not in str(outputs)
        chex.assert_trees_all_equal(kernel, np.asarray(start.model.head.weight.T))
    _, history = training.fit(start, loss, (TOKENS, TOKENS), epochs=9, batch_size=4)
    assert history["loss"][-1] < history["loss"][0]


class Normalised(eqx.Module):
    dense: eqx.nn.Linear
    norm: eqx.nn.BatchNorm

    def __init__(self, name):
        self.dense = eqx.nn.Linear(3, 1, key=jax.random.key(0))
        self.norm = eqx.nn.BatchNorm(3, axis_name=name, mode="batch")

    def __call__(self, x, state):
        x, state = self.norm(x, state)
        return self.dense(x), state


def test_equinox_layers_with_state():
    start = training.init(eqx.nn.make_with_state(Normalised)("b"), optax.adam(0.3))
    how = {"epochs": 40, "batch_size": 22, "validation": (X, Y)}
    new, history = training.fit(start, "mse", (X, Y), **how)
    assert history["val_loss"][-1] < history["val_loss"][0] / 2
    model, layers = new.model
    assert layers.get(model.norm.batch_counter) == 40
    mean, _ = layers.get(model.norm.batch_state_index)
    chex.assert_trees_all_close(mean / (1 - 0.99**40), X.mean(0), rtol=1e-3)
    trained = jax.vmap(eqx.nn.inference_mode(model), (0, None), (0, None), "b")(X, layers)[0]
    # Entries near 0 have the rounding of the terms that cancel in them.
    found = training.predict(new, X)
    chex.assert_trees_all_close(found, np.asarray(trained), rtol=1e-5, atol=1e-6)


class Counting(eqx.Module):
    index: eqx.nn.StateIndex
    name: str | None

    def __init__(self, name=None):
        self.index, self.name = eqx.nn.StateIndex(jnp.zeros(3)), name

    def __call__(self, x, state):
        return x, state.set(self.index, jax.lax.pmean(x, self.name) if self.name else x)


@pytest.mark.parametrize(
    ("model", "match"),
    [
        (lambda: Normalised("b"), r"pass it with its state, init\(eqx.nn.make_with_state"),
        (lambda: eqx.nn.make_with_state(Normalised)(("a", "b")), "need one axis_name"),
        (lambda: eqx.nn.make_with_state(Counting)(), r"take jax.lax.pmean\(..., 'batch'\)"),
        (lambda: eqx.nn.make_with_state(Counting)("c"), "over the axis 'batch', .* unbound axis"),
    ],
)
def test_errors_of_equinox_layers_with_state(model, match):
    with pytest.raises(ValueError, match=match):
        training.predict(training.init(model(), optax.sgd(0.1)), X)


def test_a_step_takes_its_state_but_not_the_model():
    model = Linear()
    state = training.init(model, optax.sgd(0.1))
    new, logs = training.make_step("mse", metrics={"mae": "mae"})(state, (X, Y))
    assert state.params["dense"]["kernel"].is_deleted()
    assert set(logs) == {"loss", "mae", "shares"}
    chex.assert_trees_all_close(logs["loss"], losses.MeanSquaredError()(Y, model(X)))
    assert int(new.step) == 1


def test_half_precision_computes_in_it_and_keeps_float32():
    class Seen(Linear):
        def __call__(self, x):
            assert x.dtype == self.dense.kernel.dtype == jnp.bfloat16
            return super().__call__(x)

    state = training.init(Seen(), optax.sgd(0.1), dtype="bfloat16")
    new, history = training.fit(state, "mse", (X, Y), epochs=2)
    assert new.params["dense"]["kernel"].dtype == jnp.float32
    assert history["loss"][1] < history["loss"][0]


def test_learned_weights_are_trained():
    objective = Objective("mse", "learned")
    state = training.init(Linear(), optax.adam(0.02), objective=objective)
    new, _ = training.fit(state, objective, (X, Y), epochs=200, batch_size=22)
    assert float(new.params["log_variances"]["loss"]) < -1
    assert training.predict(new, X).shape == (22, 1)


def test_mean_over_an_epoch_loses_no_digits():
    """One batch of one row at a time: float32 alone would stop counting at 2^24."""
    sums = means.zeros(1).at[0].set(jnp.float32([2**24, 2**24]))
    batch = batches.Batch(np.zeros((1, 1), "f"))
    add = jax.jit(lambda sums, state: means.add(sums, [jnp.float32(3)], batch, state))
    state = training.init(Linear(), optax.sgd(0.1))
    for _ in range(10):
        sums = add(sums, state)
    want = (2**24 + 30) / (2**24 + 10)
    np.testing.assert_allclose(means.read(sums, ["loss"])["loss"], want, rtol=1e-12)


def test_early_stopping_returns_the_best(state):
    seen = []

    def watch(epoch, logs, state):
        seen.append((logs["val_loss"], jax.device_get(state.params)))

    stopping = training.EarlyStopping(patience=3)
    how = {"epochs": 99, "batch_size": 11, "validation": (X, Y), "callbacks": [stopping, watch]}
    rate = optax.join_schedules([lambda _: 0.1, lambda _: -0.1], [8])  # then it climbs again
    start = training.init(Linear(), optax.sgd(rate))
    new, history = training.fit(start, "mse", (X, Y), **how)
    assert history.stopped == "val_loss has not improved for 3 epochs"
    assert len(history.epochs) == len(seen) == 7
    best = min(seen, key=lambda pair: pair[0])
    chex.assert_trees_all_equal(jax.device_get(new.params), best[1])
    with pytest.raises(KeyError, match=r"'val_loss' is not among .*loss"):
        training.fit(start, "mse", (X, Y), callbacks=[stopping])


def test_logs_to_files(state, tmp_path):
    log = training.CSVLog(tmp_path / "log.csv")
    for _ in range(2):  # a second run begins again
        _, history = training.fit(state, "mse", (X, Y), epochs=3, callbacks=[log])
    lines = (tmp_path / "log.csv").read_text().splitlines()
    assert lines[0] == "epoch,loss"
    assert [float(line.split(",")[1]) for line in lines[1:]] == history["loss"]
    history.plot(tmp_path / "loss.png")
    assert (tmp_path / "loss.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(FileNotFoundError):
        training.CSVLog(tmp_path / "nowhere" / "log.csv")


def test_tensorboard(state, tmp_path):
    pytest.importorskip("tensorboardX")
    training.fit(state, "mse", (X, Y), callbacks=[training.TensorBoard(tmp_path)])
    (written,) = tmp_path.iterdir()
    assert b"loss" in written.read_bytes()


def test_a_loss_that_is_not_finite_stops(state):
    x = np.concatenate([X, X])
    x[30] = np.nan
    _, history = training.fit(state, "mse", (x, x[:, :1]), epochs=3, batch_size=4, shuffle=False)
    assert "not finite from step 8 on: loss" in history.stopped
    assert "batch 8 of epoch 1, .x, .y is not finite" in history.stopped.replace(
        "['x']", ".x"
    ).replace("['y']", ".y")
    assert len(history.epochs) == 1
    big = training.init(Linear(), optax.sgd(1e20))
    _, history = training.fit(big, "mse", (X, Y), epochs=9)
    assert "but its inputs are finite" in history.stopped
    _, history = training.fit(big, "mse", (X, Y), epochs=9, stop_on_nan=False)
    assert len(history.epochs) == 9


def test_ctrl_c_returns_what_there_is(state):
    before = signal.getsignal(signal.SIGINT)

    def interrupt(epoch, logs, state):
        if epoch == 1:
            os.kill(os.getpid(), signal.SIGINT)

    new, history = training.fit(
        state, "mse", (X, Y), epochs=99, batch_size=5, callbacks=[interrupt]
    )
    assert history.stopped == "interrupted after 1 batches of epoch 3"
    assert len(history.epochs) == 2
    assert int(new.step) == 11
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    ("data", "how", "error", "match"),
    [
        ((X, Y[:20]), {}, ValueError, "same number of rows, got 22 of x and 20 of y"),
        ((X[:0], Y[:0]), {}, ValueError, "the data is empty"),
        (
            (X, Y),
            {"batch_size": 0},
            ValueError,
            "batch_size must be a whole number of at least 1, got 0",
        ),
        ((X, 3.0), {}, ValueError, "y must be an array with one row a sample, got 3.0"),
        ({"x": X, "z": Y}, {}, ValueError, r"keys x, y, sample_weight, mask, got \['z'\]"),
        ({"inputs": X}, {}, ValueError, r"or a dict with 'x' and 'y', got \['inputs'\]"),
        (3, {}, TypeError, "data must be arrays, an iterable of batches or a function"),
        ([], {}, ValueError, "ran out after 0 batches of epoch 1; at least one is needed"),
        (iter([(X, Y)]), {"epochs": 2}, ValueError, "ran out after 0 batches of epoch 2"),
        ([(X, Y)], {"steps_per_epoch": 2}, ValueError, "after 1 batches of epoch 1; 2 are needed"),
        ((X, Y), {"validation_split": 0.99}, ValueError, "leaves 0 to train on"),
        ((X, Y), {"validation": (X, Y[:3])}, ValueError, "fit: validation: all arrays need"),
    ],
)
def test_errors_of_data(state, data, how, error, match):
    with pytest.raises(error, match=match):
        training.fit(state, "mse", data, **how)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda s, d: training.fit(s.model, "mse", d), TypeError, "fit: state must be what train"),
        (lambda s, d: training.evaluate(s.model, "mse", d), TypeError, "evaluate: state must be"),
        (lambda s, d: training.predict(s.model, X), TypeError, "predict: .* got Linear. Write"),
        (lambda s, d: training.make_step("mse")(s.model, d), TypeError, "step: state must be"),
        (lambda s, d: training.fit(s, "mse", d, accumulate=0), ValueError, "at least 1, got 0"),
        (lambda s, d: training.fit(s, "mse", d, accumulate=1.5), TypeError, "number of at least 1"),
        (lambda s, d: training.make_step("mse", accumulate=True), TypeError, "got True"),
        (lambda s, d: training.make_step("mse", accumulate=-1), ValueError, "got -1"),
        (lambda s, d: training.fit(s, "mse", *d), TypeError, r"Data is one argument, \(x, y\)"),
        (lambda s, d: training.fit(s, "mse", x=X, y=Y), TypeError, r"'x'. Data is one argument"),
        (lambda s, d: training.fit(s, "mse", d, class_weight=[1]), TypeError, r"class_weight=..."),
        (lambda s, d: training.fit(s, "mse", d, epoch=1), TypeError, "Did you mean 'epochs'"),
        (lambda s, d: training.fit(s, "mse", d, validation_data=d), TypeError, "`validation` here"),
        (lambda s, d: training.evaluate(s, loss="mse", data=d), TypeError, "`objective` here"),
        (lambda s, d: training.init(Linear(), optimizer=1), TypeError, "called `tx` here"),
        (lambda s, d: training.init(Linear(), learning_rate=1), TypeError, "init.model, optax"),
        (lambda s, d: training.init((Linear(), 1), optax.sgd(1)), TypeError, "equinox, got .*tup"),
    ],
)
def test_errors_of_calls(state, call, error, match):
    with pytest.raises(error, match=match) as caught:
        call(state, (X, Y))
    assert len(str(caught.value)) <= 300


def test_errors_of_models():
    with pytest.raises(TypeError, match="must be of flax nnx, flax linen or equinox"):
        training.init(lambda x: x, optax.sgd(0.1))
    with pytest.raises(ValueError, match=r"pass one batch of them, init\(model, tx, sample="):
        training.init(Linen(), optax.sgd(0.1))
    with pytest.raises(ValueError, match="mode must be 'min' or 'max', got 'auto'"):
        training.EarlyStopping(mode="auto")
    with pytest.raises(KeyError, match="'acc' was not logged; there are"):
        training.History([{"loss": 1.0}])["acc"]
