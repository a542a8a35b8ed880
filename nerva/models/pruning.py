"""Networks pruned before they are trained, from dense ones that are never whole in memory.

A criterion of nerva.models.pruning_criteria scores every weight of a dense network, and those of largest score become
the weights of a sparse one, with the values they have in the dense one.
"""

from collections.abc import Callable, Sequence
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from nerva._kernels.activations import ACTIVATIONS
from nerva._kernels.csr import CSR
from nerva._kernels.memory import Array
from nerva.backends.cost_model import BackendSetting
from nerva.initializers import Initializer
from nerva.layers import SparseLinear
from nerva.losses import SoftmaxCrossEntropy
from nerva.models.pruning_criteria import DenseNetwork, Scores, grasp, keep_largest, snip, synflow
from nerva.models.sequential import Sequential
from nerva.topology.distributions import weight_count
from nerva.topology.supports import Positions
from nerva.training.batches import Batches
from nerva.training.samples import Samples
from nerva.validation import check_choice, check_fraction, check_integer, check_sizes, real_dtype

Criterion = Literal["snip", "grasp", "synflow"]
CRITERIA = get_args(Criterion)
BY_SCORES: dict[str, Callable[[DenseNetwork, Array, Array], Scores]] = {"snip": snip, "grasp": grasp}


def pruned(
    sizes: Sequence[int],
    X: object = None,
    y: npt.ArrayLike | None = None,
    *,
    density: float,
    criterion: Criterion = "snip",
    activation: str = "relu",
    init: str | Initializer = "xavier",
    dtype: npt.DTypeLike = np.float32,
    seed: int = 0,
    backend: BackendSetting = "auto",
) -> Sequential:
    """Return a sparse multi-layer perceptron with those weights of a dense one that a criterion keeps.

    Parameters
    ----------
    sizes : the features from input to output
    X, y : samples (n, features) and integer labels (n,) for "snip" and "grasp", which take them as one mini-batch
    density : round(density x all positions) weights are kept, the best of all layers together: a layer may lose all
    criterion : "snip", "grasp" or "synflow" (see nerva.models.pruning_criteria)
    activation, init, dtype, backend : as in nerva.MLP
    seed : of the dense network's weights, a non-negative integer

    Memory is that of the result, of the batch's activations, and of a block of rows: the dense network never exists
    whole. All layers are nerva.SparseLinear, whatever their density; biases are 0.

    Raises TypeError or ValueError that names the argument that is wrong.

    >>> X, y = np.random.default_rng(0).random((60, 20)), np.arange(60) % 4
    >>> nerva.pruned([20, 16, 4], X, y, density=0.25, criterion="grasp").nnz
    96
    >>> [layer.nnz for layer in nerva.pruned([20, 16, 4], density=0.25, criterion="synflow").layers]
    [68, 28]
    """
    check_choice(criterion, "criterion", CRITERIA)
    sizes = tuple(check_sizes(sizes))
    check_choice(activation, "activation", ACTIVATIONS)
    network = DenseNetwork(sizes, activation, init, real_dtype(dtype), check_integer(seed, "seed", least=0))
    count = weight_count(check_fraction(density, "density"), 1, sum(K * D for K, D in network.shapes))
    if count == 0:
        raise ValueError(f"density is {density}; a network of {list(sizes)} would have no weight at all")
    if criterion == "synflow":
        kept = synflow(network, count)
    else:
        if X is None or y is None:
            raise TypeError(f"X and y are missing: criterion {criterion!r} looks at samples and their labels")
        samples = Samples(X, sizes[0], network.dtype)
        labels = SoftmaxCrossEntropy().check_targets(y, len(samples), sizes[-1])
        ((batch, targets),) = Batches(samples, labels, len(samples), network.dtype)
        assert targets is not None
        kept = keep_largest(network, BY_SCORES[criterion](network, batch, targets), count)
    layers = [_sparse_layer(network, layer, positions, backend) for layer, positions in enumerate(kept)]
    return Sequential(layers, rng=np.random.default_rng([seed, len(sizes)]))


def _sparse_layer(network: DenseNetwork, layer: int, positions: Positions, backend: BackendSetting) -> SparseLinear:
    """Return a layer with the weights of a dense one at these flat positions, which ascend."""
    K, D = network.shapes[layer]
    values, indptr = np.empty(len(positions), network.dtype), np.searchsorted(positions, np.arange(K + 1) * D)
    for rows, W in network.blocks(layer):
        own = slice(indptr[rows.start], indptr[rows.stop])
        values[own] = W.reshape(-1)[positions[own] - rows.start * D]
    weight = CSR((K, D), indptr, positions % D, values)
    return SparseLinear(D, K, weight=weight, activation=network.activation_of(layer), backend=backend)
