"""Activation functions as layers of their own, which other layers use for those that no kernel fuses."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from nerva._kernels.activations import ACTIVATIONS, activation, activation_backward, srelu, srelu_backward
from nerva._kernels.memory import Array, Buffer, empty_vector
from nerva._kernels.operations import IDENTITY, Elementwise, LogSoftmax, Operation, Softmax, TrainedReLU
from nerva._kernels.softmax import softmax, softmax_backward
from nerva.activations import Activation as Function
from nerva.activations import SReLU, as_object, check_activation, code_of, from_config, to_config
from nerva.layers.arrays import ArraysMismatch, check_numbers, fill, find
from nerva.layers.layer import Features, Layer
from nerva.parameters import Parameter
from nerva.validation import real_dtype

FUSED = frozenset(ACTIVATIONS.values())
EVERY = slice(None)


def fused_code(activation: Function) -> tuple[int, float] | None:
    """Return the kernel code and parameter of an activation that kernels compute within a product; None for others."""
    code = code_of(activation)
    return code if code is not None and code[0] in FUSED else None


class Activation(Layer):
    """Y = f(X), elementwise; softmax and log_softmax over the features of each sample.

    The layer takes any features and dtype, those of its first batch or of its network from then on. As the argument
    `activation` of another layer the same f costs less: identity, ReLU, leaky ReLU, tanh and sigmoid are computed
    within that layer's product.

    Parameters
    ----------
    activation : a name in nerva.activations.NAMES, or LeakyReLU, AllReLU, TReLU, GELU, SReLU

    >>> nerva.Activation("relu").forward(np.array([[-1.0, 2.0]]))
    array([[0., 2.]])
    """

    def __init__(self, activation: Function) -> None:
        self.activation: Function = check_activation(activation)
        self._code = code_of(activation)
        self._parameters: list[Parameter] = []

    def build(self, features: int, dtype: np.dtype[np.floating]) -> Self:
        """Set features and dtype, and make an SReLU's parameters; raise ValueError where they are others already."""
        if self.in_features is None:
            self._outputs, self._input_gradients = Buffer(features, dtype), Buffer(features, dtype)
            function = as_object(self.activation)
            if isinstance(function, SReLU):
                sets = features if function.per == "neuron" else 1
                values = empty_vector(4 * sets, dtype)
                start = [function.t_l, function.a_l, function.t_r, function.a_r]
                values.reshape(4, sets)[:] = np.reshape(start, (4, 1))
                self._parameters = [Parameter("srelu", values)]
                self._scratch = Buffer(4 * features, dtype)  # sums for each feature, reduced in a fixed order
        return super().build(features, dtype)

    @property
    def numbers(self) -> Array | None:
        """The t_l, a_l, t_r and a_r of an SReLU that has been built, shape (4, 1) or (4, features)."""
        return self._parameters[0].values.reshape(4, -1) if self._parameters else None

    def forward(self, X: Array, *, training: bool = True) -> Array:
        """Return Y = f(X), shape (features, batch). With `training`, X and Y are kept for `backward`."""
        N = self.check_inputs(X)
        Y = self._outputs.take(N)
        if self._code is not None:
            activation(X, *self._code, Y)
        elif self._parameters:
            srelu(X, self._parameters[0].values, Y)
        else:
            softmax(X, Y, logarithm=self.activation == "log_softmax")
        self._X, self._Y = (X, Y) if training else (None, None)
        return Y

    def backward(self, DY: Array, *, input_gradient: bool = True) -> Array | None:
        """Return DX = DY f'(X), shape (features, batch), and set the gradient of an SReLU's parameters."""
        X, Y = self.saved_for_backward(DY)
        DX = self._input_gradients.take(X.shape[1])
        if self._code is not None:
            # Those that kernels fuse are differentiated from their output, the others from their input.
            activation_backward(DY, Y if self._code[0] in FUSED else X, *self._code, DX)
        elif self._parameters:
            (parameter,) = self._parameters
            srelu_backward(DY, X, parameter.values, DX, parameter.gradient, self._scratch.take(1)[:, 0])
        else:
            softmax_backward(DY, Y, DX, logarithm=self.activation == "log_softmax")
        return DX if input_gradient else None

    def compiled(self, batch: int) -> tuple[Operation, ...] | None:
        """Return the function; nothing for the identity, and None for an SReLU that has not been built."""
        if not self._has_passes_of(Activation):
            return None
        if self._code is not None:
            return () if self._code == IDENTITY else (Elementwise(self._code),)
        match self.activation:
            case "softmax":
                return (Softmax(),)
            case "log_softmax":
                return (LogSoftmax(),)
        return tuple(TrainedReLU(parameter.values) for parameter in self._parameters) or None

    def parameters(self) -> list[Parameter]:
        """Return the parameters of an SReLU, one vector; nothing for other activations."""
        return self._parameters

    # ---- config and arrays

    def config(self) -> dict[str, Any]:
        """Return {"in", "out", "activation"}; features are None before the layer is built."""
        return {"in": self.in_features, "out": self.out_features, "activation": to_config(self.activation)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], prefix: str = "") -> Self:
        """Return the layer of a config and arrays, built if it has any; see Layer.from_config."""
        built = (config["in"], config["out"]) != (None, None)
        features = int(config["in"]) if built else 0
        if built and int(config["out"]) != features:
            raise ArraysMismatch(f"an activation has as many outputs as inputs, {features}, not {config['out']}")
        layer = cls(from_config(config["activation"]))
        function = as_object(layer.activation)
        if isinstance(function, SReLU) and built:
            # Checked before `build`, which allocates what the config says.
            n, name = 4 * (features if function.per == "neuron" else 1), f"{prefix}srelu"
            values = find(arrays, name)
            if values.shape != (n,) or values.dtype not in (np.float32, np.float64):
                raise ValueError(f"{name} must be {n} finite numbers, float32 or float64")
            layer.build(features, values.dtype)
            layer.fill_parameters(arrays, prefix)
        return layer

    def fill_parameters(self, arrays: Mapping[str, Array], prefix: str) -> None:
        """Copy the parameters of an SReLU from arrays; raise ValueError where they are not right."""
        for parameter in self._parameters:
            fill(parameter.values, arrays, f"{prefix}{parameter.name}")

    def astype(self, dtype: npt.DTypeLike) -> "Activation":
        """Return a copy with another dtype; optimizer state is not copied."""
        layer = Activation(self.activation)
        if self.in_features is not None:
            layer.build(self.in_features, real_dtype(dtype))
        self.copy_parameters(layer)
        return layer

    def take_features(self, kept: Features) -> "Activation":
        """Return a copy of the layer for some of its features; optimizer state is not copied."""
        layer = Activation(self.activation)
        if self.dtype is not None and self.in_features is not None:
            kept = check_numbers(kept, "kept", self.in_features)
            layer.build(len(kept), self.dtype)
        self.copy_parameters(layer, kept)
        return layer

    def copy_parameters(self, to: "Activation", kept: Features | slice = EVERY) -> None:
        """Copy the parameters of an SReLU, four for all features or those of each that is kept, to a built layer."""
        for mine, theirs in zip(self._parameters, to._parameters, strict=True):
            values = mine.values.reshape(4, -1)
            theirs.values.reshape(4, -1)[:] = values if values.shape[1] == 1 else values[:, kept]

    def __repr__(self) -> str:
        return f"Activation({self.activation!r})"
