"""A training run as an object: its steps, and that one restored continues with the same bits."""

import json
import pickle
from dataclasses import asdict

import numpy as np
import pytest
from scipy import sparse

import nerva
from nerva.training.batches import Batches
from nerva.training.evaluation import Evaluator
from nerva.training.run import Run
from nerva.training.samples import labelled_samples

from ..training_reference import assert_same_weights, network, samples

EPOCHS = 6


def images():
    rng = np.random.default_rng(4)
    return rng.standard_normal((90, 12)), rng.integers(4, size=90)


def make(data=images, seed=1, rng=5, loss=None, augment=None, shuffle=True, validate=False, weights=None, **settings):
    """A run of a small network: as `fit` makes it."""
    layers = {name: settings.pop(name) for name in ("dropout", "drop_connect", "batch_norm", "activation", "dtype")
              if name in settings}  # fmt: skip
    X, y = data()
    model = network(sizes=[12, 16, 10, 4], seed=seed, density=0.3, backend="native", **layers)
    loss = nerva.SoftmaxCrossEntropy() if loss is None else loss
    found, targets = labelled_samples(model, X, y, loss, weights)
    batches = Batches(found, targets, 20, model.dtype, np.random.default_rng(rng), augment, shuffle=shuffle)
    evaluator = Evaluator(model, X[:30], y[:30], loss, 20) if validate else None
    made = {name: value() for name, value in settings.items()}
    return Run(model, batches, loss, epochs=EPOCHS, validation=evaluator, **made)


def first_weight_group(run):
    """Give the first weight an optimizer of its own, selected by the parameter itself."""
    run.optimizer = nerva.Groups([(run.model.parameters()[0], nerva.Adam(), 0.5)], rest=nerva.Nesterov())
    return run


def everything(run):
    """All that two runs can be compared by, but for the time they took."""
    model, records = run.model, [{**asdict(record), "seconds": 0} for record in run.history.epochs]
    kept = [(p.name, p.values.tobytes(), [(k, v.tobytes()) for k, v in p.state.items()], p.steps)
            for p in model.parameters()]  # fmt: skip
    patterns = [(layer.weight.indptr.tobytes(), layer.weight.indices.tobytes())
                for layer in model.layers if isinstance(getattr(layer, "weight", None), nerva.CSR)]  # fmt: skip
    statistics = [layer.running_mean.tobytes() for layer in model.layers if hasattr(layer, "running_mean")]
    drawn = run.batches.rng.bit_generator.state
    return kept, patterns, statistics, records, [asdict(record) for record in run.history.topology], drawn


RUNS = {
    "plain": {},
    "float64": {"dtype": np.float64},
    "sgd": {"optimizer": nerva.SGD},
    "adam": {"optimizer": nerva.Adam, "schedule": lambda: 0.01},
    "lion": {"optimizer": nerva.Lion, "schedule": lambda: 0.001},
    "clipped": {"optimizer": lambda: nerva.RMSprop(momentum=0.5, clip_norm=0.5), "schedule": lambda: 0.01},
    "groups": {"optimizer": lambda: nerva.Groups([("bias", nerva.SGD())], rest=nerva.AdamW())},
    "plateau": {"schedule": lambda: nerva.ReduceOnPlateau(0.1, factor=0.5, patience=0, threshold=0.2)},
    "plateau, validated": {"validate": True, "schedule": lambda: nerva.WarmUp(
        nerva.ReduceOnPlateau(0.1, factor=0.5, patience=0, threshold=0.2), 2)},
    "cosine": {"schedule": lambda: nerva.Cosine(0.1, EPOCHS)},
    "dropout": {"dropout": 0.3, "drop_connect": 0.2},
    "batch norm": {"batch_norm": True, "activation": "srelu", "dropout": 0.1},
    "augmentation": {"augment": nerva.Augment((3, 2, 2), 1)},
    "not shuffled": {"shuffle": False},
    "sample weights": {"weights": np.arange(90.0)},
    "sparse inputs": {"data": lambda: (sparse.csr_array(np.eye(90, 12)), np.arange(90) % 4)},
    "set": {"topology": nerva.SET},
    "rigl": {"topology": lambda: nerva.RigL(every=4), "optimizer": nerva.Adam},
    "rigl over the end of an epoch": {"topology": lambda: nerva.RigL(every=6, accumulate=4, end=1.0)},
    "rigl with the rest": {"topology": lambda: nerva.RigL(every=4, regrow=True), "dropout": 0.2, "batch_norm": True,
                           "augment": nerva.Augment((3, 2, 2), 1)},
    "srigl": {"topology": lambda: nerva.SRigL(every=3)},
    "snfs": {"topology": nerva.SNFS},
    "cht": {"topology": nerva.CHT},
    "chts": {"topology": lambda: nerva.CHTs(every=4, unit="step", magnitude=0.5), "optimizer": nerva.Adam},
    "gmp": {"topology": lambda: nerva.GMP(0.1, every=3)},
    "granet": {"topology": lambda: nerva.GraNet(0.1, every=3, accumulate=2)},
    "deepr": {"topology": lambda: nerva.DeepR(1e-3, 1e-4)},
    "top-kast": {"topology": lambda: nerva.TopKAST(every=4)},
}  # fmt: skip


