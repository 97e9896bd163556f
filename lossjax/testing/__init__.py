"""Sample inputs and the generic suite for any loss, a user's own too."""

from lossjax.core.domain import DOMAINS, Domain, Line, Rule
from lossjax.testing.coupling import assert_couples, influence
from lossjax.testing.sampling import domain_of, draw, sample
from lossjax.testing.suite import assert_loss

__all__ = [
    "DOMAINS",
    "Domain",
    "Line",
    "Rule",
    "assert_couples",
    "assert_loss",
    "domain_of",
    "draw",
    "influence",
    "sample",
]
