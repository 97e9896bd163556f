"""Losses for JAX with the meaning of Keras's, differentiable in everything."""

from lossjax import devices as devices
from lossjax import losses
from lossjax._base import Loss, static
from lossjax._reduce import Total
from lossjax.objective import Objective, add_loss

__all__ = ["Loss", "Objective", "Total", "add_loss", "devices", "losses", "static"]
__version__ = "0.1.0"
