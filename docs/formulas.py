"""The formula of a docstring, one line of plain text, as MathML: browsers need no script for it.

Variables become slanted, `_` and `^` indices and powers. Nothing else of the structure changes: the
page shows what stands in the docstring. A formula is cut behind `=`, `,`, `:` and `;` outside of
brackets, since a browser breaks lines between formulas and not within one.
"""

import re
from collections.abc import Iterator
from html import escape

GROUP = r"\((?:[^()]|\([^()]*\))*\)|\{[^{}]*\}"
KINDS = {
    "space": r"\s+",
    "text": r"[A-Za-z]{3,}-[A-Za-z]{3,}|\b(?:of|for) a\b",
    "code": r"`[^`]+`",
    "number": r"\d+(?:\.\d+)?(?:e-?\d+)?",
    "script": rf"[_^](?:{GROUP}|-?[^\W²³]+(?:\.\d+)?'?)",
    "power": r"[²³]",
    "operator": r"\*\*",
    "name": r"y_(?:true|pred)|ce_weight|z_loss|zero_logit|max_margin|log_(?:scale|variance|zero)"
    r"|[^\W\d_²³ΣΠ]+",
    "other": r".",
}
TOKEN = re.compile("|".join(f"(?P<{kind}>{pattern})" for kind, pattern in KINDS.items()))
OPERATORS = {"*": "·", "**": "^"}
INDEXED = {"y_true": ("y", "true"), "y_pred": ("y", "pred")}
PRODUCTS = ("tp", "dp")  # all other words of several letters are one name
BRACKETS = "()[]|"
SPACE = '<mspace width="0.3em"/>'


def typeset(formula: str) -> str:
    parts = (f"<math>{row(part)}</math>" for part in cut(formula.rstrip(".")))
    return f'<p class="formula">{" ".join(parts)}</p>'


def cut(formula: str) -> Iterator[str]:
    """Parts of the formula between which a line may end."""
    depth, part = 0, ""
    for character in formula:
        depth += (character in "([{") - (character in ")]}")
        part += character
        if character in ",;:=" and not depth:
            yield part.strip()
            part = ""
    yield part.strip()


def row(text: str) -> str:
    """What stands in a row, each part with the indices and powers that follow it."""
    found: list[str] = []
    spaced, opened = True, True
    for match in TOKEN.finditer(text):
        kind, token = str(match.lastgroup), match[0]
        if kind in ("script", "power") and found:
            found.append(scripted(found.pop(), token))
        elif kind != "space":
            negative = token == "-" and (spaced or opened) and text[match.end() :][:1] != " "
            part = '<mo form="prefix">−</mo>' if negative else element(kind, token)
            if spaced and found and not any(x.startswith("<mo>") for x in (part, found[-1])):
                found.append(SPACE)
            found.append(part)
        spaced, opened = kind == "space", token in "(["
    return f"<mrow>{''.join(found)}</mrow>"


def scripted(base: str, token: str) -> str:
    if token in "²³":
        return f"<msup>{base}<mn>{'²³'.index(token) + 2}</mn></msup>"
    inner = token[1:]
    if inner[0] in "({":
        inner = inner[1:-1]
    tag = "msup" if token[0] == "^" else "msub"
    return f"<{tag}>{base}{row(inner)}</{tag}>"


def element(kind: str, token: str) -> str:
    if kind == "code":
        return element("name", token[1:-1])
    if token in INDEXED:
        base, index = INDEXED[token]
        return f"<msub><mi>{base}</mi><mi>{index}</mi></msub>"
    if kind == "name":
        return "".join(f"<mi>{escape(x)}</mi>" for x in (token if token in PRODUCTS else [token]))
    if kind == "number":
        return f"<mn>{token}</mn>"
    if kind == "text":
        return f"<mtext>{token}</mtext>"
    if token in BRACKETS:
        return f'<mo stretchy="false" lspace="0" rspace="0">{token}</mo>'
    return f"<mo>{escape(OPERATORS.get(token, token.replace('-', '−')))}</mo>"
