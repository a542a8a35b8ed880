"""The loop: samples, mini-batches, steps, epochs, evaluation, and the records of a training."""
