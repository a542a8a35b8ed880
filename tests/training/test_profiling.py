"""Profiles: what they count, whom they see, and that they leave nothing behind."""

import sys
import threading

import numpy as np
import pytest

import nerva
from nerva.training.profiling import recorder


def data(n=50):
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, 12)).astype(np.float32), rng.integers(0, 4, n)


def network():
    return nerva.MLP([12, 10, 4], density=[0.3, 1.0], batch_norm=True)


def test_every_phase_of_every_layer_is_there():
    model, (X, y) = network(), data()
    with nerva.profile() as p:
        model.fit(X, y, epochs=2, batch_size=20)
    rows = {(row.layer, row.phase): row for row in p.rows}
    layers = ["0 SparseLinear 12-10", "1 BatchNorm 10-10", "2 Linear 10-4"]
    assert set(rows) == {
        ("", "data"),
        ("", "loss"),
        ("", "update"),
        *((layer, phase) for layer in layers for phase in ("forward", "backward")),
    }
    assert {row.calls for row in rows.values()} == {6}
    samples = 2 * len(X)
    assert rows[layers[0], "forward"].flops == 2 * model.layers[0].nnz * samples
    assert rows[layers[0], "backward"].flops == 2 * model.layers[0].nnz * samples  # no input gradient
    assert rows[layers[2], "backward"].flops == 4 * 40 * samples
    assert rows[layers[1], "forward"].flops == 0
    assert all(row.seconds > 0 for row in rows.values())
    assert p.seconds == pytest.approx(sum(row.seconds for row in rows.values()))
    assert rows[layers[0], "forward"].gflops > 0


def test_the_table_and_the_dicts():
    with nerva.profile() as p:
        network().fit(*data(), epochs=1)
    text = str(p)
    assert text.splitlines()[0].split() == [
        "layer",
        "phase",
        "calls",
        "ms",
        "share",
        "us",
        "a",
        "call",
        "GFLOP/s",
        "GB/s",
    ]
    assert "0 SparseLinear 12-10  backward " in text
    assert text.splitlines()[-2].startswith("total")
    assert [entry["phase"] for entry in p.as_dicts()][:2] == ["data", "forward"]


def test_pandas_is_an_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with nerva.profile() as p, pytest.raises(ImportError, match=r"nerva-sparse\[pandas\]"):
        p.to_frame()


def test_an_empty_profile_is_a_table():
    with nerva.profile() as p:
        pass
    assert p.rows == []
    assert "total" in str(p)


def test_the_inner_one_counts_and_the_outer_one_goes_on():
    model, (X, y) = network(), data()
    with nerva.profile() as outer:
        model.predict(X)
        with nerva.profile() as inner:
            model.predict(X)
        model.predict(X)
    assert {row.calls for row in outer.rows} == {2}
    assert {row.calls for row in inner.rows} == {1}
    assert recorder() is None
    model.fit(X, y, epochs=1)
    assert {row.calls for row in outer.rows} == {2}


def test_an_exception_closes_it():
    with pytest.raises(ZeroDivisionError), nerva.profile():
        raise ZeroDivisionError
    assert recorder() is None


def test_other_threads_are_not_seen():
    model, (X, _) = network(), data()
    with nerva.profile() as p:
        thread = threading.Thread(target=model.predict, args=(X,))
        thread.start()
        thread.join()
    assert p.rows == []


def test_results_are_the_same():
    losses = []
    for profiled in (False, True):
        model, (X, y) = network(), data()
        if profiled:
            with nerva.profile():
                losses.append(model.fit(X, y, epochs=2)["loss"])
        else:
            losses.append(model.fit(X, y, epochs=2)["loss"])
    assert losses[0] == losses[1]
