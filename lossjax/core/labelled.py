"""Losses of class numbers, of which some may be ignored."""

from lossjax.core import check
from lossjax.core.loss import Loss
from lossjax.core.types import Array


class Labelled(Loss):
    """Has an option `ignore_class`."""

    couples = "none"

    def call(self, y_true: Array, y_pred: Array) -> Array | tuple[Array, Array]:
        fn, ignored = self._declared.fn, self.ignore_class  # type: ignore[attr-defined]
        values = fn(y_true, y_pred, **self.hyperparameters())
        if ignored is None:
            return values
        labels = check.labels(fn.__name__, y_true).reshape(values.shape)
        return values, ~check.is_among(labels, ignored)
