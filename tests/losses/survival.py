"""Losses of the time until an event; the definitions are loops over samples, in float64."""

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from jax.sharding import Mesh, PartitionSpec
from jax.test_util import check_grads

from cases import Case, Elsewhere
from lossjax import Objective, losses
from lossjax.losses import Survival

CASES = (
    Case(
        losses.CoxPH,
        ({"ties": "breslow"}, {}),
        keras=None,
        ulps=None,
        elsewhere=tuple(
            Elsewhere(
                "statsmodels",
                f"-{model}.loglike(y_pred[:, 0]) / y_true.event.sum()",
                {"ties": ties},
                gradient=f"-{model}.score(y_pred[:, 0])[:, None] / y_true.event.sum()",
                note="the log-risks are the parameters of a covariate for each sample",
            )
            for ties in ("efron", "breslow")
            for model in [
                f"sm.PHReg(y_true.time, np.eye(len(y_pred)), status=y_true.event, ties={ties!r})"
            ]
        ),
    ),
    Case(losses.DiscreteHazard, ({"censored": "dropped"}, {}), keras=None, ulps=None),
)


def cox(time, event, eta, stratum, ties):
    """The value of each sample."""
    values, seen = np.zeros(len(eta)), {}
    for i in np.flatnonzero(event):
        rivals = (time >= time[i]) & (stratum == stratum[i])
        tied = (time == time[i]) & (stratum == stratum[i]) & (event == 1)
        rank = seen[time[i], stratum[i]] = seen.get((time[i], stratum[i]), -1) + 1
        share = rank / tied.sum() * (ties == "efron")
        total = np.exp(eta[rivals]).sum() - share * np.exp(eta[tied]).sum()
        values[i] = np.log(total) - eta[i]
    return values


def drawn(seed, n=40):
    rng = np.random.default_rng(seed)
    truth = Survival(rng.integers(0, 9, n) / 4, rng.integers(0, 2, n), rng.integers(0, 3, n))
    return truth, rng.normal(0, 2, n)


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_cox_is_its_definition(ties):
    truth, eta = drawn(0)
    where = np.arange(len(eta)) % 5 != 0
    with jax.enable_x64(True):
        got = losses.cox_ph(truth, eta, ties=ties)
        np.testing.assert_allclose(got, cox(*truth[:2], eta, truth[2], ties), rtol=1e-12)
        kept = jax.tree.map(lambda x: x[where], truth)
        want = cox(*kept[:2], eta[where], kept[2], ties)
        got = losses.cox_ph(truth, np.where(where, eta, np.nan), ties=ties, where=where)
        np.testing.assert_allclose(got[where], want, rtol=1e-12)
        assert not got[~where].any()
        check_grads(
            lambda e: losses.CoxPH(ties=ties)(truth, e), (eta,), 2, eps=1e-5, rtol=1e-6, atol=1e-7
        )


def test_cox_averages_over_the_events_that_there_are():
    truth, eta = drawn(1)
    mask = np.arange(len(eta)) % 2 == 0
    kept = jax.tree.map(lambda x: x[mask], truth)
    loss = losses.CoxPH()
    np.testing.assert_allclose(loss(truth, eta, mask=mask), loss(kept, eta[mask]), rtol=1e-6)
    want = cox(*truth[:2], eta, truth[2], "efron").sum() / truth.event.sum()
    np.testing.assert_allclose(loss(truth, eta[:, None]), want, rtol=1e-5)
    nobody = truth._replace(event=0 * truth.event)
    assert loss(nobody, eta) == 0
    assert not jax.grad(lambda e: loss(nobody, e))(jnp.asarray(eta)).any()


def test_cox_of_far_risks_keeps_its_digits():
    """exp(-200) is 0 beside exp(200) in float32."""
    got = losses.cox_ph(Survival([1.0, 2.0, 3.0], [1, 1, 1]), [200.0, -200.0, -201.0])
    np.testing.assert_allclose(got, [0, np.log1p(np.exp(-1)), 0], rtol=1e-6, atol=1e-7)


def test_cox_needs_no_array_of_pairs():
    truth, eta = drawn(2, 4096)
    program = jax.jit(jax.value_and_grad(lambda e: losses.CoxPH()(truth, e))).lower(eta).compile()
    assert program.memory_analysis().temp_size_in_bytes < 100 * 4 * len(eta)


def test_cox_across_devices():
    truth, eta = drawn(3)
    mesh, rows = Mesh(np.array(jax.devices()[:1]), ("data",)), PartitionSpec("data")
    here = losses.CoxPH(axis_name="data", reduction=None)
    found = jax.shard_map(here, mesh=mesh, in_specs=rows, out_specs=rows)(truth, jnp.asarray(eta))
    np.testing.assert_allclose(found, losses.CoxPH(reduction=None)(truth, eta), rtol=1e-6)


def test_in_an_objective_with_strata_or_as_a_dict():
    truth, eta = drawn(4)
    for given in (truth, truth._replace(stratum=None)):
        found = Objective(losses.CoxPH())(given, eta[:, None])
        np.testing.assert_allclose(found.loss, losses.CoxPH()(given, eta), rtol=1e-6)
    as_dict = {"time": truth.time, "event": truth.event}
    want = losses.CoxPH()(truth._replace(stratum=None), eta)
    np.testing.assert_allclose(losses.CoxPH()(as_dict, eta), want, rtol=1e-6)


@pytest.mark.parametrize("censored", ["survived", "dropped"])
def test_discrete_hazard_is_its_definition(censored):
    rng = np.random.default_rng(0)
    time, event, z = rng.integers(0, 4, 20), rng.integers(0, 2, 20), rng.normal(size=(20, 4))
    hazard = 1 / (1 + np.exp(-z))
    want = []
    for t, e, h in zip(time, event, hazard, strict=True):
        end = -np.log(h[t] if e else 1 - h[t] if censored == "survived" else 1)
        want.append(end - np.log(1 - h[:t]).sum())
    got = losses.discrete_hazard(Survival(time, event), z, censored=censored)
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_discrete_hazard_of_no_interval():
    z = jnp.array([[1.0, jnp.nan], [jnp.nan, jnp.nan]])
    assert losses.discrete_hazard(Survival([0, 2], [1, 1]), z).tolist()[1] == 0
    found = jax.grad(lambda z: losses.discrete_hazard(Survival([0, 2], [1, 1]), z).sum())(z)
    np.testing.assert_allclose(found, [[-0.26894142, 0], [0, 0]], rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: losses.cox_ph([1.0], [0.0]), TypeError, "y_true must hold the parameters time"),
        (
            lambda: losses.cox_ph(Survival([1.0, 2.0], [1]), [0.0, 0.0]),
            ValueError,
            r"must have shape \(batch,\), .* got \(2,\), \(1,\)",
        ),
        (lambda: losses.CoxPH(ties="exact")(*drawn(0)), ValueError, "ties must be one of"),
        (
            lambda: losses.discrete_hazard(Survival([0], [1, 1]), [[0.0, 1.0]]),
            ValueError,
            r"event must have the shape of time, \(1,\), got \(2,\)",
        ),
    ],
)
def test_mistakes_are_told(call, error, match):
    with pytest.raises(error, match=match):
        call()
