"""Methods of the literature that combine a schedule, a drop and a growth criterion; others have files of their own."""

from typing import Unpack

import numpy as np

from nerva.initializers import Initializer
from nerva.topology.drop import smallest, smallest_of_each_sign
from nerva.topology.grow import by_gradient, uniformly
from nerva.topology.layer_state import LayerStates
from nerva.topology.schedules import Cubic, DensitySchedule, Timing, TimingAndDecay, Update, When
from nerva.topology.topology import Scope, Topology
from nerva.validation import check_fraction, check_not_negative

EVERY_EPOCH = When(every=1, unit="epoch", end=1.0, decay="constant")


class SET(Topology):
    """Sparse evolutionary training: drop the smallest positive and the largest negative weights, grow at random.

    At the start of every epoch but the first, by default, round(fraction n) of a layer's n weights move.

    Parameters
    ----------
    fraction : the part of a layer's weights that an update moves, within 0 to 1
    init : values of the new weights (see nerva.initializers)
    regrow : whether a position just dropped may be grown again at once
    when : every, unit, start, end and decay of nerva.When, which by default are those of `defaults`

    Raises TypeError or ValueError that names the argument that is wrong.

    D. C. Mocanu et al., Scalable training of artificial neural networks with adaptive sparse connectivity inspired by
    network science, Nature Communications 9, 2018.

    >>> nerva.SET(0.2)
    SET(When(every=1, unit='epoch', start=0.0, end=1.0, fraction=0.2, decay='constant'))
    >>> X, y = np.random.default_rng(0).random((60, 20)), np.arange(60) % 4
    >>> model = nerva.MLP([20, 16, 4], density=0.3, seed=0)
    >>> history = model.fit(X.astype("float32"), y, epochs=2, batch_size=10, topology=nerva.SET())
    >>> [(record.step, record.layer, record.nnz, record.grown) for record in history.topology]
    [(6, 0, 74, 22), (6, 1, 41, 12)]
    """

    defaults = EVERY_EPOCH

    def __init__(
        self,
        fraction: float = 0.3,
        *,
        init: str | Initializer = "zeros",
        regrow: bool = False,
        **when: Unpack[TimingAndDecay],
    ) -> None:
        schedule = self.defaults.override(when, fraction=fraction)
        super().__init__(schedule, smallest_of_each_sign, uniformly, init=init, regrow=regrow)


class Magnitude(Topology):
    """Drop the smallest |w|, grow at random: as SET, but whatever their sign.

    The "Magnitude" pruning of the original Nerva with its "Random" growth. Parameters and errors are those of SET.

    >>> nerva.Magnitude(every=100, unit="step", decay="cosine")
    Magnitude(When(every=100, unit='step', start=0.0, end=1.0, fraction=0.3, decay='cosine'))
    """

    defaults = EVERY_EPOCH

    def __init__(
        self,
        fraction: float = 0.3,
        *,
        init: str | Initializer = "zeros",
        regrow: bool = False,
        **when: Unpack[TimingAndDecay],
    ) -> None:
        super().__init__(self.defaults.override(when, fraction=fraction), smallest, uniformly, init=init, regrow=regrow)


class Threshold(Topology):
    """Drop every |w| <= threshold, grow as many at random: the "Threshold" pruning of the original Nerva.

    A layer with fewer empty positions than weights within the threshold drops only as many, the smallest.

    Parameters
    ----------
    threshold : finite and not negative
    init, regrow : as in SET
    when : every, unit, start and end of nerva.When, which by default are those of `defaults`

    Raises TypeError or ValueError that names the argument that is wrong.

    >>> nerva.Threshold(0.01).when.every, nerva.Threshold(0.01).when.unit
    (1, 'epoch')
    """

    defaults = EVERY_EPOCH

    def __init__(
        self,
        threshold: float,
        *,
        init: str | Initializer = "xavier",
        regrow: bool = False,
        **when: Unpack[Timing],
    ) -> None:
        self.threshold = check_not_negative(threshold, "threshold")
        schedule = self.defaults.override(when, fraction=1.0, decay="constant")
        super().__init__(schedule, smallest, uniformly, init=init, regrow=regrow)

    def counts(self, layers: LayerStates, now: Update) -> list[tuple[int, int]]:
        """Return the number of weights within the threshold, dropped and grown alike."""
        small = [min(int(np.count_nonzero(np.abs(layer.values) <= self.threshold)), layer.empties) for layer in layers]
        return [(n, n) for n in small]


