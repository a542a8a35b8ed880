"""The multi-layer perceptron."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from nerva.activations import Activation as Function
from nerva.activations import check_activation, of_hidden_layers
from nerva.initializers import Initializer
from nerva.layers import BatchNorm, Dropout, Layer, Linear, SparseLinear
from nerva.models.sequential import Sequential
from nerva.topology.distributions import Distribution, distribute
from nerva.topology.supports import Support, as_support
from nerva.validation import as_generator, check_below_one, check_flag, check_fraction, check_sizes, real_dtype


class MLP(Sequential):
    """A multi-layer perceptron: linear layers with an activation between them, truly sparse where density < 1.

    Parameters
    ----------
    sizes : the features from input to output, [3072, 1024, 512, 10]
    density : of the whole network, shared out by `distribution`; or a sequence with one density a layer
    activation : of every layer but the last: a name or an object of nerva.activations, or one for each hidden layer; an
        AllReLU alternates
    output : activation of the last layer; "identity" gives logits
    distribution : "erdos-renyi", "uniform", "balanced", or a callable (see nerva.density)
    support : where the weights of a sparse layer are, a name or a callable (see nerva.supports)
    init : "xavier", "he", ..., or a callable (see nerva.initializers)
    fan : what the initializer is told of a sparse layer, "dense" or "live" (see nerva.SparseLinear)
    dtype : float32 or float64
    seed : of supports, weights, and the order of samples in `fit`
    backend : of the sparse layers, "auto", "native", "mkl" or "dense" (see nerva.SparseLinear)
    batch_norm : whether a nerva.BatchNorm stands between each hidden layer, which has no bias then, and its activation
    dropout : rate of a nerva.Dropout behind each hidden layer
    drop_connect : rate at which the weights of every layer are dropped in training (see nerva.Linear)
    sparse : whether layers of density 1 are of nerva.SparseLinear too, so that their weights can be pruned

    A layer whose density is 1 is a nerva.Linear unless `sparse`, every other a nerva.SparseLinear.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        density: float | Sequence[float] = 1.0,
        activation: Function | Sequence[Function] = "relu",
        distribution: str | Distribution = "erdos-renyi",
        support: str | Support = "random",
        init: str | Initializer = "xavier",
        fan: str = "dense",
        dtype: npt.DTypeLike = np.float32,
        seed: int | np.random.Generator | None = 0,
        backend: str = "auto",
        batch_norm: bool = False,
        dropout: float = 0.0,
        drop_connect: float = 0.0,
        output: Function = "identity",
        sparse: bool = False,
    ) -> None:
        sizes = check_sizes(sizes)
        shapes = list(pairwise(sizes))
        if isinstance(density, Sequence) or (isinstance(density, np.ndarray) and density.ndim == 1):
            densities = [check_fraction(d, f"density[{i}]") for i, d in enumerate(density)]
            if len(densities) != len(shapes):
                raise ValueError(f"density has {len(densities)} entries; there are {len(shapes)} layers")
        else:
            densities = distribute(distribution, shapes, check_fraction(density, "density"))
        dtype, rng = real_dtype(dtype), as_generator(seed, "seed")
        activations = [*of_hidden_layers(activation, len(shapes) - 1), check_activation(output, "output")]
        dropout = check_below_one(dropout, "dropout")
        batch_norm, sparse = check_flag(batch_norm, "batch_norm"), check_flag(sparse, "sparse")
        layers: list[Layer] = []
        for i, ((D, K), d, f) in enumerate(zip(shapes, densities, activations, strict=True)):
            hidden = i < len(shapes) - 1
            normal = hidden and batch_norm
            settings: dict[str, Any] = {
                "activation": "identity" if normal else f,
                "init": init,
                "bias": not normal,
                "rng": rng,
                "dtype": dtype,
                "drop_connect": drop_connect,
            }
            if d == 1.0 and not sparse:
                layers.append(Linear(D, K, **settings))
            else:
                settings |= {"support": as_support(support), "fan": fan, "backend": backend}
                layers.append(SparseLinear(D, K, density=d, **settings))
            if normal:
                layers.append(BatchNorm(K, activation=f, dtype=dtype))
            if hidden and dropout > 0:
                layers.append(Dropout(dropout, rng=rng))
        super().__init__(layers, rng=rng)
        if self.nnz == 0 and any(densities):
            raise ValueError(f"density is {density}; a network of {sizes} would have no weight at all")
