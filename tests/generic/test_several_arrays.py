"""Losses whose y_true or y_pred is more than one array are used as all others."""

import json
from typing import NamedTuple

import chex
import jax
import numpy as np
import optax
import pytest
from flax import nnx
from jax import numpy as jnp

import lossjax
from lossjax import Objective, inspect, losses, testing, training
from lossjax.core.loss import leaf

B = 8


class Normal(NamedTuple):
    """A distribution for each sample: means of d entries, and one variance."""

    mean: jax.Array
    log_variance: jax.Array


class Survival(NamedTuple):
    """Until when a sample was seen, and whether it ended there."""

    time: jax.Array
    event: jax.Array


def _draw_normal(rng, s):
    return rng.normal(size=s), Normal(rng.normal(size=s), rng.normal(size=(*s[:-1], 1)))


def _draw_survival(rng, s):
    return Survival(rng.gamma(2, size=s[:1]), rng.integers(0, 2, s[:1])), rng.normal(size=s)


def _draw_pair(rng, s):
    scores = {"chosen": rng.normal(size=s[:1]), "rejected": rng.normal(size=s[:1])}
    return rng.integers(0, 2, s[:1]).astype(float), scores


def _of_mean(x):
    return jnp.zeros((1, 1)), Normal(x[None, None], jnp.zeros((1, 1)))


_CURVE = testing.Line("", "error of the mean", -2, 2, _of_mean)


class TrialNormal(losses.Loss):
    """-log of the density of a normal distribution, but for a constant."""

    couples = "none"
    domain = testing.Domain("normal", _draw_normal, shape=(B, 3), curves=(_CURVE,))
    scale: float = 1.0

    def call(self, y_true, y_pred):
        error = self.scale * (y_true - y_pred.mean) ** 2
        return 0.5 * jnp.mean(y_pred.log_variance + error * jnp.exp(-y_pred.log_variance), -1)


class TrialSurvival(losses.Loss):
    """-log of the likelihood of a constant hazard, whose logarithm is predicted."""

    couples = "none"
    domain = testing.Domain("survival", _draw_survival, shape=(B, 1))

    def call(self, y_true, y_pred):
        log_hazard = y_pred[..., 0]
        return jnp.exp(log_hazard) * y_true.time - y_true.event * log_hazard


def preference(y_true, y_pred, beta=1.0):
    """-log P(chosen before rejected), with labels that may be turned round."""
    margin = beta * (y_pred["chosen"] - y_pred["rejected"])
    return jnp.logaddexp(0, jnp.where(y_true > 0, -margin, margin))


class TrialPreference(losses.Loss):
    """The same as a class that is made of its function, of which nothing more is known."""

    fn = preference
    domain = testing.Domain("pair", _draw_pair, shape=(B,))
    beta: float = leaf(default=1.0, interval="[0, inf)")


TRIALS = [TrialNormal(scale=2.0), TrialSurvival(), TrialPreference(beta=0.5)]
trials = pytest.mark.parametrize("loss", TRIALS, ids=lambda loss: loss.name)


def exact(loss, y_true, y_pred):
    """Values in float64, by the definition."""
    t, p = jax.tree.map(lambda x: np.asarray(x, float), (y_true, y_pred))
    if isinstance(loss, TrialNormal):
        variance = np.exp(p.log_variance)
        return 0.5 * np.mean(p.log_variance + loss.scale * (t - p.mean) ** 2 / variance, -1)
    if isinstance(loss, TrialSurvival):
        return np.exp(p[:, 0]) * t.time - t.event * p[:, 0]
    margin = (2 * t - 1) * loss.beta * (p["chosen"] - p["rejected"])
    return np.log1p(np.exp(-margin))


def poisoned(tree, row, value):
    """The tree once for each leaf of floats, with a row of that leaf that holds `value`."""
    leaves, structure = jax.tree.flatten(tree)
    for i, x in enumerate(leaves):
        if x.dtype.kind == "f":
            bad = x.copy()
            bad[row] = value
            yield jax.tree.unflatten(structure, [*leaves[:i], bad, *leaves[i + 1 :]])


