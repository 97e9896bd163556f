"""The generic suite for one loss: what holds for every loss, as named properties."""

import dataclasses
import functools
import json
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp
from jax.sharding import Mesh, PartitionSpec

from lossjax.core.config import deserialize, serialize
from lossjax.core.loss import Loss
from lossjax.core.types import Reduction
from lossjax.testing.coupling import assert_couples
from lossjax.testing.sampling import sample

STEP = 1e-5
REDUCTIONS: tuple[Reduction, ...] = (
    "sum_over_batch_size",
    "sum",
    "mean_with_sample_weight",
    "none",
)
DIFFERENTIATED: tuple[Reduction, ...] = (
    "sum_over_batch_size",
    "mean_with_sample_weight",
)  # the others are part of them
DRAWS = 2
# Programs that are run once or twice: most of their time is that of the compiler.
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


def assert_loss(
    loss: Loss | type[Loss],
    y_true: Any = None,
    y_pred: Any = None,
    *,
    only: tuple[str, ...] = (),
) -> list[str]:
    """The generic suite for one loss, in seconds; the names of the properties that hold.

    AssertionError says which one does not, where, and what was expected. Inputs are by default
    samples that suit the loss; give (B, ...) arrays, or pytrees of such, for other domains, away
    from ties: there a difference across is no derivative. `only` names the properties to check.

    >>> import lossjax
    >>> class Quartic(lossjax.Loss):
    ...     scale: float = 1.0
    ...
    ...     def call(self, y_true, y_pred):
    ...         return self.scale * ((y_true - y_pred) ** 4).mean(axis=-1)
    >>> assert_loss(Quartic(), only=("values", "derivatives"))
    ['values', 'derivatives']
    """
    suite = Suite(loss() if isinstance(loss, type) else loss, y_true, y_pred)
    names = list(only or PROPERTIES)
    for name in names:
        suite.check(name)
    return names


