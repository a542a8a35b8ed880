"""Weights of different ages in one vector: each has the corrections of Adam for the steps that it has taken itself."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nerva._kernels import ages, mkl
from nerva._kernels.updates import Update

from ..plan_reference import ARRAY, RULES, Case, plain_case, updates
from ..reference import Frame, assert_same_bits, assert_within
from .test_plan_updates import assert_steps, flat

AGEING = [rule for rule in RULES if rule.name in ("adam", "adamw")]
BEFORE = [1, 2, 40, 3000, 100_000]  # steps


def births(vectors, before, seed=0):
    """In which of `before` steps each of some weights was born: some at the start, some just now."""
    rng = np.random.default_rng(seed)
    return [
        tuple(
            None if v is None else rng.choice([0, before, *rng.integers(0, before + 1, 3)], len(v)).astype(np.int32)
            for v in pair
        )
        for pair in vectors
    ]


# ---- the table
DECAYS = [0.0, 1e-3, 0.5, 0.9, 0.999, 0.9999, 1 - 1e-9]


@pytest.mark.parametrize(("momentum", "second"), [*zip(DECAYS, reversed(DECAYS), strict=True), (0.9, 0.999)])
@pytest.mark.parametrize("t", [1, 1000, 200_000])
def test_corrections_are_those_of_the_formula_up_to_where_they_are_one(dtype, momentum, second, t):
    table = ages.corrections(momentum, second, t, dtype)
    assert table.dtype == dtype
    assert table.flags.c_contiguous
    age = np.arange(1, t + 1)
    for decay, power, found in ((momentum, 1.0, table[:, 0]), (second, 0.5, table[:, 1])):
        wanted = ((-np.expm1(age * np.log(decay))) ** -power if decay else np.ones(t)).astype(dtype)
        close = 2 * np.finfo(dtype).eps + 2e-16 / (1 - decay)
        np.testing.assert_allclose(found[np.minimum(age, len(table) - 1)], wanted, rtol=close)
    np.testing.assert_array_equal(table[0], table[1])
    assert len(table) <= max(65536, 2 * t)


def test_the_table_ends_where_all_further_ones_are_one(dtype):
    table = ages.corrections(0.9, 0.999, 10**6, dtype)
    assert len(table) < {4: 20_000, 8: 40_000}[dtype.itemsize]
    assert (table[-1] == 1).all()
    assert table[len(table) * 9 // 10, 1] > 1


# ---- a step of its own
@pytest.mark.parametrize("rule", RULES, ids=str)
@given(n=st.integers(0, 80), before=st.sampled_from(BEFORE), threads=st.integers(1, 3), offset=st.integers(0, 17),
       seed=st.integers(0, 99))  # fmt: skip
def test_a_step_has_the_age_of_each_weight(instruction_set, dtype, rule, n, before, threads, offset, seed):
    mkl.set_num_threads(threads)
    rng = np.random.default_rng(seed)
    w, v, s = (Frame(x, dtype, offset) for x in (rng.standard_normal(n), np.zeros(n), np.zeros(n)))
    (born,) = births([(w.array,)], before, seed)[0]
    for t in range(before + 1, before + 4):
        g = rng.standard_normal(n).astype(dtype)
        wanted = rule.apply(0.1, t - born, g, w.array, v.array, s.array)
        rule.at(0.1, t)(g, v.array, w.array, s.array, born)
        for name, frame, (value, bound) in zip("wvs", (w, v, s), wanted, strict=True):
            assert_within(frame.array, value, bound, f"{name} in step {t}")
            frame.assert_intact_outside(name)


@pytest.mark.parametrize("t", [1, 9, 5000])
@pytest.mark.parametrize("rule", AGEING, ids=str)
def test_weights_of_the_age_of_the_vector_step_as_without_ages(instruction_set, dtype, rule, t):
    rng = np.random.default_rng(2)
    g, w, v, s = (rng.standard_normal(37).astype(dtype) for _ in range(4))
    s = abs(s)
    others = [x.copy() for x in (w, v, s)]
    rule.at(0.1, t)(g, v, w, s)
    rule.at(0.1, t)(g, others[1], others[0], others[2], np.zeros(37, np.int32))
    assert_same_bits(others[1], v)
    assert_same_bits(others[2], s)
    np.testing.assert_allclose(others[0], w, rtol=0, atol=16 * np.finfo(dtype).eps * (1 + abs(w)).max())


@pytest.mark.parametrize("rule", AGEING, ids=str)
def test_births_that_cannot_be_read_nothing_outside_the_tables(instruction_set, dtype, rule):
    """Of the future, or before any time: a user may have written them."""
    for t in (1, 5, 2**31 - 1):
        born = np.array([-(2**31), -1, 0, t, 2**31 - 1] * 7, np.int32)
        g, w, v, s = (np.ones(len(born), dtype) for _ in range(4))
        rule.at(0.1, t)(g, v, w, s, born)
        assert np.isfinite(w).all()


def test_wrong_births_are_refused(dtype):
    update = Update("adam", 0.1, 0.9, second=0.99, epsilon=1e-8, t=7)
    for born in (np.zeros(5), np.zeros(5, np.int64), np.zeros(4, np.int32), np.zeros(10, np.int32)[::2], [0] * 5):
        g, w, v, s = (np.ones(5, dtype) for _ in range(4))
        with pytest.raises((TypeError, ValueError), match="born"):
            update(g, v, w, s, born)
        assert (w == 1).all()
        assert (v == 1).all()


# ---- a compiled step
@pytest.mark.parametrize("rule", AGEING, ids=str)
@settings(max_examples=12)
@given(
    sizes=st.lists(st.integers(1, 40), min_size=2, max_size=4),
    patterns=st.lists(st.sampled_from(["half", "full", "every other row", "empty", ARRAY]), min_size=3, max_size=3),
    N=st.sampled_from([1, 20, 64, 65, 100, 130, 520]),
    before=st.sampled_from(BEFORE),
    threads=st.integers(1, 5),
    by_rows=st.booleans(),
)
def test_a_compiled_step_has_the_age_of_each_weight(
    instruction_set, dtype, rule, sizes, patterns, N, before, threads, by_rows
):
    """Whether a weight steps where its gradient is computed, with one group of slices, or later."""
    mkl.set_num_threads(threads)
    count = len(sizes) - 1
    activations = ("tanh",) * (count - 1) + ("identity",)
    network = Case(tuple(sizes), tuple(patterns[:count]), activations, (True,) * count, N, by_rows=by_rows).network(
        dtype
    )
    assert_steps(network, rule, before, births(network.vectors(), before))


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("rule", AGEING, ids=str)
def test_a_large_network_of_bytes_shared_among_threads(instruction_set, dtype, rule, threads):
    mkl.set_num_threads(threads)
    for by_rows in (False, True):
        network = plain_case((150, 120, 33, 10), 200, source="uint8", scaled=True, by_rows=by_rows).network(dtype)
        assert_steps(network, rule, 200, births(network.vectors(), 200))


@pytest.mark.parametrize(("N", "by_rows"), [(200, False), (200, True), (100, True), (1, None)])
@pytest.mark.parametrize("rule", AGEING, ids=str)
def test_the_bits_depend_on_neither_threads_nor_the_way(instruction_set, dtype, rule, N, by_rows):
    """With a norm to clip to, weights step when all gradients are known: one that is never reached changes nothing."""
    found = []
    for threads, norm in ((1, 0.0), (2, 0.0), (3, 0.0), (5, 0.0), (2, 1e30)):
        mkl.set_num_threads(threads)
        network = plain_case((300, 200, 10), N, by_rows=by_rows).network(dtype)
        plan, velocity, second = network.plan(), network.moments(), network.moments()
        born = births(network.vectors(), 300)
        for t in (301, 302):
            plan.step(updates(rule.at(0.1, t), velocity, second, born), **network.batch, clip_norm=norm)
        found.append(flat(network.vectors()) + flat(velocity) + flat(second))
    for vectors in found[1:]:
        for mine, first in zip(vectors, found[0], strict=True):
            assert_same_bits(mine, first)


def test_wrong_births_are_refused_by_a_compiled_step(dtype):
    network = plain_case((30, 40, 10), 20).network(dtype)
    before = [vector.copy() for vector in flat(network.vectors())]
    kept = network.moments(), network.moments()
    for wrong in (np.zeros(40), np.zeros(39, np.int32)):
        born = births(network.vectors(), 5)
        born[0] = (born[0][0], wrong)
        with pytest.raises((TypeError, ValueError), match="born"):
            network.plan().step(updates(AGEING[0].at(0.1, 6), *kept, born), **network.batch)
    for vector, was in zip(flat(network.vectors()), before, strict=True):
        assert_same_bits(vector, was)
