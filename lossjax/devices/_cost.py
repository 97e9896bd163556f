"""`cost`: the figures of a compiled function, read in its program."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax

from lossjax.core.texts import nearest
from lossjax.devices import _targets
from lossjax.devices._program import Program
from lossjax.devices._targets import TARGETS, Target

# What must be in the environment before jax is imported, to compile for a chip that is not here:
# jax must not look for a TPU because libtpu is there, and libtpu must not ask for its host's name.
ENVIRONMENT: Mapping[str, str] = {
    "JAX_PLATFORMS": "cpu",
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # nothing is run, so several processes may compile
}

_PLATFORMS = ("cpu", "gpu", "tpu")
_SAME = 1.05  # XLA adds a few semaphores and scalars to the bytes


@dataclasses.dataclass(frozen=True)
class Cost:
    """What `cost` finds out. All bytes are those of padded arrays, as they lie in memory.

    ==============================  ==============================================================
    `device`                        the target's name, or JAX's for a device that is here
    `kernels`                       fusions, loops, custom calls and single operations that the
                                    program launches; a loop is one
    `rounds`                        of its loops, those within others left out; None if the length
                                    of one is not a constant
    `bytes_accessed`                between main memory and the chip, counted in the program: a
                                    kernel reads each operand and writes each output once, loops
                                    as often as they run; what a TPU keeps in its vector memory
                                    does not count. None if a loop's length is not a constant
    `floor_bytes`                   every argument once and every output once
    `bytes_over_floor`              `bytes_accessed / floor_bytes`
    `argument_bytes`                as XLA allocates them
    `output_bytes`                  the same
    `temp_bytes`                    what the program allocates beside arguments and outputs
    `flops`                         XLA's count for the program, or, where the backend has none,
                                    for the function before optimisation; with loops, of which
                                    XLA counts one round, those of the products of matrices in
                                    the program; None if it has none, or a library makes one
    `xla_bytes_accessed`            XLA's count, on-chip memory included, loops once; None on CUDA
    `xla_seconds`                   the time of XLA's cost model for these bytes; None on CPU, on
                                    CUDA, and where a part of the program is unknown to it
    `kernel_seconds`                the sum over all kernels, one after the other, of
                                    max(bytes / bandwidth, products / peak): launches are free
    `estimated_seconds`             an estimate, never a measurement
    `estimated_by`                  "XLA": its compiler's cost model, where it counts the same
                                    bytes; or "roofline": `kernel_seconds`
    `estimated_roofline_fraction`   max(least bytes / bandwidth, `flops` / peak) over
                                    `estimated_seconds`, where the least bytes are `floor_bytes`,
                                    or `bytes_accessed` if a part of an argument is enough
    ==============================  ==============================================================

    Estimates are None for a program with loops of unknown length, and for a device whose peaks
    are not in `TARGETS`, such as a CPU.
    """

    device: str
    kernels: int
    rounds: int | None
    bytes_accessed: int | None
    floor_bytes: int
    argument_bytes: int
    output_bytes: int
    temp_bytes: int
    flops: float | None
    xla_bytes_accessed: float | None
    xla_seconds: float | None
    kernel_seconds: float | None
    estimated_seconds: float | None
    estimated_by: str | None
    estimated_roofline_fraction: float | None

    @property
    def bytes_over_floor(self) -> float | None:
        """None where the floor is 0 or the bytes are not known."""
        if self.bytes_accessed is None or not self.floor_bytes:
            return None
        return self.bytes_accessed / self.floor_bytes

    def as_dict(self) -> dict[str, Any]:
        """The rows of the table above."""
        return {**dataclasses.asdict(self), "bytes_over_floor": self.bytes_over_floor}

    def __str__(self) -> str:
        over, fraction = self.bytes_over_floor, self.estimated_roofline_fraction
        lines = {
            "kernels": str(self.kernels),
            "bytes accessed": _amount(self.bytes_accessed, "B")
            + ("" if over is None else f", {over:.3g} times the floor"),
            "floor of bytes": _amount(self.floor_bytes, "B"),
            "arguments": _amount(self.argument_bytes, "B"),
            "outputs": _amount(self.output_bytes, "B"),
            "temporary": _amount(self.temp_bytes, "B"),
            "flops": _amount(self.flops, ""),
            "estimated time": _amount(self.estimated_seconds, "s")
            + ("" if self.estimated_by is None else f" (not measured; by {self.estimated_by})"),
            "estimated part of the roofline": "unknown" if fraction is None else f"{fraction:.0%}",
        }
        rows = (f"  {name:31} {value}" for name, value in lines.items())
        return "\n".join((f"Cost on {self.device}, from the compiled program:", *rows))


def cost(
    fn: Callable[..., Any],
    *args: Any,
    device: jax.Device | str | None = None,
    **kwargs: Any,
) -> Cost:
    """Compile `fn(*args, **kwargs)` for one device and read what it costs there; nothing is run.

    `fn` may be jitted or not. Arguments are arrays, `jax.ShapeDtypeStruct`s, numbers or pytrees
    of them; only shapes and dtypes matter. `device` is

    - None: JAX's default device,
    - a `jax.Device`, or a platform that is here: "cpu", "gpu" or "tpu",
    - a name in `TARGETS`, "tpu v5e", "tpu v5p", "tpu v6e", "h100" or "a100": compiled ahead of
      time, without the device. It needs the extra `tpu-aot` or `cuda-aot`, in a virtual
      environment of its own, and the variables in `ENVIRONMENT` set before jax is imported
      (`python -m bench devices` sets them itself).

    Raises ValueError for an unknown device or a platform that is not here, ImportError where the
    compiler for a target is not installed, RuntimeError where it does not start; what tracing
    and compiling `fn` raise comes through.

    >>> import jax.numpy as jnp
    >>> x = jnp.ones((256, 1024))
    >>> added = cost(lambda x, y: x + y, x, x, device="cpu")
    >>> added.kernels, added.bytes_accessed / x.nbytes, added.bytes_over_floor, added.flops
    (1, 3.0, 1.0, 262144.0)
    """
    chip, target, options = _resolved(device)
    sharding = jax.sharding.SingleDeviceSharding(chip)
    compiled = _traced(fn, args, kwargs, sharding).lower().compile(compiler_options=options)
    program = Program(compiled.as_text())
    analysis = _analysis(compiled)
    xla_bytes, xla_seconds = (
        None if analysis is None else analysis.get(key)
        for key in ("bytes accessed", "optimal_seconds")
    )
    memory = compiled.memory_analysis()
    moved, floor = program.bytes_moved(), program.floor_bytes()
    if program.has_loops():
        flops = program.product_flops() or None
    elif analysis is not None:
        flops = analysis.get("flops", 0.0)
    else:
        flops = _flops_before_optimisation(fn, args, kwargs)
    least = floor if moved is None else min(floor, moved)
    by_kernel, seconds, by = None, None, None
    if target is not None and moved is not None:
        by_kernel = program.seconds(target.bandwidth, target.flops)
        seconds, by = by_kernel, "roofline"
        if xla_seconds and xla_bytes and _SAME * moved >= xla_bytes and not program.has_loops():
            seconds, by = xla_seconds, "XLA"
    return Cost(
        device=target.name if target else chip.device_kind,
        kernels=len(program.kernels()),
        rounds=program.rounds(),
        bytes_accessed=moved,
        floor_bytes=floor,
        argument_bytes=memory.argument_size_in_bytes,
        output_bytes=memory.output_size_in_bytes,
        temp_bytes=memory.temp_size_in_bytes,
        flops=flops,
        xla_bytes_accessed=xla_bytes,
        xla_seconds=xla_seconds,
        kernel_seconds=by_kernel,
        estimated_seconds=seconds,
        estimated_by=by,
        estimated_roofline_fraction=(
            _roofline(least, flops, target) / seconds if target and seconds else None
        ),
    )


def _resolved(device: jax.Device | str | None) -> tuple[jax.Device, Target | None, dict[str, Any]]:
    """The device, or the stand-in for it; its peaks; how to compile for it."""
    if device is None:
        device = next(iter(jax.numpy.empty(()).devices()))
    if isinstance(device, jax.Device):
        return device, _targets.of_device(device), {}
    if isinstance(device, str):
        name = device.lower()
        target = TARGETS.get(name) or TARGETS.get(f"tpu {name}")
        if target is not None:
            return _stand_in(target.name), target, dict(target.options)
        if name in _PLATFORMS:
            try:
                chip = jax.devices(name)[0]
            except RuntimeError as error:
                raise ValueError(
                    f"lossjax.devices.cost: device {device!r} must be here, or be compiled for "
                    f"ahead of time as one of {', '.join(map(repr, TARGETS))}; JAX says: {error}"
                ) from error
            return chip, _targets.of_device(chip), {}
    known = ", ".join(map(repr, (*_PLATFORMS, *TARGETS)))
    raise ValueError(
        f"lossjax.devices.cost: device must be None, a jax.Device or one of {known}, "
        f"got {device!r}.{nearest(device, (*_PLATFORMS, *TARGETS))}"
    )


@functools.cache
def _stand_in(name: str) -> jax.Device:
    target = TARGETS[name]
    variables = " ".join(f"{name}={value}" for name, value in ENVIRONMENT.items())
    advice = (
        f"Set {variables} before jax is imported, as `python -m bench devices` does, and keep "
        f"the compilers for other chips in a virtual environment of their own."
    )
    command = target.missing()
    if command is not None:
        raise ImportError(
            f"lossjax.devices.cost: compiling for {target.name!r} ahead of time needs its "
            f"compiler, which is not installed: {command}. {advice}"
        )
    try:
        return target.device()
    except Exception as error:  # whatever a plugin fails with
        raise RuntimeError(
            f"lossjax.devices.cost: the compiler for {target.name!r} does not start: "
            f"{str(error).rstrip('.')}. {advice}"
        ) from error


def _traced(fn: Any, args: Any, kwargs: Any, sharding: jax.sharding.Sharding) -> Any:
    """`fn` traced for one device; a jitted one keeps its static and donated arguments."""
    has_arrays = any(map(_is_array, jax.tree.leaves((args, kwargs))))
    # Without arrays only the outputs can say what device is meant.
    if not (isinstance(fn, jax.stages.Wrapped) and has_arrays):
        fn = jax.jit(fn, out_shardings=sharding)

    def placed(x: Any) -> Any:
        if not _is_array(x):
            return x
        dtype = jax.dtypes.canonicalize_dtype(x.dtype, allow_extended_dtype=True)
        weak = getattr(x, "weak_type", False)
        return jax.ShapeDtypeStruct(x.shape, dtype, sharding=sharding, weak_type=weak)

    args, kwargs = jax.tree.map(placed, (args, kwargs))
    return fn.trace(*args, **kwargs)


def _is_array(x: Any) -> bool:
    return hasattr(x, "shape") and hasattr(x, "dtype")


def _analysis(stage: Any) -> Mapping[str, float] | None:
    """XLA's own figures, without those that are marked as unknown by a negative number."""
    found = stage.cost_analysis()
    return None if found is None else {k: v for k, v in found.items() if v >= 0}


def _flops_before_optimisation(fn: Any, args: Any, kwargs: Any) -> float | None:
    """Of the function as traced, lowered for the CPU; None where that can't be done."""
    try:
        sharding = jax.sharding.SingleDeviceSharding(jax.devices("cpu")[0])
        analysis = _analysis(_traced(fn, args, kwargs, sharding).lower())
    except (RuntimeError, NotImplementedError, ValueError):
        return None  # no CPU backend, or a kernel for the GPU alone
    return None if analysis is None else analysis.get("flops", 0.0)


def _roofline(moved: int, flops: float | None, target: Target) -> float:
    return max(moved / target.bandwidth, (flops or 0.0) / target.flops)


def _amount(value: float | None, unit: str) -> str:
    if value is None:
        return "unknown"
    scales = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1, ""), (1e-3, "m"), (1e-6, "µ"))
    size, prefix = next((s for s in scales if value >= s[0]), (1, ""))
    return f"{value / size:.4g} {prefix}{unit}".rstrip()
