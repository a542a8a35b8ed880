"""A compiled step has the same bits on any number of threads, and leaves no trace of the team that took it."""

import numpy as np
import pytest

from nerva._kernels import mkl
from nerva._kernels.rewiring import rewire
from nerva._kernels.updates import Update

from ..plan_reference import ARRAY, RULES, Case, plain_case, updates
from ..reference import assert_same_bits

THREADS = (1, 2, 3, 5, 8, 16)  # more than there are slices of most batches
BATCHES = (1, 40, 64, 65, 100, 129, 300, 513, 520)

NETWORKS = {
    "sparse": lambda N: plain_case((120, 100, 80, 10), N, activation="tanh", samples=60),
    "mixed": lambda N: Case(
        (60, 200, 31, 7), ("thin", "one heavy row", ARRAY), ("relu", "leaky_relu", "identity"), (True, False, True), N
    ),
    "bytes": lambda N: plain_case((3 * 8 * 8, 100, 10), N, source="uint8", scaled=True, shifted=True),
    "rows": lambda N: plain_case((120, 100, 80, 10), N, activation="tanh", samples=60, by_rows=True),
    "rows of all kinds": lambda N: Case(
        (60, 10, 600, 7),
        ("one heavy row", "one heavy column", ARRAY),  # whose transpose has a heavy row
        ("relu", "leaky_relu", "identity"),
        (True, True, True),
        N,
        by_rows=True,
    ),
    "rows of bytes": lambda N: plain_case(
        (3 * 8 * 8, 100, 10), N, "one heavy row", source="uint8", scaled=True, shifted=True, by_rows=True
    ),
    "images": lambda N: plain_case((3 * 8 * 8, 100, 10), N, source="uint8", scaled=True, image_shape=(3, 8, 8)),
}


def train(case, dtype, rule, threads, steps=3):
    """All that some steps leave: losses, weights, moments, outputs."""
    mkl.set_num_threads(threads)
    network = case.network(dtype)
    plan, velocity, second = network.plan(), network.moments(), network.moments()
    losses = [plan.step(updates(rule.at(0.1, t), velocity, second), **network.batch) for t in range(1, steps + 1)]
    out = np.zeros((case.sizes[-1], case.N), dtype)
    plan.forward(network.source, network.rows, out, scale=network.scale, shift=network.shift)
    vectors = [vector for pair in (*network.vectors(), *velocity, *second) for vector in pair if vector is not None]
    return losses, [*vectors, out]


def assert_same_results(results, names):
    for name, (losses, arrays) in zip(names, results, strict=True):
        assert losses == results[0][0], f"{name} against {names[0]}"
        for array, first in zip(arrays, results[0][1], strict=True):
            assert_same_bits(array, first, f"{name} against {names[0]}")


@pytest.mark.parametrize("N", BATCHES)
@pytest.mark.parametrize("name", NETWORKS)
def test_the_bits_do_not_depend_on_threads(instruction_set, dtype, name, N):
    rule = RULES[BATCHES.index(N)]
    assert_same_results([train(NETWORKS[name](N), dtype, rule, threads) for threads in THREADS], THREADS)


@pytest.mark.parametrize("N", [1, 2, 7])
def test_the_bits_of_few_samples_do_not_depend_on_threads(instruction_set, dtype, N):
    """Of so many weights that several threads share them."""
    case = plain_case((300, 250, 200, 10), N, activation="sigmoid")
    assert_same_results([train(case, dtype, RULES[-1], threads) for threads in THREADS], THREADS)


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize(("N", "by_rows"), [(200, False), (200, True), (100, True), (1, None)])
def test_the_bits_of_every_rule_do_not_depend_on_threads(instruction_set, dtype, rule, N, by_rows):
    case = plain_case((100, 90, 10), N, offset=1, by_rows=by_rows)
    assert_same_results([train(case, dtype, rule, threads) for threads in THREADS], THREADS)


@pytest.mark.parametrize("name", ["sparse", "rows", "rows of all kinds"])
def test_a_plan_is_used_with_any_number_of_threads_in_turn(instruction_set, dtype, name):
    case = NETWORKS[name](300)
    results = []
    for turns in ((1, 1, 1, 1, 1), (5, 1, 2, 3, 1), (1, 2, 5, 2, 3)):
        network = case.network(dtype)
        plan, velocity = network.plan(), network.moments()
        losses = []
        for threads in turns:
            mkl.set_num_threads(threads)
            losses.append(plan.step(updates(Update("momentum", 0.1, 0.9), velocity, velocity), **network.batch))
        results.append((losses, [vector for pair in network.vectors() for vector in pair]))
    assert_same_results(results, ("one thread", "from five on", "up to five"))


