"""The moments of a training run: which callbacks are called when, what is refused, and what an exception leaves."""

import re

import numpy as np
import pytest

import nerva

from ..training_reference import network, samples, state

MOMENTS = ["on_train_begin", "on_epoch_begin", "on_topology_update", "on_batch", "on_batch_end", "on_epoch_end",
           "on_train_end"]  # fmt: skip


def named(*methods, call=None):
    """An object that has these methods, each of which passes its name and arguments to `call`."""
    own = {name: lambda self, *arguments, name=name: call(name, *arguments) for name in methods}
    return type("Mine", (), own)()


def train(*callbacks, model=None, **settings):
    model = network() if model is None else model
    return model, model.fit(*samples(), batch_size=40, callbacks=callbacks, **{"epochs": 2} | settings)


def test_every_moment_comes_in_its_turn():
    calls = []
    mine = named(*MOMENTS, "__call__", call=lambda name, *arguments: calls.append((name, arguments)))
    model, history = train(mine, topology=nerva.RigL(every=2, end=1.0))
    batch = ["on_batch", "on_batch_end"]
    moves = ["on_topology_update"]
    first, second = [*batch, *batch, *moves, *batch], [*batch, *moves, *batch, *batch]
    closing = ["on_epoch_end", "__call__"]
    assert [name for name, _ in calls] == [
        "on_train_begin", "on_epoch_begin", *first, *closing, "on_epoch_begin", *second, *closing, "on_train_end",
    ]  # fmt: skip
    arguments = {name: [given for other, given in calls if other == name] for name, _ in calls}
    (run,) = arguments["on_train_begin"][0]
    assert (run.model, run.history) == (model, history)
    assert all(given[0] is run for name in MOMENTS if name != "on_batch" for given in arguments[name])
    assert [record for _, record in arguments["on_epoch_end"]] == history.epochs
    assert arguments["__call__"] == [(model, record) for record in history.epochs]
    assert arguments["on_batch"] == [(1, 3), (2, 3), (3, 3)] * 2
    losses = [result.value for _, result in arguments["on_batch_end"]]
    assert np.average(losses[:3], weights=[40, 40, 10]) == pytest.approx(history["loss"][0])
    assert [record for _, records in arguments["on_topology_update"] for record in records] == history.topology
    assert len(history.topology) == 4


def test_a_run_tells_where_it_is():
    seen = []

    class Watch:
        def on_epoch_begin(self, run):
            seen.append((run.current_epoch, run.epochs, run.global_step))

        def on_batch_end(self, run, result):
            seen.append(run.rate)

    train(Watch(), schedule=lambda epoch: 0.1 * (1 + epoch))
    steps = [pytest.approx(0.1 * (1 + step / 3)) for step in range(6)]
    assert seen == [(0, 2, 0), *steps[:3], (1, 2, 3), *steps[3:]]


@pytest.mark.parametrize(("moment", "epochs"), list(zip(MOMENTS, [0, 0, 1, 1, 1, 1, 2], strict=True)))
def test_any_moment_may_stop_the_training_and_the_others_are_told(moment, epochs):
    others = []

    def stop(name, *_):
        raise nerva.StopTraining

    _, history = train(
        named(moment, call=stop),
        named(moment, "on_train_end", call=lambda name, *_: others.append(name)),
        topology=nerva.RigL(every=2, end=1.0),
    )
    assert len(history) == epochs
    assert others == ([moment] if moment == "on_train_end" else [moment, "on_train_end"])


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("moment", [*MOMENTS, "__call__"])
def test_an_exception_leaves_a_network_that_can_be_used(moment, error):
    ended = []

    def fail(name, *_):
        raise error("mine")

    before, model = network().nnz, network()
    end = named("on_train_end", call=lambda *_: ended.append(model.nnz))
    with pytest.raises(error, match="mine"):
        train(end, named(moment, call=fail), model=model, topology=nerva.TopKAST(every=2))
    assert ended == [model.nnz]
    assert model.nnz == pytest.approx(before / 2, abs=2)  # the forward set alone: the topology was finished
    assert len(model.predict(samples()[0])) == 90
    assert len(train(model=model)[1]) == 2


def test_only_those_that_began_are_told_of_the_end_and_each_of_them():
    ended = []

    def begin(name, *_):
        raise RuntimeError("begin") if name == "on_train_begin" else ValueError("end")

    with pytest.raises(ValueError, match="end") as failed:
        train(
            named("on_train_begin", "on_train_end", call=lambda name, *_: ended.append((1, name))),
            named("on_train_begin", "on_train_end", call=begin),
            named("on_train_begin", "on_train_end", call=lambda name, *_: ended.append((3, name))),
        )
    assert str(failed.value.__context__) == "begin"
    assert ended == [(1, "on_train_begin"), (1, "on_train_end")]


class Typo:
    def on_epoch_ended(self, run, record):
        pass


class Narrow:
    def on_epoch_end(self, record):
        pass


class Attribute:
    on_epoch_end = 3


@pytest.mark.parametrize(
    ("callback", "message"),
    [
        (object(), "callbacks[1] is <object object at 0x"),
        (Typo, "callbacks[1] is the class Typo; make an object of it: Typo(...)"),
        (Typo(), "whose on_epoch_ended would never be called; the moments are on_train_begin, on_epoch_begin, "),
        (Narrow(), "whose on_epoch_end takes (record); it must take ('run', 'record')"),
        (Attribute(), "whose on_epoch_end is 3; it must be a method"),
        (lambda record: None, "takes (record); it must take ('model', 'record')"),
        ("best", "callbacks[1] is 'best'; it must be callable, or have some of the methods on_train_begin"),
    ],
)
def test_what_is_no_callback_is_refused_before_the_first_step(callback, message):
    model = network()
    before = state(model)
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        train(print, callback, model=model)
    assert state(model) == before
