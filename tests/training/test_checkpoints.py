"""Checkpoints of `fit`: a run that ended anywhere goes on with the same bits; what is broken or another is told."""

import contextlib
import os
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file

import nerva
from nerva.system.tensors import read_tensors, write_tensors
from nerva.training.checkpoints import Checkpoints

from ..training_reference import assert_same_weights, network, samples, state

SETTINGS = {"epochs": 4, "batch_size": 20}  # 5 steps an epoch


class Killed(BaseException):
    pass


class Kill:
    """Ends a run after so many batches, as an exception that nothing expects."""

    def __init__(self, batches):
        self.left = batches

    def on_batch(self, batch, batches):
        self.left -= 1
        if self.left == 0:
            raise Killed

    def __call__(self, model, record):
        pass


class Mean:
    """A callback with a memory: the mean of the losses so far."""

    def __init__(self):
        self.sum, self.batches = 0.0, np.zeros(2, np.int64)

    def on_batch(self, batch, batches):
        self.batches += 1, batch

    def __call__(self, model, record):
        self.sum += record.loss

    def state(self):
        return {"sum": self.sum, "batches": self.batches}

    def restore(self, state):
        self.sum, self.batches = state["sum"], state["batches"]


class TorchLike(Mean):
    state = restore = None

    def state_dict(self):
        return {0: (self.sum, self.batches.copy())}

    def load_state_dict(self, state):
        self.sum, self.batches = state[0]


def fit(folder=None, killed=0, callbacks=(), seed=1, **settings):
    """Train a fresh network; return it and its history, None for one that was killed."""
    made = {name: value() if callable(value) else value for name, value in settings.items()}
    layers = {name: made.pop(name) for name in ("dropout", "drop_connect", "batch_norm", "dtype") if name in made}
    model, (X, y) = network(seed=seed, backend="native", **layers), samples()
    if folder is not None:
        made["checkpoint"] = folder
    with contextlib.suppress(Killed):
        return model, model.fit(X, y, callbacks=[*callbacks, *([Kill(killed)] if killed else [])], **SETTINGS | made)
    return model, None


RUNS = {
    "plain": {},
    "adam, plateau, validated": {
        "optimizer": nerva.Adam,
        "schedule": lambda: nerva.ReduceOnPlateau(0.05, factor=0.5, patience=0, threshold=0.2),
        "validation": lambda: samples(30, seed=3),
    },
    "everything that draws": {
        "dropout": 0.3,
        "drop_connect": 0.2,
        "batch_norm": True,
        "augment": nerva.Augment((3, 2, 2), 1),
        "topology": lambda: nerva.RigL(every=3),
    },
    "set, its own generator": {"topology": nerva.SET, "rng": 7, "optimizer": lambda: nerva.AdamW()},
    "accumulated gradients": {"topology": lambda: nerva.RigL(every=6, accumulate=4, end=1.0), "dtype": np.float64},
    "top-kast": {"topology": lambda: nerva.TopKAST(every=4)},
    "the gradient of the last batch": {
        "topology": lambda: nerva.Topology(
            nerva.When(every=4, end=1.0), nerva.topology.drop.smallest, nerva.topology.grow.by_gradient
        )
    },
}


def outcome(model, history):
    losses = [(record.loss, record.train_accuracy, record.test_loss, record.learning_rate) for record in history.epochs]
    return state(model), losses, history.topology


@pytest.mark.parametrize("every", [None, 1, 3])
@pytest.mark.parametrize("name", RUNS)
def test_a_run_killed_again_and_again_gives_the_same_bits(tmp_path, name, every):
    whole = outcome(*fit(**RUNS[name]))
    for number, killed in enumerate((4, 2, 7)):
        _, history = fit(tmp_path / "run", killed, resume=number > 0, checkpoint_every=every, **RUNS[name])
        assert history is None
    model, history = fit(tmp_path / "run", resume=True, checkpoint_every=every, **RUNS[name])
    assert outcome(model, history) == whole
    assert len(Checkpoints(tmp_path / "run").files()) == 2
    # And one that ended by itself is only read.
    again = fit(tmp_path / "run", resume=True, checkpoint_every=every, **RUNS[name])
    assert outcome(*again) == whole


