"""What a compiled step costs: nothing is allocated in a steady step, and its profile tells where the time went."""

import gc
import resource
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import nerva
from nerva._kernels import slices

from ..compiled_reference import arrays, counted, images, network, samples
from ..reference import assert_same_bits


def resident():
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.parametrize("most_weights", [0, slices.MOST_WEIGHTS], ids=["rows", "slices"])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("make_optimizer", [nerva.Nesterov, nerva.Adam], ids=["nesterov", "adam"])
def test_a_steady_step_allocates_nothing(make_optimizer, threads, most_weights, monkeypatch):
    monkeypatch.setattr(slices, "MOST_WEIGHTS", most_weights)
    nerva.set_num_threads(threads)
    model, optimizer, (X, y) = network(), make_optimizer(), samples()
    steps, held = 200, []
    tracemalloc.start()
    try:
        for i in range(30 + steps):
            if i in (10, 30):
                gc.collect()
                held.append(tracemalloc.get_traced_memory()[0])
            model.train_step(X, y, optimizer, 0.01)
        gc.collect()
        held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    # Python's own free lists fill up slowly; the smallest array would take over 100 bytes a step.
    assert held[1] - held[0] < 20 * 100
    assert held[2] - held[1] < steps * 50


def test_no_step_allocates_an_array_for_the_batch():
    """At its peak, a step of bytes holds less than one of its buffers takes."""
    (X, y), model, optimizer = images(300), network(dtype=np.float32), nerva.SGD()
    for _ in range(10):
        model.train_step(X, y, optimizer, 0.01)
    tracemalloc.start()
    try:
        for _ in range(20):
            model.train_step(X, y, optimizer, 0.01)
        assert tracemalloc.get_traced_memory()[1] < 300 * 40 * 4
    finally:
        tracemalloc.stop()


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
def test_memory_does_not_grow_over_many_steps():
    model, optimizer, (X, y) = network(), nerva.Nesterov(), samples()
    batches = [(X[:n], y[:n]) for n in (330, 100, 129, 20)]
    for _ in range(50):
        for X, y in batches:
            model.train_step(X, y, optimizer, 0.01)
    before = resident()
    with counted() as steps:
        for _ in range(125):
            for X, y in batches:
                model.train_step(X, y, optimizer, 0.01)
            model.evaluate(X, y)
    assert steps.train == 500
    assert resident() - before < 1 << 20


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
def test_memory_does_not_grow_as_weights_move_and_are_replaced():
    model, optimizer, (X, y) = network(), nerva.SGD(), samples()
    others = [nerva.SparseLinear(40, 60, density=d, rng=5, dtype=np.float64).weight for d in (0.1, 0.9)]

    def turn():
        layer = model.layers[1]
        for weight in others:
            model.layers[0].weight = weight
            model.train_step(X, y, optimizer, 0.01)
            layer.rewire(np.arange(100), np.flatnonzero(layer.dense_weight().reshape(-1) == 0)[:100])
            model.train_step(X, y, optimizer, 0.01)

    for _ in range(30):
        turn()
    before = resident()
    for _ in range(100):
        turn()
    assert resident() - before < 2 << 20


# ---- profiles


def test_a_profile_has_every_phase_of_a_compiled_step():
    model, (X, y) = network(), samples(300)
    with nerva.profile() as p, counted() as steps:
        model.fit(X, y, epochs=2)
    assert steps.train == 6
    rows = {(row.layer, row.phase): row for row in p.rows}
    layers = ["0 SparseLinear 40-60", "1 SparseLinear 60-50", "2 Linear 50-6"]
    assert set(rows) == {
        *(("", phase) for phase in ("data", "loss", "update")),
        *((layer, phase) for layer in layers for phase in ("forward", "backward")),
    }
    assert {row.calls for row in rows.values()} == {6}
    assert all(row.seconds > 0 for row in rows.values())
    for i, layer in enumerate(model.layers):
        assert rows[layers[i], "forward"].flops == 2 * layer.nnz * 600
        assert rows[layers[i], "backward"].flops == (2 if i else 1) * 2 * layer.nnz * 600
    assert "update" in str(p)


def test_a_profile_of_both_ways_has_both_in_its_rows():
    """With an optimizer of one's own, a step is run layer by layer."""

    class Stepping(nerva.SGD):
        def step(self, parameters, rate):
            super().step(parameters, rate)

    model, (X, y) = network(), samples(330)
    with nerva.profile() as p, counted() as steps:
        model.fit(X, y, epochs=1)
        model.fit(X, y, epochs=1, optimizer=Stepping())
    assert steps.train == 4
    calls = {(row.layer[:1], row.phase): row.calls for row in p.rows}
    assert set(calls.values()) == {8}


@pytest.mark.parametrize("threads", [1, 2])
def test_a_profile_changes_no_bits(threads):
    nerva.set_num_threads(threads)
    results = []
    for profiled in (False, True):
        model = network(dtype=np.float32)
        if profiled:
            with nerva.profile():
                history = model.fit(*images(300), epochs=3, optimizer=nerva.Adam())
        else:
            history = model.fit(*images(300), epochs=3, optimizer=nerva.Adam())
        results.append((history["loss"], arrays(model)))
    assert results[0][0] == results[1][0]
    for mine, other in zip(results[0][1], results[1][1], strict=True):
        assert_same_bits(mine, other)


def test_the_times_of_a_profile_add_up_to_the_whole():
    """On one thread, steps of milliseconds: their phases are nearly all of the time."""
    nerva.set_num_threads(1)
    model = nerva.MLP([500, 400, 300, 10], density=0.5, sparse=True, backend="native")
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((1000, 500)).astype(np.float32), rng.integers(0, 10, 1000)
    shares = []
    for _ in range(5):  # another process may take the processor meanwhile
        with nerva.profile() as p, counted() as steps:
            started = time.perf_counter()
            model.train_step(X, y, nerva.SGD(), 0.01)
            whole = time.perf_counter() - started
        assert steps.train == 1
        shares.append(p.seconds / whole)
    assert max(shares) <= 1
    assert max(shares) > 0.8


def test_a_profile_of_compiled_predictions_has_one_forward_pass_of_the_network():
    model, (X, y) = network(), samples(300)
    with nerva.profile() as p, counted() as steps:
        model.predict(X, batch_size=100)
        model.evaluate(X, y, batch_size=100)
        model.predict(X[:50])
        model.predict(X[:1])  # a single sample is taken as it lies, layer by layer
    assert steps.outputs == 7
    calls = {(row.layer[:1], row.phase): row.calls for row in p.rows}
    assert calls == {("", "forward"): 7, ("0", "forward"): 1, ("1", "forward"): 1, ("2", "forward"): 1}
    assert all(row.seconds > 0 for row in p.rows)


def test_history_and_outputs_are_the_users_to_keep():
    """What is returned is not overwritten by the next call."""
    model, (X, y) = network(), samples(300)
    first = model.predict_proba(X, batch_size=100)
    kept = first.copy()
    model.train_step(X, y, nerva.SGD(), 0.5)
    second = model.predict_proba(X, batch_size=100)
    assert_same_bits(first, kept)
    assert (first != second).any()
