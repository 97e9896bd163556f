"""Losses for JAX with the meaning of Keras's, differentiable in everything."""

from lossjax import devices as devices
from lossjax import losses
from lossjax._base import Loss, static
from lossjax._reduce import Total

__all__ = ["Loss", "Total", "devices", "losses", "static"]
__version__ = "0.1.0"
