"""Compiles for chips that are not here, in a process of its own that may crash."""

import contextlib
import os
import pickle
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import jax

from bench.cases import Case
from bench.peers import PEERS, JaxPeer
from bench.record import one_line
from lossjax import devices


class Job(NamedTuple):
    """A program to compile: the value and gradient of a case by a library, for a target."""

    case: Case
    peer: str
    target: str


class Probe(NamedTuple):
    """A small program, to see whether anything can be compiled for a target."""

    target: str


class Compiler:
    """Answers jobs with what a row holds; a compiler that crashes is an error of that job.

    A process is started with the environment that ahead-of-time compilation needs, and again
    after a crash: what a plugin does to a process, or prints, stays there.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Compiler":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self._end(self._process)

    def values(self, job: Job | Probe) -> Mapping[str, Any]:
        """`Row.values`: what `lossjax.devices.cost` finds, or {"error": ...}, or nothing."""
        process = self._process = self._process or _started()
        assert process.stdin is not None  # a pipe
        assert process.stdout is not None
        try:
            pickle.dump(job, process.stdin)
            process.stdin.flush()
            return pickle.load(process.stdout)
        except (EOFError, OSError, pickle.UnpicklingError):
            return {"error": f"the compiler crashed (exit code {self._end(process)})"}

    def _end(self, process: subprocess.Popen[bytes]) -> int:
        """Let it finish, or make it; the exit code."""
        self._process = None
        with process:
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()  # there are no more jobs
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
        return process.wait()


def _started() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", "from bench import ahead; ahead.serve()"],
        cwd=Path(__file__).parent.parent,
        env={**os.environ, **devices.ENVIRONMENT},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def answer(job: Job | Probe) -> Mapping[str, Any]:
    """What a row holds; nothing where the library has no such loss."""
    try:
        if isinstance(job, Probe):
            devices.cost(jax.numpy.negative, jax.numpy.ones((8, 128)), device=job.target)
            return {}
        peer = next(p for p in PEERS if p.name == job.peer and isinstance(p, JaxPeer))
        function = peer.function(job.case)
        if function is None:
            return {}
        found = devices.cost(
            jax.value_and_grad(function, argnums=1), *job.case.structs(), device=job.target
        )
    except Exception as error:  # whatever a library or a compiler fails with
        return {"error": one_line(error)}
    # Where a loss compares all pairs of rows, or runs step by step, bytes have no floor.
    floor = found.floor_bytes if job.case.is_elementwise else None
    values = {
        "bytes": found.bytes_accessed,
        "floor_bytes": floor,
        "temp_bytes": found.temp_bytes,
        "kernels": found.kernels,
        "flops": found.flops,
        "estimated_seconds": found.estimated_seconds,
    }
    return {name: value for name, value in values.items() if value is not None}


def serve() -> None:
    """Answer the jobs that come in until there are no more."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what plugins print must not be taken for an answer
    with contextlib.suppress(EOFError):
        while True:
            pickle.dump(answer(pickle.load(sys.stdin.buffer)), answers)
            answers.flush()
