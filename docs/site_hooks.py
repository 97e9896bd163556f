"""What MkDocs does beside copying docs/: README is the home page, examples and notebooks are pages.

Links out of docs/ are those of the repository; here they lead to what of it is in the site.
"""

import ast
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "docs"))

from formulas import typeset  # noqa: E402  # MkDocs runs this file from anywhere

EXAMPLES = [f"examples/{path.name}" for path in sorted((ROOT / "examples").glob("*.py"))]
NOTEBOOKS = [f"docs/tutorials/{path.name}" for path in sorted(ROOT.glob("docs/tutorials/*.ipynb"))]
FAMILIES = sorted(p.stem for p in ROOT.glob("lossjax/losses/*.py") if p.stem != "__init__")
PROJECT = [name for name in ("CHANGELOG.md", "CONTRIBUTING.md") if (ROOT / name).exists()]
PICTURES = [f"bench/results/{path.name}" for path in sorted(ROOT.glob("bench/results/*.png"))]
BOOST = {"gallery": 4, "api": 2, "examples": 0.25, "safety": 0.25}  # in the results of a search
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#\s]+)")
BLOCK = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
FORMULA = re.compile(r"^> (.+)$", re.MULTILINE)


def on_files(files: Files, config: Any) -> Files:
    for name, text in generated():
        files.append(File.generated(config, name, content=text))
    for name in PICTURES:
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    config.nav = expanded(config.nav, [file.src_uri for file in files.documentation_pages()])
    return files


def generated() -> Iterator[tuple[str, str]]:
    """(name, text) of each page that is no file of docs/."""
    yield "index.md", read("README.md")
    yield "examples/README.md", of_examples()
    for source in EXAMPLES:
        yield target(source), example(source)
    for source in NOTEBOOKS:
        yield target(source), notebook(run(source))
    for source in PROJECT:
        yield target(source), read(source)
    for family in FAMILIES:
        module = f"lossjax.losses.{family}"
        options = "    options:\n      show_root_heading: false\n"
        yield f"api/losses/{family}.md", f"# {module}\n\n::: {module}\n{options}"


def expanded(nav: list[Any], pages: list[str]) -> list[Any]:
    """The navigation, with all pages of a folder where it names one; without those of none."""
    found = []
    for entry in nav:
        if isinstance(entry, str):
            found.append(entry)
            continue
        ((title, value),) = entry.items()
        if isinstance(value, list):
            value = expanded(value, pages)
        elif value.endswith("/"):
            inside = sorted(x for x in pages if str(PurePosixPath(x).parent) == value[:-1])
            inside.sort(key=lambda name: not name.endswith("README.md"))
            value = list(map(titled, inside))
        if value:
            found.append({title: value})
    return found


def titled(name: str) -> str | dict[str, str]:
    """An entry of the navigation: a family by its name, another page by its own title."""
    stem = PurePosixPath(name).stem
    return {stem.replace("_", " "): name} if stem in FAMILIES else name


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    place = page.file.src_uri
    sources = {target(name): name for name in ("README.md", *PROJECT, *EXAMPLES)}
    page.meta["search"] = {"boost": BOOST.get(place.partition("/")[0], 1)}
    page.meta["hide"] = ["navigation"] if place == "index.md" else []
    if place.startswith("gallery/"):
        markdown = FORMULA.sub(lambda m: typeset(m[1]), markdown)
    source = sources.get(place, f"docs/{place}")
    parts = BLOCK.split(markdown)  # every second one is a block of code
    parts[::2] = (LINK.sub(lambda m: relinked(m[1], source, place), part) for part in parts[::2])
    return "".join(parts)


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def relinked(link: str, source: str, place: str) -> str:
    """The link of a file of the repository, as the page at `place` in the site needs it."""
    meant = os.path.normpath(PurePosixPath(source).parent / link)
    return os.path.relpath(target(meant), PurePosixPath(place).parent)


def target(source: str) -> str:
    """Where the site has a file of the repository; a broken link stays one, for MkDocs to tell."""
    if source in PROJECT:
        return f"project/{source}"
    if source in EXAMPLES or source in NOTEBOOKS:
        source = str(PurePosixPath(source).with_suffix(".md"))
    places = {"README.md": "index.md", "examples": "examples/README.md"}
    return places.get(source, source.removeprefix("docs/"))


def example(source: str) -> str:
    """The page of an example: what it says of itself, and its program."""
    text = read(source)
    title, _, rest = (ast.get_docstring(ast.parse(text)) or "").partition("\n")
    program = text.split('"""', 2)[2].strip()
    return f"# {title.rstrip('.')}\n\n{rest.strip()}\n\n`{source}`:\n\n```python\n{program}\n```\n"


def of_examples() -> str:
    titles = (example(source).partition("\n")[0].removeprefix("# ") for source in EXAMPLES)
    names = (PurePosixPath(source).stem for source in EXAMPLES)
    links = (f"- [{title}]({name}.md)\n" for title, name in zip(titles, names, strict=True))
    words = "Each is one idea on real data, and runs within a minute."
    return f"# Examples\n\n{words}\n\n{''.join(links)}"


def run(source: str) -> str:
    """The notebook with its outputs, which `make docs` runs before; else the one without."""
    made = source.replace("docs", "build", 1)
    return made if (ROOT / made).exists() else source


def notebook(source: str) -> str:
    """The page of a notebook: its words, programs and outputs."""
    parts: list[str] = []
    for cell in json.loads(read(source))["cells"]:
        text = "".join(cell["source"])
        is_code = cell["cell_type"] == "code"
        parts.append(f"```python\n{text}\n```" if is_code else text)
        parts += map(shown, cell.get("outputs", ()))
    return "\n\n".join(parts) + "\n"


def shown(output: dict[str, Any]) -> str:
    """An output of a notebook: a picture if it has one, else its text."""
    data = output.get("data", {})
    if "image/png" in data:
        return f"![output](data:image/png;base64,{''.join(data['image/png'].split())})"
    text = "".join(output.get("text", data.get("text/plain", ""))).rstrip()
    return f"```\n{text}\n```" if text else ""
