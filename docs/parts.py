"""What pages are made of: a section a loss, a page a family, tables."""

import importlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from lossjax import Loss, losses
from lossjax.core.registry import classes

HEADING = "\n## "


def known() -> list[type[Loss]]:
    """The losses of lossjax, by name."""
    own = {cls for cls in classes() if cls.__module__.startswith(losses.__name__ + ".")}
    return sorted(own, key=lambda cls: cls.__name__)


def family_of(cls: type[Loss]) -> str:
    """The module in which a loss stands."""
    return cls.__module__.rpartition(".")[2]


def sections(folder: Path) -> dict[str, str]:
    """The sections of the pages in `folder`, by the name of the loss, whatever page it is on."""
    found = {}
    for path in sorted(folder.glob("*.md")):
        for part in path.read_text(encoding="utf-8").split(HEADING)[1:]:
            found[part.partition("\n")[0]] = HEADING[1:] + part.rstrip("\n") + "\n"
    return found


def by_family() -> dict[str, list[type[Loss]]]:
    families: dict[str, list[type[Loss]]] = {}
    for cls in known():
        families.setdefault(family_of(cls), []).append(cls)
    return dict(sorted(families.items()))


def about(cls: type[Loss]) -> str:
    """The first line of its family's docstring."""
    return (importlib.import_module(cls.__module__).__doc__ or "").split("\n")[0]


def pages(title: str, written: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """(name of the file, text) of each family."""
    for family, members in by_family().items():
        head = f"# {title}: {family}\n\n{about(members[0])} [All families](README.md).\n"
        own = [written[cls.__name__] for cls in members if cls.__name__ in written]
        yield f"{family}.md", "\n".join([head, *own])


def one_line(text: str) -> str:
    return " ".join(text.split())


def code(words: Iterable[str]) -> str:
    return " ".join(f"`{word}`" for word in words)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(
        f"| {' | '.join(x.replace('|', chr(92) + '|') for x in row)} |\n" for row in lines
    )