@pytest.mark.parametrize("kind", [Mean, TorchLike])
def test_callbacks_are_given_back_what_they_remember(tmp_path, kind):
    wanted, killed, found = kind(), kind(), kind()
    fit(callbacks=[wanted])
    fit(tmp_path, 8, callbacks=[killed], checkpoint_every=3)
    fit(tmp_path, callbacks=[print_nothing, found], resume=True)
    assert (found.sum, found.batches.tolist()) == (wanted.sum, wanted.batches.tolist())
    with pytest.raises(ValueError, match=rf"step-20\.safetensors: .*callbacks \['{kind.__name__}'\]"):
        fit(tmp_path, resume=True)


def print_nothing(model, record):
    pass


def test_what_an_optimizer_of_the_users_own_remembers_goes_along(tmp_path):
    class Warming:
        steps = 0

        def step(self, parameters, rate):
            self.steps += 1
            for parameter in parameters:
                parameter.values[:] -= rate / self.steps * parameter.gradient

        def state(self):
            return self.steps

        def restore(self, state):
            self.steps = state

    whole = outcome(*fit(optimizer=Warming))
    fit(tmp_path, 8, optimizer=Warming)
    assert outcome(*fit(tmp_path, resume=True, optimizer=Warming)) == whole


def test_a_run_that_a_callback_stopped_stays_so(tmp_path):
    def stop(model, record):
        if record.epoch == 2:
            raise nerva.StopTraining

    whole = fit(tmp_path, callbacks=[stop])
    again = fit(tmp_path, resume=True, callbacks=[stop])
    assert outcome(*again) == outcome(*whole)
    assert len(again[1]) == 2


def test_what_was_done_when_a_signal_came_is_kept(tmp_path):
    """An interruption between batches, where every callback has been called."""

    class Interrupt(Kill):
        def on_batch(self, batch, batches):
            with contextlib.suppress(Killed):
                super().on_batch(batch, batches)
                return
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, callbacks=[Interrupt(8)])
    assert Checkpoints(tmp_path).files()[-1].name == "step-8.safetensors"
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "b", callbacks=[Interrupt(8), Mean()])  # which has not had its batch
    assert Checkpoints(tmp_path / "b").files()[-1].name == "step-5.safetensors"


# ---- once or twice


@pytest.mark.parametrize("optimizer", [None, nerva.Adam])
@pytest.mark.parametrize("schedule", [0.01, nerva.Cosine(0.1, 4)])
def test_two_epochs_and_two_more_are_four(optimizer, schedule):
    X, y = samples()
    settings = {"batch_size": 20, "schedule": schedule, "augment": nerva.Augment((3, 2, 2), 1)}
    one, two = network(dropout=0.2), network(dropout=0.2)
    whole = one.fit(X, y, epochs=4, optimizer=optimizer and optimizer(), **settings)
    first = two.fit(X, y, epochs=2, optimizer=optimizer and optimizer(), **settings)
    second = two.fit(X, y, epochs=2, initial_epoch=2, optimizer=optimizer and optimizer(), **settings)
    assert state(two) == state(one)
    assert second["epoch"] == [3, 4]
    for column in ("epoch", "loss", "learning_rate", "train_accuracy"):
        assert first[column] + second[column] == whole[column]


def test_another_optimizer_starts_anew():
    X, y = samples()
    one, two = network(), network()
    for model in (one, two):
        model.fit(X, y, epochs=1, batch_size=20, optimizer=nerva.Momentum(0.5))
    one.fit(X, y, epochs=1, initial_epoch=1, optimizer=nerva.Momentum(0.9))
    two.fit(X, y, epochs=1, optimizer=nerva.Momentum(0.9))
    assert_same_weights(one, two)
    with pytest.raises(ValueError, match="initial_epoch is -1"):
        one.fit(X, y, initial_epoch=-1)


# ---- files


def test_the_last_two_are_kept_and_others_let_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / ".step-3.safetensors-k2_x9").write_text("left behind")
    fit(tmp_path, checkpoint_every=3)
    assert sorted(os.listdir(tmp_path)) == ["notes.txt", "step-18.safetensors", "step-20.safetensors"]


