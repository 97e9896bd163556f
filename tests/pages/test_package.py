"""What is published: built twice it is the same, and it needs no more than it says."""

import email
import hashlib
import importlib.metadata
import math
import os
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import jax.numpy as jnp
import pytest
import typed_user
from packaging.requirements import Requirement

import lossjax

ROOT = Path(__file__).parents[2]
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
EPOCH = "1700000000"


def run(*command, **more):
    done = subprocess.run(command, capture_output=True, text=True, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(source, folder):
    """The source archive and the wheel of what is in `source`."""
    pytest.importorskip("hatchling")
    environment = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH}
    run(sys.executable, "-m", "hatchling", "build", "-d", folder, cwd=source, env=environment)
    return next(folder.glob("*.tar.gz")), next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return build(ROOT, tmp_path_factory.mktemp("built"))


def hashes(paths):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def needed(requirements, extras, found):
    """Add to `found` the installed distributions that are asked for, and what those need."""
    for asked in map(Requirement, requirements):
        holds = asked.marker is None or any(asked.marker.evaluate({"extra": e}) for e in extras)
        if holds and asked.name not in found:
            found[asked.name] = importlib.metadata.distribution(asked.name)
            needed(found[asked.name].requires or (), asked.extras or {""}, found)
    return found


def link(distributions, folder):
    """Make their files, and no others, importable from `folder`."""
    for distribution in distributions:
        for top in {file.parts[0] for file in distribution.files} - {"..", "__pycache__"}:
            here = folder / top
            if not here.exists():
                here.symlink_to(distribution.locate_file(top))


def environment_of(wheel, extra, folder):
    """A Python that has the wheel, and of all else only what its metadata ask for."""
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(archive.read(name))
    link(needed(metadata.get_all("Requires-Dist"), {extra}, {}).values(), site)
    # pip takes nothing from an index: it checks that every dependency is there, in its version.
    asked = f"{wheel}[{extra}]" if extra else wheel
    pip = (sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check")
    run(*pip, "install", "--quiet", "--no-index", "--no-cache-dir", asked)
    return python, site


@pytest.mark.thorough
def test_what_is_built_twice_is_the_same(built, tmp_path):
    """The second time from the archive: all that a wheel is built of is in there."""
    with tarfile.open(built[0]) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    for path in source.rglob("*"):
        os.utime(path)  # now, not when the archive was made
        path.chmod(path.stat().st_mode & ~0o077)
    assert hashes(build(source, tmp_path / "again")) == hashes(built)


@pytest.mark.thorough
def test_the_wheel_holds_the_package_alone(built):
    with zipfile.ZipFile(built[1]) as wheel:
        names = set(wheel.namelist())
    package = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "lossjax").rglob("*")
        if path.suffix in {".py", ".typed"}
    }
    assert "lossjax/py.typed" in package
    metadata = {name for name in names if name.split("/")[0].endswith(".dist-info")}
    assert names - metadata == package
    assert any(name.endswith("licenses/LICENSE") for name in metadata)


# What each extra is there for, and one that it has not.
PROGRAMS = {
    "": (
        "from lossjax import losses; print(losses.Huber()([[0.0]], [[3.0]]))",
        "2.5",
        "optax",
    ),
    "train": (
        "import optax; from flax import nnx; from lossjax import training\n"
        "state = training.init(nnx.Linear(1, 1, rngs=nnx.Rngs(0)), optax.sgd(0.1))\n"
        "state, history = training.fit(state, 'mse', ([[1.0]], [[1.0]]), epochs=2)\n"
        "print(len(history['loss']))",
        "2",
        "matplotlib",
    ),
    "inspect": (
        "import numpy as np; from lossjax import inspect\n"
        "print(inspect.explain('mse', [[0.0]], [[3.0]]).result); inspect.plot('huber')",
        "9.0",
        "flax",
    ),
}


@pytest.mark.thorough
@pytest.mark.parametrize("extra", PROGRAMS, ids=lambda extra: extra or "none")
def test_the_wheel_runs_with_what_it_asks_for(built, extra, tmp_path):
    program, printed, absent = PROGRAMS[extra]
    python, site = environment_of(built[1], extra, tmp_path / "environment")
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    where = "import lossjax; print(lossjax.__file__, lossjax.__version__)"
    out = run(python, "-c", f"{where}\n{program}", cwd=tmp_path, env=clean)
    file, version, result = out.splitlines()[0].rsplit(" ", 1) + out.splitlines()[1:]
    assert Path(file) == site / "lossjax" / "__init__.py"
    assert (version, result) == (lossjax.__version__, printed)
    lacking = f"import importlib.util as i; print(i.find_spec({absent!r}))"
    assert run(python, "-c", lacking, cwd=tmp_path, env=clean) == "None\n"


@pytest.mark.thorough
def test_the_typed_program_runs():
    """What `make check` shows to type checkers is no mere text."""
    y_true, y_pred = jnp.zeros((2, 3)), jnp.full((2, 3), 2.0)
    found = typed_user.values(y_true, y_pred)
    assert {name: float(jnp.sum(value)) for name, value in found.items()} == {
        "one": 4.0,  # the second row is masked
        "both": 3.75,  # 0.875 a row, and half of 4
        "twice": 3.5,
        "each": 4.0,
        "chunked": pytest.approx(math.log(3)),
    }
    assert float(typed_user.slope(y_true, y_pred)) == 1.0


def test_the_changelog_is_of_this_version():
    newest = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - (Unreleased|\d{4}-\d\d-\d\d)$", CHANGELOG, re.M)
    assert newest[0][0] == lossjax.__version__


def test_the_citation_is_of_this_version():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (.*)$", citation, re.M)[1] == lossjax.__version__


def test_contributing_is_short():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 60
    links = re.findall(r"\]\((.*?)\)", text)
    assert "docs/adding_a_loss.md" in links
    assert all((ROOT / link.split("#")[0]).exists() for link in links)
    commands = set(re.findall(r"`make ([a-z-]+)", text))
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    assert {"test", "check", "pages"} <= commands <= targets
