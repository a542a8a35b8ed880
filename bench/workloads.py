"""What is measured: a network with its batch for the training step, a matrix with its operands for a product.

Plain arrays only, so that every peer, in whatever process and framework, starts from the same numbers. Making them
needs nerva; receiving them does not.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

Array = npt.NDArray[Any]
Weights = list[Array | csr_array]

SIZES = (3072, 1024, 512, 10)
SPARSITIES = (0.0, 0.5, 0.8, 0.9, 0.95, 0.99, 0.999)
DENSITIES = (0.001, 0.005, 0.01, 0.05, 0.1, 0.2, 0.5)
PRODUCTS = ("spmm", "spmm_t", "sddmm")
BATCH = 100
RATE = 1e-4  # so low that the network stays about where it began, however often the step is repeated


@dataclass(frozen=True)
class Step:
    """A network, (K, D) per layer, csr_array where it is sparse, and one batch: X (N, D) float32, y (N,) int64."""

    weights: Weights
    X: Array
    y: Array

    @property
    def sparse(self) -> bool:
        """Whether any layer is."""
        return any(not isinstance(W, np.ndarray) for W in self.weights)


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


def network(sparsity: float, seed: int = 0) -> Weights:
    """Draw the first weights of the network of SIZES: Erdos-Renyi supports, Xavier values, biases left at zero."""
    import nerva

    model = nerva.MLP(SIZES, density=1.0 - sparsity, seed=seed)
    return [layer.weight.copy() if layer.density == 1.0 else layer.weight.to_scipy() for layer in model.layers]


def training_step(sparsity: float, batch: int = BATCH, seed: int = 0) -> Step:
    """Make the training step of the network of SIZES on a batch of noise."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((batch, SIZES[0]), dtype=np.float32)
    return Step(network(sparsity, seed), X, rng.integers(0, SIZES[-1], batch))


def product(kind: str, density: float, K: int = 1024, D: int = 3072, batch: int = BATCH, seed: int = 0) -> Product:
    """Make a product with a K x D matrix whose support is drawn uniformly."""
    import nerva

    rng = np.random.default_rng(seed)
    W = nerva.SparseLinear(D, K, density=density, rng=rng).weight.to_scipy()
    X = rng.standard_normal((D, batch), dtype=np.float32)
    return Product(kind, W, X, rng.standard_normal((K, batch), dtype=np.float32))
