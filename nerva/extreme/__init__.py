"""Extreme classification: networks with so many labels that neither logits nor dense weights fit in memory."""

from nerva.extreme.classifier import ExtremeClassifier
from nerva.extreme.labels import propensities
from nerva.extreme.scores import precision_at_k

__all__ = ["ExtremeClassifier", "precision_at_k", "propensities"]
