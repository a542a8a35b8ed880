"""Batch normalization."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from nerva._kernels.activations import activation_backward
from nerva._kernels.memory import Array, Buffer, zeros
from nerva._kernels.normalization import batch_norm, batch_norm_backward
from nerva._kernels.operations import IDENTITY, Normalization, Operation, Statistics
from nerva.activations import Activation as Function
from nerva.activations import check_activation, from_config, to_config
from nerva.layers.activation import EVERY, Activation, fused_code
from nerva.layers.arrays import ArraysMismatch, check_numbers, fill, find
from nerva.layers.layer import Features, Layer
from nerva.layers.ranks import Ranks
from nerva.layers.synchronized import mean_gradients, moments
from nerva.parameters import Parameter
from nerva.validation import check_features, check_fraction, check_positive, check_shape, real_dtype


class BatchNorm(Layer):
    """Batch normalization, Y = f(gamma (X - mean) / sqrt(variance + epsilon) + beta), for each feature.

    In training, mean and variance are those of the batch, of two samples at least; in evaluation they are the running
    ones, which each training step moves towards the batch's, r += momentum (batch - r), the variance with N - 1 in its
    denominator, as PyTorch does.

    Parameters
    ----------
    features : rows of X
    momentum : from 0 to 1
    epsilon : above 0, added to the variance
    activation : f, a name or an object of nerva.activations
    dtype : float32 or float64

    >>> nerva.BatchNorm(1).forward(np.array([[1.0, 3.0]], np.float32)).round(3)
    array([[-1.,  1.]], dtype=float32)

    S. Ioffe & C. Szegedy, Batch normalization: accelerating deep network training by reducing internal covariate shift,
    ICML 2015, algorithm 1.
    """

    in_features: int
    dtype: np.dtype[np.floating]
    activation: Function
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
        # The kernel computes a fused activation in the same pass; any other is a layer of its own behind it.
        fused = fused_code(activation)
        self._code = fused or IDENTITY
        self._unfused = None if fused else Activation(activation).build(features, self.dtype)
        self._parameters = [
            Parameter("gamma", zeros(features, self.dtype)),
            Parameter("beta", zeros(features, self.dtype)),
        ]
        self.gamma[:] = 1
        self.running_mean, self.running_variance = zeros(features, self.dtype), zeros(features, self.dtype)
        self.running_variance[:] = 1
        # Mean and 1 / sqrt(variance + epsilon) of the last batch in training, which the backward pass needs.
        self._mean, self._inverse = zeros(features, self.dtype), zeros(features, self.dtype)
        self._outputs, self._input_gradients = Buffer(features, self.dtype), Buffer(features, self.dtype)
        self._ranks: Ranks | None = None  # that the layer trains with, and the samples of all in the last batch
        self._total = 0

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

    def parameters(self) -> list[Parameter]:
        """Return gamma, beta and the parameters of an SReLU, with their optimizer state."""
        return self._parameters + (self._unfused.parameters() if self._unfused is not None else [])

    @property
    def nbytes(self) -> int:
        """The bytes of parameters, gradients, optimizer state and statistics; buffers of a batch are not counted."""
        return super().nbytes + 4 * self.running_mean.nbytes

    def forward(self, X: Array, *, training: bool = True) -> Array:
        """Return Y, shape (features, batch), for X of the same shape; with `training`, move the running statistics.

        Raises ValueError for fewer than two samples in training.
        """
        N = self.check_inputs(X)
        together = self._ranks if training else None
        if training and together is None and N < 2:
            raise ValueError(
                f"X has shape {X.shape}; batch normalization needs at least two samples in training, in the last batch "
                "of an epoch too"
            )
        Y = self._outputs.take(N)
        alone, mean, variance = training and together is None, self.running_mean, self.running_variance
        if together is not None:
            mean, variance, self._total = moments(X, together)
            self._mean[:], self._inverse[:] = mean, 1.0 / np.sqrt(variance + self.epsilon)
            self.running_mean += self.momentum * (mean - self.running_mean)
            unbiased = variance * (self._total / (self._total - 1))
            self.running_variance += self.momentum * (unbiased - self.running_variance)
        batch_norm(
            X,
            self.gamma,
            self.beta,
            self.epsilon,
            self.momentum,
            *self._code,
            Y,
            mean=self._mean if alone else None,
            inverse=self._inverse if alone else None,
            running_mean=mean,
            running_variance=variance,
        )
        self._X, self._Y = (X, Y) if training else (None, None)
        return Y if self._unfused is None else self._unfused.forward(Y, training=training)

    def backward(self, DY: Array, *, input_gradient: bool = True) -> Array | None:
        """Set the gradients of gamma and beta, and return DX, shape (features, batch).

        With D = DY f'(Z) and the normalized inputs H, per feature and summed over the batch: Dgamma = sum D H,
        Dbeta = sum D, DX = gamma / sqrt(variance + epsilon) (D - (Dbeta + H Dgamma) / N).
        """
        X, Y = self.saved_for_backward(DY)
        if self._unfused is not None:
            DZ = self._unfused.backward(DY)
            assert DZ is not None
            DY = DZ
        DX = self._input_gradients.take(X.shape[1]) if input_gradient else None
        own = DX if self._ranks is None else None
        gamma, beta = self._parameters
        batch_norm_backward(
            DY,
            Y,
            X,
            gamma.values,
            self._mean,
            self._inverse,
            *self._code,
            DX=own,
            Dgamma=gamma.gradient,
            Dbeta=beta.gradient,
        )
        if self._ranks is not None and DX is not None:
            activation_backward(DY, Y, *self._code, DX, None)
            Dgamma, Dbeta = mean_gradients(gamma.gradient, beta.gradient, self._total, self._ranks)
            H = (X - self._mean[:, None]) * self._inverse[:, None]
            DX -= Dbeta[:, None] + H * Dgamma[:, None]
            DX *= (gamma.values * self._inverse)[:, None]
        return DX

    def join(self, ranks: Ranks | None) -> None:
        """Take mean and variance over the samples of all ranks, or over the layer's own; see Layer.join."""
        self._ranks = ranks

    def compiled(self, batch: int) -> tuple[Operation, ...] | None:
        """Return the statistics of the batch, the normalization by them, and an activation that is not fused."""
        if not self._has_passes_of(BatchNorm):
            return None
        behind = () if self._unfused is None else self._unfused.compiled(batch) or ()
        arrays = self.gamma, self.beta, self.running_mean, self.running_variance
        return Statistics(), Normalization(*arrays, self._settings, self._code), *behind

    def _settings(self) -> tuple[float, float]:
        return self.epsilon, self.momentum

    # ---- config, arrays and copies

    def config(self) -> dict[str, Any]:
        """Return {"in", "out", "activation", "dtype", "momentum", "epsilon"}."""
        return {
            "in": self.in_features,
            "out": self.out_features,
            "activation": to_config(self.activation),
            "dtype": self.dtype.name,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
        }

    def arrays(self) -> dict[str, Array]:
        """Return running mean and variance, gamma, beta, and the parameters of an SReLU: the memory in use."""
        return {"running_mean": self.running_mean, "running_variance": self.running_variance, **super().arrays()}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], arrays: Mapping[str, Array], prefix: str = "") -> Self:
        """Return the layer of a config and arrays; see Layer.from_config."""
        D, K, activation = int(config["in"]), int(config["out"]), from_config(config["activation"])
        if find(arrays, f"{prefix}gamma").shape != (D,) or K != D:  # before memory is taken for what the config says
            raise ArraysMismatch(f"gamma has shape {arrays[f'{prefix}gamma'].shape}; there are {D} and {K} features")
        settings = {name: config[name] for name in ("momentum", "epsilon", "dtype")}
        layer = cls(D, activation=activation, **settings)
        for name, array in layer.arrays().items():
            fill(array, arrays, f"{prefix}{name}")
        if (layer.running_variance < 0).any():
            raise ValueError(f"{prefix}running_variance holds a negative number")
        return layer

    def astype(self, dtype: npt.DTypeLike) -> "BatchNorm":
        """Return a copy with another dtype; optimizer state is not copied."""
        return self._copy(self.in_features, real_dtype(dtype), EVERY)

    def take_features(self, kept: Features) -> "BatchNorm":
        """Return a copy for some of its features; optimizer state is not copied."""
        kept = check_numbers(kept, "kept", self.in_features)
        return self._copy(len(kept), self.dtype, kept)

    def _copy(self, features: int, dtype: np.dtype[Any], kept: Features | slice) -> "BatchNorm":
        settings: dict[str, Any] = {"momentum": self.momentum, "epsilon": self.epsilon, "activation": self.activation}
        layer = BatchNorm(features, dtype=dtype, **settings)
        for name in ("gamma", "beta", "running_mean", "running_variance"):
            getattr(layer, name)[:] = getattr(self, name)[kept]
        if self._unfused is not None and layer._unfused is not None:
            self._unfused.copy_parameters(layer._unfused, kept)
        return layer

    def __repr__(self) -> str:
        return (
            f"BatchNorm({self.in_features}, momentum={self.momentum}, epsilon={self.epsilon}, "
            f"activation={self.activation!r}, dtype={self.dtype.name!r})"
        )
