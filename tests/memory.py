"""How much memory many calls leave behind, and what calls do that have too little.

    python tests/memory.py --fits 1000
    python tests/memory.py --limits 40

Growth is that of the resident memory of this process between the calls after a warm-up and the last ones: the least of
a few looks at each end. With `--limits` a process of its own has so much more memory than it holds, from nothing to
more than is needed (RLIMIT_AS): each call must succeed, or raise MemoryError, after which the network predicts as
before and can be trained. The suite runs a few (tests/test_memory.py).
"""

import argparse
import gc
import json
import multiprocessing
import resource
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import nerva

CONTEXT = multiprocessing.get_context("fork")
LOOKS = 20
MOST = 150e6  # bytes: more than any call takes
rng = np.random.default_rng(0)
X, y = rng.standard_normal((200, 64), dtype=np.float32), rng.integers(0, 5, 200)


def network(width: int = 128) -> nerva.MLP:
    """A sparse network."""
    return nerva.MLP([64, width, width, 5], density=0.1, batch_norm=True, seed=1)


def fit(model: nerva.MLP, **settings: Any) -> None:
    """Train an epoch."""
    model.fit(X, y, epochs=1, batch_size=50, rng=0, verbose=False, **settings)


def saved(folder: Path) -> None:
    """Write a network to a file and read it again."""
    nerva.save(network(), folder / "model.safetensors")
    nerva.load(folder / "model.safetensors").predict(X)


def calls(folder: Path) -> dict[str, Callable[[], object]]:
    """What is called again and again, by name."""
    kept = network()
    how: dict[str, Any] = {"checkpoint": folder / "run", "resume": True}
    return {
        "fit of one network": lambda: fit(kept),
        "a new network, fit": lambda: fit(network()),
        "RigL, Adam": lambda: fit(network(), topology=nerva.RigL(every=2), optimizer=nerva.Adam()),
        "dropout, layer by layer": lambda: fit(nerva.Sequential([*network().layers, nerva.Dropout(0.1)])),
        "checkpoints": lambda: fit(kept, **how),
        "predict, evaluate": lambda: (kept.predict(X), kept.predict(X[:1]), kept.evaluate(X, y)),
        "save, load": lambda: saved(folder),
        "an error": lambda: refused(kept),
    }


def refused(model: nerva.MLP) -> None:
    """Train on labels that are out of range."""
    try:
        fit_labels = np.full(len(X), 9)
        model.fit(X, fit_labels, epochs=1)
    except ValueError:
        return
    raise AssertionError("labels out of range were taken")


def resident() -> int:
    """The resident memory of this process, in bytes."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


def growth(call: Callable[[], object], count: int) -> int:
    """How many bytes more are resident after so many calls than after a tenth of them."""

    def least(calls: int) -> int:
        found = []
        for i in range(calls):
            call()
            if i >= calls - LOOKS:
                gc.collect()
                found.append(resident())
        return min(found)

    before = least(max(LOOKS, count // 10))
    return least(count) - before


def within(room: int, name: str) -> str:
    """What a call does in a process that may take so many bytes more: "done", "MemoryError", or what must not be."""
    ours, its = CONTEXT.Pipe()

    def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            model = network(2000)
            wanted = model.predict(X[:5])
            work: dict[str, Callable[[], object]] = {
                "build": lambda: network(2000),
                "predict": lambda: model.predict(X),
                "fit": lambda: fit(model),
                "RigL": lambda: fit(model, topology=nerva.RigL(every=1)),
                "save": lambda: nerva.save(model, Path(folder) / "m"),
            }
            with open("/proc/self/statm") as statm:
                mapped = int(statm.read().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (mapped + room, resource.RLIM_INFINITY))
            try:
                work[name]()
                found = "done"
            except MemoryError:
                found = "MemoryError"
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            after = model.predict(X[:5])
            if found == "MemoryError" and name in ("build", "predict", "save") and not np.array_equal(after, wanted):
                found = "other predictions"
            fit(model)  # usable
            its.send(found)

    process = CONTEXT.Process(target=run)
    process.start()
    its.close()
    try:
        result = str(ours.recv())
    except EOFError:
        process.join()
        result = f"ended with code {process.exitcode}"
    process.join()
    return result


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fits", type=int, default=0, help="calls of each kind, whose growth is measured")
    parser.add_argument("--limits", type=int, default=0, help="memory limits of each kind of call")
    options = parser.parse_args()
    if options.fits:
        with tempfile.TemporaryDirectory() as folder:
            for name, call in calls(Path(folder)).items():
                print(json.dumps({"calls": name, "growth, kB": growth(call, options.fits) // 1000}), flush=True)
    for name in ("build", "predict", "fit", "RigL", "save") if options.limits else ():
        rooms = np.linspace(0, MOST, options.limits).astype(int)
        found = [within(int(room), name) for room in rooms]
        print(json.dumps({"call": name, **{what: found.count(what) for what in sorted(set(found))}}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
