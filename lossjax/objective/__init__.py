"""Several losses and penalties as one number."""

from lossjax.objective.objective import Objective as Objective
from lossjax.objective.objective import add_loss as add_loss

__all__ = ["Objective", "add_loss"]
