"""An epoch of nerva's `fit` with one feature more than the plain network, to measure its cost."""

from typing import Any

import numpy as np

from harness.use import Use
from harness.workloads import Weights
from peers.epochs import NervaEpoch
from peers.steps import MOMENTUM, NervaNetwork


class PlainEpoch(NervaEpoch):
    """ReLU and Nesterov momentum: the baseline."""

    name = "plain"


class SparseEpoch(NervaEpoch):
    """Networks of sparse layers only."""

    @classmethod
    def unsupported(cls, work: Use) -> str:
        """Require every layer to be sparse."""
        return super().unsupported(work) or (
            "a layer is dense" if any(isinstance(W, np.ndarray) for W in work.weights) else ""
        )


class BatchNormEpoch(SparseEpoch):
    """Batch normalization before the ReLU of every hidden layer."""

    name = "batch norm"

    def layers(self, weights: Weights) -> list[Any]:
        import nerva

        layers: list[Any] = []
        for i, layer in enumerate(super().layers(weights)):
            if i == len(weights) - 1:
                layers.append(layer)
                continue
            (D, K), settings = (layer.in_features, layer.out_features), {"bias": False, "backend": self.backend}
            layers.append(nerva.SparseLinear(D, K, weight=layer.weight, **settings))
            layers.append(nerva.BatchNorm(K, activation="relu", dtype=layer.dtype))
        return layers


class DropoutEpoch(NervaEpoch):
    """Dropout after every hidden layer."""

    name = "dropout"

    def layers(self, weights: Weights) -> list[Any]:
        import nerva

        layers: list[Any] = []
        for i, layer in enumerate(super().layers(weights)):
            layers += [layer] if i == len(weights) - 1 else [layer, nerva.Dropout(0.2, rng=i)]
        return layers


class DropConnectEpoch(SparseEpoch):
    """DropConnect on the weights of every layer."""

    name = "DropConnect"
    activation, drop_connect = "relu", 0.2

    def layers(self, weights: Weights) -> list[Any]:
        import nerva

        layers = []
        for i, layer in enumerate(NervaNetwork.layers(self, weights)):
            (D, K), function = (layer.in_features, layer.out_features), "identity"
            if i < len(weights) - 1:
                function = self.activation
            settings = {"activation": function, "drop_connect": self.drop_connect, "backend": self.backend}
            layers.append(nerva.SparseLinear(D, K, weight=layer.weight, **settings))
        return layers


class SReLUEpoch(DropConnectEpoch):
    """SReLU, with four trained parameters per layer."""

    name, activation, drop_connect = "SReLU", "srelu", 0.0


class AdamEpoch(NervaEpoch):
    """Adam instead of Nesterov momentum."""

    name = "Adam"

    def __init__(self, work: Use, threads: int) -> None:
        import nerva

        super().__init__(work, threads)
        self.optimizer = nerva.Adam(beta1=MOMENTUM)


class ProfiledEpoch(NervaEpoch):
    """The plain network under nerva.profile()."""

    name = "profiled"

    def __init__(self, work: Use, threads: int) -> None:
        import nerva

        super().__init__(work, threads)
        # Kept: a context manager without a reference is closed at once, and the epoch would not be profiled.
        self._profile = nerva.profile()
        self._profile.__enter__()
