"""A network that is compiled into one program, as the loop of training and evaluation sees it."""

from typing import Protocol

from nerva._kernels.memory import Array
from nerva.losses import Loss
from nerva.optimizers import Optimizer
from nerva.training.batches import Batches, Draw
from nerva.training.trainable import Trainable


class Compiled(Protocol):
    """A network as one program: it gathers the samples that it trains on or computes the outputs of itself."""

    def train(
        self, batches: Batches, draw: Draw, optimizer: Optimizer, rate: float, loss: Loss
    ) -> tuple[float, float | None, float]: ...
    def outputs(self, batches: Batches, draw: Draw) -> Array: ...
    @property
    def takes_sparse(self) -> bool: ...


def compiled_for(model: Trainable, batches: Batches, draw: Draw) -> Compiled | None:
    """Return the compiled network for a batch of samples, None where there is none."""
    own = getattr(model, "compiled", None)
    compiled: Compiled | None = None if own is None else own(len(draw.rows))
    if compiled is not None and batches.samples.sparse is not None and not compiled.takes_sparse:
        return None
    return compiled


def obstacle(model: Trainable, batches: Batches, batch: int, optimizer: Optimizer) -> str | None:
    """Return why steps on so many samples are not compiled, None where they are unless layers shall keep gradients."""
    if not getattr(optimizer, "compiled", False):
        return f"the optimizer is {optimizer!r}"
    own = getattr(model, "obstacle", None)
    found: str | None = f"{type(model).__name__} is not compiled" if own is None else own(batch)
    if found is None and batches.samples.sparse is not None:
        compiled: Compiled | None = getattr(model, "compiled", lambda batch: None)(batch)
        if compiled is not None and not compiled.takes_sparse:
            return "samples are sparse, and the first layer is not linear"
    return found


def check_bfloat16(model: Trainable, batches: Batches, optimizer: Optimizer) -> None:
    """Raise ValueError, which says why, where a network in "bfloat16" cannot be trained by a compiled step."""
    if getattr(model, "precision", None) != "bfloat16":
        return
    found = obstacle(model, batches, min(batches.batch_size, len(batches.order)), optimizer)
    if found is not None:
        raise ValueError(f"precision is 'bfloat16', but {found}; set the model's precision to 'float32'")
