"""lossjax against recorded values of Keras 3 on TensorFlow and of tf_keras (Keras 2).

`reference/generate.py` wrote the records; reading them needs neither library. Where lossjax
means to answer something else, `DIFFERENCES` says what and why.
"""

import json
import re
from functools import cache, partial
from math import inf, nan
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lossjax import losses
from lossjax.testing.suite import QUICK

LIBRARIES = ("keras_tensorflow", "tf_keras")
KERAS, KERAS_2 = LIBRARIES

RTOL = 1e-5
# Sums of float32 terms of order 1 that cancel, in another order than TensorFlow's.
ATOL = 1e-6
# A special point is one sample: nothing cancels, and 1.19e-7 is not 0.
SPECIAL_ATOL = 1e-9


class Difference(NamedTuple):
    """What lossjax gives at a special point where the libraries give something else."""

    loss: str
    point: str
    value: list | float | str | None = None  # None: as the library; "finite": any finite number
    gradient: list | str | None = None
    libraries: tuple[str, ...] = LIBRARIES


def both_means(loss, point, value, gradient):
    """A second sample of weight zero or masked: the sum and the mean over the first."""
    for hidden in ("w=[1,0] sum", "m=[1,0] sum_over_batch_size"):
        yield Difference(loss, f"{point} {hidden}", value, gradient, (KERAS,))


