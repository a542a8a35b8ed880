"""A network that is compiled into one program, as the loop of training and evaluation sees it."""

from typing import Any, Protocol

import numpy as np

from nerva._kernels.memory import Array
from nerva.losses import Loss
from nerva.optimizers import Optimizer
from nerva.parameters import Step
from nerva.training.batches import Batches, Draw
from nerva.training.trainable import Trainable


class Compiled(Protocol):
    """A network as one program: it gathers the samples that it trains on or computes the outputs of itself."""

    def train(self, batches: Batches, draw: Draw, step: Step) -> tuple[float, int]: ...
    def outputs(self, batches: Batches, draw: Draw) -> Array: ...


def compiled_for(model: Trainable, batches: Batches, draw: Draw) -> Compiled | None:
    """Return the compiled network for a batch of dense samples, None where there is none."""
    compiled = getattr(model, "compiled", None)
    return None if compiled is None or batches.samples.sparse is not None else compiled(len(draw.rows))


def computes_loss(loss: Loss, targets: Any) -> bool:
    """Whether a compiled network computes this loss of these targets, which must be labels without weights."""
    return loss.compiled and isinstance(targets, np.ndarray) and targets.ndim == 1


def check_bfloat16(model: Trainable, batches: Batches, loss: Loss, optimizer: Optimizer) -> None:
    """Raise ValueError, which says why, where a network in "bfloat16" cannot be trained by a compiled step."""
    if getattr(model, "precision", None) != "bfloat16":
        return
    problem = None
    if batches.samples.sparse is not None:
        problem = "X is sparse"
    elif not computes_loss(loss, batches.targets):
        weighted = " with sample weights" if loss.compiled else ""
        problem = f"the loss is {loss!r}{weighted}, which a compiled step does not compute"
    elif not getattr(optimizer, "fused", False):
        problem = f"the optimizer is {optimizer!r}, which a compiled step does not compute"
    else:
        problem = model.obstacle(min(batches.batch_size, len(batches.samples)))  # type: ignore[attr-defined]
    if problem is not None:
        raise ValueError(f"precision is 'bfloat16', but {problem}; set the model's precision to 'float32'")
