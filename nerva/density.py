"""How many weights each layer gets, from one density for the whole network.

Density is the fraction of weights that exist; sparsity is 1 - density.
"""

from collections.abc import Callable, Sequence
from math import floor, isfinite

Shape = tuple[int, int]


def check_density(density: float, name: str = "density") -> float:
    """Return the density as a float; raise ValueError where it is not within 0 to 1."""
    try:
        if isinstance(density, (str, bytes)):
            raise TypeError
        value = float(density)
    except (TypeError, ValueError):
        raise TypeError(f"{name} is {density!r}; it must be a number within 0 to 1") from None
    if not isfinite(value) or not 0.0 <= value <= 1.0:
        raise ValueError(f"{name} is {density}; it must be within 0 to 1")
    return value


def weight_count(density: float, out_features: int, in_features: int) -> int:
    """Return round(density x K x D), halves up: the weights of a layer of this density."""
    return min(floor(density * (out_features * in_features) + 0.5), out_features * in_features)


def uniform(shapes: Sequence[Shape], density: float) -> list[float]:
    """Give every layer the same density."""
    return [check_density(density)] * len(shapes)


def balanced(shapes: Sequence[Shape], density: float) -> list[float]:
    """Give every layer equally many weights; what does not fit a small layer, which is then dense, goes to the others.

    `shapes` are pairs (in, out) of features. Biases do not count.
    """
    return _scaled([1.0 / (d * k) for d, k in shapes], shapes, check_density(density))


def erdos_renyi(shapes: Sequence[Shape], density: float, *, power_scale: float = 1.0) -> list[float]:
    """Give layer i the density eps ((in_i + out_i) / (in_i out_i))^power_scale, eps such that the whole has `density`.

    A layer whose density would exceed 1 is made dense, and eps is found anew for the others, until none exceeds 1.
    `shapes` are pairs (in, out) of features. Biases do not count. A power scale of 0 is `uniform`; between 0 and 1 is
    between the two.

    D. C. Mocanu et al., Scalable training of artificial neural networks with adaptive sparse connectivity inspired by
    network science, Nature Communications 9, 2018; U. Evci et al., Rigging the lottery, ICML 2020, appendix C.
    """
    if not isfinite(power_scale) or power_scale < 0:
        raise ValueError(f"power_scale is {power_scale}; it must be finite and not negative")
    return _scaled([((d + k) / (d * k)) ** power_scale for d, k in shapes], shapes, check_density(density))


def _scaled(raw: Sequence[float], shapes: Sequence[Shape], density: float) -> list[float]:
    """Return densities in proportion to `raw`, none above 1, such that the whole has `density`."""
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


Distribution = Callable[[Sequence[Shape], float], list[float]]
DISTRIBUTIONS: dict[str, Distribution] = {
    "erdos-renyi": erdos_renyi,
    "erdos-renyi-kernel": erdos_renyi,  # for kernels of size 1, which linear layers are, the same
    "uniform": uniform,
    "balanced": balanced,
}


def distribute(distribution: str | Distribution, shapes: Sequence[Shape], density: float) -> list[float]:
    """Return the density of each layer by a distribution or the name of one.

    Raises ValueError for an unknown name, or where a callable does not return one density within 0 to 1 a layer.
    """
    if callable(distribution):
        given = distribution(shapes, density)
        densities = [check_density(d, f"the distribution's density[{i}]") for i, d in enumerate(given)]
        if len(densities) != len(shapes):
            raise ValueError(f"distribution returned {len(densities)} densities; there are {len(shapes)} layers")
        return densities
    if distribution not in DISTRIBUTIONS:
        raise ValueError(f"distribution is {distribution!r}; it must be one of {', '.join(DISTRIBUTIONS)}")
    return DISTRIBUTIONS[distribution](shapes, density)
