"""A user's program as strict type checkers see it: `make check` runs mypy and pyright on it.

The remarks in `mistakes` are on lines that both must report: else they report the remark.
"""

import jax
import jax.numpy as jnp
import optax
from flax import nnx

import lossjax
from lossjax import Objective, Total, inspect, losses, training


class OfTypedUser(lossjax.Loss):
    under: float = 3.0
    squared: bool = lossjax.static(default=True)

    def call(self, y_true: jax.Array, y_pred: jax.Array) -> jax.Array:
        e = y_true - y_pred
        size = e**2 if self.squared else jnp.abs(e)
        return jnp.mean(jnp.where(e > 0, self.under, 1.0) * size, axis=-1)


def values(y_true: jax.Array, y_pred: jax.Array) -> dict[str, jax.Array]:
    huber = losses.Huber(delta=0.5, reduction="sum")
    own = OfTypedUser(under=2.0, name="own")
    both: lossjax.Loss = huber + 0.5 * own
    total: Total = huber.total(y_true, y_pred) + huber.total(y_true, y_pred)
    return {
        "one": own(y_true, y_pred, sample_weight=[1.0, 2.0], mask=[True, False]),
        "both": both(y_true, y_pred),
        "twice": total.result(),
        "each": losses.huber(y_true, y_pred, delta=2.0),
        "chunked": losses.LinearCrossEntropy()(jnp.array([1, 2]), (y_pred, y_true.T @ y_pred)),
    }


def slope(y_true: jax.Array, y_pred: jax.Array) -> jax.Array:
    def value(loss: losses.Huber) -> jax.Array:
        return loss(y_true, y_pred)

    return jnp.asarray(jax.grad(value)(losses.Huber()).delta)


def trained(x: jax.Array, y: jax.Array) -> tuple[float, str]:
    state = training.init(nnx.Linear(3, 3, rngs=nnx.Rngs(0)), optax.adam(1e-2))
    objective = Objective(OfTypedUser(), log_terms=True)
    stop = training.EarlyStopping("loss", patience=1)
    state, history = training.fit(state, objective, (x, y), epochs=2, callbacks=[stop])
    return history["loss"][-1], history.stopped


def looked_at(y_true: jax.Array, y_pred: jax.Array) -> tuple[list[str], int]:
    report = inspect.check(OfTypedUser(), y_true, y_pred)
    cost = lossjax.devices.cost(jax.jit(values), y_true, y_pred)
    return [finding.cause for finding in report.at_least("warning")], cost.temp_bytes


def mistakes() -> None:
    losses.Huber(detla=0.5)  # type: ignore[call-arg]
    losses.Huber(reduction="avg")  # type: ignore[arg-type]
    OfTypedUser(over=1.0)  # type: ignore[call-arg]
    losses.huber([0.0], "1.0")  # type: ignore[arg-type]
    losses.Huber().delta = 2.0  # type: ignore[misc]
    training.fit(0, "mse", ())  # type: ignore[arg-type]
