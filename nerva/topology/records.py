"""What an update of the topology did to a layer."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nerva._kernels.csr import CSR

Spread = tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class TopologyRecord:
    """One update of one layer.

    Attributes
    ----------
    step : batches done before it
    layer : the number of the layer in its network
    dropped, grown : numbers of weights
    nnz, density : of the layer after the update
    churn : grown / nnz, the part of the weights that is new
    exploration : the part of the K D positions that have had a weight so far (R_s of S. Liu et al., Do we actually need
        dense over-parameterization? In-time over-parameterization in sparse training, ICML 2021)
    fan_in, fan_out : minimum, quartiles and maximum of the number of weights of an output (row) and of an input
        (column)
    silent_outputs, unused_inputs : numbers of rows and columns without a weight
    """

    step: int
    layer: int
    dropped: int
    grown: int
    nnz: int
    density: float
    churn: float
    exploration: float
    fan_in: Spread
    fan_out: Spread
    silent_outputs: int
    unused_inputs: int


def record(step: int, layer: int, W: CSR, dropped: int, grown: int, explored: int) -> TopologyRecord:
    """Return the record of an update that left W; `explored` positions of the layer have had a weight so far."""
    K, D = W.shape
    rows, columns = np.diff(W.indptr), np.bincount(W.indices, minlength=D)
    return TopologyRecord(
        step=step,
        layer=layer,
        dropped=dropped,
        grown=grown,
        nnz=int(W.nnz),
        density=float(W.density),
        churn=grown / max(int(W.nnz), 1),
        exploration=explored / (K * D),
        fan_in=_spread(rows),
        fan_out=_spread(columns),
        silent_outputs=int(np.count_nonzero(rows == 0)),
        unused_inputs=int(np.count_nonzero(columns == 0)),
    )


def _spread(degrees: npt.NDArray[np.integer]) -> Spread:
    """Return the minimum, the quartiles (of two middle ones, the lower) and the maximum."""
    ordered, last = np.sort(degrees), len(degrees) - 1
    a, b, c, d, e = (int(ordered[last * i // 4]) for i in range(5))
    return a, b, c, d, e
