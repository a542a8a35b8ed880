"""What tests start on several ranks: `mpiexec -n 2 python program.py WHAT [FOLDER]`; rank 0 prints JSON."""

import hashlib
import json
import sys

import numpy as np

import nerva
from nerva.callbacks import EarlyStopping
from nerva.distributed import DataParallel

N, FEATURES, CLASSES = 203, 20, 5
rng = np.random.default_rng(0)
X, y = rng.standard_normal((N, FEATURES)), rng.integers(0, CLASSES, N)
NETWORKS = {
    "plain": {},
    "batch norm": {"batch_norm": True},
    "dropout": {"dropout": 0.2, "drop_connect": 0.1},
    "SReLU": {"activation": "srelu"},
}
SETTINGS = {
    "plain": {},
    "adam": {"optimizer": nerva.Adam(clip_norm=0.5)},
    "weights": {"class_weight": "balanced", "sample_weight": rng.uniform(0, 1, N)},
    "RigL": {"topology": nerva.RigL(0.3, every=3)},
    "SET": {"topology": nerva.SET(0.3)},
    "GraNet": {"topology": nerva.GraNet(0.1, every=2)},
    "Top-KAST": {"topology": nerva.TopKAST(0.5)},
    "early": {"callbacks": [EarlyStopping(patience=1, min_delta=10.0)], "epochs": 5},
}
CASES = [("plain", name) for name in SETTINGS] + [(name, "plain") for name in NETWORKS if name != "plain"]
CASES += [("batch norm", "RigL")]


def network(name="plain", seed=1):
    """A network of float64, so that other orders of summation hardly show."""
    return nerva.MLP([FEATURES, 32, 16, CLASSES], density=0.3, dtype="float64", seed=seed, **NETWORKS[name])


def settings(name):
    """Batches of 50: the last of an epoch has three samples, fewer than four ranks."""
    return {"epochs": 2, "batch_size": 50, "validation": (X[:70], y[:70]), "verbose": False, "rng": 3, **SETTINGS[name]}


def digest(model):
    """A hash of all parameters and patterns."""
    arrays = [array for layer in model.layers for _, array in sorted(layer.arrays().items())]
    return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()


def difference(one, other):
    """The largest difference of two networks' parameters; None where their patterns are not the same."""
    pairs = list(zip(one.parameters(), other.parameters(), strict=True))
    patterns = (
        [getattr(layer, "weight", None) for layer in one.layers],
        [getattr(a, "weight", None) for a in other.layers],
    )
    for mine, its in zip(*patterns, strict=True):
        if hasattr(mine, "indices") and not np.array_equal(mine.indices, its.indices):
            return None
    return max(float(np.abs(a.values - b.values).max(initial=0.0)) for a, b in pairs)


def cases():
    """Train each case on all ranks, and on one."""
    found = {}
    for shape, name in CASES:
        parallel = DataParallel(network(shape))
        history = parallel.fit(X, y, **settings(name))
        evaluation = parallel.evaluate(X, y)
        alone = network(shape)
        wanted = alone.fit(X, y, **settings(name))
        found[f"{shape}, {name}"] = {
            "difference": difference(parallel.model, alone),
            "losses": [history["loss"], wanted["loss"]],
            "test": [history["test_loss"], wanted["test_loss"]],
            "accuracy": [history["test_accuracy"], wanted["test_accuracy"]],
            "evaluation": [list(evaluation), list(parallel.model.evaluate(X, y))],
            "digest": digest(parallel.model),
            "digests": parallel._ranks.every(digest(parallel.model)),
            "traffic": parallel.traffic,
            "values": sum(p.values.nbytes for p in parallel.parameters()),
        }
    return found


def long(folder, epochs):
    """Train with checkpoints, to be killed or gone on with."""
    parallel = DataParallel(network("batch norm"))
    parallel.fit(X, y, epochs=epochs, batch_size=50, checkpoint=folder, resume=True, rng=3, verbose=False,
                 topology=nerva.SET(0.3), callbacks=[print_epoch] if parallel.rank == 0 else [])  # fmt: skip
    return {"digest": digest(parallel.model), "parameters": [p.values.tolist() for p in parallel.parameters()]}


def print_epoch(model, record):
    """Tell whoever waits that an epoch is done."""
    print("epoch", record.epoch, flush=True)


def wrong(what):
    """What ranks must refuse, and end by."""
    from mpi4py import MPI

    rank = MPI.COMM_WORLD.Get_rank()
    if what == "seeds":
        DataParallel(network(seed=rank))
    parallel = DataParallel(network())
    if what == "targets":
        parallel.fit(X, np.roll(y, rank), epochs=1)
    elif what == "generators":
        parallel.fit(X, y, epochs=1, rng=rank)
    elif what == "one ends":
        parallel.fit(X, y, epochs=2, rng=0, callbacks=[stop] if rank == 0 else [], verbose=False)
    elif what == "one fails" and rank == 1:
        raise OSError("the disk of rank 1 is full")
    else:
        parallel.fit(X, y, epochs=1, rng=0, verbose=False)


def stop(model, record):
    """End the training, on the ranks that have this callback."""
    raise nerva.StopTraining


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    found = cases() if what == "cases" else long(rest[0], int(rest[1])) if what == "long" else wrong(what)
    from mpi4py import MPI

    if MPI.COMM_WORLD.Get_rank() == 0:
        print(json.dumps(found))
