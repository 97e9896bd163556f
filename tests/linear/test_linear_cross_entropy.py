"""linear_cross_entropy equals the dense computation: values, every derivative, every option."""

import functools
import re

import jax
import numpy as np
import pytest
from dense_linear import dense
from jax import numpy as jnp

import lossjax
from cases import quick
from lossjax.testing.suite import QUICK

N, D, V = 13, 4, 37


@pytest.fixture(autouse=True)
def strict():
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        yield


def draw(seed=0, tokens=(N,), features=D, classes=V, dtype=np.float32):
    """Random inputs by name, of which a case takes some."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, tokens)
    labels.flat[0], labels.flat[-1] = 0, classes - 1  # in the first and the last tile
    floats = {
        "hidden": rng.normal(size=(*tokens, features)),
        "kernel": rng.normal(size=(features, classes)),
        "bias": rng.normal(size=classes),
        "sample_weight": rng.uniform(0.1, 2, tokens),
        "class_weight": rng.uniform(0.1, 2, classes),
        "targets": rng.dirichlet(np.ones(classes), tokens) * rng.uniform(0.5, 1.5, (*tokens, 1)),
        "soft_cap": np.array(2.5),
        "temperature": np.array(0.7),
        "label_smoothing": np.array(0.2),
        "z_loss": np.array(0.03),
    }
    mask = rng.random(tokens) < 0.7
    out = {k: jnp.asarray(v, dtype) for k, v in floats.items()}
    return out | {"labels": jnp.asarray(labels), "mask": jnp.asarray(mask)}


HYPERS = ("soft_cap", "temperature", "label_smoothing", "z_loss")
# The floats that a case moves beside hidden and kernel, and the options that stay.
CASES = {
    "plain": ((), {}),
    "everything": (
        ("bias", "sample_weight", "class_weight", *HYPERS),
        {"masked": True, "ignore_class": 5},
    ),
    "mean": (("bias", *HYPERS), {"reduction": "mean", "masked": True}),
    "targets": (
        ("targets", "sample_weight", "class_weight", *HYPERS),
        {"masked": True, "reduction": "sum"},
    ),
    "none": (("bias", "sample_weight", *HYPERS), {"reduction": "none", "masked": True}),
    "targets, none": (("targets",), {"reduction": None, "kernel_layout": "vd"}),
    "vd": (
        ("bias", "sample_weight", "z_loss"),
        {"reduction": "sum_over_batch_size", "kernel_layout": "vd"},
    ),
    "compact": (("bias", "sample_weight", "z_loss"), {"masked": True, "compact": True}),
}


def case(name, fn, data, **more):
    """`fn` as a function of the moving floats, summed with random weights to a number."""
    moving, options = CASES[name]
    options = dict(options)
    fixed = {"mask": data["mask"]} if options.pop("masked", False) else {}
    if fn is dense:
        options.pop("compact", None)
    else:
        fixed |= more
    if options.get("kernel_layout") == "vd":
        data = data | {"kernel": data["kernel"].T}

    def f(floats):
        y_true = floats["targets"] if "targets" in floats else data["labels"]
        rest = {k: v for k, v in floats.items() if k != "targets"}
        out = fn(y_true, rest.pop("hidden"), rest.pop("kernel"), **rest, **fixed, **options)
        # Cotangents other than 1, and a second derivative of the loss itself.
        scale = jnp.linspace(0.1, 0.3, out.size, dtype=out.dtype).reshape(out.shape)
        return jnp.sum(jnp.sin(out * scale))

    return f, {k: data[k] for k in ("hidden", "kernel", *moving)}


def close(ours, wanted, rtol):
    """Relative to the largest number of each array."""
    assert jax.tree.structure(ours) == jax.tree.structure(wanted)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(wanted), strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(
            a, b, rtol=0, atol=rtol * max(1e-3, float(np.abs(b).max(initial=0)))
        )


def derivatives(f, at, tangent):
    """One function for all, so that it is compiled once."""

    def along(x):
        return jax.jvp(f, (x,), (tangent,))[1]

    def projected(x):
        return sum(map(jnp.vdot, jax.tree.leaves(jax.grad(f)(x)), jax.tree.leaves(tangent)))

    value, grad = jax.value_and_grad(f)(at)
    slope, reverse_over_forward = jax.value_and_grad(along)(at)
    forward_over_reverse = jax.jvp(jax.grad(f), (at,), (tangent,))[1]
    reverse_over_reverse = jax.grad(projected)(at)
    return value, grad, slope, reverse_over_forward, forward_over_reverse, reverse_over_reverse


def compiled(f, *args):
    """`f(*args)` from a program that was made quickly."""
    return jax.jit(f).lower(*args).compile(compiler_options=QUICK)(*args)


@pytest.mark.parametrize("name", quick(CASES, "everything".__eq__))
def test_every_derivative_in_float64(name):
    with jax.enable_x64(True):
        data = draw(dtype=np.float64)
        ours, at = case(name, lossjax.linear_cross_entropy, data, chunk=5)
        wanted, _ = case(name, dense, data)
        rng = np.random.default_rng(1)
        tangent = {k: jnp.asarray(rng.normal(size=v.shape)) for k, v in at.items()}
        got = compiled(functools.partial(derivatives, ours), at, tangent)
        want = compiled(functools.partial(derivatives, wanted), at, tangent)
        close(got, want, 1e-10)


SIZES = [  # tokens, features, classes, chunk
    ((1,), 3, 5, "auto"),
    ((3, 7), 3, 11, 4),
    ((2, 16), 5, 130, 8),
    ((129,), 2, 257, 64),
    ((64,), 2, 2500, 16),
    ((7,), 1, 1, 2),
]


@pytest.mark.parametrize(
    ("tokens", "features", "classes", "chunk"),
    [pytest.param(*s, marks=() if s in SIZES[::2] else pytest.mark.thorough) for s in SIZES],
)
@pytest.mark.parametrize("name", quick(["everything", "targets"], "targets".__eq__))
def test_sizes_that_nothing_divides(name, tokens, features, classes, chunk):
    data = draw(0, tokens, features, classes)
    if classes < 6:
        data["labels"] = jnp.minimum(data["labels"], 4)
    ours, at = case(name, lossjax.linear_cross_entropy, data, chunk=chunk)
    with jax.enable_x64(True):
        exact = jax.tree.map(widened, data)
        wanted, at_exact = case(name, dense, exact)
        want = jax.tree.map(np.asarray, compiled(jax.value_and_grad(wanted), at_exact))
    got = compiled(jax.value_and_grad(ours), at)
    try:
        close(got, want, 1e-5)
    except AssertionError:
        # Sums that cancel: with one token the mean does not depend on its weight. There the
        # dense form in float32 is as far off, and ours may be no further.
        plain = compiled(jax.value_and_grad(case(name, dense, data)[0]), at)
        close(got, want, max(1e-5, 1.1 * furthest(plain, want)))


def furthest(got, want):
    """The error that `close` measures."""
    pairs = zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True)
    return max(np.abs(a - b).max() / max(1e-3, np.abs(b).max()) for a, b in pairs)


def widened(x):
    return x.astype(np.float64) if jnp.issubdtype(x.dtype, jnp.floating) else x


@pytest.mark.parametrize("name", quick(["everything", "none"], "everything".__eq__))
def test_vmap_and_jacfwd(name):
    with jax.enable_x64(True):
        data = draw(dtype=np.float64)

        def both(fn, **more):
            f, at = case(name, fn, data, **more)
            scalars = {k: at[k] for k in HYPERS}
            batch = jax.tree.map(lambda x: jnp.stack([x, 0.9 * x]), at)
            jacobian = jax.jacfwd(lambda some: f(at | some))
            return compiled(lambda b, s: (jax.vmap(jax.grad(f))(b), jacobian(s)), batch, scalars)

        close(both(lossjax.linear_cross_entropy, chunk=5), both(dense), 1e-10)


def gradients(tokens, features, classes, **options):
    """To be lowered: value and gradient of arrays of this size, which are not made."""
    fn = functools.partial(lossjax.linear_cross_entropy, **options)
    step = jax.jit(jax.value_and_grad(lambda h, k, y: fn(y, h, k), (0, 1)))
    shapes = (tokens, features), (features, classes), (tokens,)
    dtypes = (jnp.float32, jnp.float32, jnp.int32)
    return step.trace(*map(jax.ShapeDtypeStruct, shapes, dtypes))


@pytest.mark.parametrize(
    ("tokens", "classes", "memory"), [(2048, 32768, None), (8192, 131072, None), (2048, 32768, 3e7)]
)
def test_memory(tokens, classes, memory):
    """What is extra, beside the gradients, is no more than the kernel, or than is asked for."""
    if memory is None and jax.default_backend() != "cpu":
        pytest.skip("elsewhere products are bound by arithmetic only with more rows")
    options = {} if memory is None else {"memory": int(memory)}
    program = gradients(tokens, 512, classes, **options).lower().compile()
    found = program.memory_analysis().temp_size_in_bytes
    # Beside what is asked for, one array of the size of the hidden states.
    most = 4 * 512 * classes if memory is None else memory + 4 * tokens * 512
    assert most / 2 < found <= most
    if tokens == 8192:
        assert found <= 4 * tokens * classes / 16


def rows_of_products(trace, classes, platform):
    text = trace.lower(lowering_platforms=(platform,)).as_text()
    return {int(n) for n in re.findall(rf"dot_general .*-> tensor<(\d+)x{classes}xf32>", text)}


def test_rows_of_a_chunk():
    """They are those of the platform that the program is for, and so many a device.

    The kernel's gradient has as many as there are features: on CPU it is made in blocks.
    """
    tokens, features, classes = 8192, 64, 4096
    rows = functools.partial(rows_of_products, classes=classes)
    plain = gradients(tokens, features, classes)
    assert rows(plain, platform="cpu") == {256}
    assert rows(plain, platform="cuda") == rows(plain, platform="tpu") == {1376, features}
    spread = gradients(tokens, features, classes, token_shards=8)
    assert rows(spread, platform="cpu") == {2048}
    given = gradients(tokens, features, classes, memory=4 * 4096 * 128)
    assert (rows(given, platform="cpu"), rows(given, platform="tpu")) == ({112}, {112, features})
    plain = gradients(tokens, features, classes, chunk=100)
    assert rows(plain, platform="tpu") == {96, features}
