"""Growth by link prediction: where the weights there are make another one likely, without any gradient.

The scores of a layer are never in memory: those of some rows are computed, scanned and overwritten.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from nerva._kernels.communities import community_scores
from nerva._kernels.csr import CSR
from nerva._kernels.memory import Array
from nerva.topology.grow import filled
from nerva.topology.layer_state import LayerState
from nerva.topology.supports import Positions
from nerva.topology.top_gradients import TopK
from nerva.validation import check_choice

Rule = Literal["CH3-L3p", "CH3-L3n", "CH2-L3p", "CH2-L3n"]

BLOCK = 1 << 18  # scores at a time


@dataclass(frozen=True)
class LinkPrediction:
    """Grow where the Cannistraci-Hebb rule scores highest, or, `soft`, at positions drawn in proportion to the scores.

    A layer is a bipartite network, of which a weight links an output with an input. A path of three links from output u
    to input v without a link between them passes an input x of u and an output y of v, which are linked. All such x and
    y are the local community of (u, v). Such a node has i links to nodes of the community, and e links that lead
    neither there nor to u or v. The score of (u, v) is

        CH3-L3p   the sum over the paths of 1 / sqrt((1 + e_x) (1 + e_y))
        CH2-L3p   the sum over the paths of sqrt((1 + i_x) (1 + i_y) / ((1 + e_x) (1 + e_y)))
        CH3-L3n   the sum over the nodes of the community of 1 / (1 + e)
        CH2-L3n   the sum over the nodes of the community of (1 + i) / (1 + e)

    Where fewer positions than are to grow have a score above 0, the rest is drawn uniformly. Time is O(number of paths
    + K D), memory O(weights + rows of 2^18 positions together).

    Parameters
    ----------
    rule : one of these
    soft : False for the highest scores, of equal ones at the lowest positions; True for drawing without replacement,
        each time with probabilities in proportion to the scores of those left

    Raises ValueError for another rule, and where a layer has fewer empty positions than are to grow.

    A. Muscoloni, U. Michieli, Y. Zhang and C. V. Cannistraci, Adaptive network automata modelling of complex networks,
    2022; Y. Zhang et al., Brain network science modelling of sparse neural networks enables Transformers and LLMs to
    perform as fully connected, NeurIPS 2025, which has the sums over nodes.

    >>> from nerva.topology import LayerState
    >>> from nerva.topology.link_prediction import LinkPrediction
    >>> layer = nerva.SparseLinear(3, 3, support=[[1, 1, 0], [1, 1, 0], [0, 1, 1]], rng=0)
    >>> state = LayerState(0, layer, np.random.default_rng(0))
    >>> LinkPrediction()(state, 1)  # position (2, 0), by two paths: over input 1, then output 0 or 1
    array([6])
    """

    rule: Rule = "CH3-L3p"
    soft: bool = False

    def __post_init__(self) -> None:
        check_choice(self.rule, "rule", get_args(Rule))

    def __call__(self, layer: LayerState, count: int) -> Positions:
        """Return the flat positions to grow at, ascending."""
        if count > layer.empties:
            raise ValueError(f"count is {count}; there are {layer.empties} empty positions")
        return filled(layer, self._chosen(layer, count) if count else np.empty(0, np.int64), count)

    def _chosen(self, layer: LayerState, count: int) -> Positions:
        """Return the positions chosen by their scores, ascending: fewer than `count` where fewer are above 0."""
        top, D = TopK(count, 0.0), layer.weight.columns
        for first, scores in score_blocks(layer.weight, self.rule):
            keys = scores.reshape(-1)
            if self.soft:
                # The largest of s / E, where E is exponential, are a draw without replacement, one after the other.
                some = np.flatnonzero(keys)
                keys = keys[some] / np.maximum(layer.rng.standard_exponential(len(some)), 1e-300)
                kept = np.flatnonzero(keys > top.threshold)
                top.offer(keys[kept], first * D + some[kept])
            else:
                kept = np.flatnonzero(keys > top.threshold)  # one equal to it is at a higher position
                top.offer(keys[kept], first * D + kept)
        return top.result()


def score_blocks(W: CSR, rule: Rule = "CH3-L3p", size: int = BLOCK) -> Iterator[tuple[int, Array]]:
    """Yield the first row and the scores, float64 (rows, D), of some rows after the other, 0 where W has a weight.

    `size` is the number of scores at a time. The array is overwritten by the next. The scores are those of
    LinkPrediction, and the same bits for any size and number of threads.

    >>> from nerva.topology.link_prediction import score_blocks
    >>> W = nerva.CSR((3, 3), [0, 2, 4, 6], [0, 1, 0, 1, 1, 2], np.ones(6))
    >>> for first, scores in score_blocks(W, "CH2-L3n", size=6):
    ...     print(first, scores.round(3).tolist())
    0 [[0.0, 0.0, 3.0], [0.0, 0.0, 3.0]]
    2 [[7.0, 0.0, 0.0]]
    """
    K, D = W.shape
    # A node of d links, c of them into the community, has one to u or v besides: 1 + e = d - c.
    numbers = np.arange(max(K, D) + 1.0)
    inner = np.where(numbers > 0, 1.0 + numbers if rule.startswith("CH2") else 1.0, 0.0)
    outer = np.divide(1.0, numbers, out=np.zeros(len(numbers)), where=numbers > 0)
    if by_paths := rule.endswith("p"):
        inner, outer = np.sqrt(inner), np.sqrt(outer)
    rows = max(1, min(K, size // D))
    scores = np.empty((rows, D))
    for first in range(0, K, rows):
        out = scores[: min(rows, K - first)]
        community_scores(W, first, first + len(out), by_paths=by_paths, inner=inner, outer=outer, out=out)
        yield first, out
