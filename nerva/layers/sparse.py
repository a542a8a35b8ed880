"""The sparse linear layer."""

from collections.abc import Mapping
from typing import Any, Self, get_args

import numpy as np
import numpy.typing as npt

from nerva._kernels import products
from nerva._kernels.csr import CSR
from nerva._kernels.dropout import dropout_vector
from nerva._kernels.memory import Array
from nerva._kernels.operations import Operation
from nerva._kernels.rewiring import rewire
from nerva.activations import Activation
from nerva.backends.choice import ChoiceCache
from nerva.backends.cost_model import FIXED, BackendChoice, BackendSetting
from nerva.initializers import Fan, Initializer
from nerva.layers.affine import Affine
from nerva.layers.arrays import check_finite, check_numbers, find
from nerva.layers.layer import Features, Layer
from nerva.layers.sparse_weights import check_weight, coordinates, draw_weight, submatrix
from nerva.layers.weighted import Entries
from nerva.validation import as_generator, check_choice, real_dtype

BACKENDS: tuple[str, ...] = get_args(BackendSetting)


class SparseLinear(Affine):
    """A linear layer Y = f(W X + b) whose weights W exist only as CSR, in training as in inference.

    Parameters
    ----------
    in_features, out_features : D and K
    density : fraction of the K x D weights that exist; exactly round(density K D) positions are drawn
    support : how they are drawn, "random" (uniformly), "fan-in", "fan-out", "skewed", "blocks" or a callable (see
        nerva.supports); or a matrix (K, D), dense, SciPy's or a nerva.CSR, whose non-zeros are the positions, without
        `density` (see nerva.support_from_edges)
    fan : the fans that the initializer gets, "dense", D and K, or "live", the average weights of a neuron, which gave
        much better accuracy at a density of 0.1 % (bench/README.md)
    weight : a nerva.CSR of shape (K, D) to use instead, without `density`, `support` and `init`
    init : initializer of the weights, "xavier" if None; see nerva.initializers
    activation, bias, rng, dtype : as in nerva.Linear
    backend : of the products: "native" (nerva's own kernels), "mkl" (mkl_sparse_?_mm for the two products with W),
        "dense" (MKL's gemm on blocks of rows of W made dense, of which one is held, and counted in `nbytes`), or "auto"
        (native, or for each product another that is predicted to be much faster; see nerva.backends)
    drop_connect : as in nerva.Linear; takes one more vector of nnz values

    With "dense", an infinity or NaN in X or DY reaches the whole column of a product, through zero weights too.

    >>> layer = nerva.SparseLinear(100, 50, density=0.1, activation="relu", rng=0)
    >>> layer, layer.nnz
    (SparseLinear(100, 50, density=0.1, activation='relu', dtype='float32'), 500)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        density: float | None = None,
        support: Any = None,
        fan: Fan = "dense",
        weight: CSR | None = None,
        activation: Activation = "identity",
        init: str | Initializer | None = None,
        bias: bool = True,
        rng: np.random.Generator | int | None = None,
        dtype: npt.DTypeLike | None = None,
        backend: BackendSetting = "auto",
        drop_connect: float = 0.0,
    ) -> None:
        check_choice(backend, "backend", BACKENDS)
        if weight is not None:
            if density is not None or init is not None or support is not None:
                raise ValueError("weight is given, so density, support and init must not be: it brings its own")
            check_weight(weight, (out_features, in_features), dtype)
        real = weight.dtype if weight is not None else np.float32 if dtype is None else dtype
        super().__init__(in_features, out_features, activation, bias, real, drop_connect)
        self.backend: BackendSetting = backend
        self._choices = ChoiceCache()
        rng = as_generator(rng)
        if weight is None:
            drawn: dict[str, Any] = {"density": density, "support": support, "init": init, "fan": fan}
            weight = draw_weight((self.out_features, self.in_features), **drawn, rng=rng, dtype=self.dtype)
        self._weight = weight
        self._register(weight.values)
        self._start_dropping(rng)
        self._masked_weight: CSR | None = None  # shares the pattern of W; of the last training step with DropConnect

    @property
    def weight(self) -> CSR:
        """The weights. Another CSR of the same shape and dtype may replace it; optimizer state starts anew then."""
        return self._weight

    @weight.setter
    def weight(self, weight: CSR) -> None:
        if not isinstance(weight, CSR):
            raise TypeError(f"weight is {type(weight).__name__}; it must be a nerva.CSR")
        if weight.shape != self._weight.shape or weight.dtype != self.dtype:
            raise ValueError(f"weight is {weight!r}; it must be {self.out_features} x {self.in_features}, {self.dtype}")
        self._weight = weight
        self._choices.clear()
        self._register(weight.values)

    @property
    def weight_gradient(self) -> Array:
        """The gradient of each weight, shape (nnz,), in the order of `weight.values`."""
        return self._parameters[0].gradient

    @property
    def nnz(self) -> int:
        """The weights that exist, the bias not counted."""
        return int(self.weight.nnz)

    @property
    def nbytes(self) -> int:
        """The bytes of weights and pattern, other parameters, gradients and optimizer state, without batch buffers."""
        masked = 0 if self._masked_weight is None else self._masked_weight.values.nbytes
        # A CSR counts its values, which are those of the parameter, and what kernels keep beside them.
        return super().nbytes - self.weight.values.nbytes + int(self.weight.nbytes) + masked

    def rewire(
        self, dropped: npt.NDArray[np.int64], grown: npt.NDArray[np.int64], values: npt.ArrayLike = 0.0
    ) -> npt.NDArray[np.int64]:
        """Drop weights and grow others, in O(nnz + K), and return where each weight comes from.

        Weights that survive keep their values and their optimizer state; the state of new ones is 0, and Adam counts
        their steps from their own first. The matrix `weight` stays the same object.

        Parameters
        ----------
        dropped : numbers of weights, int64, within 0 to nnz - 1, strictly ascending
        grown : flat positions row D + column, int64, strictly ascending, without a weight or with one that is dropped
        values : of the grown weights, one for each or one for all

        Returns `source`, int64 of shape (nnz,): the number that each weight had before, or -1 for a new one. Raises
        TypeError or ValueError, before anything is changed, where an argument is wrong.

        >>> layer = nerva.SparseLinear(3, 2, weight=nerva.CSR.from_dense(np.eye(2, 3)))
        >>> layer.rewire(np.array([1]), np.array([5]), 0.5), layer.dense_weight()
        (array([ 0, -1]), array([[1. , 0. , 0. ],
               [0. , 0. , 0.5]]))
        """
        first, before = np.asarray(values, self.dtype), self.nnz
        if first.shape not in ((), np.shape(grown)) or not np.isfinite(first).all():
            raise ValueError(f"values has shape {first.shape}; it must be {len(grown)} finite numbers, or one for all")
        source = rewire(self._weight, dropped, grown, first)
        if self.nnz != before:
            self._choices.clear()
        self._parameters[0].rearrange(source, self._weight.values)
        return source

    # ---- passes

    def compiled(self, batch: int) -> tuple[Operation, ...] | None:
        """Return the operations of a layer all of whose products are computed by kernels of our own."""
        return self.operations(batch) if self._choice(batch) == FIXED["native"] else None

    def operations(self, batch: int) -> tuple[Operation, ...] | None:
        """Return the operations of a layer whose backend is not another one by choice."""
        return super().operations(batch) if self.backend in ("auto", "native") else None

    def obstacle(self, batch: int, bfloat16: bool = False) -> str:
        """Say, after the layer's name, why `compiled` (in bfloat16 `operations`) returns None for such batches."""
        others = set([self.backend] if bfloat16 else self._choice(batch)) - {"auto", "native"}
        return f"whose backend is {' and '.join(sorted(others))}" if others else super().obstacle(batch, bfloat16)

    def _choice(self, N: int) -> BackendChoice:
        """Return the backend of each product for a batch of N."""
        return self._choices.get(self.backend, self.out_features, self.in_features, self.nnz, N, self.dtype)

    def _set_outputs(self, W: CSR, X: Array, Y: Array) -> None:
        products.spmm(W, X, Y, self.bias, *self._code, self._choice(X.shape[1]).forward)

    def _set_weight_gradient(self, DZ: Array, X: Array) -> None:
        products.sddmm(self.weight, DZ, X, self.weight_gradient, self._choice(X.shape[1]).weight_gradient)

    def _set_input_gradient(self, W: CSR, DZ: Array, DX: Array) -> None:
        products.spmm_t(W, DZ, DX, self._choice(DZ.shape[1]).input_gradient)

    def _masked(self) -> CSR:
        # A twin has values of its own on the same pattern, until W is rewired or replaced.
        if self._masked_weight is None or not self._masked_weight.is_twin_of(self.weight):
            self._masked_weight = self.weight.twin()
        return self._masked_weight

    def _drop(self, key: int) -> None:
        dropout_vector(self.weight.values, key, self.drop_connect, self._masked().values)

    # ---- access to the weights, and copies

    def arrays(self) -> dict[str, Array]:
        """Return "indptr", "indices", "values", "bias" if there is one, and the parameters of an SReLU: no copies."""
        W, rest = self.weight, {parameter.name: parameter.values for parameter in self.parameters()[1:]}
        return {"indptr": W.indptr, "indices": W.indices, "values": W.values, **rest}

    def assign(self, other: Layer) -> None:
        """Take the CSR matrix of another SparseLinear, no copy, and set the other parameters; see Layer.assign."""
        self._check_like(other)
        assert isinstance(other, SparseLinear)
        check_weight(other.weight, self.weight.shape, self.dtype)
        self.weight = other.weight
        for mine, theirs in zip(self.parameters()[1:], other.parameters()[1:], strict=True):
            mine.values[:] = theirs.values
        self._forget_optimizers()

    @classmethod
    def from_weight(cls, weight: Any, bias: Array | None = None, **settings: Any) -> Self:
        """Return a layer of these weights, a nerva.CSR it takes as it is, and a bias (K,); see Weighted.from_weight.

        >>> nerva.SparseLinear.from_weight(nerva.CSR.from_dense(np.eye(2, 3)), activation="relu")
        SparseLinear(3, 2, density=0.333333, activation='relu', dtype='float64')
        """
        check_finite(weight.values, "a weight")
        K, D = weight.shape
        return cls(D, K, weight=weight, bias=bias is not None, **settings)._with_bias(bias)

    @classmethod
    def _find_weight(cls, K: int, D: int, arrays: Mapping[str, Array], prefix: str) -> CSR:
        return CSR((K, D), *(find(arrays, f"{prefix}{name}") for name in ("indptr", "indices", "values")))

    def dense_weight(self) -> Array:
        """Return the weights as a new array (K, D), zeros where there are none."""
        return self.weight.to_dense()

    def entries(self) -> Entries:
        """Return the coordinates and values of the nnz weights, row after row."""
        return Entries(*coordinates(self.weight), self.weight.values)

    def remove_weights(self, weights: npt.NDArray[np.int64]) -> None:
        """Remove weights by number, ascending, in the order of `weight.values`."""
        self.rewire(weights, np.empty(0, np.int64))

    def astype(self, dtype: npt.DTypeLike) -> "SparseLinear":
        """Return a copy with another dtype; optimizer state is not copied."""
        W = self.weight
        return self._copy_rest(self._with_weight(CSR(W.shape, W.indptr, W.indices, W.values.astype(real_dtype(dtype)))))

    def take_features(self, kept: Features, inputs: Features | None = None) -> "SparseLinear":
        """Return a copy for some of its outputs and, unless None, some of its inputs; optimizer state is not copied."""
        kept = check_numbers(kept, "kept", self.out_features)
        inputs = np.arange(self.in_features) if inputs is None else check_numbers(inputs, "inputs", self.in_features)
        return self._copy_rest(self._with_weight(submatrix(self.weight, kept, inputs)), kept)

    def _with_weight(self, weight: CSR) -> "SparseLinear":
        """Return a layer of another matrix with the settings of this one."""
        settings: dict[str, Any] = {"activation": self.activation, "bias": self.bias is not None}
        settings |= {"backend": self.backend, "drop_connect": self.drop_connect}
        return SparseLinear(weight.columns, weight.rows, weight=weight, **settings)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_choices": ChoiceCache(), "_masked_weight": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._parameters[0].values = self.weight.values  # of which unpickling made two arrays
        self._share_bias()
