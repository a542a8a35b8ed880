"""Work is divided among 1 to 128 threads completely, without overlap and evenly; checked without starting them."""

import numpy as np
import pytest

import nerva
from nerva._kernels.partition import ROW_COST, crews, row_shares, shares

from ..partition import NETWORKS, by_rows, pointers, step_work

THREADS = [*range(1, 20), 31, 32, 33, 48, 64, 96, 127, 128]
INT32 = 2**31 - 1


def assert_contiguous(ranges, count):
    assert ranges[0, 0] == 0
    assert ranges[-1, 1] == count
    np.testing.assert_array_equal(ranges[1:, 0], ranges[:-1, 1])
    assert (ranges[:, 0] <= ranges[:, 1]).all()


@pytest.mark.parametrize("unit", [1, 8, 16, 1024])
@pytest.mark.parametrize("count", [0, 1, 7, 16, 127, 128, 1000, 36_751, INT32, 2**40])
def test_every_item_is_one_threads_and_no_thread_has_more_than_a_unit_too_many(count, unit):
    for threads in THREADS:
        ranges = shares(count, unit, threads)
        assert_contiguous(ranges, count)
        assert ((ranges[:, 0] % unit == 0) | (ranges[:, 0] == count)).all()
        sizes = np.diff(ranges)[:, 0]
        units = -(-count // unit)
        assert sizes.max() <= -(-units // threads) * unit
        if count >= unit * threads:
            assert sizes.max() - sizes.min() < 2 * unit


def drawn(rng, kind):
    """The numbers of weights of rows."""
    return {
        "uniform": lambda: rng.binomial(1024, 0.02, 3000),
        "empty rows": lambda: rng.binomial(1024, 0.02, 3000) * (rng.random(3000) < 0.1),
        "no weights": lambda: np.zeros(3000, np.int64),
        "no rows": lambda: np.zeros(0, np.int64),
        "a row": lambda: np.array([5]),
        "few rows": lambda: rng.integers(0, 100, 10),
        "power law": lambda: np.minimum(rng.zipf(1.5, 3000), 50_000),
        "a heavy row": lambda: np.where(np.arange(3000) == 1700, 10**6, 3),
        "int32": lambda: np.full(8, INT32 // 8),
    }[kind]()


KINDS = ("uniform", "empty rows", "no weights", "no rows", "a row", "few rows", "power law", "a heavy row", "int32")


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_shared_by_their_cost(kind):
    for threads in THREADS:
        counts = drawn(np.random.default_rng(threads), kind)
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        ranges = row_shares(indptr, threads)
        assert_contiguous(ranges, len(counts))
        costs = np.diff(np.concatenate([[0], np.cumsum(counts + ROW_COST)])[ranges])[:, 0]
        np.testing.assert_array_equal(by_rows(indptr, threads), costs)
        heaviest = counts.max() + ROW_COST if len(counts) else 0
        assert costs.max() <= costs.sum() / threads + heaviest  # a row is one thread's


def test_crews_have_all_threads_and_are_of_equal_size():
    for threads, count in ((team, crew) for team in THREADS for crew in range(1, min(team, 8) + 1)):
        number, thread, size = crews(count, threads).T
        assert (np.diff(number) >= 0).all()
        np.testing.assert_array_equal(np.unique(number), np.arange(count))
        for own in range(count):
            np.testing.assert_array_equal(thread[number == own], np.arange((number == own).sum()))
            assert (size[number == own] == (number == own).sum()).all()
        assert size.max() - size.min() <= 1


@pytest.mark.parametrize("density", [0.01, 0.05, 0.2])
def test_a_step_is_shared_evenly(density):
    """By as many threads as it has eight rows of the widest layer for each, of a batch of eight groups."""
    matrices = pointers(nerva.MLP([*NETWORKS["3072-1024-512-10"]], density=density, seed=1))
    least = {1: 1.0, 2: 0.9, 4: 0.9, 8: 0.9, 16: 0.9, 32: 0.85, 64: 0.75, 128: 0.6}
    for threads, part in least.items():
        assert step_work(matrices, 1024, threads).speedup >= part * threads, threads


def test_a_small_batch_is_shared_by_rows():
    matrices = pointers(nerva.MLP([*NETWORKS["3072-1024-512-10"]], density=0.05, seed=1))
    speedups = [step_work(matrices, 100, threads).speedup for threads in (1, 2, 4, 8, 16, 32, 64, 128)]
    assert speedups[0] == 1
    assert speedups == sorted(speedups)
    assert speedups[4] >= 12


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: shares(-1, 1, 2), "count is -1"),
        (lambda: shares(5, 0, 2), "unit is 0"),
        (lambda: shares(5, 1, 0), "threads is 0"),
        (lambda: row_shares(np.zeros(0, np.int32), 2), "indptr is empty"),
        (lambda: row_shares(np.zeros(1, np.int32), 2**31), "threads is 2147483648"),
        (lambda: crews(3, 2), "count is 3, but there are 2 threads"),
        (lambda: crews(0, 2), "count is 0"),
    ],
)
def test_wrong_numbers_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
