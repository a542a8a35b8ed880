"""Call everything that nerva makes public with arguments that are wrong, odd or right, and see that nothing breaks.

    python tests/fuzz.py --calls 20000              # of a seed that it prints
    python tests/fuzz.py --seed 3 --call 17         # one of them again, with all that was drawn

Functions, classes and methods of networks, layers, optimizers and data are called with sensible arguments, of which
some are replaced by odd ones: wrong types, NaN, infinities, huge and negative numbers, arrays of every dtype, shape and
stride. A crash, a hang of half a minute, or a network that a refused call has changed is a defect. So is an exception
that tells of a slip within nerva (IndexError, ZeroDivisionError, AttributeError ...), since it does not name the
argument; but one that says by an attribute that the argument itself is no layer, matrix or parameter. Calls that
download are left out. The suite makes a few (tests/test_fuzz.py).
"""

import argparse
import faulthandler
import importlib
import inspect
import json
import os
import resource
import secrets
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

import nerva
import nerva.extreme

LONGEST = 30  # seconds of a call, after which it counts as hung
MEMORY = 12 << 30  # bytes of addresses that the process may take
# What says that an argument is wrong, or that something is not there. numpy.exceptions.AxisError is a ValueError.
CLEAR = (TypeError, ValueError, KeyError, OSError, ImportError, RuntimeError, MemoryError, nerva.StopTraining)
SLIPS = (UnboundLocalError, IndexError)  # of which some are of the kinds above
MODULES = (
    "", "activations", "callbacks", "datasets", "extreme", "initializers", "inspection", "layers", "losses",
    "optimizers", "plots", "schedules", "supports", "topology",
)  # fmt: skip
# They download, wait for others, or change the process.
LEFT_OUT = (
    "download", "cifar10", "cifar100", "mnist", "fashion_mnist", "from_pretrained", "save_pretrained", "config",
    "set_num_threads", "to_torch", "from_torch", "LivePlot", "TensorBoard",
)  # fmt: skip
SKIPPED_METHODS = ("from_config",)  # of files, which tests/broken_files.py breaks


def network(rng: np.random.Generator) -> nerva.MLP:
    """A small network, of one of several kinds."""
    kinds: list[dict[str, Any]] = [
        {},
        {"batch_norm": True},
        {"dropout": 0.3},
        {"activation": "srelu"},
        {"dtype": "float64"},
    ]
    return nerva.MLP([6, 8, 3], density=0.5, seed=1, **kinds[rng.integers(len(kinds))])


def samples(rng: np.random.Generator) -> np.ndarray:
    """Samples that any network here takes."""
    return rng.standard_normal((20, 6)).astype(np.float32)


# By the names of parameters: what they usually are.
SENSIBLE: dict[str, Callable[[np.random.Generator], Any]] = {
    "X": samples,
    "DY": lambda rng: rng.standard_normal((3, 20)).astype(np.float32),
    "Z": lambda rng: rng.standard_normal((3, 20)).astype(np.float32),
    "Y": lambda rng: rng.standard_normal((3, 20)).astype(np.float32),
    "y": lambda rng: rng.integers(0, 3, 20),
    "labels": lambda rng: rng.integers(0, 3, 20),
    "targets": lambda rng: rng.integers(0, 3, 20),
    "sizes": lambda rng: [6, 8, 3],
    "layers": lambda rng: [nerva.SparseLinear(6, 3, density=0.5)],
    "model": network,
    "epochs": lambda rng: 1,
    "batch_size": lambda rng: 7,
    "density": lambda rng: 0.5,
    "sparsity": lambda rng: 0.5,
    "path": lambda rng: "file.npz",
    "folder": lambda rng: "folder",
    "rng": lambda rng: 1,
    "seed": lambda rng: 1,
    "optimizer": lambda rng: nerva.Momentum(),
    "loss": lambda rng: nerva.SoftmaxCrossEntropy(),
    "learning_rate": lambda rng: 0.1,
    "in_features": lambda rng: 6,
    "out_features": lambda rng: 3,
    "shape": lambda rng: (6, 3),
    "topology": lambda rng: nerva.RigL(every=2, unit="step"),
    "when": lambda rng: nerva.When(every=2),
    "source": samples,
    "verbose": lambda rng: False,
    "features": lambda rng: 6,
    "n": lambda rng: 20,
    "rows": lambda rng: np.arange(5),
    "activation": lambda rng: "relu",
    "dtype": lambda rng: "float32",
    "parameters": lambda rng: network(rng).parameters(),
    "layer": lambda rng: network(rng).layers[0],
}


