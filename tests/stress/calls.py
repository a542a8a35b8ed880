"""What a case does with its network, and what must come of it: an AssertionError is a defect."""

import copy
import pickle
import signal
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

import nerva

from ..compiled_reference import layer_by_layer
from .checks import bits, close, counts_are_right, sound, weights, whole_state

KINDS_OF_REFUSAL = (TypeError, ValueError)


class Broken(Exception):
    """Raised by a callback or a signal of these calls."""


class Refused(Exception):
    """The case is none: nerva has refused its arguments, and changed nothing."""


def new_model(case, **changed):
    """The network of a case, or Refused where no such network can be."""
    try:
        return case.model(**changed)
    except KINDS_OF_REFUSAL as error:
        raise Refused(f"MLP: {error}") from error


def train(case, model, **changed):
    """Fit; return the history, or that up to where the loss became infinite. A refusal must have changed nothing."""
    before = whole_state(model)
    try:
        return model.fit(*case.data(), **case.settings(**changed)), case.rate < 1  # else any overflow
    except nerva.Diverged as error:
        return error.history, False
    except KINDS_OF_REFUSAL as error:
        # A rate of 1e30 makes weights that are not finite, which methods and layers may refuse at any step.
        if case.rate < 1:
            unchanged = whole_state(model) == before
            assert unchanged, f"fit has changed the network before its {error!r}"  # noqa: PT017
        raise Refused(f"fit: {error}") from error


def take_step(case, model, optimizer, rate=None):
    """Take a step on all samples, and return its loss; a refusal must have changed nothing."""
    before = whole_state(model)
    try:
        rate = case.rate if rate is None else rate
        return model.train_step(*case.data(), optimizer, rate, loss=case.make_loss())
    except KINDS_OF_REFUSAL as error:
        unchanged = whole_state(model) == before
        assert unchanged, f"train_step has changed the network before its {error!r}"  # noqa: PT017
        raise Refused(f"train_step: {error}") from error


def outcome(case, model, **changed):
    """All that came of a training run, to the last bit."""
    try:
        history, finite = train(case, model, **changed)
    except Refused as error:
        return str(error), whole_state(model) if case.rate < 1 else None
    records = [{**record, "seconds": 0} for record in history.as_dicts()]
    return repr((records, finite, history.topology)), whole_state(model)


def same(one, other, what):
    assert one[0] == other[0], f"{what}: another history"
    assert one[1] == other[1], f"{what}: other bits"


# ---- the calls
def fit(case):
    """Weights are counted, patterns are whole, and all uses of the network go on."""
    model = new_model(case)
    before = weights(model)
    history, finite = train(case, model)
    sound(model, finite)
    if finite:
        counts_are_right(before, model, history, case.topology)
        use(case, model)


def use(case, model):
    """Evaluate and predict in batches of any size: the network is not changed, and predictions are the same."""
    X, y = case.data()
    before = whole_state(model)
    loss = case.make_loss()  # that of the network, too, unless a signal came before it was
    evaluation = model.evaluate(X, y, loss=loss)
    assert np.isfinite(evaluation.loss), f"the loss of finite weights is {evaluation.loss}"
    exact = case.network["dtype"] == "float64"
    found = [model.predict(X, batch_size=size) for size in (1, 7, 1000)]
    if exact:
        again = model.evaluate(X, y, batch_size=3, loss=loss)
        close(again.loss, evaluation.loss, "the loss in batches of 3")
        if found[0].dtype.kind == "f":
            close(found[0], found[2], "predictions one by one")
    assert len({each.shape for each in found}) == 1
    assert whole_state(model) == before, "evaluate or predict has changed the network"


def two_ways(case):
    """The compiled step and the layers one by one differ by rounding alone; no number stands on an edge."""
    if case.optimizer == "Lion" or case.rate > 1:
        raise Refused("two ways: signs and infinities have no rounding errors")
    changed = {"dtype": "float64", "precision": None}
    one, other = new_model(case, **changed), layer_by_layer(new_model(case, **changed))
    off_the_edges(case, one, other)
    first, second = case.make_optimizer(), case.make_optimizer()
    for step in range(3):
        losses = [take_step(case, model, optimizer) for model, optimizer in ((one, first), (other, second))]
        close(*losses, f"the loss of step {step}")
    for mine, right in zip(one.parameters(), other.parameters(), strict=True):
        close(mine.values, right.values, f"{mine.name} behind the steps")
        for name in right.state:
            close(mine.state[name], right.state[name], f"{name} of {mine.name}")
    X, y = case.data()
    close(one.evaluate(X, y).loss, other.evaluate(X, y).loss, "the loss of evaluate")


