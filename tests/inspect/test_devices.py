"""What a compiled function costs: `lossjax.devices`."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from lossjax import devices
from lossjax.devices import TARGETS, _cost, cost

X = jax.ShapeDtypeStruct((256, 1024), jnp.float32)
ROOT = Path(__file__).parents[2]


def added(x, t):
    return x + t


def test_an_addition_moves_three_arrays():
    found = cost(added, X, X, device="cpu")
    assert found.bytes_accessed == found.floor_bytes == 3 * 4 * 256 * 1024
    assert found.bytes_over_floor == 1
    assert (found.kernels, found.temp_bytes, found.flops) == (1, 0, 256 * 1024)
    assert found.argument_bytes == 2 * found.output_bytes == 2 * 4 * 256 * 1024


@pytest.mark.parametrize(
    "call",
    [
        lambda: cost(jax.jit(added), X, t=X),
        lambda: cost(lambda both: added(**both), {"x": X, "t": X}),
        lambda: cost(added, np.ones((256, 1024)), jnp.ones((256, 1024)), device=jax.devices()[0]),
        lambda: cost(jax.jit(lambda x, t, k: x[:k] + t, static_argnums=2), X, X, 256),
    ],
    ids=["jitted, by name", "pytree", "arrays, device", "static argument"],
)
def test_functions_and_arguments_of_all_kinds(call):
    assert call().bytes_accessed == 3 * 4 * 256 * 1024


def test_functions_of_no_array():
    assert cost(lambda: jnp.zeros(1024), device="cpu").output_bytes == 4096
    assert cost(lambda x: x + jnp.zeros(1024), 2.0).output_bytes == 4096


def test_flops_of_a_product():
    a, b = (jax.ShapeDtypeStruct(s, jnp.float32) for s in ((64, 128), (128, 256)))
    assert cost(jnp.matmul, a, b).flops == 2 * 64 * 128 * 256


def test_what_is_sliced_counts_as_little():
    found = cost(lambda x: x[3:5] + 1, X)
    assert found.bytes_accessed == 2 * 2 * 4 * 1024
    assert found.floor_bytes == (256 + 2) * 4 * 1024


def test_an_array_that_is_stored_counts_twice():
    square = jax.ShapeDtypeStruct((256, 256), jnp.float32)
    found = cost(lambda x: x @ x @ x, square)
    assert found.kernels == 2
    assert found.temp_bytes >= 4 * 256 * 256
    assert found.bytes_accessed == 5 * 4 * 256 * 256  # x; the square, written and read; x; result


def test_a_loop_counts_as_often_as_it_runs():
    def rows(x):
        return jax.lax.scan(lambda c, row: (c, jnp.sin(row)), 0.0, x)[1]

    found = cost(rows, X)
    assert 0.9 < found.bytes_over_floor < 3  # one round alone would be 0.01
    assert found.flops is None


def test_products_in_a_loop():
    step = lambda c, x: (c + x @ x.T, None)  # noqa: E731
    xs = jax.ShapeDtypeStruct((7, 64, 128), jnp.float32)
    found = cost(lambda xs: jax.lax.scan(step, jnp.zeros((64, 64)), xs)[0], xs, device="cpu")
    assert (found.rounds, found.flops) == (7, 7 * 2 * 64 * 128 * 64)


def test_a_loop_of_unknown_length_has_no_bytes():
    found = cost(lambda x: jax.lax.while_loop(lambda y: y[0, 0] < 9, lambda y: y * 2, x), X)
    assert (found.bytes_accessed, found.bytes_over_floor) == (None, None)
    assert "bytes accessed                  unknown" in str(found)


def test_printed():
    found = cost(added, X, X, device="cpu")
    text = str(found)
    assert text.startswith("Cost on cpu, from the compiled program:\n")
    assert "bytes accessed                  3.146 MB, 1 times the floor\n" in text
    assert "estimated time                  unknown" in text  # a CPU has no peaks to go by
    assert found.as_dict()["bytes_over_floor"] == 1
    assert set(found.as_dict()) == {*found.__dataclass_fields__, "bytes_over_floor"}


class Compiled:
    """As jax's, for a program of 3 * 4096 bytes, which XLA says takes a second."""

    temp_size_in_bytes = argument_size_in_bytes = output_size_in_bytes = 0

    def __init__(self, analysis):
        self.analysis = analysis

    def trace(self, *args, **options):
        return self

    lower = compile = memory_analysis = trace

    def cost_analysis(self):
        return self.analysis

    def as_text(self):
        few = jax.ShapeDtypeStruct((8, 128), jnp.float32)
        return jax.jit(added).lower(few, few).compile().as_text()


