"""Look into a network: its gradients against differences, plots of its training and its patterns."""
