"""The workloads of the kernels: a network and a batch for the hot training step, a matrix and operands for a product.

A hot step trains on the same batch again and again, which stays in the caches: it measures the kernels, and not what
users run (see use.py). Workloads hold plain arrays, so that every peer, in any process and framework, starts from the
same values. Only making them needs nerva.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

Array = npt.NDArray[Any]
Weights = list[Array | csr_array]
Kind = Literal["spmm", "spmm_t", "sddmm"]

SIZES = (3072, 1024, 512, 10)
SPARSITIES = (0.0, 0.5, 0.8, 0.9, 0.95, 0.99, 0.999)
SPARSITY = 0.99  # if only one is measured
DENSITIES = (0.001, 0.005, 0.01, 0.05, 0.1, 0.2, 0.5)
PRODUCTS: tuple[Kind, ...] = get_args(Kind)
BATCH = 100
RATE = 1e-4  # so low that the weights hardly change, however often the step is repeated


@dataclass(frozen=True)
class Step:
    """A network, one matrix (K, D) for each layer, csr_array if it is sparse, and a batch: X (N, D), y (N,) int64."""

    weights: Weights
    X: Array
    y: Array
    rate: float = RATE

    @property
    def sparse(self) -> bool:
        """Whether any layer is sparse."""
        return any(not isinstance(W, np.ndarray) for W in self.weights)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of weights and batch."""
        return self.X.dtype

    @property
    def flops(self) -> int:
        """The floating-point operations: a multiply and an add for each stored weight, sample and product.

        The products are forward and weight gradient in each layer, and the input gradient in all but the first.
        """
        weights = [int(W.size) for W in self.weights]  # the size of a csr_array is its number of non-zeros
        return 2 * len(self.y) * (3 * sum(weights) - weights[0])

    @property
    def least_bytes(self) -> int:
        """The bytes that are read from memory at least once: weights, indices, velocity, batches."""
        item, N = self.dtype.itemsize, len(self.y)
        weights = sum(int(W.size) * (3 * item + (0 if isinstance(W, np.ndarray) else 4)) for W in self.weights)
        return weights + item * N * sum(sum(W.shape) for W in self.weights)


@dataclass(frozen=True)
class Product:
    """One product: spmm is W X, spmm_t is W' DY, sddmm is DY X' on the pattern of W.

    Shapes: W (K, D), X (D, N), DY (K, N).
    """

    kind: Kind
    W: csr_array
    X: Array
    DY: Array

    @property
    def flops(self) -> int:
        """The floating-point operations: a multiply and an add for each non-zero and column."""
        return 2 * int(self.W.nnz) * self.X.shape[1]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of weights and batch."""
        return self.X.dtype

    @property
    def sparse(self) -> bool:
        """Whether the matrix is sparse: always."""
        return True

    @property
    def least_bytes(self) -> int:
        """The bytes that are read from memory at least once: weights, indices, both batches."""
        return int(self.W.nnz) * (self.dtype.itemsize + 4) + self.X.nbytes + self.DY.nbytes


def network(sparsity: float, seed: int = 0, sizes: Sequence[int] = SIZES, dtype: npt.DTypeLike = np.float32) -> Weights:
    """Draw the initial weights of a network: Erdos-Renyi supports, Xavier values; biases are zero."""
    import nerva

    model = nerva.MLP(sizes, density=1.0 - sparsity, seed=seed, dtype=dtype)
    return [layer.weight.copy() if layer.density == 1.0 else layer.weight.to_scipy() for layer in model.layers]


def hot_step(
    sparsity: float,
    batch: int = BATCH,
    seed: int = 0,
    sizes: Sequence[int] = SIZES,
    dtype: npt.DTypeLike = np.float32,
    rate: float = RATE,
) -> Step:
    """Return the hot training step of a network on a batch of noise."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((batch, sizes[0])).astype(dtype)
    return Step(network(sparsity, seed, sizes, dtype), X, rng.integers(0, sizes[-1], batch), rate)


def product(
    kind: Kind,
    density: float,
    K: int = 1024,
    D: int = 3072,
    batch: int = BATCH,
    seed: int = 0,
    dtype: npt.DTypeLike = np.float32,
) -> Product:
    """Return a product with a K x D matrix whose support is drawn uniformly."""
    import nerva

    rng = np.random.default_rng(seed)
    W = nerva.SparseLinear(D, K, density=density, rng=rng, dtype=dtype).weight.to_scipy()
    X = rng.standard_normal((D, batch)).astype(dtype)
    return Product(kind, W, X, rng.standard_normal((K, batch)).astype(dtype))


class Shape(NamedTuple):
    """A hot training step that differs from the default one in what is given."""

    name: str
    sizes: tuple[int, ...] = SIZES
    batch: int = BATCH
    dtype: str = "float32"


SHAPES = (
    Shape("3072-1024-512-10, batch 1", batch=1),
    Shape("batch 16", batch=16),
    Shape("batch 64", batch=64),
    Shape("batch 100"),
    Shape("batch 1024", batch=1024),
    Shape("float64", dtype="float64"),
    Shape("784-512-256-10", (784, 512, 256, 10)),
    Shape("3072-4096-4096-10", (3072, 4096, 4096, 10)),
    Shape("3072-16384-16384-10", (3072, 16384, 16384, 10)),
)
