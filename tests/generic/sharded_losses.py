"""Run by test_across_devices.py on four virtual devices: prints what is wrong, if anything."""

import functools
import os

os.environ["XLA_FLAGS"] = (
    "--xla_force_host_platform_device_count=4 "
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import numpy as np
from jax import numpy as jnp
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from lossjax import losses

DEVICES = np.array(jax.devices())
MESHES = {"data": Mesh(DEVICES, ("data",)), ("a", "b"): Mesh(DEVICES.reshape(2, 2), ("a", "b"))}
ROWS = 8

RNG = np.random.default_rng(0)
REGIONS = RNG.integers(0, 3, (ROWS, 3, 5)) / 2.0, RNG.uniform(size=(ROWS, 3, 5))
LABELS, POINTS = np.arange(ROWS) * 3 % 4, RNG.normal(size=(ROWS, 3))
POINTS /= np.linalg.norm(POINTS, axis=-1, keepdims=True)
# The devices have unequal shares; one has nothing at all.
KEPT = np.array([1, 1, 0, 0, 1, 0, 1, 1], bool)
WEIGHT = RNG.uniform(0.1, 2, ROWS)
PIXELS = RNG.uniform(size=(ROWS, 3, 5)) < 0.6
OF_VALUES = RNG.uniform(0.1, 2, (3, 5)), RNG.uniform(size=(3, 5)) < 0.7


def cases():
    """(loss, class and configuration), inputs, weights and mask, and whether these have rows."""
    of_rows = [(None, None), (WEIGHT, None), (None, KEPT), (WEIGHT, KEPT)]
    overlaps = [
        functools.partial(losses.Dice),
        functools.partial(losses.Tversky, alpha=0.3, beta=0.9),
        functools.partial(losses.Dice, ignore_class=0),
        functools.partial(losses.ConcordanceCorrelation),
        functools.partial(losses.ScaleInvariantLog, epsilon=0.1),
    ]
    for cls in overlaps:
        few = of_rows if cls is overlaps[0] else of_rows[-1:]
        for reduction in ("sum_over_batch_size", "mean_with_sample_weight"):
            whole = functools.partial(cls, axis=None, reduction=reduction)
            yield from ((whole, REGIONS, *w, True) for w in few)
        yield functools.partial(cls, axis=None), REGIONS, None, PIXELS, True
        for reduction in ("sum", None):
            of_pixel = functools.partial(cls, axis=(0,), reduction=reduction)
            yield of_pixel, REGIONS, None, None, True
            yield of_pixel, REGIONS, PIXELS * 2.0, None, True
            yield of_pixel, REGIONS, None, PIXELS, True
            yield of_pixel, REGIONS, *OF_VALUES, False
        of_row = functools.partial(cls, axis=(1, 2))
        yield from ((of_row, REGIONS, *w, True) for w in few)
        yield of_row, REGIONS, None, PIXELS, True
    for whole in (
        functools.partial(losses.Jaccard, batch=True, class_axis=None),
        functools.partial(losses.DiceCrossEntropy, batch=True, exclusive=True),
    ):
        yield whole, REGIONS, WEIGHT, KEPT, True
        yield whole, REGIONS, None, PIXELS, True
    yield functools.partial(losses.Jaccard, batch=True), REGIONS, None, PIXELS, True
    yield functools.partial(losses.Jaccard, absent="skip"), REGIONS, None, PIXELS, True
    for reduction in ("sum_over_batch_size", "sum", "mean_with_sample_weight", None):
        pairs = functools.partial(losses.Circle, gamma=4.0, reduction=reduction)
        yield from ((pairs, (LABELS, POINTS), *w, True) for w in of_rows)
    yield (
        functools.partial(losses.Circle, remove_diagonal=False),
        (LABELS, POINTS),
        None,
        KEPT,
        True,
    )


def value(loss, options, y_true, y_pred):
    """A number with a gradient that differs from entry to entry, whatever the reduction."""
    found = loss(y_true, y_pred, *options)
    return found, jnp.sum(jnp.sin(found))


def far(ours, wanted):
    scale = np.maximum(1e-3, np.abs(wanted).max(initial=0))
    return float(np.abs(np.asarray(ours) - wanted).max(initial=0) / scale)


def on_mesh(make, axis_name, has_rows):
    loss = make(axis_name=axis_name)
    rows = P(axis_name)
    is_local = loss.reduction is None and isinstance(loss, losses.Circle)

    def here(y_true, y_pred, options):
        def f(p):
            found, number = value(loss, options, y_true, p)
            return jax.lax.psum(number, axis_name) if is_local else number, found

        (_, found), slope = jax.value_and_grad(f, has_aux=True)(y_pred)
        return found, slope

    return jax.shard_map(
        here,
        mesh=MESHES[axis_name],
        in_specs=(rows, rows, rows if has_rows else P()),
        out_specs=(rows if is_local else P(), rows),
    )


def inside_shard_map():
    for number, (make, inputs, weight, mask, has_rows) in enumerate(cases()):
        options = weight, mask
        loss = make()

        @jax.jit
        def one_device(t, p, options, loss=loss):
            f = lambda p: value(loss, options, t, p)[::-1]  # noqa: E731
            (_, found), slope = jax.value_and_grad(f, has_aux=True)(p)
            return found, slope

        wanted = one_device(*inputs, options)
        axis_names = ("data", ("a", "b")) if number % 5 == 0 else ("data",)
        for axis_name in axis_names:
            got = jax.jit(on_mesh(make, axis_name, has_rows))(*inputs, options)
            off = [far(a, b) for a, b in zip(got, wanted, strict=True)]
            if not max(off) < 1e-12 or not np.any(wanted[1]):
                given = [None if x is None else x.shape for x in options]
                print(f"{loss} {given} over {axis_name}: value, gradient off by {off}")
        if number % 5 == 0:  # the compiler partitions
            put = jax.device_put(inputs, NamedSharding(MESHES["data"], P("data")))
            off = [far(a, b) for a, b in zip(one_device(*put, options), wanted, strict=True)]
            if not max(off) < 1e-12:
                print(f"{loss} under plain jit: off by {off}")


def totals_and_functions():
    """Of micro-batches on every device, and the functions by themselves."""
    mesh, (t, p) = MESHES["data"], REGIONS
    on = functools.partial(jax.shard_map, mesh=mesh, in_specs=P("data"))
    loss = losses.Tversky(axis_name="data")

    def parts(t, p, w):
        both = [loss.total(t[i : i + 1], p[i : i + 1], w[i : i + 1]) for i in range(2)]
        return (both[0].zero() + sum(both)).result()

    got = on(parts, out_specs=P())(t, p, WEIGHT)
    off = {"totals": far(got, np.asarray(losses.Tversky()(t, p, WEIGHT)))}
    for name, f, inputs, options, spec in (
        ("dice", losses.dice, (t, p), {}, P()),
        ("dice of rows", losses.dice, (t, p), {"axis": -1}, P("data")),
        ("tversky", losses.tversky, (t, p), {"axis": (0, 2), "alpha": 0.2}, P()),
        ("circle", losses.circle, (LABELS, POINTS), {}, P("data")),
        ("circle of references", losses.circle, (LABELS, POINTS),
         {"ref_labels": LABELS[:6], "ref_embeddings": POINTS[:6]}, P("data")),
    ):  # fmt: skip
        there = functools.partial(f, axis_name="data", **options)
        off[name] = far(on(there, out_specs=spec)(*inputs), np.asarray(f(*inputs, **options)))
    print(*(f"{k} off by {v}" for k, v in off.items() if not v < 1e-12), sep="\n", end="")


if __name__ == "__main__":
    with jax.enable_x64(True):
        inside_shard_map()
        totals_and_functions()
    print("done")
