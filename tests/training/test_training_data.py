"""What users pass as data: every kind of array and batch, wrong labels, integers of 64 bits."""

import datetime

import chex
import jax
import numpy as np
import optax
import pytest
from flax import nnx
from jax import numpy as jnp

from lossjax import losses, training
from lossjax.training.batch import Batch
from lossjax.training.data import Stream
from lossjax.training.truth import Truth

RNG = np.random.default_rng(0)
X = RNG.normal(size=(22, 3)).astype("f")
Y = X.sum(1, keepdims=True) + np.float32(0.3)
CUTS = range(0, 22, 8)  # the last batch is short
LABELS = np.arange(22) % 4
CE = losses.SparseCategoricalCrossentropy(from_logits=True)


class Tensor:
    """An array of another library; one that NumPy cannot read, but JAX can."""

    def __init__(self, array, is_shared=False):
        self.array, self.is_shared = array, is_shared

    def __array__(self, dtype=None, copy=None):
        if self.is_shared:
            raise TypeError("Got unsupported ScalarType BFloat16")
        return np.asarray(self.array, dtype)

    def __dlpack__(self, **how):
        return self.array.__dlpack__(**how)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


class Loader:
    """Batches as lists, from the start in every epoch, as torch's DataLoader."""

    def __init__(self, *arrays):
        self.arrays = arrays

    def __iter__(self):
        return ([Tensor(a[i : i + 8]) for a in self.arrays] for i in CUTS)


def model(classes):
    return training.init(nnx.Linear(3, classes, rngs=nnx.Rngs(0)), optax.sgd(0.1))


@pytest.fixture(scope="module")
def state():
    return model(1)


@pytest.fixture(scope="module")
def classifier():
    return model(4)


def changed(y, value, at=7):
    y = np.array(y, np.result_type(y, np.asarray(value)))
    y[at] = value
    return y


def batches_of(*arrays):
    return [tuple(a[i : i + 8] for a in arrays) for i in CUTS]


def test_every_kind_of_array_gives_the_same(state):
    half = jnp.asarray(X, jnp.bfloat16)
    kinds = {
        "tensors": (Tensor(X), Tensor(Y)),
        "loader": Loader(X, Y),
        "lists": (X.tolist(), Y.tolist()),
        "lists in batches": [(x.tolist(), y.tolist()) for x, y in batches_of(X, Y)],
        "dicts": [{"x": Tensor(x), "y": y} for x, y in batches_of(X, Y)],
        "jax": [(jnp.asarray(x), jnp.asarray(y)) for x, y in batches_of(X, Y)],
    }
    want = training.evaluate(state, "mse", (X, Y), batch_size=8)
    for data in kinds.values():
        got = training.evaluate(state, "mse", data, batch_size=8)
        np.testing.assert_allclose(got["loss"], want["loss"], rtol=1e-6)
    shared = [
        (Tensor(half, is_shared=True), Y),
        (Tensor(half, is_shared=True), jnp.asarray(Y)),
    ]
    got = training.evaluate(state, "mse", shared)
    np.testing.assert_allclose(got["loss"], want["loss"], rtol=1e-2)


def test_a_loader_trains_as_arrays_do(state):
    want = training.fit(state, "mse", (X, Y), epochs=2, batch_size=8, shuffle=False)
    got = training.fit(state, "mse", Loader(X, Y), epochs=2)
    chex.assert_trees_all_equal(got[0].params, want[0].params)
    assert got[1]["loss"] == want[1]["loss"]


def test_data_frames(state):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abc"))
    column = pandas.Series(Y[:, 0])
    got = training.evaluate(state, "mse", (frame, column), batch_size=8)
    assert got == training.evaluate(state, "mse", (X, Y[:, 0]), batch_size=8)
    np.testing.assert_array_equal(
        training.predict(state, frame, batch_size=8), training.predict(state, X, batch_size=8)
    )
    kinds = pandas.Series(["cat", "dog"] * 11).astype("category")
    for y in (kinds, frame.assign(kind=kinds)):
        with pytest.raises(TypeError, match=r"got str such as 'cat'\. Number the classes"):
            training.fit(state, "mse", (X, y))