def test_arrays_have_the_names_of_what_they_are(tmp_path):
    fit(tmp_path)
    arrays, about = read_tensors(tmp_path / "step-20.safetensors")
    assert {"order", "layers.0.pattern.indptr", "layers.0.pattern.indices", "layers.0.parameters.weight.values",
            "layers.0.parameters.weight.state.momentum", "layers.1.parameters.bias.values"} <= set(arrays)  # fmt: skip
    assert (about["format"], about["state"]["epoch"]) == ("nerva.checkpoint", 4)


def test_the_files_are_read_by_the_package_safetensors(tmp_path):
    model, _ = fit(tmp_path)
    arrays = load_file(tmp_path / "step-20.safetensors")
    np.testing.assert_array_equal(arrays["layers.0.parameters.weight.values"], model.layers[0].weight.values)


def test_a_broken_one_is_set_aside_and_the_one_before_taken(tmp_path):
    whole = outcome(*fit())
    fit(tmp_path, 18)
    last, before = tmp_path / "step-15.safetensors", tmp_path / "step-10.safetensors"
    last.write_bytes(last.read_bytes()[:-1])
    with pytest.warns(RuntimeWarning, match=r"step-15\.safetensors: .* the checkpoint before it is taken"):
        model, history = fit(tmp_path, resume=True)
    assert outcome(model, history) == whole
    assert sorted(os.listdir(tmp_path)) == ["step-15.broken", "step-15.safetensors", "step-20.safetensors"]
    for path in (last, tmp_path / "step-20.safetensors"):
        path.write_bytes(b"golden")
    with pytest.raises(ValueError, match=r"step-15\.safetensors: cut short"), pytest.warns(RuntimeWarning):
        fit(tmp_path, resume=True)
    assert not before.exists()


def test_a_folder_of_another_run_is_refused(tmp_path):
    fit(tmp_path)
    with pytest.raises(FileExistsError, match=r"holds checkpoints already \(step-20.safetensors\); resume=True"):
        fit(tmp_path)
    with pytest.raises(ValueError, match=r"step-20.safetensors: the state of layers\[0\] is weight of float32"):
        fit(tmp_path, resume=True, dtype=np.float64)
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="file: not a folder"):
        fit(tmp_path / "file")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer": lambda: nerva.Momentum(0.8)}, r"optimizer is Momentum\(.*momentum=0.8.*was Nesterov"),
        ({"schedule": 0.5}, r"schedule is Constant\(rate=0.5\), and was Constant\(rate=0.01\)"),
        (
            {"loss": lambda: nerva.SoftmaxCrossEntropy(label_smoothing=0.1)},
            r"loss is Softmax.*=0.1.*, and was Softmax.*=0.0",
        ),
        ({"sample_weight": np.arange(90.0)}, "X or y are not those"),
    ],
)
def test_other_settings_are_warned_of(tmp_path, settings, message):
    fit(tmp_path, 8)
    with pytest.warns(RuntimeWarning, match=message):
        fit(tmp_path, resume=True, **settings)


def test_other_batches_are_refused(tmp_path):
    fit(tmp_path, 8)
    with pytest.raises(ValueError, match="has 5 steps in 1 epochs; here an epoch has 9"):
        fit(tmp_path, resume=True, batch_size=10)


def test_arguments_are_checked(tmp_path):
    for settings, error, message in (
        ({"folder": 3}, TypeError, "checkpoint is 3; it must be the path of a folder"),
        ({"folder": tmp_path, "checkpoint_every": 0}, ValueError, "checkpoint_every is 0"),
        ({"folder": tmp_path, "resume": 1}, TypeError, "resume"),
        ({"resume": True}, ValueError, "resume is given, but no checkpoint"),
        ({"checkpoint_every": 3}, ValueError, "checkpoint_every is given, but no checkpoint"),
    ):
        with pytest.raises(error, match=message):
            fit(**settings)


