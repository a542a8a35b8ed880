"""A plan that gathers its samples again for the backward pass of the first layer: less memory, the same bits."""

import pytest

from nerva._kernels import mkl, program

from ..plan_reference import RULES, plain_case, updates
from ..reference import assert_same_bits

SIZES = (192, 180, 190)
CASES = {
    "float32": plain_case(SIZES, 100, scaled=True, shifted=True),
    "float64": plain_case(SIZES, 100, activation="tanh", source="float64", by_rows=True),
    "slices": plain_case(SIZES, 300, by_rows=False),
    "bytes": plain_case(SIZES, 100, source="uint8", scaled=True, shifted=True, by_rows=True),
    "few bytes": plain_case(SIZES, 20, source="uint8", scaled=True),
    "images": plain_case(SIZES, 100, source="uint8", scaled=True, image_shape=(3, 8, 8)),
}


def train(case, dtype, bfloat16, threads):
    """Losses, parameters and moments after three steps, and the bytes that the plan works in."""
    mkl.set_num_threads(threads)
    network = case.network(dtype, bfloat16)
    plan, velocity, second = network.plan(), network.moments(), network.moments()
    losses = [plan.step(updates(RULES[-1].at(0.1, t), velocity, second), **network.batch) for t in (1, 2, 3)]
    vectors = [vector for pair in (*network.vectors(), *velocity, *second) for vector in pair if vector is not None]
    return losses, vectors, plan.nbytes


def assert_less_memory_and_the_same_bits(case, dtype, bfloat16, monkeypatch):
    for threads in (1, 2, 3):
        losses, vectors, nbytes = train(case, dtype, bfloat16, threads)
        with monkeypatch.context() as patch:
            patch.setattr(program, "gathers_again", lambda features, weights: True)
            again, others, less = train(case, dtype, bfloat16, threads)
        assert again == losses
        for one, other in zip(vectors, others, strict=True):
            assert_same_bits(other, one, "what a step left")
        assert less < nbytes


@pytest.mark.parametrize("name", CASES)
def test_samples_gathered_again(instruction_set, dtype, name, monkeypatch):
    assert_less_memory_and_the_same_bits(CASES[name], dtype, False, monkeypatch)
