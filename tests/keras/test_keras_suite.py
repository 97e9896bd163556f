"""Keras's own tests of its losses, unmodified, run on lossjax.

The test files of the installed Keras are loaded once more, while the names that they import
Keras's losses by stand for lossjax. What then cannot hold is in `NOT_APPLICABLE`.
"""

import ast
import importlib.util
import sys
import unittest
from pathlib import Path
from types import ModuleType, SimpleNamespace

import keras.src
import pytest
from keras.src import backend, testing

import lossjax
from lossjax import losses
from lossjax.core import check

# What they assert, test_keras.py asserts of every loss at other numbers.
pytestmark = pytest.mark.thorough

NAMES = ["loss_test", "losses_test"]
FILES = [Path(keras.src.__file__).parent / "losses" / f"{name}.py" for name in NAMES]

KEEPS_CONFIG = "Keras 3.15 drops {0} from get_config; lossjax writes it, to read the same loss back"
ANY_AXIS = "expects Keras's error on JAX for a class axis that is not the last; lossjax takes it"
NOT_APPLICABLE = {
    "CosineSimilarityTest::test_config": KEEPS_CONFIG.format("axis"),
    "HuberLossTest::test_config": KEEPS_CONFIG.format("delta"),
    "LossTest::test_default_dtype": "lossjax has no global floatx",
    "SparseCategoricalCrossentropyTest::test_binary_segmentation_different_axis": ANY_AXIS,
    "SparseCategoricalCrossentropyTest::test_multi_class_segmentation_different_axis": ANY_AXIS,
}
CLASS_AXIS = [name for name, reason in NOT_APPLICABLE.items() if reason == ANY_AXIS] + [
    "SparseCategoricalCrossentropyTest::test_squeezes_singleton_class_dim_on_user_axis"
]


class _Loss(lossjax.Loss):  # private, so that it is not registered
    """The mask is an argument in lossjax, and attached to `y_pred` in Keras."""

    def __call__(self, y_true, y_pred, sample_weight=None):
        mask = backend.get_keras_mask(y_pred)
        return super().__call__(y_true, y_pred, sample_weight, mask)


def load(path: Path) -> ModuleType:
    """The test file as a new module, with lossjax in place of Keras's losses."""
    spec = importlib.util.spec_from_file_location(f"keras_suite_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    loss = SimpleNamespace(Loss=_Loss, squeeze_or_expand_to_same_rank=check.aligned)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.src, "losses", losses)
        patch.setitem(sys.modules, "keras.src.losses", SimpleNamespace(losses=losses))
        patch.setitem(sys.modules, "keras.src.losses.loss", loss)
        spec.loader.exec_module(module)
    return module


def cases(module: ModuleType) -> dict[str, type[unittest.TestCase]]:
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, testing.TestCase)
    }


MODULES = [load(path) for path in FILES]
for module in MODULES:
    globals().update(cases(module))  # where pytest collects them


def named(name: str) -> unittest.TestCase:
    """The test of this name; ValueError if Keras has no such test."""
    case, method = name.split("::")
    return globals()[case](method)


@pytest.fixture(autouse=True)
def lossjax_for_keras(request, monkeypatch):
    """Each of Keras's tests is skipped, or has lossjax in place of Keras's serialization."""
    if request.cls is None:
        return
    if reason := NOT_APPLICABLE.get(f"{request.cls.__name__}::{request.node.name}"):
        pytest.skip(reason)
    monkeypatch.setattr(keras.src.saving, "serialize_keras_object", losses.serialize)
    monkeypatch.setattr(keras.src.saving, "deserialize_keras_object", losses.deserialize)


def test_few_tests_are_not_applicable():
    assert len(NOT_APPLICABLE) < 10


@pytest.mark.parametrize("name", NOT_APPLICABLE)
def test_not_applicable_exists_and_fails(name):
    result = unittest.TestResult()
    named(name).run(result)
    assert not result.wasSuccessful()


@pytest.mark.parametrize("name", CLASS_AXIS)
def test_class_axis_as_in_keras_on_torch(name, monkeypatch):
    monkeypatch.setattr(MODULES[1], "backend", SimpleNamespace(backend=lambda: "torch"))
    named(name).debug()


@pytest.mark.parametrize(("path", "module"), list(zip(FILES, MODULES, strict=True)), ids=NAMES)
def test_every_test_of_the_file_is_collected(path, module):
    written = {
        (node.name, f.name)
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef)
        for f in node.body
        if isinstance(f, ast.FunctionDef) and f.name.startswith("test")
    }
    assert len(written) >= {"loss_test": 12, "losses_test": 160}[path.stem]
    for case, method in written:
        assert globals()[case] is vars(module)[case]
        names = unittest.defaultTestLoader.getTestCaseNames(globals()[case])
        parametrized = getattr(globals()[case], method, None) is None
        assert any(n.startswith(f"{method}_") for n in names) if parametrized else method in names


def test_keras_suite_tests_lossjax_and_only_it():
    loss_test, losses_test = MODULES
    assert issubclass(loss_test.ExampleLoss, lossjax.Loss)
    assert loss_test.losses_module is losses_test.losses is losses
    assert not issubclass(keras.losses.Huber, lossjax.Loss)
    assert keras.src.losses is sys.modules["keras.src.losses"] is not losses
