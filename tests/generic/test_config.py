"""get, serialize and deserialize: lossless, readable by Keras, and harmless."""

import collections
import dataclasses
import decimal
import fractions
import json
import os
import re

import chex
import jax
import numpy as np
import pytest
from jax import numpy as jnp

import keras
import lossjax
from cases import CASES, ROWS, VARIANTS, variant_id
from lossjax import losses, testing
from lossjax.core.registry import example, registry

variants = pytest.mark.parametrize(("case", "config"), VARIANTS, ids=variant_id)


@variants
def test_round_trip_is_lossless(case, config):
    for common in ({}, {"reduction": None, "name": "mine", "dtype": "bfloat16"}):
        loss = case.loss(**config, **common)
        data = losses.serialize(loss)
        for revived in (
            losses.deserialize(data),
            losses.deserialize(json.loads(json.dumps(data))),
            losses.get(data),
            case.loss.from_config(loss.get_config()),
        ):
            assert type(revived) is case.loss
            assert jax.tree.structure(revived) == jax.tree.structure(loss)
            chex.assert_trees_all_equal(revived, loss)


@pytest.mark.parametrize(
    ("case", "config"), [(c, config) for c, config in VARIANTS if c.twin], ids=variant_id
)
def test_keras_reads_ours_and_we_read_keras(case, config):
    ours = case.loss(**config, reduction="sum", name="mine")
    theirs = case.twin(**config, reduction="sum", name="mine")
    read = keras.saving.deserialize_keras_object(losses.serialize(ours))
    assert type(read) is case.twin
    assert (read.name, read.reduction) == ("mine", "sum")
    # What Keras calls its function with; 3.15 leaves some of it out of its configs.
    assert read.fn is theirs.fn
    assert read._fn_kwargs.keys() == theirs._fn_kwargs.keys()
    for key, value in theirs._fn_kwargs.items():
        np.testing.assert_array_equal(read._fn_kwargs[key], value)

    back = losses.deserialize(json.loads(json.dumps(keras.saving.serialize_keras_object(theirs))))
    assert type(back) is case.loss
    assert (back.name, back.reduction) == ("mine", "sum")
    lost = case.lost_by_keras if theirs.get_config().keys() < KERAS_HEAD else ()
    for key in config.keys() - set(lost):
        np.testing.assert_allclose(getattr(back, key), getattr(ours, key))


# Of the losses whose later versions write what 3.15 leaves out.
KERAS_HEAD = {"name", "reduction", "delta", "axis"}


@pytest.mark.parametrize("case", [c for c in CASES if c.twin], ids=variant_id)
def test_configs_have_the_keys_of_keras(case):
    assert case.twin().get_config().items() <= case.loss().get_config().items()


def test_arrays_are_kept():
    alpha = [0.1, 0.2, 0.7]
    for given in (alpha, tuple(alpha), np.array(alpha), jax.numpy.array(alpha)):
        loss = losses.CategoricalFocalCrossentropy(alpha=given)
        revived = losses.deserialize(json.loads(json.dumps(losses.serialize(loss))))
        np.testing.assert_array_equal(revived.alpha, np.asarray(loss.alpha))
    keras_loss = keras.losses.CategoricalFocalCrossentropy(alpha=np.array(alpha))
    revived = losses.deserialize(keras.saving.serialize_keras_object(keras_loss))
    np.testing.assert_allclose(revived.alpha, alpha)


KERAS_IDENTIFIERS = sorted(keras.src.losses.ALL_OBJECTS_DICT)
KERAS_2 = ["logcosh", "kullback_leibler_divergence", "cosine_proximity", "huber_loss"]
OURS = ["categorical_generalized_cross_entropy", "CategoricalGeneralizedCrossEntropy"]


@pytest.mark.parametrize("name", [*KERAS_IDENTIFIERS, *KERAS_2, *OURS])
def test_identifiers(name):
    if name == "LossFunctionWrapper":
        pytest.skip("not a loss: it takes a function; a subclass with `fn` is one here")
    found = losses.get(name)
    assert callable(found)
    if name in KERAS_IDENTIFIERS:
        theirs = keras.losses.get(name)
        assert isinstance(found, losses.Loss) == isinstance(theirs, keras.losses.Loss)
        assert getattr(found, "__name__", None) == getattr(theirs, "__name__", None)


def test_get():
    loss = losses.Huber(delta=0.5)
    assert losses.get(None) is None
    assert losses.get(loss) is loss
    assert isinstance(losses.get(losses.Huber), losses.Huber)
    assert losses.get(abs) is abs
    assert losses.get("mse") is losses.mean_squared_error


