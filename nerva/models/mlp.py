"""The multi-layer perceptron."""

import warnings
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from nerva.activations import Activation as Function
from nerva.activations import check_activation, of_hidden_layers
from nerva.backends.cost_model import BackendSetting
from nerva.initializers import Fan, Initializer
from nerva.layers import BatchNorm, Dropout, Layer, Linear, SparseLinear
from nerva.models.precision import Precision, check_precision
from nerva.models.sequential import Sequential
from nerva.topology.distributions import Distribution, distribute
from nerva.topology.supports import Support, as_support
from nerva.validation import as_generator, check_below_one, check_flag, check_fraction, check_sizes, real_dtype


class MLP(Sequential):
    """A multi-layer perceptron: linear layers with activations between them, truly sparse where density < 1.

    A layer of density 1 is a nerva.Linear unless `sparse` is set, every other a nerva.SparseLinear.

    Parameters
    ----------
    sizes : features from input to output, such as [3072, 1024, 512, 10]
    density : fraction of the weights that exist, of the whole network, shared out by `distribution`; or a sequence of
        one for each layer, of which some may be 0: such a layer has its bias alone. A layer whose support is a matrix
        has its own density: the fraction is of the others, or the entry None
    activation : of all layers but the last, a name or an object of nerva.activations; or a sequence of one for each
        hidden layer. An AllReLU alternates
    distribution : "erdos-renyi", "uniform", "balanced", or a callable (see nerva.erdos_renyi)
    support : how positions of weights are drawn, a name or a callable (see nerva.supports); or a sequence of one for
        each layer, which may be a matrix as of nerva.SparseLinear, such as that of nerva.support_from_edges, and of
        which None is "random"
    init : initializer of the weights, "xavier", "he", ..., or a callable (see nerva.initializers)
    fan : the fans that the initializer gets of a sparse layer, "dense" or "live" (see nerva.SparseLinear)
    dtype : float32 or float64
    seed : of positions, weights, dropout masks, and the order of samples in `fit`
    backend : of the sparse layers, "auto", "native", "mkl" or "dense" (see nerva.SparseLinear)
    batch_norm : whether there is a nerva.BatchNorm between each hidden layer, which has no bias then, and its
        activation
    dropout : rate of a nerva.Dropout behind each hidden layer
    drop_connect : rate of DropConnect in every linear layer (see nerva.Linear)
    output : activation of the last layer; "identity" gives logits
    sparse : whether layers of density 1 are nerva.SparseLinear too, so that they can be pruned in training
    precision : of activations and their gradients, "bfloat16" or that of the dtype (see nerva.Sequential)

    Raises TypeError or ValueError, which name the argument; ValueError, too, for a network without any weight.

    >>> model = nerva.MLP([784, 300, 10], density=0.05)
    >>> model.nnz, [layer.density for layer in model.layers]
    (11910, [0.039375, 0.883])
    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        density: float | Sequence[float | None] = 1.0,
        activation: Function | Sequence[Function] = "relu",
        distribution: str | Distribution = "erdos-renyi",
        support: str | Support | Sequence[Any] = "random",
        init: str | Initializer = "xavier",
        fan: Fan = "dense",
        dtype: npt.DTypeLike = np.float32,
        seed: int | np.random.Generator | None = 0,
        backend: BackendSetting = "auto",
        batch_norm: bool = False,
        dropout: float = 0.0,
        drop_connect: float = 0.0,
        output: Function = "identity",
        sparse: bool = False,
        precision: Precision | None = None,
    ) -> None:
        sizes = check_sizes(sizes)
        supports = _supports(support, len(sizes) - 1)
        densities = _densities(density, distribution, list(pairwise(sizes)), [not callable(each) for each in supports])
        dtype, rng = real_dtype(dtype), as_generator(seed, "seed")
        check_precision(precision, dtype)
        activations = [*of_hidden_layers(activation, len(sizes) - 2), check_activation(output, "output")]
        dropout = check_below_one(dropout, "dropout")
        batch_norm, sparse = check_flag(batch_norm, "batch_norm"), check_flag(sparse, "sparse")
        of_both: dict[str, Any] = {"init": init, "rng": rng, "dtype": dtype, "drop_connect": drop_connect}
        of_sparse: dict[str, Any] = {"fan": fan, "backend": backend}
        layers: list[Layer] = []
        # One generator gives every layer its weights and masks: their order belongs to what a seed gives.
        for i, ((D, K), d, s, f) in enumerate(zip(pairwise(sizes), densities, supports, activations, strict=True)):
            hidden = i < len(sizes) - 2
            normalized = hidden and batch_norm
            settings = {**of_both, "activation": "identity" if normalized else f, "bias": not normalized}
            if d == 1.0 and not sparse:
                layers.append(Linear(D, K, **settings))
            else:
                layers.append(SparseLinear(D, K, density=d, support=s, **settings, **of_sparse))
            if normalized:
                layers.append(BatchNorm(K, activation=f, dtype=dtype))
            if hidden and dropout > 0:
                layers.append(Dropout(dropout, rng=rng))
        super().__init__(layers, rng=rng, precision=precision)
        linear = [layer for layer in layers if isinstance(layer, (Linear, SparseLinear))]
        _check_weights([layer.nnz for layer in linear], densities, density, sizes)


def _check_weights(counts: list[int], densities: list[float | None], density: Any, sizes: list[int]) -> None:
    """Raise ValueError for a network without weights; warn of a layer that has none, unless its density is 0."""
    if not any(counts):
        raise ValueError(f"density is {density}; a network of {sizes} would have no weight at all")
    for i, (count, own) in enumerate(zip(counts, densities, strict=True)):
        if count == 0 and own is not None and own > 0:
            warnings.warn(
                f"density is {density}; linear layer {i}, {sizes[i]}-{sizes[i + 1]}, has no weight at all then: the "
                "outputs of the network do not depend on the samples",
                RuntimeWarning,
                stacklevel=3,
            )


def _supports(support: Any, count: int) -> list[Any]:
    """Return the support of each layer, a callable or a matrix; raise TypeError or ValueError for anything else."""
    if hasattr(support, "shape"):
        raise TypeError(f"support is a matrix, {support.shape}; give a list, with one support for each layer")
    if not isinstance(support, (list, tuple)):
        return [as_support(support)] * count
    if len(support) != count:
        raise ValueError(f"support has {len(support)} entries; there are {count} layers")
    return [each if hasattr(each, "shape") else as_support("random" if each is None else each) for each in support]


def _densities(
    density: Any,
    distribution: str | Distribution,
    shapes: list[tuple[int, int]],
    matrices: Sequence[bool],
) -> list[float | None]:
    """Return the density of each layer, checked: None where its support is a matrix, which has its own."""
    drawn = [shape for shape, matrix in zip(shapes, matrices, strict=True) if not matrix]
    if (isinstance(density, Sequence) and not isinstance(density, str)) or np.ndim(density) == 1:
        if len(density) != len(shapes):
            raise ValueError(f"density has {len(density)} entries; there are {len(shapes)} layers")
        for i, (given, matrix) in enumerate(zip(density, matrices, strict=True)):
            if matrix and given is not None:
                raise ValueError(f"density[{i}] is {given}; it must be None, since support[{i}] is a matrix")
        found = [check_fraction(d, f"density[{i}]") for i, d in enumerate(density) if not matrices[i]]
    else:
        found = distribute(distribution, drawn, check_fraction(density, "density")) if drawn else []
    others = iter(found)
    return [None if matrix else next(others) for matrix in matrices]
