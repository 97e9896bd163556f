"""The values and gradients that `generate.py` recorded of other libraries, and ours."""

import functools

import jax
import numpy as np
import pytest

from cases import ROWS
from elsewhere.generate import family_of, kept, key, stated
from lossjax.testing import domain_of

PEERS = [
    pytest.param(row, peer, id=f"{row.loss.__name__}-{peer.library}-{i}")
    for row in ROWS
    for i, peer in enumerate(row.elsewhere)
]
RTOL = 1e-10

of_family = functools.cache(kept)


@pytest.mark.parametrize(("row", "peer"), PEERS)
def test_value_and_gradient_are_those_of_the_other_library(row, peer):
    record = of_family(family_of(row)).get(key(row, peer), {})
    stale = {k for k, v in stated(row, peer).items() if record.get(k) != v} | {"value"} - set(
        record
    )
    assert not stale, "Record it: python tests/elsewhere/generate.py"
    loss = row.loss(**peer.config)
    true, pred = domain_of(loss).structures
    arrays = [np.asarray(x) for x in record["inputs"]]
    y_true = jax.tree.unflatten(true, arrays[: true.num_leaves])
    y_pred = jax.tree.unflatten(pred, arrays[true.num_leaves :])
    with jax.enable_x64(True):
        value, gradient = jax.value_and_grad(lambda p: peer.times * loss(y_true, p))(y_pred)
        np.testing.assert_allclose(value, record["value"], rtol=RTOL)
        if record["gradient"] is not None:
            for here, there in zip(jax.tree.leaves(gradient), record["gradient"], strict=True):
                # Beside the largest: torch rounds what cancels to 0 otherwise.
                atol = RTOL * np.abs(there).max()
                np.testing.assert_allclose(here, there, rtol=RTOL, atol=atol)
