"""Where and with what a run is made; `choose_device` comes before jax is imported."""

import contextlib
import datetime
import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.record import Record, one_line

PLATFORMS = {"cpu": "cpu", "gpu": "cuda", "tpu": "tpu"}
# The compilers for absent devices, too: programs depend on them as much as on jax.
LIBRARIES = ["jax", "jaxlib", "keras", "optax", "torch", "jax-cce", "tokamax", "numpy", "libtpu"]
LIBRARIES += ["jax-cuda12-plugin", "jax-cuda13-plugin"]
FLAGS = "JAX_PLATFORMS JAX_ENABLE_X64 XLA_FLAGS XLA_PYTHON_CLIENT_PREALLOCATE LIBTPU_INIT_ARGS"
FLAGS += " GLIBC_TUNABLES MALLOC_MMAP_THRESHOLD_ OMP_NUM_THREADS OMP_WAIT_POLICY"


def choose_device(device: str | None) -> None:
    """Let jax see `device` alone; without one it takes the best that is here."""
    if device is not None:
        os.environ["JAX_PLATFORMS"] = PLATFORMS[device]


def begun(argv: Sequence[str]) -> Record:
    """The record of a run that begins now. Complains now of what would spoil it."""
    import jax

    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # the second without a word
        raise ValueError(
            f"bench: jax finds no device: {one_line(error)}. Install the jax for it, as in "
            f"`pip install 'jax[cuda12]'`, or choose another --device."
        ) from error
    load = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    if load is not None and load > 0.3 * cores():
        print(
            f"bench: this machine is busy (load {load:g} on {cores()} cores): expect noise, and "
            f"stalls of programs whose threads wait for each other (torch.compile, above all).",
            file=sys.stderr,
        )
    now = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%dT%H:%M:%SZ}"
    flags = {name: os.environ[name] for name in FLAGS.split() if name in os.environ}
    on = {**device(), "load": load}
    return Record(argv[0], [*argv], now, 0, on, versions(), *commit(), flags, missing={}, rows=[])


def cores() -> int:
    """Those that this process may use, which can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def device() -> dict[str, Any]:
    """What jax computes on."""
    import jax

    first, count = jax.devices()[0], jax.device_count()
    found = {"platform": first.platform, "kind": first.device_kind, "count": count}
    return {**found, "cores": cores(), "cpu": cpu_model()}


def cpu_model() -> str:
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Of what is here."""
    import lossjax

    found = {"python": platform.python_version(), "lossjax": lossjax.__version__}
    for library in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[library] = importlib.metadata.version(library)
    return found


def commit() -> tuple[str | None, bool]:
    """The commit that is checked out, and whether a tracked file differs from it."""
    command = ["git", "describe", "--always", "--exclude=*", "--abbrev=40", "--dirty"]
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True)
    except OSError:  # there is no git
        return None, False
    head = done.stdout.strip()
    return head.removesuffix("-dirty") or None, head.endswith("-dirty")
