"""Where the matrices of a compiled network lie: what is needed at once lies apart, the rest in little memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerva._kernels.arena import Matrices, Room, arrange, gathers_again, place

ROOMS = st.builds(lambda rows, first, stages: Room(rows, first, first + stages), *[st.integers(0, 9)] * 3)


def assert_apart(rooms, starts):
    for i, one in enumerate(rooms):
        for j in range(i):
            if one.meets(rooms[j]):
                assert starts[i] + one.rows <= starts[j] or starts[j] + rooms[j].rows <= starts[i], (one, rooms[j])


@given(rooms=st.lists(ROOMS, min_size=1, max_size=12))
def test_what_is_needed_at_once_lies_apart(rooms):
    starts, rows = arrange(rooms)
    assert starts[0] == 0
    assert min(starts) >= 0
    assert (
        max(start + room.rows for start, room in zip(starts, rooms, strict=True)) == rows <= sum(r.rows for r in rooms)
    )
    assert_apart(rooms, starts)


def test_rooms_that_never_meet_lie_in_one_place():
    assert arrange([Room(5, 0, 1), Room(4, 2, 3), Room(5, 4, 4)]) == ([0, 0, 0], 5)
    assert arrange([Room(5, 0, 1), Room(4, 1, 2), Room(5, 2, 2)]) == ([0, 5, 0], 9)


def product(rows, reads_outputs=False):
    return Matrices(rows, True, False, reads_outputs)


def test_a_network_of_products():
    """The gradient by the logits lies in their place; that by the first layer's outputs in that of the second's."""
    outputs, deltas, rows, again = place(30, [product(20), product(20), product(10)], 0)
    assert outputs == [30, 50, 90]
    assert deltas[2] == outputs[2]
    assert deltas[0] == outputs[1]
    assert rows == 30 + 20 + 20 + 20 + 10
    assert again < 0


def test_outputs_that_the_backward_pass_reads_are_kept():
    outputs, deltas, *_ = place(30, [product(20), product(10, reads_outputs=True)], 0)
    assert deltas[1] != outputs[1]
    first, last = place(8, [product(8, True), Matrices(8, False, False, True)], 0)[:2]
    assert len({*first, *last}) == 3  # both gradients are one matrix


def test_operations_in_place_have_the_memory_of_those_below():
    dropout, other = Matrices(20, False, True, True), Matrices(20, False, False, True)
    outputs, deltas, *_ = place(30, [product(20), dropout, other, product(5)], 0)
    assert outputs[0] == outputs[1] != outputs[2]
    assert deltas[0] == deltas[1] == deltas[2] not in outputs[:3]


def test_what_lies_below_the_first_parameters_has_no_gradient():
    dropout = Matrices(30, False, False, True)
    outputs, _, rows, _ = place(30, [dropout, product(20)], 1)
    assert outputs == [30, 0]  # the samples are not needed again
    assert rows == 30 + 30


def test_inputs_are_gathered_again_where_that_takes_less_memory():
    layers = [product(30), product(30), product(10)]
    kept, gathered = place(30, layers, 0), place(30, layers, 0, again=True)
    assert (kept.rows, kept.again) == (30 + 30 + 30 + 30 + 10, -1)
    assert gathered.rows == 30 + 30 + 30 + 10
    assert gathered.again >= 0
    last = Room(30, gathered.again, gathered.again + 29)  # rows now, not stages: apart from the gradient it meets
    assert not last.meets(Room(30, gathered.deltas[0], gathered.deltas[0] + 29))
    assert place(30, [product(2)], 0, again=True) == place(30, [product(2)], 0)  # nothing else could lie there
    dropout = Matrices(30, False, True, True)
    assert place(30, [dropout, *layers], 1, again=True) == place(30, [dropout, *layers], 1)


@pytest.mark.parametrize(
    ("features", "weights", "wanted"), [(8192, 1 << 20, True), (8192, (1 << 20) - 1, False), (4095, 1 << 30, False)]
)
def test_only_large_networks_gather_again(features, weights, wanted):
    assert gathers_again(features, weights) == wanted
