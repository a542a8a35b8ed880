"""How many weights each layer gets, from one density for the whole network.

Density is the fraction of weights that exist; sparsity is 1 - density. Biases do not count.
"""

from collections.abc import Callable, Sequence
from math import floor

from nerva.validation import check_choice, check_fraction, check_not_negative

Shape = tuple[int, int]
Distribution = Callable[[Sequence[Shape], float], list[float]]


def weight_count(density: float, out_features: int, in_features: int) -> int:
    """Return round(density x K x D), halves up: the number of weights of a K x D layer of this density."""
    return min(floor(density * (out_features * in_features) + 0.5), out_features * in_features)


def uniform(shapes: Sequence[Shape], density: float) -> list[float]:
    """Give every layer the same density.

    Parameters
    ----------
    shapes : a pair (in, out) of features for each layer
    density : of all layers together, within 0 to 1

    Raises ValueError where the density is not within 0 to 1.

    >>> nerva.uniform([(784, 100), (100, 10)], 0.1)
    [0.1, 0.1]
    """
    return [check_fraction(density, "density")] * len(shapes)


def balanced(shapes: Sequence[Shape], density: float) -> list[float]:
    """Give every layer the same number of weights.

    A layer with fewer positions than that is dense, and what does not fit goes to the others. Parameters and errors are
    those of `uniform`.

    >>> nerva.balanced([(784, 100), (100, 10)], 0.01)
    [0.00506..., 0.397]
    """
    return _scaled([1.0 / (d * k) for d, k in shapes], shapes, check_fraction(density, "density"))


def erdos_renyi(shapes: Sequence[Shape], density: float, *, power_scale: float = 1.0) -> list[float]:
    """Give layer i the density eps ((in_i + out_i) / (in_i out_i))^power_scale: sparser where a layer is larger.

    Parameters
    ----------
    shapes : a pair (in, out) of features for each layer
    density : of all layers together, within 0 to 1; eps is such that they have it
    power_scale : 0 is `uniform`; between 0 and 1 is between the two

    A layer whose density would exceed 1 is made dense, and eps is computed again for the others, until none exceeds 1.
    Raises ValueError where the density is not within 0 to 1, or the power scale is negative.

    D. C. Mocanu et al., Scalable training of artificial neural networks with adaptive sparse connectivity inspired by
    network science, Nature Communications 9, 2018; U. Evci et al., Rigging the lottery, ICML 2020, appendix C.

    >>> nerva.erdos_renyi([(784, 100), (100, 10)], 0.01)
    [0.00900..., 0.0878...]
    """
    power_scale = check_not_negative(power_scale, "power_scale")
    return _scaled([((d + k) / (d * k)) ** power_scale for d, k in shapes], shapes, check_fraction(density, "density"))


def _scaled(raw: Sequence[float], shapes: Sequence[Shape], density: float) -> list[float]:
    """Return densities in proportion to `raw`, none above 1, such that all layers together have `density`."""
    if density == 1.0:
        return [1.0] * len(shapes)
    sizes = [d * k for d, k in shapes]
    dense: set[int] = set()
    while len(dense) < len(shapes):
        wanted = density * sum(sizes) - sum(sizes[i] for i in dense)
        sparse = [i for i in range(len(shapes)) if i not in dense]
        eps = wanted / sum(raw[i] * sizes[i] for i in sparse)
        largest = max(raw[i] for i in sparse)
        if eps * largest <= 1.0:
            return [1.0 if i in dense else eps * raw[i] for i in range(len(shapes))]
        dense.update(i for i in sparse if raw[i] == largest)
    return [1.0] * len(shapes)


DISTRIBUTIONS: dict[str, Distribution] = {
    "erdos-renyi": erdos_renyi,
    "erdos-renyi-kernel": erdos_renyi,  # for kernels of size 1, which linear layers are, the same
    "uniform": uniform,
    "balanced": balanced,
}


def distribute(distribution: str | Distribution, shapes: Sequence[Shape], density: float) -> list[float]:
    """Return the density of each layer by a distribution or the name of one.

    Raises ValueError for an unknown name, or where a callable does not return one density within 0 to 1 per layer.

    >>> from nerva.topology.distributions import distribute
    >>> distribute(lambda shapes, density: [density, 1.0], [(784, 100), (100, 10)], 0.01)
    [0.01, 1.0]
    """
    if callable(distribution):
        given = distribution(shapes, density)
        densities = [check_fraction(d, f"the distribution's density[{i}]") for i, d in enumerate(given)]
        if len(densities) != len(shapes):
            raise ValueError(f"distribution returned {len(densities)} densities; there are {len(shapes)} layers")
        return densities
    return DISTRIBUTIONS[check_choice(distribution, "distribution", DISTRIBUTIONS)](shapes, density)