class Suite:
    """A loss with inputs; its programs are compiled once and serve several properties."""

    def __init__(self, loss: Loss, y_true: Any = None, y_pred: Any = None) -> None:
        self.loss, self.where = loss, type(loss).__name__
        self.drawn = y_pred is None
        given = sample(loss) if y_pred is None else (y_true, y_pred)
        self.y_true, self.y_pred = jax.tree.map(np.asarray, given)
        self.count = len(jax.tree.leaves(self.y_pred)[0])

    def check(self, name: str) -> None:
        """AssertionError where that property does not hold."""
        try:
            PROPERTIES[name](self)
        except jax.errors.JAXTypeError as error:
            raise AssertionError(
                f"{self.where}: {name}: cannot be traced. Use jnp.where in place of `if` on what "
                f"is an array, and jnp in place of NumPy. {str(error)[:120]}"
            ) from error

    def like(self, reduction: Reduction) -> Loss:
        """The loss with another reduction."""
        return dataclasses.replace(self.loss, reduction=reduction)

    @functools.cached_property
    def values(self) -> np.ndarray:
        """Of the eager call, float32."""
        return np.asarray(self.like("none")(self.y_true, self.y_pred))

    @functools.cached_property
    def axis(self) -> int:
        """The axis of `y_pred` along which masked samples lie."""
        return int(getattr(self.loss, "axis", -1) == 0)

    @functools.cached_property
    def shape(self) -> tuple[int, ...]:
        """Of weights and masks: a scalar for the whole batch takes one a sample."""
        return self.values.shape or (self.count,)

    def mask(self, kept: np.ndarray) -> np.ndarray:
        """One entry a value, of one a sample."""
        return np.broadcast_to(kept.reshape(-1, *[1] * (len(self.shape) - 1)), self.shape)

    def draws(self) -> Iterator[tuple[dict[str, Any], np.ndarray, dict[str, Any]]]:
        """Arguments in float64, a mask and a direction; the mask of the first takes out nothing."""
        for draw in range(DRAWS):
            rng = np.random.default_rng(draw)
            arguments = {
                "loss": jax.tree.map(lambda x: np.float64(x) + 0.01, self.loss),
                "y_pred": jax.tree.map(np.float64, self.y_pred),
                "sample_weight": rng.uniform(0.5, 2, self.shape),
            }
            if self.float_true:
                arguments["y_true"] = jax.tree.map(self.apart, self.y_true)
            direction = jax.tree.map(_normal(rng), arguments)
            yield arguments, np.arange(self.shape[0]) % 3 != draw - 2 * (not draw), direction

    def apart(self, x: Any) -> Any:
        """Drawn numbers away from the ties at 0 and 1."""
        return 0.9 * np.float64(x) + 0.04 if self.drawn else np.float64(x)

    @functools.cached_property
    def own_mask(self) -> bool:
        """Whether the loss itself says which values count."""
        return isinstance(jax.eval_shape(self.loss.call, self.y_true, self.y_pred), tuple)

    @functools.cached_property
    def float_true(self) -> bool:
        """Whether y_true is differentiable."""
        return all(x.dtype.kind == "f" for x in jax.tree.leaves(self.y_true))

    def reduced(
        self, arguments: dict[str, Any], mask: Any, names: tuple[Reduction, ...]
    ) -> dict[Any, Any]:
        """The loss of the arguments under some reductions."""
        given = {"y_true": self.y_true, "mask": mask} | arguments
        loss = given.pop("loss")
        return {r: dataclasses.replace(loss, reduction=r)(**given) for r in names}

    @functools.cached_property
    def program(self) -> Callable[..., Any]:
        """Every reduction, the gradient of them together, both along a direction; the values."""

        def objective(arguments: Any, mask: Any) -> Any:
            return _together(self.reduced(arguments, mask, DIFFERENTIATED))

        def everything(arguments: Any, mask: Any, direction: Any) -> Any:
            def gradient(a: Any) -> Any:
                return jax.grad(objective)(a, mask)

            def value(a: Any) -> Any:
                return objective(a, mask)

            first, forward = jax.jvp(value, (arguments,), (direction,))
            slope, curvature = jax.jvp(gradient, (arguments,), (direction,))
            reduced = self.reduced(arguments, mask, REDUCTIONS)
            own = self.reduced(arguments | {"sample_weight": None}, None, ("none",))["none"]
            return reduced, first, forward, slope, curvature, own

        return _quick(jax.vmap(everything))

    @functools.cached_property
    def found(self) -> list[list[Any]]:
        """For each draw: here, a step forth, a step back, here with NaN in what is masked."""
        points = []
        for arguments, kept, direction in self.draws():
            mask = self.mask(kept)
            moved = [
                jax.tree.map(lambda x, d, h=h: x + h * d, arguments, direction)
                for h in (0, STEP, -STEP)
            ]
            gone = (slice(None),) * self.axis + (~kept,)
            inputs = {n: a for n, a in arguments.items() if n in ("y_true", "y_pred")}
            poisoned = arguments | jax.tree.map(_with_nan(gone), inputs)
            points += [(a, mask, direction) for a in (*moved, poisoned)]
        with jax.enable_x64(True):
            stacked = jax.tree.map(lambda *x: np.stack(x), *points)
            batch = jax.tree.map(np.asarray, self.program(*stacked))
        each = [jax.tree.map(lambda x, i=i: x[i], batch) for i in range(len(points))]
        return [each[i : i + 4] for i in range(0, len(each), 4)]

    def close(self, name: str, at: str, got: Any, want: Any, rtol: float, atol: float) -> None:
        """AssertionError names the leaf that differs most, with its two numbers."""
        pairs = zip(jax.tree_util.tree_leaves_with_path(got), jax.tree.leaves(want), strict=True)
        for (path, x), y in pairs:
            x, y = np.asarray(x), np.asarray(y)
            if x.shape != y.shape:
                raise AssertionError(
                    f"{self.where}: {name}: {at}: expected shape {y.shape}, got {x.shape}."
                )
            wrong = ~np.isclose(x, y, rtol=rtol, atol=atol, equal_nan=True)
            if wrong.any():
                i = tuple(np.argwhere(wrong)[0].tolist())
                leaf = jax.tree_util.keystr(path)
                raise AssertionError(
                    f"{self.where}: {name}: {at}{' of ' + leaf if leaf else ''} at {i}: "
                    f"expected {y[i]:.9g}, got {x[i]:.9g}."
                )


def _quick(f: Callable[..., Any]) -> Callable[..., Any]:
    """`f` compiled for its first arguments, with little effort where that is the CPU's compiler."""
    made: list[Any] = []

    def program(*args: Any) -> Any:
        if not made:
            options: dict[str, Any] = QUICK if jax.default_backend() == "cpu" else {}
            made.append(jax.jit(f).lower(*args).compile(compiler_options=options))
        return made[0](*args)

    return program


def _together(found: dict[Any, Any]) -> Any:
    """One number of all reductions, in which none can stand in for another."""
    return sum((1 - 0.3 * i) * value for i, value in enumerate(found.values()))


def _normal(rng: np.random.Generator) -> Callable[[Any], Any]:
    return lambda x: rng.normal(size=np.shape(x))


def _with_nan(gone: Any) -> Callable[[Any], Any]:
    def poison(x: Any) -> Any:
        x = x.copy()
        x[gone] = np.nan
        return x

    return poison