def test_torch(state):
    torch = pytest.importorskip("torch")
    x, y = torch.tensor(X), torch.tensor(Y)
    dataset = torch.utils.data.TensorDataset(x, y)
    loader = torch.utils.data.DataLoader(dataset, batch_size=8)
    want = training.evaluate(state, "mse", (X, Y), batch_size=8)
    assert training.evaluate(state, "mse", loader) == want
    np.testing.assert_array_equal(
        training.predict(state, loader), training.predict(state, X, batch_size=8)
    )
    half = training.evaluate(state, "mse", [(x.bfloat16(), y)])
    np.testing.assert_allclose(half["loss"], want["loss"], rtol=1e-2)
    with pytest.raises(TypeError, match=r"x must be an array .* Use tensor\.detach\(\)"):
        training.evaluate(state, "mse", [(x.requires_grad_(), y)])
    with pytest.raises(TypeError, match=r"got TensorDataset\. A DataLoader makes batches of it"):
        training.evaluate(state, "mse", dataset)


def test_predict_takes_what_fit_takes(state):
    parts = [x for (x,) in batches_of(X)]
    kinds = {
        "generator": (x for x in parts),
        "list": parts,
        "with y": [(x, ["y is not looked at"] * len(x)) for x in parts],
        "dicts": [{"x": x, "sample_weight": x[:, 0]} for x in parts],
        "function": lambda: iter(parts),
        "loader": Loader(X, Y),
        "dict": {"x": X, "y": Y},
        "tensor": Tensor(X),
    }
    want = training.predict(state, X, batch_size=8)
    assert want.shape == (22, 1)
    for data in kinds.values():
        np.testing.assert_array_equal(training.predict(state, data, batch_size=8), want)
    square = list(X[:9].reshape(3, 3, 3))  # which `Linear` would take for one array
    assert training.predict(state, square).shape == (9, 1)


class Two(nnx.Module):
    def __init__(self):
        self.dense = nnx.Linear(3, 1, rngs=nnx.Rngs(0))

    def __call__(self, x):
        a, b = x.values() if isinstance(x, dict) else x
        return self.dense(a) + b[:, :1]


def test_predict_of_several_inputs():
    two = training.init(Two(), optax.sgd(0.1))
    want = training.predict(two, (X, X), batch_size=8)
    for several in ({"a": X, "b": X}, {"x": [X, X]}, {"x": {"x": X, "t": X}}, [((X, X), Y)]):
        chex.assert_trees_all_close(training.predict(two, several), want, rtol=1e-6)
    with pytest.raises(ValueError, match=r"a list holds batches, .*several inputs as a tuple"):
        training.predict(two, [X, X])


@pytest.mark.parametrize(
    ("y", "match"),
    [
        (["cat", "dog"] * 11, r"y must hold numbers, got str_ such as 'cat'\. Number the classes"),
        (
            np.array(["cat", 1.0] * 11, object),
            r"got str such as 'cat'\. Number the .*np\.",
        ),
        ({"a": ["b"] * 22}, r"y\['a'\] must hold numbers"),
        (Y.astype(object), r"got float such as '.*Pass y\.astype\('float32'\)"),
        (np.array([1.0, None] * 11, object), "got NoneType .*Replace or leave out"),
        ([[1.0, 2.0], [3.0]] * 11, "rows of unequal length"),
        (np.array([np.ones(2), np.ones(3)] * 11, object), "rows of unequal length. Pad them"),
        (np.array([datetime.datetime(2020, 1, 1)] * 22, "M8[s]"), r"got datetime64.*timedelta64"),
        (np.ma.masked_less(Y, 0), r"y has masked entries, .* mask of the batch ~y\.mask"),
        (object(), "got object. Pass an array with one row a sample"),
    ],
)
def test_what_holds_no_numbers(state, y, match):
    for data in ((X, y), [(X, y)]):
        with pytest.raises(TypeError, match=match) as raised:
            training.fit(state, "mse", data)
        assert len(str(raised.value)) <= 300


