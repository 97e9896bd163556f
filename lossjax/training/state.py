"""All that training changes, and how it starts."""

import dataclasses
from typing import Any

import jax
import optax
from jax import numpy as jnp

from lossjax.core import check
from lossjax.core.types import Array
from lossjax.core.words import told
from lossjax.objective import Objective
from lossjax.training import model as models


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class State:
    """All that changes from step to step. A step takes the arrays of the one it is given."""

    step: Array
    params: Any  # the model's; with learned weights {"model": ..., "log_variances": ...}
    rest: Any  # batch statistics, counters of random keys: carried along, not differentiated
    opt_state: optax.OptState
    key: Array | None  # None for models that keep random keys of their own
    tx: optax.GradientTransformationExtraArgs = dataclasses.field(metadata={"static": True})
    adapter: models.Model = dataclasses.field(metadata={"static": True})
    learned: bool = dataclasses.field(metadata={"static": True})
    dtype: str | None = dataclasses.field(metadata={"static": True})

    @property
    def model(self) -> Any:
        """The model with its present parameters: an nnx or equinox module, or linen variables."""
        return self.adapter.merge(self.split(self.params)[0], self.rest)

    def replace(self, **changes: Any) -> "State":
        """The same state but for `changes`."""
        return dataclasses.replace(self, **changes)

    def split(self, params: Any) -> tuple[Any, dict[str, Array]]:
        """Parameters of the model, and of the objective."""
        return (params["model"], params["log_variances"]) if self.learned else (params, {})

    def outputs(self, params: Any, rest: Any, x: Any, train: bool, part: Any = 0) -> Any:
        """What the model makes of `x`, its auxiliary losses, and its new state."""
        params = self.split(params)[0]
        if self.dtype is not None:
            params, x = _cast(params, self.dtype), _cast(x, self.dtype)
        key = self.key
        if key is not None:
            key = jax.random.fold_in(jax.random.fold_in(key, self.step), part)
        return self.adapter.apply(params, rest, x, key, train)


def checked_state(where: str, state: Any) -> None:
    """TypeError for a model in place of a state."""
    if not isinstance(state, State):
        raise TypeError(
            f"{where}: state must be what training.init returns, got {type(state).__name__}. Write "
            f"state = training.init(model, optax.adam(1e-3)); state.model is the trained model."
        )


@told
def init(
    model: Any,
    tx: optax.GradientTransformation,
    *,
    sample: Any = None,
    objective: Objective | None = None,
    dtype: Any = None,
    seed: int = 0,
) -> State:
    """The state before the first step, of a flax nnx, flax linen or equinox model.

    An equinox model that has layers with state is the pair that `eqx.nn.make_with_state` returns;
    of a tuple that an equinox model returns, what no sample has a part in has no axis of samples.
    The model is copied: training does not change it, `state.model` is the trained one. `sample`
    are inputs of one batch, from which linen makes its parameters. An `objective` with learned
    weights adds their parameters. With a `dtype` such as "bfloat16" the model computes in it;
    parameters, optimizer and losses stay in float32. `seed` starts dropout and linen's parameters.
    """
    key = jax.random.key(seed)
    states: list[Any] = []
    if isinstance(model, tuple) and len(model) == 2 and _is_equinox(model[0]):
        model, *states = model
    classes = type(model).__mro__
    if _is_equinox(model):
        adapter, params, rest = models.of_equinox(model, *states)
    elif any(cls.__module__.startswith("flax.nnx") for cls in classes):
        adapter, params, rest = models.of_nnx(model)
    elif any(cls.__module__.startswith("flax.linen") for cls in classes):
        if sample is None:
            raise ValueError(
                "init: a linen model makes its parameters from inputs: pass one batch of them, "
                "init(model, tx, sample=x[:1])."
            )
        adapter, params, rest = models.of_linen(model, jax.tree.map(jnp.asarray, sample), key)
    else:
        raise TypeError(
            f"init: the model must be of flax nnx, flax linen or equinox, got {type(model)}."
        )
    log_variances = objective.log_variances() if objective else {}
    if log_variances:
        params = {"model": params, "log_variances": log_variances}
    extra = optax.with_extra_args_support(tx)
    state = State(
        step=jnp.zeros((), jnp.int32),
        params=params,
        rest=rest,
        opt_state=extra.init(params),
        key=jax.random.key_data(key) if adapter.random else None,
        tx=extra,
        adapter=adapter,
        learned=bool(log_variances),
        dtype=check.float_dtype("init", dtype),
    )
    return jax.tree.map(lambda x: jnp.array(x, copy=True), state)


def _is_equinox(model: Any) -> bool:
    """Told by its name: equinox need not be installed."""
    names = [f"{c.__module__.split('.')[0]}.{c.__name__}" for c in type(model).__mro__]
    return "equinox.Module" in names


def _cast(tree: Any, dtype: str) -> Any:
    def leaf(a: Any) -> Any:
        return a.astype(dtype) if jnp.issubdtype(jnp.asarray(a).dtype, jnp.floating) else a

    return jax.tree.map(leaf, tree)
