"""Write the reference values of Keras 3 on TensorFlow and of tf_keras as JSON beside this file.

    pip install tensorflow-cpu keras tf_keras
    python tests/keras/reference/generate.py

`cases` are ordinary inputs under every reduction and weighting; `special` are the points where
the libraries clip, tie or overflow. Reading the files needs none of these packages.
"""

import json
import os
import platform
import sys
from itertools import cycle, islice, product
from math import inf, nan, prod
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np
import tensorflow as tf
import tf_keras

import keras

LIBRARIES = {"keras_tensorflow": keras.losses, "tf_keras": tf_keras.losses}
REDUCTIONS = {
    "keras_tensorflow": ("none", "sum", "sum_over_batch_size", "mean_with_sample_weight"),
    "tf_keras": ("none", "sum", "sum_over_batch_size"),
}
MEANS = ("sum_over_batch_size", "mean_with_sample_weight")

SHAPES = {"": (4, 3), " sequence": (2, 3, 4)}


def make_inputs():
    """Arrays by name. Predictions end in a 5 at the third decimal, so none ties with a target."""
    random = np.random.default_rng(0)

    def uniform(low, high, shape):
        return np.round(random.uniform(low, high, shape), 2)

    def predictions(low, high, shape):
        return np.round(uniform(low, high, shape) + 0.005, 3)

    def one_hot(labels, classes):
        return np.eye(classes)[labels]

    inputs = {}
    for suffix, shape in SHAPES.items():
        classes = shape[-1]
        labels = np.arange(prod(shape[:-1])).reshape(shape[:-1]) * 2 % classes
        binary = (np.arange(prod(shape)) * 5 // 3).reshape(shape) % 2
        real = predictions(-2, 2, shape)
        probability = predictions(0.1, 0.9, shape)
        simplex = np.round(probability / probability.sum(-1, keepdims=True), 3)
        soft = np.round(random.dirichlet(np.ones(classes), shape[:-1]), 2)
        soft[..., -1] = np.round(1 - soft[..., :-1].sum(-1), 2)
        pairs = {
            "real": (uniform(-2, 2, shape), real),
            "positive": (uniform(0.1, 3, shape), predictions(0.1, 3, shape)),
            "sign": (2.0 * binary - 1, real),
            "binary logits": (1.0 * binary, 2 * real),
            "binary probability": (1.0 * binary, probability),
            "one hot logits": (one_hot(labels, classes), 2 * real),
            "one hot probability": (one_hot(labels, classes), simplex),
            "soft logits": (soft, 2 * real),
            "soft probability": (soft, simplex),
            "label logits": (labels, 2 * real),
            "label probability": (labels, simplex),
        }
        inputs |= {name + suffix: pair for name, pair in pairs.items()}

    angles = np.array([0.1, 0.9, 1.4, 2.2, 3.7, 5.1])
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    inputs["embedding"] = (np.array([1, 2, 1, 3, 2, 1]), np.round(embeddings, 4))
    sequences = np.array([[1, 2, 1], [3, 3, 0], [2, 0, 0]])
    inputs["ctc"] = (sequences, predictions(-2, 2, (3, 6, 4)))
    return {name: (as_array(t), as_array(p)) for name, (t, p) in inputs.items()}


def as_array(values):
    array = np.asarray(values)
    return array.astype(np.int32 if array.dtype.kind in "iu" else np.float32)


LOGITS = {"from_logits": True}
RANKED = tuple(SHAPES)  # the matrix and the sequence version of an input

# (loss, input, its suffixes, configs). See `grid` for the reductions and weightings of each.
LOSSES = [
    ("MeanSquaredError", "real", RANKED, [{}]),
    ("MeanAbsoluteError", "real", RANKED, [{}]),
    ("MeanAbsolutePercentageError", "positive", RANKED, [{}]),
    ("MeanSquaredLogarithmicError", "positive", RANKED, [{}]),
    ("CosineSimilarity", "real", RANKED, [{}, {"axis": 0}, {"axis": 1}]),
    ("Huber", "real", RANKED, [{}, {"delta": 0.5}, {"delta": 2.0}]),
    ("LogCosh", "real", RANKED, [{}]),
    ("Hinge", "sign", RANKED, [{}]),
    ("Hinge", "binary logits", RANKED, [{}]),
    ("SquaredHinge", "sign", RANKED, [{}]),
    ("SquaredHinge", "binary logits", RANKED, [{}]),
    ("CategoricalHinge", "one hot logits", RANKED, [{}]),
    ("KLDivergence", "soft probability", RANKED, [{}]),
    ("Poisson", "positive", RANKED, [{}]),
    (
        "BinaryCrossentropy",
        "binary logits",
        RANKED,
        [LOGITS, LOGITS | {"label_smoothing": 0.2}, LOGITS | {"axis": 0}],
    ),
    (
        "BinaryCrossentropy",
        "binary probability",
        RANKED,
        [{}, {"label_smoothing": 0.1}, {"axis": 1}],
    ),
    (
        "BinaryFocalCrossentropy",
        "binary logits",
        RANKED,
        [LOGITS, LOGITS | {"gamma": 1.5, "apply_class_balancing": True, "alpha": 0.4}],
    ),
    (
        "BinaryFocalCrossentropy",
        "binary probability",
        RANKED,
        [
            {},
            {"gamma": 0.5},
            {"gamma": 0.0},
            {"apply_class_balancing": True},
            {"apply_class_balancing": True, "alpha": 0.6, "label_smoothing": 0.1},
            {"gamma": 3.0, "axis": 0},
        ],
    ),
    (
        "CategoricalCrossentropy",
        "one hot logits",
        RANKED,
        [LOGITS, LOGITS | {"label_smoothing": 0.2}],
    ),
    (
        "CategoricalCrossentropy",
        "one hot probability",
        RANKED,
        [{}, {"label_smoothing": 0.1}],
    ),
    ("CategoricalCrossentropy", "soft logits", RANKED, [LOGITS]),
    ("CategoricalCrossentropy", "soft probability", RANKED, [{}, {"axis": 0}, {"axis": 1}]),
    (
        "CategoricalFocalCrossentropy",
        "one hot logits",
        RANKED,
        [LOGITS, LOGITS | {"gamma": 1.5, "alpha": 0.7, "label_smoothing": 0.1}],
    ),
    (
        "CategoricalFocalCrossentropy",
        "one hot probability",
        RANKED,
        [{}, {"gamma": 0.5}, {"gamma": 0.0, "alpha": 1.0}, {"label_smoothing": 0.2}],
    ),
    ("CategoricalFocalCrossentropy", "one hot probability", ("",), [{"alpha": [0.2, 0.3, 0.5]}]),
    ("CategoricalFocalCrossentropy", "soft probability", ("",), [{"axis": 0}]),
    (
        "SparseCategoricalCrossentropy",
        "label logits",
        RANKED,
        [LOGITS, LOGITS | {"ignore_class": 0}],
    ),
    (
        "SparseCategoricalCrossentropy",
        "label probability",
        RANKED,
        [{}, {"ignore_class": 1}],
    ),
    (
        "CategoricalGeneralizedCrossEntropy",
        "label probability",
        RANKED,
        [{"q": 0.5}, {"q": 0.2}, {"q": 0.9}],
    ),
    ("Dice", "binary probability", RANKED, [{}, {"axis": -1}, {"axis": 0}]),
    ("Dice", "binary probability sequence", ("",), [{"axis": [1, 2]}]),
    (
        "Tversky",
        "binary probability",
        RANKED,
        [{}, {"alpha": 0.2, "beta": 0.8}, {"alpha": 0.3, "beta": 0.7, "axis": -1}],
    ),
    ("Tversky", "binary probability sequence", ("",), [{"alpha": 0.2, "axis": [1, 2]}]),
    (
        "Circle",
        "embedding",
        ("",),
        [{"gamma": 8.0}, {}, {"gamma": 2.0, "margin": 0.25, "remove_diagonal": False}],
    ),
    ("CTC", "ctc", ("",), [{}]),
]

EPS = 1e-7  # keras.config.epsilon()

# (loss, config, [(y_true, y_pred), ...]), each a batch of one unless it needs pairs of samples.
SPECIAL = [
    (
        "BinaryCrossentropy",
        {},
        [
            *[([[1.0]], [[p]]) for p in (0.0, 1e-8, -0.5, EPS, 1.0, 1.5, inf, nan)],
            *[([[0.0]], [[p]]) for p in (0.0, 1.0, 1.5)],
            ([[2.0]], [[0.5]]),
            ([[-1.0]], [[0.5]]),
        ],
    ),
    (
        "BinaryCrossentropy",
        LOGITS,
        [([[t]], [[z]]) for t in (0.0, 1.0) for z in (-inf, -1e4, 1e4, inf)],
    ),
    (
        "BinaryFocalCrossentropy",
        {},
        [
            *[([[1.0]], [[p]]) for p in (0.0, -0.5, EPS, 1.0, 1.5, inf)],
            *[([[0.0]], [[p]]) for p in (0.0, 1.0)],
        ],
    ),
    ("BinaryFocalCrossentropy", {"gamma": 0.0}, [([[1.0]], [[1.0]]), ([[0.0]], [[0.0]])]),
    ("BinaryFocalCrossentropy", {"gamma": 0.5}, [([[1.0]], [[1.0]]), ([[0.0]], [[0.0]])]),
    (
        "BinaryFocalCrossentropy",
        LOGITS,
        [
            *[([[1.0]], [[z]]) for z in (-inf, -1e4, -100.0, -20.0, -10.0, 20.0, 1e4, inf)],
            *[([[0.0]], [[z]]) for z in (-inf, -1e4, -20.0, 10.0, 20.0, 1e4, inf)],
        ],
    ),
    (
        "CategoricalCrossentropy",
        {},
        [
            *[
                ([[1.0, 0.0]], [p])
                for p in (
                    [0.0, 1.0],
                    [1.0, 0.0],
                    [0.0, 0.0],
                    [3.0, 1.0],
                    [-1.0, 2.0],
                    [0.5, -0.5],
                )
            ],
            ([[1.0]], [[0.3]]),
        ],
    ),
    (
        "CategoricalCrossentropy",
        LOGITS,
        [
            *[([[1.0, 0.0]], [z]) for z in ([1e4, -1e4], [-1e4, 1e4], [-inf, 0.0])],
            ([[1.0, 0.0, 0.0]], [[1.0, 2.0, -inf]]),
            ([[0.0, 1.0]], [[-inf, 0.0]]),
            ([[0.0, 0.0]], [[1.0, 2.0]]),
            ([[1.0, 1.0]], [[1.0, 2.0]]),
        ],
    ),
    (
        "CategoricalFocalCrossentropy",
        {},
        [([[1.0, 0.0]], [p]) for p in ([0.0, 1.0], [1.0, 0.0], [0.0, 0.0], [3.0, 1.0])],
    ),
    (
        "CategoricalFocalCrossentropy",
        LOGITS,
        [
            ([[1.0, 0.0]], [z])
            for z in ([-7.0, 7.0], [-9.0, 9.0], [-1e4, 1e4], [9.0, -9.0], [1e4, -1e4], [-inf, 0.0])
        ],
    ),
    (
        "SparseCategoricalCrossentropy",
        {},
        [
            *[([0], [p]) for p in ([0.0, 1.0], [1.0, 0.0], [0.0, 0.0], [3.0, 1.0], [nan, 1.0])],
            *[([t], [[0.25, 0.75]]) for t in (-1, 2, 7)],
            ([0], [[0.3]]),
        ],
    ),
    (
        "SparseCategoricalCrossentropy",
        LOGITS,
        [
            *[([0], [z]) for z in ([1e4, -1e4], [-1e4, 1e4], [1.0, 2.0, -inf])],
            ([2], [[1.0, 2.0, -inf]]),
            *[([t], [[1.0, 2.0]]) for t in (-1, 2)],
        ],
    ),
    (
        "SparseCategoricalCrossentropy",
        LOGITS | {"ignore_class": -1},
        [([-1, 0], [[nan, inf], [1.0, 2.0]]), ([-1], [[1.0, 2.0]])],
    ),
    (
        "SparseCategoricalCrossentropy",
        {"ignore_class": -1},
        [([-1, 0], [[nan, inf], [0.25, 0.75]])],
    ),
    (
        "CategoricalGeneralizedCrossEntropy",
        {"q": 0.5},
        [
            *[([0], [p]) for p in ([0.0, 1.0], [1.0, 0.0], [-0.5, 1.5])],
            ([2], [[0.25, 0.75]]),
        ],
    ),
    (
        "KLDivergence",
        {},
        [
            *[([[1.0]], [[p]]) for p in (0.0, EPS, 1.0, 2.0, inf, nan)],
            *[([[t]], [[0.5]]) for t in (-1.0, 0.0, 2.0)],
            ([[0.0]], [[1.0]]),
        ],
    ),
    (
        "Poisson",
        {},
        [([[1.0]], [[0.0]]), ([[1.0]], [[-EPS]]), ([[0.0]], [[0.0]]), ([[1.0]], [[-1.0]])],
    ),
    ("MeanSquaredError", {}, [([[0.0]], [[0.0]]), ([[0.0]], [[1e20]]), ([[0.0]], [[inf]])]),
    (
        "MeanAbsoluteError",
        {},
        [([[1.0]], [[1.0]]), ([[0.0, 0.0]], [[0.0, 3.0]]), ([[0.0]], [[inf]])],
    ),
    (
        "MeanAbsolutePercentageError",
        {},
        [([[0.0]], [[1.0]]), ([[2.0]], [[2.0]]), ([[0.0]], [[0.0]]), ([[-2.0]], [[1.0]])],
    ),
    (
        "MeanSquaredLogarithmicError",
        {},
        [([[1.0]], [[p]]) for p in (0.0, -0.5, -2.0, EPS, 1.0, inf)],
    ),
    ("Huber", {}, [([[0.0]], [[p]]) for p in (0.0, 1.0, -1.0, 1e20, -inf, inf)]),
    ("LogCosh", {}, [([[0.0]], [[p]]) for p in (0.0, 1e4, -1e4, inf, -inf)]),
    (
        "Hinge",
        {},
        [
            *[([[1.0]], [[p]]) for p in (1.0, 0.0, 1e4)],
            ([[0.0]], [[-1.0]]),
            ([[0.0, 1.0]], [[0.5, 0.5]]),
            ([[0.0, 2.0]], [[0.5, 0.25]]),
            ([[-1.0, 0.0]], [[0.5, 0.5]]),
        ],
    ),
    ("SquaredHinge", {}, [([[1.0]], [[p]]) for p in (1.0, 0.0, -1e4)]),
    (
        "CategoricalHinge",
        {},
        [([[1.0, 0.0]], [p]) for p in ([1.0, 0.0], [0.0, 0.0], [-2.0, -3.0], [0.0, inf])],
    ),
    (
        "CosineSimilarity",
        {},
        [
            *[([[1.0, 0.0]], [p]) for p in ([0.0, 0.0], [1e-8, 0.0], [1e-20, 0.0], [1e25, 0.0])],
            ([[0.0, 0.0]], [[1.0, 2.0]]),
            ([[0.0, 0.0]], [[0.0, 0.0]]),
        ],
    ),
    (
        "Dice",
        {},
        [([[t, 0.0]], [[p, 0.0]]) for t, p in ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0))],
    ),
    (
        "Tversky",
        {"alpha": 0.2, "beta": 0.8},
        [([[t, 0.0]], [[p, 0.0]]) for t, p in ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0))],
    ),
    (
        "Circle",
        {},
        [
            ([1], [[1.0, 0.0]]),
            ([1, 1], [[1.0, 0.0], [0.6, 0.8]]),
            ([1, 2], [[1.0, 0.0], [0.6, 0.8]]),
            ([1, 1, 2], [[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]),
        ],
    ),
    (
        "CTC",
        {},
        [
            *[([t], [[[0.0, 0.0, 0.0]] * 3]) for t in ([1, 1, 1], [1, 2, 1, 2], [0, 0], [1, 0, 2])],
            ([[1, 2]], [[[0.0, 1e4, 0.0]] * 3]),
            ([[1, 2]], [[[0.0, -inf, 0.0], [0.5, 0.0, 1.0], [0.0, 0.0, 0.0]]]),
        ],
    ),
]

