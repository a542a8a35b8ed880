"""The sparse linear layer."""

from typing import Any

import numpy as np
import numpy.typing as npt

from nerva._kernels import products
from nerva._kernels.csr import CSR
from nerva._kernels.dropout import dropout_vector
from nerva._kernels.memory import Array
from nerva._kernels.mkl import get_num_threads
from nerva._kernels.rewiring import rewire
from nerva.activations import Activation
from nerva.backends import calibration
from nerva.backends.cost_model import Plan
from nerva.initializers import Initializer, fans, initial_values
from nerva.layers.affine import Affine, Backward, restore_bias
from nerva.parameters import Step
from nerva.topology.distributions import weight_count
from nerva.topology.supports import as_support, from_mask
from nerva.validation import as_generator, check_choice, check_fraction, real_dtype

BACKENDS = ("auto", *products.BACKENDS)


class SparseLinear(Affine):
    """A linear layer Y = f(W X + b) whose W exists only as CSR, in training as in inference.

    Parameters
    ----------
    in_features, out_features : D and K
    density : fraction of the K x D weights that exist; exactly round(density K D) positions are drawn
    support : how: "random" (uniformly), "fan-in", "fan-out", "skewed", "blocks" or a callable (see nerva.supports); or
        a matrix (K, D), dense or SciPy's, whose non-zeros are the positions: then `density` must not be given
    fan : what the initializer is told: "dense", D and K, or "live", the weights there are for an output and an input,
        which did much better at 0.1 % (bench/README.md)
    weight : a nerva.CSR of shape (K, D) to use instead: then `density`, `support` and `init` must not be given
    init : "xavier" unless given; see nerva.initializers
    activation, bias, rng, dtype : as in nerva.Linear
    backend : "native" (own kernels), "mkl" (mkl_sparse_?_mm for the two products with W), "dense" (MKL's gemm on dense
        blocks of W's rows, memory for one of which is held and counted in `nbytes`), or "auto": for each product the
        fastest by nerva.costs, native unless another is much faster
    drop_connect : as in nerva.Linear, of the weights that exist; holds one more vector of nnz numbers

    By "dense", an infinity or NaN in X or DY reaches the whole column of the product, weights or no weights.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        density: float | None = None,
        support: Any = None,
        fan: str = "dense",
        weight: CSR | None = None,
        activation: Activation = "identity",
        init: str | Initializer | None = None,
        bias: bool = True,
        rng: np.random.Generator | int | None = None,
        dtype: npt.DTypeLike | None = None,
        backend: str = "auto",
        drop_connect: float = 0.0,
    ) -> None:
        check_choice(backend, "backend", BACKENDS)
        if weight is not None:
            if density is not None or init is not None or support is not None:
                raise ValueError("weight is given, so density, support and init must not be: it brings its own")
            if not isinstance(weight, CSR):
                raise TypeError(f"weight is {type(weight).__name__}; it must be a nerva.CSR")
            if weight.shape != (out_features, in_features):
                raise ValueError(f"weight has shape {weight.shape}; it must be {(out_features, in_features)}")
            if dtype is not None and real_dtype(dtype) != weight.dtype:
                raise TypeError(f"weight has dtype {weight.dtype}; dtype is {np.dtype(dtype)}")
        elif density is None and (support is None or isinstance(support, str) or callable(support)):
            raise TypeError("density is missing: the fraction of weights that exist, or a weight")
        real = weight.dtype if weight is not None else np.float32 if dtype is None else dtype
        super().__init__(in_features, out_features, activation, bias, real, drop_connect)
        self.backend = backend
        self._plans: dict[tuple[int, int, str], Plan] = {}  # by batch, threads and backend
        rng = as_generator(rng)
        if weight is None:
            init = "xavier" if init is None else init
            weight = self._draw(density, "random" if support is None else support, init, fan, rng)
        self._weight = weight
        self._register(weight.values)
        self._start_dropping(rng)
        self._masked_weight: CSR | None = None  # in training with drop_connect, the weights, some of them zero

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

    def rewire(
        self, dropped: npt.NDArray[np.int64], grown: npt.NDArray[np.int64], values: npt.ArrayLike = 0.0
    ) -> npt.NDArray[np.int64]:
        """Drop weights and grow others, in O(nnz + K), and return where each weight comes from.

        Parameters
        ----------
        dropped : int64 numbers of weights, within 0 to nnz - 1, ascending strictly
        grown : int64 flat positions row D + column, ascending strictly, without a weight or with one that is dropped
        values : of the grown weights, a number or one for each

        Surviving weights keep their values and all the state an optimizer has of them; that of new ones is 0. The
        result `source`, int64 of shape (nnz,), says for each weight the number it had before, -1 where it is new.
        The matrix `weight` stays the same object.

        Raises TypeError or ValueError, before anything is changed, where an argument is wrong.
        """
        first, before = np.asarray(values, self.dtype), self.nnz
        if first.shape not in ((), np.shape(grown)) or not np.isfinite(first).all():
            raise ValueError(f"values has shape {first.shape}; it must be {len(grown)} finite numbers, or one for all")
        source = rewire(self._weight, dropped, grown, first)
        if self.nnz != before:
            self._plans = {}
        self._parameters[0].rearrange(source, self._weight.values)
        return source

    def _draw(
        self, density: float | None, support: Any, init: str | Initializer, fan: str, rng: np.random.Generator
    ) -> CSR:
        D, K = self.in_features, self.out_features
        if isinstance(support, str) or callable(support):
            assert density is not None
            count = weight_count(check_fraction(density, "density"), K, D)
            indptr, indices = as_support(support)(K, D, count, rng)
        else:
            if density is not None:
                raise ValueError("support is a matrix, so density must not be given: it has its own")
            if np.shape(support) != (K, D):
                raise ValueError(f"support has shape {np.shape(support)}; it must be {(K, D)}")
            indptr, indices = from_mask(support)
            count = len(indices)
        if len(indices) != count:
            raise ValueError(f"support returned {len(indices)} positions; {count} were asked for")
        values = initial_values(init, rng, *fans(fan, D, K, count), count, self.dtype)
        return CSR((K, D), indptr, indices, values)

    @property
    def nnz(self) -> int:
        """The weights that exist, bias not counted."""
        return int(self.weight.nnz)

    @property
    def weight_gradient(self) -> Array:
        """The gradient of each weight, shape (nnz,), in the order of `weight.values`."""
        return self._parameters[0].gradient

    @property
    def nbytes(self) -> int:
        staying = 0 if self._masked_weight is None else self._masked_weight.values.nbytes
        return super().nbytes - self.weight.values.nbytes + int(self.weight.nbytes) + staying

    def _plan(self, N: int) -> Plan:
        key = N, get_num_threads(), self.backend
        plan = self._plans.get(key)
        if plan is None:
            if len(self._plans) >= 64:
                self._plans = {}
            plan = calibration.plan(self.backend, self.out_features, self.in_features, self.nnz, N, self.dtype)
            self._plans[key] = plan
        return plan

    def _product(self, X: Array, Y: Array, dropping: bool) -> None:
        weight = self._used(dropping)
        products.spmm(weight, X, Y, self.bias, self._code, self._alpha, self._plan(X.shape[1]).forward)

    def _drop(self, key: int) -> None:
        if self._masked_weight is None or not self._masked_weight.is_twin_of(self.weight):
            self._masked_weight = self.weight.twin()
        dropout_vector(self.weight.values, key, self.drop_connect, self._masked_weight.values)

    def _used(self, dropping: bool) -> CSR:
        if not dropping:
            return self.weight
        assert self._masked_weight is not None
        return self._masked_weight

    def _backward(self, back: Backward, step: Step | None) -> None:
        X, Y, DY, DZ, DX, delta, below = back
        later = step  # what is not taken by the kernel
        if self._keys is not None:
            step = None
        W = self._used(self._keys is not None)
        weight, bias = self._parameters[0], self._parameters[1] if self.bias is not None else None
        plan = self._plan(X.shape[1])
        by_input, by_weight = plan.backward if DX is not None else ("native", plan.weight_alone)
        if (by_input, by_weight) != ("native", "native"):
            if not delta:
                self.through_activation(DY, Y, DZ)
            products.sddmm(W, DZ, X, weight.gradient, by_weight)
            if DX is not None:
                products.spmm_t(W, DZ, DX, by_input)
                if below is not None:
                    below.through_activation(DX, X, DX)
            self._step_apart(later)
            return
        taken = None if step is None else step.take(weight)
        bias_taken = None if step is None or bias is None else step.take(bias)
        products.sparse_backward(
            W,
            X,
            Y,
            DY,
            self._code,
            self._alpha,
            DZ,
            DX,
            gradient=None
            if taken is not None and 0 < X.shape[1] <= products.widest_batch(self.dtype)
            else weight.gradient,
            Db=None if bias is None else bias.gradient,
            update=None if taken is None else taken.update,
            velocity=None if taken is None else taken.velocity,
            second=None if taken is None else taken.second,
            bias=None if bias_taken is None else self.bias,
            bias_update=None if bias_taken is None else bias_taken.update,
            bias_velocity=None if bias_taken is None else bias_taken.velocity,
            bias_second=None if bias_taken is None else bias_taken.second,
            delta=delta,
            below=None if below is None or below.fused is None else (*below.fused, below.bias_gradient),
        )
        if self._keys is not None:
            self._step_apart(later)

    def astype(self, dtype: npt.DTypeLike) -> "SparseLinear":
        """Return a copy with another number type; optimizer state is not copied."""
        W = self.weight
        weight = CSR(W.shape, W.indptr, W.indices, W.values.astype(real_dtype(dtype)))
        settings: dict[str, Any] = {"activation": self.activation, "bias": self.bias is not None}
        settings |= {"backend": self.backend, "drop_connect": self.drop_connect}
        return self._as_copied_to(SparseLinear(self.in_features, self.out_features, weight=weight, **settings))

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_plans": {}, "_masked_weight": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._parameters[0].values = self.weight.values
        restore_bias(self)
