"""What Keras and torch call things: an unknown argument is answered with the word to use here."""

import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any, ParamSpec, TypeVar

from lossjax.core.texts import nearest

P = ParamSpec("P")
R = TypeVar("R")

# For a function that has an argument of the second name.
RENAMED = {
    "accumulate_grad_batches": "accumulate",
    "accumulation_steps": "accumulate",
    "criterion": "objective",
    "dim": "axis",
    "gradient_accumulation_steps": "accumulate",
    "ignore_index": "ignore_class",
    "logits": "from_logits",
    "loss": "objective",
    "loss_fn": "objective",
    "loss_weights": "weights",
    "max_epochs": "epochs",
    "nb_epoch": "epochs",
    "num_epochs": "epochs",
    "optimizer": "tx",
    "random_state": "seed",
    "reduce": "reduction",
    "rng": "seed",
    "size_average": "reduction",
    "smoothing": "label_smoothing",
    "steps_per_execution": "steps_per_call",
    "val_data": "validation",
    "validation_data": "validation",
}

_DATA = "Data is one argument: (x, y), (x, y, sample_weight) or a dict of these; x for `predict`."
_OBJECTIVE = "Pass Objective(loss, {}=...) in place of the loss."
_OPTIMIZER = "The optimizer is given once, training.init(model, optax.adam(learning_rate))."
ELSEWHERE = {
    "class_weight": _OBJECTIVE.format("class_weight"),
    "clipnorm": "Write optax.chain(optax.clip_by_global_norm(1.0), optax.adam(learning_rate)).",
    "initial_epoch": "A run with a training.Checkpoint among its `callbacks` goes on by itself.",
    "inputs": _DATA,
    "kernel_regularizer": _OBJECTIVE.format("regularizers"),
    "labels": _DATA,
    "learning_rate": _OPTIMIZER,
    "log_terms": _OBJECTIVE.format("log_terms"),
    "loss_weights": _OBJECTIVE.format("weights"),
    "lr": _OPTIMIZER,
    "model": "A model is made a state: state = training.init(model, optax.adam(learning_rate)).",
    "optimizer": _OPTIMIZER,
    "output_names": _OBJECTIVE.format("output_names"),
    "regularizers": _OBJECTIVE.format("regularizers"),
    "sample_weight": "Weights are part of the data: (x, y, sample_weight).",
    "targets": _DATA,
    "tx": _OPTIMIZER,
    "weight": "Weigh samples in the call, loss(..., sample_weight=w); classes in training, "
    "Objective(loss, class_weight=...).",
    "weighted_metrics": "`metrics` are not weighed; an Objective of its own is, as another loss.",
    "weights": _OBJECTIVE.format("weights"),
    "x": _DATA,
    "y": _DATA,
}


def check(where: str, given: Mapping[str, Any], known: Collection[str]) -> None:
    """Raise TypeError for the first argument that is not `known`."""
    for word in given:
        if word not in known:
            hint = nearest(word, known)
            if RENAMED.get(word, word) in known:
                hint = f" It is called `{RENAMED[word]}` here."
            elif word in ELSEWHERE:
                hint = f" {ELSEWHERE[word]}"
            raise TypeError(f"{where}: there is no argument {word[:80]!r}.{hint}")


def told(f: Callable[P, R]) -> Callable[P, R]:
    """`f`, whose callers are told the right word for a wrong one."""
    where = f.__qualname__.removesuffix(".__init__")
    known = inspect.signature(f).parameters
    places = [name for name, p in known.items() if p.kind is p.POSITIONAL_OR_KEYWORD]

    @functools.wraps(f)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        check(where, kwargs, known)
        if len(args) > len(places):
            raise TypeError(
                f"{where}: only {', '.join(places)} go by position, got {len(args)} arguments. "
                f"Data is one argument, (x, y); all others go by name."
            )
        return f(*args, **kwargs)

    return call
