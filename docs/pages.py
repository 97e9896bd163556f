"""`make pages`: README's tables, pages of accuracy and calls, gallery and safety of changed losses.

`make pages ARGS=--all` makes them for all; `--check`, part of `make check`, says what is stale.
Keras, optax and torch are asked where losses break if they are installed.
"""

import argparse
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import accuracy
import chips
import edges
import gallery
import measured
import peers
from fingerprints import fingerprint, is_stale
from lossjax import Loss
from parts import about, by_family, known, pages, sections, table

DOCS = Path(__file__).parent
README = DOCS.parent / "README.md"
GALLERY, SAFETY = DOCS / "gallery", DOCS / "safety"
FINGERPRINTS = DOCS / "fingerprints.json"
LOSSES = re.compile(r"(<!-- losses: .*? -->\n)(.*?)(<!-- end of losses -->)", re.DOTALL)
COMPARED = re.compile(r"(<!-- compared: .*? -->\n)(.*?)(<!-- end of compared -->)", re.DOTALL)
NAMED = 5  # of what is stale


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", action="store_true", help="also for losses that did not change")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if stale")
    options = parser.parse_args(arguments)
    found = {cls: fingerprint(cls) for cls in known()}
    changed = [cls for cls, now in found.items() if options.all or is_to_make(cls, now)]
    other = {x["jax"] for x in kept().values()} - {x["jax"] for x in found.values()}
    if other:
        print(f"Pages were made with jax {', '.join(other)}: programs are not compared with them.")
    if options.check:
        report([cls.__name__ for cls in changed])
        return
    for i, cls in enumerate(changed, 1):
        print(f"{i} of {len(changed)}: {cls.__name__}", flush=True)
        remake(cls, found[cls])
    shown(write(texts(sections(GALLERY), sections(SAFETY))))
    print(f"{len(changed)} of {len(found)} losses were made again.")


def is_to_make(cls: type[Loss], now: dict[str, str]) -> bool:
    written = all(cls.__name__ in sections(folder) for folder in (GALLERY, SAFETY))
    drawn = (GALLERY / gallery.picture_name(cls)).exists()
    return not (written and drawn) or is_stale(kept().get(cls.__name__), now)


def kept() -> dict[str, dict[str, str]]:
    return json.loads(FINGERPRINTS.read_text()) if FINGERPRINTS.exists() else {}


def remake(cls: type[Loss], now: dict[str, str]) -> None:
    """The sections and the picture of a loss; all is written, lest an error later costs it."""
    os.environ["KERAS_BACKEND"] = "jax"
    from cases import ROWS
    from safety.page import found, versions  # it imports Keras

    name, rows = cls.__name__, [row for row in ROWS if row.loss is cls]
    configs = [config for row in rows for config in (*row.configs, *row.at_edges)]
    words, edge = gallery.section(cls), edges.section(name, found(cls), versions())
    GALLERY.mkdir(exist_ok=True)
    (GALLERY / gallery.picture_name(cls)).write_bytes(gallery.picture(cls, configs))
    shown(write(texts(sections(GALLERY) | {name: words}, sections(SAFETY) | {name: edge})))
    names = {cls.__name__ for cls in known()}
    prints = {k: v for k, v in (kept() | {name: now}).items() if k in names}
    FINGERPRINTS.write_text(json.dumps(prints, indent=1, sort_keys=True) + "\n")


def shown(names: list[str]) -> None:
    print("".join(f"  {name}\n" for name in names), end="", flush=True)


def texts(words: dict[str, str], safe: dict[str, str]) -> dict[Path, str]:
    """Every file that is written from the sections, without computing anything."""
    safe = {cls.__name__: safe[cls.__name__] for cls in known() if cls.__name__ in safe}
    readme = README.read_text(encoding="utf-8")
    found = {SAFETY / "README.md": edges.index(safe), GALLERY / "README.md": gallery.index(known())}
    speed = (DOCS / "speed.md").read_text(encoding="utf-8")
    numbers = measured.lines(speed, found[SAFETY / "README.md"])
    readme = COMPARED.sub(lambda m: m[1] + numbers + m[3], readme)
    found[README] = LOSSES.sub(lambda m: m[1] + of_losses() + m[3], readme)
    found |= {accuracy.PAGE: accuracy.page(), chips.PAGE: chips.page()} | peers.pages()
    found |= {GALLERY / file: text for file, text in pages("Losses", words)}
    return found | {SAFETY / file: text for file, text in pages("At the edges", safe)}


def of_losses() -> str:
    """README's table: a line a family."""
    rows = []
    for family, members in by_family().items():
        link = f"[{family}](docs/gallery/{family}.md)"
        rows.append([link, str(len(members)), about(members[0])])
    return table(["family", "losses", "what they are"], rows)


def superfluous(wanted: dict[Path, Any]) -> list[Path]:
    """Pages of families, and pictures of losses, that are no more."""
    files = {*GALLERY.glob("*.md"), *SAFETY.glob("*.md"), *GALLERY.glob("*.png")}
    return sorted(files - set(wanted) - {GALLERY / gallery.picture_name(cls) for cls in known()})


def is_written(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == text


def write(wanted: dict[Path, str]) -> list[str]:
    """The names of what differed."""
    new = [path for path, text in wanted.items() if not is_written(path, text)]
    for path in new:
        path.parent.mkdir(exist_ok=True)
        path.write_text(wanted[path], encoding="utf-8")
    gone = superfluous(wanted)
    for path in gone:
        path.unlink()
    return [str(path.relative_to(DOCS.parent)) for path in (*new, *gone)]


def report(stale: list[str]) -> None:
    wanted = texts(sections(GALLERY), sections(SAFETY))
    other = [path for path, text in wanted.items() if not is_written(path, text)]
    other += superfluous(wanted)
    names = [*stale, *(str(path.relative_to(DOCS.parent)) for path in other)]
    if names:
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        sys.exit(f"The pages are stale: {', '.join(names[:NAMED])}{more}. Run `make pages`.")
    print("The pages are those of the losses.")


if __name__ == "__main__":
    main()