# NaN and inf where a mask or a zero weight should hide them: (loss, config, y_true, y_pred).
HIDDEN = [
    ("MeanSquaredError", {}, [[1.0, 2.0], [0.0, 0.0]], [[2.0, 4.0], [nan, inf]]),
    ("MeanAbsoluteError", {}, [[1.0, 2.0], [0.0, 0.0]], [[2.0, 4.0], [nan, inf]]),
    ("BinaryCrossentropy", {}, [[1.0, 0.0], [1.0, 0.0]], [[0.5, 0.5], [nan, inf]]),
    ("BinaryCrossentropy", LOGITS, [[1.0, 0.0], [1.0, 0.0]], [[0.0, 0.0], [nan, inf]]),
    ("CategoricalCrossentropy", LOGITS, [[1.0, 0.0], [1.0, 0.0]], [[0.0, 0.0], [nan, inf]]),
    ("SparseCategoricalCrossentropy", LOGITS, [0, 0], [[0.0, 0.0], [nan, inf]]),
]
ALL_MASKED = [
    ("MeanSquaredError", {}, [[1.0], [0.0]], [[2.0], [3.0]]),
    ("SparseCategoricalCrossentropy", LOGITS, [0, 0], [[0.0, 0.0], [1.0, 0.0]]),
]