@pytest.mark.parametrize("arrays", [[X, Y], [Tensor(X), Y], [X, Y, Y[:, 0]]])
def test_a_list_of_arrays_is_not_guessed_at(state, arrays):
    with pytest.raises(ValueError, match=r"fit: a list holds batches, .* Pass \(x, y\), or"):
        training.fit(state, "mse", arrays)
    with pytest.raises(ValueError, match="evaluate: a list holds batches"):
        training.evaluate(state, "mse", arrays)


@pytest.mark.parametrize("size", [2.5, 32.0, True, 0, -1, "32", None])
def test_batch_size(state, size):
    text = "batch_size must be a whole number of at least 1, got "
    kind = ValueError if type(size) is int else TypeError
    for data in ((X, Y), [(X, Y)]):
        with pytest.raises(kind, match=f"fit: {text}{size!r}"):
            training.fit(state, "mse", data, batch_size=size)
        with pytest.raises(kind, match=f"evaluate: {text}"):
            training.evaluate(state, "mse", data, batch_size=size)
        with pytest.raises(kind, match=f"predict: {text}"):
            training.predict(state, data, batch_size=size)


@pytest.mark.parametrize(
    ("data", "how", "error", "match"),
    [
        (iter([(X, Y)]), {}, TypeError, "rows of arrays, got .*iterator. Pass .* as validation="),
        ([(X, Y)], {}, TypeError, "got list. Pass other batches as validation="),
        (Loader(X, Y), {}, TypeError, "got Loader. Pass other batches as validation="),
        ([X, Y], {}, ValueError, "a list holds batches"),
        ((X, Y), {"validation": (X, Y)}, ValueError, "validation or validation_split, not both"),
        ((X, Y), {"validation_split": 1.5}, ValueError, "must be between 0 and 1, got 1.5"),
        ((X, Y), {"validation_split": "0.2"}, ValueError, "must be between 0 and 1, got '0.2'"),
    ],
)
def test_validation_split(state, data, how, error, match):
    with pytest.raises(error, match=match):
        training.fit(state, "mse", data, **{"validation_split": 0.2, **how})


WIDE = [
    np.int64(5_000_000_000),
    np.int64(-5_000_000_000),
    np.uint64(2**63),
    np.uint32(4_000_000_000),
]


@pytest.mark.parametrize("value", WIDE)
def test_integers_as_targets_are_numbers(state, value):
    y = np.full((22, 1), value)
    want = abs(float(value))
    for data in ((X, y), batches_of(X, y)):
        got = training.evaluate(state, "mae", data, batch_size=8)
        np.testing.assert_allclose(got["loss"], want, rtol=1e-6)


def test_integers_in_training(state):
    y = np.full((22, 1), 5_000_000_000)
    still = training.init(nnx.Linear(3, 1, rngs=nnx.Rngs(0)), optax.sgd(0.0))
    _, history = training.fit(still, "mae", (X, y), validation=batches_of(X, y), batch_size=22)
    logs = training.make_step("mae")(still, (X, y))[1]
    for loss in (history["loss"][0], history["val_loss"][0], logs["loss"]):
        np.testing.assert_allclose(loss, 5e9, rtol=1e-6)
    weight = changed(np.ones(22, int), 2**32)  # 0, if it wrapped around
    loss = losses.MeanAbsoluteError(reduction="mean_with_sample_weight")
    got = training.evaluate(state, loss, (X, Y, weight))["loss"]
    want = abs(training.predict(state, X) - Y)[7, 0]
    np.testing.assert_allclose(got, want, rtol=1e-4)
    mask = changed(np.zeros(22, int), 2**32)
    got = training.evaluate(state, loss, {"x": X, "y": Y, "mask": mask})["loss"]
    np.testing.assert_allclose(got, want, rtol=1e-4)
    for data in (X.astype(int) + 2**32, [X.astype(np.uint64) + 2**32]):
        with pytest.raises(ValueError, match=r"x holds integers from .*JAX's have 32 bits. Pass x"):
            training.predict(state, data)


