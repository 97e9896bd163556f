"""The notebooks run from top to bottom, draw, and what they claim they assert."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

TUTORIALS = sorted((Path(__file__).parents[2] / "docs" / "tutorials").glob("*.ipynb"))
CLEAN = (
    "write it as it is without what a run leaves: "
    "`jupyter nbconvert --clear-output --inplace docs/tutorials/*.ipynb`"
)


def cells(path, kind):
    found = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in found if cell["cell_type"] == kind]


def source(path):
    return "\n".join("".join(cell["source"]) for cell in cells(path, "code"))


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_it_is_committed_as_it_was_written(path):
    """Its differences are those of its text: it has no outputs, counts or settings of an editor."""
    text = path.read_text(encoding="utf-8")
    notebook = json.loads(text)
    assert text == json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", CLEAN
    assert notebook["metadata"].keys() == {"kernelspec", "language_info"}, CLEAN
    assert notebook["metadata"]["language_info"] == {"name": "python"}, CLEAN
    assert not any(cell["metadata"] for cell in notebook["cells"]), CLEAN
    for cell in cells(path, "code"):
        assert (cell["outputs"], cell["execution_count"]) == ([], None), CLEAN


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_it_is_short_and_asserts(path):
    title, *_ = cells(path, "markdown")
    assert "".join(title["source"]).startswith("# ")
    assert len(re.findall("^ *assert ", source(path), re.MULTILINE)) >= 3
    assert max(len(cell["source"]) for cell in cells(path, "code")) <= 25
    assert len(source(path).splitlines()) <= 150


@pytest.mark.thorough
@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_it_runs_and_draws(path, tmp_path):
    pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    done = tmp_path / path.name
    command = [
        sys.executable,
        "-m",
        "jupyter",
        "execute",
        "--timeout=240",
        f"--output={done}",
        path,
    ]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-3000:]
    outputs = [output for cell in cells(done, "code") for output in cell["outputs"]]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    # What a page would show in red: warnings and noise.
    red = ["".join(o["text"]) for o in outputs if o.get("name") == "stderr"]
    assert not red