@pytest.mark.parametrize(
    "fn", [row.function for row in ROWS if row.function], ids=lambda f: f.__name__
)
def test_functions(fn):
    data = losses.serialize(fn)
    assert losses.deserialize(data) is fn
    assert losses.get(data) is fn
    if fn.__name__ in KERAS_IDENTIFIERS:
        assert keras.losses.deserialize(data) is getattr(keras.losses, fn.__name__)
        theirs = keras.losses.serialize(getattr(keras.losses, fn.__name__))
        assert losses.deserialize(theirs) is fn


def test_keras_2_config_and_wrapper():
    keras_2 = {
        "class_name": "Huber",
        "config": {"reduction": "auto", "name": "huber_loss", "delta": 2.0, "fn": "huber"},
    }
    assert losses.deserialize(keras_2).delta == 2.0
    wrapper = keras.src.losses.LossFunctionWrapper(keras.losses.huber, name="h", delta=2.0)
    revived = losses.deserialize(keras.saving.serialize_keras_object(wrapper))
    assert isinstance(revived, losses.Huber)
    assert (revived.delta, revived.name) == (2.0, "h")


def test_custom_objects():
    def mine(y_true, y_pred):
        return y_pred - y_true

    assert losses.deserialize("mine", {"mine": mine}) is mine
    data = {"module": "gone", "class_name": "Other", "config": {"delta": 3.0}}
    other = losses.deserialize(data, custom_objects={"Other": losses.Huber})
    assert other.delta == 3.0
    with pytest.raises(ValueError, match="'Other' is no Loss: it takes no config"):
        losses.deserialize(data, custom_objects={"Other": int})
    with pytest.raises(ValueError, match="custom_objects must be a dict from names to losses"):
        losses.deserialize(data, custom_objects=[losses.Huber])


def test_classes_that_make_no_loss():
    for cls, match in (
        (int, "Could not interpret loss identifier: <class 'int'>"),
        (
            type("Needs", (), {"__init__": lambda self, k: None}),
            r"Needs.* without arguments: .*'k'",
        ),
    ):
        with pytest.raises(ValueError, match=match):
            losses.get(cls)


class Explodes:
    """Whatever a config holds, nothing of it may run."""

    def __reduce__(self):
        return os.system, ("exit 1",)

    def __str__(self):
        raise AssertionError("evaluated")

    __repr__ = __str__


def deep(n, wrap=lambda inner: [inner]):
    nested = 1.0
    for _ in range(n):
        nested = wrap(nested)
    return nested


def cyclic(node, put):
    put(node)
    return node


def huber(**config):
    return {"class_name": "Huber", "config": config}


THOUSANDS = 1.0  # 10^24 numbers in eight lists
for _ in range(8):
    THOUSANDS = [THOUSANDS] * 1000