@jax.jit
def everything(loss, y_true, y_pred, weight, mask):
    def value(loss, floats, p, weight):
        t = jax.tree.map(lambda x, own: own if x is None else x, floats, y_true, is_leaf=_is_none)
        return loss(t, p, weight, mask)

    floats = jax.tree.map(lambda x: x if x.dtype == np.float32 else None, y_true)
    return jax.value_and_grad(value, (0, 1, 2, 3))(loss, floats, y_pred, weight)


def _is_none(x):
    return x is None


@trials
@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "mean_with_sample_weight", "sum"])
def test_weights_masks_and_what_they_take_out(loss, reduction):
    loss = jax.tree.unflatten(
        jax.tree.structure(type(loss)(reduction=reduction)), jax.tree.leaves(loss)
    )
    for seed in range(3):
        rng = np.random.default_rng(seed)
        t, p = testing.sample(loss, seed=seed)
        mask = rng.integers(0, 2, B).astype(bool)
        mask[:2] = False, True
        weight = np.float32(rng.gamma(1, size=B))
        values = exact(loss, t, p)
        divisor = {"sum_over_batch_size": mask.sum(), "sum": 1}.get(
            reduction, np.sum(weight * mask, dtype=float)
        )
        found, gradients = seen = everything(loss, t, p, weight, mask)
        np.testing.assert_allclose(found, np.sum(values * weight * mask) / divisor, rtol=2e-5)
        assert all(np.any(x) for x in jax.tree.leaves(gradients[2]))
        for x in jax.tree.leaves(gradients[1:3]):
            assert not np.any(np.asarray(x)[~mask])
        for bad in (np.nan, np.inf):
            for q in poisoned(p, 0, bad):
                chex.assert_trees_all_equal(everything(loss, t, q, weight, mask), seen)
            for s in poisoned(t, 0, bad):
                chex.assert_trees_all_equal(everything(loss, s, p, weight, mask), seen)
            for q in poisoned(p, 0, bad):  # a weight of 0 in place of the mask
                zero = np.where(mask, weight, 0)
                again = everything(loss, t, q, zero, np.ones(B, bool))[1][2]
                assert all(np.isfinite(x).all() for x in jax.tree.leaves(again))


@trials
def test_gradients_by_every_leaf_are_slopes(loss):
    t, p = testing.sample(loss)
    gradient = jax.grad(lambda p: loss(t, p))(p)
    p = jax.tree.map(lambda x: np.asarray(x, float), p)
    leaves, structure = jax.tree.flatten(p)

    def mean(i, x):
        moved = jax.tree.unflatten(structure, [*leaves[:i], x, *leaves[i + 1 :]])
        return np.mean(exact(loss, t, moved))

    for i, x in enumerate(leaves):
        step = 1e-6 * np.random.default_rng(1).normal(size=x.shape)
        slope = np.sum(np.asarray(jax.tree.leaves(gradient)[i], float) * step) * 2
        rise = mean(i, x + step) - mean(i, x - step)
        np.testing.assert_allclose(slope, rise, rtol=1e-4, atol=1e-11)


@trials
def test_totals_and_padding(loss):
    t, p = testing.sample(loss)
    weight = np.float32(np.arange(1, B + 1))
    parts = [jax.tree.map(lambda x, s=s: x[s], (t, p, weight)) for s in (slice(3), slice(3, B))]
    merged = jax.jit(lambda parts: sum(loss.total(*part) for part in parts).result())(parts)
    np.testing.assert_allclose(merged, loss(t, p, weight), rtol=1e-6)
    rows = np.arange(B) < 5
    short = jax.tree.map(lambda x: x[:5], (t, p))
    padded, want = jax.jit(lambda q: loss(*loss.without(rows, t, q))), loss(*short)
    for q in poisoned(p, 6, np.nan):
        np.testing.assert_allclose(padded(q), want, rtol=1e-6)


def test_a_leaf_may_have_fewer_sample_axes_than_the_values():
    """Values (B, T); one of the leaves has a row for each of B alone."""

    class _PerStep(losses.Loss):
        couples = "none"

        def call(self, y_true, y_pred):
            return (y_true - y_pred[0]) ** 2 * y_pred[1][:, None]

    rng = np.random.default_rng(0)
    t, p = np.float32(rng.normal(size=(4, 3))), np.float32(rng.normal(size=(4, 3)))
    factor = np.float32(rng.uniform(1, 2, 4))
    mask = np.array([[0, 0, 0], [1, 0, 1], [1, 1, 1], [0, 0, 1]], bool)
    want = jax.value_and_grad(lambda p: _PerStep()(t, p, mask=mask))((p, factor))
    for row in poisoned(factor, 0, np.nan):
        found = jax.value_and_grad(lambda p: _PerStep()(t, p, mask=mask))((p, row))
        chex.assert_trees_all_equal(found, want)


