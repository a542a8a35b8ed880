"""The command `nerva evaluate`."""

from argparse import Namespace

from nerva._kernels import mkl
from nerva.cli.build import Failure, load_data, load_model, printing


def evaluate(options: Namespace) -> None:
    """Print loss and accuracy of a model on the test samples of data; raise Failure or OSError if that fails."""
    if options.threads is not None:
        mkl.set_num_threads(options.threads)
    model, data = load_model(options.file), load_data(options)
    try:
        loss, accuracy = model.evaluate(*data.test, batch_size=options.batch_size)
    except (ValueError, TypeError) as error:
        raise Failure(f"--data {options.data or 'shapes'}: {error}", 2) from error
    with printing():
        print(f"data      {data.name}: {len(data.test.y):,} samples to test on")
        print(f"loss      {loss:.6g}, {type(model.loss).__name__}")
        if accuracy is not None:
            print(f"accuracy  {accuracy:.2%}")