# Reason: what lossjax gives instead of the libraries. Keras on JAX, unless the reason says more.
DIFFERENCES: dict[str, list[Difference]] = {
    "clipped once: Keras 2 adds epsilon inside the logarithm again": [
        *(
            Difference("BinaryCrossentropy", f"t=[[1]] p=[[{p}]]", [16.118095], None, (KERAS_2,))
            for p in ("0", "1e-08", "-0.5", "1e-07")
        ),
        *(
            Difference("BinaryCrossentropy", f"t=[[1]] p=[[{p}]]", [2**-23], None, (KERAS_2,))
            for p in ("1", "1.5", "inf")
        ),
        *(
            Difference("BinaryCrossentropy", f"t=[[0]] p=[[{p}]]", [15.942385], None, (KERAS_2,))
            for p in ("1", "1.5")
        ),
        *(
            Difference("BinaryFocalCrossentropy", point, value, gradient, (KERAS_2,))
            for point, value, gradient in (
                ("t=[[1]] p=[[0]]", [16.118095], [[-32.23619]]),
                ("t=[[1]] p=[[-0.5]]", [36.265715], [[-48.354286]]),
                ("t=[[1]] p=[[1e-07]]", [16.118092], None),
                ("t=[[1]] p=[[1.5]]", [2**-25], [[2**-23]]),
                ("t=[[0]] p=[[1]]", [15.942385], [[31.88477]]),
                ("t=[[1]] p=[[1]] gamma=0", [2**-23], None),
            )
        ),
    ],
    "log1p(-p), where Keras rounds 1-p first: 1.19e-7": [
        Difference("BinaryCrossentropy", "t=[[0]] p=[[0]]", [1e-7]),
        Difference("BinaryFocalCrossentropy", "t=[[0]] p=[[0]] gamma=0", [1e-7]),
    ],
    "tie of a clip: half of both sides, as in JAX": [
        Difference("BinaryCrossentropy", "t=[[1]] p=[[1e-07]]", None, [[-5e6]], (KERAS,)),
        Difference("BinaryFocalCrossentropy", "t=[[1]] p=[[1e-07]]", None, [[-5000030]], (KERAS,)),
        Difference("KLDivergence", "t=[[1]] p=[[1e-07]]", None, [[-5e6]]),
        Difference("KLDivergence", "t=[[1]] p=[[1]]", None, [[-0.5]]),
        Difference("KLDivergence", "t=[[0]] p=[[1]]", None, [[-5e-8]]),
        Difference("MeanSquaredLogarithmicError", "t=[[1]] p=[[1e-07]]", None, [[-0.693147]]),
    ],
    "tie of a hinge: half of both sides, as in JAX": [
        Difference("Hinge", "t=[[1]] p=[[1]]", None, [[-0.5]]),
        Difference("Hinge", "t=[[0]] p=[[-1]]", None, [[0.5]]),
        Difference("CategoricalHinge", "t=[[1,0]] p=[[1,0]]", None, [[-0.5, 0.25]]),
    ],
    "a NaN prediction has a NaN gradient: TensorFlow's clip makes it 0": [
        Difference("BinaryCrossentropy", "t=[[1]] p=[[nan]]", None, [[nan]]),
        Difference("KLDivergence", "t=[[1]] p=[[nan]]", None, [[nan]]),
        Difference("SparseCategoricalCrossentropy", "t=[0] p=[[nan,1]]", None, [[nan, nan]]),
    ],
    "the limit at infinite logits: the libraries multiply 0 by infinity": [
        Difference("BinaryCrossentropy", "t=[[0]] z=[[-inf]]", [0]),
        Difference("BinaryCrossentropy", "t=[[0]] z=[[inf]]", [inf]),
        Difference("BinaryCrossentropy", "t=[[1]] z=[[inf]]", [0]),
        Difference("BinaryFocalCrossentropy", "t=[[1]] z=[[-inf]]", None, [[-1]]),
        Difference("BinaryFocalCrossentropy", "t=[[1]] z=[[inf]]", [0], [[0]]),
        Difference("BinaryFocalCrossentropy", "t=[[0]] z=[[-inf]]", [0], [[0]]),
        Difference("BinaryFocalCrossentropy", "t=[[0]] z=[[inf]]", [inf], [[1]]),
        Difference("CategoricalCrossentropy", "t=[[1,0,0]] z=[[1,2,-inf]]", [1.3132616]),
        Difference("CategoricalCrossentropy", "t=[[0,1]] z=[[-inf,0]]", [0]),
        Difference(
            "CTC",
            "t=[[1,2]] p=[[[0,-inf,0],[0.5,0,1],[0,0,0]]]",
            [3.472029],
            [[[-0.5, 0, 0.5], [0.3071959, -0.8136763, 0.5064804], [1 / 3, 1 / 3, -2 / 3]]],
            (KERAS,),
        ),
    ],
    "the limit at infinite predictions: the libraries give NaN": [
        Difference("MeanSquaredLogarithmicError", "t=[[1]] p=[[inf]]", None, [[0]]),
        Difference("Huber", "t=[[0]] p=[[-inf]]", None, [[-1]]),
        Difference("Huber", "t=[[0]] p=[[inf]]", None, [[1]]),
        Difference("LogCosh", "t=[[0]] p=[[-inf]]", [inf]),
        Difference("CategoricalHinge", "t=[[1,0]] p=[[0,inf]]", [inf], [[-1, 1]]),
    ],
    "focal loss in log space: no power of zero to differentiate": [
        Difference("BinaryFocalCrossentropy", f"{point} gamma={gamma}", None, [[0]])
        for point in ("t=[[1]] p=[[1]]", "t=[[0]] p=[[0]]")
        for gamma in (0, 0.5)
    ],
    "focal loss in log space: goes on as -alpha*z, where Keras clips the softmax": [
        Difference("CategoricalFocalCrossentropy", f"t=[[1,0]] z=[[{z}]]", [value], [[-0.25, 0.25]])
        for z, value in (("-9,9", 4.5), ("-10000,10000", 5000), ("-inf,0", inf))
    ],
    "a row that sums to zero: the probabilities are clipped, not 0/0": [
        Difference("CategoricalCrossentropy", "t=[[1,0]] p=[[0,0]]", [16.118095], [[0, 0]]),
        Difference("CategoricalCrossentropy", "t=[[1,0]] p=[[0.5,-0.5]]", None, [[0, 0]]),
        Difference("CategoricalFocalCrossentropy", "t=[[1,0]] p=[[0,0]]", [4.0295237], [[0, 0]]),
        Difference("SparseCategoricalCrossentropy", "t=[0] p=[[0,0]]", [16.118095]),
    ],
    "probabilities are normalised, then clipped: TensorFlow clips, then takes a softmax": [
        Difference(
            "SparseCategoricalCrossentropy", "t=[0] p=[[3,1]]", [0.2876821], [[-1 / 12, 0.25]]
        ),
        Difference("SparseCategoricalCrossentropy", "t=[0] p=[[0.3]]", [2**-23]),
    ],
    "the gradient is that of the value: TensorFlow's is softmax - t whatever t sums to": [
        Difference("CategoricalCrossentropy", "t=[[0,0]] z=[[1,2]]", None, [[0, 0]]),
        Difference(
            "CategoricalCrossentropy", "t=[[1,1]] z=[[1,2]]", None, [[-0.46211715, 0.46211715]]
        ),
    ],
    "a label that is no class costs nothing: TensorFlow raises": [
        Difference("SparseCategoricalCrossentropy", f"t=[{label}] {y_pred}", [0], [[0, 0]])
        for label, y_pred in (
            *((label, "p=[[0.25,0.75]]") for label in (-1, 2, 7)),
            *((label, "z=[[1,2]]") for label in (-1, 2)),
        )
    ],
    "the slope of P^q stays finite at P=0: that of epsilon": [
        Difference(
            "CategoricalGeneralizedCrossEntropy",
            "t=[0] p=[[0,1]] q=0.5",
            None,
            [[-3162.2776, 0]],
            (KERAS,),
        ),
        Difference(
            "CategoricalGeneralizedCrossEntropy",
            "t=[2] p=[[0.25,0.75]] q=0.5",
            None,
            [[0, 0]],
            (KERAS,),
        ),
    ],
    "outside the domain (P<0): NaN for that class alone": [
        Difference(
            "CategoricalGeneralizedCrossEntropy",
            "t=[0] p=[[-0.5,1.5]] q=0.5",
            None,
            [[nan, 0]],
            (KERAS,),
        ),
    ],
    "norms have the floor 1e-7: 1e-6 in Keras 2": [
        Difference("CosineSimilarity", f"t=[[1,0]] p=[[{p},0]]", value, [[-1e7, 0]], (KERAS_2,))
        for p, value in (("0", None), ("1e-20", None), ("1e-08", [-0.1]))
    ],
    "log 0 is -1e5 as in JAX: -708 in TensorFlow; a label that does not fit has no true slope": [
        Difference("CTC", f"t=[{label}] p=[[[0,0,0],[0,0,0],[0,0,0]]]", [1e5], "finite", (KERAS,))
        for label in ("[1,1,1]", "[1,2,1,2]")
    ],
    "log 0 is -1e5 as in JAX: TensorFlow saturates near 708": [
        Difference(
            "CTC",
            "t=[[1,2]] p=[[[0,10000,0],[0,10000,0],[0,10000,0]]]",
            [10000],
            [[[0, 0, 0], [0, 0, 0], [0, 1, -1]]],
            (KERAS,),
        ),
    ],
    "a 0 between labels: the gradient of the value, as in JAX": [
        Difference(
            "CTC",
            "t=[[1,0,2]] p=[[[0,0,0],[0,0,0],[0,0,0]]]",
            None,
            [[[2 / 15, -7 / 15, 1 / 3], [-4 / 15, -1 / 15, 1 / 3], [-2 / 3, 1 / 3, 1 / 3]]],
            (KERAS,),
        ),
    ],
    "the square of a norm may overflow": [
        Difference("CosineSimilarity", "t=[[1,0]] p=[[1e+25,0]]", [-1]),
    ],
    "NaN does not leak from a masked or weightless sample": [
        *both_means(
            "MeanSquaredError", "t=[[1,2],[0,0]] p=[[2,4],[nan,inf]]", 2.5, [[1, 2], [0, 0]]
        ),
        *both_means(
            "MeanAbsoluteError", "t=[[1,2],[0,0]] p=[[2,4],[nan,inf]]", 1.5, [[0.5, 0.5], [0, 0]]
        ),
        *both_means(
            "BinaryCrossentropy", "t=[[1,0],[1,0]] p=[[0.5,0.5],[nan,inf]]", 0.6931472, None
        ),
        *both_means(
            "BinaryCrossentropy",
            "t=[[1,0],[1,0]] z=[[0,0],[nan,inf]]",
            0.6931472,
            [[-0.25, 0.25], [0, 0]],
        ),
        *both_means(
            "CategoricalCrossentropy",
            "t=[[1,0],[1,0]] z=[[0,0],[nan,inf]]",
            0.6931472,
            [[-0.5, 0.5], [0, 0]],
        ),
        *both_means(
            "SparseCategoricalCrossentropy",
            "t=[0,0] z=[[0,0],[nan,inf]]",
            0.6931472,
            [[-0.5, 0.5], [0, 0]],
        ),
    ],
    "nothing valid is 0: Keras 2 divides by 0": [
        Difference(
            "MeanSquaredError",
            "t=[[1],[0]] p=[[2],[3]] m=[0,0] sum_over_batch_size",
            0,
            [[0], [0]],
            (KERAS_2,),
        ),
        Difference(
            "SparseCategoricalCrossentropy",
            "t=[0,0] z=[[0,0],[1,0]] m=[0,0] sum_over_batch_size",
            0,
            [[0, 0], [0, 0]],
            (KERAS_2,),
        ),
    ],
}


