"""The command `nerva summary`."""

from argparse import Namespace

from nerva.cli.build import load_model, printing


def summary(options: Namespace) -> None:
    """Print the layers of the model in a file, its loss and its classes; raise Failure or OSError if that fails."""
    model = load_model(options.file)
    with printing():
        print(model.summary(options.batch_size))
        print(f"loss: {model.loss!r}")
        if model.classes is not None:
            print(f"classes: {', '.join(model.classes)}")
