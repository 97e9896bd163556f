"""linear_cross_entropy and chunked_linear where others go wrong, and what they say to bad input."""

import functools
import json

import jax
import numpy as np
import pytest
from dense_linear import dense, logits
from jax import numpy as jnp
from jax.test_util import check_grads
from test_linear_cross_entropy import HYPERS, close, compiled, draw

import lossjax
from cases import quick
from lossjax import losses, per_token
from lossjax.kernels.linear_cross_entropy import Terms


def both(y_true, at, **options):
    """Value and gradients, ours and dense."""

    def of(fn, **more):
        return compiled(jax.value_and_grad(lambda at: fn(y_true, **at, **options, **more)), at)

    return of(lossjax.linear_cross_entropy, chunk=5), of(dense)


def some(data, *names):
    return {k: data[k] for k in names}


@pytest.mark.thorough
def test_ignored_rows_may_hold_nan():
    data = draw()
    at = some(data, "hidden", "kernel")
    dead = jnp.arange(13) % 3 == 0
    labels = jnp.where(dead, -100, data["labels"])
    (value, grad), wanted = both(labels, at, ignore_class=-100, z_loss=0.1)
    close((value, grad), wanted, 1e-5)
    poisoned = at | {"hidden": jnp.where(dead[:, None], jnp.nan, at["hidden"])}
    for how in ({"ignore_class": -100}, {"mask": ~dead}, {"sample_weight": 1.0 * ~dead}):
        y_true = labels if "ignore_class" in how else data["labels"]
        run = jax.value_and_grad(
            lambda at, y=y_true, how=how: lossjax.linear_cross_entropy(
                y, **at, **how, z_loss=0.1, chunk=5
            )
        )
        got, slopes = compiled(run, poisoned)
        close((got, slopes["kernel"]), (value, grad["kernel"]), 1e-5)
        assert not slopes["hidden"][dead].any()


def test_nan_is_seen():
    """At a size at which XLA hands the sums to a library whose minimum may drop a NaN."""
    data = draw(tokens=(256,), features=8, classes=4096)
    kernel = data["kernel"].at[0, 2000].set(jnp.nan)
    f = jax.jit(lambda k: lossjax.linear_cross_entropy(
        data["labels"], data["hidden"], k, reduction="none"
    ))  # fmt: skip
    assert jnp.isnan(f(kernel)).all()
    assert jnp.isfinite(f(data["kernel"])).all()


@pytest.mark.parametrize(
    "reduction", quick(["mean_with_sample_weight", "sum", "mean", "none"], "mean".__eq__)
)
def test_nothing_counts(reduction):
    data = draw()
    for how in ({"mask": jnp.zeros(13, bool)}, {"sample_weight": jnp.zeros(13)}):
        got, _ = both(data["labels"], some(data, "hidden", "kernel"), reduction="sum", **how)
        assert not any(np.any(x) for x in jax.tree.leaves(got))
        arguments = data["labels"], data["hidden"], data["kernel"]
        fn = functools.partial(lossjax.linear_cross_entropy, reduction=reduction)
        out = jax.jit(fn)(*arguments, **how)
        assert not jnp.any(out)


def test_weights_that_sum_to_zero():
    data = draw()
    weight = jnp.where(jnp.arange(13) == 12, 0.0, (-1.0) ** jnp.arange(13))
    got, wanted = both(data["labels"], some(data, "hidden", "kernel") | {"sample_weight": weight})
    close(got, wanted, 1e-5)