def numbers(entry):
    """Nested lists with the texts "nan", "inf" and "-inf" as floats."""
    return [numbers(e) for e in entry] if isinstance(entry, list) else float(entry)


def array(entry):
    """Lists of ints become int32 labels, floats float32, booleans a mask."""
    entries = np.asarray(entry)
    if entries.dtype.kind == "U":
        entries = np.asarray(numbers(entry))
    dtypes = {"i": np.int32, "b": np.bool_, "f": np.float32}
    return jnp.asarray(entries, dtypes[entries.dtype.kind])


@cache
def read(library):
    return json.loads((Path(__file__).parent / "reference" / f"{library}.json").read_text())


def settings(config):
    """A config as arguments: JSON has no tuples."""
    return {k: tuple(v) if k == "axis" and isinstance(v, list) else v for k, v in config.items()}


def build(record, reduction):
    return getattr(losses, record["loss"])(**settings(record["config"]), reduction=reduction)


def value_and_gradient(loss, y_true, y_pred, weight, mask):
    def total(y_pred):
        value = loss(y_true, y_pred, sample_weight=weight, mask=mask)
        return jnp.sum(value), value

    gradient, value = jax.grad(total, has_aux=True)(y_pred)
    return {"value": value, "gradient": gradient}


def function_of(record):
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", record["loss"])
    return partial(getattr(losses, words.lower()), **settings(record["config"]))


