"""Training: samples, mini-batches, steps, epochs, evaluation and the training history.

`fit` checks what a user passes and makes a `Run` of it, which takes the steps.
"""
