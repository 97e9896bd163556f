"""What holds for every loss on any data: order, weights, masks, jit, and totals that merge."""

import functools
import itertools

import chex
import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import numpy as jnp

from cases import DEEP_VARIANTS, variant_id
from lossjax import losses, testing


# One configuration a loss will do, but for those that change which values or masks there are.
# Losses over the batch have no value per sample to weigh.
def per_sample(case, config):
    if case.domain == "region":
        return "axis" in config
    return case.loss is not losses.Circle and (not config or "ignore_class" in config)


pytestmark = pytest.mark.thorough  # quick: the totals, masks and values of test_every_loss.py
PER_SAMPLE = [(case, config) for case, config in DEEP_VARIANTS if per_sample(case, config)]
MERGEABLE = PER_SAMPLE + [(c, k) for c, k in DEEP_VARIANTS if c.domain == "region" and not k]
REDUCTIONS = ("sum_over_batch_size", "sum", "mean_with_sample_weight")
SPLITS = ([0, 8], [0, 3, 8], [0, 1, 1, 8])  # unequal parts, one of one sample, one of none
SAMPLES = 8

seeds = st.integers(0, 2**16)


# What is done with the values does not know whose they are.
THOROUGH = (losses.MeanSquaredError, losses.SparseCategoricalCrossentropy, losses.Dice)


def few(case):
    """Fewer for a loss with a scan, which is compiled at every eager call."""
    examples = 2 if case.loss is losses.CTC else 10 if case.loss in THOROUGH else 4
    return settings(max_examples=examples, deadline=None, derandomize=True)


def sample(loss, seed):
    return testing.sample(loss, (SAMPLES, 6, 4) if loss._declared.domain.in_steps else None, seed)


def draw_weights(seed):
    rng = np.random.default_rng(seed)
    weight = rng.uniform(0, 2, SAMPLES) * rng.integers(0, 2, SAMPLES)
    return weight.astype(np.float32), rng.uniform(size=SAMPLES) < 0.6


@pytest.mark.parametrize(("case", "config"), PER_SAMPLE, ids=variant_id)
def test_order_weights_and_masks(case, config):
    total = jax.jit(case.loss(**config, reduction="sum"))
    mean = jax.jit(case.loss(**config, reduction="mean_with_sample_weight"))
    values = case.loss(**config, reduction=None)
    close = functools.partial(chex.assert_trees_all_close, rtol=2e-5, atol=1e-5)

    @few(case)
    @given(seeds)
    def check(seed):
        y_true, y_pred = sample(case.loss(**config), seed)
        weight, mask = draw_weights(seed)
        order = np.random.default_rng(seed).permutation(SAMPLES)
        for loss in (total, mean):
            want = loss(y_true, y_pred, weight, mask)
            close(loss(y_true[order], y_pred[order], weight[order], mask[order]), want)
            poisoned = np.where(mask.reshape(-1, *[1] * (y_pred.ndim - 1)), y_pred, np.nan)
            close(loss(y_true, poisoned, weight, mask), want)
        i = seed % SAMPLES
        twice = [np.concatenate([x, x[i : i + 1]]) for x in (y_true, y_pred)]
        doubled = np.ones(SAMPLES, np.float32)
        doubled[i] = 2
        for loss in (total, mean):
            close(loss(*twice, np.ones(SAMPLES + 1, np.float32)), loss(y_true, y_pred, doubled))
        close(jax.jit(values)(y_true, y_pred), values(y_true, y_pred))

    check()


@pytest.mark.parametrize(("case", "config"), MERGEABLE, ids=variant_id)
def test_totals_of_any_split_merge(case, config):
    """Value and gradient, in float64."""

    @few(case)
    @given(seeds, st.sampled_from(SPLITS), st.sampled_from(REDUCTIONS), st.booleans())
    def check(seed, edges, reduction, masked):
        loss = case.loss(**config, reduction=reduction)
        y_true, y_pred = sample(loss, seed)
        weight, mask = draw_weights(seed)
        weight = (None, 0.7, weight)[seed % 3]
        mask = mask if masked else None

        def part(x, rows):
            return x if x is None or np.ndim(x) == 0 else x[rows]

        def whole(p):
            return loss(y_true, p, sample_weight=weight, mask=mask)

        def merged(p):
            rows = [slice(a, b) for a, b in itertools.pairwise(edges)]
            totals = [loss.total(y_true[r], p[r], part(weight, r), part(mask, r)) for r in rows]
            return sum(totals).result()

        with jax.enable_x64(True):
            p = jnp.asarray(y_pred, np.float64)
            want = jax.value_and_grad(whole)(p)
            chex.assert_trees_all_close(jax.value_and_grad(merged)(p), want, rtol=1e-12)

    check()
