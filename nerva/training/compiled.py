"""A network that is compiled into one program, as the loop of training and evaluation sees it."""

from typing import Protocol

from nerva._kernels.memory import Array
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