def values(suite: Suite) -> None:
    """Finite, float32 as `y_pred`, in the dtype that is asked for, and close to float64's."""
    name = "values"
    found = suite.values
    if found.dtype != np.float32:
        raise AssertionError(f"{suite.where}: {name}: expected float32, got {found.dtype}.")
    if not np.isfinite(found).all():
        raise AssertionError(f"{suite.where}: {name}: expected finite values, got {found}.")
    half = dataclasses.replace(suite.loss, dtype="bfloat16")(suite.y_true, suite.y_pred)
    if half.dtype != jnp.bfloat16:
        raise AssertionError(f"{suite.where}: {name}: dtype: expected bfloat16, got {half.dtype}.")
    with jax.enable_x64(True):
        p = jax.tree.map(np.float64, suite.y_pred)
        wide = jax.jit(suite.like("none"))(suite.y_true, p)
        if wide.dtype != np.float64:
            raise AssertionError(
                f"{suite.where}: {name}: expected float64 of float64, got {wide.dtype}."
            )
    suite.close(name, "float32 beside float64", found, wide, 1e-4, 1e-5)


def reductions(suite: Suite) -> None:
    """Each is its definition, in NumPy float64."""
    if not suite.values.ndim:
        return  # returned as it is
    for (arguments, kept, _), found in zip(suite.draws(), suite.found, strict=True):
        m = suite.mask(kept)
        w, got = arguments["sample_weight"], found[0][0]
        weighed = got["none"]
        if kept.all():
            suite.close("reductions", "values times weights", weighed, found[0][5] * w, 1e-9, 1e-12)
        if suite.own_mask:
            continue  # it counts in the divisors too
        want = {
            "sum_over_batch_size": weighed.sum() / m.sum(),
            "sum": weighed.sum(),
            "mean_with_sample_weight": weighed.sum() / (w * m).sum(),
        }
        for r, number in want.items():
            suite.close("reductions", r, got[r], number, 1e-9, 1e-12)


def masks(suite: Suite) -> None:
    """What the mask takes out has no influence on value or gradient, not even as NaN."""
    for found in suite.found:
        here, poisoned = ([x[0], x[3]] for x in (found[0], found[3]))
        suite.close("masks", "value and gradient with NaN masked", poisoned, here, 1e-7, 1e-9)


def derivatives(suite: Suite) -> None:
    """First and second, by everything, as central differences; forward as reverse."""
    for (_, _, direction), (here, forth, back, _) in zip(suite.draws(), suite.found, strict=True):

        def along(tree: Any, direction: Any = direction) -> Any:
            return sum(map(np.vdot, jax.tree.leaves(tree), jax.tree.leaves(direction)))

        scale = 1e-7 * (1 + abs(here[1]))
        slope = (forth[1] - back[1]) / (2 * STEP)
        suite.close("derivatives", "reverse mode", along(here[3]), slope, 2e-6, scale)
        suite.close("derivatives", "forward mode", here[2], along(here[3]), 1e-9, scale)
        curve = jax.tree.map(lambda a, b: (a - b) / (2 * STEP), forth[3], back[3])
        size = max(np.abs(x).max(initial=0) for x in jax.tree.leaves(curve))
        suite.close("derivatives", "second order", here[4], curve, 1e-4, 1e-6 * (1 + size))


def as_given(suite: Suite) -> None:
    """The derivative by the inputs, of hyperparameters that are numbers: they may go other ways."""
    arguments, _, direction = next(suite.draws())
    del arguments["loss"], direction["loss"]
    fixed = {} if suite.float_true else {"y_true": suite.y_true}

    def both(given: Any) -> Any:
        return jax.value_and_grad(lambda given: jnp.sum(suite.loss(**given, **fixed)))(given)

    steps = [
        jax.tree.map(lambda x, d, h=h: x + h * d, arguments, direction) for h in (0, STEP, -STEP)
    ]
    with jax.enable_x64(True):
        stacked = jax.tree.map(lambda *x: np.stack(x), *steps)
        value, slope = jax.tree.map(np.asarray, _quick(jax.vmap(both))(stacked))
    ahead = jax.tree.map(lambda x, d: np.vdot(x[0], d), slope, direction)
    across = (value[1] - value[2]) / (2 * STEP)
    scale = 1e-7 * (1 + abs(value[0]))
    suite.close("as_given", "reverse mode", sum(jax.tree.leaves(ahead)), across, 2e-6, scale)


