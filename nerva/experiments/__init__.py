"""Many training runs, each in a folder of its own: sweeps, searches, and the experiments of the paper."""
