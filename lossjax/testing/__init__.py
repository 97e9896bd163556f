"""Sample inputs for any loss, shared by tests, benchmarks and examples."""

from lossjax.testing.sampling import DOMAINS, domain_of, draw, sample

__all__ = ["DOMAINS", "domain_of", "draw", "sample"]
