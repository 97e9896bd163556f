"""The generic suite, `lossjax.testing.assert_loss`, over every loss, property by property."""

import functools

import pytest

from cases import VARIANTS, ends, variant_id
from lossjax.testing.suite import PROPERTIES, Suite


@functools.lru_cache(maxsize=1)
def suite(index):
    """The programs of one configuration: its properties are tested one after the other."""
    case, config = VARIANTS[index]
    return Suite(case.loss(**config))


def ids(variant, name):
    return "-".join([*map(variant_id, variant.values), name])


@pytest.mark.parametrize(
    ("index", "name"),
    [
        pytest.param(i, name, id=ids(variant, name), marks=variant.marks)
        for i, variant in enumerate(ends(VARIANTS))
        for name in PROPERTIES
    ],
)
def test_property(index, name):
    suite(index).check(name)
    assert name in PROPERTIES
