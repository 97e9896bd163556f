"""The generic suite over losses and configurations, property by property."""

import functools

import pytest

from cases import VARIANTS, variant_id
from lossjax import losses
from lossjax.testing.suite import PROPERTIES, Suite

# Those of which the suite is known to hold; the others have the older tests beside this file.
KNOWN = (losses.MeanSquaredError, losses.MeanAbsoluteError, losses.Huber)


@functools.lru_cache(maxsize=1)
def suite(index):
    """The programs of one configuration: its properties are tested one after the other."""
    case, config = VARIANTS[index]
    return Suite(case.loss(**config))


@pytest.mark.parametrize(
    ("index", "name"),
    [
        pytest.param(i, name, id="-".join([*map(variant_id, variant), name]))
        for i, variant in enumerate(VARIANTS)
        if variant[0].loss in KNOWN
        for name in PROPERTIES
    ],
)
def test_property(index, name):
    suite(index).check(name)
    assert name in PROPERTIES
