"""A small training loop for flax and equinox: exact, fast, and resumable.

`init`, `make_step`, `fit`, `evaluate` and `predict`; needs flax, optax, orbax and rich
(`pip install 'lossjax[train]'`).
"""

from lossjax.training.callbacks import CSVLog, EarlyStopping, TensorBoard
from lossjax.training.checkpoint import Checkpoint
from lossjax.training.evaluation import evaluate, predict
from lossjax.training.history import History
from lossjax.training.loop import fit
from lossjax.training.state import State, init
from lossjax.training.step import make_step

__all__ = [
    "CSVLog",
    "Checkpoint",
    "EarlyStopping",
    "History",
    "State",
    "TensorBoard",
    "evaluate",
    "fit",
    "init",
    "make_step",
    "predict",
]
