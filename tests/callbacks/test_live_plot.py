"""The curves of a run in a notebook, while it runs."""

import sys
import types

import pytest

import nerva
from nerva.callbacks import LivePlot

from ..training_reference import network, samples


def train(*callbacks, **settings):
    made = {"epochs": 5, "batch_size": 40, **settings}
    return network().fit(*samples(), callbacks=callbacks, **made)


@pytest.mark.parametrize(("every", "drawings"), [(1, [1, 2, 3, 4, 5]), (2, [2, 4, 5]), (9, [5])])
def test_every_so_many_epochs_and_at_the_end(every, drawings):
    seen = []
    history = train(LivePlot(every=every, show=seen.append))
    assert [f"<div>{epochs} epochs" for epochs in drawings] == [html[: html.index("<br/>")] for html in seen]
    assert seen[-1] == history._repr_html_()


def test_an_interrupted_run_draws_what_was_done():
    def fail(model, record):
        if record.epoch == 3:
            raise KeyboardInterrupt

    seen = []
    with pytest.raises(KeyboardInterrupt):
        train(LivePlot(every=2, show=seen.append), fail)
    assert [html[:13] for html in seen] == ["<div>2 epochs", "<div>3 epochs"]


def test_patterns_are_drawn_as_they_are():
    seen = []
    train(LivePlot(patterns=True, show=seen.append), topology=nerva.RigL(every=3))
    assert [html.count("<img") for html in seen] == [2] * 5
    assert seen[0].split("<img")[1] != seen[-1].split("<img")[1]


def test_a_notebook_has_one_place_that_is_drawn_anew(monkeypatch):
    calls = []

    class Handle:
        def update(self, html):
            calls.append(("update", html))

    def display(html, *, display_id):
        assert display_id is True
        calls.append(("display", html))
        return Handle()

    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", types.SimpleNamespace(display=display, HTML=lambda html: html))
    live = LivePlot()
    for _ in range(2):  # two runs, two cells
        history = train(live, epochs=3)
    assert [name for name, _ in calls] == ["display", "update", "update"] * 2
    assert calls[-1][1] == history._repr_html_()


def test_elsewhere_there_is_nothing_to_draw_on(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython.display", None)
    with pytest.raises(ImportError, match="LivePlot needs a notebook, which has IPython"):
        train(LivePlot())


@pytest.mark.parametrize("settings", [{"every": 0}, {"patterns": 1}, {"show": "yes"}])
def test_a_wrong_argument_is_named(settings):
    with pytest.raises((TypeError, ValueError), match=f"{next(iter(settings))} is "):
        LivePlot(**settings)
