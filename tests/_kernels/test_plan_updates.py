"""What a compiled step does of its gradients: every rule against its formula in float64, for several steps in a row."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nerva._kernels import mkl
from nerva._kernels.updates import Update

from ..plan_reference import ARRAY, RULES, Case, Oracle, gradients_of, plain_case, updates
from ..reference import assert_same_bits, assert_within

STEPS = 3
RATES = (0.05, 0.01, 0.2)


def flat(pairs):
    return [vector for pair in pairs for vector in pair if vector is not None]


def assert_steps(network, rule, before=0, born=None):
    """The weights and moments after each step are those of the formula, for the gradient that the same plan has.

    There were so many steps before, and each weight was `born` after some of these; all before the first if None.
    """
    plan, velocity, second = network.plan(), network.moments(), network.moments()
    births = [0] * len(flat(velocity)) if born is None else flat(born)
    for t, rate in enumerate(RATES[:STEPS], before + 1):
        loss, _, gradients = gradients_of(network, plan)
        triples = list(zip(flat(gradients), flat(network.vectors()), flat(velocity), flat(second), strict=True))
        wanted = [rule.apply(rate, t - first, *triple) for first, triple in zip(births, triples, strict=True)]
        got, _ = plan.step(updates(rule.at(rate, t), velocity, second, born), **network.batch)
        assert got == loss
        for i, ((_, *vectors), rights) in enumerate(zip(triples, wanted, strict=True)):
            for name, vector, (value, bound) in zip(("weights", "velocity", "second"), vectors, rights, strict=True):
                assert_within(vector, value, bound, f"{name} of vector {i} in step {t}")
        for frame in network.frames:
            frame.assert_intact_outside("weights")


@pytest.mark.parametrize("rule", RULES, ids=str)
@settings(max_examples=8)
@given(
    sizes=st.lists(st.one_of(st.integers(1, 40), st.sampled_from([16, 64])), min_size=2, max_size=4),
    patterns=st.lists(st.sampled_from(["half", "full", "every other row", "empty", ARRAY]), min_size=3, max_size=3),
    biased=st.tuples(*[st.booleans()] * 3),
    N=st.sampled_from([1, 20, 64, 65, 100, 130, 520]),
    threads=st.integers(1, 5),
    offset=st.integers(0, 3),
    by_rows=st.booleans(),
)
def test_every_rule(instruction_set, dtype, rule, sizes, patterns, biased, N, threads, offset, by_rows):
    mkl.set_num_threads(threads)
    count = len(sizes) - 1
    activations = ("tanh",) * (count - 1) + ("identity",)
    case = Case(tuple(sizes), tuple(patterns[:count]), activations, biased[:count], N, offset=offset, by_rows=by_rows)
    assert_steps(case.network(dtype), rule)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_a_large_network_shared_among_threads(instruction_set, dtype, rule, threads):
    mkl.set_num_threads(threads)
    for by_rows in (False, True):
        case = plain_case((150, 120, 33, 10), 200, source="uint8", scaled=True, by_rows=by_rows)
        assert_steps(case.network(dtype), rule)


def test_each_vector_has_a_rule_of_its_own(instruction_set, dtype):
    rules = [RULES[i : i + 2] for i in (0, 4, 7)]
    network = plain_case((60, 50, 40, 10), 129).network(dtype)
    velocity, second = network.moments(), network.moments()
    _, _, gradients = gradients_of(network)
    own = [rule for pair in rules for rule in pair]
    triples = list(zip(flat(gradients), flat(network.vectors()), flat(velocity), flat(second), strict=True))
    wanted = [rule.apply(0.1, 1, *triple) for rule, triple in zip(own, triples, strict=True)]
    steps = [
        (rule.at(0.1, 1), v, s, None)
        for pair, *moments in zip(rules, velocity, second, strict=True)
        for rule, v, s in zip(pair, *moments, strict=True)
    ]
    network.plan().step(steps, **network.batch)
    for rule, (_, *vectors), rights in zip(own, triples, wanted, strict=True):
        for vector, (value, bound) in zip(vectors, rights, strict=True):
            assert_within(vector, value, bound, str(rule))


@pytest.mark.parametrize(("N", "by_rows"), [(200, False), (200, True), (100, True), (1, None)])
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_it_is_the_step_of_the_kernel_that_steps_alone(instruction_set, dtype, rule, N, by_rows):
    """With the same gradient, to the last bit; also where weights take their step as their gradient is computed."""
    network = plain_case((90, 70, 10), N, by_rows=by_rows).network(dtype)
    _, _, gradients = gradients_of(network)
    velocity, second, alone = network.moments(), network.moments(), network.moments()
    weights = [vector.copy() for vector in flat(network.vectors())]
    for g, w, v, s in zip(flat(gradients), weights, flat(alone), flat(network.moments()), strict=True):
        rule.at(0.1, 1)(g, v, w, s)
    network.plan().step(updates(rule.at(0.1, 1), velocity, second), **network.batch)
    for mine, other in zip(flat(network.vectors()) + flat(velocity), weights + flat(alone), strict=True):
        assert_same_bits(mine, other)


@pytest.mark.parametrize("pattern", ["half", ARRAY])
def test_a_step_of_gradient_descent_follows_the_gradient(instruction_set, pattern):
    """(before - after) / rate equals central differences of the loss, in float64, for every parameter."""
    case = Case((7, 6, 5), (pattern,) * 2, ("tanh", "sigmoid"), (True, True), 70, source="uint8", scaled=True)
    network, rate, h = case.network(np.dtype(np.float64)), 1e-3, 1e-5
    plan = network.plan()
    before = [vector.copy() for vector in flat(network.vectors())]
    nothing = network.moments()
    plan.step(updates(Update("sgd", rate), nothing, nothing), **network.batch)
    slopes = [(was - is_now) / rate for was, is_now in zip(before, flat(network.vectors()), strict=True)]
    for vector, was in zip(flat(network.vectors()), before, strict=True):
        vector[:] = was
    for vector, slope in zip(flat(network.vectors()), slopes, strict=True):
        for i in range(len(vector)):
            losses = []
            for side in (h, -h):
                vector[i] += side
                losses.append(Oracle(np.float64).step(network).loss)
                vector[i] -= side
            assert slope[i] == pytest.approx((losses[0] - losses[1]) / (2 * h), rel=1e-6, abs=1e-9)


def test_nothing_moves_at_a_rate_of_zero(instruction_set, dtype):
    for rule in RULES:
        network = plain_case((30, 40, 10), 129).network(dtype)
        before = [vector.copy() for vector in flat(network.vectors())]
        velocity, second = network.moments(), network.moments()
        network.plan().step(updates(rule.at(0.0, 1), velocity, second), **network.batch)
        for vector, was in zip(flat(network.vectors()), before, strict=True):
            assert_same_bits(vector, was)