def odd_array(rng: np.random.Generator) -> Any:
    """An array of some dtype, shape and stride."""
    shape = [(20, 6), (6, 20), (20,), (0, 6), (20, 0), (), (1, 6), (20, 7), (2, 3, 6), (3, 20), (3,)][rng.integers(11)]
    dtypes = ["f4", "f8", "f2", "i8", "i4", "u1", "?", "c16", "U3", "O", ">f4", "M8[s]", "i2", "u8"]
    kind = dtypes[rng.integers(len(dtypes))]
    values = rng.standard_normal(shape) * 10.0 ** rng.integers(-3, 300 if kind == "f8" else 4)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        array = np.asarray(values).astype("i8" if kind.startswith(("M", "u")) else kind).astype(kind)
    if array.dtype.kind == "f" and array.size and rng.random() < 0.3:
        array.reshape(-1)[rng.integers(array.size)] = rng.choice([np.nan, np.inf, -np.inf])
    turns: list[Callable[[Any], Any]] = [
        lambda a: a, lambda a: a.T, lambda a: a[::-1], lambda a: np.asfortranarray(a), lambda a: a.tolist(),
        lambda a: np.repeat(a, 2, axis=-1)[..., ::2] if a.ndim else a, lambda a: np.broadcast_to(a, (2, *a.shape)),
        lambda a: sparse.csr_array(a) if a.ndim == 2 and a.dtype.str in ("<f4", "<f8", "<i8") else a,
        lambda a: np.frombuffer(b"x" + a.tobytes(), "u1")[1:] if a.dtype.kind != "O" else a,
    ]  # fmt: skip
    turn = turns[rng.integers(len(turns))]
    return turn(array) if array.ndim else array


def odd(rng: np.random.Generator) -> Any:
    """Something that an argument may be by mistake."""
    plain = [
        None, True, False, 0, 1, -1, 2, 3, 7, 100, 2**31 - 1, 2**31, -(2**31), 2**63, 2**64, 10**30, 0.0, -0.0,
        0.5, 1.0, 1.5, -0.1, 1e-300, 1e308, np.nan, np.inf, "", "relu", "nonsense", "a/b", "\0", b"bytes", (), [],
        {}, (6, 8, 3), [6, 0, 3], [1, 2], [-1], ["a"], {"a": 1}, {1, 2}, object(), int, print, lambda *a, **k: None,
        range(3), 3 + 4j, np.float32(0.5), np.int8(-3), np.bool_(True), ..., slice(2), Exception("x"), NotImplemented,
    ]  # fmt: skip
    choice = rng.random()
    if choice < 0.45:
        return plain[rng.integers(len(plain))]
    if choice < 0.8:
        return odd_array(rng)
    names = [*SENSIBLE]
    return SENSIBLE[names[rng.integers(len(names))]](rng)


def public() -> Iterator[tuple[str, Callable[..., Any]]]:
    """All functions and classes that are public."""
    for name in MODULES:
        module = importlib.import_module(f"nerva.{name}".rstrip("."))
        for own in getattr(module, "__all__", [key for key in vars(module) if not key.startswith("_")]):
            value = getattr(module, own)
            is_error = isinstance(value, type) and issubclass(value, BaseException)
            of_nerva = callable(value) and getattr(value, "__module__", "").startswith("nerva")
            if of_nerva and not is_error and own not in LEFT_OUT:
                yield f"nerva.{name}.{own}".replace("..", "."), value


def objects(rng: np.random.Generator) -> list[Any]:
    """What has methods to call."""
    model = network(rng)
    return [
        model, model.layers[0], nerva.Linear(6, 3), nerva.Adam(), nerva.SoftmaxCrossEntropy(),
        nerva.datasets.Chunked(samples(rng), chunk=3, window=2),
        nerva.MeanSquaredError(), nerva.Dropout(0.5),
        nerva.extreme.ExtremeClassifier(nerva.MLP([6, 8], density=0.5, seed=1), 20, fan_in=2, rng=1),
    ]  # fmt: skip


