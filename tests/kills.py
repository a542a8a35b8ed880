"""Kill training runs at random moments, resume them, and compare the bits.

    python tests/kills.py --runs 200

The test suite runs a few (tests/training/test_kills.py).
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import pickle
import signal
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

import nerva
from nerva.training.checkpoints import checkpoint_files, read_checkpoint

# Forked, a run starts within milliseconds; this process itself never trains.
CONTEXT = multiprocessing.get_context("fork")

RUNS = {
    "rigl, adam, dropout, batch norm, augmentation": {
        "layers": {"dropout": 0.2, "drop_connect": 0.1, "batch_norm": True, "activation": "srelu"},
        "optimizer": nerva.Adam,
        "topology": lambda: nerva.RigL(every=4, accumulate=2),
        "augment": nerva.Augment((3, 2, 2), 1),
    },
    "set, plateau, groups, validation": {
        "optimizer": lambda: nerva.Groups([("bias", nerva.SGD())], rest=nerva.AdamW()),
        "schedule": lambda: nerva.ReduceOnPlateau(0.05, factor=0.5, patience=0, threshold=0.2),
        "topology": nerva.SET,
        "validation": lambda: data(40, 3),
    },
    "top-kast, float64": {"layers": {"dtype": np.float64}, "topology": lambda: nerva.TopKAST(every=5)},
    "gmp, cosine, clipping": {
        "optimizer": lambda: nerva.RMSprop(momentum=0.5, clip_norm=0.5),
        "schedule": lambda: nerva.Cosine(0.01, 6),
        "topology": lambda: nerva.GMP(0.1, every=3),
    },
}


class Losses:
    """A callback with a memory."""

    def __init__(self):
        self.seen = []

    def __call__(self, model, record):
        self.seen.append(record.loss)

    def state(self):
        return {"seen": np.array(self.seen)}

    def restore(self, state):
        self.seen = state["seen"].tolist()


def data(n=90, seed=4):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, 12)), rng.integers(4, size=n)


def train(name, result, folder=None, every=None):
    """Train a fresh network, from the last checkpoint where there is one, and write what came of it."""
    settings = {key: value() if callable(value) else value for key, value in RUNS[name].items() if key != "layers"}
    if folder is not None:
        settings |= {"checkpoint": folder, "checkpoint_every": every, "resume": True}
    layers = {"density": 0.4, "seed": 2, "backend": "native", **RUNS[name].get("layers", {})}
    model, losses = nerva.MLP([12, 24, 16, 4], **layers), Losses()
    history = model.fit(*data(), epochs=6, batch_size=20, callbacks=[losses], **settings)
    kept = [(p.name, p.values.tobytes(), [(k, v.tobytes()) for k, v in p.state.items()], p.steps)
            for p in model.parameters()]  # fmt: skip
    records = [{**record, "seconds": 0} for record in history.as_dicts()]
    arrays = {key: array.tobytes() for key, array in model.state_dict().items()}
    moved = [asdict(record) for record in history.topology]
    everything = (kept, arrays, records, moved, losses.seen, model.rng.bit_generator.state)
    temporary = result.with_suffix(".part")
    temporary.write_text(hashlib.sha256(pickle.dumps(everything)).hexdigest())
    temporary.rename(result)


def start(*arguments):
    process = CONTEXT.Process(target=train, args=arguments)
    process.start()
    return process


def kill_and_resume(name, every, rng, seconds, work):
    """Kill a run one to three times, let it end, and return (its result, kills, temporary files they left)."""
    folder, result = work / "run", work / "result"
    kills = left = 0
    for _ in range(int(rng.integers(1, 4))):
        process = start(name, result, folder, every)
        process.join(float(rng.uniform(0, seconds)))
        if process.exitcode is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.join()
        if folder.exists():
            left += any(path.name.startswith(".") for path in folder.iterdir())
            for path in checkpoint_files(folder):
                read_checkpoint(path)  # raises for one that is broken
    process = start(name, result, folder, every)
    process.join()
    assert process.exitcode == 0, f"{name}: the resumed run ended with code {process.exitcode}"
    assert not any(path.name.startswith(".") for path in folder.iterdir()), "temporary files are left"
    return result.read_text(), kills, left


def kill_runs(runs, seed=0, log=lambda text: None):
    """Kill and resume so many runs; return (kills, those within a write). Raises AssertionError for other bits."""
    rng, total, within = np.random.default_rng(seed), 0, 0
    wanted, seconds = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for i in range(runs):
            name, every = list(RUNS)[i % len(RUNS)], (1, 3, None)[i % 3]
            if name not in wanted:
                result = Path(folder) / f"whole-{len(wanted)}"
                started = time.monotonic()
                start(name, result).join()
                wanted[name] = result.read_text()
                seconds[name] = time.monotonic() - started
            if (name, every) not in seconds:
                work = Path(folder) / f"timed-{i}"
                work.mkdir()
                started = time.monotonic()
                start(name, work / "result", work / "run", every).join()
                seconds[name, every] = time.monotonic() - started
            work = Path(folder) / f"run-{i}"
            work.mkdir()
            found, kills, left = kill_and_resume(name, every, rng, seconds[name, every], work)
            assert found == wanted[name], f"run {i} ({name}, every {every}) has other bits, see {work}"
            total, within = total + kills, within + left
            log(f"{i + 1} runs, {total} kills, {within} of them within a write: the same bits")
    return total, within


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200, help="that are killed one to three times each")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    kills, within = kill_runs(options.runs, options.seed, lambda text: print(text, flush=True))
    print(json.dumps({"runs": options.runs, "kills": kills, "within a write": within, "other bits": 0}))


if __name__ == "__main__":
    sys.exit(main())
