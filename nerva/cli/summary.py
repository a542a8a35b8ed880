"""The command `nerva summary`."""

from argparse import Namespace

from nerva.cli.build import Failure, load_model


def summary(options: Namespace) -> None:
    """Print the layers of the model in a file, its loss and its classes; raise Failure or OSError if that fails."""
    model = load_model(options.file)
    try:
        print(model.summary(options.batch_size))
        print(f"loss: {model.loss!r}")
        if model.classes is not None:
            print(f"classes: {', '.join(model.classes)}")
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Failure(f"cannot write to standard output: {error.strerror}") from error
