"""The generic suite, `lossjax.testing.assert_loss`, over every loss, property by property."""

import functools

import pytest

from cases import DEEP, OF_SAMPLES, ends, variant_id
from lossjax.testing.suite import PROPERTIES, Suite


@functools.lru_cache(maxsize=1)
def suite(index):
    """The programs of one configuration: its properties are tested one after the other."""
    case, config = OF_SAMPLES[index]
    return Suite(case.loss(**config))


def ids(variant, name):
    return "-".join([*map(variant_id, variant.values), name])


ONCE = ("couples", "transformations", "leaves")  # of a loss, where time is short
KIN = ("as_given", "totals", "transformations")  # what the kin answer for


def properties():
    for i, variant in enumerate(ends(OF_SAMPLES)):
        case, config = variant.values
        is_last = config == case.configs[-1]
        for name in PROPERTIES:
            if name == "derivatives" and case.is_stopped:
                continue
            if case not in DEEP and name in KIN and not is_last:
                continue
            short = (name in ONCE and not is_last) or (name in KIN and case not in DEEP)
            marks = pytest.mark.thorough if variant.marks or short else ()
            yield pytest.param(i, name, id=ids(variant, name), marks=marks)


@pytest.mark.parametrize(("index", "name"), list(properties()))
def test_property(index, name):
    suite(index).check(name)
    assert name in PROPERTIES
