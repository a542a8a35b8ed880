"""Many training runs: sweeps over options of `nerva train`, by the processors of this machine or by a cluster's; and
the experiments of the paper (`nerva.experiments.paper`).
"""

from nerva.experiments.calling import sweep
from nerva.experiments.engines import Finished, run_all
from nerva.experiments.runs import Run, execute
from nerva.experiments.stop import Stop
from nerva.experiments.tables import load_table

__all__ = ["Finished", "Run", "Stop", "execute", "load_table", "run_all", "sweep"]