class TrialCox(losses.Loss):
    """-log of the partial likelihood: each event among those who were still there."""

    couples = "pairs"
    domain = testing.Domain("risk", lambda rng, s: (_draw_survival(rng, s)[0], rng.normal(size=s)))

    def call(self, y_true, y_pred, where=None):
        counts = jnp.ones(y_pred.shape, bool) if where is None else where
        score = jnp.where(counts, y_pred, 0)
        time = jnp.where(counts, y_true.time, 0)
        at_risk = counts & (time >= time[:, None])
        log_sum = jax.nn.logsumexp(jnp.where(at_risk, score, -1e30), -1)
        return jnp.where(counts & (y_true.event > 0), log_sum - score, 0)


def test_samples_that_are_compared_have_no_part_that_does_not_exist():
    loss, kept = TrialCox(reduction="sum"), np.arange(B) != 2
    t, p = testing.sample(loss, (B,))
    value = jax.jit(jax.value_and_grad(lambda p, t, **how: loss(t, p, **how)))
    few, slope = value(p[kept], jax.tree.map(lambda x: x[kept], t))
    for t_bad, p_bad in ((t, next(poisoned(p, 2, np.nan))), (next(poisoned(t, 2, np.nan)), p)):
        for how in ({"mask": kept}, {"sample_weight": np.float32(kept)}):
            found, gradient = value(p_bad, t_bad, **how)
            np.testing.assert_allclose(found, few, rtol=1e-6)
            np.testing.assert_allclose(gradient[kept], slope, rtol=1e-5, atol=1e-6)
            assert gradient[2] == 0


@trials
def test_configs(loss):
    again = losses.deserialize(json.loads(json.dumps(losses.serialize(loss))))
    chex.assert_trees_all_equal(again, loss)
    t, p = testing.sample(loss)
    assert again(t, p) == loss(t, p)


@trials
def test_inspect(loss):
    t, p = testing.sample(loss)
    report = inspect.check(loss)
    assert not [f for f in report.findings if f.severity in ("error", "warning")], str(report)
    assert {"mask", "gradient", "slope", "accumulation"} <= {f.check for f in report.findings}
    found = inspect.explain(loss, t, p, mask=np.arange(B) < 5)
    assert jax.tree.structure(found.gradient) == jax.tree.structure(p)
    np.testing.assert_allclose(found.values, exact(loss, t, p), rtol=2e-5, atol=1e-6)
    names = list(next(iter(found.tables())).columns)
    wanted = {TrialNormal: "gradient.log_variance", TrialSurvival: "y_true.event"}
    assert wanted.get(type(loss), "y_pred['rejected']") in names
    assert inspect.compare(loss, loss, t, p)["gradient"].largest == 0
    assert inspect.plot_batch(loss, t, p).axes


def test_a_curve():
    ax = inspect.plot(TRIALS[0]).axes[1]
    xs, ys = ax.lines[0].get_data()
    assert ax.get_xlabel() == "error of the mean"
    np.testing.assert_allclose(ys, 2 * xs, atol=1e-6)


def test_check_names_columns_and_finds_mistakes():
    def clipped(y_true, y_pred):
        return jnp.mean((y_true - y_pred.mean) ** 2 / y_pred.log_variance, -1)

    t, p = testing.sample(TRIALS[0])
    report = inspect.check(clipped, t, p)
    assert "y_pred as columns mean 0:3, log_variance 3:4" in report.source
    assert report["edges"].severity == "error"
    with pytest.raises(TypeError, match="several with a row a sample"):
        inspect.check(clipped, t, Normal(p.mean, p.log_variance[:3]))


