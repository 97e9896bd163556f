"""What an optimised program does: the kernels it launches, the bytes that they move."""

import math
import re
from collections.abc import Callable, Sequence
from typing import TypeAlias

from lossjax.devices import _hlo
from lossjax.devices._hlo import Computation, Instruction

# Other names for what is there already: nothing runs.
_FREE = frozenset(
    [
        "add-dependency",
        "after-all",
        "bitcast",
        "constant",
        "domain",
        "get-tuple-element",
        "opt-barrier",
        "parameter",
        "partition-id",
        "replica-id",
        "tuple",
    ]
)
_LIBRARIES = ("__", "tpu_custom_call")  # how custom calls begin that may be products
_FREE_TARGETS = ("AllocateBuffer", "ConcatBitcast")
_DMA = ("copy-start", "slice-start", "dynamic-slice-start")  # no kernel, but traffic
_SLICES = ("dynamic-slice", "gather", "slice")
# Operations that write into the array they are given, and the operand that they write.
_UPDATES = {"dynamic-update-slice": 1, "scatter": 2}
_ELEMENTWISE = frozenset(
    [
        "abs",
        "add",
        "and",
        "bitcast",
        "ceil",
        "clamp",
        "compare",
        "convert",
        "copy",
        "cosine",
        "divide",
        "erf",
        "exponential",
        "exponential-minus-one",
        "floor",
        "is-finite",
        "log",
        "log-plus-one",
        "logistic",
        "maximum",
        "minimum",
        "multiply",
        "negate",
        "not",
        "or",
        "power",
        "remainder",
        "reshape",
        "reverse",
        "rsqrt",
        "select",
        "sign",
        "sine",
        "sqrt",
        "subtract",
        "tanh",
        "transpose",
        "xor",
    ]
)


_OF_LOOP = ("body", "condition")
Measure: TypeAlias = Callable[[Computation, Instruction], float | None]  # of one kernel