def groups():
    """The results of both libraries for one loss, config and input, as one test."""
    merged = {}
    for library in LIBRARIES:
        for group in read(library)["cases"]:
            config = ",".join(f"{key}={value}" for key, value in group["config"].items())
            name = "-".join(filter(None, (group["loss"], config, group["input"])))
            merged.setdefault(name, {})[library] = group
    return [pytest.param(by_library, id=name) for name, by_library in merged.items()]


@pytest.mark.thorough
@pytest.mark.parametrize("by_library", groups())
def test_value_and_gradient(by_library, subtests):
    group = by_library[KERAS]
    y_true, y_pred = map(array, read(KERAS)["inputs"][group["input"]].values())
    weights, masks = (
        {key: array(entry) for key, entry in read(KERAS)[table].items()}
        for table in ("weights", "masks")
    )

    # One program: compiling each result apart would take most of the time.
    @partial(jax.jit, compiler_options=QUICK)
    def program(y_true, y_pred, weights, masks):
        results = [
            value_and_gradient(
                build(group, result["reduction"]),
                y_true,
                y_pred,
                weights.get(result.get("weight")),
                masks.get(result.get("mask")),
            )
            for result in group["results"]
        ]
        return results, function_of(group)(y_true, y_pred)

    results, function_value = program(y_true, y_pred, weights, masks)
    ours = {setting(result): got for result, got in zip(group["results"], results, strict=True)}
    for library, recorded in by_library.items():
        for result in recorded["results"]:
            if masks_inside(group) and result.get("mask", "empty").split()[0] != "empty":
                continue  # test_keras.py compares these with Keras's loss of the rows that are left
            for quantity, actual in ours[setting(result)].items():
                with subtests.test(f"{library}: {quantity}, {setting(result)}"):
                    np.testing.assert_allclose(actual, result[quantity], rtol=RTOL, atol=ATOL)
    with subtests.test("function form"):
        np.testing.assert_allclose(function_value, ours["none"]["value"], rtol=RTOL, atol=ATOL)


