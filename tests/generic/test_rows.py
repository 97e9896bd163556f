"""Every loss of lossjax has one row, and a row says what is true."""

from collections import Counter

import pytest

from cases import ROWS, variant_id
from lossjax import testing
from lossjax.core.registry import registry


def is_ours(cls):
    return cls.__module__.startswith("lossjax.losses.")


def test_every_loss_has_a_row():
    rows = Counter(row.loss for row in ROWS)
    ours = {cls for cls in registry.values() if isinstance(cls, type) and is_ours(cls)}
    missing = sorted(cls.__name__ for cls in ours - rows.keys())
    assert not missing, (
        f"{missing[0]} has no row: add `Case(losses.{missing[0]})` to CASES of "
        f"tests/losses/{registry[missing[0]].__module__.split('.')[-1]}.py."
    )
    assert [cls.__name__ for cls, times in rows.items() if times > 1] == []


@pytest.mark.parametrize("row", ROWS, ids=variant_id)
def test_a_row_can_be_built(row):
    """Every config, and only what the loss has as its own options."""
    for config in (*row.configs, *row.measured, *row.at_edges):
        loss = row.loss(**config)
        assert config.keys() <= loss.hyperparameters().keys()
        assert testing.sample(loss)
    assert set(row.lost_by_keras) <= row.example().hyperparameters().keys()
    assert row.exact or not (row.measured or row.at_edges or row.sizes)
    assert row.one_array or not row.packed or row.exact
