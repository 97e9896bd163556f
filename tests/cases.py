"""The table of losses that most tests iterate over: one row a loss, with its configurations."""

import dataclasses
from typing import Any

from lossjax import losses
from lossjax.losses import Loss


@dataclasses.dataclass(frozen=True)
class Case:
    """`configs` are constructor arguments to try; `keras_rtol` what agreement can be asked for.

    `any_rank` tells that rows along the last axis are the samples, of whatever rank.
    """

    loss: type[Loss]
    configs: tuple[dict[str, Any], ...] = ({},)
    keras_rtol: float = 1e-5
    any_rank: bool = True

    @property
    def domain(self) -> str:
        return self.loss._declared.domain.name

    @property
    def couples(self) -> str | None:
        return self.loss._declared.couples


CASES = (
    Case(losses.MeanSquaredError),
    Case(losses.MeanAbsoluteError),
    Case(losses.MeanAbsolutePercentageError),
    Case(losses.MeanSquaredLogarithmicError),
    Case(losses.Huber, ({}, {"delta": 0.3}, {"delta": 5.0})),
    Case(losses.LogCosh),
    Case(losses.CosineSimilarity, ({}, {"axis": 0})),
    Case(losses.Hinge),
    Case(losses.SquaredHinge),
    Case(losses.CategoricalHinge),
    Case(losses.KLDivergence),
    Case(losses.Poisson),
    Case(
        losses.BinaryCrossentropy,
        (
            {},
            {"label_smoothing": 0.2},
            {"from_logits": True},
            {"from_logits": True, "label_smoothing": 0.2, "axis": 0},
        ),
    ),
    Case(
        losses.BinaryFocalCrossentropy,
        (
            {},
            {"apply_class_balancing": True, "alpha": 0.4, "gamma": 1.5},
            {"from_logits": True, "gamma": 3.0},
            {"from_logits": True, "label_smoothing": 0.2},
        ),
    ),
    Case(
        losses.CategoricalCrossentropy,
        (
            {},
            {"label_smoothing": 0.2},
            {"from_logits": True},
            {"from_logits": True, "label_smoothing": 0.2, "axis": 0},
        ),
    ),
    Case(
        losses.CategoricalFocalCrossentropy,
        (
            {},
            {"alpha": [0.1, 0.2, 0.3, 0.4, 0.5], "gamma": 1.5},
            {"from_logits": True, "gamma": 3.0},
            {"from_logits": True, "label_smoothing": 0.2},
        ),
    ),
    Case(
        losses.SparseCategoricalCrossentropy,
        ({}, {"from_logits": True}, {"ignore_class": 1}, {"from_logits": True, "ignore_class": 2}),
    ),
    Case(losses.CategoricalGeneralizedCrossEntropy, ({}, {"q": 0.8})),
    Case(losses.Dice, ({}, {"axis": -1}), any_rank=False),
    Case(losses.Tversky, ({}, {"alpha": 0.2, "beta": 0.7}, {"axis": -1}), any_rank=False),
    Case(losses.Circle, ({}, {"gamma": 10.0, "margin": 0.2}), any_rank=False),
    Case(losses.CTC, any_rank=False),
)

# Their y_pred is no single array: they have tests of their own, tests/test_linear_*.py.
FUSED = (losses.LinearCrossEntropy,)

VARIANTS = [(case, config) for case in CASES for config in case.configs]


def variant_id(value: Any) -> str | None:
    if isinstance(value, Case):
        return value.loss.__name__
    if isinstance(value, dict):
        return ",".join(f"{k}={v}" for k, v in value.items()) or "default"
    return None
