"""Totals of the parts of a batch add up to the whole, and what cannot be merged says so."""

import itertools

import chex
import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cases import VARIANTS, variant_id
from lossjax import losses, testing

# Hinge labels are -1 or 1 here: whether 0 and 1 are converted is decided a batch at a time.
MERGEABLE = [
    (case, config)
    for case, config in VARIANTS
    if case.loss is not losses.Circle and config.get("axis") != 0
]
REDUCTIONS = ("sum_over_batch_size", "sum", "mean_with_sample_weight")


def weights_of(values_shape, kind, rng):
    shape = values_shape or (8,)
    if kind == "scalar":
        return 0.7
    return None if kind is None else rng.uniform(0, 2, shape) * rng.integers(0, 2, shape)


def part(x, rows):
    return x if x is None or np.ndim(x) == 0 else x[rows]


@pytest.mark.parametrize(("case", "config"), MERGEABLE, ids=variant_id)
def test_any_split_gives_the_whole_batch(case, config):
    with jax.enable_x64(True):
        loss = case.loss(**config)
        y_true, y_pred = testing.sample(loss)
        y_pred = y_pred.astype(np.float64)
        n = len(y_pred)
        one = case.loss(**config, reduction=None)(y_true, y_pred).shape

        @settings(max_examples=8, deadline=None, derandomize=True)
        @given(
            st.lists(st.integers(0, n), max_size=3),
            st.sampled_from(REDUCTIONS),
            st.sampled_from([None, "scalar", "sample"]),
            st.booleans(),
            st.integers(0, 99),
        )
        def check(cuts, reduction, weighting, masked, seed):
            rng = np.random.default_rng(seed)
            loss = case.loss(**config, reduction=reduction)
            weight = weights_of(one, weighting, rng)
            mask = rng.uniform(size=one or (n,)) < 0.6 if masked else None
            edges = [0, *sorted(cuts), n]

            def whole(p):
                return loss(y_true, p, sample_weight=weight, mask=mask)

            def merged(p):
                parts = [slice(a, b) for a, b in itertools.pairwise(edges)]
                return sum(
                    loss.total(y_true[r], p[r], part(weight, r), part(mask, r)) for r in parts
                ).result()

            want = jax.value_and_grad(whole)(y_pred)
            chex.assert_trees_all_close(jax.value_and_grad(merged)(y_pred), want, rtol=1e-12)

        check()