HOLDER = """
import sys
from nerva.training.checkpoints import Checkpoints
with Checkpoints(sys.argv[1], resume=True):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_two_runs_do_not_write_to_one_folder(tmp_path):
    command = [sys.executable, "-P", "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(BlockingIOError, match="another run writes its checkpoints there"):
            fit(tmp_path)
        process.stdin.close()
    fit(tmp_path)


# ---- what a file could say that no run does


def forged(path, change):
    arrays, about = read_tensors(path)
    change(arrays, about)
    write_tensors(path, arrays, about)


FORGERIES = {
    "an order out of range": lambda a, s: a.update({"order": a["order"] + 5}),
    "an order twice": lambda a, s: a.update({"order": a["order"] // 2}),
    "moments too short": lambda a, s: a.update({"layers.0.parameters.weight.state.momentum": np.zeros(3, np.float32)}),
    "moments of integers": lambda a, s: a.update(
        {"layers.1.parameters.bias.state.momentum": np.zeros(4, np.int32)}),
    "columns out of range": lambda a, s: a["layers.0.pattern.indices"].__setitem__(0, 99),
    "values too many": lambda a, s: a.update({"layers.0.parameters.weight.values": np.zeros(99, np.float32)}),
    "explored bits too few": lambda a, s: a.update({"topology.layers.0.explored": np.zeros(1, np.uint8)}),
    "explored positions out of range": lambda a, s: a.update({"topology.layers.0.explored": np.array([5, 10**12])}),
    "done too much": lambda a, s: s["progress"].update(done=99),
    "a record of something else": lambda a, s: s["history"].append({"epoch": 1}),
    "no generator": lambda a, s: s["rng"].update(state={"state": -1, "inc": "x"}),
    "no layers": lambda a, s: s.update(layers=3),
    "steps beyond measure": lambda a, s: s["layers"][0]["parameters"]["weight"].update(steps=2**64),
    "an owner beyond measure": lambda a, s: s["layers"][0]["parameters"]["weight"].update(owner=2**64),
    "an owner before the first": lambda a, s: s["layers"][0]["parameters"]["weight"].update(owner=-1),
    "no number of samples": lambda a, s: s["progress"].update(samples=None),
    "no sum": lambda a, s: s["progress"].update(loss_sum={}),
    "no number of weights at the start": lambda a, s: s["topology"]["layers"][0].update(initial_nnz={}),
    "not whether it was stopped": lambda a, s: s.pop("stopped"),
    "no settings": lambda a, s: s.update(settings=None),
    "an epoch below zero": lambda a, s: s.update(epoch=-1),
    "no topology": lambda a, s: s["topology"].update(layers=[{}]),
    "records of a topology": lambda a, s: s["topology"]["records"].append({"step": 3}),
}  # fmt: skip


@pytest.mark.parametrize("topology", [nerva.SET(every=3, unit="step"), nerva.TopKAST(every=3)], ids=["set", "top-kast"])
@pytest.mark.parametrize("name", FORGERIES)
def test_forged_states_are_refused_before_anything_is_changed(tmp_path, name, topology):
    fit(tmp_path, 8, topology=topology)
    path = tmp_path / "step-5.safetensors"
    forged(path, lambda arrays, about: FORGERIES[name](arrays, about["state"]))
    model, (X, y) = network(seed=4, backend="native"), samples()
    before, loss = state(model), model.loss
    with pytest.raises(ValueError, match=r"step-5\.safetensors: "):
        model.fit(X, y, topology=topology, checkpoint=tmp_path, resume=True, **SETTINGS)
    assert (state(model), model.loss) == (before, loss)


def test_an_object_that_does_not_take_its_state_is_named(tmp_path):
    fit(tmp_path, 8, schedule=lambda: nerva.ReduceOnPlateau(0.1))
    forged(tmp_path / "step-5.safetensors", lambda arrays, about: about["state"]["schedule"].pop("bad"))
    with pytest.raises(ValueError, match=r"step-5\.safetensors: ReduceOnPlateau does not take its state \(KeyError"):
        fit(tmp_path, resume=True, schedule=lambda: nerva.ReduceOnPlateau(0.1))


def test_a_file_of_something_else_is_no_checkpoint(tmp_path):
    known = {"format": "nerva.checkpoint", "version": 1}
    for about, message in (
        ({"format": "other"}, "no checkpoint of a run"),
        ([], "no checkpoint of a run"),
        ({**known, "version": 9}, "of version 9"),
        ({**known, "state": []}, "no state of a run"),
        ({**known, "state": {"$array": "x"}}, "its data are broken"),
    ):
        write_tensors(tmp_path / "step-5.safetensors", {}, about)
        with pytest.raises(ValueError, match=message):
            fit(tmp_path, resume=True)
