"""The command `nerva evaluate`."""

from argparse import Namespace

from nerva._kernels import mkl
from nerva.cli.build import Failure, load_data, load_model, printing
from nerva.cli.explain import explain
from nerva.cli.scores import scores, task_of_model
from nerva.cli.tables import is_table, labels_for


def evaluate(options: Namespace) -> None:
    """Print what a model is worth on the test samples of data; raise Failure or OSError if that fails."""
    if options.threads is not None:
        mkl.set_num_threads(options.threads)
    model = load_model(options.file)
    task = task_of_model(model)
    data = load_data(options, task)
    X, y = data.test
    rows = f"{len(y):,} samples to test on"
    last = ""
    if is_table(options.data or ""):
        y = labels_for(model.classes, data)  # the network may number them otherwise, or know none
        count = len(data.train.y) + len(y)
        rows = f"{count:,} rows" if count == len(y) else f"{len(y):,} of {count:,} rows (--test-fraction 1 for all)"
        last = "; the last column is taken as the target, --target names another" if options.target is None else ""
    try:
        loss, accuracy = model.evaluate(X, y, batch_size=options.batch_size)
        more = scores(model, X, y, task, options.batch_size)
    except (ValueError, TypeError) as error:
        name = f"--data {options.data or 'shapes'}: "
        raise Failure(name + explain(error, options).removeprefix(name) + last, 2) from error
    lines = [("data", f"{data.name}: {rows}"), ("loss", f"{loss:.6g}, {type(model.loss).__name__}")]
    lines += [("accuracy", f"{accuracy:.2%}")] if accuracy is not None else []
    lines += more
    width = max(10, *(len(name) + 2 for name, _ in lines))
    with printing():
        for name, text in lines:
            print(f"{name:{width}}{text}")
