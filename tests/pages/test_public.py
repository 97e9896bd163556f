"""What is public, who imports whom, and what `import lossjax` costs.

`PYTHONPATH=.:tests python tests/pages/test_public.py` writes public_api.txt anew.
"""

import ast
import importlib
import json
import subprocess
import sys
import types
from pathlib import Path

import pytest

import lossjax
from cases import ROWS
from lossjax import losses

PACKAGE = Path(lossjax.__file__).parent
FAMILIES = sorted(p.stem for p in (PACKAGE / "losses").glob("*.py") if p.stem != "__init__")

# A module may import those of a lower rank, and nothing else of lossjax.
RANK = {
    "core.types": 0,
    "core.texts": 0,
    "core.domain": 1,
    "core.check": 1,
    "core.words": 1,
    "math.fusion": 2,
    "math.across": 1,
    "math.pairs": 1,
    "devices": 4,
    "math.elementwise": 3,
    "math.entropy": 4,
    "math.angle": 4,
    "math.curves": 4,
    "math.gamma": 4,
    "math.entmax": 4,
    "math.counts": 5,
    "math.largest": 4,
    "math.softmax": 4,
    "math.general": 4,
    "math.moments": 4,
    "math.norm": 3,
    "math.overlap": 4,
    "math.tempered": 4,
    "math.regions": 5,
    "math.robust": 5,
    "core.reduce": 4,
    "core.sums": 5,
    "core.registry": 5,
    "core.loss": 6,
    "core.config": 7,
    "core.labelled": 7,
    "core.combined": 8,
    "kernels": 7,
    "losses": 9,
    "testing": 10,
    "inspect": 11,
    "objective": 11,
    "checked": 11,
    "training": 12,
    "__init__": 13,
    "__main__": 14,
}


def room(parts):
    """The name in `RANK` of a module, or of what is imported from one."""
    return ".".join(parts[: 2 if parts[0] in ("core", "math") else 1])


def imported(path):
    """What the file imports of lossjax, as names in `RANK`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "lossjax":
            inside = node.module.split(".")[1:]
            for alias in node.names:
                yield room([*inside, alias.name])
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "lossjax":
                    yield room(alias.name.split(".")[1:])


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_imports_point_down(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    if parts == ("losses", "__init__"):  # the namespace of its own families
        return
    # The parts of a kernel, of a tool or of the domains know each other; families of losses do not.
    own = {parts[0], room(parts)} - {"losses"}
    for name in set(imported(path)) - own:
        assert RANK[name] < RANK[room(parts)], f"{'.'.join(parts)} imports {name}"


def test_every_module_has_a_rank():
    files = (p.relative_to(PACKAGE).with_suffix("").parts for p in PACKAGE.rglob("*.py"))
    modules = {room(parts) for parts in files}
    assert modules - {"core.__init__", "math.__init__"} == set(RANK)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_exports_its_losses(family):
    module = importlib.import_module(f"lossjax.losses.{family}")
    known = [case.loss for case in ROWS]
    own = [loss for loss in known if loss.__module__ == module.__name__]
    of_losses = {name for cls in own for name in (cls.__name__, cls.fn.__name__)}
    assert of_losses <= set(module.__all__)
    # Others are what is no loss, but made for one.
    others = [getattr(module, name) for name in module.__all__ if name not in of_losses]
    assert all(other.__module__.startswith("lossjax.") for other in others)
    assert all(getattr(losses, name) is getattr(module, name) for name in module.__all__)


API = Path(__file__).with_name("public_api.txt")
PUBLIC = ("devices", "inspect", "losses", "per_token", "testing", "training")


def public_names():
    """Every public name, with the module that it is imported from."""
    yield from (f"lossjax.{name}" for name in lossjax.__all__)
    for room in PUBLIC:
        module = getattr(lossjax, room, None) or importlib.import_module(f"lossjax.{room}")
        for name, value in vars(module).items():
            own = name in getattr(module, "__all__", [name])
            if own and not name.startswith("_") and not isinstance(value, types.ModuleType):
                yield f"lossjax.{room}.{name}"


def test_public_names_are_those_of_the_list():
    before, now = set(API.read_text(encoding="utf-8").split()), set(public_names())
    assert now == before, (
        f"new: {sorted(now - before)}, gone: {sorted(before - now)}. If that is meant, run "
        "`PYTHONPATH=.:tests python tests/pages/test_public.py`; how a name goes: CONTRIBUTING.md."
    )


FRESH = """
import json, sys, lossjax
found = {"inspect": ["lossjax.inspect" in sys.modules]}
found["modules"] = sorted({name.split(".")[0] for name in sys.modules})
from jax._src import xla_bridge
found["backends"] = list(xla_bridge._backends)
lossjax.inspect.check
found["inspect"].append("lossjax.inspect" in sys.modules)
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def fresh():
    """What a new process finds out about `import lossjax`."""
    done = subprocess.run([sys.executable, "-c", FRESH], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_import_needs_jax_and_numpy_alone(fresh):
    heavy = {"flax", "optax", "keras", "matplotlib", "orbax", "chex", "rich", "sklearn", "equinox"}
    assert "jax" in fresh["modules"]
    assert not heavy & set(fresh["modules"])


def test_import_starts_no_device(fresh):
    """A library that touches a backend at import breaks `jax.distributed.initialize`."""
    assert fresh["backends"] == []


def test_inspect_is_imported_when_it_is_asked_for(fresh):
    assert fresh["inspect"] == [False, True]


if __name__ == "__main__":
    API.write_text("".join(f"{name}\n" for name in sorted(public_names())), encoding="utf-8")
