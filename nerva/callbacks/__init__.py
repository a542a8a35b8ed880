"""Callbacks of `fit`: what runs at the moments of a training run (see nerva.training.history.Callback)."""

from nerva.callbacks.best_checkpoint import BestCheckpoint
from nerva.callbacks.csv_logger import CSVLogger
from nerva.callbacks.early_stopping import EarlyStopping
from nerva.callbacks.interruption import DeferredInterrupt
from nerva.callbacks.json_lines import Metrics
from nerva.callbacks.live_plot import LivePlot
from nerva.callbacks.monitors import LearningRateMonitor, TopologyMonitor
from nerva.callbacks.tensorboard import TensorBoard

__all__ = [
    "BestCheckpoint",
    "CSVLogger",
    "DeferredInterrupt",
    "EarlyStopping",
    "LearningRateMonitor",
    "LivePlot",
    "Metrics",
    "TensorBoard",
    "TopologyMonitor",
]
