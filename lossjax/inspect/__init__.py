"""What any loss does, on your data or on data that suits it.

`check` asks what goes wrong with losses, `explain` shows where a number comes from, `plot` and
`plot_batch` draw, `compare` sets two losses side by side. They take a `Loss`, the name of one or
a function `(y_true, y_pred) -> values per sample`. Tables need rich, plots need matplotlib:
`pip install 'lossjax[inspect]'`.
"""

from lossjax.inspect._compare import Comparison, Gap, compare
from lossjax.inspect._examine import check
from lossjax.inspect._explain import Explanation, explain
from lossjax.inspect._plot import plot, plot_batch
from lossjax.inspect._report import CheckError, Finding, Report

__all__ = [
    "CheckError",
    "Comparison",
    "Explanation",
    "Finding",
    "Gap",
    "Report",
    "check",
    "compare",
    "explain",
    "plot",
    "plot_batch",
]
