"""What is measured: a network with its batch for the training step, a matrix with its operands for a product.

Plain arrays only, so that every peer, in whatever process and framework, starts from the same numbers. Making them
needs nerva; receiving them does not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

Array = npt.NDArray[Any]
Weights = list[Array | csr_array]

SIZES = (3072, 1024, 512, 10)
SPARSITIES = (0.0, 0.5, 0.8, 0.9, 0.95, 0.99, 0.999)
SPARSITY = 0.99  # where only one is measured
DENSITIES = (0.001, 0.005, 0.01, 0.05, 0.1, 0.2, 0.5)
MEAN, STD = 0.5, 0.25  # of pixels / 255 in noise, near enough: what an epoch's batches are standardised by
PRODUCTS = ("spmm", "spmm_t", "sddmm")
BATCH = 100
RATE = 1e-4  # so low that the network stays about where it began, however often the step is repeated


@dataclass(frozen=True)
class Step:
    """A network, (K, D) per layer, csr_array where it is sparse, and one batch: X (N, D), y (N,) int64."""

    weights: Weights
    X: Array
    y: Array
    rate: float = RATE

    @property
    def sparse(self) -> bool:
        """Whether any layer is."""
        return any(not isinstance(W, np.ndarray) for W in self.weights)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The number type of all of it."""
        return self.X.dtype

    @property
    def flops(self) -> int:
        """The operations that the weights that exist ask for: a multiply and an add each, per sample and product.

        Forward and weight gradient in each layer, and the input gradient in all but the first.
        """
        weights = [int(W.size) for W in self.weights]  # of a csr_array, those that exist
        return 2 * len(self.y) * (3 * sum(weights) - weights[0])

    @property
    def least_bytes(self) -> int:
        """The bytes that must come from memory once where no cache holds them: weights, indices, velocity, batches."""
        item, N = self.dtype.itemsize, len(self.y)
        weights = sum(int(W.size) * (3 * item + (0 if isinstance(W, np.ndarray) else 4)) for W in self.weights)
        return weights + item * N * sum(sum(W.shape) for W in self.weights)


@dataclass(frozen=True)
class Product:
    """One product by name: spmm is W X, spmm_t is W' DY, sddmm is DY X' on the pattern of W.

    Shapes: W (K, D), X (D, N), DY (K, N).
    """

    kind: str
    W: csr_array
    X: Array
    DY: Array

    @property
    def flops(self) -> int:
        """The floating-point operations that the non-zeros ask for: a multiply and an add each, per column."""
        return 2 * int(self.W.nnz) * self.X.shape[1]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The number type of all of it."""
        return self.X.dtype

    @property
    def sparse(self) -> bool:
        """Whether the matrix is: always."""
        return True

    @property
    def least_bytes(self) -> int:
        """The bytes that must come from memory once where no cache holds them: weights, indices, both batches."""
        return int(self.W.nnz) * (self.dtype.itemsize + 4) + self.X.nbytes + self.DY.nbytes


@dataclass(frozen=True)
class Epoch:
    """A pass over noise of the size of CIFAR-10 as bytes, to be standardised, with a network for it."""

    weights: Weights
    samples: int = 50_000
    batch: int = BATCH
    seed: int = 0

    def data(self) -> tuple[Array, Array]:
        """Return the pixels, uint8 (samples, features), and the labels; every process draws the same."""
        rng = np.random.default_rng(self.seed)
        shape = (self.samples, self.weights[0].shape[1])
        return rng.integers(0, 256, shape, np.uint8), rng.integers(0, self.weights[-1].shape[0], self.samples)


@dataclass(frozen=True)
class Inference:
    """A network, and the samples to classify: X (N, D)."""

    weights: Weights
    X: Array

    @property
    def flops(self) -> int:
        """A multiply and an add for each weight that exists, per sample."""
        return 2 * len(self.X) * sum(int(W.size) for W in self.weights)

    @property
    def least_bytes(self) -> int:
        """The bytes that must come from memory once where no cache holds them: weights, indices, batches."""
        item = self.X.dtype.itemsize
        weights = sum(int(W.size) * (item + (0 if isinstance(W, np.ndarray) else 4)) for W in self.weights)
        return weights + item * len(self.X) * sum(sum(W.shape) for W in self.weights)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The number type of all of it."""
        return self.X.dtype

    @property
    def sparse(self) -> bool:
        """Whether any layer is."""
        return any(not isinstance(W, np.ndarray) for W in self.weights)


def network(sparsity: float, seed: int = 0, sizes: Sequence[int] = SIZES, dtype: npt.DTypeLike = np.float32) -> Weights:
    """Draw the first weights of a network: Erdos-Renyi supports, Xavier values, biases left at zero."""
    import nerva

    model = nerva.MLP(sizes, density=1.0 - sparsity, seed=seed, dtype=dtype)
    return [layer.weight.copy() if layer.density == 1.0 else layer.weight.to_scipy() for layer in model.layers]


def training_step(
    sparsity: float,
    batch: int = BATCH,
    seed: int = 0,
    sizes: Sequence[int] = SIZES,
    dtype: npt.DTypeLike = np.float32,
    rate: float = RATE,
) -> Step:
    """Make the training step of a network on a batch of noise."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((batch, sizes[0])).astype(dtype)
    return Step(network(sparsity, seed, sizes, dtype), X, rng.integers(0, sizes[-1], batch), rate)


def product(
    kind: str,
    density: float,
    K: int = 1024,
    D: int = 3072,
    batch: int = BATCH,
    seed: int = 0,
    dtype: npt.DTypeLike = np.float32,
) -> Product:
    """Make a product with a K x D matrix whose support is drawn uniformly."""
    import nerva

    rng = np.random.default_rng(seed)
    W = nerva.SparseLinear(D, K, density=density, rng=rng, dtype=dtype).weight.to_scipy()
    X = rng.standard_normal((D, batch)).astype(dtype)
    return Product(kind, W, X, rng.standard_normal((K, batch)).astype(dtype))


def samples(count: int, sparsity: float = SPARSITY, seed: int = 0) -> Inference:
    """Make some samples of noise, and the network of SIZES that is to classify them."""
    rng = np.random.default_rng(seed)
    return Inference(network(sparsity, seed), rng.standard_normal((count, SIZES[0]), dtype=np.float32))


class Shape(NamedTuple):
    """A training step beside the usual one."""

    name: str
    sizes: tuple[int, ...] = SIZES
    batch: int = BATCH
    dtype: str = "float32"
    threads: int = 2


SHAPES = (
    Shape("3072-1024-512-10, batch 1", batch=1),
    Shape("batch 16", batch=16),
    Shape("batch 64", batch=64),
    Shape("batch 100"),
    Shape("batch 1024", batch=1024),
    Shape("one thread", threads=1),
    Shape("float64", dtype="float64"),
    Shape("784-512-256-10", (784, 512, 256, 10)),
    Shape("3072-4096-4096-10", (3072, 4096, 4096, 10)),
    Shape("3072-16384-16384-10", (3072, 16384, 16384, 10)),
)