def test_float16_logits_beyond_its_range():
    data = draw(tokens=(512,))
    at = {k: (data[k] * 300).astype(jnp.float16) for k in ("hidden", "kernel")}
    z = logits(*(at[k].astype(jnp.float32) for k in at))
    assert jnp.abs(z).max() > 65504
    fn = jax.value_and_grad(
        lambda h, k: lossjax.linear_cross_entropy(data["labels"], h, k, chunk=64), (0, 1)
    )
    got = compiled(fn, *at.values())
    wanted = compiled(
        jax.value_and_grad(lambda h, k: dense(data["labels"], h, k), (0, 1)),
        *(x.astype(jnp.float32) for x in at.values()),
    )
    assert [g.dtype for g in got[1]] == [jnp.float16] * 2
    close(jax.tree.map(lambda x: x.astype(jnp.float32), got), wanted, 2e-3)


def test_bfloat16_accumulates_in_float32():
    data = draw(tokens=(512,))
    at = {k: data[k].astype(jnp.bfloat16) for k in ("hidden", "kernel")}
    fn = lambda at: lossjax.linear_cross_entropy(data["labels"], **at, chunk=8)  # noqa: E731
    value, grad = compiled(jax.value_and_grad(fn), at)
    assert (value.dtype, grad["kernel"].dtype) == (jnp.float32, jnp.bfloat16)
    narrow = losses.LinearCrossEntropy(accumulate_dtype="bfloat16", chunk=512)
    assert narrow(data["labels"], tuple(at.values())).dtype == jnp.bfloat16
    wide = jax.tree.map(lambda x: x.astype(jnp.float32), at)
    wanted = jax.value_and_grad(lambda at: dense(data["labels"], **at))(wide)
    close(value, wanted[0], 1e-5)
    close(jax.tree.map(lambda x: x.astype(jnp.float32), grad), wanted[1], 1e-2)


@pytest.mark.parametrize(
    ("dtype", "reduction"), [("bfloat16", "none"), ("float16", "mean_with_sample_weight")]
)
def test_compute_dtype(dtype, reduction):
    """As the dense form of what it rounds, up to the slopes of the logits, which it rounds too."""
    with jax.enable_x64(True):
        data = draw(dtype=np.float64)
        at = some(data, "hidden", "kernel")
        at["hidden"] = at["hidden"].astype(dtype)

        def run(fn, at, **options):
            def f(at):
                out = fn(data["labels"], **at, reduction=reduction, **options)
                along = jnp.cos(jnp.arange(out.size, dtype=out.dtype)).reshape(out.shape)
                return jnp.vdot(out, along)

            # The same tangent for both, in which nothing is rounded.
            tangent = jax.tree.map(lambda x: jnp.where(x > 0, 1, -0.5).astype(x.dtype), at)
            hessian = lambda at: jax.jvp(jax.grad(f), (at,), (tangent,))[1]  # noqa: E731
            return compiled(lambda at: (f(at), jax.grad(f)(at), hessian(at)), at)

        exact = jax.tree.map(lambda x: x.astype(dtype).astype(jnp.float64), at)
        options = {"compute_dtype": dtype, "accumulate_dtype": "float64", "chunk": 5}
        value, *got = run(lossjax.linear_cross_entropy, at, **options)
        want, *slopes = run(dense, exact)
        # A GPU adds products of 16 bits in float32, whatever is asked for.
        close(value, want, 1e-12 if jax.default_backend() == "cpu" else 1e-6)
        close(jax.tree.map(lambda x: x.astype(jnp.float64), got), slopes, 1e-2)
        for found in got:
            assert (found["hidden"].dtype, found["kernel"].dtype) == (dtype, jnp.float64)
            assert (found["kernel"].astype(dtype).astype(jnp.float64) != found["kernel"]).any()


def test_a_label_out_of_range_is_silent_under_jit_alone():
    data = draw()
    labels = data["labels"].at[3].set(99)
    fn = jax.jit(lossjax.linear_cross_entropy)
    close(
        fn(labels, data["hidden"], data["kernel"]),
        dense(labels, data["hidden"], data["kernel"]),
        1e-5,
    )
    with pytest.raises(ValueError, match=r"labels must lie in \[0, 37\).* got 99 at y_true\[3\]"):
        lossjax.linear_cross_entropy(labels, data["hidden"], data["kernel"])


