"""`python -m bench devices`: what is compiled in the other process, and how it is shown."""

import dataclasses
import os

import pytest

from bench import ahead, record, tables
from bench.__main__ import main
from bench.cases import Case, LinearCase
from bench.record import Record, Row
from lossjax import devices, losses
from lossjax.devices import TARGETS

HERE = [name for name, target in TARGETS.items() if target.missing() is None]
CASE = Case(losses.Huber(), (8, 128))


def test_a_row_of_what_a_target_costs():
    values = ahead.answer(ahead.Job("cpu", CASE, "lossjax"))
    assert values["floor_bytes"] == 3 * 4 * 8 * 128 + 4  # inputs, gradient and loss
    assert values["bytes"] >= values["floor_bytes"]
    assert {"temp_bytes", "kernels", "rounds", "flops"} <= set(values)
    pairs = ahead.answer(ahead.Job("cpu", Case(losses.Circle(), (8, 4)), "lossjax"))
    assert "floor_bytes" not in pairs


def test_a_row_of_what_cannot_be_compiled():
    assert ahead.answer(ahead.Job("cpu", Case(losses.Tversky(), (8, 4)), "optax")) == {}
    job = ahead.Job("tpu v1", CASE, "lossjax")
    assert "got 'tpu v1'" in record.attempted(ahead.answer, job)["error"]


class Crash:
    """Ends the process that unpickles it."""

    def __reduce__(self):
        return os._exit, (3,)


@pytest.mark.thorough
def test_a_compiler_that_crashes_is_started_again():
    compiler = ahead.Compiler()
    for _ in range(2):
        assert compiler.values(Crash()) == {"error": "the compiler crashed (exit code 3)"}
        for _ in range(2):
            assert compiler.values(ahead.Job("cpu", CASE, "lossjax"))["kernels"] >= 1


def test_nothing_to_compile_with(monkeypatch, capsys):
    monkeypatch.setattr(devices.Target, "missing", lambda target: f"install {target.extra}")
    command = ["devices", "--losses", "Huber", "--shapes", "8x4", "--targets", "v5e", "a100"]
    with pytest.raises(SystemExit) as end:
        main(command)
    assert end.value.code == 2
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


COMMON = {
    "argv": [], "started": "", "seconds": 1.0, "versions": {}, "commit": None, "dirty": False,
    "flags": {}, "device": {"kind": "cpu", "cores": 2, "cpu": ""},
}  # fmt: skip


def shown(capsys, rows, **missing):
    tables.show(Record(command="devices", rows=rows, missing=missing, **COMMON))
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_the_arithmetic_of_a_vocabulary(capsys):
    case = LinearCase(losses.LinearCrossEntropy(), (8192, 1024), "bfloat16", features=64)
    assert case.structs()[1][1].shape == (64, 1024)
    values = {"bytes": 16.38e9, "flops": 985e9, "rounds": 3, "kernel_seconds": 25e-3}
    values |= {"temp_bytes": 4096, "kernels": 9}
    row = Row(*case.key, "lossjax", "tpu v5e", values)
    other = dataclasses.replace(row, implementation="optax", values={"error": "no such thing"})
    lines = shown(capsys, [row, other])
    title = "products of matrices: estimates by XLA's compiler, not measurements"
    assert f"{title}; no weights, 8192 × 1024, bfloat16" in " ".join(lines)
    told = "tpu v5e LinearCrossEntropy(), D=64"
    assert f"{told} lossjax 3 9.85e+11 16.4 GB 5 ms 20 ms 25 ms 1.25" in lines
    assert f"{told} optax - - - - - - -" in lines


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
    lines = shown(capsys, rows, a100="not installed")
    title = "h100: estimates by XLA's compiler, not measurements; no weights, float32"
    assert title in " ".join(lines)  # a narrow table breaks it
    assert "Huber 8 × 128 1.00 100 % 3 2 µs 2.50 100 % 3 2 µs" in lines
    assert "Huber 4 × 4 - 0.0 % 12 - -" in lines  # without a floor
    assert "Huber error" in lines
    assert any("no such thing" in line for line in lines)
    assert "h100 1 of 1 2.50 1.00" in lines
    assert "a100 cannot be used: not installed" in lines