class Program:
    """Reads the text that `jax.jit(f).lower(...).compile().as_text()` gives."""

    def __init__(self, text: str) -> None:
        self._computations, entry = _hlo.parse(text)
        self.entry = self._computations[entry]
        self._parts: dict[tuple[int, str], float] = {}

    def kernels(self) -> list[Instruction]:
        """What is launched: fusions, loops, custom calls, and single operations on arrays."""
        return self._launched(self.entry)

    def _launched(self, within: Computation) -> list[Instruction]:
        found = []
        for i in within.instructions.values():
            if i.opcode == "call":
                found += self._launched(self._callee(i, "to_apply"))
            elif not (_is_free(i) or i.opcode in _DMA or _is_scalar(within, i)):
                found.append(i)
        return found

    def has_loops(self) -> bool:
        """Whether a part is repeated; XLA's own figures take it as done once."""
        computations = self._computations.values()
        return any(i.opcode == "while" for c in computations for i in c.instructions.values())

    def floor_bytes(self) -> int:
        """Every argument and every output once."""
        arguments = [self.entry.instructions[name] for name in self.entry.parameters.values()]
        return sum(i.main_bytes for i in (*arguments, *self.entry.outputs()))

    def bytes_moved(self) -> int | None:
        """Between main memory and the chip; None where a loop runs an unknown number of times.

        A kernel reads each operand and writes each output once. Of an operand that it only slices
        or gathers from, or updates in place, the elements concerned count.
        """
        moved = self._sum(self.entry, self.moved_by)
        return None if moved is None else int(moved)

    def product_flops(self) -> float | None:
        """2 M N K for each product of matrices, loops as often as they run; None if not known."""
        return self._sum(self.entry, self._product)

    def seconds(self, bandwidth: float, flops: float) -> float | None:
        """Kernel after kernel, each as long as its bytes or its products take; None if not known.

        Peaks are in bytes and in operations a second. Launches and all other arithmetic are free.
        """

        def longer(within: Computation, i: Instruction) -> float | None:
            product = self._product(within, i)
            moved = self.moved_by(within, i)
            return None if product is None else max(moved / bandwidth, product / flops)

        return self._sum(self.entry, longer)

    def rounds(self) -> int | None:
        """How often the outermost loops run, all together; None if not known."""
        loops = [i for i in self.entry.instructions.values() if i.opcode == "while"]
        trips = [self._trips(self.entry, loop) for loop in loops]
        return None if None in trips else sum(filter(None, trips))

    def _sum(self, within: Computation, measure: Measure) -> float | None:
        return _total([self._measured(within, i, measure) for i in within.instructions.values()])

    def _measured(self, within: Computation, i: Instruction, measure: Measure) -> float | None:
        if _is_free(i):
            return 0
        if i.opcode == "while":
            trips, parts = self._trips(within, i), (self._callee(i, k) for k in _OF_LOOP)
            once = _total([self._sum(part, measure) for part in parts])
            return None if trips is None or once is None else trips * once
        if i.opcode == "call":
            return self._sum(self._callee(i, "to_apply"), measure)
        if i.opcode == "conditional":
            names = i.callees("branch_computations", "true_computation", "false_computation")
            branches = [self._sum(self._computations[name], measure) for name in names]
            return None if None in branches else max(filter(None, branches), default=0)
        return measure(within, i)

    def _product(self, within: Computation, i: Instruction) -> float | None:
        """The operations of a product, or of those inside of a fusion."""
        if i.opcode == "fusion":
            inside = self._callee(i, "calls")
            return _total([self._product(inside, j) for j in inside.instructions.values()])
        summed = i.attribute(r'\blhs_contracting_dim(?:s=\{|ensions":\[)([\d,"]*)')
        if summed is not None:  # "0,1" of a `dot`, '"0","1"' in the configuration of cuBLAS
            left = within.operands(i)[0].arrays[0].sizes
            inner = math.prod(left[int(axis)] for axis in re.findall(r"\d+", summed))
        elif i.opcode == "convolution":  # a sum over all of its kernel but the output features
            kernel = within.operands(i)[1].arrays[0].sizes
            labels = i.attribute(r"\bdim_labels=\w+_(\w+)->") or ""
            inner = math.prod(n for n, label in zip(kernel, labels, strict=True) if label != "o")
        else:
            is_library = i.opcode == "custom-call" and _target(i).startswith(_LIBRARIES)
            return None if is_library else 0
        return 2.0 * i.arrays[0].elements * inner

    def moved_by(self, within: Computation, i: Instruction) -> int:
        return self.read_by(within, i) + self.written_by(within, i)

    def read_by(self, within: Computation, i: Instruction) -> int:
        operands = enumerate(within.operands(i))
        return round(sum(o.main_bytes * self._share(within, i, k) for k, o in operands))

    def written_by(self, within: Computation, i: Instruction) -> int:
        if i.opcode in _UPDATES:
            return round(i.main_bytes * _updated(within, i))
        if i.opcode.endswith("-start"):
            return sum(a.bytes for a in _delivered(within, i) if not a.on_chip)
        written = float(i.main_bytes)
        if i.opcode == "fusion":
            inside = self._callee(i, "calls")
            for output in inside.outputs():
                last = inside.source(output.name)
                if _is_in_place(inside, last):
                    written -= last.main_bytes * (1 - _updated(inside, last))
        return max(0, round(written))

    def _share(self, within: Computation, i: Instruction, position: int) -> float:
        """The part of an operand that `i` reads."""
        if i.opcode == "fusion":
            inside = self._callee(i, "calls")
            return self._part(inside, inside.parameters[position])
        if position == 0 and i.opcode in _UPDATES:
            return _overwritten(within, i)
        if position == 0 and (i.opcode in _SLICES or i.opcode in _DMA):
            taken = sum(a.elements for a in _delivered(within, i))
            return min(1.0, taken / max(1, within.operands(i)[0].elements))
        return 1.0

    def _part(self, inside: Computation, name: str) -> float:
        """The part of a value inside a fusion that its users need, all together."""
        key = id(inside), name
        if key not in self._parts:
            value = inside.instructions[name]
            needed = sum(self._need(inside, user, value) for user in inside.users[name])
            self._parts[key] = 1.0 if value.is_root else min(1.0, needed)
        return self._parts[key]

    def _need(self, inside: Computation, user: Instruction, value: Instruction) -> float:
        positions = [k for k, name in enumerate(user.operands) if name == value.name]
        if user.opcode == "fusion":
            return sum(self._share(inside, user, k) for k in positions)
        if positions == [0] and user.opcode in _SLICES:
            return self._part(inside, user.name) * user.elements / max(1, value.elements)
        if positions == [0] and user.opcode in _UPDATES:
            return _overwritten(inside, user)
        if user.opcode in _ELEMENTWISE and user.elements == value.elements:
            return self._part(inside, user.name)
        return 1.0

    def _callee(self, i: Instruction, key: str) -> Computation:
        return self._computations[i.callees(key)[0]]

    def _trips(self, within: Computation, loop: Instruction) -> int | None:
        return _trips(within, loop, *(self._callee(loop, key) for key in _OF_LOOP))