def test_shift():
    data = draw(tokens=(3, 8))
    at = some(data, "hidden", "kernel", "sample_weight")
    for reduction in ("mean_with_sample_weight", "sum_over_batch_size", "none"):
        options = {"mask": data["mask"], "shift": 2, "reduction": reduction}
        got, wanted = jax.jit(
            lambda at, options=options: [
                fn(data["labels"], **at, **options) for fn in (lossjax.linear_cross_entropy, dense)
            ]
        )(at)
        close(got, wanted, 1e-5)


def test_options_of_any_per_token_loss():
    """Those of linear_cross_entropy, the cap with its derivatives though nothing closes over it."""
    with jax.enable_x64(True):
        data = draw(tokens=(3, 8), dtype=np.float64)
        at = some(data, "hidden", "kernel", "sample_weight", "soft_cap")
        options = {"ignore_class": 5, "shift": 2, "mask": data["mask"]}
        labels = data["labels"].at[1, 2:5].set(5)
        entropy = lambda y, z: -per_token.log_probability(y, z)["log_probability"]  # noqa: E731
        ours = functools.partial(lossjax.chunked_linear, entropy, chunk=5)

        def run(fn):
            f = lambda at: fn(labels, **at, **options)  # noqa: E731
            along = lambda at: jax.jvp(f, (at,), (jax.tree.map(jnp.cos, at),))[1]  # noqa: E731
            return compiled(lambda at: (f(at), jax.grad(f)(at), jax.grad(along)(at)), at)

        got = run(ours)
        close(got, run(dense), 1e-10)
        assert got[1]["soft_cap"] != 0


def test_every_array_of_the_truth_is_shifted():
    y_true = {"label": jnp.arange(6).reshape(2, 3), "scale": 10.0 + jnp.arange(12).reshape(2, 3, 2)}
    found = lossjax.chunked_linear(
        lambda y, z: y["label"] + y["scale"][:, 1] * z[:, 0],
        y_true,
        *(jnp.ones((2, 3, 1)), jnp.ones((1, 1))),
        **{"shift": 1, "reduction": "none", "chunk": 4},
    )
    np.testing.assert_array_equal(found, np.array([[1 + 13, 2 + 15], [4 + 19, 5 + 21]]))


@pytest.mark.parametrize("truth", quick(["labels", "targets"], "labels".__eq__))
def test_padded_vocabulary(truth):
    """As the kernel without its padding, in every derivative; those of the padding are 0."""
    with jax.enable_x64(True):
        data = draw(dtype=np.float64)
        at = some(data, "hidden", "kernel", "bias", *HYPERS)
        at["class_weight"] = data["class_weight"][:30]
        y_true = data["targets"] if truth == "targets" else data["labels"] % 30

        def ours(at):
            return lossjax.linear_cross_entropy(y_true, **at, classes=30, chunk=5)

        def wanted(at):
            cut = at | {"kernel": at["kernel"][:, :30], "bias": at["bias"][:30]}
            return dense(y_true[:, :30] if truth == "targets" else y_true, **cut)

        def run(f):
            along = lambda at: jax.jvp(f, (at,), (jax.tree.map(jnp.cos, at),))[1]  # noqa: E731
            return compiled(lambda at: (f(at), jax.grad(f)(at), jax.grad(along)(at)), at)

        got = run(ours)
        close(got, run(wanted), 1e-10)
        padding = [slopes[name][..., 30:] for slopes in got[1:] for name in ("kernel", "bias")]
        assert not np.any(np.concatenate([x.ravel() for x in padding]))