def evaluate(losses, name, config, reduction, y_true, y_pred, weight=None, mask=None):
    """The record of one call: its value and the gradient of its sum, or its error."""
    config = {k: tuple(v) if k == "axis" and isinstance(v, list) else v for k, v in config.items()}
    loss = getattr(losses, name)(reduction=reduction, **config)
    y_pred = tf.constant(y_pred)
    if mask is not None:
        y_pred._keras_mask = tf.constant(mask)
    try:
        with tf.GradientTape() as tape:
            tape.watch(y_pred)
            value = loss(tf.constant(y_true), y_pred, sample_weight=weight)
            total = tf.reduce_sum(value)
        gradient = tape.gradient(total, y_pred)
    except tf.errors.InvalidArgumentError as error:
        return {"error": type(error).__name__}
    return {"value": plain(value.numpy()), "gradient": plain(gradient.numpy())}


def plain(array):
    """Nested lists of the shortest decimals that give the same float32; NaN and inf as text."""
    array = np.asarray(array)
    if array.ndim:
        return [plain(entry) for entry in array]
    if array.dtype.kind != "f":
        return array.item()
    return float(str(array)) if np.isfinite(array) else str(array)


class Weights:
    """Weights and masks by the text of their shape, so that records can name them."""

    def __init__(self):
        self.weights, self.masks = {}, {}

    def weight(self, shape):
        return self._keep(self.weights, shape, (0.5, 2.0, 0.0, 1.5, 1.0), np.float32, "")

    def zero_weight(self, shape):
        return self._keep(self.weights, shape, (0.0,), np.float32, "zero ")

    def mask(self, shape):
        return self._keep(self.masks, shape, (True, False, True), bool, "")

    def empty_mask(self, shape):
        return self._keep(self.masks, shape, (False,), bool, "empty ")

    def _keep(self, table, shape, entries, dtype, prefix):
        array = np.array(list(islice(cycle(entries), prod(shape))), dtype).reshape(shape)
        key = prefix + ("x".join(map(str, shape)) or "scalar")
        table[key] = array
        return key