def off_the_edges(case, *models):
    """Move every parameter by a random number, the same one in each network."""
    for model in models:
        rng = case.rng()
        for parameter in model.parameters():
            parameter.values += rng.uniform(0.05, 0.15, parameter.values.shape)


def threads(case):
    """One thread and two give the same bits, on own kernels alone."""
    before, found = nerva.get_num_threads(), []
    try:
        for count in (1, 2):
            nerva.set_num_threads(count)
            found.append(outcome(case, new_model(case, backend="native", sparse=True)))
    finally:
        nerva.set_num_threads(before)
    same(*found, "one thread and two")


def again(case):
    """The same case twice gives the same bits."""
    same(outcome(case, new_model(case)), outcome(case, new_model(case)), "the same run twice")


def saved(case):
    """A network that was saved, pickled or copied is the same one, and trains on to the same bits."""
    model = new_model(case)
    _, finite = train(case, model)
    if not finite:
        raise Refused("saved: the weights are not finite")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.safetensors"
        nerva.save(model, path)
        loaded = nerva.load(path)
        nerva.save_weights(model, path.with_suffix(".npz"))
        of_weights = nerva.load_weights(path.with_suffix(".npz"))
    filled = new_model(case, seed=case.seed)
    filled.load_state_dict(model.state_dict())
    others = {"loaded": loaded, "of weights": of_weights, "filled": filled, "copied": copy.deepcopy(model)}
    others["pickled"] = pickle.loads(pickle.dumps(model))
    for name, other in others.items():
        assert bits(other) == bits(model), f"{name}: other bits"
        sound(other)
    optimizers = [case.make_optimizer() for _ in range(2)]
    losses = [take_step(case, each, own, 0.01) for each, own in zip((model, loaded), optimizers, strict=True)]
    assert np.float64(losses[0]).tobytes() == np.float64(losses[1]).tobytes(), "loaded: another loss"
    assert bits(model) == bits(loaded), "loaded: other bits behind a step"


class Breaking:
    """A callback that notes the network at every moment, and raises at one of them."""

    def __init__(self, at=None):
        self.at, self.states = at, []

    def _moment(self, model):
        self.states.append(whole_state(model))
        if len(self.states) - 1 == self.at:
            raise Broken

    def on_train_begin(self, run):
        self._moment(run.model)

    def on_epoch_begin(self, run):
        self._moment(run.model)

    def on_topology_update(self, run, records):
        self._moment(run.model)

    def on_batch_end(self, run, result):
        self._moment(run.model)

    def on_epoch_end(self, run, record):
        self._moment(run.model)


def raised(case):
    """A callback that raises leaves the network as it was at that moment, and usable."""
    whole, model = Breaking(), new_model(case)
    _, finite = train(case, model, callbacks=[whole])
    at = int(case.rng().integers(len(whole.states)))
    model, breaking = new_model(case), Breaking(at)
    try:
        train(case, model, callbacks=[breaking])
    except Broken:
        pass
    else:
        raise AssertionError("the exception of a callback is lost")
    sound(model, finite)
    if case.topology != "TopKAST":  # which puts the weights back that it kept aside
        assert bits(model) == whole.states[at][0], "a callback that raised: the network is not as it was"
    if finite:
        use(case, model)


