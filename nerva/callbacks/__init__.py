"""Callbacks of `fit`: what runs at the moments of a training run (see nerva.training.history.Callback)."""

from nerva.callbacks.best_checkpoint import BestCheckpoint
from nerva.callbacks.early_stopping import EarlyStopping
from nerva.callbacks.interruption import DeferredInterrupt
from nerva.callbacks.json_lines import Metrics

__all__ = ["BestCheckpoint", "DeferredInterrupt", "EarlyStopping", "Metrics"]
