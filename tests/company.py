"""How nerva gets on with other threads and processes: what hangs, who waits for whom, how many threads there are.

    python tests/company.py

Each case runs in a process of its own, which must end within two minutes, and prints what it measured. Ratios are of
medians of rounds in turns, alone and in company. docs/reliability.md has the results.
"""

import argparse
import json
import multiprocessing
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

import nerva

LONGEST = 120  # seconds of a case
ROUNDS = 7
rng = np.random.default_rng(0)
X, y = rng.standard_normal((4000, 784)).astype(np.float32), rng.integers(0, 10, 4000)
BUSY = "while True: pass"


def network() -> nerva.MLP:
    """A network whose epoch takes some tenths of a second."""
    return nerva.MLP([784, 1024, 512, 10], density=0.1, seed=1)


def fit(model: nerva.Sequential | None = None, epochs: int = 1) -> nerva.Sequential:
    """Train."""
    model = network() if model is None else model
    model.fit(X, y, epochs=epochs, rng=0, verbose=False)
    return model


def seconds(call: Callable[[], object]) -> float:
    """Return how long a call takes."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def threads() -> int:
    """Return how many threads this process has."""
    return len(os.listdir("/proc/self/task"))


def outputs() -> np.ndarray:
    """Return what a trained network says."""
    return fit().predict_proba(X[:100])


def gil() -> dict[str, Any]:
    """Count in Python beside `fit` on one thread: the count would stand still while the GIL is held."""
    nerva.set_num_threads(1)
    model, ended, counts = network(), threading.Event(), [0]

    def count() -> None:
        while not ended.is_set():
            counts[0] += 1

    fit(model)
    counter = threading.Thread(target=count)
    counter.start()
    alone, beside = [], []
    for _ in range(ROUNDS):
        for rates, call in ((alone, lambda: time.sleep(0.3)), (beside, lambda: fit(model))):
            before, took = counts[0], seconds(call)
            rates.append((counts[0] - before) / took)
    ended.set()
    counter.join()
    return {"a loop in Python beside fit, of its speed alone": _ratio(beside, alone)}


def one_model() -> dict[str, Any]:
    """Let four threads predict by one model."""
    model = fit()
    wanted = model.predict_proba(X)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: model.predict_proba(X), range(40)))
    return {"40 predictions by four threads have the same bits": all(np.array_equal(a, wanted) for a in found)}


def fork() -> dict[str, Any]:
    """Fork after training; train in the child and in the parent."""
    wanted = outputs()
    return {"trained after fork, the same bits": _in_child("fork", wanted)}


def spawn() -> dict[str, Any]:
    """Train in a child that was spawned."""
    return {"trained after spawn, the same bits": _in_child("spawn", outputs())}


def _in_child(method: str, wanted: np.ndarray) -> bool:
    context = multiprocessing.get_context(method)
    reader, writer = context.Pipe(duplex=False)
    child = context.Process(target=_send, args=(writer,))
    child.start()
    writer.close()  # so that a child that ends without a word is an EOFError here
    found = reader.recv()
    child.join()
    return bool(np.array_equal(found, wanted) and np.array_equal(outputs(), wanted))


def _send(writer: Any) -> None:
    writer.send(outputs())


def _threads_of_worker(_: int) -> tuple[int, int]:
    fit()
    return nerva.get_num_threads(), os.getpid()


def nested() -> dict[str, Any]:
    """Fit in workers of joblib, one for each core."""
    import joblib

    cores = len(os.sched_getaffinity(0))
    found = joblib.Parallel(n_jobs=cores)(joblib.delayed(_threads_of_worker)(i) for i in range(2 * cores))
    workers = {pid: count for count, pid in found}
    return {"cores": cores, "joblib's workers": len(workers), "threads of nerva in all of them": sum(workers.values())}


def pytorch() -> dict[str, Any]:
    """Fit while PyTorch is in the process, with its own threads."""
    import torch

    A = torch.rand(1000, 1000)
    (A @ A).sum()
    wanted, model = outputs(), network()
    fit(model)
    alone, beside = [], []
    for _ in range(ROUNDS):
        alone.append(seconds(lambda: fit(model)))

        def after_a_product() -> float:
            (A @ A).sum()
            return seconds(lambda: fit(model))

        beside.append(after_a_product())
    return {
        "fit after products of PyTorch, of its time before": _ratio(beside, alone),
        "same bits": bool(np.array_equal(outputs(), wanted)),
        "threads of the process": threads(),
    }


def busy() -> dict[str, Any]:
    """Fit on all cores, and on all but one, beside a process that keeps one of them busy."""
    cores, found = len(os.sched_getaffinity(0)), {}
    for count in sorted({cores, max(cores - 1, 1)}, reverse=True):
        nerva.set_num_threads(count)
        model, alone, beside = network(), [], []
        fit(model)
        for _ in range(ROUNDS):
            alone.append(seconds(lambda model=model: fit(model)))
            other = subprocess.Popen([sys.executable, "-c", BUSY])
            beside.append(seconds(lambda model=model: fit(model)))
            other.kill()
            other.wait()
        found[f"fit beside a busy process, of its time alone, threads: {count}"] = _ratio(beside, alone)
    return {**found, "cores": cores}


def _ratio(above: list[float], below: list[float]) -> float:
    return round(statistics.median(above) / statistics.median(below), 2)


CASES: dict[str, Callable[[], dict[str, Any]]] = {
    "gil": gil,
    "one_model": one_model,
    "fork": fork,
    "spawn": spawn,
    "nested": nested,
    "pytorch": pytorch,
    "busy": busy,
}


def main() -> int:
    """Run the command line, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", choices=CASES, action="append", help="all")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        print(json.dumps(CASES[options.case[0]]()))
        return 0
    failed = 0
    for name in options.case or CASES:
        command = [sys.executable, "-P", str(Path(__file__).resolve()), "--here", "--case", name]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        try:
            output, _ = process.communicate(timeout=LONGEST)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # its children, too, which have its output
            process.communicate()
            print(json.dumps({"case": name, "hung": True}), flush=True)
            failed += 1
            continue
        failed += process.returncode != 0
        found = json.loads(output.splitlines()[-1]) if process.returncode == 0 else {"exit code": process.returncode}
        print(json.dumps({"case": name, **found}), flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
