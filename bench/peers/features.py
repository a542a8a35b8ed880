"""The training step of nerva with one thing more than the plain one has: what that costs."""

from typing import Any

import numpy as np
from workloads import Step, Weights

from peers.steps import MOMENTUM, NervaStep


class PlainStep(NervaStep):
    """ReLU and Nesterov, nothing else: what the others are compared to."""

    name = "plain"


class SparseStep(NervaStep):
    """Made of sparse layers alone."""

    @classmethod
    def refusal(cls, work: Step) -> str:
        """No layer may be dense."""
        return "" if all(not isinstance(W, np.ndarray) for W in work.weights) else "a layer is dense"


class BatchNormStep(SparseStep):
    """Batch normalization between every hidden layer and its ReLU."""

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
    """Dropout behind every hidden layer."""

    name = "dropout"

    def _layers(self, weights: Weights) -> list[Any]:
        import nerva

        layers: list[Any] = []
        for i, layer in enumerate(super()._layers(weights)):
            layers += [layer] if i == len(weights) - 1 else [layer, nerva.Dropout(0.2, rng=i)]
        return layers


class DropConnectStep(SparseStep):
    """Weights dropped in every layer."""

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
    """SReLU, whose four numbers a layer are trained."""

    name, activation, settings = "SReLU", "srelu", {}


class AdamStep(NervaStep):
    """Adam."""

    name = "Adam"

    def __init__(self, work: Step, threads: int) -> None:
        import nerva

        super().__init__(work, threads)
        self.optimizer = nerva.Adam(MOMENTUM)


class ProfiledStep(NervaStep):
    """Under nerva.profile()."""

    name = "profiled"

    def __init__(self, work: Step, threads: int) -> None:
        import nerva

        super().__init__(work, threads)
        nerva.profile().__enter__()
