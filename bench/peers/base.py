"""What every peer offers: the value and the gradient of a case's loss, as its users write it."""

import functools
import importlib
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeAlias

import jax
import numpy as np

from bench.cases import Case
from bench.record import one_line

ValueAndGrad: TypeAlias = Callable[..., tuple[Any, Any]]
# A library's own function for each kind of case.
Table: TypeAlias = Mapping[str, Callable[..., Any]]


class Peer:
    """A library that has losses. It is imported when `missing` is first asked for."""

    name: ClassVar[str]
    module: ClassVar[str]
    arrays: ClassVar[str]  # whose arrays it computes with: peers of one kind can share them

    @functools.cached_property
    def missing(self) -> str | None:
        """Why it cannot be used; None if it can."""
        try:
            self.check()
        except Exception as error:  # a broken installation fails in its own ways
            return one_line(error)
        return None

    @functools.cached_property
    def library(self) -> Any:
        return importlib.import_module(self.module)

    def check(self) -> Any:
        """Raise if it cannot compute here."""
        return self.library

    def put(self, inputs: tuple[np.ndarray, ...]) -> tuple[Any, ...]:
        """The inputs as the library's own arrays, on the device that is measured."""
        raise NotImplementedError

    def wait(self, result: Any) -> None:
        """Return when `result` has been computed."""
        raise NotImplementedError

    def host(self, result: tuple[Any, Any]) -> tuple[np.ndarray, np.ndarray]:
        """A value and a gradient as float32, when they have been computed; several as one."""
        value, *gradients = (np.asarray(x, np.float32) for x in jax.tree.leaves(result))
        if len(gradients) == 1:
            return value, gradients[0]
        return value, np.concatenate([gradient.ravel() for gradient in gradients])

    def forget(self) -> None:
        """Drop compiled programs of earlier cases that would slow the next ones down."""

    def function(self, case: Case) -> Callable[..., Any] | None:
        """`(y_true, y_pred[, weights or mask]) -> loss`, not compiled."""
        raise NotImplementedError

    def value_and_grad(self, case: Case) -> ValueAndGrad | None:
        """`(y_true, y_pred[, weights or mask]) -> (loss, gradient in y_pred)`, compiled where its
        users compile; None where the library has no such loss.
        """
        raise NotImplementedError


class JaxPeer(Peer):
    """A library on JAX: `function` is the loss, and everything else follows."""

    arrays = "jax"

    def value_and_grad(self, case: Case) -> ValueAndGrad | None:
        function = self.function(case)
        return None if function is None else jax.jit(jax.value_and_grad(function, argnums=1))

    def put(self, inputs: tuple[np.ndarray, ...]) -> tuple[jax.Array, ...]:
        return jax.block_until_ready(jax.device_put(inputs))

    def wait(self, result: Any) -> None:
        jax.block_until_ready(result)


def weighted(values: Any, weight: Any) -> Any:
    """The mean with one weight a row, for values a row or elementwise, in JAX or torch.

    Row means first: weighing every element costs eager torch half as much again.
    """
    return (_rows(values) * weight).mean()


def masked(values: Any, mask: Any) -> Any:
    """The mean over the rows that a mask keeps."""
    return (_rows(values) * mask).sum() / mask.sum()


def _rows(values: Any) -> Any:
    return values.reshape(len(values), -1).mean(-1) if values.ndim > 1 else values


REDUCTIONS: Table = {"none": lambda values: values.mean(), "weight": weighted, "mask": masked}
