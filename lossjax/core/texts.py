"""Values as words of an error text, whatever they are."""

import difflib
import itertools
import reprlib
from collections.abc import Iterable, Mapping
from types import FunctionType, NoneType
from typing import Any

import jax
import numpy as np

_SHOWN = 60  # letters of a value in an error text
_LEVELS, _ENTRIES = 8, 1_000_000  # of lists and dicts that stand for hyperparameters


class _Texts(reprlib.Repr):
    """Values in a few words; of unknown types nothing is run, not even `__repr__`."""

    plain = (
        *(bool, float, complex, bytes, type, range, NoneType, FunctionType),
        *(np.number, np.bool_, np.character, np.datetime64, np.timedelta64, np.dtype),
    )

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxstring, self.maxother = 2, _SHOWN, _SHOWN
        self.maxlist = self.maxtuple = self.maxdict = 4

    def repr_int(self, x: int, level: int) -> str:
        # Python refuses to write thousands of digits.
        return repr(x) if x.bit_length() <= 128 else f"a whole number of {x.bit_length()} bits"

    def repr_instance(self, x: Any, level: int) -> str:
        if isinstance(x, self.plain):
            return super().repr_instance(x, level)
        if is_array(x):
            return f"an array of {x.dtype} of shape {x.shape}"
        return f"an object of type {type(x).__name__}"


_TEXTS = _Texts()


def shown(value: Any, limit: int = _SHOWN) -> str:
    """`value` for an error text: short and harmless, however deep, large or hostile it is."""
    text = _TEXTS.repr(value)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def cut(text: Any, limit: int) -> str:
    """Words that are a text already, such as those of an error that is told on, in one line."""
    line = " ".join(str(text)[: 4 * limit].split())
    return line if len(line) <= limit else f"{line[: limit - 3]}..."


def bounded(value: Any) -> bool:
    """Whether lists and dicts in `value` are neither too deep nor too many to walk through.

    Too deep ends the recursion of Python or JAX. A list that holds one list a thousand times,
    and so on, is small and never ends.
    """
    level = [value]
    for _ in range(_LEVELS + 1):
        nodes = (x for x in level if isinstance(x, (list, tuple, Mapping)))
        inner = (x.values() if isinstance(x, Mapping) else x for x in nodes)
        level = list(itertools.islice(itertools.chain.from_iterable(inner), _ENTRIES + 1))
        if not level:
            return True
        if len(level) > _ENTRIES:
            return False
    return False


def nearest(name: Any, known: Iterable[Any]) -> str:
    """A question to append to an error text, or nothing."""
    if not isinstance(name, str):
        return ""
    close = difflib.get_close_matches(name[:_SHOWN], map(str, known), n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(shown(k, 40) for k in close)}?" if close else ""


def is_array(x: Any) -> bool:
    return isinstance(x, (jax.Array, np.ndarray))
