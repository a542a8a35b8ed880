"""Methods of the literature, as combinations of when, drop, grow and density."""

import numpy as np

from nerva.density import check_density
from nerva.initializers import Initializer
from nerva.parameters import Array
from nerva.topology.density import Cubic, Path, in_proportion
from nerva.topology.drop import smallest, smallest_of_each_sign
from nerva.topology.grow import by_gradient, by_momentum, uniformly
from nerva.topology.moves import Topology
from nerva.topology.sites import Site, Sites
from nerva.topology.when import Update, When


class SET(Topology):
    """Sparse evolutionary training: drop the smallest positive and the largest negative weights, grow at random.

    D. C. Mocanu et al., Scalable training of artificial neural networks with adaptive sparse connectivity inspired by
    network science, Nature Communications 9, 2018. At the start of every epoch but the first, by default.
    """

    def __init__(
        self,
        fraction: float = 0.3,
        *,
        every: int = 1,
        unit: str = "epoch",
        start: float = 0.0,
        end: float = 1.0,
        decay: str = "constant",
        init: str | Initializer = "zeros",
        regrow: bool = False,
    ) -> None:
        when = When(every, unit, start, end, fraction, decay)
        super().__init__(when, smallest_of_each_sign, uniformly, init=init, regrow=regrow)


class Magnitude(Topology):
    """Drop the smallest |w|, grow at random: the "Magnitude" pruning of the original Nerva with "Random" growth.

    As SET, but for the signs.
    """

    def __init__(
        self,
        fraction: float = 0.3,
        *,
        every: int = 1,
        unit: str = "epoch",
        start: float = 0.0,
        end: float = 1.0,
        decay: str = "constant",
        init: str | Initializer = "zeros",
        regrow: bool = False,
    ) -> None:
        super().__init__(When(every, unit, start, end, fraction, decay), smallest, uniformly, init=init, regrow=regrow)


class Threshold(Topology):
    """Drop every |w| <= threshold, grow as many at random: the "Threshold" pruning of the original Nerva.

    Where there are fewer empty positions than that, only so many of the smallest are dropped.
    """

    def __init__(
        self,
        threshold: float,
        *,
        every: int = 1,
        unit: str = "epoch",
        start: float = 0.0,
        end: float = 1.0,
        init: str | Initializer = "xavier",
        regrow: bool = False,
    ) -> None:
        if not threshold >= 0:
            raise ValueError(f"threshold is {threshold}; it must not be negative")
        self.threshold = threshold
        super().__init__(When(every, unit, start, end, 1.0, "constant"), smallest, uniformly, init=init, regrow=regrow)

    def counts(self, sites: Sites, now: Update) -> list[tuple[int, int]]:
        """Return the weights within the threshold, twice."""
        small = [min(int(np.count_nonzero(np.abs(site.values) <= self.threshold)), site.empties) for site in sites]
        return [(n, n) for n in small]


class RigL(Topology):
    """Drop the smallest |w|, grow where the gradient of the dense layer is largest.

    U. Evci et al., Rigging the lottery: making all tickets winners, ICML 2020. An update takes the place of the step
    of its batch. The gradient is the exact one of the batch, or with `accumulate` of as many batches together, its top
    taken over the whole layer; a position just dropped is not grown again unless `regrow`, which the paper allows.
    """

    def __init__(
        self,
        fraction: float = 0.3,
        *,
        every: int = 100,
        unit: str = "step",
        start: float = 0.0,
        end: float = 0.75,
        decay: str = "cosine",
        init: str | Initializer = "zeros",
        regrow: bool = False,
        accumulate: int = 1,
    ) -> None:
        when = When(every, unit, start, end, fraction, decay)
        super().__init__(when, smallest, by_gradient, init=init, regrow=regrow, accumulate=accumulate, moment="instead")


class GMP(Topology):
    """Gradual magnitude pruning: drop the smallest |w| until the sparse layers have `density`; nothing grows.

    M. Zhu and S. Gupta, To prune, or not to prune, 2017. From any sparse start, or from full layers, those of
    nerva.MLP(sizes, sparse=True) say. `density` is a number, reached along their cubic, or a path.
    """

    def __init__(
        self,
        density: float | Path,
        *,
        every: int = 100,
        unit: str = "step",
        start: float = 0.0,
        end: float = 0.75,
        scope: str = "global",
    ) -> None:
        path = density if callable(density) else Cubic(check_density(density))
        super().__init__(When(every, unit, start, end, 0.0, "constant"), smallest, uniformly, density=path, scope=scope)


class GraNet(Topology):
    """Gradual pruning with regeneration: each update prunes to the cubic's density, then moves a fraction as RigL.

    S. Liu et al., Sparse training via boosting pruning plasticity with neuroregeneration, NeurIPS 2021.
    """

    def __init__(
        self,
        density: float | Path,
        fraction: float = 0.5,
        *,
        every: int = 100,
        unit: str = "step",
        start: float = 0.0,
        end: float = 0.75,
        decay: str = "cosine",
        scope: str = "global",
        regrow: bool = False,
        accumulate: int = 1,
    ) -> None:
        super().__init__(
            When(every, unit, start, end, fraction, decay),
            smallest,
            by_gradient,
            density=density if callable(density) else Cubic(check_density(density)),
            scope=scope,
            regrow=regrow,
            accumulate=accumulate,
            moment="instead",
        )


