"""Rounds of samples: in every round each contestant runs once, in an order that is shuffled."""

import dataclasses
import gc
import math
import statistics
import time
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, TypeAlias, TypeVar

import numpy as np

Key = TypeVar("Key", bound=Hashable)
Clock: TypeAlias = Callable[[], float]
Progress: TypeAlias = Callable[[float], None]

SAMPLE = 0.002  # a sample repeats its call until this many seconds are likely over
SETTLE = 0.010  # before a sample, the same call runs untimed for as long


@dataclasses.dataclass(frozen=True)
class Contestant:
    """What is timed: `call()`, until `wait(result)` returns.

    A sample is the median of its calls: the scheduler may take the core from one of many, and a
    program of several threads, waiting for that one, then takes a hundred times as long.

    With `queued`, the calls of a sample are handed to the device one after the other, and only
    the last is waited for: what counts there is the device's time, not that of a launch. Not on
    CPU, where programs that nobody waits for run at the same time.
    """

    call: Callable[[], Any]
    wait: Callable[[Any], Any]
    queued: bool = False

    def sample(self, repeats: int, clock: Clock) -> float:
        """Seconds a call. A result lives until the next one is there; the last is freed untimed."""
        if self.queued:
            return self.batch(repeats, clock) / repeats
        return statistics.median(self.batch(1, clock) for _ in range(repeats))

    def batch(self, calls: int, clock: Clock) -> float:
        start = clock()
        for _ in range(calls):
            result = self.call()
        self.wait(result)
        return clock() - start


def interleave(
    keys: Iterable[Key],
    take: Callable[[Key], float],
    rounds: int,
    seconds: float = math.inf,
    seed: int = 0,
    clock: Clock = time.perf_counter,
    progress: Progress = lambda share: None,
) -> dict[Key, list[float]]:
    """One sample of each key a round, until all rounds or all `seconds` are over.

    A round is never cut short: the k-th samples of all keys are of the same moment, so that
    their ratios are free of the machine's drift. `progress` is told the share that is done.
    """
    samples: dict[Key, list[float]] = {key: [] for key in keys}
    names, order = list(samples), np.random.default_rng(seed)
    start = clock()
    collecting = gc.isenabled()
    gc.disable()
    try:
        for done in range(1, rounds + 1):
            for index in order.permutation(len(names)):
                samples[names[index]].append(take(names[index]))
            gc.collect()
            spent = clock() - start
            progress(min(1, max(done / rounds, spent / seconds)))
            if spent >= seconds:
                break
    finally:
        if collecting:
            gc.enable()
    return samples


def measure(
    contestants: Mapping[Key, Contestant],
    rounds: int,
    seconds: float = math.inf,
    clock: Clock = time.perf_counter,
    progress: Progress = lambda share: None,
) -> dict[Key, list[float]]:
    """Seconds a call, warmed up and interleaved."""
    repeats = {key: _repeats(one, clock) for key, one in contestants.items()}

    def take(key: Key) -> float:
        _settle(contestants[key], clock)
        return contestants[key].sample(repeats[key], clock)

    return interleave(contestants, take, rounds, seconds, 0, clock, progress)


def _repeats(one: Contestant, clock: Clock) -> int:
    """How often to call in one sample, judged by the calls after the first, which compiles."""
    one.batch(1, clock)
    return max(1, math.ceil(SAMPLE / max(_settle(one, clock), 1e-9)))


def _settle(one: Contestant, clock: Clock) -> float:
    """Let what ran before come to rest, and warm the caches. The seconds of the fastest call.

    Threads of another library (OpenMP's, under torch) spin for milliseconds after their work, on
    the cores that this one needs: a JAX program right after a torch one took 1.4 times as long.
    """
    start = clock()
    fastest = math.inf
    while clock() - start < SETTLE:
        fastest = min(fastest, one.batch(1, clock))
    return fastest