def grid(weights, shape, batch, full_grid, ranked):
    """(reduction, weight, mask) for values of this shape; a scalar loss has one per sample."""
    full = shape or (batch,)
    weight, mask = weights.weight(full), weights.mask(full)
    yield "none", None, None
    yield "sum_over_batch_size", weight, mask
    if ranked:
        sample = weights.weight(full[:1] + (1,) * (len(full) - 1))
        yield from ((mean, sample, None) for mean in MEANS)
    elif full_grid:
        for reduction in ("none", "sum", "mean_with_sample_weight"):
            yield reduction, weight, mask
        yield from ((reduction, None, None) for reduction in ("sum", "sum_over_batch_size"))
        yield from ((mean, weight, None) for mean in MEANS)
        yield "sum_over_batch_size", weights.weight(()), None
        yield "sum_over_batch_size", None, mask
        yield "sum_over_batch_size", weights.zero_weight(full), None
        yield "sum_over_batch_size", None, weights.empty_mask(full)


def make_cases(library, inputs, weights):
    """Groups of results that share loss, config and input."""
    losses, reductions = LIBRARIES[library], REDUCTIONS[library]
    seen = set()
    for name, key, suffixes, configs in LOSSES:
        if not hasattr(losses, name):
            continue
        for suffix, (position, config) in product(suffixes, enumerate(configs)):
            # How values are reduced depends on their shape alone: once for every loss will do,
            # and not for the one that takes seconds to compile.
            full_grid, ranked = name not in {*seen, "CTC"}, suffix != ""
            seen.add(name)
            if ranked and position > 0 and "axis" not in config:
                continue
            y_true, y_pred = inputs[key + suffix]
            values = evaluate(losses, name, config, "none", y_true, y_pred)["value"]
            group = {"loss": name, "config": config, "input": key + suffix, "results": []}
            for reduction, weight, mask in grid(
                weights, np.shape(values), len(y_pred), full_grid, ranked
            ):
                if reduction not in reductions:
                    continue
                if library == "tf_keras" and mask and mask.startswith("empty"):
                    continue  # NaN; see ALL_MASKED
                w = None if weight is None else weights.weights[weight]
                m = None if mask is None else weights.masks[mask]
                setting = {"reduction": reduction, "weight": weight, "mask": mask}
                result = evaluate(losses, name, config, reduction, y_true, y_pred, w, m)
                group["results"].append(without_none(setting) | result)
            yield group


