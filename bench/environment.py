"""Where and with what a run is made; `choose_device` comes before jax is imported."""

import datetime
import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.record import Record, Row, one_line

PLATFORMS = {"cpu": "cpu", "gpu": "cuda", "tpu": "tpu"}
LIBRARIES = ("jax", "jaxlib", "keras", "optax", "torch", "jax-cce", "tokamax", "numpy")
FLAGS = (
    "JAX_PLATFORMS",
    "JAX_ENABLE_X64",
    "XLA_FLAGS",
    "XLA_PYTHON_CLIENT_PREALLOCATE",
    "LIBTPU_INIT_ARGS",
    "GLIBC_TUNABLES",
    "MALLOC_MMAP_THRESHOLD_",
    "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY",
)


def choose_device(device: str | None) -> None:
    """Let jax see `device` alone; without one it takes the best that is here."""
    if device is not None:
        os.environ["JAX_PLATFORMS"] = PLATFORMS[device]


class Start(NamedTuple):
    """When a run began, and how many programs were busy then."""

    time: datetime.datetime
    load: float | None


def start() -> Start:
    """Complain now of what would spoil the run."""
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
    return Start(now(), load)


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def record(
    command: str,
    argv: Sequence[str],
    began: Start,
    missing: Mapping[str, str],
    rows: Sequence[Row],
) -> Record:
    """The rows of a run that ends now, with everything around them."""
    head, dirty = commit()
    return Record(
        command=command,
        argv=list(argv),
        started=began.time.isoformat(timespec="seconds").replace("+00:00", "Z"),
        seconds=round((now() - began.time).total_seconds(), 1),
        device={**device(), "load": began.load},
        versions=versions(),
        commit=head,
        dirty=dirty,
        flags=flags(),
        missing=dict(missing),
        rows=list(rows),
    )


def cores() -> int:
    """Those that this process may use, which can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def device() -> dict[str, Any]:
    """What jax computes on."""
    import jax

    first = jax.devices()[0]
    return {
        "platform": first.platform,
        "kind": first.device_kind,
        "count": jax.device_count(),
        "cores": cores(),
        "cpu": cpu_model(),
    }


def cpu_model() -> str:
    try:
        info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        info = ""
    models = [line.partition(":")[2].strip() for line in info.splitlines() if "model name" in line]
    return models[0] if models else platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    import lossjax

    ours = {"python": platform.python_version(), "lossjax": lossjax.__version__}
    return ours | installed(LIBRARIES)


def installed(libraries: Sequence[str]) -> dict[str, str]:
    """The versions of those that are here."""
    found = {}
    for library in libraries:
        try:
            found[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def flags() -> dict[str, str]:
    return {name: os.environ[name] for name in FLAGS if name in os.environ}


def commit() -> tuple[str | None, bool]:
    """The commit that is checked out, and whether a tracked file differs from it."""
    head = _git("rev-parse", "HEAD")
    return head, bool(_git("status", "--porcelain", "--untracked-files=no"))


def _git(*arguments: str) -> str | None:
    here = Path(__file__).parent
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=here, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
