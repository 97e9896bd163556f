"""Sample inputs for any loss, shared by tests, benchmarks and examples."""

from lossjax.core.domain import DOMAINS, Domain, Line, Rule
from lossjax.testing.sampling import domain_of, draw, sample

__all__ = ["DOMAINS", "Domain", "Line", "Rule", "domain_of", "draw", "sample"]