class RigL(Topology):
    """Drop the smallest |w|, grow where |dL/dw| of the dense layer is largest.

    An update takes the place of the optimizer's step on its batch. The gradient is the exact one of the batch, and its
    largest entries are those of the whole layer.

    Parameters
    ----------
    fraction : the part of a layer's weights that the first update moves, within 0 to 1
    init : values of the new weights (see nerva.initializers)
    regrow : whether a position just dropped may be grown again at once, as the paper allows
    accumulate : the number of batches whose gradients are added: that of the update, and those just before
    when : every, unit, start, end and decay of nerva.When, which by default are those of `defaults`

    Raises TypeError or ValueError that names the argument that is wrong.

    U. Evci et al., Rigging the lottery: making all tickets winners, ICML 2020, algorithm 1.

    >>> nerva.RigL()
    RigL(When(every=100, unit='step', start=0.0, end=0.75, fraction=0.3, decay='cosine'))
    >>> X, y = np.random.default_rng(0).random((60, 20)), np.arange(60) % 4
    >>> model = nerva.MLP([20, 16, 4], density=0.3, seed=0)
    >>> history = model.fit(X.astype("float32"), y, epochs=2, batch_size=10, topology=nerva.RigL(every=4))
    >>> [(record.step, record.layer, record.nnz, record.grown) for record in history.topology]
    [(4, 0, 74, 13), (4, 1, 41, 7), (8, 0, 74, 1), (8, 1, 41, 0)]
    """

    def __init__(
        self,
        fraction: float = 0.3,
        *,
        init: str | Initializer = "zeros",
        regrow: bool = False,
        accumulate: int = 1,
        **when: Unpack[TimingAndDecay],
    ) -> None:
        super().__init__(
            self.defaults.override(when, fraction=fraction),
            smallest,
            by_gradient,
            init=init,
            regrow=regrow,
            accumulate=accumulate,
            moment="instead",
        )


class GMP(Topology):
    """Gradual magnitude pruning: drop the smallest |w| until the sparse layers have `density`; nothing grows.

    From any sparse network, or from one whose layers are sparse but full, such as nerva.MLP(sizes, sparse=True).

    Parameters
    ----------
    density : of all sparse layers together at the end, reached along nerva.topology.Cubic(density); or a callable
        (start, progress) -> density
    scope : where it falls, by the smallest |w| of all layers, "global", or by the same part in every "layer"
    when : every, unit, start and end of nerva.When, which by default are those of `defaults`

    Raises TypeError or ValueError that names the argument that is wrong.

    M. Zhu and S. Gupta, To prune, or not to prune: exploring the efficacy of pruning for model compression, 2017.

    >>> X, y = np.random.default_rng(0).random((60, 20)), np.arange(60) % 4
    >>> model = nerva.MLP([20, 16, 4], density=0.4, seed=0)
    >>> history = model.fit(X.astype("float32"), y, epochs=2, batch_size=10, topology=nerva.GMP(0.1, every=2))
    >>> [sum(record.nnz for record in history.topology if record.step == step) for step in (2, 4, 6, 8)]
    [154, 73, 43, 38]
    """

    def __init__(self, density: float | DensitySchedule, *, scope: Scope = "global", **when: Unpack[Timing]) -> None:
        schedule = self.defaults.override(when, fraction=0.0, decay="constant")
        super().__init__(schedule, smallest, uniformly, density=_density_schedule(density), scope=scope)


class GraNet(Topology):
    """Gradual pruning with neuroregeneration: each update prunes as GMP, then moves a fraction as RigL.

    Parameters
    ----------
    density, scope : as in GMP
    fraction, regrow, accumulate : as in RigL
    when : every, unit, start, end and decay of nerva.When, which by default are those of `defaults`

    Raises TypeError or ValueError that names the argument that is wrong.

    S. Liu et al., Sparse training via boosting pruning plasticity with neuroregeneration, NeurIPS 2021.

    >>> nerva.GraNet(0.05, every=500)
    GraNet(When(every=500, unit='step', start=0.0, end=0.75, fraction=0.5, decay='cosine'))
    """

    def __init__(
        self,
        density: float | DensitySchedule,
        fraction: float = 0.5,
        *,
        scope: Scope = "global",
        regrow: bool = False,
        accumulate: int = 1,
        **when: Unpack[TimingAndDecay],
    ) -> None:
        super().__init__(
            self.defaults.override(when, fraction=fraction),
            smallest,
            by_gradient,
            density=_density_schedule(density),
            scope=scope,
            regrow=regrow,
            accumulate=accumulate,
            moment="instead",
        )


def _density_schedule(density: float | DensitySchedule) -> DensitySchedule:
    return density if callable(density) else Cubic(check_fraction(density, "density"))
