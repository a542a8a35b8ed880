"""Batch normalization."""

from typing import Any

import numpy as np
import numpy.typing as npt

from nerva._kernels.memory import Array, Buffer, zeros
from nerva._kernels.normalization import batch_norm, batch_norm_backward
from nerva.activations import Activation as Function
from nerva.activations import check_activation
from nerva.layers.activation import Activation, fused_code
from nerva.layers.layer import Layer
from nerva.parameters import Parameter, Step
from nerva.validation import check_features, check_fraction, check_positive, check_shape, real_dtype


class BatchNorm(Layer):
    """Y = f(gamma (X - mean) / sqrt(variance + epsilon) + beta), feature by feature.

    In training, mean and variance are those of the batch, of two samples at least; in evaluation the running ones,
    each of which every training step moves by `momentum` towards the batch's (the variance by N - 1, as PyTorch).

    Parameters
    ----------
    features : rows of X
    momentum : from 0 to 1
    epsilon : positive, added to the variance
    activation : f, a name or an object of nerva.activations
    dtype : float32 or float64

    S. Ioffe & C. Szegedy, Batch normalization: accelerating deep network training by reducing internal covariate shift,
    ICML 2015.
    """

    dtype: np.dtype[np.floating]
    least_batch = 2

    def __init__(
        self,
        features: int,
        *,
        momentum: float = 0.1,
        epsilon: float = 1e-5,
        activation: Function = "identity",
        dtype: npt.DTypeLike = np.float32,
    ) -> None:
        self.in_features = self.out_features = features = check_features(features, "features")
        self.dtype = real_dtype(dtype)
        self.momentum, self.epsilon = check_fraction(momentum, "momentum"), check_positive(epsilon, "epsilon")
        self.activation = check_activation(activation)
        self.fused = fused_code(activation)
        self._code = self.fused or (0, 0.0)
        self._after = None if self.fused else Activation(activation).build(features, self.dtype)
        self._parameters = [
            Parameter("gamma", zeros(features, self.dtype)),
            Parameter("beta", zeros(features, self.dtype)),
        ]
        self.gamma[:] = 1
        self.running_mean, self.running_variance = zeros(features, self.dtype), zeros(features, self.dtype)
        self.running_variance[:] = 1
        self._mean, self._inverse = zeros(features, self.dtype), zeros(features, self.dtype)
        self._outputs, self._input_gradients = Buffer(features, self.dtype), Buffer(features, self.dtype)

    @property
    def gamma(self) -> Array:
        """The scale of each feature, shape (features,), to be read and written in place."""
        return self._parameters[0].values

    @gamma.setter
    def gamma(self, gamma: npt.ArrayLike) -> None:
        self.gamma[:] = check_shape(gamma, "gamma", self.gamma)

    @property
    def beta(self) -> Array:
        """The shift of each feature, shape (features,), to be read and written in place."""
        return self._parameters[1].values

    @beta.setter
    def beta(self, beta: npt.ArrayLike) -> None:
        self.beta[:] = check_shape(beta, "beta", self.beta)

    @property
    def bias_gradient(self) -> Array | None:
        """The gradient of beta, shape (features,)."""
        return self._parameters[1].gradient

    def forward(self, X: Array, *, training: bool = True) -> Array:
        """Return Y, shape (features, batch), for X of the same shape.

        Raises ValueError for fewer than two samples in training.
        """
        N = self.check_inputs(X)
        if training and N < 2:
            raise ValueError(
                f"X has shape {X.shape}; batch normalization needs at least two samples in training, in the last batch "
                "of an epoch too"
            )
        Y = self._outputs.take(N)
        mean, inverse = (self._mean, self._inverse) if training else (None, None)
        batch_norm(
            X,
            self.gamma,
            self.beta,
            self.epsilon,
            self.momentum,
            *self._code,
            Y,
            mean=mean,
            inverse=inverse,
            running_mean=self.running_mean,
            running_variance=self.running_variance,
        )
        self._X, self._Y = (X, Y) if training else (None, None)
        return Y if self._after is None else self._after.forward(Y, training=training)

    def backward(
        self,
        DY: Array,
        *,
        input_gradient: bool = True,
        step: Step | None = None,
        below: Layer | None = None,
        delta: bool = False,
        overwrite: bool = False,
    ) -> Array | None:
        """Set the gradients of gamma and beta, or let them take the step, and return DX, shape (features, batch)."""
        X, Y = self.kept(DY)
        if self._after is not None:
            through = self._after.backward(DY, step=step, overwrite=overwrite)
            assert through is not None
            DY, overwrite = through, True
        DX = None
        if input_gradient:
            DX = DY if overwrite else self._input_gradients.take(X.shape[1])
        gamma, beta = self._parameters
        code, alpha = (0, 0.0) if delta else self._code
        batch_norm_backward(
            DY,
            Y,
            X,
            gamma.values,
            self._mean,
            self._inverse,
            code,
            alpha,
            DX=DX,
            Dgamma=gamma.gradient,
            Dbeta=beta.gradient,
        )
        if step is not None:
            step(gamma)
            step(beta)
        return DX

    def parameters(self) -> list[Parameter]:
        """Return gamma and beta, and the numbers of an SReLU."""
        return self._parameters + (self._after.parameters() if self._after is not None else [])

    @property
    def nbytes(self) -> int:
        """The bytes held for parameters, gradients, optimizer state and statistics; buffers of a batch not counted."""
        return super().nbytes + 4 * self.running_mean.nbytes

    def astype(self, dtype: npt.DTypeLike) -> "BatchNorm":
        """Return a copy with another number type; optimizer state is not copied."""
        settings: dict[str, Any] = {"momentum": self.momentum, "epsilon": self.epsilon, "activation": self.activation}
        layer = BatchNorm(self.in_features or 0, dtype=dtype, **settings)
        for to, parameter in zip(layer.parameters(), self.parameters(), strict=True):
            to.values[:] = parameter.values
        layer.running_mean[:], layer.running_variance[:] = self.running_mean, self.running_variance
        return layer

    def __repr__(self) -> str:
        return (
            f"BatchNorm({self.in_features}, momentum={self.momentum}, epsilon={self.epsilon}, "
            f"activation={self.activation!r}, dtype={self.dtype.name!r})"
        )
