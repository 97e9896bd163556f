"""Wrong losses, each caught by `assert_loss` with a sentence that says what is wrong."""

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from lossjax import Loss
from lossjax.testing import assert_loss


@jax.custom_jvp
def square(x):
    return x**2


@square.defjvp
def _(x, dx):
    return square(x[0]), 2.02 * x[0] * dx[0]


class _Steep(Loss):
    def call(self, y_true, y_pred):
        return square(y_true - y_pred).mean(-1)


class _Batched(Loss):
    couples = "none"

    def call(self, y_true, y_pred):
        return ((y_true - y_pred) ** 2).mean(-1) / jnp.abs(y_true).mean()


class _Branching(Loss):
    scale: float = 1.0

    def call(self, y_true, y_pred):
        return (self.scale if self.scale > 0 else 0.0) * ((y_true - y_pred) ** 2).mean(-1)


class _Deaf(Loss):
    scale: float = 1.0

    def call(self, y_true, y_pred):
        return jax.lax.stop_gradient(self.scale) * ((y_true - y_pred) ** 2).mean(-1)


class _Narrow(Loss):
    def call(self, y_true, y_pred):
        return ((y_true - y_pred) ** 2).mean(-1).astype(np.float32)


class _Forgetful(Loss):
    scale: float = 1.0

    def call(self, y_true, y_pred):
        return self.scale * ((y_true - y_pred) ** 2).mean(-1)

    def get_config(self):
        return {"name": self.name, "reduction": self.reduction}


@pytest.mark.parametrize(
    ("loss", "name", "sentence"),
    [
        (_Steep(), "derivatives", "reverse mode.*expected .*, got"),
        (
            _Batched(),
            "couples",
            '"none" is wrong: sample 0 has an influence on the value of sample 1',
        ),
        (_Branching(), "leaves", "cannot be traced.*jnp.where"),
        (_Deaf(), "derivatives", "reverse mode.*expected"),
        (_Narrow(), "values", "expected float64 of float64, got float32"),
        (_Forgetful(2.0), "config", "scale through from_config.*expected 2.0, got 1.0"),
    ],
    ids=lambda x: type(x).__name__ if isinstance(x, Loss) else None,
)
def test_a_wrong_loss_is_caught(loss, name, sentence):
    with pytest.raises(AssertionError, match=sentence) as raised:
        assert_loss(loss, only=(name,))
    assert type(loss).__name__ in str(raised.value)
