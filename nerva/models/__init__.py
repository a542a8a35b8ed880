"""Networks: layers in a row, perceptrons, pruning before training, compaction."""
