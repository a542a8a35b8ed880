"""Dynamic sparse training on true storage: weights move while they train, in memory O(weights + a tile).

The files are the taxonomy: when weights move (`when`), which are dropped (`drop`), where others grow (`grow`), how the
density moves (`density`), and the methods that combine these (`methods`). J. H. Lee et al., JaxPruner: a concise
library for sparsity research, 2023.
"""

from nerva.topology.constant_fan_in import SRigL
from nerva.topology.density import Cubic
from nerva.topology.methods import GMP, SET, SNFS, DeepR, GraNet, Magnitude, RigL, Threshold
from nerva.topology.moves import Moves, Topology
from nerva.topology.records import TopologyRecord
from nerva.topology.sites import Site
from nerva.topology.top_kast import TopKAST
from nerva.topology.when import Update, When

__all__ = [
    "GMP",
    "SET",
    "SNFS",
    "Cubic",
    "DeepR",
    "GraNet",
    "Magnitude",
    "Moves",
    "RigL",
    "SRigL",
    "Site",
    "Threshold",
    "TopKAST",
    "Topology",
    "TopologyRecord",
    "Update",
    "When",
]