def test_labels_and_terms_of_a_padded_vocabulary():
    data = draw()
    labels = jnp.where(data["labels"] < 30, data["labels"], 31)
    hidden, kernel = data["hidden"], data["kernel"]
    f = functools.partial(lossjax.linear_cross_entropy, return_terms=True, label_smoothing=0.1)
    padded = jax.jit(functools.partial(f, classes=30))
    close(padded(labels, hidden, kernel), jax.jit(f)(labels, hidden, kernel[:, :30]), 1e-6)
    options = {"classes": 30, "reduction": "none"}
    cold = lambda t: f(data["labels"] % 30, hidden, kernel, temperature=t, **options)[0]  # noqa: E731
    assert jnp.isfinite(jax.jit(jax.jacfwd(cold))(0.01)).all()
    with pytest.raises(ValueError, match=r"labels must lie in \[0, 30\), .* got 31"):
        f(labels, hidden, kernel, classes=30)
    with pytest.raises(Exception, match="from 0 to 29, got 31"):
        lossjax.checked(losses.LinearCrossEntropy(classes=30))(labels, (hidden, kernel))


def test_terms():
    data = draw()
    arguments = data["labels"], data["hidden"], data["kernel"]
    loss, terms = lossjax.linear_cross_entropy(
        *arguments, mask=data["mask"], z_loss=0.1, return_terms=True, chunk=5
    )
    z, mask = data["hidden"] @ data["kernel"], data["mask"]
    lse, log_p = jax.nn.logsumexp(z, -1), jax.nn.log_softmax(z)
    mean = lambda x: jnp.mean(x[mask])  # noqa: E731
    cross_entropy = mean(-jnp.take_along_axis(log_p, data["labels"][:, None], 1)[:, 0])
    wanted = Terms(
        cross_entropy,
        mean(0.1 * lse**2),
        mean(lse),
        mean((z.argmax(-1) == data["labels"]).astype(jnp.float32)),
        mean(-jnp.sum(jnp.exp(log_p) * log_p, -1)),
        mask.sum(),
    )
    close(terms, wanted, 1e-5)
    close(loss, terms.cross_entropy + terms.z_loss, 1e-6)


def test_a_term_has_its_derivative():
    data = draw()

    def entropy(kernel):
        options = {"return_terms": True, "chunk": 5}
        return lossjax.linear_cross_entropy(data["labels"], data["hidden"], kernel, **options)[
            1
        ].entropy

    def wanted(kernel):
        log_p = jax.nn.log_softmax(data["hidden"] @ kernel)
        return -jnp.mean(jnp.sum(jnp.exp(log_p) * log_p, -1))

    got, want = (compiled(jax.grad(f), data["kernel"]) for f in (entropy, wanted))
    close(got, want, 1e-5)


TEACHER = [
    (per_token.kl_divergence, {}),
    (per_token.reverse_kl_divergence, {}),
    (per_token.jensen_shannon, {"weight": 0.3}),
    (per_token.focal, {"gamma": 1.5}),
]


@pytest.mark.parametrize(
    "given", quick(TEACHER, TEACHER[-2:].__contains__), ids=lambda given: given[0].__name__
)
def test_per_token_losses(given):
    fn, options = given
    with jax.enable_x64(True):
        data = draw(dtype=np.float64)
        teacher = jnp.asarray(np.random.default_rng(3).normal(size=(13, 37)))
        hyper = {k: jnp.asarray(v) for k, v in options.items()} | (
            {} if fn is per_token.focal else {"temperature": jnp.asarray(1.7)}
        )
        at = some(data, "hidden", "kernel", "sample_weight") | {"hyper": hyper}
        if fn is not per_token.focal:
            at["teacher"] = teacher

        def run(apply):
            def f(at):
                loss = lambda y, z: fn(y, z, **at["hyper"])  # noqa: E731
                return apply(loss, at.get("teacher", data["labels"]), at)

            along = lambda at: jax.jvp(f, (at,), (jax.tree.map(jnp.cos, at),))[1]  # noqa: E731
            return compiled(lambda at: (f(at), jax.grad(f)(at), jax.grad(along)(at)), at)

        got = run(lambda loss, y, at: lossjax.chunked_linear(
            loss, y, at["hidden"], at["kernel"], sample_weight=at["sample_weight"], chunk=5
        ))  # fmt: skip
        wanted = run(lambda loss, y, at: jnp.sum(
            plain(fn, y, at["hidden"] @ at["kernel"], at["hyper"]) * at["sample_weight"]
        ) / jnp.sum(at["sample_weight"]))  # fmt: skip
        close(got, wanted, 1e-9)


