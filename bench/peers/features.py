"""The training step of nerva with one feature more than the plain step, to measure its cost."""

from typing import Any

import numpy as np

from harness.workloads import Step, Weights
from peers.steps import MOMENTUM, NervaStep


class PlainStep(NervaStep):
    """ReLU and Nesterov momentum: the baseline."""

    name = "plain"


class SparseStep(NervaStep):
    """A step that supports sparse layers only."""

    @classmethod
    def unsupported(cls, work: Step) -> str:
        """Require every layer to be sparse."""
        return "" if all(not isinstance(W, np.ndarray) for W in work.weights) else "a layer is dense"


class BatchNormStep(SparseStep):
    """Batch normalization before the ReLU of every hidden layer."""

    name = "batch norm"

    def _layers(self, weights: Weights) -> list[Any]:
        import nerva

        layers: list[Any] = []
        for i, layer in enumerate(super()._layers(weights)):
            if i == len(weights) - 1:
                layers.append(layer)
                continue
            (D, K), settings = (layer.in_features, layer.out_features), {"bias": False, "backend": self.backend}
            layers.append(nerva.SparseLinear(D, K, weight=layer.weight, **settings))
            layers.append(nerva.BatchNorm(K, activation="relu", dtype=layer.dtype))
        return layers


class DropoutStep(NervaStep):
    """Dropout after every hidden layer."""

    name = "dropout"

    def _layers(self, weights: Weights) -> list[Any]:
        import nerva

        layers: list[Any] = []
        for i, layer in enumerate(super()._layers(weights)):
            layers += [layer] if i == len(weights) - 1 else [layer, nerva.Dropout(0.2, rng=i)]
        return layers


class DropConnectStep(SparseStep):
    """DropConnect on the weights of every layer."""

    name = "DropConnect"
    activation, settings = "relu", {"drop_connect": 0.2}

    def _layers(self, weights: Weights) -> list[Any]:
        import nerva

        layers = []
        for i, layer in enumerate(NervaStep._layers(self, weights)):
            (D, K), function = (layer.in_features, layer.out_features), "identity"
            if i < len(weights) - 1:
                function = self.activation
            made = nerva.SparseLinear(
                D, K, weight=layer.weight, activation=function, backend=self.backend, **self.settings
            )
            layers.append(made)
        return layers


class SReLUStep(DropConnectStep):
    """SReLU, with four trained parameters per layer."""

    name, activation, settings = "SReLU", "srelu", {}


class AdamStep(NervaStep):
    """Adam instead of Nesterov momentum."""

    name = "Adam"

    def __init__(self, work: Step, threads: int) -> None:
        import nerva

        super().__init__(work, threads)
        self.optimizer = nerva.Adam(MOMENTUM)


class ProfiledStep(NervaStep):
    """The plain step under nerva.profile()."""

    name = "profiled"

    def __init__(self, work: Step, threads: int) -> None:
        import nerva

        super().__init__(work, threads)
        # Kept: a context manager without a reference is closed at once, and the step would not be profiled.
        self._profile = nerva.profile()
        self._profile.__enter__()
