"""A network compiled into one program: its loss, gradients and outputs against NumPy, within bounds of rounding."""

import copy
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerva._kernels import mkl
from nerva._kernels.activations import ACTIVATIONS
from nerva._kernels.slices import shares_rows, slices_of

from ..plan_reference import ARRAY, SOURCES, Case, Oracle, gradients_of, plain_case
from ..reference import PATTERNS, Frame, assert_same_bits, assert_within, subnormals_are_live

BATCHES = (1, 7, 63, 64, 65, 100, 128, 129, 513, 520)  # 513 and more have more slices than groups
IMAGES = ((1, 1, 1), (2, 3, 4), (1, 5, 17), (3, 2, 2))


@st.composite
def cases(draw):
    count = draw(st.integers(1, 4))
    image_shape = draw(st.one_of(st.none(), st.sampled_from(IMAGES)))
    features = draw(st.one_of(st.integers(1, 40), st.sampled_from([1, 64, 129]))) if image_shape is None else None
    of_each = {"min_size": count, "max_size": count}
    return Case(
        sizes=(
            int(np.prod(image_shape)) if features is None else features,
            *draw(st.lists(st.one_of(st.integers(1, 20), st.sampled_from([1, 16, 33, 65])), **of_each)),
        ),
        patterns=tuple(draw(st.lists(st.sampled_from((*PATTERNS, ARRAY)), **of_each))),
        activations=tuple(draw(st.lists(st.sampled_from(list(ACTIVATIONS)), **of_each))),
        biased=tuple(draw(st.lists(st.booleans(), **of_each))),
        N=draw(st.one_of(st.integers(1, 300), st.sampled_from(BATCHES))),
        source=draw(st.sampled_from(SOURCES)),
        scaled=draw(st.booleans()),
        shifted=draw(st.booleans()),
        image_shape=image_shape,
        samples=draw(st.integers(1, 40)),
        offset=draw(st.integers(0, 5)),
        seed=draw(st.integers(0, 2**32)),
        by_rows=draw(st.sampled_from([None, True, False])),
    )


def assert_right(case, dtype, threads=(2,)):
    """Loss, gradients and outputs are within their bounds, and nothing but moments and outputs was written."""
    network = case.network(dtype)
    wanted = Oracle(dtype).step(network)
    before = copy.deepcopy([network.vectors(), network.batch])
    for count in threads:
        mkl.set_num_threads(count)
        loss, correct, gradients = gradients_of(network)
        assert abs(loss - wanted.loss) <= wanted.loss_error
        assert wanted.correct[0] <= correct <= wanted.correct[1]
        assert_gradients(gradients, wanted.gradients)
        assert_same([network.vectors(), network.batch], before)
        if network.moves is None:  # `forward` moves no images
            out = Frame(np.full((case.sizes[-1], case.N), np.nan), dtype, case.offset, case.offset)
            network.plan().forward(network.source, network.rows, out.array, scale=network.scale, shift=network.shift)
            assert_within(out.array, wanted.outputs.value, wanted.outputs.error, "outputs")
            out.assert_intact_outside("outputs")
        for frame in network.frames:
            frame.assert_unchanged("dense weights or biases")


def assert_gradients(gradients, wanted):
    for i, (mine, right) in enumerate(zip(gradients, wanted, strict=True)):
        for name, gradient, (value, bound) in zip(("weights", "bias"), mine, right, strict=True):
            if gradient is not None:
                assert_within(gradient, value, bound, f"{name} of layer {i}")


def assert_same(now, before):
    """What is in these lists and dictionaries is the same, to the last bit."""
    if isinstance(now, dict):
        now, before = list(now.values()), list(before.values())
    if isinstance(now, (list, tuple)):
        for one, other in zip(now, before, strict=True):
            assert_same(one, other)
    elif now is not None:
        assert_same_bits(now, before, "what is not to be written")


@given(case=cases(), threads=st.integers(1, 5))
def test_loss_gradients_and_outputs(instruction_set, dtype, case, threads):
    assert_right(case, dtype, (threads,))


@pytest.mark.parametrize("N", BATCHES)
def test_every_shape_of_slices(instruction_set, dtype, N):
    for source in SOURCES:
        for by_rows in (True, False):
            settings = {"source": source, "scaled": True, "shifted": source == "uint8", "by_rows": by_rows}
            assert_right(plain_case((40, 20, 15, 5), N, **settings), dtype)


# Enough work for several threads. A row or column of most weights, layers without any, one feature, one class.
LARGE = [
    plain_case((100, 80, 50, 10), 129, activation="tanh"),
    plain_case((200, 60, 10), 520, "thin"),
    plain_case((20, 300, 5), 200, "one heavy row", activation="leaky_relu"),
    plain_case((300, 20, 5), 200, "one heavy column", activation="sigmoid"),
    plain_case((60, 50, 10), 200, ARRAY),
    Case((80, 60, 60, 7), ("full", "empty", ARRAY), ("relu", "tanh", "identity"), (True, True, False), 150),
    Case((1, 100, 2), ("full", "full"), ("relu", "identity"), (False, True), 300),
    Case((100, 80, 1), ("half", "full"), ("relu", "identity"), (True, True), 65),
]