def shrink(network, rng):
    for weight in network.weights:
        weight.values[:] *= 0.5


def move_bias(network, rng):
    for bias in network.biases:
        bias[:] += rng.standard_normal(len(bias))


def exchange(network, rng):
    """As many weights in other places."""
    W = network.weights[0]
    empty = np.flatnonzero(W.to_dense().reshape(-1) == 0)
    dropped, grown = (np.sort(rng.choice(n, 200, replace=False)) for n in (W.nnz, len(empty)))
    rewire(W, dropped, empty[grown], rng.standard_normal(200).astype(W.dtype))


def prune(network, rng):
    """Fewer weights."""
    W = network.weights[1]
    rewire(W, np.arange(0, W.nnz, 3), np.empty(0, np.int64), np.empty(0, W.dtype))


def grow(network, rng):
    """More weights than the plan has had."""
    W = network.weights[1]
    empty = np.flatnonzero(W.to_dense().reshape(-1) == 0)
    rewire(W, np.empty(0, np.int64), empty, rng.standard_normal(len(empty)).astype(W.dtype))


@pytest.mark.parametrize("change", [shrink, move_bias, exchange, prune, grow], ids=lambda change: change.__name__)
def test_the_next_step_sees_every_change_of_the_weights(instruction_set, dtype, change):
    """As a plan does that is made of the changed weights, on any number of threads."""
    results = []
    for fresh in (True, False):
        for threads in (1, 2, 3):
            mkl.set_num_threads(threads)
            network, rng = plain_case((70, 60, 50, 10), 129).network(dtype), np.random.default_rng(0)
            plan, losses = network.plan(), []
            for _ in range(3):
                nothing, rule = network.moments(), Update("sgd", 0.1)
                losses.append(plan.step(updates(rule, nothing, nothing), **network.batch))
                change(network, rng)
                out = np.zeros((10, 129), dtype)
                if fresh:
                    plan = network.plan()
                plan.forward(network.source, network.rows, out)
                losses.append(out.sum())
            results.append((losses, [vector for pair in network.vectors() for vector in pair]))
    assert_same_results(results, ["a new plan"] * 3 + ["the same plan"] * 3)


def test_times_are_added_and_change_no_bits(instruction_set, dtype):
    results = []
    for timed in (False, True):
        for threads in (1, 2):
            mkl.set_num_threads(threads)
            network = NETWORKS["sparse"](300).network(dtype)
            plan, nothing, times = network.plan(), network.moments(), np.zeros(9, np.int64)
            losses = []
            for _ in range(2):
                before, rule = times.sum(), updates(Update("sgd", 0.1), nothing, nothing)
                losses.append(plan.step(rule, **network.batch, nanoseconds=times if timed else None))
                assert (times.sum() > before) == timed
            assert (times > 0).all() == timed
            results.append((losses, [vector for pair in network.vectors() for vector in pair]))
    assert_same_results(results, ("plain", "plain, two threads", "timed", "timed, two threads"))


def test_weights_that_take_their_step_at_once_have_no_vector_of_gradients(dtype):
    """Where a batch is one slice that fits the registers; not where several slices are added up."""
    case = plain_case((300, 200, 10), 40, by_rows=True)
    weights = sum(weight.nnz for weight in case.network(dtype).weights) * dtype.itemsize
    held = []
    for N in (16, 300):
        network = plain_case((300, 200, 10), N, by_rows=True).network(dtype)
        plan, nothing = network.plan(), network.moments()
        assert plan.nbytes == 0
        plan.step(updates(Update("sgd", 0.1), nothing, nothing), **network.batch)
        held.append(plan.nbytes)
        plan.forward(network.source, network.rows, np.zeros((10, N), dtype))
        assert plan.nbytes == held[-1]
    rows, scratch = 300 + 200 + 10 + 200, 5 * 304 * dtype.itemsize
    assert held[0] < rows * 64 * dtype.itemsize / 4 + scratch + 3000
    assert weights <= held[1] < weights + rows * 112 * dtype.itemsize + scratch + 3000
