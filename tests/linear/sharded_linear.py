"""Run by test_linear_sharding.py on eight virtual devices: prints what is wrong, if anything."""

import functools
import os
import re

os.environ["XLA_FLAGS"] = (
    "--xla_force_host_platform_device_count=8 "
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import numpy as np
from jax import numpy as jnp
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import lossjax
from lossjax import per_token
from lossjax.kernels.linear_cross_entropy import Terms

N, D, V = 16, 4, 40
HYPERS = {"soft_cap": 2.5, "temperature": 0.7, "label_smoothing": 0.2, "z_loss": 0.03}
MESH = jax.make_mesh((2, 4), ("data", "vocabulary"), axis_types=(AxisType.Auto,) * 2)


def draw():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, V, N)
    labels[:2] = 3
    return jnp.asarray(labels), {
        "hidden": jnp.asarray(rng.normal(size=(N, D))),
        "kernel": jnp.asarray(rng.normal(size=(D, V))),
        "bias": jnp.asarray(rng.normal(size=V)),
        "sample_weight": jnp.asarray(rng.uniform(0.1, 1, N)),
        "class_weight": jnp.asarray(rng.uniform(0.1, 1, V)),
        "targets": jnp.asarray(rng.dirichlet(np.ones(V), N)),
        **{k: jnp.asarray(v) for k, v in HYPERS.items()},
    }


SPECS = {
    "hidden": P("data"),
    "kernel": P(None, "vocabulary"),
    "bias": P("vocabulary"),
    "sample_weight": P("data"),
    "targets": P("data", "vocabulary"),
}


def loss(labels, floats, **options):
    """The mean over all tokens: a sum here, and what to divide it by."""
    floats = dict(floats)
    y_true = floats.pop("targets", labels)
    options |= {} if "targets" in floats or y_true.ndim == 2 else {"ignore_class": 3}
    return lossjax.linear_cross_entropy(
        y_true, floats.pop("hidden"), floats.pop("kernel"), **floats, reduction="sum", **options
    )


def sharded(names, check, **options):
    def local(labels, floats):
        here = loss(labels, floats, chunk=3, axis_name="vocabulary", **options)
        return jax.lax.psum(here, "data")

    specs = {name: SPECS.get(name, P()) for name in names}
    return jax.shard_map(
        local, mesh=MESH, in_specs=(P("data"), specs), out_specs=P(), check_vma=check
    )


def far(ours, wanted):
    pairs = zip(jax.tree.leaves(ours), jax.tree.leaves(wanted), strict=True)
    return max(float(jnp.abs(a - b).max() / max(1e-3, jnp.abs(b).max())) for a, b in pairs)


def everything(f, at, tangent):
    scaled = lambda x: jnp.sin(f(x))  # noqa: E731
    along = lambda x: jax.jvp(scaled, (x,), (tangent,))[1]  # noqa: E731
    return scaled(at), jax.grad(scaled)(at), along(at), jax.grad(along)(at)


def in_shard_map():
    labels, floats = draw()
    plain = ("hidden", "kernel", "bias", "sample_weight", "class_weight", *HYPERS)
    soft = ("hidden", "kernel", "targets", "class_weight", *HYPERS)
    padded = {"classes": 27}  # of the last device all columns are padding
    narrow = {"compute_dtype": "bfloat16", "accumulate_dtype": "float64"}
    for names, options in ((plain, {}), (soft, {}), (plain, padded), (soft, padded | narrow)):
        at = {k: floats[k] for k in names}
        labels = labels % options.get("classes", V)
        at["class_weight"] = at["class_weight"][: options.get("classes")]
        tangent = jax.tree.map(jnp.cos, at)
        one = functools.partial(loss, labels, **options)
        wanted = jax.jit(everything, static_argnums=0)(one, at, tangent)
        for check in (True, False) if names is plain and not options else (True,):
            f = functools.partial(sharded(names, check, **options), labels)
            got = jax.jit(everything, static_argnums=0)(f, at, tangent)
            for what, a, b in zip(("value", "grad", "jvp", "hvp"), got, wanted, strict=True):
                # Of second derivatives each device rounds its part.
                if not far(a, b) < (1e-2 if what == "hvp" and "compute_dtype" in options else 1e-9):
                    off = {k: far(a[k], b[k]) for k in b} if isinstance(b, dict) else far(a, b)
                    print(f"{names[2]} {options} check_vma={check}: {what} is off by {off}")


def under_plain_jit():
    """The compiler partitions; no device ever holds the whole kernel."""
    rng = np.random.default_rng(0)
    rows, width = 32, 8192
    labels = jnp.asarray(rng.integers(0, width, rows))
    hidden = jnp.asarray(rng.normal(size=(rows, D)))
    kernel = jnp.asarray(rng.normal(size=(D, width)))

    def f(hidden, kernel):
        return lossjax.linear_cross_entropy(labels, hidden, kernel, chunk=8)

    where = NamedSharding(MESH, P("data")), NamedSharding(MESH, P(None, "vocabulary"))
    step = jax.jit(jax.value_and_grad(f, (0, 1)), in_shardings=where, out_shardings=(None, where))
    program = step.lower(hidden, kernel).compile()
    gathers = [
        line for line in program.as_text().splitlines()
        if "all-gather" in line and "= " in line and f"{width}]" in line.split("all-gather(")[0]
    ]  # fmt: skip
    if gathers:
        print("all-gather of the vocabulary:", gathers[0][:300])
    got = program(*map(jax.device_put, (hidden, kernel), where))
    wanted = jax.jit(jax.value_and_grad(f, (0, 1)))(hidden, kernel)
    if not far(got, wanted) < 1e-9:
        print("plain jit is off by", far(got, wanted))


