"""For the API pages: what the sources of lossjax do not spell out, and docstrings as Markdown.

mkdocstrings reads sources and runs nothing. The `__init__` of a loss is made when its class is
declared; so the class is asked for it.
"""

import importlib
import inspect
import re
from typing import Any

import griffe

from formulas import typeset

LOSSES, BASE = "lossjax.losses.", "lossjax.core.loss.Loss"
PROGRAM = re.compile(r"^>>> .*(?:\n.+)*", re.MULTILINE)
GRID = re.compile(r"^ *=+  =.*(?:\n.+)*", re.MULTILINE)
WORD = re.compile(r"\n+(Use|Shapes|Values|Raises|Source)\b(:?)")


class Pages(griffe.Extension):
    """Signatures for the classes of `lossjax.losses`; formulas, tables and programs for all."""

    def on_class(self, *, cls: griffe.Class, loader: griffe.GriffeLoader, **_: Any) -> None:
        if cls.path != BASE and not (cls.path.startswith(LOSSES) and "fn" in cls.members):
            return
        found = getattr(importlib.import_module(cls.module.path), cls.name)
        written = {**loader.modules_collection[BASE].members, **cls.members}
        parameters = [
            griffe.Parameter(
                x.name,
                kind=getattr(griffe.ParameterKind, x.kind.name.lower()),
                default=None if x.default is x.empty else repr(x.default),
                annotation=getattr(written.get(x.name), "annotation", None),
            )
            for x in inspect.signature(found.__init__).parameters.values()
        ]
        if cls.path != BASE:
            name = found.fn.__name__
            words = f"The loss whose values are those of [`{name}`][{found.__module__}.{name}]."
            cls.docstring = griffe.Docstring(words, parent=cls)
            for member in list(cls.members):
                cls.del_member(member)
        made = griffe.Function("__init__", parameters=griffe.Parameters(*parameters))
        cls.set_member("__init__", made)

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is None:
            return
        text = markdown(obj.docstring.value)
        if obj.is_function and obj.path.startswith(LOSSES):
            formula, _, rest = text.partition("\n\n")
            text = f"{typeset(' '.join(formula.split()))}\n\n{rest}"
        obj.docstring.value = text


def markdown(text: str) -> str:
    """A docstring with programs and tables as blocks, and a paragraph for each of its parts."""
    text = PROGRAM.sub(lambda m: f"```pycon\n{m[0]}\n```", text)
    text = GRID.sub(lambda m: f"```text\n{m[0]}\n```", text).replace("::\n", ":\n")
    return WORD.sub(lambda m: f"\n\n**{m[1]}{m[2]}**" if m[2] else f"\n\n{m[1]}", text)
