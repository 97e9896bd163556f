"""PyTorch, eager and compiled: `torch.nn.functional`, and autograd for the gradient of y_pred."""

import functools
import importlib
import itertools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from bench.cases import Case
from bench.environment import cores
from bench.peers.base import REDUCTIONS, Peer, Table, ValueAndGrad


def _table(torch: Any) -> Table:
    """`(loss, y_true, y_pred, reduction) -> values or, where torch reduces, their mean`.

    Losses that torch lacks are here if its user would write one obvious line.
    """
    f = torch.nn.functional

    def named(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda loss, t, p, r: function(p, t, reduction=r)

    def kl(p: Any, t: Any, reduction: str) -> Any:
        if reduction == "mean":
            return f.kl_div(p.log(), t, reduction="batchmean")
        return f.kl_div(p.log(), t, reduction="none").sum(-1)

    def ctc(t: Any, p: Any) -> Any:
        steps = torch.full_like(t[:, 0], p.shape[1])
        scores = p.log_softmax(-1).transpose(0, 1)
        return f.ctc_loss(scores, t, steps, (t != 0).sum(-1), reduction="none")

    def logarithmic(p: Any, t: Any, reduction: str) -> Any:
        return f.mse_loss(torch.log1p(p), torch.log1p(t), reduction=reduction)

    return {
        "BinaryCrossentropy": named(f.binary_cross_entropy),
        "BinaryCrossentropy from logits": named(f.binary_cross_entropy_with_logits),
        "CTC": lambda loss, t, p, r: ctc(t, p),
        "CategoricalCrossentropy from logits": named(f.cross_entropy),
        "CategoricalGeneralizedCrossEntropy": lambda loss, t, p, r: (
            (1 - p.gather(-1, t[:, None])[:, 0] ** loss.q) / loss.q
        ),
        "CosineSimilarity": lambda loss, t, p, r: -f.cosine_similarity(p, t, dim=-1),
        "Dice": lambda loss, t, p, r: 1 - 2 * (t * p).sum() / (t.sum() + p.sum() + 1e-7),
        "Hinge": lambda loss, t, p, r: f.relu(1 - t * p),
        "Huber": lambda loss, t, p, r: f.huber_loss(p, t, reduction=r, delta=loss.delta),
        "KLDivergence": named(kl),
        "LinearCrossEntropy": lambda loss, t, p, r: f.cross_entropy(p[0] @ p[1], t, reduction=r),
        "LogCosh": lambda loss, t, p, r: torch.log(torch.cosh(p - t)),
        "MeanAbsoluteError": named(f.l1_loss),
        "MeanAbsolutePercentageError": lambda loss, t, p, r: (
            100 * ((p - t).abs() / t.abs().clamp(min=1e-7))
        ),
        "MeanSquaredError": named(f.mse_loss),
        "MeanSquaredLogarithmicError": named(logarithmic),
        "Poisson": named(functools.partial(f.poisson_nll_loss, log_input=False, eps=1e-7)),
        "SparseCategoricalCrossentropy from logits": named(f.cross_entropy),
        "SquaredHinge": lambda loss, t, p, r: f.relu(1 - t * p) ** 2,
    }


class Torch(Peer):
    """Eager torch."""

    name = "torch"
    module = "torch"
    arrays = "torch"

    @functools.cached_property
    def library(self) -> Any:
        torch = importlib.import_module(self.module)
        platform = jax.default_backend()
        if platform not in ("cpu", "gpu") or (platform == "gpu" and not torch.cuda.is_available()):
            raise ImportError(f"torch {torch.__version__} has no {platform} here")
        torch.set_num_threads(cores())
        return torch

    @functools.cached_property
    def device(self) -> str:
        return "cuda" if jax.default_backend() == "gpu" else "cpu"

    def table(self) -> Table:
        return _table(self.library)

    def put(self, inputs: tuple[np.ndarray, ...]) -> tuple[Any, ...]:
        def tensor(x: np.ndarray) -> Any:
            wide = x.astype(np.int64) if x.dtype == np.int32 else x  # torch's labels
            return self.library.from_numpy(wide).to(self.device)

        return jax.tree.map(tensor, inputs)

    def wait(self, result: Any) -> None:
        if self.device == "cuda":
            self.library.cuda.synchronize()

    def host(self, result: tuple[Any, Any]) -> tuple[np.ndarray, np.ndarray]:
        return super().host(jax.tree.map(lambda x: x.detach().cpu().numpy(), result))

    def compiled(self, loss: Any) -> Any:
        return loss

    def function(self, case: Case) -> Callable[..., Any] | None:
        values = self.table().get(case.kind)
        if values is None:
            return None
        reduction = "mean" if case.weighting == "none" else "none"

        def loss(y_true: Any, y_pred: Any, *weights: Any) -> Any:
            v = values(case.loss, y_true, y_pred, reduction)
            return REDUCTIONS[case.weighting](v, *weights) if v.ndim else v

        return loss

    def value_and_grad(self, case: Case) -> ValueAndGrad | None:
        """Of float32, for which torch computes what the others do."""
        function = self.function(case)
        if function is None or case.dtype != "float32":
            return None
        run = self.compiled(function)

        def value_and_grad(y_true: Any, y_pred: Any, *weights: Any) -> tuple[Any, Any]:
            leaves = [x.requires_grad_() for x in jax.tree.leaves(y_pred)]
            value = run(y_true, y_pred, *weights)
            return value, self.library.autograd.grad(value, leaves)

        return value_and_grad


class TorchCompile(Torch):
    """`torch.compile`, for the one shape that is measured."""

    name = "torch.compile"
    number = itertools.count()

    def check(self) -> Any:
        """It may lack a C++ compiler, which would fail in every row."""
        zeros = self.library.zeros(2, device=self.device)
        return self.library.compile(lambda x: x + 1)(zeros)

    def compiled(self, loss: Any) -> Any:
        # Programs are kept by the code of the function: code of its own, or each case would be
        # compared with all earlier ones at every call, and the ninth would run eagerly.
        loss.__code__ = loss.__code__.replace(co_name=f"loss_{next(self.number)}")
        # fullgraph: an error where it would otherwise run eagerly and be timed as compiled
        return self.library.compile(loss, dynamic=False, fullgraph=True)

    def value_and_grad(self, case: Case) -> ValueAndGrad | None:
        # It runs ctc_loss eagerly, between two compiled parts: that is the row of eager torch.
        return None if case.kind == "CTC" else super().value_and_grad(case)

    def forget(self) -> None:
        self.library.compiler.reset()
