"""Losses of a predicted distribution; the definitions take its parameters side by side."""

import functools

import chex
import jax
import numpy as np
import pytest
from jax import numpy as jnp
from jax.test_util import check_grads
from mpmath import mp

from cases import Case, Elsewhere
from exact import largest, mean, row_largest
from lossjax import Objective, losses, testing


def parted(kind):
    """Parameters side by side, as the tests draw them, as y_pred."""
    return lambda p: kind(*jnp.split(p, len(kind._fields), -1))


def entry_by_entry(density):
    """Its mean: entry i of the truth has the entries i of all parameters."""

    @functools.wraps(density)
    def of_sample(t, p, **config):
        d = len(t)
        return mean([density(x, *p[i::d], **config) for i, x in enumerate(t)])

    return of_sample


def drawn(rng, truths, *parameters):
    """Samples of one entry: every truth with every parameter, all of equal number."""
    t, p = np.float32(truths)[:, None], np.stack(np.float32(parameters), -1)
    return np.repeat(t, len(p), 0), np.tile(p, (len(t), 1))


def some(rng, n=60):
    """Parameters from -80 to 80, most of them mild."""
    far = rng.uniform(-80, 80, n // 4)
    return np.concatenate([rng.normal(0, 2, n - len(far) - 1), far, [0]])


def mild(rng, n=60):
    """Parameters of usual size, and some that are extreme."""
    return np.concatenate([rng.normal(0, 2, n - 11), rng.uniform(-20, 20, 10), [0]])


LOG_TWO_PI = mp.log(2 * mp.pi)


@entry_by_entry
def gaussian_nll(t, m, s, beta=0.0):
    return mp.exp(beta * s) * (LOG_TWO_PI + s + (t - m) ** 2 * mp.exp(-s)) / 2


def of_gaussian(t, p, config):
    m, s = p.T
    z = (t[:, 0] - m) * np.exp(-s / 2)
    factor = np.exp(config.get("beta", 0) * s)
    value = factor * largest(1, s, z**2)
    return value, np.stack([0 * s, factor * largest(1, z**2)], -1)


@entry_by_entry
def laplace_nll(t, m, s):
    return mp.log(2) + s + abs(t - m) * mp.exp(-s)


def of_laplace(t, p, _):
    m, s = p.T
    z = np.abs(t[:, 0] - m) * np.exp(-s)
    return largest(1, s, z), np.stack([0 * s, largest(1, z)], -1)


def gaussian_kl(t, p):
    """To a normal distribution of variance 1."""
    d = len(t)
    rows = zip(t, p[:d], p[d:], strict=True)
    return mp.fsum((m - u) ** 2 + mp.exp(s) - 1 - s for u, m, s in rows) / 2


@entry_by_entry
def gamma_nll(t, log_mean, log_shape):
    k, scale = mp.exp(log_shape), mp.exp(log_mean - log_shape)
    return mp.loggamma(k) + k * mp.log(scale) - (k - 1) * mp.log(t) + t / scale


def logarithms(t, p):
    """log(t / μ), and how large the logarithms are of which it is the difference."""
    log_t = np.log(t[:, 0])
    return log_t - p[:, 0], largest(1, log_t, p[:, 0])


def of_gamma(t, p, _):
    (r, size), k = logarithms(t, p), np.exp(p[:, 1])
    slope = k * largest(np.expm1(r) * size, np.exp(r), np.expm1(r) - r)
    return largest(slope, size, p[:, 1]), np.stack([k * np.exp(r) * size, largest(1, slope)], -1)


@entry_by_entry
def inverse_gaussian_nll(t, log_mean, log_shape):
    m, c = mp.exp(log_mean), mp.exp(log_shape)
    return (LOG_TWO_PI + 3 * mp.log(t) - log_shape + c * (t - m) ** 2 / (m**2 * t)) / 2


def of_inverse_gaussian(t, p, _):
    (r, size), c = logarithms(t, p), np.exp(p[:, 1]) / t[:, 0]
    slope = c * np.abs(np.expm1(r)) * largest(np.expm1(r), np.exp(r)) * largest(size, p[:, 1])
    by_mean = c * np.exp(r) * largest(np.exp(r), 1) * largest(size, p[:, 1])
    return largest(slope, size, p[:, 1]), np.stack([by_mean, largest(1, slope)], -1)


@entry_by_entry
def gaussian_crps(t, m, s):
    e, scale = t - m, mp.exp(s / 2)
    z = e / scale
    density = mp.exp(-(z**2) / 2) / mp.sqrt(2 * mp.pi)
    return e * mp.erf(z / mp.sqrt(2)) + scale * (2 * density - 1 / mp.sqrt(mp.pi))


def of_gaussian_crps(t, p, _):
    return largest(t[:, 0] - p[:, 0], np.exp(p[:, 1] / 2)), np.stack(
        [0 * p[:, 1], np.exp(p[:, 1] / 2)], -1
    )


@entry_by_entry
def student_t_nll(t, m, s, log_degrees):
    v, z = mp.exp(log_degrees), (t - m) * mp.exp(-s)
    factor = mp.loggamma(v / 2) - mp.loggamma((v + 1) / 2) + mp.log(v * mp.pi) / 2
    return factor + s + (v + 1) / 2 * mp.log(1 + z**2 / v)


def of_student_t(t, p, _):
    m, s, n = p.T
    v, scale = np.exp(n), s + n / 2
    z = (t[:, 0] - m) * np.exp(-scale)
    tail = (v + 1) * np.log1p(z**2)
    size = largest(1, s, n, scale)
    by_mean = (v + 1) * z / (1 + z**2) * np.exp(-scale) * size
    slope = largest(1, (v + 1) * z**2 / (1 + z**2)) * size
    return largest(tail, slope), np.stack([by_mean, slope, np.minimum(slope, tail)], -1)


@entry_by_entry
def negative_binomial_nll(t, log_mean, log_total):
    m, r = mp.exp(log_mean), mp.exp(log_total)
    own = mp.loggamma(t + 1) + mp.loggamma(r) - mp.loggamma(t + r)
    return own + r * mp.log((r + m) / r) + t * mp.log((r + m) / m)


def of_negative_binomial(t, p, _):
    y, m, r = t[:, 0], np.exp(p[:, 0]), np.exp(p[:, 1])
    some = np.where(y > 0, largest(1, np.log(y + 1)), 0)
    addends = largest(r * np.log((r + m) / (r + y)), np.abs(y - m) * r / (r + m), some)
    apart = largest(1, p[:, 0] - p[:, 1])  # the logarithm of a ratio, whose exp is taken
    return addends, np.stack([largest(m, y) * r / (r + m), addends * apart], -1)


@entry_by_entry
def zero_inflated_negative_binomial_nll(t, log_mean, log_total, logit):
    share = 1 / (1 + mp.exp(-logit))
    count = mp.exp(-negative_binomial_nll([t], [log_mean, log_total]))
    return -mp.log(share * (t == 0) + (1 - share) * count)


def of_zero_inflated(t, p, _):
    value, slopes = of_negative_binomial(t, p, _)
    logit = p[:, 2:]
    own = np.concatenate(
        [np.where(t == 0, 0, slopes), largest(1, logit) / (1 + np.exp(-logit))], -1
    )
    return np.where(t[:, 0] == 0, 0, largest(value, p[:, 2])), own


@entry_by_entry
def beta_nll(t, log_alpha, log_beta):
    a, b = mp.exp(log_alpha), mp.exp(log_beta)
    return mp.log(mp.beta(a, b)) - (a - 1) * mp.log(t) - (b - 1) * mp.log(1 - t)


def of_beta(t, p, _):
    y, (log_a, log_b), (a, b) = t[:, 0], p.T, np.exp(p.T)
    parts = [a * largest(1, np.log(a / (a + b) / y)), b * largest(1, np.log(b / (a + b) / (1 - y)))]
    rest = largest(1, np.log(y), np.log(1 - y), log_a, log_b)
    return largest(rest, *parts), np.stack([largest(1, part) for part in parts], -1)


def ensemble_crps(t, p, fair=False):
    apart = mp.fsum(abs(a - b) for a in p for b in p)
    return mean([abs(x - t[0]) for x in p]) - apart / (2 * len(p) * (len(p) - fair))


def of_ensemble(t, p, _):
    return row_largest(t - p), np.ones_like(p)


def quantile_crps(t, p):
    levels = [(2 * mp.mpf(k) + 1) / (2 * len(p)) for k in range(len(p))]
    return 2 * mean(
        [max(a * (t[0] - x), (a - 1) * (t[0] - x)) for a, x in zip(levels, p, strict=True)]
    )


def members(rng):
    """Far and near members, some equal, of truths of another size."""
    p = np.concatenate([rng.normal(0, s, (12, 4)) for s in (1e-3, 1, 1e3)])
    p[::3, 1] = p[::3, 2]
    return np.float32(rng.normal(0, 3, (len(p), 1))), np.float32(p)


@entry_by_entry
def tweedie_deviance(t, log_mean, power=1.5):
    m, a = mp.exp(log_mean), 2 - mp.mpf(power)
    if power == 1:
        return 2 * ((t * mp.log(t / m) if t else 0) + m - t)
    return 2 * (t**a / (a * (a - 1)) - t * m ** (a - 1) / (a - 1) + m**a / a)


def of_tweedie(t, p, config):
    a = 2 - config.get("power", 1.5)
    apart = np.where(t > 0, np.log(np.where(t > 0, t, 1)) - p, 0)
    size = largest(1, p, np.log(np.where(t > 0, t, 1)))
    slope = np.exp(a * p) + t * np.exp((a - 1) * p)
    return (slope * size * np.minimum(1, np.abs(apart)))[:, 0], slope * size


def two_components(p):
    """As `parted`: two logits, two means and two log-variances, of any dimension."""
    logits, mean, log_variance = jnp.split(p, (2, 1 + p.shape[-1] // 2), -1)
    shape = (*p.shape[:-1], 2, mean.shape[-1] // 2)
    return losses.Mixture(logits, mean.reshape(shape), log_variance.reshape(shape))


def mixture_nll(t, p):
    d = len(t)
    logits, means, log_variances = p[:2], p[2 : 2 + 2 * d], p[2 + 2 * d :]
    top = max(logits)
    weights = [mp.exp(z - top) for z in logits]
    dense = []
    for k in (0, 1):
        rows = zip(t, means[k * d :], log_variances[k * d :], strict=False)
        dense.append(mp.exp(-mp.fsum(gaussian_nll([x], [m, s]) for x, m, s in rows)))
    return -mp.log(mp.fdot(weights, dense) / mp.fsum(weights))


def of_mixture(t, p, _):
    logits, m, s = np.split(p, 3, -1)
    z2 = (t - m) ** 2 * np.exp(-s)
    joint = logits - (s + z2) / 2
    size = row_largest(np.concatenate([logits, s, joint.max(-1, keepdims=True)], -1))[:, None]
    weight = np.exp(joint - np.logaddexp(*joint.T)[:, None]) * largest(1, size, z2)
    slope = weight * np.sqrt(z2) * np.exp(-s / 2)
    slopes = np.concatenate([np.ones_like(m), slope, weight * largest(1, z2)], -1)
    return largest(1, size[:, 0]), largest(1, size) * slopes


def mixtures(rng):
    t = np.float32(rng.choice([0, 1, -30], (80, 1)))
    return t, np.float32(np.stack([mild(rng, 80)[rng.permutation(80)] for _ in range(6)], -1))


CASES = (
    Case(
        losses.GaussianNLL,
        exact=gaussian_nll,
        packed=parted(losses.Gaussian),
        inputs=lambda rng: drawn(rng, [0, 1, -30, 1e4], some(rng), rng.permutation(some(rng))),
        sizes=of_gaussian,
        is_stopped=True,
        elsewhere=(
            Elsewhere(
                "torch",
                "F.gaussian_nll_loss(y_pred.mean, y_true, y_pred.log_variance.exp(), full=True)",
                note="takes the variance, no less than eps, and leaves log 2π out by default",
            ),
            Elsewhere(
                "scipy",
                "-stats.norm.logpdf(y_true, y_pred.mean, np.exp(y_pred.log_variance / 2)).mean()",
            ),
        ),
        keras=None,
    ),
    Case(
        losses.LaplaceNLL,
        exact=laplace_nll,
        packed=parted(losses.Laplace),
        inputs=lambda rng: drawn(rng, [0, 1, -30, 1e4], some(rng), rng.permutation(some(rng))),
        sizes=of_laplace,
        elsewhere=(
            Elsewhere(
                "scipy",
                "-stats.laplace.logpdf(y_true, y_pred.mean, np.exp(y_pred.log_scale)).mean()",
            ),
        ),
        keras=None,
    ),
    Case(
        losses.GaussianKL,
        exact=gaussian_kl,
        packed=parted(losses.Gaussian),
        inputs=lambda rng: drawn(rng, [0, 1, -30], some(rng), rng.permutation(some(rng))),
        elsewhere=(
            Elsewhere(
                "torch",
                "torch.distributions.kl_divergence("
                "torch.distributions.Normal(y_pred.mean, (y_pred.log_variance / 2).exp()), "
                "torch.distributions.Normal(y_true, 1.0)).sum(-1).mean()",
            ),
        ),
        keras=None,
    ),
    Case(
        losses.GammaNLL,
        exact=gamma_nll,
        packed=parted(losses.Gamma),
        inputs=lambda rng: drawn(rng, [1e-3, 1, 2, 300], mild(rng), mild(rng)),
        sizes=of_gamma,
        elsewhere=(
            Elsewhere(
                "scipy",
                "-stats.gamma.logpdf(y_true, np.exp(y_pred.log_shape), "
                "scale=np.exp(y_pred.log_mean - y_pred.log_shape)).mean()",
            ),
            Elsewhere(
                "torch",
                "-torch.distributions.Gamma(y_pred.log_shape.exp(), "
                "(y_pred.log_shape - y_pred.log_mean).exp()).log_prob(y_true).mean()",
            ),
        ),
        keras=None,
    ),
    Case(
        losses.InverseGaussianNLL,
        exact=inverse_gaussian_nll,
        packed=parted(losses.InverseGaussian),
        inputs=lambda rng: drawn(rng, [1e-3, 1, 2, 300], mild(rng), mild(rng)),
        sizes=of_inverse_gaussian,
        elsewhere=(
            Elsewhere(
                "scipy",
                "-stats.invgauss.logpdf(y_true, np.exp(y_pred.log_mean - y_pred.log_shape), "
                "scale=np.exp(y_pred.log_shape)).mean()",
            ),
        ),
        keras=None,
    ),
    Case(
        losses.GaussianCRPS,
        exact=gaussian_crps,
        packed=parted(losses.Gaussian),
        inputs=lambda rng: drawn(rng, [0, 1, -30, 1e4], some(rng), rng.permutation(some(rng))),
        sizes=of_gaussian_crps,
        keras=None,
    ),
    Case(
        losses.StudentTNLL,
        exact=student_t_nll,
        packed=parted(losses.StudentT),
        inputs=lambda rng: drawn(rng, [0, 1, -30, 1e4], mild(rng), mild(rng), some(rng)),
        sizes=of_student_t,
        elsewhere=(
            Elsewhere(
                "scipy",
                "-stats.t.logpdf(y_true, np.exp(y_pred.log_degrees), y_pred.location, "
                "np.exp(y_pred.log_scale)).mean()",
            ),
            Elsewhere(
                "torch",
                "-torch.distributions.StudentT(y_pred.log_degrees.exp(), y_pred.location, "
                "y_pred.log_scale.exp()).log_prob(y_true).mean()",
            ),
        ),
        keras=None,
    ),
    Case(
        losses.NegativeBinomialNLL,
        exact=negative_binomial_nll,
        packed=parted(losses.NegativeBinomial),
        inputs=lambda rng: drawn(rng, [0, 1, 2, 7, 1000], mild(rng), mild(rng)),
        sizes=of_negative_binomial,
        elsewhere=(
            Elsewhere(
                "scipy",
                "-stats.nbinom.logpmf(y_true, np.exp(y_pred.log_total_count), "
                "1 / (1 + np.exp(y_pred.log_mean - y_pred.log_total_count))).mean()",
            ),
            Elsewhere(
                "torch",
                "-torch.distributions.NegativeBinomial(y_pred.log_total_count.exp(), "
                "logits=y_pred.log_mean - y_pred.log_total_count).log_prob(y_true).mean()",
            ),
        ),
        keras=None,
    ),
    Case(
        losses.ZeroInflatedNegativeBinomialNLL,
        exact=zero_inflated_negative_binomial_nll,
        packed=parted(losses.ZeroInflatedNegativeBinomial),
        inputs=lambda rng: drawn(rng, [0, 1, 7], mild(rng), mild(rng), mild(rng)),
        sizes=of_zero_inflated,
        ulps=(8, 16),
        keras=None,
    ),
    Case(
        losses.BetaNLL,
        exact=beta_nll,
        packed=parted(losses.Beta),
        inputs=lambda rng: drawn(rng, [1e-6, 0.3, 0.5, 1 - 2**-20], mild(rng), mild(rng)),
        sizes=of_beta,
        ulps=(16, 8),
        elsewhere=(
            Elsewhere(
                "scipy",
                "-stats.beta.logpdf(y_true, np.exp(y_pred.log_alpha), np.exp(y_pred.log_beta))"
                ".mean()",
            ),
            Elsewhere(
                "torch",
                "-torch.distributions.Beta(y_pred.log_alpha.exp(), y_pred.log_beta.exp())"
                ".log_prob(y_true).mean()",
            ),
        ),
        keras=None,
    ),
    Case(
        losses.EnsembleCRPS,
        ({}, {"fair": True}),
        exact=ensemble_crps,
        inputs=members,
        sizes=of_ensemble,
        keras=None,
    ),
    Case(
        losses.QuantileCRPS,
        exact=quantile_crps,
        inputs=members,
        keras=None,
    ),
    Case(
        losses.TweedieDeviance,
        ({}, {"power": 1.0}),
        measured=({"power": 1.9},),
        exact=tweedie_deviance,
        inputs=lambda rng: drawn(rng, [0, 1e-3, 1, 2, 300], mild(rng)),
        sizes=of_tweedie,
        residuals=1,
        elsewhere=(
            Elsewhere(
                "scikit-learn",
                "sklearn.metrics.mean_tweedie_deviance(y_true.ravel(), np.exp(y_pred.ravel()), "
                "power=1.5)",
                note="takes the mean, not its logarithm",
            ),
            Elsewhere(
                "statsmodels",
                "sm.families.Tweedie(var_power=1.2).deviance(y_true.ravel(), "
                "np.exp(y_pred.ravel())) / y_true.size",
                {"power": 1.2},
            ),
        ),
        keras=None,
    ),
    Case(
        losses.MixtureNLL,
        exact=mixture_nll,
        packed=two_components,
        inputs=mixtures,
        sizes=of_mixture,
        elsewhere=(
            Elsewhere(
                "torch",
                "-torch.distributions.MixtureSameFamily("
                "torch.distributions.Categorical(logits=y_pred.logits), "
                "torch.distributions.Independent(torch.distributions.Normal("
                "y_pred.mean, (y_pred.log_variance / 2).exp()), 1)).log_prob(y_true).mean()",
            ),
        ),
        keras=None,
    ),
)


def test_beta_is_a_power_of_the_variance_without_derivative():
    y_true, y_pred = testing.sample(losses.GaussianNLL)
    with jax.enable_x64(True):
        y_true, y_pred = jax.tree.map(np.float64, (y_true, y_pred))

        def sums(beta, p):
            return jnp.sum(losses.gaussian_nll(y_true, p, beta=beta))

        plain = jax.grad(sums, 1)(0.0, y_pred)
        by_beta, found = jax.grad(sums, (0, 1))(0.5, y_pred)
        check_grads(lambda p: sums(0.0, p), (y_pred,), order=2)
        check_grads(lambda beta: sums(beta, y_pred), (0.5,), order=2)
    factor = np.exp(0.5 * y_pred.log_variance)
    chex.assert_trees_all_close(
        found, jax.tree.map(lambda x: factor * np.asarray(x), plain), rtol=1e-9
    )
    assert float(by_beta) != 0


def test_parameters_are_a_named_tuple_or_a_dict_with_its_names():
    t, p = testing.sample(losses.GaussianNLL)
    loss = losses.GaussianNLL()
    want = loss(t, p)
    assert loss(t, p._asdict()) == want
    assert Objective(loss)(t, p._asdict()).loss == Objective(loss)(t, p).loss == want
    shared = losses.Gaussian(p.mean, np.float32(0.5))
    np.testing.assert_allclose(
        loss(t, shared), loss(t, p._replace(log_variance=np.full_like(t, 0.5))), rtol=1e-6
    )
    wanted = (
        r"gaussian_nll: y_pred must hold the parameters mean, log_variance, as losses\.Gaussian"
    )
    for wrong in (t, (t, t), {"mean": t}, losses.Laplace(t, t)):
        with pytest.raises(TypeError, match=wanted):
            losses.gaussian_nll(t, wrong)
    with pytest.raises(
        ValueError, match=r"broadcast to one of them, got \(8,\), \(8, 1\), \(8, 1\)"
    ):
        losses.gaussian_nll(t[:, 0], losses.Gaussian(t[:, :1], t[:, :1]))


def test_crps_of_quantiles_in_order_is_that_of_an_ensemble():
    t, p = testing.sample(losses.QuantileCRPS)
    np.testing.assert_allclose(
        losses.quantile_crps(t, np.sort(p, -1)), losses.ensemble_crps(t, p), rtol=1e-5
    )
    with pytest.raises(ValueError, match=r"ensemble_crps: y_true must have shape \(\.\.\., 1\)"):
        losses.ensemble_crps(p, p)
    assert losses.ensemble_crps([[0.0]], [[2.0]], fair=True) == 2


def test_components_of_a_mixture_are_told_from_dimensions():
    t, p = testing.sample(losses.MixtureNLL)
    shared = p._replace(log_variance=p.log_variance[..., :1])
    wide = p._replace(log_variance=np.broadcast_to(shared.log_variance, p.mean.shape))
    np.testing.assert_allclose(losses.mixture_nll(t, shared), losses.mixture_nll(t, wide))
    with pytest.raises(ValueError, match=r"mixture_nll: need y_true \(\.\.\., d\), logits"):
        losses.mixture_nll(t[:, :1], p)


def test_kl_between_two_and_to_a_standard_normal():
    t, p = testing.sample(losses.GaussianKL)
    prior = losses.Gaussian(t, np.float32(0))
    loss = losses.GaussianKL()
    np.testing.assert_allclose(loss(t, p), loss(prior, p), rtol=1e-6)
    assert loss(p, p) == loss(p._asdict(), p) == 0
    wide = losses.Gaussian(0.0, np.log(4.0))
    np.testing.assert_allclose(
        losses.gaussian_kl(wide, losses.Gaussian([1.0], [0.0])), np.log(2) + 2 / 8 - 0.5, rtol=1e-6
    )


def test_large_counts_keep_their_digits():
    """As r grows the negative binomial is Poisson's, Student's distribution normal."""
    y, log_mean = np.float32([[0.0, 3.0, 1e6]]), np.float32([[0.5, 1.0, np.log(1e6)]])
    found = losses.negative_binomial_nll(
        y.T, losses.NegativeBinomial(log_mean.T, np.full((3, 1), 40, np.float32))
    )
    want = [
        mp.exp(m) - t * mp.mpf(m) + mp.loggamma(t + 1)
        for t, m in zip(*map(np.ravel, (y.astype(float), log_mean.astype(float))), strict=True)
    ]
    np.testing.assert_allclose(found, np.float64(want), rtol=3e-6)
    t, p = testing.sample(losses.GaussianNLL)
    student = losses.StudentT(p.mean, p.log_variance / 2, np.full_like(t, 60))
    np.testing.assert_allclose(
        losses.student_t_nll(t, student), losses.gaussian_nll(t, p), rtol=1e-6
    )
