"""`python -m bench devices`: what is compiled in the other process, and how it is shown."""

import subprocess
import sys

import pytest

from bench import ahead, record, tables
from bench.__main__ import main
from bench.cases import Case
from bench.record import Record, Row
from lossjax import devices, losses
from lossjax.devices import TARGETS

HERE = [name for name, target in TARGETS.items() if target.missing() is None]
CASE = Case(losses.Huber(), (8, 128))


def test_a_row_of_what_a_target_costs():
    values = ahead.answer(ahead.Job(CASE, "lossjax", "cpu"))
    assert values["floor_bytes"] == 3 * 4 * 8 * 128 + 4  # inputs, gradient and loss
    assert values["bytes"] >= values["floor_bytes"]
    assert {"temp_bytes", "kernels", "flops"} <= set(values)
    pairs = ahead.answer(ahead.Job(Case(losses.Circle(), (8, 4)), "lossjax", "cpu"))
    assert "floor_bytes" not in pairs


def test_a_row_of_what_cannot_be_compiled():
    assert ahead.answer(ahead.Job(Case(losses.Tversky(), (8, 4)), "optax", "cpu")) == {}
    assert "got 'tpu v1'" in ahead.answer(ahead.Job(CASE, "lossjax", "tpu v1"))["error"]


def test_a_compiler_that_crashes_is_started_again(monkeypatch):
    started = []

    def crashing():
        started.append("")
        program = "import os, sys; sys.stdin.buffer.read(1); os._exit(3)"
        return subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    monkeypatch.setattr(ahead, "_started", crashing)
    with ahead.Compiler() as compiler:
        for _ in range(2):
            values = compiler.values(ahead.Job(CASE, "lossjax", "h100"))
            assert values == {"error": "the compiler crashed (exit code 3)"}
    assert len(started) == 2


def test_another_process_answers():
    with ahead.Compiler() as compiler:
        for _ in range(2):
            assert compiler.values(ahead.Job(CASE, "lossjax", "cpu"))["kernels"] >= 1


def test_nothing_to_compile_with(monkeypatch, capsys):
    monkeypatch.setattr(devices.Target, "missing", lambda target: f"install {target.extra}")
    command = ["devices", "--losses", "Huber", "--shapes", "8x4", "--targets", "v5e", "a100"]
    assert main(command) == 1
    text = capsys.readouterr().err
    assert "cannot compile for tpu v5e: its compiler is not installed: install tpu-aot" in text
    assert "cannot compile for a100: its compiler is not installed: install cuda-aot" in text


@pytest.mark.skipif(not HERE, reason="neither lossjax[tpu-aot] nor lossjax[cuda-aot] is installed")
def test_the_command(tmp_path, capsys):
    file = str(tmp_path / "devices.json")
    command = ["devices", "--losses", "Huber", "--shapes", "16x128", "--peers", "optax"]
    assert main([*command, "--targets", HERE[0].removeprefix("tpu "), "--json", file]) == 0
    rows = record.load(file).rows
    assert {row.implementation for row in rows} == {"lossjax", "optax"}
    assert all(row.target == HERE[0] for row in rows)
    assert all({"bytes", "floor_bytes", "temp_bytes", "kernels"} <= set(r.values) for r in rows)
    assert "not measurements" in capsys.readouterr().out


def test_the_table(capsys):
    def row(implementation, target="h100", shape=(8, 128), **values):
        return Row("Huber()", "none", shape, "float32", implementation, target, values)

    costs = {"floor_bytes": 100, "temp_bytes": 4096, "kernels": 3, "estimated_seconds": 2e-6}
    rows = [
        row("lossjax", bytes=100, **costs),
        row("keras", bytes=250, **costs),
        row("lossjax", shape=(4, 4), bytes=120, temp_bytes=0, kernels=12),
        row("lossjax", "tpu v5e", error="no such thing"),
    ]
    common = {"argv": [], "started": "", "seconds": 1.0, "device": {}, "versions": {}}
    common |= {"commit": None, "dirty": False, "flags": {}, "missing": {"a100": "not installed"}}
    tables.show(Record(command="devices", rows=rows, **common))
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "h100: estimates by XLA's compiler, not measurements" in lines
    assert "Huber() 1.00 100% 3 2 µs 2.50 100% 3 2 µs" in lines
    assert "Huber() 4x4 - 0.0% 12 - -" in lines  # without a floor
    assert "Huber() error -" in lines
    assert any("no such thing" in line for line in lines)
    assert "h100 1 of 1 2.50 1.00" in lines
    assert "a100 cannot be used: not installed" in lines