def totals(suite: Suite) -> None:
    """Those of unequal parts, one of them empty, merge to the whole; value and gradient."""
    b, coupling = suite.count, suite.loss._coupling(suite.y_pred)
    try:
        suite.loss.total(suite.y_true, suite.y_pred)
    except ValueError as error:
        if coupling == "pairs" or not suite.values.ndim:
            return
        raise AssertionError(
            f"{suite.where}: totals: it couples {coupling!r}, but {error}"
        ) from error
    if coupling == "pairs":
        raise AssertionError(f"{suite.where}: totals: expected a ValueError for pairs, got none.")
    cuts = [(0, 1), (1, 1), (1, b)]

    @_quick
    @jax.value_and_grad
    def merged(y_pred: Any, arguments: Any, mask: Any) -> Any:
        given = {"y_true": suite.y_true, "mask": mask} | arguments | {"y_pred": y_pred}
        loss = given.pop("loss")
        found = {}
        for r in DIFFERENTIATED:
            one = dataclasses.replace(loss, reduction=r)
            parts = [jax.tree.map(lambda x, i=i, j=j: x[i:j], given) for i, j in cuts]
            found[r] = sum(one.total(**part) for part in parts).result()
        return _together(found)

    for (arguments, kept, _), (here, *_) in zip(suite.draws(), suite.found, strict=True):
        with jax.enable_x64(True):
            got = merged(arguments["y_pred"], arguments, suite.mask(kept))
        want = here[1], here[3]["y_pred"]
        suite.close("totals", "parts merged", got, want, 1e-9, 1e-12)


def couples(suite: Suite) -> None:
    """Which samples have an influence on the values of others is as declared."""
    if suite.loss._declared.couples is not None:
        assert_couples(suite.loss, suite.y_true, suite.y_pred)


def transformations(suite: Suite) -> None:
    """Value and gradient inside jit, vmap, scan, checkpoint and shard_map are the same."""
    mesh, rows = Mesh(np.array(jax.devices()[:1]), ("data",)), PartitionSpec("data")

    def both(t: Any, p: Any) -> Any:
        return jax.value_and_grad(lambda p: jnp.sum(suite.loss(t, p)))(p)

    def sharded(t: Any, p: Any) -> Any:
        return jax.tree.map(lambda x: x[None], both(t, p))

    @_quick
    def all_ways(*batch: Any) -> Any:
        twice = jax.tree.map(lambda x: jnp.stack([x, x]), batch)
        found = jax.shard_map(sharded, mesh=mesh, in_specs=rows, out_specs=rows)(*batch)
        return {
            "jit": both(*batch),
            "shard_map": jax.tree.map(lambda x: x[0], found),
            "vmap": jax.tree.map(lambda x: x[1], jax.vmap(both)(*twice)),
            "scan": jax.tree.map(lambda x: x[1], jax.lax.map(lambda a: both(*a), twice)),
            "checkpoint": jax.checkpoint(both)(*batch),
        }

    found = all_ways(suite.y_true, suite.y_pred)
    for way, got in found.items():
        suite.close("transformations", f"inside {way}", got, found["jit"], 1e-5, 1e-7)
    eager = jnp.sum(suite.loss(suite.y_true, suite.y_pred))
    suite.close("transformations", "jit beside eager", found["jit"][0], eager, 1e-5, 1e-7)


def leaves(suite: Suite) -> None:
    """Flattened and back; hyperparameters are traced: other values need no other program."""
    flat, structure = jax.tree.flatten(suite.loss)
    if repr(jax.tree.unflatten(structure, flat)) != repr(suite.loss):
        raise AssertionError(f"{suite.where}: leaves: flatten and unflatten lost something.")
    traces = []

    @jax.jit
    def program(loss: Any, t: Any, p: Any) -> Any:
        traces.append(1)
        return loss(t, p)

    for factor in (1.0, 0.9):
        other = jax.tree.map(
            lambda x, f=factor: np.asarray(x, np.float32) * np.float32(f), suite.loss
        )
        got = program(other, suite.y_true, suite.y_pred)
        want = other(suite.y_true, suite.y_pred)
        suite.close("leaves", f"leaves times {factor}, jit beside eager", got, want, 1e-5, 1e-6)
    if len(traces) != 1:
        raise AssertionError(f"{suite.where}: leaves: expected 1 program, got {len(traces)}.")


def config(suite: Suite) -> None:
    """Through get_config, and through serialize and JSON."""
    own = {suite.where: type(suite.loss)}
    for way, same in (
        ("from_config(get_config())", type(suite.loss).from_config(suite.loss.get_config())),
        ("JSON", deserialize(json.loads(json.dumps(serialize(suite.loss))), own)),
    ):
        for field in dataclasses.fields(suite.loss):
            got, want = (getattr(x, field.name) for x in (same, suite.loss))
            if not np.array_equal(got, want):
                raise AssertionError(
                    f"{suite.where}: config: {field.name} through {way}: expected {want!r}, "
                    f"got {got!r}."
                )


PROPERTIES: dict[str, Callable[[Suite], None]] = {
    f.__name__: f
    for f in (
        values,
        reductions,
        masks,
        derivatives,
        as_given,
        totals,
        couples,
        transformations,
        leaves,
        config,
    )
}
