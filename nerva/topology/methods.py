"""Methods of the literature, as combinations of when, drop, grow and density."""

import numpy as np

from nerva._kernels.memory import Array
from nerva.initializers import Initializer
from nerva.topology.drop import smallest, smallest_of_each_sign
from nerva.topology.grow import by_gradient, by_momentum, uniformly
from nerva.topology.layer_state import LayerState, LayerStates
from nerva.topology.schedules import Cubic, Path, Update, When, in_proportion
from nerva.topology.topology import Topology
from nerva.validation import check_fraction, check_not_negative


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
        self.threshold = check_not_negative(threshold, "threshold")
        super().__init__(When(every, unit, start, end, 1.0, "constant"), smallest, uniformly, init=init, regrow=regrow)

    def counts(self, layers: LayerStates, now: Update) -> list[tuple[int, int]]:
        """Return the weights within the threshold, twice."""
        small = [min(int(np.count_nonzero(np.abs(layer.values) <= self.threshold)), layer.empties) for layer in layers]
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
        path = density if callable(density) else Cubic(check_fraction(density, "density"))
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
            density=density if callable(density) else Cubic(check_fraction(density, "density")),
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

    def counts(self, layers: LayerStates, now: Update) -> list[tuple[int, int]]:
        """Return what each layer drops, and its part of the sum to grow, by the mean |momentum| of its weights."""
        dropped = [pair[0] for pair in super().counts(layers, now)]
        means = [float(np.abs(layer.state("momentum")).mean()) if layer.weight.nnz else 0.0 for layer in layers]
        caps = [layer.empties if layer.weight.nnz else 0 for layer in layers]
        grown = in_proportion(sum(dropped), means, caps)
        # A layer that would grow nothing keeps a weight.
        room = [int(layer.weight.nnz) - (not more) for layer, more in zip(layers, grown, strict=True)]
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
        self.l1 = check_not_negative(l1, "l1")
        self.temperature = check_not_negative(temperature, "temperature")
        super().__init__(
            When(every, unit, start, end, 1.0, "constant"), _crossed, uniformly, regrow=regrow, moment="after"
        )

    def start(self, layers: LayerStates) -> None:
        """Give every weight the sign it has, a random one where it is 0."""
        for layer in layers:
            layer.per_weight["sign"] = np.sign(layer.values)
            _sign(layer)

    def update(self, layers: LayerStates, now: Update, rate: float) -> list[tuple[int, int]]:
        """Pull, shake, and rewire what crossed zero."""
        for layer in layers:
            values = layer.values
            values -= values.dtype.type(rate * self.l1) * layer.per_weight["sign"]
            if self.temperature:
                noise = layer.rng.standard_normal(len(values), values.dtype.type)
                values += values.dtype.type((2 * rate * self.temperature) ** 0.5) * noise
        return super().update(layers, now, rate)

    def counts(self, layers: LayerStates, now: Update) -> list[tuple[int, int]]:
        """Return the weights that crossed zero, twice."""
        crossed = [int(np.count_nonzero(layer.values * layer.per_weight["sign"] < 0)) for layer in layers]
        return [(min(n, layer.empties),) * 2 for n, layer in zip(crossed, layers, strict=True)]

    def move(self, layer: LayerState, dropped: int, grown: int) -> tuple[int, int]:
        """Rewire, and give the new weights their signs."""
        moved = super().move(layer, dropped, grown)
        new = _sign(layer)
        layer.values[new] = layer.per_weight["sign"][new] * layer.values.dtype.type(1e-12)
        return moved


def _crossed(layer: LayerState, count: int) -> Array:
    return np.flatnonzero(layer.values * layer.per_weight["sign"] < 0)[:count]


def _sign(layer: LayerState) -> Array:
    """Draw the signs that are missing, and return where they were."""
    sign = layer.per_weight["sign"]
    missing = np.flatnonzero(sign == 0)
    sign[missing] = 2 * layer.rng.integers(2, size=len(missing)) - 1
    return missing
