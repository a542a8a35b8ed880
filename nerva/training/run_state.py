"""The state of a training run as plain data and arrays: read, compared with a run, and written back."""

from __future__ import annotations

import copy
import hashlib
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from nerva._kernels import isa
from nerva.optimizers import Optimizer
from nerva.training.batches import Batches
from nerva.training.history import EpochRecord
from nerva.training.layers_state import check_layers, layers_state, restore_layers
from nerva.training.ranks import ranks_of
from nerva.validation import check_integer

PROGRESS = ("done", "loss_sum", "weight_sum", "samples", "correct", "seconds")  # of a Run, within an epoch

# The methods by which an object saves and takes back what it remembers.
METHODS = (("state", "restore"), ("state_dict", "load_state_dict"))


def remembers(thing: object) -> bool:
    """Return whether an object has a pair of methods `state` and `restore`, or `state_dict` and `load_state_dict`."""
    return not isinstance(thing, type) and _methods(thing) is not None


def remembered(thing: object) -> Any:
    """Return a copy of what an object remembers, None where it has no such methods."""
    methods = _methods(thing)
    return None if methods is None else copy.deepcopy(getattr(thing, methods[0])())


def remind(thing: object, state: Any) -> None:
    """Give an object back what it remembered; raise ValueError, which names its class, where it does not take it."""
    methods = _methods(thing)
    if methods is not None:
        try:
            getattr(thing, methods[1])(copy.deepcopy(state))
        except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
            raise ValueError(f"{type(thing).__name__} does not take its state ({error!r})") from error


def _methods(thing: object) -> tuple[str, str] | None:
    return next((pair for pair in METHODS if all(callable(getattr(thing, name, None)) for name in pair)), None)


def callbacks_state(callbacks: Iterable[object]) -> list[dict[str, Any]]:
    """Return class and state of each callback that has one."""
    return [{"class": type(one).__name__, "state": remembered(one)} for one in callbacks if remembers(one)]


def check_callbacks_state(callbacks: Iterable[object], state: Sequence[Mapping[str, Any]]) -> None:
    """Raise ValueError where the callbacks with a state are not those of a state."""
    mine, its = [type(one).__name__ for one in callbacks if remembers(one)], [one["class"] for one in state]
    if mine != its:
        raise ValueError(f"the state is of the callbacks {its}; here, those with a state are {mine}")


