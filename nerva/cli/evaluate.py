"""The command `nerva evaluate`."""

from argparse import Namespace

import numpy as np

from nerva._kernels import mkl
from nerva.cli.build import Failure, load_data, load_model, printing
from nerva.cli.explain import explain
from nerva.cli.scores import scores, task_of_model
from nerva.cli.tables import is_table, names_of


def evaluate(options: Namespace) -> None:
    """Print what a model is worth on the test samples of data; raise Failure or OSError if that fails."""
    if options.threads is not None:
        mkl.set_num_threads(options.threads)
    model = load_model(options.file)
    task = task_of_model(model)
    data = load_data(options, task)
    X, y = data.test
    if is_table(options.data or "") and (names := names_of(data)) is not None:
        y = np.asarray(names)[y]  # the network may number them otherwise, or know none
    try:
        loss, accuracy = model.evaluate(X, y, batch_size=options.batch_size)
        more = scores(model, X, y, task, options.batch_size)
    except (ValueError, TypeError) as error:
        name = f"--data {options.data or 'shapes'}: "
        raise Failure(name + explain(error, options).removeprefix(name), 2) from error
    told = f"{data.name}: {len(y):,} samples to test on"
    lines = [("data", told), ("loss", f"{loss:.6g}, {type(model.loss).__name__}")]
    lines += [("accuracy", f"{accuracy:.2%}")] if accuracy is not None else []
    lines += more
    width = max(10, *(len(name) + 2 for name, _ in lines))
    with printing():
        for name, text in lines:
            print(f"{name:{width}}{text}")
