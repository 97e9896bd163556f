"""Sample inputs for any loss, shared by tests, benchmarks and examples."""

from lossjax.core.domain import DOMAINS, Domain, Line, Rule
from lossjax.testing.coupling import assert_couples, influence
from lossjax.testing.sampling import domain_of, draw, sample

__all__ = [
    "DOMAINS",
    "Domain",
    "Line",
    "Rule",
    "assert_couples",
    "domain_of",
    "draw",
    "influence",
    "sample",
]
