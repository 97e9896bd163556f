"""Sample inputs for any loss, shared by tests, benchmarks and examples."""

from lossjax.core.domain import DOMAINS, Domain
from lossjax.testing.sampling import domain_of, draw, sample

__all__ = ["DOMAINS", "Domain", "domain_of", "draw", "sample"]
