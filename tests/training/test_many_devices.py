"""One script trains on one device, on several, and in several processes, with the same result."""

import os
import re
import runpy
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from blocks import BLOCKS

PAGE = Path(__file__).parents[2] / "docs" / "meshes.md"
PROGRAM = Path(__file__).parents[2] / "examples" / "13_many_devices.py"


def validation_loss(devices, *options):
    flags = f"--xla_force_host_platform_device_count={devices}"
    environment = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    started = [
        subprocess.Popen(
            [sys.executable, PROGRAM, *each],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for each in options or [()]
    ]
    ended = [process.communicate(timeout=300) for process in started]
    for process, (_, errors) in zip(started, ended, strict=True):
        assert process.returncode == 0, errors[-3000:]
    found = re.search(r"(\d+) devices, validation loss (\S+)", ended[0][0])
    return int(found[1]), float(found[2])


@pytest.mark.thorough
def test_many_devices():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    common = ("--coordinator", address, "--processes", "2", "--process")
    one, alone = validation_loss(1)
    four, together = validation_loss(2, (*common, "0"), (*common, "1"))
    assert (one, four) == (1, 4)
    assert alone < 0.5
    assert together == pytest.approx(alone, rel=1e-4)


@pytest.mark.thorough
def test_the_devices_that_are_here(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(PROGRAM)])
    runpy.run_path(str(PROGRAM), run_name="__main__")
    assert float(re.search(r"validation loss (\S+)", capsys.readouterr().out)[1]) < 0.5


@pytest.mark.thorough
def test_the_page_on_meshes_says_what_its_programs_print():
    programs, outputs = zip(*BLOCKS.findall(PAGE.read_text("utf-8")), strict=True)
    found = subprocess.run(
        [sys.executable, "-c", "\n".join(programs)], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr[-3000:]
    assert found.stdout.split() == "".join(outputs).split()
