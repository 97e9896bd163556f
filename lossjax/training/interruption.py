"""Ctrl-C and SIGTERM: training ends between two steps, with all that it has reached."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import jax

T = TypeVar("T")

ENDED = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


class _Now(BaseException):
    """Leaves what need not be finished."""


class Interruption:
    """What has asked training to end; `how` is empty as long as nothing has."""

    def __init__(self) -> None:
        self.how = ""
        self.is_terminated = False
        self._leaves = False

    def unless(self, work: Callable[[], T]) -> T | None:
        """What `work` returns; None where a signal came meanwhile, which does not wait for it."""
        try:
            self._leaves = True
            return work()
        except _Now:
            return None
        finally:
            self._leaves = False

    def note(self, number: int) -> None:
        """A signal came."""
        self.how = self.how or ENDED[signal.Signals(number)]
        self.is_terminated |= number == signal.SIGTERM
        if self._leaves:
            raise _Now


@contextlib.contextmanager
def interruptions(is_here: Callable[[], bool]) -> Iterator[Interruption]:
    """The first Ctrl-C is noted and the second one raised; SIGTERM is noted, and obeyed at the end.

    To end takes a while, and some send SIGTERM twice: the second one changes nothing. Several
    processes must end at the same step: there SIGTERM is left to `jax.distributed`. `is_here`
    tells whether there is a state, which a step takes away until it gives the next one back.
    """
    found, old = Interruption(), _handlers()

    def handle(number: int, frame: Any) -> None:
        if number == signal.SIGINT and found.how:
            if is_here():  # else this step is the last one, and about to end
                _obey(number, old[number], frame)
            return
        found.note(number)

    for number in old:
        signal.signal(number, handle)
    try:
        yield found
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
        if found.is_terminated:
            _obey(signal.SIGTERM, old[signal.SIGTERM], None)


def _handlers() -> dict[int, Any]:
    """What is done about the signals now; those that are ignored, or not Python's, stay so."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    numbers = [signal.SIGINT, signal.SIGTERM][: 2 if jax.process_count() == 1 else 1]
    handlers = {number: signal.getsignal(number) for number in numbers}
    return {number: h for number, h in handlers.items() if h not in (None, signal.SIG_IGN)}


def _obey(number: int, handler: Any, frame: Any) -> None:
    """What the signal would have done; where it would have ended the process, it still does."""
    if callable(handler):
        handler(number, frame)
    elif number == signal.SIGINT:
        raise KeyboardInterrupt
    else:
        raise SystemExit(128 + number)
