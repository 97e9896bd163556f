"""What inputs a loss takes: how to draw them, what holds of them, where to look at a loss."""

from typing import Any

from lossjax.core.domain.base import Domain, Edge, Line, Rule, Sample, Sampler
from lossjax.core.domain.boxes import BOX
from lossjax.core.domain.classes import (
    BINARY,
    CLASS,
    DISTANCE,
    DISTRIBUTION,
    LABEL,
    REGION,
    SCORE,
)
from lossjax.core.domain.events import INTERVAL, LEVEL, ORDINAL, SURVIVAL
from lossjax.core.domain.numbers import COUNT, DIRECTION, ENSEMBLE, LOG_MEAN, POSITIVE, REAL, SIGN
from lossjax.core.domain.parameters import (
    BETA,
    GAMMA,
    GAUSSIAN,
    INVERSE_GAUSSIAN,
    LAPLACE,
    NEGATIVE_BINOMIAL,
    STUDENT_T,
    ZERO_INFLATED,
)
from lossjax.core.domain.structures import EMBEDDING, HIDDEN, SEQUENCE
from lossjax.core.texts import nearest, shown

__all__ = ["DOMAINS", "REAL", "Domain", "Edge", "Line", "Rule", "Sample", "Sampler"]

_ALL = (
    *(REAL, POSITIVE, COUNT, LOG_MEAN, ENSEMBLE, DIRECTION, SIGN),
    *(DISTRIBUTION, BINARY, CLASS, LABEL, SCORE),
    *(ORDINAL, LEVEL, SURVIVAL, INTERVAL),
    *(REGION, DISTANCE, BOX, EMBEDDING, SEQUENCE, HIDDEN),
    *(GAUSSIAN, LAPLACE, GAMMA, INVERSE_GAUSSIAN),
    *(STUDENT_T, NEGATIVE_BINOMIAL, ZERO_INFLATED, BETA),
)
DOMAINS = {d.name: d for own in _ALL for d in (own, own.logits) if d}


def named(where: str, domain: Any) -> Domain:
    """The domain itself, or the one of that name."""
    if isinstance(domain, Domain):
        return domain
    if not isinstance(domain, str) or domain not in DOMAINS:
        raise ValueError(
            f"{where}: domain must be a Domain or one of {tuple(DOMAINS)}, got {shown(domain)}."
            f"{nearest(domain, DOMAINS)}"
        )
    return DOMAINS[domain]
