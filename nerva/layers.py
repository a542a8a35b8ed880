"""Layers: Y = f(W X + b) on matrices (features, batch), and the way back.

A layer owns what it returns: `forward` and `backward` write into buffers that the next call overwrites.
"""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt

from nerva import calibration
from nerva._kernels import products
from nerva._kernels.csr import CSR
from nerva._kernels.elementwise import ACTIVATIONS, activation_backward, bias_activation
from nerva._kernels.memory import Buffer, empty_vector
from nerva._kernels.mkl import get_num_threads
from nerva._kernels.topology import draw_support
from nerva.costs import Plan
from nerva.density import check_density, weight_count
from nerva.initializers import Initializer, initial_values
from nerva.parameters import Array, Parameter, Step, as_generator, real_dtype, zeros

BACKENDS = ("auto", *products.BACKENDS)
LEAKY_SLOPE = 0.01


def _features(n: int, name: str) -> int:
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)):
        raise TypeError(f"{name} is {n!r}; it must be an integer")
    if not 1 <= n <= 2**31 - 1:
        raise ValueError(f"{name} is {n}; it must be within 1 to 2**31 - 1")
    return int(n)


class _Affine(ABC):
    """What the dense and the sparse linear layer share: bias, activation, buffers, and the order of the products."""

    def __init__(self, in_features: int, out_features: int, activation: str, bias: bool, dtype: npt.DTypeLike) -> None:
        self.in_features = _features(in_features, "in_features")
        self.out_features = _features(out_features, "out_features")
        self.dtype = real_dtype(dtype)
        if not isinstance(activation, str) or activation not in ACTIVATIONS:
            raise ValueError(f"activation is {activation!r}; it must be one of {', '.join(ACTIVATIONS)}")
        self.activation = activation
        self._code: int = ACTIVATIONS[activation]
        self._bias: Array | None = zeros(self.out_features, self.dtype) if bias else None
        self._X: Array | None = None
        self._Y: Array | None = None
        self._outputs = Buffer(self.out_features, self.dtype)
        self._deltas = Buffer(self.out_features, self.dtype)
        self._input_gradients = Buffer(self.in_features, self.dtype)
        self._parameters: list[Parameter] = []

    def forward(self, X: Array, *, training: bool = True) -> Array:
        """Return Y = f(W X + b), shape (K, N), for X of shape (D, N).

        With `training`, X and Y are kept for `backward`: neither may change before it. Raises TypeError or ValueError
        for an X of another dtype, shape or stride than the layer's.
        """
        products.check_batch(X, "X", self.dtype, self.in_features)
        Y = self._outputs.take(X.shape[1])
        self._product(X, Y)
        self._X, self._Y = (X, Y) if training else (None, None)
        return Y

    def backward(
        self,
        DY: Array,
        *,
        input_gradient: bool = True,
        step: Step | None = None,
        below: "_Affine | None" = None,
        delta: bool = False,
    ) -> Array | None:
        """Set the gradients of weights and bias from DY, shape (K, N), and return DX, shape (D, N).

        Given the layer `below`, whose outputs were X, what is returned is the gradient before its activation instead,
        and the gradient of its bias is set: that layer's `backward` then takes it with `delta`. It saves two passes
        over the batch.

        Without `input_gradient`, DX is not computed and None is returned: nobody needs it of a first layer. With a
        `step` (see SGD.at), weights and bias take it at once, which saves a pass over them; the gradient of the
        weights need not be left anywhere then. Raises RuntimeError where no `forward` in training came before.
        """
        if self._X is None or self._Y is None:
            raise RuntimeError("backward needs a forward pass with training=True before it")
        if below is not None and below._Y is not self._X:
            raise RuntimeError("below is another layer than the one whose outputs were the last inputs")
        N = self._X.shape[1]
        products.check_batch(DY, "DY", self.dtype, self.out_features, N)
        DZ = DY if delta or self._code == 0 else self._deltas.take(N)
        DX = self._input_gradients.take(N) if input_gradient else None
        self._backward(self._X, self._Y, DY, DZ, DX, step, below, delta)
        return DX

    def parameters(self) -> list[Parameter]:
        """Return the weights and, where there is one, the bias, as the optimizer sees them."""
        return self._parameters

    @property
    def nbytes(self) -> int:
        """The bytes held for weights, pattern, gradients and optimizer state; the buffers of a batch not counted."""
        return sum(parameter.nbytes for parameter in self._parameters)

    @property
    @abstractmethod
    def nnz(self) -> int:
        """The weights that exist, bias not counted."""

    @property
    def density(self) -> float:
        """The fraction of the K x D weights that exist."""
        return self.nnz / (self.in_features * self.out_features)

    @abstractmethod
    def _product(self, X: Array, Y: Array) -> None: ...

    @abstractmethod
    def _backward(
        self,
        X: Array,
        Y: Array,
        DY: Array,
        DZ: Array,
        DX: Array | None,
        step: Step | None,
        below: "_Affine | None",
        delta: bool,
    ) -> None: ...

    def _through_activation(self, DY: Array, Y: Array, DZ: Array) -> None:
        """DZ = DY f'(Z) and the gradient of the bias."""
        activation_backward(DY, Y, self._code, LEAKY_SLOPE, DZ, self.bias_gradient)

    def _register(self, weights: Array) -> None:
        self._parameters = [Parameter("weight", weights)]
        if self._bias is not None:
            self._parameters.append(Parameter("bias", self._bias))

    @property
    def bias(self) -> Array | None:
        """The bias, shape (K,), to be read and written in place; None where the layer has none."""
        return self._bias

    @bias.setter
    def bias(self, bias: npt.ArrayLike) -> None:
        if self._bias is None:
            raise AttributeError("this layer was made without a bias")
        self._bias[:] = _same_shape(bias, "bias", self._bias)

    @property
    def bias_gradient(self) -> Array | None:
        """The gradient of the bias, shape (K,)."""
        return None if self.bias is None else self._parameters[1].gradient

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_X": None, "_Y": None}

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.in_features}, {self.out_features}, density={self.density:.6g}, "
            f"activation={self.activation!r}, dtype={self.dtype.name!r})"
        )


