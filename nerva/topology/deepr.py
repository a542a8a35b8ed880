"""Deep rewiring: weights that cross zero make room for others."""

from typing import Unpack

import numpy as np

from nerva._kernels.memory import Array
from nerva.topology.grow import uniformly
from nerva.topology.layer_state import LayerState, LayerStates
from nerva.topology.schedules import Timing, Update, When
from nerva.topology.supports import Positions
from nerva.topology.topology import Topology
from nerva.validation import check_not_negative


class DeepR(Topology):
    """Deep rewiring: every weight has a fixed sign; one that crosses zero is dropped, and another grows at random.

    After the optimizer's step at learning rate eta, where s is the sign of w and n is standard normal noise,

        w <- w - eta l1 s + sqrt(2 eta temperature) n.

    Then every w with w s < 0 is dropped, and as many are grown, each with a random sign s and the value 1e-12 s.

    Parameters
    ----------
    l1 : weight of the L1 penalty, not negative
    temperature : of the noise, not negative
    regrow : whether a position just dropped may be grown again at once
    when : every, unit, start and end of nerva.When, which by default are those of `defaults`

    Raises TypeError or ValueError that names the argument that is wrong.

    G. Bellec, D. Kappel, W. Maass and R. Legenstein, Deep rewiring: training very sparse deep networks, ICLR 2018,
    algorithm 1, which has plain gradient descent.

    >>> X, y = np.random.default_rng(0).random((60, 20)), np.arange(60) % 4
    >>> model = nerva.MLP([20, 16, 4], density=0.3, seed=0)
    >>> options = {"optimizer": nerva.SGD(), "schedule": 0.1, "topology": nerva.DeepR(l1=1e-2)}
    >>> history = model.fit(X.astype("float32"), y, epochs=2, batch_size=10, **options)
    >>> model.nnz, sum(record.grown for record in history.topology) > 0
    (115, True)
    """

    defaults = When(every=1, end=1.0)

    def __init__(
        self, l1: float = 1e-4, temperature: float = 0.0, *, regrow: bool = False, **when: Unpack[Timing]
    ) -> None:
        self.l1 = check_not_negative(l1, "l1")
        self.temperature = check_not_negative(temperature, "temperature")
        schedule = self.defaults.override(when, fraction=1.0, decay="constant")
        super().__init__(schedule, _crossed, uniformly, regrow=regrow, moment="after")

    def start(self, layers: LayerStates) -> None:
        """Give every weight the sign it has, a random one where it is 0."""
        for layer in layers:
            layer.per_weight["sign"] = np.sign(layer.values)
            _draw_signs(layer)

    def update(self, layers: LayerStates, now: Update, rate: float) -> list[tuple[int, int]]:
        """Apply the penalty and the noise, and rewire what crossed zero."""
        for layer in layers:
            values = layer.values
            values -= values.dtype.type(rate * self.l1) * layer.per_weight["sign"]
            if self.temperature:
                noise = layer.rng.standard_normal(len(values), values.dtype.type)
                values += values.dtype.type((2 * rate * self.temperature) ** 0.5) * noise
        return super().update(layers, now, rate)

    def counts(self, layers: LayerStates, now: Update) -> list[tuple[int, int]]:
        """Return the number of weights that crossed zero, dropped and grown alike."""
        crossed = [int(np.count_nonzero(layer.values * layer.per_weight["sign"] < 0)) for layer in layers]
        return [(min(n, layer.empties),) * 2 for n, layer in zip(crossed, layers, strict=True)]

    def move(self, layer: LayerState, dropped: int, grown: int) -> tuple[int, int]:
        """Rewire, and give the new weights their signs."""
        moved = super().move(layer, dropped, grown)
        new = _draw_signs(layer)
        layer.values[new] = layer.per_weight["sign"][new] * layer.values.dtype.type(1e-12)
        return moved


def _crossed(layer: LayerState, count: int) -> Positions:
    """Drop the first `count` weights that crossed zero."""
    return np.flatnonzero(layer.values * layer.per_weight["sign"] < 0)[:count]


def _draw_signs(layer: LayerState) -> Array:
    """Draw a sign for every weight without one, and return the indices of these."""
    sign = layer.per_weight["sign"]
    missing = np.flatnonzero(sign == 0)
    sign[missing] = 2 * layer.rng.integers(2, size=len(missing)) - 1
    return missing
