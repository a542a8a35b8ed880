"""What raises in the middle of an update leaves weights, optimizer and method as they were before it."""

import copy
import random
import signal
import sys

import numpy as np
import pytest

import nerva

from .comparison import BATCH, METHODS, make


class Stop(BaseException):
    """What a handler or tracer raises."""


def kept(model, updater):
    """All that an update changes, as copies."""
    found = [copy.deepcopy([updater.state(), updater.layers[0].rng.bit_generator.state])]
    for parameter in model.parameters():
        found.append([parameter.values.copy(), {name: v.copy() for name, v in parameter.state.items()}])
    for layer in model.layers:
        assert np.shares_memory(layer.parameters()[0].values, layer.weight.values)
        assert layer.weight_gradient.shape == layer.weight.values.shape
        found.append([layer.weight.indptr.copy(), layer.weight.indices.copy(), layer.weight.values.copy()])
    return found


def same(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return np.array_equal(one, other)


def ready(method, data):
    """A network and an updater with an update due after its batch."""
    model, optimizer, loss = make(), nerva.Adam(), nerva.SoftmaxCrossEntropy()
    updater = nerva.topology.TopologyUpdater(method, model.layers, 40, 7, np.random.default_rng(3))
    X, y = data[0][:BATCH], data[1][:BATCH]
    for step in range(7):
        updater.before(step)
        model.train_step(X, y, optimizer, 0.01, loss=loss)
        updater.method.each(updater.layers, 0.01)
    for layer in model.layers:
        layer.backward(layer.forward(np.ones((layer.in_features, BATCH))))
    updater._now = method.when.due(14, 40, 7)
    assert updater._now is not None
    return model, updater


def traced(work, at):
    """Raise at the n-th line that `work` runs in nerva.topology, layers and parameters; return how many it has run."""
    count = 0

    def trace(frame, event, arg):
        nonlocal count
        if not any(part in frame.f_code.co_filename for part in ("nerva/topology", "nerva/layers", "nerva/parameters")):
            return None
        if event == "line":
            count += 1
            if count == at:
                sys.settrace(None)
                raise Stop
        return trace

    former = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(former)
    return count


@pytest.mark.parametrize("method", [*METHODS, nerva.TopKAST(every=7)], ids=repr)
def test_an_exception_at_any_line_leaves_all_before_or_after(method, data):
    model, updater = ready(method, data)
    before = kept(model, updater)
    lines = traced(lambda: updater._update(0.01), None)
    after = kept(model, updater)
    assert not same(before, after)
    for at in random.Random(1).sample(range(1, lines + 1), 12):
        model, updater = ready(method, data)
        with pytest.raises(Stop):
            traced(lambda: updater._update(0.01), at)  # noqa: B023
        assert same(kept(model, updater), before) or same(kept(model, updater), after), at


@pytest.mark.parametrize("name", ["SET", "GMP"])
def test_memory_that_is_short_leaves_all_before(name, data, monkeypatch):
    method = nerva.SET() if name == "SET" else nerva.GMP(0.1, every=7)
    model, updater = ready(method, data)
    before = kept(model, updater)
    calls, real = [], nerva.parameters.moved

    def moved(vector, source, *first):
        calls.append(len(source))
        if len(calls) == (5 if name == "SET" else 4):  # the second moment of the second layer; ages where some grow
            raise MemoryError
        return real(vector, source, *first)

    monkeypatch.setattr(nerva.parameters, "moved", moved)
    with pytest.raises(MemoryError):
        updater._update(0.01)
    assert same(kept(model, updater), before)
    monkeypatch.undo()
    model.fit(*data, epochs=2, batch_size=BATCH, topology=method, optimizer=nerva.Adam())


def test_an_alarm_waits_for_the_end_of_an_update(data):
    def alarm(number, frame):
        raise Stop

    def grow(layer, count):
        if layer.index == 1:
            signal.raise_signal(signal.SIGALRM)
        return nerva.topology.grow.uniformly(layer, count)

    method = nerva.Topology(nerva.When(7), nerva.topology.drop.smallest, grow)
    model, updater = ready(method, data)
    old, former = [layer.weight.indices.copy() for layer in model.layers], signal.signal(signal.SIGALRM, alarm)
    try:
        with pytest.raises(Stop):
            updater._update(0.01)
        assert signal.getsignal(signal.SIGALRM) is alarm
    finally:
        signal.signal(signal.SIGALRM, former)
    assert len(updater.records) == 3
    assert not any(np.array_equal(layer.weight.indices, its) for layer, its in zip(model.layers, old, strict=True))
    model.fit(*data, epochs=2, batch_size=BATCH, topology=nerva.SET(), optimizer=nerva.Adam())
