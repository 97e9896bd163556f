"""Compiles for chips that are not here, in a process of its own that may crash."""

import contextlib
import multiprocessing
import os
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any, NamedTuple
from unittest import mock

import jax

from bench.cases import Case
from bench.peers import PEERS
from bench.record import attempted
from lossjax import devices


class Job(NamedTuple):
    """The value and gradient of a case by a library, or a program that any compiler can do."""

    target: str
    case: Case | None = None
    peer: str = ""


class Compiler:
    """Answers jobs with what a row holds; a compiler that crashes is an error of that job.

    A process is started with the environment that ahead-of-time compilation needs, and again
    after a crash: what a plugin does to a process, or prints, stays there.
    """

    def __init__(self) -> None:
        self._process: Any = None

    def values(self, job: Job) -> Mapping[str, Any]:
        """`Row.values`: what `lossjax.devices.cost` finds, or {"error": ...}, or nothing."""
        if self._process is None:
            self._start()
        try:
            self._pipe.send(job)
            return self._pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            code, self._process = self._process.exitcode, None
            return {"error": f"the compiler crashed (exit code {code})"}

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, there = context.Pipe()
        self._process = context.Process(target=serve, args=(there,), daemon=True)
        with mock.patch.dict(os.environ, devices.ENVIRONMENT):
            self._process.start()
        there.close()  # or nobody would tell this end of a crash


def serve(pipe: Connection) -> None:
    """Answer the jobs that come in until there are no more."""
    silent = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(silent, stream)
    with contextlib.suppress(EOFError):
        while True:
            pipe.send(attempted(answer, pipe.recv()))


def answer(job: Job) -> Mapping[str, Any]:
    """What a row holds; nothing where the library has no such loss."""
    if job.case is None:
        devices.cost(jax.numpy.negative, jax.numpy.ones((8, 128)), device=job.target)
        return {}
    function = next(peer for peer in PEERS if peer.name == job.peer).function(job.case)
    if function is None:
        return {}
    program = jax.value_and_grad(function, argnums=1)
    found = devices.cost(program, *job.case.structs(), device=job.target)
    # Where a loss compares all pairs of rows, or runs step by step, bytes have no floor.
    floor = found.floor_bytes if job.case.is_elementwise else None
    same = ("temp_bytes", "kernels", "rounds", "flops", "kernel_seconds", "estimated_seconds")
    values = {"bytes": found.bytes_accessed, "floor_bytes": floor}
    values |= {name: getattr(found, name) for name in same}
    return {name: value for name, value in values.items() if value is not None}
