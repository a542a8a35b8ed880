"""Callbacks of `fit`: what runs after every batch or epoch (see nerva.training.history.Callback)."""

from nerva.callbacks.interruption import DeferredInterrupt
from nerva.callbacks.json_lines import Metrics

__all__ = ["DeferredInterrupt", "Metrics"]