def test_integers_with_64_bits_are_kept():
    y = np.full((22, 1), 2**53 + 1)
    with jax.enable_x64(True):
        truth = Truth(training.step.as_objective("mae"), jax.ShapeDtypeStruct((22, 1), float))
        kept = truth("", Batch(X, y), look=True)
        assert kept.y.dtype == np.int64
    np.testing.assert_array_equal(kept.y, y)


WRONG = [
    (changed(LABELS, 4), "y holds 4 at [7], but the output has 4 classes, 0 to 3. If it means"),
    (changed(LABELS, -1), "y holds -1 at [7], but .*pass ignore_class=-1 to the loss"),
    (LABELS + 1, "y holds 4 at [3], but .* If labels count from 1, pass y - 1"),
    (changed(LABELS, 5_000_000_000), "y holds 5000000000 at [7]"),
    (changed(LABELS, 2**32).astype(np.uint64), "y holds 4294967296 at [7]"),
    (changed(LABELS, np.nan), "y holds nan at [7]"),
    (changed(LABELS, 4)[:, None], "y holds 4 at [7, 0]"),
]


@pytest.mark.parametrize(("y", "match"), WRONG)
def test_labels_out_of_range(classifier, y, match):
    match = match.replace("[", r"\[").replace("]", r"\]")
    with pytest.raises(ValueError, match=f"^fit: {match}") as raised:
        training.fit(classifier, CE, (X, y))
    assert len(str(raised.value)) <= 300
    with pytest.raises(ValueError, match=r"^fit: batch 1: y holds"):
        training.fit(classifier, CE, batches_of(X, y))
    with pytest.raises(ValueError, match=f"^evaluate: {match}"):
        training.evaluate(classifier, CE, (X, y))
    with pytest.raises(ValueError, match=f"^fit: validation: {match}"):
        training.fit(classifier, CE, (X, LABELS), validation=(X, y))


def test_labels_that_are_right(classifier):
    """Among them those that do not count."""
    want = training.evaluate(classifier, CE, (X, LABELS))
    for y in (LABELS + 0.5, LABELS - 0.0, LABELS.astype(np.uint8), LABELS[:, None]):
        assert training.evaluate(classifier, CE, (X, y)) == want
    counts = np.arange(22) != 7
    for wrong in (4, -1, 5_000_000_000, np.nan):
        y = changed(LABELS, wrong)
        for data in ((X, y, counts.astype("f")), {"x": X, "y": y, "mask": counts[:, None]}):
            want = {**data, "y": LABELS} if isinstance(data, dict) else (X, LABELS, data[2])
            assert training.evaluate(classifier, CE, data) == training.evaluate(
                classifier, CE, want
            )
    ignoring = losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
    got = training.evaluate(classifier, ignoring, (X, changed(LABELS, -1)))
    want = training.evaluate(classifier, CE, {"x": X, "y": LABELS, "mask": counts})
    np.testing.assert_allclose(got["loss"], want["loss"], rtol=1e-6)
    with pytest.raises(ValueError, match=r"y holds 4 at \[7\]"):
        training.evaluate(classifier, ignoring, (X, changed(LABELS, 4)))


def shapes(*outputs):
    found = tuple(jax.ShapeDtypeStruct(shape, "float32") for shape in outputs)
    return found if len(found) > 1 else found[0]


def looked(objective, y, y_pred, sample_weight=None, mask=None):
    """What the first look at a batch says."""
    batch = Batch(np.zeros(len(jax.tree.leaves(y)[0])), y, sample_weight, mask)
    with pytest.raises(ValueError, match=r"^fit: y") as raised:
        Truth(training.step.as_objective(objective), y_pred)("fit", batch, look=True)
    return str(raised.value)


