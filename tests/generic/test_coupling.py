"""The word `couples`: it is true of every loss, and false ones are found."""

import jax
import numpy as np
import pytest
from jax import numpy as jnp

import lossjax
from lossjax import losses, testing
from lossjax.core.registry import classes, example
from lossjax.testing import assert_couples, influence

# By name: losses of users, which other tests define, come and go.
LOSSES = sorted({c.__name__ for c in classes() if c.__module__.startswith("lossjax.losses")})
COUPLED = [name for name in LOSSES if getattr(losses, name)._declared.couples != "none"]


@pytest.mark.thorough  # quick: the couples of test_every_loss.py
@pytest.mark.parametrize("name", LOSSES)
def test_the_word_is_true(name):
    cls = getattr(losses, name)
    loss = example(cls)
    assert_couples(loss)
    assert cls._declared.couples in ("none", "sums", "pairs")
    found = influence(loss)
    if cls._declared.couples == "none":
        assert np.diagonal(found).any()
        assert not (found & ~np.eye(len(found), dtype=bool)).any()
    else:
        assert found.any(0).all()
        assert "total" not in vars(cls)


def test_the_axis_of_a_loss_has_a_say():
    for loss in (losses.Dice(axis=-1), losses.Tversky(axis=0), losses.CosineSimilarity(axis=0)):
        assert_couples(loss)
    with pytest.raises(ValueError, match="depends on the whole batch for axis=0, so the totals"):
        losses.CosineSimilarity(axis=0).total(np.eye(3), np.eye(3))


def centred(y_true, y_pred):
    e = y_true - y_pred
    return jnp.mean((e - jnp.mean(e, 0)) ** 2, -1)


class FalselyNone(losses.Loss):
    couples = "none"

    def call(self, y_true, y_pred):
        return centred(y_true, y_pred)


class FalselyPairs(losses.Loss):
    couples = "pairs"

    def call(self, y_true, y_pred, where=None):
        return jnp.mean((y_true - y_pred) ** 2, -1)


class Concordance(losses.Loss):
    """1 - the share of the squares of y_true that is explained."""

    couples = "sums"

    def sums(self, y_true, y_pred, where=None):
        there = True if where is None else where.astype(bool)
        e, t = jnp.where(there, y_true - y_pred, 0), jnp.where(there, y_true, 0)
        return {"error": jnp.sum(e**2), "truth": jnp.sum(t**2)}

    def from_sums(self, sums):
        return sums["error"] / (1 + sums["truth"])


class FalselySums(Concordance):
    def sums(self, y_true, y_pred, where=None):
        return {k: x / len(y_pred) for k, x in super().sums(y_true, y_pred, where).items()}


def test_a_false_word_is_found():
    right = r'Declare "sums" and what they are .* else "pairs"'
    with pytest.raises(AssertionError, match=rf'couples="none" is wrong: sample 0 .*{right}'):
        assert_couples(FalselyNone())
    with pytest.raises(AssertionError, match=r'couples=.pairs. is wrong: .* Declare "none"'):
        assert_couples(FalselyPairs())
    with pytest.raises(AssertionError, match="do not add up to those of the batch"):
        assert_couples(FalselySums())


def test_a_loss_of_sums_has_totals_masks_and_padding():
    loss, rng = Concordance(), np.random.default_rng(0)
    t, p = rng.normal(size=(2, 6, 3)).astype(np.float32)
    assert_couples(loss)
    want = loss(t[:4], p[:4])
    np.testing.assert_allclose(want, np.sum((t - p)[:4] ** 2) / (1 + np.sum(t[:4] ** 2)), rtol=1e-5)
    parts = loss.total(t[:1], p[:1]) + loss.total(t[1:4], p[1:4])
    np.testing.assert_allclose((parts.zero() + parts).result(), want, rtol=1e-6)
    rows = np.arange(6) < 4
    poisoned = np.where(rows[:, None], p, np.nan)
    np.testing.assert_allclose(loss(t, poisoned, mask=rows), want, rtol=1e-6)
    objective = lossjax.Objective(loss)
    totals = objective.totals(t, poisoned, rows=jnp.asarray(rows))
    assert totals.mergeable
    np.testing.assert_allclose(objective.value(totals).loss, want, rtol=1e-6)


def spread(y_true, y_pred, *, where=None):
    where = None if where is None else where[:, None]
    return jnp.mean((y_pred - jnp.mean(y_pred, where=where)) ** 2, -1)


def test_a_function_that_takes_where_needs_no_call():
    class Spread(losses.Loss):
        fn = spread
        couples = "pairs"

    p, rows = np.float32([[1.0], [3.0], [np.nan]]), np.array([True, True, False])
    assert Spread()(0 * p, p, mask=rows) == 1.0


def test_what_couples_needs_is_asked_for_where_it_is_defined():
    with pytest.raises(TypeError, match=r"couples='pairs' needs call\(self, y_true, y_pred, where"):

        class Deaf(losses.Loss):
            couples = "pairs"

            def call(self, y_true, y_pred):
                return centred(y_true, y_pred)

    with pytest.raises(TypeError, match=r"needs the methods .* from_sums is missing"):

        class Half(losses.Loss):
            couples = "sums"

            def sums(self, y_true, y_pred, where=None):
                return y_pred

    with pytest.raises(ValueError, match=r"couples must be one of .* got 'nothing'"):

        class Unknown(losses.Loss):
            couples = "nothing"


@pytest.mark.parametrize("name", COUPLED)
def test_a_masked_sample_of_a_coupled_loss_is_not_there(name):
    loss = example(getattr(losses, name))
    t, p = testing.sample(loss)
    rows = np.arange(len(p)) % 3 != 1
    poisoned = np.where(rows.reshape(-1, *[1] * (p.ndim - 1)), p, np.nan)
    got, slope = jax.value_and_grad(lambda p: loss(t, p, mask=rows))(poisoned)
    kept = jax.tree.map(lambda x: x[rows], t)
    want, of_rows = jax.value_and_grad(lambda p: loss(kept, p))(p[rows])
    np.testing.assert_allclose(got, want, rtol=1e-5)
    np.testing.assert_allclose(slope[rows], of_rows, rtol=1e-4, atol=1e-6)
    assert not slope[~rows].any()
