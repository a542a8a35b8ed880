"""Callbacks of `fit`: what is done after every batch or epoch."""

from nerva.callbacks.interruption import Patience
from nerva.callbacks.json_lines import Metrics

__all__ = ["Metrics", "Patience"]
