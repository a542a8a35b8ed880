"""Many labels beside peers: dense PyTorch with the same loss, and Omikuji, label trees (`pip install omikuji torch`).

    python bench/studies/extreme_peers.py dense --labels 670000      # samples a second and memory, each a process
    python bench/studies/extreme_peers.py omikuji --labels 10000     # P@1 after how many seconds of training

Generated data (nerva.datasets.generated_extreme). `dense` has the hidden layer of bench/studies/extreme.py, sparse in
nerva and torch.nn.EmbeddingBag, which reads sparse samples, in PyTorch; and all labels for each of its neurons there.
PyTorch's matrix of logits is whole; both step with momentum. `omikuji` trains its default model, three trees, on
the same samples.
"""

import argparse
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

if not __package__:  # run as a script, which finds the modules of its own folder only
    sys.path.insert(0, str(Path(__file__).parents[1]))

import nerva
from harness.tables import markdown
from nerva.experiments.workers import Worker
from nerva.extreme import ExtremeClassifier, precision_at_k

FEATURES, WIDTH, FAN_IN, RATE, MOMENTUM = 135_909, 1024, 32, 0.01, 0.9


def memory() -> float:
    """Return the peak of this process, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def hidden(features: int, width: int, density: float) -> nerva.Sequential:
    """Return the layers below the labels."""
    return nerva.Sequential([nerva.SparseLinear(features, width, density=density, activation="relu", rng=0)], rng=0)


class Contestant:
    """Trains on generated samples in a process of its own."""

    def nerva(self, options: dict[str, Any]) -> dict[str, float]:
        """Take an epoch with sparse weights."""
        nerva.set_num_threads(options["threads"])
        X, Y = nerva.datasets.generated_extreme(options["samples"], FEATURES, options["labels"])
        model = ExtremeClassifier(
            hidden(FEATURES, WIDTH, 0.05), options["labels"], fan_in=FAN_IN, loss=options["loss"], rng=0
        )
        settings: dict[str, Any] = {"batch_size": options["batch"], "schedule": RATE, "verbose": False}
        seconds = model.fit(X, Y, epochs=1, **settings)["seconds"][0]
        return {"weights": model.nnz, "rate": X.shape[0] / seconds, "memory": memory()}

    def pytorch(self, options: dict[str, Any]) -> dict[str, float]:
        """Take an epoch with dense weights; logits of a batch are a matrix."""
        import torch

        torch.set_num_threads(options["threads"])
        X, Y = nerva.datasets.generated_extreme(options["samples"], FEATURES, options["labels"])
        below = torch.nn.EmbeddingBag(FEATURES, WIDTH, mode="sum", sparse=False)
        above = torch.nn.Linear(WIDTH, options["labels"])
        optimizer = torch.optim.SGD([*below.parameters(), *above.parameters()], lr=RATE, momentum=MOMENTUM)
        seconds, taken = 0.0, 0
        for first in range(0, options["samples"], options["batch"]):
            x, y = X[first : first + options["batch"]], Y[first : first + options["batch"]].tocoo()
            started = time.perf_counter()
            optimizer.zero_grad()
            offsets = torch.from_numpy(x.indptr[:-1].astype(np.int64))
            bags = below(
                torch.from_numpy(x.indices.astype(np.int64)), offsets, per_sample_weights=torch.from_numpy(x.data)
            )
            logits = above(torch.relu(bags))
            own = logits[torch.from_numpy(y.row.astype(np.int64)), torch.from_numpy(y.col.astype(np.int64))]
            if options["loss"] == "squared-hinge":  # labels are few: the loss as if none applied, and what they change
                all_of = torch.relu(1 + logits).square().sum()
                loss = all_of + (torch.relu(1 - own).square() - torch.relu(1 + own).square()).sum()
            else:
                loss = torch.nn.functional.softplus(logits).sum() - own.sum()
            (loss / x.shape[0]).backward()
            optimizer.step()
            if first:  # the first step takes the memory
                seconds, taken = seconds + time.perf_counter() - started, taken + x.shape[0]
        weights = sum(parameter.numel() for parameter in (*below.parameters(), above.weight))
        return {"weights": weights, "rate": taken / seconds, "memory": memory()}


def dense(options: argparse.Namespace) -> None:
    """Print samples a second of nerva and PyTorch, in turns."""
    rows = []
    for _ in range(options.rounds):
        for name in ("nerva", "pytorch"):
            worker = Worker()
            worker.make(Contestant)
            settings = {**vars(options), "samples": options.samples if name == "nerva" else options.dense_samples}
            found = worker.call(name, settings)
            worker.close()
            rows.append([name, f"{found['weights']:,}", f"{found['rate']:.1f}", f"{found['memory']:.2f}"])
            print(markdown(["", "weights", "samples/s", "peak memory, GiB"], rows[-1:]), flush=True)
    print(markdown(["", "weights", "samples/s", "peak memory, GiB"], sorted(rows)))


@contextmanager
def quiet() -> Iterator[None]:
    """Let nothing be told on stderr: Omikuji's progress has no switch."""
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def omikuji(options: argparse.Namespace) -> None:
    """Print P@k of nerva after each epoch and of Omikuji, and the seconds of training until then."""
    import omikuji as trees

    nerva.set_num_threads(options.threads)
    features = options.features
    X, Y = nerva.datasets.generated_extreme(options.samples, features, options.labels)
    test, truth = nerva.datasets.generated_extreme(2000, features, options.labels, draw=99)
    header, rows = ["", "seconds", "P@1", "P@3", "P@5", "peak memory, GiB"], []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.txt"
        nerva.datasets.write_extreme(path, X, Y)
        settings = trees.Model.default_hyper_param()
        started = time.perf_counter()
        with quiet():
            model = trees.Model.train_on_data(str(path), settings, n_threads=options.threads)
        seconds = time.perf_counter() - started
        samples = (test[i : i + 1] for i in range(test.shape[0]))
        pairs = [list(zip(row.indices.tolist(), row.data.tolist(), strict=True)) for row in samples]
        top = [[label for label, _ in model.predict(own, top_k=5)] for own in pairs]
        top = np.array([(own + [0] * 5)[:5] for own in top])
        scores = [f"{precision_at_k(truth, top, k):.3f}" for k in (1, 3, 5)]
        rows.append(["Omikuji, three trees", f"{seconds:.1f}", *scores, f"{memory():.2f}"])
        print(markdown(header, rows), flush=True)
        del model
    model = ExtremeClassifier(
        hidden(features, options.width, 0.1), options.labels, fan_in=options.fan_in, loss=options.loss, rng=0
    )
    seconds = 0.0
    for epoch in range(1, options.epochs + 1):
        seconds += model.fit(
            X, Y, epochs=1, batch_size=options.batch, optimizer=nerva.Adam(), schedule=0.003, verbose=False, rng=epoch
        )["seconds"][0]
        found, _ = model.predict_top(test, 5)
        scores = [f"{precision_at_k(truth, found, k):.3f}" for k in (1, 3, 5)]
        rows.append([f"nerva, {epoch} epochs", f"{seconds:.1f}", *scores, f"{memory():.2f}"])
        print(markdown(header, rows[-1:]), flush=True)
    print(markdown(header, rows))


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("peer", choices=["dense", "omikuji"])
    parser.add_argument("--labels", type=int, default=670_000)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--dense-samples", type=int, default=300, help="of PyTorch, which takes longer")
    parser.add_argument("--features", type=int, default=20_000, help="beside Omikuji")
    parser.add_argument("--width", type=int, default=512, help="beside Omikuji")
    parser.add_argument("--fan-in", type=int, default=64, help="beside Omikuji")
    parser.add_argument("--epochs", type=int, default=5, help="beside Omikuji")
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--loss", default="squared-hinge", choices=["squared-hinge", "binary-cross-entropy"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    (dense if options.peer == "dense" else omikuji)(options)


if __name__ == "__main__":
    main()
