"""Every example runs, draws, and has the result that it claims."""

import runpy
from pathlib import Path

import numpy as np
import pytest

from cases import quick

EXAMPLES = Path(__file__).parents[2] / "examples"


def overlaps(found):
    return min(found.values()) > 0.8


CLAIMS = {
    "02_regression": lambda error: error < 0.65,
    "03_classification": lambda accuracy: accuracy > 0.95,
    "04_custom_huber": lambda lines: (
        np.allclose(lines["huber"], (2, 0), atol=0.15) and abs(lines["mse"][1]) > 0.5
    ),
    "05_by_hand": lambda pairs: all(np.isclose(*pair, rtol=1e-6) for pair in pairs.values()),
    "06_per_sample": lambda errors: errors["per_sample"] < 0.98 * errors["scalar"],
    "07_imbalanced": lambda found: found["weighted"] > found["no weights"] + 0.1,
    "08_two_outputs": lambda logs: logs["val_accuracy"] > 0.85 and logs["val_ink_loss"] < 0.01,
    "09_counts": lambda likelihoods: np.isclose(*likelihoods, rtol=1e-8),
    "10_segmentation": overlaps,
    "11_custom_loop": lambda share: share > 0.98,
    "14_quantile_forecast": lambda miss: miss < 0.12,
    "15_survival": lambda fits: np.allclose(*fits, rtol=1e-6),
    "16_dice_and_focal": lambda found: found["Dice + focal"] > found["cross-entropy"] + 0.2,
}


def test_every_example_has_a_claim():
    others = {"01_quickstart", "12_language_model", "13_many_devices"}  # with tests of their own
    assert set(CLAIMS) | others == {path.stem for path in EXAMPLES.glob("*.py")}


# The others are of the same parts, which tests of their own cover.
@pytest.mark.parametrize("name", quick(CLAIMS, ("04_custom_huber", "05_by_hand").__contains__))
def test_example(name, tmp_path):
    picture = tmp_path / "picture.png"
    found = runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"](picture)
    assert CLAIMS[name](found), found
    assert picture.read_bytes()[:4] == b"\x89PNG"