@pytest.mark.parametrize(("after", "steps"), [(0, 0), (1, 0), (1, 3), (4, 1), (4, 5)])
@pytest.mark.parametrize("name", RUNS)
def test_a_restored_run_continues_with_the_same_bits(name, after, steps):
    whole, half = make(**RUNS[name]), make(**RUNS[name])
    for _ in range(after):
        half.epoch()
    for _ in range(steps):
        half.step()
    state = half.state()
    for _ in range(2):  # the state is a copy: what goes on does not change it
        half.epoch()
    half.model.parameters()[0].values[:] = np.nan
    # Another network, another order, another pattern: all of it is to be replaced.
    other = make(**RUNS[name], seed=8, rng=9)
    other.restore(pickle.loads(pickle.dumps(state)))
    assert (other.current_epoch, other.global_step) == (after, 5 * after + steps)
    assert whole.train() is whole.history
    assert other.train() is other.history
    assert len(other.history) == EPOCHS
    assert everything(other) == everything(whole)
    assert whole.history.topology or "topology" not in RUNS[name]


@pytest.mark.parametrize("name", ["plain", "rigl", "top-kast", "gmp", "plateau", "dropout"])
def test_a_run_goes_back_to_a_state_of_its_own(name):
    whole, run = make(**RUNS[name]), make(**RUNS[name])
    run.epoch()
    state = run.state()
    parameters = run.model.parameters()
    for _ in range(3):
        run.epoch()
    run.step()  # and one of the next epoch
    run.restore(state)
    whole.train()
    run.train()
    assert everything(run) == everything(whole)
    assert all(one is other for one, other in zip(parameters, run.model.parameters(), strict=True))


def test_a_group_selected_by_a_parameter_is_still_selected():
    whole, half, other = (first_weight_group(make()) for _ in range(3))
    half.epoch()
    other.restore(half.state())
    assert [parameter.owner for parameter in other.model.parameters()] == [other.optimizer.members[0]] + [
        other.optimizer.rest
    ] * 5
    whole.train()
    other.train()
    assert everything(other) == everything(whole)


def test_an_optimizer_of_the_users_own_keeps_the_state_of_parameters():
    class Averaged:
        def step(self, parameters, rate):
            for parameter in parameters:
                mean = parameter.claim(self, "mean")["mean"]
                mean += 0.5 * (parameter.gradient - mean)
                parameter.values[:] -= rate * mean

    whole, half, other = (make(optimizer=Averaged) for _ in range(3))
    half.epoch()
    other.restore(half.state())
    whole.train()
    other.train()
    assert everything(other) == everything(whole)


def test_state_is_plain_data_and_arrays():
    def walk(value):
        if isinstance(value, dict):
            assert all(isinstance(key, str) for key in value)
            value = list(value.values())
        if isinstance(value, (list, tuple)):
            for item in value:
                walk(item)
        else:
            assert value is None or isinstance(value, (bool, int, float, str, np.ndarray))

    run = make(**RUNS["rigl with the rest"])
    run.epoch()
    state = run.state()
    walk(state)
    plain = {"epoch", "step", "stopped", "progress", "settings", "rng", "schedule", "callbacks", "history"}
    assert set(state) == plain | {"order", "optimizer", "layers", "topology"}
    json.dumps([state[name] for name in plain])
    assert (state["epoch"], state["step"]) == (1, 5)


# ---- steps


