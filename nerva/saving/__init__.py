"""Weights in files: nerva's own layout, and the original's."""
