"""Sample inputs and the generic suite for any loss, a user's own too."""

from lossjax.core.domain import DOMAINS, Domain
from lossjax.testing.sampling import domain_of, draw, sample
from lossjax.testing.suite import assert_loss

__all__ = ["DOMAINS", "Domain", "assert_loss", "domain_of", "draw", "sample"]
