"""Dynamic sparse training on true storage: weights move while they train, in memory O(weights + a tile).

The files are the taxonomy: when weights move (`when`), which are dropped (`drop`), where others grow (`grow`), how the
density moves (`density`), and the methods that combine these (`methods`). J. H. Lee et al., JaxPruner: a concise
library for sparsity research, 2023.
"""

from nerva.topology.layer_state import LayerState
from nerva.topology.methods import GMP, SET, SNFS, DeepR, GraNet, Magnitude, RigL, Threshold
from nerva.topology.records import TopologyRecord
from nerva.topology.schedules import Cubic, Update, When
from nerva.topology.srigl import SRigL
from nerva.topology.top_kast import TopKAST
from nerva.topology.topology import Topology
from nerva.topology.updater import TopologyUpdater

__all__ = [
    "GMP",
    "SET",
    "SNFS",
    "Cubic",
    "DeepR",
    "GraNet",
    "LayerState",
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