def plain(fn, y, z, hyper):
    """The textbook forms."""
    if fn is per_token.focal:
        p = jnp.take_along_axis(jax.nn.softmax(z), y[:, None], 1)[:, 0]
        return -((1 - p) ** hyper["gamma"]) * jnp.log(p)
    t = hyper["temperature"]
    p, q = jax.nn.softmax(y / t), jax.nn.softmax(z / t)
    kl = lambda a, b: jnp.sum(a * jnp.log(a / b), -1)  # noqa: E731
    if fn is per_token.kl_divergence:
        return t**2 * kl(p, q)
    if fn is per_token.reverse_kl_divergence:
        return t**2 * kl(q, p)
    w = hyper["weight"]
    m = w * p + (1 - w) * q
    return t**2 * (w * kl(p, m) + (1 - w) * kl(q, m))


def listed_teacher(k):
    """Of 13 tokens and 37 classes."""
    logits = jnp.asarray(np.random.default_rng(3).normal(size=(13, 37)))
    return jax.lax.top_k(jax.nn.log_softmax(logits), k)


def top_k_plain(teacher, z, t=1.0, tail=True):
    """What is not listed as one class more, by subtraction."""
    log_p, listed = teacher
    exists = listed >= 0
    q = jnp.take_along_axis(jax.nn.softmax(z / t), jnp.where(exists, listed, 0), 1)
    p, q = (jnp.where(exists, x, 0) for x in (jnp.exp(log_p), q))
    u, r = 1 - jnp.sum(p, -1), 1 - jnp.sum(q, -1)
    listed_part = jnp.sum(p * jnp.log(jnp.where(exists, p / jnp.where(exists, q, 1), 1)), -1)
    return t**2 * (listed_part + (u * jnp.log(u / r) if tail else 0))


@pytest.mark.parametrize("tail", quick([True, False], [True].__contains__))
def test_top_k_teacher(tail):
    """In a padded vocabulary too. The last token has one class fewer, and the number of none."""
    with jax.enable_x64(True):
        data = draw(dtype=np.float64, classes=40)
        log_p, listed = listed_teacher(4)
        listed = listed.at[-1, -1].set(-1)
        at = some(data, "hidden", "kernel", "temperature") | {"log_p": log_p}

        def run(values):
            f = lambda at: jnp.sum(jnp.sin(values(at, (at["log_p"], listed))))  # noqa: E731
            along = lambda at: jax.jvp(f, (at,), (jax.tree.map(jnp.cos, at),))[1]  # noqa: E731
            return compiled(lambda at: (f(at), jax.grad(f)(at), jax.grad(along)(at)), at)

        def ours(at, teacher):
            given = {"tail": tail, "temperature": at["temperature"]}
            loss = functools.partial(per_token.top_k_kl_divergence, **given)
            options = {"reduction": "none", "chunk": 5, "classes": 37}
            return lossjax.chunked_linear(loss, teacher, at["hidden"], at["kernel"], **options)

        def wanted(at, teacher):
            z = (at["hidden"] @ at["kernel"])[:, :37]
            return top_k_plain(teacher, z, at["temperature"], tail)

        close(run(ours), run(wanted), 1e-10)


@pytest.mark.thorough
@pytest.mark.parametrize("k", [4, 37])
def test_derivatives_of_a_top_k_teacher(k):
    with jax.enable_x64(True):
        log_p, listed = listed_teacher(k)
        z = jnp.asarray(np.random.default_rng(0).normal(size=(13, 37)))

        def f(log_p, z, t):
            return per_token.top_k_kl_divergence((log_p, listed), z, temperature=t)

        check_grads(jax.jit(f), (log_p, z, jnp.asarray(0.7)), order=2, rtol=1e-4)


