"""For the API pages: the signature of a loss, which its source does not spell out.

mkdocstrings reads sources and runs nothing. The `__init__` and the docstring of a loss are made when
its class is declared; so the class is asked for them.
"""

import importlib
import inspect
from typing import Any

import griffe


class Losses(griffe.Extension):
    """Signatures and docstrings for the classes of `lossjax.losses`."""

    def on_class(self, *, cls: griffe.Class, **_: Any) -> None:
        if not cls.path.startswith("lossjax.losses.") or "fn" not in cls.members:
            return
        found = getattr(importlib.import_module(cls.module.path), cls.name)
        written = {name: getattr(member, "annotation", None) for name, member in cls.members.items()}
        parameters = [
            griffe.Parameter(
                x.name,
                kind=getattr(griffe.ParameterKind, x.kind.name.lower()),
                default=None if x.default is x.empty else repr(x.default),
                annotation=written.get(x.name),
            )
            for x in inspect.signature(found).parameters.values()
        ]
        of_self = griffe.Parameter("self", kind=griffe.ParameterKind.positional_or_keyword)
        made = griffe.Function("__init__", parameters=griffe.Parameters(of_self, *parameters))
        name = found.fn.__name__
        words = f"The loss whose values are those of [`{name}`][{found.__module__}.{name}]."
        for member in list(cls.members):
            cls.del_member(member)
        cls.set_member("__init__", made)
        cls.docstring = griffe.Docstring(words, parent=cls)
