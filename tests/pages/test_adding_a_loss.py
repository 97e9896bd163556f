"""docs/adding_a_loss.md: the loss that it adds is one, and fits its pages."""

import importlib.util
import re
import sys
import types
from pathlib import Path

import jax
import numpy as np
import pytest

from cases import Case
from lossjax import testing
from lossjax.core.registry import registry

GUIDE = Path(__file__).parents[2] / "docs" / "adding_a_loss.md"
FAMILY, ROW = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def family(tmp_path, monkeypatch):
    """The module of the guide, whose loss is registered as long as the test runs."""
    before = dict(registry)
    path = tmp_path / "guide.py"
    path.write_text(FAMILY, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("guide", path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "guide", module)
    spec.loader.exec_module(module)
    yield module
    for name in registry.keys() - before:
        del registry[name]


def test_the_guide_is_short():
    assert len(GUIDE.read_text(encoding="utf-8").splitlines()) <= 60


def test_the_function_is_what_it_says(family):
    np.testing.assert_array_equal(family.lopsided([[0.0, 1.0]], [[1.0, 0.0]]), [2.0])
    with pytest.raises(ValueError, match=r"^lopsided: under must be in the interval \(0, inf\)"):
        family.Lopsided(under=-1.0)([[0.0]], [[1.0]])


def test_it_keeps_no_array(family):
    x = jax.ShapeDtypeStruct((2048, 4096), np.float32)
    program = jax.jit(jax.value_and_grad(family.Lopsided(), argnums=1)).lower(x, x).compile()
    assert program.memory_analysis().temp_size_in_bytes < 0.02 * x.size * 4


def test_its_pages_can_be_made(family):
    pytest.importorskip("matplotlib")
    import gallery
    from fingerprints import fingerprint

    text = gallery.section(family.Lopsided)
    assert "**When:** Regression where a prediction that is too low" in text
    assert "| too low by 1 | [1] | [0] | 3 | [-3] |" in text
    assert len(fingerprint(family.Lopsided)["program"]) == 12


def test_its_row_holds(family):
    names = {"Case": Case, "losses": types.SimpleNamespace(Lopsided=family.Lopsided)}
    exec(compile(ROW, str(GUIDE), "exec"), names)
    (case,) = names["CASES"]
    assert float(case.exact([0.0, 1.0], [1.0, 0.0])) == 2.0
    for config in case.configs:
        testing.assert_loss(case.loss(**config))
