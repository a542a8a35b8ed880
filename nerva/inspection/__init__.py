"""Inspect a network: check its gradients by differences, plot its dynamic sparse training and its patterns."""
