"""What a compiled function costs on a device, be it here or not."""

from lossjax.devices._cost import ENVIRONMENT, Cost, cost
from lossjax.devices._targets import TARGETS, Target

__all__ = ["ENVIRONMENT", "TARGETS", "Cost", "Target", "cost"]
