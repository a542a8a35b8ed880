"""Dynamic sparse training: weights are dropped and grown while the network trains, in memory O(weights + a tile).

The files are the taxonomy: how many weights a layer has (`distributions`), where they are (`supports`, `networks`),
when they move and how the density falls (`schedules`), which are dropped (`drop`), where others grow (`grow`,
`link_prediction`), and the methods that combine these (`topology`, `methods`, `cht`, `deepr`, `snfs`, `srigl`,
`top_kast`). `updater` runs a method in a training loop.

The taxonomy is that of J. H. Lee et al., JaxPruner: a concise library for sparsity research, 2023.
"""

from nerva.topology.cht import CHT, CHTs
from nerva.topology.deepr import DeepR
from nerva.topology.layer_state import LayerState
from nerva.topology.link_prediction import LinkPrediction
from nerva.topology.methods import GMP, SET, GraNet, Magnitude, RigL, Threshold
from nerva.topology.records import TopologyRecord
from nerva.topology.schedules import Cubic, Update, When
from nerva.topology.snfs import SNFS
from nerva.topology.srigl import SRigL
from nerva.topology.top_kast import TopKAST
from nerva.topology.topology import Topology
from nerva.topology.updater import TopologyUpdater

__all__ = [
    "CHT",
    "GMP",
    "SET",
    "SNFS",
    "CHTs",
    "Cubic",
    "DeepR",
    "GraNet",
    "LayerState",
    "LinkPrediction",
    "Magnitude",
    "RigL",
    "SRigL",
    "Threshold",
    "TopKAST",
    "Topology",
    "TopologyRecord",
    "TopologyUpdater",
    "Update",
    "When",
]
