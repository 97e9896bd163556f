"""The text of a program that XLA has optimised, as computations of instructions."""

import dataclasses
import functools
import math
import re
from collections.abc import Iterator, Mapping

_ARRAY = re.compile(r"\b([a-z]\w*)\[([\d,<=]*)\](\{[^{}]*\})?")
_COMMENT = re.compile(r"/\*.*?\*/")
_ENTRY = re.compile(r"^ENTRY %([\w.\-]+)", re.MULTILINE)
_INSTRUCTION = re.compile(r"\s+(ROOT )?%([\w.\-]+) = (.*)")
_NAME = re.compile(r"%([\w.\-]+)")
_SPACE = re.compile(r"S\(([1-9]\d*)\)")
_TILE = re.compile(r"T\(([\d,]+)\)")


@dataclasses.dataclass(frozen=True)
class Array:
    """One array of a type such as `f32[8,128]{1,0:T(8,128)S(1)}`."""

    sizes: tuple[int, ...]
    bytes: int  # as it lies in memory, the padding to whole tiles included
    on_chip: bool  # S(1) and up: in a TPU's vector or scalar memory, not in main memory

    @property
    def elements(self) -> int:
        return math.prod(self.sizes)


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One line: `%name = type opcode(operands), attributes`."""

    name: str
    opcode: str
    arrays: tuple[Array, ...]  # what it gives; the leaves of a tuple
    operands: tuple[str, ...]
    argument: str  # the text between the parentheses
    attributes: str
    is_root: bool

    @property
    def elements(self) -> int:
        return sum(a.elements for a in self.arrays)

    @property
    def main_bytes(self) -> int:
        """Those of its arrays that lie in main memory."""
        return sum(a.bytes for a in self.arrays if not a.on_chip)

    @property
    def index(self) -> int | None:
        """Which element of a tuple it takes."""
        index = self.attribute(r"\bindex=(\d+)")
        return int(index) if self.opcode == "get-tuple-element" and index else None

    def attribute(self, pattern: str) -> str | None:
        found = re.search(pattern, self.attributes)
        return found and found[1]

    def callees(self, *keys: str) -> list[str]:
        """The computations that it names as one of `keys`, e.g. "calls" or "body"."""
        pattern = rf"\b(?:{'|'.join(keys)})=\{{?((?:%[\w.\-]+(?:, )?)+)"
        return [n for names in re.findall(pattern, self.attributes) for n in _NAME.findall(names)]


class Computation:
    """Instructions by name, in the order in which they run."""

    def __init__(self, instructions: list[Instruction]) -> None:
        self.instructions = {i.name: i for i in instructions}
        self.root = next(i for i in instructions if i.is_root)
        self.parameters = {int(i.argument): i.name for i in instructions if i.opcode == "parameter"}

    def operands(self, instruction: Instruction) -> list[Instruction]:
        return [self.instructions[name] for name in instruction.operands]

    def outputs(self) -> list[Instruction]:
        return self.operands(self.root) if self.root.opcode == "tuple" else [self.root]

    def source(self, name: str, *also: str) -> Instruction:
        """What `name` is another name (or, with `also="copy"`, a copy) of."""
        instruction = self.instructions[name]
        while instruction.opcode in ("bitcast", *also):
            instruction = self.instructions[instruction.operands[0]]
        return instruction

    @functools.cached_property
    def users(self) -> Mapping[str, list[Instruction]]:
        found: dict[str, list[Instruction]] = {name: [] for name in self.instructions}
        for instruction in self.instructions.values():
            for operand in dict.fromkeys(instruction.operands):
                found[operand].append(instruction)
        return found


def parse(text: str) -> tuple[dict[str, Computation], str]:
    """The computations by name, and the name of the one that is run first.

    Raises ValueError for a text without one.
    """
    computations = dict(_computations(text))
    entry = _ENTRY.search(text)
    if entry is None or entry[1] not in computations:
        raise ValueError(
            f"lossjax.devices: the text of a compiled program with an ENTRY computation is "
            f"required, got {text[:60]!r}."
        )
    return computations, entry[1]


def _computations(text: str) -> Iterator[tuple[str, Computation]]:
    name, instructions = "", list[Instruction]()
    for line in text.splitlines():
        if line.startswith(("%", "ENTRY")) and line.endswith("{"):
            name, instructions = _NAME.findall(line)[0], []
        elif line.startswith("}") and instructions:
            yield name, Computation(instructions)
            instructions = []
        elif found := _INSTRUCTION.match(line):
            instructions.append(_instruction(found[2], found[3], bool(found[1])))


def _instruction(name: str, text: str, is_root: bool) -> Instruction:
    text = _COMMENT.sub("", text)
    end = _end(text, " ")  # types hold spaces too, but inside brackets
    opcode, _, rest = text[end + 1 :].partition("(")
    close = _end(rest, ")")
    argument = rest[:close]
    operands = () if opcode in ("constant", "parameter") else tuple(_NAME.findall(argument))
    arrays = tuple(_array(*found) for found in _ARRAY.findall(text[:end]))
    return Instruction(name, opcode, arrays, operands, argument, rest[close + 1 :], is_root)


def _end(text: str, last: str) -> int:
    """Where the first character `last` outside of brackets is."""
    depth = 0
    for position, character in enumerate(text):
        if depth == 0 and character == last:
            return position
        depth += (character in "([{") - (character in ")]}")
    return len(text)


def _array(dtype: str, shape: str, layout: str) -> Array:
    sizes = tuple(int(size.lstrip("<=")) for size in shape.split(",") if size)
    padded = list(sizes)
    tile = _TILE.search(layout)
    if tile:
        minor_to_major = [int(n) for n in re.findall(r"\d+", layout.split(":")[0])]
        for axis, size in zip(minor_to_major, reversed(tile[1].split(",")), strict=False):
            padded[axis] = math.ceil(padded[axis] / int(size)) * int(size)
    digits = re.search(r"\d+", dtype)  # f8e4m3 has 8 bits; a token has none
    bits = 8 if dtype == "pred" else int(digits[0]) if digits else 0
    on_chip = _SPACE.search(layout) is not None
    return Array(sizes, math.ceil(math.prod(padded) * bits / 8), on_chip)
