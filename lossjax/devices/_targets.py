"""Accelerators by name: their peaks, and how XLA is told to compile for one that is not here."""

import dataclasses
import importlib.util
from collections.abc import Mapping
from typing import Any

import jax
from jax.experimental import topologies


@dataclasses.dataclass(frozen=True)
class Target:
    """A chip that programs can be compiled for ahead of time, with its peaks on paper.

    `bandwidth` is that of its main memory in bytes a second, `flops` the most that it does in a
    second (dense bfloat16 products); `kinds` are the names that JAX gives such a device. For a
    TPU, `topology` is a host's; for a GPU, `config` is what XLA asks the driver for elsewhere.
    `options` are XLA's, without which its program could not be read.
    """

    name: str
    kinds: tuple[str, ...]
    bandwidth: float
    flops: float
    topology: str = ""
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def platform(self) -> str:
        return "cuda" if self.config else "tpu"

    @property
    def extra(self) -> str:
        """The extra of lossjax that installs its compiler."""
        return f"{self.platform}-aot"

    def missing(self) -> str | None:
        """The command that installs its compiler; None if it is here."""
        modules = {"tpu": ("libtpu",), "cuda": ("jax_cuda12_plugin", "jax_cuda13_plugin")}
        if any(importlib.util.find_spec(module) for module in modules[self.platform]):
            return None
        return f"pip install 'lossjax[{self.extra}]'"

    def device(self) -> jax.Device:
        """A stand-in to compile for; nothing can run on it."""
        if self.platform == "tpu":
            found = topologies.get_topology_desc(platform="tpu", topology_name=self.topology)
        else:
            found = topologies.get_topology_desc(
                self.name, "cuda", target_config=_config(self), topology="1x1x1"
            )
        return found.devices[0]


# What any NVIDIA GPU of these generations has.
_NVIDIA = {
    "threads_per_block_limit": 1024,
    "threads_per_warp": 32,
    "shared_memory_per_block": 48 * 1024,
    "threads_per_core_limit": 2048,
    "block_dim_limit_x": 2**31 - 1,
    "block_dim_limit_y": 2**16 - 1,
    "block_dim_limit_z": 2**16 - 1,
    "registers_per_core_limit": 2**16,
    "registers_per_block_limit": 2**16,
}

# jax 0.10 cannot read an `async-update` of three operands, by which gathers are handed over.
_NO_SPARSE_CORE = {"xla_tpu_offload_gather_to_sparsecore": False}

# Sources: Google Cloud's pages "TPU v5e", "TPU v5p" and "TPU v6e"; NVIDIA's data sheets "H100
# Tensor Core GPU" (SXM5) and "A100 80GB" (SXM4); the driver's figures as XLA's own target
# configurations of these GPUs have them.
_ALL = (
    Target("tpu v5e", ("TPU v5 lite", "TPU v5e"), 819e9, 197e12, "v5e:2x2"),
    Target("tpu v5p", ("TPU v5", "TPU v5p"), 2765e9, 459e12, "v5p:2x2x1", {}, _NO_SPARSE_CORE),
    Target("tpu v6e", ("TPU v6 lite", "TPU v6e"), 1640e9, 918e12, "v6e:2x2", {}, _NO_SPARSE_CORE),
    Target(
        "h100",
        ("NVIDIA H100 80GB HBM3",),
        3352e9,
        989e12,
        config={
            "capability": (9, 0),
            "core_count": 132,
            "fpus_per_core": 128,
            "clock_rate_ghz": 1.98,
            "l2_cache_size": 50 * 2**20,
            "device_memory_size": 84_942_979_072,
            "shared_memory_per_core": 228 * 1024,
            "shared_memory_per_block_optin": 227 * 1024,
        },
    ),
    Target(
        "a100",
        ("NVIDIA A100-SXM4-80GB",),
        2039e9,
        312e12,
        config={
            "capability": (8, 0),
            "core_count": 108,
            "fpus_per_core": 64,
            "clock_rate_ghz": 1.41,
            "l2_cache_size": 40 * 2**20,
            "device_memory_size": 85_100_068_864,
            "shared_memory_per_core": 164 * 1024,
            "shared_memory_per_block_optin": 163 * 1024,
        },
    ),
)
TARGETS: Mapping[str, Target] = {target.name: target for target in _ALL}


def of_device(device: jax.Device) -> Target | None:
    """The target that a device is one of."""
    return next((target for target in _ALL if device.device_kind in target.kinds), None)


def _config(target: Target) -> str:
    """XLA's `GpuTargetConfigProto` in its text form."""
    own = dict(target.config)
    major, minor = own.pop("capability")
    info = {**_NVIDIA, **own, "memory_bandwidth": int(target.bandwidth)}
    fields = " ".join(f"{name}: {value}" for name, value in info.items())
    return (
        f"gpu_device_info {{ {fields} "
        f"cuda_compute_capability {{ major: {major} minor: {minor} }} }} "
        f'platform_name: "CUDA" device_description_str: "{target.kinds[0]}" '
        f"dnn_version_info {{ major: 9 minor: 8 patch: 0 }} "
        f"runtime_version {{ major: 12 minor: 8 patch: 0 }}"
    )