@pytest.mark.parametrize(
    ("analysis", "seconds", "by", "fraction"),
    [
        ({"bytes accessed": 12300.0, "optimal_seconds": 1.0}, 1.0, "XLA", 12288 / 819e9),
        ({"bytes accessed": 24600.0, "optimal_seconds": 1.0}, 12288 / 819e9, "roofline", 1.0),
        ({"bytes accessed": 12300.0, "optimal_seconds": -1.0}, 12288 / 819e9, "roofline", 1.0),
    ],
    ids=["same bytes", "on-chip memory counted", "unknown to XLA"],
)
def test_estimates(analysis, seconds, by, fraction, monkeypatch):
    chip, target = jax.devices()[0], TARGETS["tpu v5e"]
    monkeypatch.setattr(_cost, "_resolved", lambda device: (chip, target, {}))
    monkeypatch.setattr(_cost, "_traced", lambda *args: Compiled(analysis))
    found = cost(added, X, X, device="tpu v5e")
    assert (found.estimated_seconds, found.estimated_by) == (pytest.approx(seconds), by)
    assert found.kernel_seconds == pytest.approx(12288 / 819e9)
    assert found.estimated_roofline_fraction == pytest.approx(fraction)
    assert f"(not measured; by {by})" in str(found)


def test_unknown_devices():
    for device in ("h10", "tpu v1", 3):
        with pytest.raises(ValueError, match=r"one of 'cpu', 'gpu', 'tpu', 'tpu v5e', .*got "):
            cost(added, X, X, device=device)
    with pytest.raises(ValueError, match=r"got 'h10'\. Did you mean 'h100'\?"):
        cost(added, X, X, device="h10")


def test_a_platform_that_is_not_here(monkeypatch):
    def nothing(platform):
        raise RuntimeError(f"no {platform}")

    monkeypatch.setattr(jax, "devices", nothing)
    with pytest.raises(ValueError, match=r"'gpu' must be here, or .*ahead of time as one of 'tpu"):
        cost(added, X, X, device="gpu")


@pytest.mark.parametrize(
    ("name", "extra"), [("tpu v5e", "tpu-aot"), ("V5P", "tpu-aot"), ("h100", "cuda-aot")]
)
def test_a_compiler_that_is_not_installed(name, extra, monkeypatch):
    _cost._stand_in.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    command = rf"pip install 'lossjax\[{extra}\]'"
    with pytest.raises(ImportError, match=rf"{command}.*TPU_SKIP_MDS_QUERY=1.*before jax is impor"):
        cost(added, X, X, device=name)


def test_a_compiler_that_does_not_start(monkeypatch):
    def broken(target):
        raise RuntimeError("lockfile in use.")

    _cost._stand_in.cache_clear()
    monkeypatch.setattr(devices.Target, "missing", lambda target: None)
    monkeypatch.setattr(devices.Target, "device", broken)
    with pytest.raises(RuntimeError, match=r"'a100' does not start: lockfile in use\. Set JAX_PLA"):
        cost(added, X, X, device="a100")


HERE = [name for name, target in TARGETS.items() if target.missing() is None]
AHEAD = """
import jax, sys
from jax import numpy as jnp
from lossjax.devices import TARGETS, cost
x = jax.ShapeDtypeStruct((4096, 1024), jnp.float32)
for name in sys.argv[1:]:
    assert TARGETS[name].device().device_kind in TARGETS[name].kinds
    if name not in ("tpu v5e", "tpu v6e", "h100"):
        continue
    added = cost(lambda x, t: x + t, x, x, device=name)
    assert added.device == name
    assert added.bytes_over_floor == added.kernels == 1, added
    assert 0.5 < added.estimated_roofline_fraction < 1.1, added
    rows = cost(lambda x: jax.lax.scan(lambda c, r: (c + r, None), x[0], x)[0], x, device=name)
    assert 0.9 < rows.bytes_over_floor < 5, rows  # a GPU has its carry in main memory
    rows = jax.ShapeDtypeStruct((4096, 1), jnp.int32)
    picked = cost(lambda x, i: jnp.take_along_axis(x, i, 1), x, rows, device=name)
    assert picked.bytes_accessed < 2 * 4 * 4096 * 1024, picked
    product = cost(jnp.matmul, x, jax.ShapeDtypeStruct((1024, 512), jnp.float32), device=name)
    assert product.flops == 2 * 4096 * 1024 * 512, product
"""


@pytest.mark.skipif(not HERE, reason="neither lossjax[tpu-aot] nor lossjax[cuda-aot] is installed")
def test_compiled_ahead_of_time():
    environment = {**os.environ, **devices.ENVIRONMENT}
    command = [sys.executable, "-c", AHEAD, *HERE]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