def test_labels_of_every_kind_of_loss():
    grid = changed(np.zeros((2, 3, 5), int), 7, at=(1, 2, 4))
    pixels = losses.SparseCategoricalCrossentropy(axis=1)
    assert "7 at [1, 2, 4]" in looked(pixels, grid, shapes((2, 7, 3, 5)))
    kept, taken_out = np.ones(grid.shape), np.where(grid == 7, 0, 1)
    column = grid[:, None]
    assert "7 at [1, 0, 2, 4]" in looked(pixels, column, shapes((2, 7, 3, 5)), kept)
    truth = Truth(training.step.as_objective(pixels), shapes((2, 7, 3, 5)))
    for weighed in ((taken_out, None), (None, taken_out), (kept, taken_out[..., None])):
        batch = Batch(grid, column, *weighed)
        assert truth("fit", batch, look=True) is batch

    words = np.array([[1, 2, 0], [3, -1, 0]])
    assert looked(losses.CTC(), words, shapes((2, 9, 4))).endswith(
        "y holds -1 at [1, 1], but the output has 4 classes, 0 to 3. Class 0 is the blank, and "
        "fills short rows up."
    )
    truth = Truth(training.step.as_objective(losses.CTC()), shapes((2, 9, 4)))
    steps = np.arange(9) < np.array([[7], [0]])  # the second sample has none
    for mask in (steps, steps[:, 0], steps[:, :1]):
        assert truth("fit", Batch(words, words, mask=mask), look=True).y is words
    assert "-1 at [1, 1]" in looked(losses.CTC(), words, shapes((2, 9, 4)), mask=~steps)
    lengths = np.array([2, 1])
    assert truth("fit", Batch(words, (words, lengths)), look=True).y[0] is words
    assert "y[0] holds -1" in looked(losses.CTC(), (words, lengths + 1), shapes((2, 9, 4)))
    of_ids = losses.Circle()
    assert "Number the classes" in looked(of_ids, LABELS + 2**40, shapes((22, 3)))
    q = losses.CategoricalGeneralizedCrossEntropy()
    assert "A mask leaves out" in looked(q, LABELS, shapes((22, 3)))

    both = training.step.as_objective({"a": "mse", "b": CE})
    y = {"b": LABELS, "a": np.full((22, 1), 2**40)}
    out = {"a": shapes((22, 1)), "b": shapes((22, 3))}
    assert "y['b'] holds 3 at [3], but the output has 3 classes" in looked(both, y, out)
    with_four = Truth(both, out | {"b": shapes((22, 4))})
    found = with_four("fit", Batch(X, y), look=True).y
    assert (found["a"].dtype, found["b"].dtype) == (np.float32, np.int64)


def test_labels_of_a_vocabulary():
    """The kernel has the classes; the first `shift` labels are not predicted."""

    def truth(loss, y, mask=None):
        objective = training.step.as_objective(loss)
        pair = shapes((2, 4, 8), (50, 8))
        return Truth(objective, pair)("fit", Batch(y, y, mask=mask), look=True)

    y = changed(np.zeros((2, 4), int), 50, at=(1, 0))
    with pytest.raises(ValueError, match=r"50 at \[1, 0\], but the output has 50 classes"):
        truth(losses.LinearCrossEntropy(kernel_layout="vd"), y)
    shifted = losses.LinearCrossEntropy(kernel_layout="vd", shift=1)
    assert truth(shifted, y).y is y
    y[1, 2] = 50
    for mask in (y[:, 1:] != 50, y != 50):
        assert truth(shifted, y, mask).y is y
    targets = np.full((2, 4, 50), 99.0)
    assert truth(losses.LinearCrossEntropy(), targets).y is targets


def test_labels_of_a_stream_are_looked_at_once():
    seen = []

    def truth(where, batch, look):
        seen.append((where, look))
        return batch

    stream = Stream("fit", batches_of(X, Y))
    stream.take(truth)
    for epoch in range(2):
        assert len(list(stream.chunks(epoch, 0, 1))) == 3
    assert seen == [(f"fit: batch {i}", epoch == 0) for epoch in range(2) for i in (1, 2, 3)]