def test_steps_and_epochs_are_those_of_fit():
    run, by_steps, model = make(rng=3), make(rng=3), make().model
    history = model.fit(*images(), epochs=EPOCHS, batch_size=20, rng=3)
    run.train()
    for epoch in range(EPOCHS):
        assert not by_steps.finished
        losses = [by_steps.step().value for _ in range(5)]
        assert (by_steps.current_epoch, by_steps.global_step) == (epoch, 5 * epoch + 5)
        record = by_steps.epoch()
        assert record.loss == pytest.approx(np.average(losses, weights=[20, 20, 20, 20, 10]))
    assert by_steps.finished
    for other in (run, by_steps):
        assert_same_weights(other.model, model)
        assert other.history["loss"] == history["loss"]


def test_an_epoch_ends_before_the_next_step():
    run = make()
    for _ in range(5):
        run.step()
    with pytest.raises(RuntimeError, match=r"all 5 batches of epoch 1 are done; call epoch\(\)"):
        run.step()
    run.epoch()
    run.step()
    assert (run.current_epoch, run.global_step) == (1, 6)


def test_a_callback_may_ask_for_the_state_and_stop():
    states = []

    class Keep:
        run = None

        def __call__(self, model, record):
            states.append(self.run.state())
            if record.epoch == 2:
                raise nerva.StopTraining

    keep = Keep()
    run = make(callbacks=lambda: [keep])
    keep.run = run
    run.train()
    assert run.stopped
    assert run.finished
    assert [state["epoch"] for state in states] == [1, 2] == run.history["epoch"]


def test_the_topology_is_finished_however_a_run_ends():
    class Fail:
        def on_batch(self, batch, batches):
            if batch == 3:
                raise KeyboardInterrupt

        def __call__(self, model, record):
            pass

    run = make(topology=lambda: nerva.TopKAST(every=4), callbacks=lambda: [Fail()])
    before = run.model.nnz
    with pytest.raises(KeyboardInterrupt):
        run.train()
    assert run.model.nnz == pytest.approx(before / 2, abs=3)  # the forward set alone


# ---- what is refused, before anything has changed

OTHERS = {
    "is of 3 layers; the network has 5": {"batch_norm": True},
    "is weight of float32 .*; the network has weight of float64": {"dtype": np.float64},
    "masks": {"drop_connect": 0.2},
    "of another schedule": {"schedule": lambda: nerva.ReduceOnPlateau(0.1)},
    "a run with a topology": {"topology": lambda: nerva.RigL(every=4)},
    "is of 90 samples; X has 30": {"data": lambda: [rows[:30] for rows in images()]},
}


@pytest.mark.parametrize("message", OTHERS)
def test_a_state_of_something_else_is_refused(message):
    run, other = make(), make(**OTHERS[message])
    run.epoch()
    other.epoch()
    before = everything(other)
    with pytest.raises(ValueError, match=message):
        other.restore(run.state())
    assert everything(other) == before


def test_a_broken_state_is_refused():
    run = make()
    run.epoch()
    state = run.state()
    for change, message in [
        ({"step": 7}, "the state has 7 steps in 1 epochs; here an epoch has 5"),
        ({"rng": {"bit_generator": "MT19937"}}, "the state is of a MT19937 generator; rng is PCG64"),
        ({"order": np.arange(7)}, "is of 7 samples"),
    ]:
        with pytest.raises(ValueError, match=message):
            run.restore({**state, **change})
    broken = run.state()
    broken["layers"][0]["pattern"]["indices"][0] = 99
    with pytest.raises(ValueError, match="indices"):
        run.restore(broken)
    owned = run.state()
    owned["layers"][0]["parameters"]["weight"]["owner"] = 1
    with pytest.raises(ValueError, match=r"layers\[0\] is of another optimizer than Nesterov"):
        run.restore(owned)
    run.restore(state)


def test_parameters_by_the_same_name_have_no_state():
    class Twice(nerva.Activation):
        def parameters(self):
            return [nerva.Parameter("a", np.zeros(1)), nerva.Parameter("a", np.zeros(1))]

    run = make()
    run.model.layers = (*run.model.layers, Twice("relu"))
    with pytest.raises(ValueError, match="has two parameters by the same name"):
        run.state()


def test_settings_of_a_run_are_checked():
    for settings in ({"schedule": lambda: -1}, {"optimizer": lambda: "sgd"}, {"callbacks": lambda: 3}):
        with pytest.raises((TypeError, ValueError), match=next(iter(settings))):
            make(**settings)
    X, y = samples(21)
    model = network(batch_norm=True)
    with pytest.raises(ValueError, match="21 samples leave a batch of 1, and batch normalization needs at least 2"):
        model.fit(X, y, batch_size=20)
