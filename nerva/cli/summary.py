"""The command `nerva summary`."""

from argparse import Namespace

from nerva.cli.build import load_model, printing
from nerva.cli.choices import LOSSES
from nerva.losses import Loss


def summary(options: Namespace) -> None:
    """Print the layers of the model in a file, its loss and its classes; raise Failure or OSError if that fails."""
    model = load_model(options.file)
    with printing():
        print(model.summary(options.batch_size))
        print(f"loss: {_described(model.loss)}")
        if model.classes is not None:
            print(f"classes: {', '.join(map(_quoted, model.classes))}")


def _described(loss: Loss) -> str:
    """Return a loss by the name and the options of `nerva train`; one that it lacks as Python has it."""
    name = next((name for name, row in LOSSES.rows.items() if getattr(row.make, "func", row.make) is type(loss)), None)
    if name is None:
        return repr(loss)
    plain = type(loss)().config()
    settings = {key: value for key, value in loss.config().items() if key != "classes" and value != plain[key]}
    return ", ".join([name, *(f"{key.replace('_', ' ')} {_listed(value)}" for key, value in settings.items())])


def _listed(value: object) -> str:
    return ",".join(f"{one:g}" for one in value) if isinstance(value, (list, tuple)) else f"{value}"


def _quoted(name: str) -> str:
    """Return a name, in quotes where it has some, or a comma."""
    return '"' + name.replace('"', '""') + '"' if set(name) & {",", '"'} else name