def test_a_teacher_without_a_tail():
    """It adds exactly 0, in every derivative, though rounding leaves a little of its mass."""
    with jax.enable_x64(True):
        z = jnp.asarray(np.random.default_rng(0).normal(size=(13, 37)))
        log_p, listed = listed_teacher(37)
        few = jax.nn.log_softmax(log_p[:, :4]), listed[:, :4]
        pull = jax.jit(lambda log_p, listed, z, tail: jax.value_and_grad(
            lambda log_p, z: jnp.sum(jnp.sin(per_token.top_k_kl_divergence(
                (log_p, listed), z, tail=tail
            ))), (0, 1)
        )(log_p, z), static_argnums=3)  # fmt: skip
        for teacher in ((log_p, listed), few):
            close(pull(*teacher, z, True), pull(*teacher, z, False), 1e-15)
        scattered = jnp.zeros((13, 37)).at[jnp.arange(13)[:, None], listed].set(log_p)
        found = per_token.top_k_kl_divergence((log_p, listed), z)
        close(found, per_token.kl_divergence(scattered, z), 1e-12)


def test_a_teacher_that_is_no_list_of_classes():
    log_p, listed = listed_teacher(4)
    for teacher in (log_p, (listed, log_p), (log_p, listed[:, 1:])):
        with pytest.raises(TypeError, match=r"must be \(log-probabilities, class numbers\)"):
            per_token.top_k_kl_divergence(teacher, jnp.zeros((13, 37)))


def test_log_probabilities_and_entropy():
    data = draw()

    def ours(kernel):
        out = lossjax.chunked_linear(
            per_token.log_probability,
            data["labels"],
            data["hidden"],
            kernel,
            reduction="none",
            chunk=5,
        )
        return out["log_probability"], out["entropy"]

    def wanted(kernel):
        log_p = jax.nn.log_softmax(data["hidden"] @ kernel)
        picked = jnp.take_along_axis(log_p, data["labels"][:, None], 1)[:, 0]
        return picked, -jnp.sum(jnp.exp(log_p) * log_p, -1)

    values, pull = jax.vjp(ours, data["kernel"])
    expected, pull_expected = jax.vjp(wanted, data["kernel"])
    close(values, expected, 1e-5)
    close(
        pull((jnp.cos(values[0]), values[1])), pull_expected((jnp.cos(values[0]), values[1])), 1e-5
    )


def test_the_class():
    data = draw()
    labels, y_pred = data["labels"], (data["hidden"], data["kernel"], data["bias"])
    loss = losses.LinearCrossEntropy(ignore_class=5, z_loss=0.1, soft_cap=4.0, chunk=5)
    options = {"z_loss": 0.1, "soft_cap": 4.0, "sample_weight": data["sample_weight"]}
    wanted = dense(labels, *y_pred, ignore_class=5, **options)
    close(loss(labels, y_pred, sample_weight=data["sample_weight"]), wanted, 1e-5)
    parts = sum(
        loss.total(labels[s], (y_pred[0][s], *y_pred[1:]), data["sample_weight"][s])
        for s in (slice(0, 4), slice(4, 13))
    )
    close(parts.result(), wanted, 1e-5)
    again = losses.deserialize(json.loads(json.dumps(losses.serialize(loss))))
    assert repr(again) == repr(loss)
    slope = compiled(jax.grad(lambda loss: loss(labels, y_pred)), loss)
    rest = {"ignore_class": 5, "soft_cap": 4.0}
    want = compiled(jax.grad(lambda z: dense(labels, *y_pred, z_loss=z, **rest)), 0.1)
    close(slope.z_loss, want, 1e-5)