class SNFS(Topology):
    """Sparse momentum: layers whose weights have the largest mean |momentum| grow most, and where momentum is large.

    After T. Dettmers and L. Zettlemoyer, Sparse networks from scratch: faster training without losing performance,
    2019. It differs: they keep a dense momentum, and grow at its largest entries. Here only weights have one, and a new
    position is drawn with a chance in proportion to the |momentum| in its row times that in its column: O(nnz). The
    number of all weights is constant, that of a layer is not. Needs an optimizer with momentum.
    """

    state = ("momentum",)

    def __init__(
        self,
        fraction: float = 0.3,
        *,
        every: int = 1,
        unit: str = "epoch",
        start: float = 0.0,
        end: float = 1.0,
        decay: str = "cosine",
        regrow: bool = False,
    ) -> None:
        super().__init__(When(every, unit, start, end, fraction, decay), smallest, by_momentum, regrow=regrow)

    def counts(self, sites: Sites, now: Update) -> list[tuple[int, int]]:
        """Return what each layer drops, and its part of the sum to grow, by the mean |momentum| of its weights."""
        dropped = [pair[0] for pair in super().counts(sites, now)]
        means = [float(np.abs(site.state("momentum")).mean()) if site.weight.nnz else 0.0 for site in sites]
        caps = [site.empties if site.weight.nnz else 0 for site in sites]
        grown = in_proportion(sum(dropped), means, caps)
        # A layer that would grow nothing keeps a weight.
        room = [int(site.weight.nnz) - (not more) for site, more in zip(sites, grown, strict=True)]
        return [(min(less, most), more) for less, most, more in zip(dropped, room, grown, strict=True)]


class DeepR(Topology):
    """Deep rewiring: every weight has a sign; one that crosses zero is dropped, and another grows at random.

    After the optimizer's step, w -= rate l1 sign, and w += sqrt(2 rate temperature) times normal noise. Then the
    weights whose sign is not theirs go, and as many come, with a random sign and 1e-12 of it.

    G. Bellec, D. Kappel, W. Maass and R. Legenstein, Deep rewiring: training very sparse deep networks, ICLR 2018,
    algorithm 1. Theirs is plain gradient descent.
    """

    def __init__(
        self,
        l1: float = 1e-4,
        temperature: float = 0.0,
        *,
        every: int = 1,
        unit: str = "step",
        start: float = 0.0,
        end: float = 1.0,
        regrow: bool = False,
    ) -> None:
        for name, value in (("l1", l1), ("temperature", temperature)):
            if not 0 <= value < float("inf"):
                raise ValueError(f"{name} is {value}; it must be finite and not negative")
        self.l1, self.temperature = l1, temperature
        super().__init__(
            When(every, unit, start, end, 1.0, "constant"), _crossed, uniformly, regrow=regrow, moment="after"
        )

    def start(self, sites: Sites) -> None:
        """Give every weight the sign it has, a random one where it is 0."""
        for site in sites:
            site.kept["sign"] = np.sign(site.values)
            _sign(site)

    def update(self, sites: Sites, now: Update, rate: float) -> list[tuple[int, int]]:
        """Pull, shake, and rewire what crossed zero."""
        for site in sites:
            values = site.values
            values -= values.dtype.type(rate * self.l1) * site.kept["sign"]
            if self.temperature:
                noise = site.rng.standard_normal(len(values), values.dtype.type)
                values += values.dtype.type((2 * rate * self.temperature) ** 0.5) * noise
        return super().update(sites, now, rate)

    def counts(self, sites: Sites, now: Update) -> list[tuple[int, int]]:
        """Return the weights that crossed zero, twice."""
        crossed = [int(np.count_nonzero(site.values * site.kept["sign"] < 0)) for site in sites]
        return [(min(n, site.empties),) * 2 for n, site in zip(crossed, sites, strict=True)]

    def move(self, site: Site, dropped: int, grown: int) -> tuple[int, int]:
        """Rewire, and give the new weights their signs."""
        moved = super().move(site, dropped, grown)
        new = _sign(site)
        site.values[new] = site.kept["sign"][new] * site.values.dtype.type(1e-12)
        return moved


def _crossed(site: Site, count: int) -> Array:
    return np.flatnonzero(site.values * site.kept["sign"] < 0)[:count]


def _sign(site: Site) -> Array:
    """Draw the signs that are missing, and return where they were."""
    sign = site.kept["sign"]
    missing = np.flatnonzero(sign == 0)
    sign[missing] = 2 * site.rng.integers(2, size=len(missing)) - 1
    return missing