def _total(parts: Sequence[float | None]) -> float | None:
    return None if None in parts else sum(part for part in parts if part)


def _is_free(i: Instruction) -> bool:
    if i.opcode == "custom-call":
        return _target(i) in _FREE_TARGETS
    return i.opcode in _FREE or i.opcode.endswith(("-done", "-update"))


def _target(i: Instruction) -> str:
    return i.attribute(r'custom_call_target="([^"]*)"') or ""


def _is_scalar(within: Computation, i: Instruction) -> bool:
    """Arithmetic on numbers between two kernels; a GPU makes kernels (fusions) even of these."""
    sizes = [x.elements for x in (i, *within.operands(i))]
    return i.opcode in _ELEMENTWISE and max(sizes) <= 1


def _delivered(within: Computation, i: Instruction) -> list[_hlo.Array]:
    """What it gives; `...-start` also names its operands and a semaphore."""
    given = list(i.arrays)
    if i.opcode.endswith("-start"):
        for array in [a for o in within.operands(i) for a in o.arrays]:
            if array in given:
                given.remove(array)
        given = [a for a in given if a.elements > 1] or given
    return given


def _updated(within: Computation, i: Instruction) -> float:
    """The part of its array that an update writes."""
    written = within.instructions[i.operands[_UPDATES[i.opcode]]]
    return min(1.0, written.elements / max(1, i.elements))


def _is_in_place(inside: Computation, i: Instruction) -> bool:
    return i.opcode in _UPDATES and inside.source(i.operands[0]).opcode == "parameter"


def _overwritten(within: Computation, i: Instruction) -> float:
    """The part of its array that an update reads: a scatter combines, a slice is replaced."""
    return _updated(within, i) if i.opcode == "scatter" else 0.0


def _trips(
    outside: Computation, loop: Instruction, body: Computation, condition: Computation
) -> int | None:
    """How often a loop runs: for a number that XLA wrote down, or `for i in range(a, b, c)`."""
    known = loop.attribute(r'"known_trip_count":\{"n":"(\d+)"')
    if known:
        return int(known)
    test, initial = condition.root, outside.source(loop.operands[0])
    if test.opcode != "compare" or test.attribute(r"direction=(\w+)") != "LT":
        return None
    if initial.opcode != "tuple" or body.root.opcode != "tuple":
        return None

    def integer(within: Computation, name: str) -> int | None:
        """A constant of the program, or one that the loop carries unchanged."""
        source = within.source(name, "copy")
        k = source.index
        if k is not None and body.source(body.root.operands[k], "copy").index == k:
            source = outside.source(initial.operands[k], "copy")
        return int(source.argument) if source.opcode == "constant" else None

    counter = condition.source(test.operands[0], "copy").index
    if counter is None:
        return None
    following = body.source(body.root.operands[counter], "copy")
    if following.opcode != "add":
        return None
    steps = [n for n in following.operands if body.source(n, "copy").index != counter]
    start = integer(outside, initial.operands[counter])
    stop = integer(condition, test.operands[1])
    step = integer(body, steps[0]) if len(steps) == 1 else None
    if start is None or stop is None or not step or step < 0:
        return None
    return max(0, math.ceil((stop - start) / step))