Z = np.zeros
LABELS, HIDDEN, KERNEL = Z(3, int), Z((3, 2)), Z((2, 5))
BAD = [
    ((Z(3), HIDDEN, KERNEL), {}, TypeError, r"y_true must hold integers, .*astype\(int\)"),
    ((LABELS, HIDDEN, KERNEL), {"token_shards": 0}, ValueError, "token_shards must be a whole num"),
    ((LABELS, HIDDEN, KERNEL), {"memory": "1 GB"}, TypeError, "memory must be a whole number of"),
    ((Z((3, 4)), HIDDEN, KERNEL), {}, ValueError, r"must have shape \(3, 5\), got \(3, 4\)"),
    ((LABELS, Z((3, 5)), KERNEL), {}, ValueError, r'kernel_layout="vd"'),
    ((LABELS, Z((3, 4)), KERNEL), {}, ValueError, r"with the D = 2 of kernel"),
    ((LABELS, HIDDEN, KERNEL, Z(4)), {}, ValueError, r"bias must have shape \(V,\) = \(5,\)"),
    ((LABELS - 1, HIDDEN, KERNEL), {}, ValueError, r"got -1 at y_true\[0\]"),
    ((LABELS, HIDDEN, KERNEL), {"chunk": 0}, ValueError, r"chunk must be .* got 0"),
    ((LABELS, HIDDEN, KERNEL), {"axis_name": "model"}, ValueError, r"axis of the shard_map"),
    ((LABELS, HIDDEN, KERNEL), {"implementation": "xls"}, ValueError, r"mean 'xla'"),
    ((LABELS, HIDDEN, KERNEL), {"temperature": 0.0}, ValueError, r"temperature must be in"),
    ((LABELS, HIDDEN, KERNEL), {"shift": 4}, ValueError, r"shift must be a whole number"),
    (
        (LABELS, HIDDEN, KERNEL),
        {"classes": 6},
        ValueError,
        r"at most 5, the columns of kernel, got 6",
    ),
    (
        (LABELS, HIDDEN, KERNEL),
        {"compute_dtype": "int8"},
        ValueError,
        r": compute_dtype must be a fl",
    ),
    ((LABELS, HIDDEN, KERNEL), {"accumulate_dtype": 1}, ValueError, r": accumulate_dtype must be"),
    ((LABELS, HIDDEN, KERNEL), {"class_weight": Z(4)}, ValueError, r"class_weight must"),
]


@pytest.mark.parametrize(("arguments", "options", "error", "text"), BAD)
def test_errors(arguments, options, error, text):
    with pytest.raises(error, match=text) as caught:
        lossjax.linear_cross_entropy(*arguments, **options)
    assert str(caught.value).startswith("linear_cross_entropy: ")


@pytest.mark.parametrize(
    ("y_true", "options", "text"),
    [
        ((LABELS,), {"ignore_class": 0}, r"integers of shape \(3,\), got tuple. Leave tokens out"),
        (Z((3, 5)), {"ignore_class": 0}, r"integers of shape \(3,\), got float32 of shape \(3, 5"),
        (LABELS, {"soft_cap": 0.0}, r"soft_cap must be in the interval \(0, inf\]"),
        (LABELS, {"shift": -1}, r"shift must be a whole number from 0"),
    ],
)
def test_errors_of_options_of_any_per_token_loss(y_true, options, text):
    with pytest.raises(ValueError, match=text) as caught:
        lossjax.chunked_linear(lambda y, z: z[:, 0], y_true, HIDDEN, KERNEL, **options)
    assert str(caught.value).startswith("chunked_linear: ")


def test_a_per_token_loss_of_another_shape():
    with pytest.raises(ValueError, match=r"one value a token, of shape \(3,\).* got \(3, 5\)"):
        lossjax.chunked_linear(lambda y, z: z, Z(3), Z((3, 2)), Z((2, 5)))
