"""Colours: each role has one for a light page and one for a dark page."""

from collections.abc import Iterable

# No two light colours are equal: a drawing made with them is told apart again by colour.
LIGHT = {
    "ink": "#1f2430",
    "muted": "#667085",
    "grid": "#dfe3ea",
    "band": "#f5f6f9",
    "violet": "#6d28d9",
    "red": "#d1242f",
    "blue": "#0969da",
    "orange": "#c76a00",
    "green": "#0b8457",
    "pink": "#c2278f",
    "brown": "#7a5230",
    "teal": "#0e7490",
    "olive": "#5f6b00",
    "grey": "#8a909c",
}
DARK = {
    "ink": "#e6e8ee",
    "muted": "#9aa3b2",
    "grid": "#2e3440",
    "band": "#191d25",
    "violet": "#b794f6",
    "red": "#ff7b72",
    "blue": "#6cb6ff",
    "orange": "#f0a050",
    "green": "#4fd1a0",
    "pink": "#f583c8",
    "brown": "#cfa37e",
    "teal": "#5ccbe0",
    "olive": "#c3cc5a",
    "grey": "#8a93a3",
}
# Never by colour alone: each has its marker.
MARKERS = {
    "violet": "o",
    "red": "s",
    "blue": "^",
    "orange": "D",
    "green": "v",
    "pink": "P",
    "brown": "X",
    "teal": "<",
    "olive": ">",
    "grey": "o",
}
FIXED = {
    "lossjax": "violet",
    "keras": "red",
    "optax": "blue",
    "torch": "orange",
    "torch.compile": "green",
    "lossjax.traced": "pink",
    "jax-cce": "teal",
    "tokamax": "olive",
    "floor": "grey",
}


def ordered(names: Iterable[str]) -> list[str]:
    """Each once: those that are known in their order, then the others."""
    found = dict.fromkeys(names)
    return [*(name for name in FIXED if name in found), *(n for n in found if n not in FIXED)]


def colors(names: Iterable[str]) -> dict[str, str]:
    """A role for each implementation: always the same one for those that are known."""
    free = [role for role in MARKERS if role not in FIXED.values()]
    found: dict[str, str] = {}
    for name in ordered(names):
        found[name] = FIXED.get(name) or free[sum(n not in FIXED for n in found) % len(free)]
    return found