def _of_these(callbacks: Iterable[object], state: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the states that are of these callbacks: a rank but the first, which wrote them, may have fewer."""
    left, found = iter(state), []
    for name in (type(one).__name__ for one in callbacks if remembers(one)):
        found += [next((saved for saved in left if saved["class"] == name), {"class": "none", "state": None})]
    return found


def restore_callbacks(callbacks: Iterable[object], state: Sequence[Mapping[str, Any]]) -> None:
    """Give the callbacks back what they remembered."""
    for callback, saved in zip((one for one in callbacks if remembers(one)), state, strict=True):
        remind(callback, saved["state"])


# ---- settings


def described(thing: Any) -> str:
    """Return an object's settings as text, the same in every process.

    >>> described(nerva.Nesterov(0.9))
    'Nesterov(clip_norm=None, clip_value=None, momentum=0.9, weight_decay=0.0)'
    """
    if type(thing).__module__.split(".")[0] == "nerva" and hasattr(thing, "__dict__"):
        own = ", ".join(f"{k}={described(v)}" for k, v in sorted(vars(thing).items()) if not k.startswith("_"))
        return f"{type(thing).__name__}({own})"
    if isinstance(thing, (list, tuple)):
        return f"[{', '.join(map(described, thing))}]"
    return re.sub(r" at 0x[0-9a-f]+", "", repr(thing))


def settings_of(run: Any) -> dict[str, Any]:
    """Return what a run that starts does by, as text: another one with the same gives the same bits."""
    topology = None if run.updater is None else run.updater.method
    return {
        "optimizer": described(run.optimizer),
        "schedule": described(run.schedule),
        "loss": described(run.loss),
        "topology": described(topology),
        "epochs": None if topology is None else run.epochs,  # those a topology reckons with
        "instruction set": isa.chosen(),
    }


def fingerprint(batches: Batches) -> str:
    """Return a hash of the targets and of some samples: other data have another one, most likely."""
    known = hashlib.sha256()
    for array in batches.excerpt():
        plain = np.ascontiguousarray(array)
        known.update(f"{plain.dtype} {plain.shape}".encode() + plain.tobytes())
    return known.hexdigest()


def _differences(mine: Mapping[str, Any], its: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each setting that is not that of the state."""
    others = {name: (value, its[name]) for name, value in mine.items() if its.get(name, value) != value}
    return [
        "X or y are not those of the run that is continued"
        if name == "data"
        else f"{name} is {value}, and was {before} in the run that is continued"
        for name, (value, before) in others.items()
    ]


# ---- the state


def run_state(run: Any) -> dict[str, Any]:
    """Return the state of a run; see Run.state."""
    if run.reads_last_batch:
        raise RuntimeError("the next update of the topology reads the last batch, which the state does not hold")
    rng, updater = run.batches.rng, run.updater
    return {
        "epoch": run.current_epoch,
        "step": run.global_step,
        "stopped": run.stopped,
        "progress": {name: getattr(run, f"_{name}") for name in PROGRESS},
        "settings": _with_data(run),
        "rng": None if rng is None else copy.deepcopy(rng.bit_generator.state),
        "order": run.batches.order.copy(),
        "schedule": remembered(run.schedule),
        "optimizer": _optimizer_state(run.optimizer),
        "callbacks": callbacks_state(run.callbacks),
        "history": run.history.as_dicts(),
        "layers": layers_state(run.model, run.optimizers),
        "topology": None if updater is None else updater.state(),
    }


def restore_run(run: Any, state: Mapping[str, Any]) -> None:
    """Let a run continue from a state; see Run.restore."""
    try:
        if (ranks := ranks_of(run.model)) is not None and ranks.rank > 0:
            state = {**state, "callbacks": _of_these(run.callbacks, state["callbacks"])}
        _check_state(run, state)
        history = [EpochRecord(**record) for record in state["history"]]
        progress = {name: state["progress"][name] for name in PROGRESS}
        stopped, own = bool(state["stopped"]), state["optimizer"]
    except (KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
        raise ValueError(f"this is no state of a run ({type(error).__name__}: {error})") from error
    for sentence in _differences(_with_data(run), state["settings"]):
        warnings.warn(sentence, RuntimeWarning, stacklevel=3)
    # What the user's own objects make of their states may fail: they come first.
    restore_callbacks(run.callbacks, state["callbacks"])
    remind(run.schedule, state["schedule"])
    if _optimizer_state(run.optimizer) is not None:
        remind(run.optimizer, own)
    restore_layers(run.model, state["layers"], run.optimizers)
    if run.updater is not None:
        run.updater.restore(state["topology"])
    if run.batches.rng is not None:
        run.batches.rng.bit_generator.state = state["rng"]
    run.batches.go_on(state["order"])
    run.history.epochs[:] = history
    run.current_epoch, run.stopped = state["epoch"], stopped
    for name, value in progress.items():
        setattr(run, f"_{name}", value)


def _with_data(run: Any) -> dict[str, Any]:
    """Return the settings of a run and the hash of its data, computed when it is first asked for."""
    if "data" not in run.settings:
        run.settings["data"] = fingerprint(run.batches)
    return dict(run.settings)


def _optimizer_state(optimizer: object) -> Any:
    """Return what an optimizer of the user's own remembers; the state of parameters is that of the layers."""
    return None if isinstance(optimizer, Optimizer) else remembered(optimizer)


def _check_state(run: Any, state: Mapping[str, Any]) -> None:
    """Raise ValueError where a run cannot take a state."""
    _check_order(state, run.batches.order)
    _check_progress(state, len(run.batches))
    _check_rng(state["rng"], run.batches.rng)
    if (state["topology"] is None) != (run.updater is None):
        raise ValueError("the state is of a run with a topology, or this run is, but not both")
    if (state["schedule"] is None) != (remembered(run.schedule) is None):
        raise ValueError(f"the state is of another schedule than {run.schedule!r}")
    if not isinstance(state["settings"], Mapping):
        raise TypeError("it has no settings")
    check_callbacks_state(run.callbacks, state["callbacks"])
    check_layers(run.model, state["layers"], run.optimizers)
    if run.updater is not None:
        run.updater.check(state["topology"], state["layers"])


def _check_progress(state: Mapping[str, Any], batches: int) -> None:
    """Raise ValueError where epochs, steps and the batches done do not go together."""
    epoch, done = check_integer(state["epoch"], "epoch", least=0), state["progress"]["done"]
    check_integer(done, "done", least=0, most=batches)
    check_integer(state["progress"]["samples"], "samples", least=0)
    for name in ("loss_sum", "weight_sum", "seconds", "correct"):
        number = state["progress"][name]
        if not isinstance(number, (int, float)) and (number is not None or name != "correct"):
            raise TypeError(f"{name} is {number!r:.40}; it must be a number")
    if state["step"] != epoch * batches + done:
        found = f"the state has {state['step']} steps in {epoch} epochs; here an epoch has {batches}"
        raise ValueError(f"{found}: batch_size is another one than in the run that is continued")


def _check_order(state: Mapping[str, Any], order: np.ndarray[Any, Any]) -> None:
    """Raise ValueError where the order is not one of these samples."""
    found = np.asarray(state["order"])
    if found.shape != order.shape:
        raise ValueError(f"the state is of {found.size} samples; X has {len(order)}")
    if found.dtype != order.dtype or not np.array_equal(np.sort(found), np.sort(order)):
        raise ValueError("the state has an order of samples that is none")


def _check_rng(state: Any, rng: np.random.Generator | None) -> None:
    """Raise ValueError where a state is not that of a generator of this kind."""
    mine = None if rng is None else rng.bit_generator.state["bit_generator"]
    its = None if state is None else state["bit_generator"]
    if mine != its:
        raise ValueError(f"the state is of a {its} generator; rng is {mine}")
    if rng is not None:
        type(rng.bit_generator)().state = copy.deepcopy(state)  # which raises for one that is broken