def resumed(case):
    """A run that a callback ended goes on from its checkpoint to the same bits."""
    with tempfile.TemporaryDirectory() as folder:  # a run with checkpoints ends where a weight is not finite, too
        wanted = outcome(case, new_model(case), checkpoint=folder)
    steps = case.fit["epochs"] * -(-case.samples // case.fit["batch_size"])
    rng = case.rng()
    every = None if rng.random() < 0.3 else int(rng.integers(1, 4))
    with tempfile.TemporaryDirectory() as folder:
        settings = {"checkpoint": folder, "checkpoint_every": every}
        with suppress(Broken):
            train(case, new_model(case), callbacks=[BatchBreaking(int(rng.integers(steps)))], **settings)
        found = outcome(case, new_model(case), resume=True, **settings)
    same(found, wanted, f"resumed, every {every}")


class BatchBreaking:
    """A callback that raises behind a step."""

    def __init__(self, at):
        self.left = at

    def on_batch_end(self, run, result):
        self.left -= 1
        if self.left < 0:
            raise Broken


@contextmanager
def alarm(seconds):
    """Raise Broken by a signal after a time, unless the context is over."""

    def ring(number, frame):
        if armed:
            raise Broken

    armed, before = [True], signal.getsignal(signal.SIGALRM)
    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        armed.clear()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def interrupted(case):
    """A signal anywhere in a step leaves the network before it or behind it; in `fit`, whole and usable."""
    if case.rate > 1:
        raise Refused("interrupted: the weights are not finite")
    rng, X, y = case.rng(), *case.data()
    model, optimizer = new_model(case), case.make_optimizer()
    started = time.perf_counter()
    take_step(case, model, optimizer)
    seconds = time.perf_counter() - started
    compiled = model.compiled(case.samples) is not None
    for _ in range(5):
        before = whole_state(model)
        behind, its = copy.deepcopy((model, optimizer))
        behind.train_step(X, y, its, case.rate)
        try:
            with alarm(max(1e-5, seconds * float(rng.uniform(0, 1.2)))):
                model.train_step(X, y, optimizer, case.rate)
        except Broken:
            pass
        sound(model)
        assert not compiled or whole_state(model) in (before, whole_state(behind)), "a signal: within a step"
    started = time.perf_counter()
    train(case, new_model(case))
    seconds, model = time.perf_counter() - started, new_model(case)
    try:
        with alarm(max(1e-5, seconds * float(rng.uniform(0, 1)))):
            train(case, model)
    except Broken:
        pass
    sound(model)
    use(case, model)


def sources(case):
    """The same samples from another kind of place give the same predictions and, chunked, the same bits."""
    X, y = case.data()
    model = new_model(case)
    model.loss = case.make_loss()
    dense = in_memory(X)
    found, wanted = model.evaluate(X, y, batch_size=20), model.evaluate(dense, y, batch_size=20)
    exact = case.network["dtype"] == "float64"
    close(found.loss, wanted.loss, f"the loss on {case.source}", 1e-7 if exact else 1e-2)
    assert model.predict(X).shape == model.predict(dense).shape


def in_memory(X):
    """Samples as an array."""
    if isinstance(X, nerva.datasets.Chunked):
        X = nerva.datasets.Standardized(X.source, 0.5, 0.25) if X.scale is not None else X.source
    return X.toarray() if hasattr(X, "toarray") else np.asarray(X[:])


def refused(case):
    """Wrong arguments are refused before anything is changed."""
    model, (X, y) = new_model(case), case.data()
    before = whole_state(model)
    dense = np.ones((case.samples, case.sizes[0]))
    wrong = dense.copy()
    wrong[-1, -1] = np.nan
    settings = case.settings()
    calls = {
        "NaN": lambda: model.fit(wrong, y, **settings),
        "features": lambda: model.fit(np.ones((case.samples, case.sizes[0] + 1)), y, **settings),
        "samples": lambda: model.fit(dense, y[:-1], **settings),
        "rate": lambda: model.train_step(dense, y, case.make_optimizer(), -1.0, loss=settings["loss"]),
        "batch": lambda: model.fit(X, y, **{**settings, "batch_size": 0}),
        "epochs": lambda: model.fit(X, y, **{**settings, "epochs": -1}),
        "state": lambda: model.load_state_dict({**model.state_dict(), "9.values": np.ones(1)}),
        "predict": lambda: model.predict(np.ones((3, case.sizes[0] + 2))),
    }
    for name, call in calls.items():
        try:
            call()
        except KINDS_OF_REFUSAL:
            pass
        else:
            raise AssertionError(f"{name}: was not refused")
        assert whole_state(model) == before, f"{name}: was refused, and has changed the network"


def compacted(case):
    """A network without its dead neurons has the same outputs."""
    model = new_model(case, dtype="float64", precision=None)
    off_the_edges(case, model)
    small, X = model.compact(), case.rng().standard_normal((case.sizes[0], 9))
    sound(small)
    close(small.forward(X, training=False), model.forward(X, training=False), "the outputs of the compact network")


CALLS = {
    call.__name__: call
    for call in (fit, two_ways, threads, again, saved, raised, resumed, interrupted, sources, refused, compacted)
}