def without_none(record):
    return {key: value for key, value in record.items() if value is not None}


def make_special(library):
    def record(name, config, y_true, y_pred, reduction="none", weight=None, mask=None):
        y_true, y_pred = as_array(y_true), as_array(y_pred)
        weight = None if weight is None else np.array(weight, np.float32)
        mask = None if mask is None else np.array(mask, bool)
        values = evaluate(losses, name, config, reduction, y_true, y_pred, weight, mask)
        arrays = {"y_true": y_true, "y_pred": y_pred, "weight": weight, "mask": mask}
        arrays = {key: None if a is None else plain(a) for key, a in arrays.items()}
        point = describe(config, reduction, **arrays)
        setting = {"loss": name, "config": config, "reduction": reduction}
        return {"point": point} | setting | without_none(arrays) | values

    losses = LIBRARIES[library]
    for name, config, points in SPECIAL:
        if hasattr(losses, name):
            for y_true, y_pred in points:
                yield record(name, config, y_true, y_pred)
    if library == "keras_tensorflow":
        for row in HIDDEN:
            yield record(*row, reduction="sum", weight=[1.0, 0.0])
            yield record(*row, reduction="sum_over_batch_size", mask=[True, False])
    for row in ALL_MASKED:
        yield record(*row, reduction="sum_over_batch_size", mask=[False, False])