LAMBDA = {"class_name": "__lambda__", "config": {"value": "4wEAAAAAAAA="}}
HOSTILE = [
    ({"class_name": "os.system", "config": {}}, "os.system"),
    ({"module": "os", "class_name": "system", "config": {}}, "system"),
    ({"module": "builtins", "class_name": "function", "config": "eval"}, "eval"),
    ({"module": "builtins", "class_name": "eval", "config": {}}, "eval"),
    ({"module": "builtins", "class_name": "function", "config": LAMBDA}, "name of a function"),
    (LAMBDA, "__lambda__"),
    ({"class_name": "LossFunctionWrapper", "config": {"fn": LAMBDA}}, "'fn'"),
    ({"class_name": "LossFunctionWrapper", "config": {"fn": "exec"}}, "exec"),
    ({"class_name": "LossFunctionWrapper", "config": {}}, "unknown function None"),
    ({"class_name": "__import__", "config": {}}, "__import__"),
    ({"class_name": "Hubr", "config": {}}, "Did you mean 'Huber'"),
    ({"class_name": ["Huber"], "config": {}}, "class_name"),
    ({"class_name": None}, "class_name"),
    ({"config": {}}, "class_name"),
    ([], "[]"),
    (np.array(["2020", "NaT"], "datetime64[D]"), "an array of datetime64[D] of shape (2,)"),
    (collections.OrderedDict(), "OrderedDict"),
    ("x" * 10**6, "'xxxx"),
    ({"class_name": "x" * 10**6, "config": {}}, "'xxxx"),
    ({"class_name": "x" * 10**6, "config": 3}, "needs a dict as config, got 3"),
    ({"class_name": "Huber", "config": {"x" * 10**6: 1}}, "unknown key 'xxxx"),
    ({"class_name": "Huber", "config": {7: 1}}, "unknown key 7"),
    ({"class_name": "Huber", "config": {Explodes(): 1}}, "unknown key an object of type Explodes"),
    ({"class_name": "Loss", "config": {"fn": "huber"}}, "computes 'Loss', got fn='huber'"),
    ({"class_name": "huber", "config": {"delta": 2.0}}, "'huber' is no Loss: it takes no config"),
    ({"class_name": "LossFunctionWrapper", "config": {"fn": [1]}}, "unknown function [1]"),
    (huber(delta=float("nan")), "delta must be in the interval [0, inf], got nan"),
    (huber(delta=10**400), "a whole number of 1329 bits"),
    (huber(delta=THOUSANDS), "delta"),
    (huber(dtype=THOUSANDS), "dtype"),
    (huber(name="a\x1bb"), "name must be printable str or None"),
    (7, "7"),
    (b"huber", "huber"),
    (huber(delta="1.0"), "delta"),
    (huber(delta=LAMBDA), "delta"),
    (huber(delta=Explodes()), "Explodes"),
    (huber(delta={"class_name": "__numpy__", "config": {"value": "x"}}), "delta"),
    (huber(delta=deep(100_000)), "delta"),
    (huber(delta=[1.0, [2.0, 3.0]]), "delta"),
    (huber(delta=-1.0), "delta"),
    (huber(delta=None), "delta"),
    (huber(reduction=3), "reduction"),
    (huber(reduction=["sum"]), "reduction"),
    (huber(reduction="eval"), "reduction"),
    (huber(name=3), "name"),
    (huber(dtype="int32"), "dtype"),
    (huber(dtype=[1]), "dtype"),
    (huber(__class__="x"), "__class__"),
    (huber(fn="eval"), "fn='eval'"),
    (huber(call="x"), "call"),
    ({"class_name": "Huber", "config": 3}, "3"),
    ({"class_name": "Huber", "config": ["delta"]}, "needs a dict as config, got ['delta']"),
    ({"class_name": "Dice", "config": {"axis": "x"}}, "axis"),
    ({"class_name": "Dice", "config": {"axis": [0, "x"]}}, "axis"),
    ({"class_name": "Dice", "config": {"axis": True}}, "axis"),
    ({"class_name": "BinaryCrossentropy", "config": {"from_logits": "yes"}}, "from_logits"),
    ({"class_name": "SparseCategoricalCrossentropy", "config": {"ignore_class": "x"}}, "ignore"),
]