def _same_shape(array: npt.ArrayLike, name: str, wanted: Array) -> Array:
    array = np.asarray(array)
    if array.shape != wanted.shape:
        raise ValueError(f"{name} has shape {array.shape}; it must be {wanted.shape}")
    if not np.can_cast(array.dtype, wanted.dtype, "same_kind"):
        raise TypeError(f"{name} has dtype {array.dtype}; it must be real numbers")
    return array


class Linear(_Affine):
    """A dense linear layer Y = f(W X + b), its products by MKL's gemm.

    Parameters
    ----------
    in_features, out_features : D and K
    activation : "identity", "relu", "leaky_relu", "tanh" or "sigmoid"
    init : "xavier", "he", "zeros", or a callable (see nerva.initializers)
    bias : whether there is a b, which starts at zero
    rng : numpy.random.Generator, or a seed, or None for a fresh one
    dtype : float32 or float64
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        activation: str = "identity",
        init: str | Initializer = "xavier",
        bias: bool = True,
        rng: np.random.Generator | int | None = None,
        dtype: npt.DTypeLike = np.float32,
    ) -> None:
        super().__init__(in_features, out_features, activation, bias, dtype)
        D, K = self.in_features, self.out_features
        weights = empty_vector(K * D, self.dtype)
        weights[:] = initial_values(init, as_generator(rng), D, K, K * D, self.dtype)
        self._register(weights)

    @property
    def weight(self) -> Array:
        """The weights, shape (K, D), to be read and written in place."""
        return self._parameters[0].values.reshape(self.out_features, self.in_features)

    @weight.setter
    def weight(self, weight: npt.ArrayLike) -> None:
        self.weight[:] = _same_shape(weight, "weight", self.weight)

    @property
    def nnz(self) -> int:
        return self.weight.size

    def _product(self, X: Array, Y: Array) -> None:
        products.gemm(self.weight, X, Y)
        bias_activation(self.bias, self._code, LEAKY_SLOPE, Y)

    @property
    def weight_gradient(self) -> Array:
        """The gradient of each weight, shape (K, D)."""
        return self._parameters[0].gradient.reshape(self.out_features, self.in_features)

    def _backward(
        self,
        X: Array,
        Y: Array,
        DY: Array,
        DZ: Array,
        DX: Array | None,
        step: Step | None,
        below: _Affine | None,
        delta: bool,
    ) -> None:
        if not delta:
            self._through_activation(DY, Y, DZ)
        products.gemm(DZ, X, self.weight_gradient, transpose_b=True)
        if DX is not None:
            products.gemm(self.weight, DZ, DX, transpose_a=True)
            if below is not None:
                below._through_activation(DX, X, DX)
        if step is not None:
            for parameter in self._parameters:
                step(parameter)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        _restore_bias(self)


class SparseLinear(_Affine):
    """A linear layer Y = f(W X + b) whose W exists only as CSR, in training as in inference.

    Parameters
    ----------
    in_features, out_features : D and K
    density : fraction of the K x D weights that exist; exactly round(density K D) positions are drawn uniformly
    weight : a nerva.CSR of shape (K, D) to use instead: then `density` and `init` must not be given
    activation, init, bias, rng, dtype : as in nerva.Linear
    backend : "native" (own kernels), "mkl" (mkl_sparse_?_mm for the two products with W), "dense" (MKL's gemm on dense
        blocks of W's rows, memory for one of which is held and counted in `nbytes`), or "auto": for each product the
        fastest by nerva.costs, native unless another is much faster

    By "dense", an infinity or NaN in X or DY reaches the whole column of the product, weights or no weights.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        density: float | None = None,
        weight: CSR | None = None,
        activation: str = "identity",
        init: str | Initializer | None = None,
        bias: bool = True,
        rng: np.random.Generator | int | None = None,
        dtype: npt.DTypeLike | None = None,
        backend: str = "auto",
    ) -> None:
        if backend not in BACKENDS:
            raise ValueError(f"backend is {backend!r}; it must be one of {', '.join(BACKENDS)}")
        if weight is not None:
            if density is not None or init is not None:
                raise ValueError("weight is given, so density and init must not be: it brings its own")
            if not isinstance(weight, CSR):
                raise TypeError(f"weight is {type(weight).__name__}; it must be a nerva.CSR")
            if weight.shape != (out_features, in_features):
                raise ValueError(f"weight has shape {weight.shape}; it must be {(out_features, in_features)}")
            if dtype is not None and real_dtype(dtype) != weight.dtype:
                raise TypeError(f"weight has dtype {weight.dtype}; dtype is {np.dtype(dtype)}")
        elif density is None:
            raise TypeError("density is missing: the fraction of weights that exist, or a weight")
        real = weight.dtype if weight is not None else np.float32 if dtype is None else dtype
        super().__init__(in_features, out_features, activation, bias, real)
        self.backend = backend
        self._plans: dict[tuple[int, int, str], Plan] = {}  # by batch, threads and backend
        if weight is None:
            weight = self._draw(density, "xavier" if init is None else init, as_generator(rng))
        self._weight = weight
        self._register(weight.values)

    @property
    def weight(self) -> CSR:
        """The weights. Another CSR of the same shape and dtype may take their place; momentum starts anew then."""
        return self._weight

    @weight.setter
    def weight(self, weight: CSR) -> None:
        if not isinstance(weight, CSR):
            raise TypeError(f"weight is {type(weight).__name__}; it must be a nerva.CSR")
        if weight.shape != self._weight.shape or weight.dtype != self.dtype:
            raise ValueError(f"weight is {weight!r}; it must be {self.out_features} x {self.in_features}, {self.dtype}")
        self._weight = weight
        self._plans = {}
        self._register(weight.values)

    def _draw(self, density: float | None, init: str | Initializer, rng: np.random.Generator) -> CSR:
        assert density is not None
        D, K = self.in_features, self.out_features
        count = weight_count(check_density(density), K, D)
        indptr, indices = draw_support(K, D, count, rng)
        return CSR((K, D), indptr, indices, initial_values(init, rng, D, K, count, self.dtype))

    @property
    def nnz(self) -> int:
        return int(self.weight.nnz)

    @property
    def weight_gradient(self) -> Array:
        """The gradient of each weight, shape (nnz,), in the order of `weight.values`."""
        return self._parameters[0].gradient

    @property
    def nbytes(self) -> int:
        return super().nbytes - self.weight.values.nbytes + int(self.weight.nbytes)

    def _plan(self, N: int) -> Plan:
        key = N, get_num_threads(), self.backend
        plan = self._plans.get(key)
        if plan is None:
            if len(self._plans) >= 64:
                self._plans = {}
            plan = calibration.plan(self.backend, self.out_features, self.in_features, self.nnz, N, self.dtype)
            self._plans[key] = plan
        return plan

    def _product(self, X: Array, Y: Array) -> None:
        products.spmm(self.weight, X, Y, self.bias, self._code, LEAKY_SLOPE, self._plan(X.shape[1]).forward)

    def _backward(
        self,
        X: Array,
        Y: Array,
        DY: Array,
        DZ: Array,
        DX: Array | None,
        step: Step | None,
        below: _Affine | None,
        delta: bool,
    ) -> None:
        weight, bias = self._parameters[0], self._parameters[1] if self.bias is not None else None
        plan = self._plan(X.shape[1])
        by_input, by_weight = plan.backward if DX is not None else ("native", plan.weight_alone)
        if (by_input, by_weight) != ("native", "native"):
            if not delta:
                self._through_activation(DY, Y, DZ)
            products.sddmm(self.weight, DZ, X, weight.gradient, by_weight)
            if DX is not None:
                products.spmm_t(self.weight, DZ, DX, by_input)
                if below is not None:
                    below._through_activation(DX, X, DX)
            if step is not None:
                for parameter in self._parameters:
                    step(parameter)
            return
        products.sparse_backward(
            self.weight,
            X,
            Y,
            DY,
            self._code,
            LEAKY_SLOPE,
            DZ,
            DX,
            None if step is not None and 0 < X.shape[1] <= products.widest_batch(self.dtype) else weight.gradient,
            None if bias is None else bias.gradient,
            None if step is None else step.update,
            None if step is None else step.velocity(weight),
            self.bias if step is not None else None,
            None if step is None or bias is None else step.velocity(bias),
            delta,
            None if below is None else (below._code, LEAKY_SLOPE, below.bias_gradient),
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_plans": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._parameters[0].values = self.weight.values
        _restore_bias(self)


def _restore_bias(layer: _Affine) -> None:
    """After unpickling, let layer and parameter share one bias again."""
    if layer._bias is not None:
        layer._bias = layer._parameters[1].values