def masks_inside(group):
    """Whether a masked row would still be in the values of the others, as it is in Keras."""
    couples = getattr(losses, group["loss"])._declared.couples
    return couples != "none" and group["config"].get("axis") is None


def setting(result):
    extras = (f"{key}={result[key]}" for key in ("weight", "mask") if key in result)
    return " ".join((result["reduction"], *extras))


def test_libraries_share_inputs():
    ours, theirs = read(KERAS), read(KERAS_2)
    for table in ("inputs", "weights", "masks"):
        assert theirs[table].items() <= ours[table].items()


def special_points():
    for library in LIBRARIES:
        points = {}
        for record in read(library)["special"]:
            points.setdefault(record["loss"], []).append(record)
        for loss, records in points.items():
            yield pytest.param(library, records, id=f"{library}-{loss}")


@pytest.fixture(scope="module")
def compiled():
    """A loss is a pytree, so configs that differ in a number share a program."""
    return jax.jit(value_and_gradient, compiler_options=QUICK)


@pytest.mark.parametrize(("library", "records"), list(special_points()))
@pytest.mark.filterwarnings("ignore:.*num_classes > 1:SyntaxWarning")
def test_special_points(library, records, compiled, subtests):
    listed = differences(library)
    for record in records:
        arrays = (record.get(key) for key in ("y_true", "y_pred", "weight", "mask"))
        arrays = [None if entry is None else array(entry) for entry in arrays]
        results = compiled(build(record, record["reduction"]), *arrays)
        for quantity, actual in results.items():
            ours = listed.get((record["loss"], record["point"], quantity))
            with subtests.test(f"{record['loss']} {record['point']} {quantity}"):
                if ours == "finite":
                    assert jnp.isfinite(actual).all()
                else:
                    want = numbers(record[quantity]) if ours is None else ours
                    np.testing.assert_allclose(actual, want, rtol=RTOL, atol=SPECIAL_ATOL)


def differences(library):
    """What lossjax gives instead, by loss, point and quantity."""
    rows = [row for rows in DIFFERENCES.values() for row in rows if library in row.libraries]
    listed = [
        ((row.loss, row.point, quantity), getattr(row, quantity))
        for row in rows
        for quantity in ("value", "gradient")
        if getattr(row, quantity) is not None
    ]
    assert len(dict(listed)) == len(listed), "a difference is listed twice"
    return dict(listed)


@pytest.mark.parametrize("library", LIBRARIES)
def test_no_difference_is_stale(library):
    records = {(r["loss"], r["point"]): r for r in read(library)["special"]}
    for (loss, point, quantity), ours in differences(library).items():
        recorded = records[loss, point]
        if "error" in recorded or ours == "finite":
            continue
        theirs = numbers(recorded[quantity])
        assert np.shape(ours) == np.shape(theirs)
        same = np.allclose(ours, theirs, rtol=RTOL, atol=SPECIAL_ATOL, equal_nan=True)
        assert not same, f"{library} gives the same {quantity}: {loss} {point}"