def test_checked_names_the_leaf():
    t, p = testing.sample(TRIALS[0])
    bad = next(poisoned(p, 2, np.nan))
    for loss in (TRIALS[0], lambda t, p: TRIALS[0].call(t, p)):
        lossjax.checked(loss)(t, p)
        with pytest.raises(ValueError, match=r"y_pred\.mean must not be NaN.* position \[2 0\]"):
            lossjax.checked(loss)(t, bad)
    assert np.isfinite(lossjax.checked(TRIALS[0])(t, bad, mask=np.arange(B) != 2))


def test_named_tuples_of_lists_are_several_arrays():
    loss = TrialSurvival()
    want = loss(Survival(np.float32([1, 2]), np.array([1, 0])), np.float32([[0.5], [0.1]]))
    np.testing.assert_allclose(loss(Survival([1.0, 2.0], [1, 0]), [[0.5], [0.1]]), want)


# --- objectives and training --------------------------------------------------------------------


@trials
def test_an_objective_takes_them_for_one_output(loss):
    t, p = testing.sample(loss)
    rows = np.arange(B) < 6
    want = loss(*loss.without(rows, t, p))
    totals = Objective(loss).totals(t, p, rows=rows)
    np.testing.assert_allclose(Objective(loss).value(totals).loss, want, rtol=1e-6)
    found = Objective([loss, loss], weights=[1.0, 2.0])(t, p)
    np.testing.assert_allclose(found.loss, 3 * loss(t, p), rtol=1e-6)


def test_an_objective_of_several_outputs():
    pairs = {loss.name: testing.sample(loss) for loss in TRIALS}
    t, p = ({name: pair[i] for name, pair in pairs.items()} for i in (0, 1))
    want = {f"{loss.name}_loss": loss(*pairs[loss.name]) for loss in TRIALS}
    found = Objective({loss.name: loss for loss in TRIALS})(t, p)
    for name, value in want.items():
        np.testing.assert_allclose(found.logs[name], value, rtol=1e-6)
    mask = {TRIALS[0].name: np.arange(B) < 3}
    part = Objective({loss.name: loss for loss in TRIALS})(t, p, None, {**dict.fromkeys(t), **mask})
    first = TRIALS[0](*pairs[TRIALS[0].name], mask=np.arange(B) < 3)
    np.testing.assert_allclose(part.logs[f"{TRIALS[0].name}_loss"], first, rtol=1e-6)
    twice = {k: testing.sample(TRIALS[0], seed=k == "b") for k in ("a", "b")}
    t, p = ({k: pair[i] for k, pair in twice.items()} for i in (0, 1))
    assert {"a_loss", "b_loss"} <= set(Objective(TRIALS[0])(t, p).logs)


def test_what_means_nothing_for_several_arrays_is_told():
    t, p = testing.sample(TRIALS[1])
    with pytest.raises(ValueError, match="TrialSurvival takes several arrays for y_true"):
        Objective(TRIALS[1], class_weight={0: 1.0, 1: 2.0})(t, p)


class Heads(nnx.Module):
    """A model of one of the trials."""

    def __init__(self, loss):
        self.linear = nnx.Linear(4, 4, rngs=nnx.Rngs(0))
        self.kind = type(loss).__name__

    def __call__(self, x):
        z = self.linear(x)
        if self.kind == "TrialNormal":
            return Normal(z[:, :3], z[:, 3:])
        return (
            z[:, :1] if self.kind == "TrialSurvival" else {"chosen": z[:, 0], "rejected": z[:, 1]}
        )


@trials
def test_training_and_evaluation_with_padding(loss):
    n = 11  # batches of 4: the last is padded
    shape = (n, *loss._declared.domain.shape[1:])
    t, _ = testing.sample(loss, shape)
    x = np.float32(np.random.default_rng(0).normal(size=(n, 4)))
    weight = np.float32(np.arange(n) % 3)
    model = Heads(loss)
    state = training.init(model, optax.adam(0.05))
    data = (x, t, weight)
    before = training.evaluate(state, loss, data, batch_size=4)["loss"]
    np.testing.assert_allclose(before, loss(t, model(x), weight), rtol=1e-5)
    state, _ = training.fit(state, loss, data, epochs=6, batch_size=4, verbose=0)
    after = training.evaluate(state, loss, data, batch_size=4)["loss"]
    assert after < before
    with pytest.raises(ValueError, match="'accuracy' means nothing for an output of"):
        training.evaluate(state, loss, data, metrics="accuracy")