@pytest.mark.parametrize("case", LARGE, ids=lambda case: f"{case.sizes} {case.patterns}")
def test_large_networks_on_several_threads(instruction_set, dtype, case):
    for by_rows in (True, False):
        assert_right(replace(case, by_rows=by_rows), dtype, (1, 2, 3, 5))


@pytest.mark.parametrize("pattern", ["half", ARRAY])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_in_every_layer(instruction_set, dtype, activation, pattern):
    for biased in (True, False):
        for N in (5, 70):
            assert_right(Case((20, 15, 10, 5), (pattern,) * 3, (activation,) * 3, (biased,) * 3, N), dtype)


def test_rows_in_any_order_and_again(instruction_set, dtype, rng):
    network = plain_case((30, 40, 10), samples=50).network(dtype)
    for rows in (np.zeros(100, np.int64), np.arange(50)[::-1].copy(), np.repeat([49, 0, 7], 40), rng.permutation(50)):
        network.rows = rows
        loss, correct, gradients = gradients_of(network)
        network.case = plain_case((30, 40, 10), N=len(rows))
        wanted = Oracle(dtype).step(network)
        assert abs(loss - wanted.loss) <= wanted.loss_error
        assert wanted.correct[0] <= correct <= wanted.correct[1]
        assert_gradients(gradients, wanted.gradients)


def test_the_bounds_are_narrow(dtype):
    """What the others allow is a few rounding errors, and not everything."""
    eps = np.finfo(dtype).eps
    wanted = Oracle(dtype).step(plain_case((100, 80, 10), source="uint8", scaled=True, shifted=True).network(dtype))
    assert wanted.loss_error < 20000 * eps
    for pair in wanted.gradients:
        for value, bound in pair:
            assert bound.max() < 20000 * eps * np.abs(value).max()
    assert wanted.correct[1] - wanted.correct[0] <= 1


def test_a_plan_takes_batches_of_any_size_in_turn(instruction_set, dtype):
    network = plain_case((40, 60, 10)).network(dtype)
    plan, rows = network.plan(), np.resize(network.rows, 520)
    for N in (100, 1, 520, 65, 64, 129, 513, 7, 100):
        got = gradients_of(network, plan, rows=rows[:N])
        alone = gradients_of(network, rows=rows[:N])
        assert got[:2] == alone[:2]
        for mine, other in zip(got[2], alone[2], strict=True):
            for gradient, right in zip(mine, other, strict=True):
                assert_same_bits(gradient, right, f"a batch of {N}")


def test_a_row_sum_of_zeros_is_zero(instruction_set, dtype):
    """Whatever an earlier step left in the memory of the plan."""
    network = Case((20, 30, 5), ("half", "half"), ("relu", "identity"), (True, True), 100).network(dtype)
    plan = network.plan()
    gradients_of(network, plan)
    network.biases[0][:] = -1e6  # no hidden neuron is active
    _, _, gradients = gradients_of(network, plan)
    assert not gradients[0][0].any()
    assert not gradients[0][1].any()
    assert not gradients[1][0].any()
    assert gradients[1][1].any()


def test_subnormals_are_flushed_inside_and_live_outside(instruction_set, dtype):
    network = plain_case((40, 50, 10), source="float64").network(dtype)
    network.source[:] = np.finfo(dtype).tiny / 4
    for bias in network.biases:
        bias[:] = 0
    for threads in (1, 2):
        mkl.set_num_threads(threads)
        loss, _, gradients = gradients_of(network)
        assert loss == pytest.approx(np.log(10), rel=1e-6)
        assert not gradients[0][0].any()
        assert not gradients[1][0].any()
        assert subnormals_are_live()


def test_slices_cover_every_sample_once():
    for N in range(1, 2001):
        columns, groups = slices_of(N)
        assert (columns[0], columns[-1]) == (0, N)
        sizes = np.diff(columns)
        assert sizes.min() > 0
        assert sizes.max() <= 64
        assert len(sizes) == max(-(-N // 64), 1 + (N > 48))  # no more than need be
        assert all(column % 8 == 0 for column in columns[:-1])
        assert (groups[0], groups[-1]) == (0, len(sizes))
        assert np.diff(groups).min() > 0
        assert len(groups) - 1 == min(len(sizes), 8)


def test_wide_slices_are_one_group():
    for N in range(1, 2001):
        columns, groups = slices_of(N, by_rows=True)
        assert (columns[0], columns[-1]) == (0, N)
        sizes = np.diff(columns)
        assert sizes.min() > 0
        assert sizes.max() <= 128
        assert len(sizes) == -(-N // 128)
        assert all(column % 8 == 0 for column in columns[:-1])
        assert groups == [0, len(sizes)]


def test_slices_depend_on_the_batch_and_the_weights_alone():
    def decided():
        return [(shares_rows(N, weights), slices_of(N)) for N in range(1, 1001) for weights in (100, 1 << 30)]

    before = decided()
    for threads in (1, 2, 5):
        mkl.set_num_threads(threads)
        assert decided() == before
    for N in (1, 48, 49, 1000):
        assert shares_rows(N, 1 << 30)
        assert shares_rows(N, 100) == (N <= 48)
