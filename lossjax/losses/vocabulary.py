"""Losses of a vocabulary so large that its logits never exist."""

import functools
import math
from collections.abc import Callable
from types import NoneType
from typing import Any

import jax

from lossjax.core import check
from lossjax.core.loss import Loss, leaf, static
from lossjax.core.reduce import Inputs, Total
from lossjax.core.types import IGNORED_TYPES, Array, Hyper, Ignored, Input, Reduction
from lossjax.kernels.linear_cross_entropy import (
    linear_cross_entropy,
    linear_cross_entropy_total,
)

__all__ = ["LinearCrossEntropy", "linear_cross_entropy"]


class LinearCrossEntropy(Loss):
    """`linear_cross_entropy` as a loss: `y_pred` is (hidden, kernel) or (hidden, kernel, bias).

    The default reduction divides by the weights that count, not by the number of tokens.
    """

    fn = linear_cross_entropy
    aliases = ("linear_cross_entropy",)
    domain = "hidden"
    couples = "none"
    ignore_class: Ignored = static(default=None, types=IGNORED_TYPES)
    class_weight: Hyper = leaf(default=1.0, interval="[0, inf)")
    label_smoothing: Hyper = leaf(default=0.0, interval="[0, 1]")
    z_loss: Hyper = leaf(default=0.0, interval="[0, inf)")
    soft_cap: Hyper = leaf(default=math.inf, interval="(0, inf]")
    temperature: Hyper = leaf(default=1.0, interval="(0, inf)")
    shift: int = static(default=0, types=(int,))
    kernel_layout: str = static(default="dv", types=(str,))
    classes: int | None = static(default=None, types=(int, NoneType))
    chunk: int | str = static(default="auto", types=(int, str))
    compact: bool = static(default=False)
    compute_dtype: str | None = static(default=None, types=(str, NoneType))
    accumulate_dtype: str | None = static(default=None, types=(str, NoneType))
    implementation: str = static(default="auto", types=(str,))
    axis_name: str | None = static(default=None, types=(str, NoneType))
    memory: int | None = static(default=None, types=(int, NoneType))
    token_shards: int | None = static(default=None, types=(int, NoneType))
    reduction: Reduction = static(default="mean_with_sample_weight", kw_only=True)

    def _weighed(self, inputs: Inputs) -> Inputs:
        return inputs  # its own function knows what a token that does not count may hold

    def call(self, y_true: Any, y_pred: Any) -> Array:
        check.several(type(self).__name__, y_pred, self._declared.domain.predicted)
        return linear_cross_entropy(y_true, *y_pred, **self.hyperparameters(), reduction=None)

    def __call__(
        self,
        y_true: Any,
        y_pred: Any,
        sample_weight: Input | None = None,
        mask: Input | None = None,
    ) -> Array:
        value = self._reduced(linear_cross_entropy, y_true, y_pred, sample_weight, mask)
        return value if self.dtype is None else value.astype(self.dtype)

    def total(
        self,
        y_true: Any,
        y_pred: Any,
        sample_weight: Input | None = None,
        mask: Input | None = None,
    ) -> Total:
        return self._reduced(linear_cross_entropy_total, y_true, y_pred, sample_weight, mask)

    def total_and_terms(
        self,
        y_true: Any,
        y_pred: Any,
        sample_weight: Input | None = None,
        mask: Input | None = None,
    ) -> tuple[Total, dict[str, Total]]:
        """As `total`, with the terms that `return_terms` names, made in the same sweep."""
        f = functools.partial(linear_cross_entropy_total, return_terms=True)
        return self._reduced(f, y_true, y_pred, sample_weight, mask)

    def _reduced(
        self,
        f: Callable[..., Any],
        y_true: Any,
        y_pred: Any,
        sample_weight: Input | None,
        mask: Input | None,
    ) -> Any:
        check.several(type(self).__name__, y_pred, self._declared.domain.predicted)
        with jax.named_scope(self.name):
            return f(
                y_true,
                *y_pred,
                sample_weight=sample_weight,
                mask=mask,
                reduction=self.reduction,
                **self.hyperparameters(),
            )