def arguments(function: Callable[..., Any], rng: np.random.Generator) -> dict[str, Any] | None:
    """Return arguments by name; None where they are not told."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    share, found = rng.choice([0.05, 0.3, 0.6]), {}
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) or parameter.name == "self":
            continue
        usual = SENSIBLE.get(parameter.name)
        if parameter.default is not parameter.empty and rng.random() < 0.75:
            continue
        found[parameter.name] = odd(rng) if usual is None or rng.random() < share else usual(rng)
    return found


def state(thing: Any) -> list[Any]:
    """The weights of a network, copied."""
    if not isinstance(thing, nerva.Sequential):
        return []
    return [parameter.values.copy() for parameter in thing.parameters()]


def make(seed: int, number: int) -> tuple[str, Any, Callable[..., Any], dict[str, Any] | None]:
    """Draw a call: its name, the object it is of, the function and its arguments."""
    rng = np.random.default_rng((seed, number))
    functions = sorted(public())
    if rng.random() < 0.5:
        name, function = functions[rng.integers(len(functions))]
        return name, None, function, arguments(function, rng)
    things = objects(rng)
    thing = things[rng.integers(len(things))]
    names = [
        name for name in dir(type(thing))
        if not name.startswith("_") and name not in SKIPPED_METHODS and callable(getattr(type(thing), name))
    ]  # fmt: skip
    name = names[rng.integers(len(names))]
    method = getattr(thing, name)
    return f"{type(thing).__name__}.{name}", thing, method, arguments(method, rng)


def keeps_its_weights(name: str) -> bool:
    """Whether a network whose method was refused must be as before; training may have taken steps when it ends."""
    return name.rsplit(".", 1)[-1] not in ("fit", "train_step", "partial_fit", "finish")


def run(seed: int, number: int) -> dict[str, Any]:
    """Make a call; return its name, what came of it, and where a slip was."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        os.chdir(folder)
        warnings.simplefilter("ignore")
        name, thing, function, given = make(seed, number)
        if given is None:
            return {"name": name, "kind": "no signature"}
        before, told = state(thing), {key: repr(value)[:60] for key, value in given.items()}
        try:
            function(**given)
        except SLIPS:
            kind, words = "slip", traceback.format_exc()
        except AttributeError as error:
            within = [item for value in given.values() if isinstance(value, (list, tuple)) for item in value]
            unlike = any(error.obj is value for value in [*given.values(), *within])
            kind, words = ("another kind" if unlike else "slip"), traceback.format_exc()
        except CLEAR as error:
            kind, words = "refused", f"{type(error).__name__}: {error}"
        except Exception:
            kind, words = "slip", traceback.format_exc()
        else:
            kind, words = "right", ""
        if kind not in ("right", "no signature") and keeps_its_weights(name):
            after = state(thing)
            if any(not np.array_equal(a, b, equal_nan=True) for a, b in zip(before, after, strict=True)):
                kind, words = "changed", f"a refused call has changed the weights: {words}"
        os.chdir("/")
        return {"name": name, "kind": kind, "words": words[-1500:], "given": told}


def work(options: argparse.Namespace) -> int:
    """Make calls, and tell of each in a line of JSON."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    output = os.fdopen(os.dup(1), "w")
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    for number in range(options.start, options.calls):
        print(json.dumps({"begun": number}), file=output, flush=True)
        faulthandler.dump_traceback_later(LONGEST, exit=True)
        result = run(options.seed, number)
        faulthandler.cancel_dump_traceback_later()
        print(json.dumps({"number": number, **result}), file=output, flush=True)
    return 0


def watch(options: argparse.Namespace) -> int:
    """Make calls in a process of its own, and a new one where it ends before its time; print what was found."""
    kinds: Counter[str] = Counter()
    slips: dict[str, tuple[int, str]] = {}
    number = options.start
    print(f"seed {options.seed}", flush=True)
    while number < options.calls:
        command = [sys.executable, "-P", str(Path(__file__).resolve()), "--worker", f"--seed={options.seed}"]
        command += [f"--start={number}", f"--calls={options.calls}"]
        with tempfile.TemporaryFile("w+") as errors:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
            assert process.stdout is not None
            begun = number
            for line in process.stdout:
                told = json.loads(line)
                begun = told.get("begun", begun)
                if "kind" in told:
                    kinds[told["kind"]] += 1
                    if told["kind"] in ("slip", "changed"):
                        place = f"{told['name']}: {told['words'].strip().splitlines()[-1]}"
                        slips.setdefault(place[:160], (told["number"], told["words"]))
            if process.wait() == 0:
                break
            errors.seek(0)
            kinds["crash"] += 1
            print(f"call {begun} ended the process with {process.returncode}:\n{errors.read()[-3000:]}", flush=True)
            number = begun + 1
    for place, (first, _) in sorted(slips.items()):
        print(f"call {first}: {place}")
    print(json.dumps({"calls": sum(kinds.values()), **dict(sorted(kinds.items()))}))
    return 1 if kinds["crash"] or slips else 0


def main() -> int:
    """Run the command line, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--seed", type=int, help="of the calls; by default a random one")
    parser.add_argument("--start", type=int, default=0, help="the first call")
    parser.add_argument("--call", type=int, help="the only call to make, in this process")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.seed = secrets.randbelow(10**6) if options.seed is None else options.seed
    if options.call is not None:
        result = run(options.seed, options.call)
        print(json.dumps(result, indent=1).replace("\\n", "\n"))
        return int(result["kind"] in ("slip", "changed"))
    return work(options) if options.worker else watch(options)


if __name__ == "__main__":
    sys.exit(main())