@pytest.mark.parametrize(("config", "named"), HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_configs_are_refused_by_name(config, named):
    before = dict(registry)
    with pytest.raises(ValueError, match=re.escape(named)) as caught:
        losses.deserialize(config)
    assert len(str(caught.value)) <= 300
    assert registry == before


# What may stand in a field of a loss, whoever wrote it there.
VALUES = {
    "deep list": deep(100_000),
    "deep tuple": deep(100_000, lambda inner: (inner,)),
    "deep dict": deep(100_000, lambda inner: {"a": inner}),
    "cyclic list": cyclic(node := [], node.append),
    "cyclic dict": cyclic(node := {}, lambda d: d.update(a=d)),
    "long text": "x" * 10**6,
    "control characters": "\0\x1b\ud800" * 10**5,
    "bytes": b"x" * 10**5,
    "NaN": float("nan"),
    "-inf": -np.inf,
    "int beyond float": -(10**400),
    "int beyond text": 10**10_000,
    "int beyond 64 bits": 2**63,
    "complex": 1j,
    "NumPy complex": np.complex64(1j),
    "Decimal": decimal.Decimal("sNaN"),
    "Fraction": fractions.Fraction(1, 2),
    "set": {1, 2},
    "generator": (i for i in range(3)),
    "object array": np.array([{}, Explodes()], dtype=object),
    "text array": np.array(["a" * 10**5]),
    "datetime array": np.array(["2020", "NaT"], "datetime64[D]"),
    "datetime": np.datetime64("NaT", "s"),
    "timedelta": np.timedelta64(1, "s"),
    "timedelta array": np.array([1], "timedelta64[s]"),
    "structured array": np.zeros(2, [("a" * 1000, "f4")]),
    "0-d text": np.array("x"),
    "no numbers": np.zeros(0),
    "array with NaN": np.array([0.1, np.nan]),
    "list with NaN": [0.1, float("nan")],
    "list with None": [None, 1.0],
    "ragged list": [1.0, [2.0, 3.0]],
    "JAX complex": jnp.array([1j]),
    "key": jax.random.key(0),
    "mixed keys": {1: 1.0, "a": 2.0},
    "dict subclass": collections.OrderedDict(a=1.0),
    "function": lambda: 1,
    "class": Explodes,
    "object": Explodes(),
    "list of objects": [Explodes()],
    "a loss": losses.Huber(),
    "error": ValueError("x" * 10**6),
}


def fields():
    """Those of every registered loss, and what else it needs; the common three once."""
    for cls in {row.loss for row in ROWS}:
        if cls.__module__.startswith("lossjax."):
            made, found = example(cls), dataclasses.fields(cls)
            needed = {
                f.name: getattr(made, f.name) for f in found if f.default is dataclasses.MISSING
            }
            for field in found:
                if field.name not in ("reduction", "name", "dtype") or cls is losses.Huber:
                    yield cls, field.name, needed


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
def test_whatever_stands_in_a_field_is_refused_in_one_sentence(value):
    for cls, field, needed in fields():
        given = needed | {field: value}
        config = {"class_name": cls.__name__, "config": given}
        for make, error in (
            (lambda c=cls, g=given: c(**g), (ValueError, TypeError)),
            (lambda c=config: losses.deserialize(c), ValueError),
        ):
            try:
                made = make()
            except error as refused:
                text = str(refused)
                assert len(text) <= 300, (cls, field, text[:400])
                assert field in text, (cls, field, text)
                assert text.count("\n") == 0, (cls, field, text)
            else:  # a text may be the name of a loss or of an axis, a large int a float
                assert type(value) in (str, int) or value == -np.inf, (cls, field)
                assert getattr(made, field) == value


def ranges():
    """(row, name, interval) of every hyperparameter that has one."""
    for row in ROWS:
        for field in dataclasses.fields(row.loss):
            if interval := field.metadata.get("interval"):
                yield pytest.param(
                    row, field.name, interval, id=f"{row.loss.__name__}-{field.name}"
                )


def within_and_outside(interval):
    """Numbers in it, its ends where they belong to it, and numbers that are not."""
    low, high = (max(-1e9, min(float(end), 1e9)) for end in interval[1:-1].split(","))
    inside = [low + 0.5 * min(high - low, 1), low / 2 + high / 2]
    outside = [np.nan] if interval.startswith("[-inf") else [np.nan, -np.inf]
    for end, beyond, belongs in ((low, -1, interval[0] == "["), (high, 1, interval[-1] == "]")):
        if abs(end) == 1e9:
            (inside if belongs else outside).append(np.copysign(np.inf, end))
        else:
            (inside if belongs else outside).append(end)
            outside.append(end + beyond)
    return inside, outside


@pytest.mark.parametrize(("row", "name", "interval"), list(ranges()))
def test_hyperparameters_have_ranges(row, name, interval):
    """In the class and in the function, and each entry of an array."""
    inside, outside = within_and_outside(interval)
    for right in (*inside, np.float32(inside[0]), np.array(inside)):
        np.testing.assert_allclose(getattr(row.loss(**{name: right}), name), right)
    y_true, y_pred = testing.sample(row.loss)
    y_pred = y_pred if row.loss._declared.domain.predicted else (y_pred,)
    match = re.escape(f"{name} must be in the interval ")
    for wrong in outside:
        for given in (
            wrong,
            np.float32(wrong),
            [inside[0], wrong],
            np.array([[inside[0]], [wrong]]),
        ):
            with pytest.raises(ValueError, match=f"{match}.*, got {str(wrong)[:4]}"):
                row.loss(**{name: given})
            # The function of Keras's q takes what lies above 1 too.
            if row.function and not (name == "q" and wrong >= 1):
                with pytest.raises(ValueError, match=match):
                    row.function(y_true, *y_pred, **{name: given})


def test_choices_that_numpy_made_are_pythons():
    loss = losses.BinaryCrossentropy(from_logits=np.True_, axis=np.array([0, 1])[1])
    assert (loss.from_logits, type(loss.from_logits), type(loss.axis)) == (True, bool, int)
    axes = losses.Dice(axis=tuple(np.arange(2))).axis
    assert (axes, {type(axis) for axis in axes}) == ((0, 1), {int})


def test_hyperparameters_in_other_forms():
    """A 0-d array, one of another byte order, and JAX's own in a list, also while traced."""
    assert losses.Huber(delta=np.array(0.5)).delta == 0.5
    alpha = losses.CategoricalFocalCrossentropy(alpha=np.array([1, 2], ">f4")).alpha
    assert alpha.dtype.isnative
    y = np.eye(2, dtype=np.float32)

    def f(a):
        return losses.CategoricalFocalCrossentropy(alpha=[a, 2.0])(y, y[::-1])

    assert jax.eval_shape(f, 1.0).shape == ()


def test_from_config_takes_dicts():
    for config in (None, 5, [("delta", 1.0)]):
        with pytest.raises(ValueError, match="Huber: need a dict as config, got"):
            losses.Huber.from_config(config)


def test_what_keras_does_not_have_is_not_said_to_be_its_own():
    data = losses.serialize(losses.LinearCrossEntropy(soft_cap=30.0))
    assert (data["module"], data["registered_name"]) == ("lossjax.losses", "LinearCrossEntropy")
    as_keras = {**data, "module": "keras.losses", "registered_name": None}
    for same in (data, as_keras):
        assert losses.deserialize(json.loads(json.dumps(same))).soft_cap == 30.0
    known = {n for n, v in vars(keras.losses).items() if isinstance(v, type)} - {"Loss"}
    own = {c.__name__ for c in registry.values() if isinstance(c, type) and c is not losses.Loss}
    for name in sorted(own):
        cls = registry[name]
        if cls.__module__.startswith("lossjax.losses."):
            module = losses.serialize(example(cls))["module"]
            assert module == ("keras.losses" if name in known else "lossjax.losses"), name


class AnyNames(losses.Loss):
    """Its hyperparameters are called as what a loss declares."""

    couples = "none"
    fn: float = 1.0
    domain: float = 2.0
    aliases: float = 3.0
    predicted: float = 4.0
    default_name: float = 5.0
    cls: float = 6.0
    where: float = 7.0
    axis: float = 1.0

    def call(self, y_true, y_pred):
        factor = self.fn * self.domain * self.aliases * self.predicted * self.default_name
        return jnp.mean(factor * self.cls * self.where * self.axis * (y_true - y_pred) ** 2, -1)


class Couples(AnyNames):
    """A subclass adds one more, and keeps what was declared."""

    couples: float = 8.0


def test_hyperparameters_may_have_any_name():
    for loss in (AnyNames(fn=0.5, cls=2.0, domain=3.0), Couples(fn=0.5, couples=1.5)):
        assert loss._declared.couples == "none"
        assert loss._declared.fn is None
        assert loss.name == ("couples" if isinstance(loss, Couples) else "any_names")
        again = losses.deserialize(json.loads(json.dumps(losses.serialize(loss))))
        chex.assert_trees_all_equal(again, loss)
        assert again([[0.0]], [[1.0]]) == loss([[0.0]], [[1.0]]) != 0
        gradient = jax.grad(lambda loss: loss([[0.0]], [[1.0]]))(loss)
        np.testing.assert_allclose(gradient.fn, loss([[0.0]], [[1.0]]) / loss.fn)
        masked = jax.grad(lambda loss: loss([[0.0]] * 2, [[1.0], [np.nan]], mask=[1, 0]))(loss)
        chex.assert_trees_all_close(masked, gradient, rtol=1e-6)


@pytest.mark.parametrize(
    "name", ["call", "total", "without", "get_config", "name", "dtype", "reduction"]
)
def test_words_of_every_loss_are_no_hyperparameters(name):
    body = {"__annotations__": {name: float}, name: 1.0}
    with pytest.raises(TypeError, match=f"Taken: '{name}' is a word of every loss"):
        type("Taken", (losses.Loss,), body)
    if name in ("name", "dtype", "reduction"):  # a default in the body would go unheard
        with pytest.raises(TypeError, match=f"write `{name}: Any = lossjax.static"):
            type("Taken", (losses.Loss,), {name: "sum"})
    assert "Taken" not in registry


def test_a_loss_may_have_another_default_reduction():
    body = {"__annotations__": {"reduction": str}}
    body["reduction"] = lossjax.static(default="sum", kw_only=True)
    summed = type("_Summed", (losses.MeanSquaredError,), body)
    assert summed()([[0.0], [0.0]], [[1.0], [1.0]]) == 2


def test_what_cannot_be_serialized():
    with pytest.raises(ValueError, match="serialize: need a Loss or one of the functions"):
        losses.serialize(lambda t, p: t)
    with pytest.raises(TypeError, match="Huber: delta is traced"):
        jax.jit(lambda d: losses.Huber(delta=d).get_config()["delta"])(1.0)
    for name in ("Mse", "ce", "crossentropy", "typo", ""):
        with pytest.raises(ValueError, match="Could not interpret loss identifier"):
            losses.get(name)
    with pytest.raises(ValueError, match="Did you mean 'huber'"):
        losses.get("hubert")
