"""Domains: what they say holds of what they draw, and users' own work as those of lossjax."""

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from jax.experimental import checkify

import lossjax
from cases import ROWS, each_domain, variant_id
from lossjax import inspect, losses, testing

ALL = testing.DOMAINS.values()


@pytest.mark.parametrize("domain", ALL, ids=lambda d: d.name)
def test_a_domain_of_lossjax_says_everything(domain):
    assert testing.DOMAINS[domain.name] is domain
    assert domain.target
    assert domain.curves
    assert domain.points
    assert all(len(span) for span in domain.grid)
    assert list(domain.edges())
    assert list(domain.extremes(jnp.finfo("float16")))
    y_true, y_pred = testing.draw(domain)
    if hasattr(y_true, "dtype"):
        assert domain.labelled == (y_true.dtype.kind == "i")
    assert jax.tree.leaves(y_pred)[0].shape == domain.shape


@pytest.mark.parametrize("case", each_domain(ROWS), ids=variant_id)
def test_what_a_domain_draws_keeps_its_rules(case):
    loss, domain = case.loss, case.loss._declared.domain
    for config in ({}, {"from_logits": True}):
        if not config or "from_logits" in loss.__dataclass_fields__:
            made = case.example(**config)
            looked = checkify.checkify(jax.jit(lossjax.checked(made)))
            looked(*testing.sample(made))[0].throw()
            takes_logits = getattr(made, "from_logits", False)
            assert testing.domain_of(made) is (domain.logits if takes_logits else domain)


def _even(loss, y_true, y_pred):
    yield testing.Rule("y_true", y_true, y_true % 2 == 0, "must be even")


def _of_x(x):
    return jnp.full((1, 1), 2.0), x[None, None]


EVEN = testing.Domain(
    "even",
    lambda rng, s: (2.0 * rng.integers(0, 9, s), rng.normal(size=s)),
    shape=(6, 3),
    rules=_even,
    curves=(testing.Line("", "x", 1, 3, _of_x),),
)
BARE = testing.Domain("bare", EVEN.draw)


class Halved(losses.Loss):
    """A user's loss of a domain of the user's."""

    couples = "none"
    domain = EVEN

    def call(self, y_true, y_pred):
        return jnp.mean((y_true / 2 - y_pred) ** 2, -1)


def test_a_users_domain_is_used_everywhere():
    y_true, y_pred = testing.sample(Halved())
    assert y_pred.shape == (6, 3)
    assert y_pred.dtype == np.float32
    assert "even" not in testing.DOMAINS
    for source in (
        inspect.explain(Halved()).given,
        inspect.compare(Halved(), "mse").source,
    ):
        assert "the domain 'even'" in source
    assert inspect.plot(Halved()).axes[0].get_xlabel() == "x"
    loss = lossjax.checked(Halved())
    assert loss(y_true, y_pred) == Halved()(y_true, y_pred)
    with pytest.raises(
        ValueError, match=r"Halved: y_true must be even, got 3.0 at position \[0 0\]"
    ):
        loss([[3.0]], [[1.0]])


def test_a_users_domain_is_asked_for_beside_names():
    for domain in (EVEN, "count"):
        name = getattr(domain, "name", domain)
        assert f"'{name}'" in inspect.explain("mse", domain=domain).given
        assert f"'{name}'" in inspect.compare("mse", "mae", domain=domain).source
        assert inspect.plot("mse", domain=domain).axes
        assert testing.draw(domain)[1].ndim == 2
    assert "'even'" in inspect.check("mse", domain=EVEN).source
    with pytest.raises(ValueError, match=r"plot: no curve for .*the domain 'bare' has no `curves`"):
        inspect.plot("mse", domain=BARE)
    for tool in (inspect.explain, inspect.check, inspect.plot):
        with pytest.raises(ValueError, match=r"must be a Domain or one of .*Did you mean 'real'"):
            tool("mse", domain="reel")
