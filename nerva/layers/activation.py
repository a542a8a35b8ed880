"""Activations as layers of their own."""

import numpy as np
import numpy.typing as npt

from nerva._kernels.activations import ACTIVATIONS, activation, activation_backward, srelu, srelu_backward
from nerva._kernels.memory import Array, Buffer, empty_vector
from nerva._kernels.softmax import softmax, softmax_backward
from nerva.activations import Activation as Function
from nerva.activations import SReLU, as_object, check_activation, code_of
from nerva.layers.layer import Layer
from nerva.parameters import Parameter, Step
from nerva.validation import real_dtype

FUSED = frozenset(ACTIVATIONS.values())


def fused_code(activation: Function) -> tuple[int, float] | None:
    """Return the code and number of an activation that can be part of a product; None for one that cannot."""
    code = code_of(activation)
    return code if code is not None and code[0] in FUSED else None


class Activation(Layer):
    """Y = f(X), each number on its own; softmax and log_softmax over the features of each sample.

    activation : a name of nerva.activations.NAMES, or LeakyReLU, AllReLU, TReLU, GELU, SReLU

    It takes any features and either dtype, the same ones from its first batch on, or as its network says. As an
    argument `activation` of a linear layer the same is done, and some of it costs no pass over the batch then.
    """

    def __init__(self, activation: Function) -> None:
        self.activation = check_activation(activation)
        self._code = code_of(activation)
        self.fused = fused_code(activation)
        self._parameters: list[Parameter] = []

    def build(self, features: int, dtype: np.dtype[np.floating]) -> "Activation":
        """Tell the layer what it will get, and make the numbers of an SReLU."""
        if self.in_features is None:
            self._outputs, self._input_gradients = Buffer(features, dtype), Buffer(features, dtype)
            function = as_object(self.activation) if self.activation is not None else None
            if isinstance(function, SReLU):
                sets = features if function.per == "neuron" else 1
                numbers = empty_vector(4 * sets, dtype)
                start = [function.t_l, function.a_l, function.t_r, function.a_r]
                numbers.reshape(4, sets)[:] = np.reshape(start, (4, 1))
                self._parameters = [Parameter("srelu", numbers)]
                self._scratch = empty_vector(4 * features, dtype)
        super().build(features, dtype)
        return self

    @property
    def numbers(self) -> Array | None:
        """Of an SReLU that has seen its features, t_l, a_l, t_r and a_r, shape (4, 1) or (4, features)."""
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

    def backward(
        self,
        DY: Array,
        *,
        input_gradient: bool = True,
        step: Step | None = None,
        below: Layer | None = None,
        delta: bool = False,
        overwrite: bool = False,
        bias_gradient: Array | None = None,
    ) -> Array | None:
        """Return DX = DY f'(X), shape (features, batch); set an SReLU's gradient, or let it take the step.

        `bias_gradient`, shape (features,), is set to the sums of DX over the batch.
        """
        X, Y = self.kept(DY)
        if delta:
            return DY
        DX = DY if overwrite else self._input_gradients.take(X.shape[1])
        if self._code is not None:
            activation_backward(DY, Y if self.fused else X, *self._code, DX, bias_gradient)
        elif self._parameters:
            (parameter,) = self._parameters
            srelu_backward(DY, X, parameter.values, DX, parameter.gradient, self._scratch, bias_gradient)
            if step is not None:
                step(parameter)
        else:
            softmax_backward(DY, Y, DX, logarithm=self.activation == "log_softmax")
            if bias_gradient is not None:
                activation_backward(DX, Y, ACTIVATIONS["identity"], 0.0, DX, bias_gradient)
        return DX if input_gradient else None

    def parameters(self) -> list[Parameter]:
        """Return the numbers of an SReLU; nothing otherwise."""
        return self._parameters

    def astype(self, dtype: npt.DTypeLike) -> "Activation":
        """Return a copy for another number type; optimizer state is not copied."""
        layer = Activation(self.activation or "identity")
        if self.in_features is not None:
            layer.build(self.in_features, real_dtype(dtype))
        for to, parameter in zip(layer.parameters(), self.parameters(), strict=True):
            to.values[:] = parameter.values
        return layer

    def __repr__(self) -> str:
        return f"Activation({self.activation!r})"
