"""The questions that `check` asks, one function each: from a `Case` to `Finding`s."""

from lossjax.inspect.probes.batch import accumulation, empty, masked, neighbours
from lossjax.inspect.probes.derivative import differentiable, edges, slope
from lossjax.inspect.probes.precision import float64, half
from lossjax.inspect.probes.shape import ORDER, SWAP, broadcasting, is_swapped, order, per_sample
from lossjax.inspect.probes.transform import jit, memory, traces, vmap

# In every state of a loss, also if it cannot be traced.
EAGER = (per_sample, order, broadcasting, neighbours, empty, accumulation, jit)
TRACED = (vmap, differentiable, slope, edges, half, float64, masked, traces, memory)

__all__ = ["EAGER", "ORDER", "SWAP", "TRACED", "broadcasting", "is_swapped", "order"]