def describe(config, reduction, y_true, y_pred, weight, mask):
    """The name of a special point, such as `t=[[1]] z=[[-20]]` (z: from_logits)."""
    parts = [f"t={compact(y_true)}", f"{'z' if 'from_logits' in config else 'p'}={compact(y_pred)}"]
    parts += [f"{key}={value:g}" for key, value in config.items() if key != "from_logits"]
    if weight is not None:
        parts.append(f"w={compact(weight)}")
    if mask is not None:
        parts.append(f"m={compact([int(entry) for entry in mask])}")
    return " ".join(parts if reduction == "none" else [*parts, reduction])


def compact(values):
    if isinstance(values, list):
        return f"[{','.join(map(compact, values))}]"
    return values if isinstance(values, str) else f"{values:g}"


def write(path, library, inputs):
    weights = Weights()
    cases = list(make_cases(library, inputs, weights))
    special = list(make_special(library))
    versions = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "tf_keras": tf_keras.__version__,
    }
    used = {group["input"] for group in cases}
    pairs = {
        name: {"y_true": plain(t), "y_pred": plain(p)}
        for name, (t, p) in inputs.items()
        if name in used
    }
    tables = {
        "inputs": pairs,
        "weights": {name: plain(array) for name, array in weights.weights.items()},
        "masks": {name: plain(array) for name, array in weights.masks.items()},
    }
    lines = [f'"library": "{library}"', f'"versions": {json.dumps(versions)}']
    for title, table in tables.items():
        rows = (f"{json.dumps(name)}: {dense(row)}" for name, row in table.items())
        lines.append(f'"{title}": {{\n' + ",\n".join(rows) + "\n}" if table else f'"{title}": {{}}')
    lines.append('"cases": [\n' + ",\n".join(map(group_lines, cases)) + "\n]")
    lines.append('"special": [\n' + ",\n".join(map(dense, special)) + "\n]")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    results = sum(len(group["results"]) for group in cases)
    print(f"{path.name}: {results} results, {len(special)} special points", file=sys.stderr)


def group_lines(group):
    """One line for what the results share, then a line for each of them."""
    head = dense(group | {"results": []}).removesuffix("]}")
    return head + "\n" + ",\n".join(f"  {dense(row)}" for row in group["results"]) + "\n]}"


def dense(row):
    return json.dumps(row, separators=(",", ":"), allow_nan=False)


def main():
    inputs = make_inputs()
    for library in LIBRARIES:
        write(Path(__file__).with_name(f"{library}.json"), library, inputs)


if __name__ == "__main__":
    main()