def rows_a_device():
    """Of the products of a chunk, where the batch is spread over all devices."""
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    tokens, features, classes = 8192, 8, 1024
    where = NamedSharding(mesh, P("data")), NamedSharding(mesh, P())
    shapes = ((tokens,), where[0]), ((tokens, features), where[0]), ((features, classes), where[1])
    for options, most in (({"token_shards": 8}, 256), ({}, 32)):
        step = jax.value_and_grad(
            lambda h, k, y, o=options: lossjax.linear_cross_entropy(y, h, k, **o), (0, 1)
        )
        y, h, k = (
            jax.ShapeDtypeStruct(shape, np.int32 if len(shape) == 1 else np.float32, sharding=s)
            for shape, s in shapes
        )
        text = jax.jit(step).lower(h, k, y).compile().as_text()
        found = {int(n) for n in re.findall(rf"f32\[(\d+),{classes}\]\S* dot\(", text)}
        if features in found:  # the kernel's gradient
            found.remove(features)
        if found != {most}:
            print(f"{options}: {most} rows a device are required, got {found}")


def with_terms():
    labels, floats = draw()
    at = {k: floats[k] for k in ("hidden", "kernel")}

    def local(labels, floats):
        out = lossjax.linear_cross_entropy(
            labels, **floats, chunk=3, axis_name="vocabulary", return_terms=True, reduction="sum"
        )
        return jax.lax.psum(out, "data")

    specs = {k: SPECS[k] for k in at}
    got = jax.jit(
        jax.shard_map(
            local, mesh=MESH, in_specs=(P("data"), specs), out_specs=(P(), Terms(*[P()] * 6))
        )
    )(labels, at)
    wanted = lossjax.linear_cross_entropy(labels, **at, return_terms=True, reduction="sum")
    if not far(got, wanted) < 1e-9:
        print("terms are off by", far(got, wanted))


def per_token_losses():
    """All in one program: the engine with losses that sum over the vocabulary by themselves."""
    labels, floats = draw()
    names = "hidden", "kernel", "targets", "temperature", "soft_cap", "sample_weight"
    at = {k: floats[k] for k in names}

    def losses(labels, floats, axis_name=None):
        apply = functools.partial(
            lossjax.chunked_linear,
            hidden=floats["hidden"],
            kernel=floats["kernel"],
            soft_cap=floats["soft_cap"],
            axis_name=axis_name,
            chunk=3,
        )
        t = floats["temperature"]
        of = functools.partial(functools.partial, axis_name=axis_name)
        distilled = apply(
            of(per_token.jensen_shannon, temperature=t), floats["targets"], reduction="sum"
        )
        listed = jnp.stack([labels, (labels + 17) % V], 1)
        log_p = -1 - jnp.stack([floats["sample_weight"]] * 2, 1)
        distilled += apply(
            of(per_token.top_k_kl_divergence, temperature=t), (log_p, listed), reduction="sum"
        )
        focal = apply(of(per_token.focal), labels, reduction="sum")
        found = apply(of(per_token.log_probability), labels, reduction="none")
        return distilled + focal + sum(jnp.sum(jnp.sin(x)) for x in found.values())

    def local(labels, floats):
        return jax.lax.psum(losses(labels, floats, "vocabulary"), "data")

    specs = {k: SPECS.get(k, P()) for k in at}
    f = jax.shard_map(local, mesh=MESH, in_specs=(P("data"), specs), out_specs=P())
    tangent = jax.tree.map(jnp.cos, at)
    got, wanted = (
        jax.jit(everything, static_argnums=0)(functools.partial(g, labels), at, tangent)
        for g in (f, losses)
    )
    for what, a, b in zip(("value", "grad", "jvp", "hvp"), got, wanted, strict=True):
        if not far(a, b) < 1e-9:
            print(f"per-token losses: {what} is off by {far(a, b)}")


def on_explicit_axes():
    """jax 0.12 makes such meshes by default."""
    mesh = jax.make_mesh((2, 4), ("data", "vocabulary"), axis_types=(AxisType.Explicit,) * 2)
    labels, floats = draw()
    names = ("hidden", "kernel", "bias", "sample_weight", "class_weight", *HYPERS)
    at = {k: floats[k] for k in names}
    tangent = jax.tree.map(jnp.cos, at)

    def f(labels, floats):
        return loss(labels, floats, chunk=3)

    wanted = jax.jit(everything, static_argnums=0)(functools.partial(f, labels), at, tangent)
    with jax.set_mesh(mesh):
        put = {k: jax.device_put(x, NamedSharding(mesh, SPECS.get(k, P()))) for k, x in at.items()}
        here = jax.device_put(labels, NamedSharding(mesh, P("data")))
        tangent = jax.tree.map(jnp.cos, put)
        run = jax.jit(lambda y, *args: everything(functools.partial(f, y), *args))
        got = run(here, put, tangent)
        entropies = lossjax.chunked_linear(
            per_token.log_probability, here, put["hidden"], put["kernel"], reduction="none"
        )
    if jax.typeof(got[1]["kernel"]).sharding.spec != SPECS["kernel"]:
        print("explicit axes: the kernel's gradient is sharded otherwise than the kernel")
    got, entropies = jax.tree.map(np.asarray, (got, entropies))
    plain = lossjax.chunked_linear(
        per_token.log_probability, labels, at["hidden"], at["kernel"], reduction="none"
    )
    if not (far(got, wanted) < 1e-9 and far(entropies, plain) < 1e-9):
        print("explicit axes: off by", far(got, wanted), far(entropies, plain))


if __name__ == "__main__":
    with jax.enable_x64(True):
        in_shard_map()
        under_plain_jit()
        rows_a_device()
        with_terms()
        per_token_losses()
        on_explicit_axes()
    print("done")
