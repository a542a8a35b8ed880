"""Samples of uint8 inside a compiled step: scale and shift are applied to sums of products, not to the samples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerva._kernels import mkl
from nerva._kernels.activations import ACTIVATIONS
from nerva._kernels.operations import Elementwise, Product
from nerva._kernels.plan import Plan
from nerva.datasets import Standardized

from ..plan_reference import ARRAY, RULES, Case, Oracle, gradients_of, plain_case, updates
from ..reference import assert_same_bits, assert_within

BATCHES = [65, 72, 100, 104, 119, 127, 128, 129, 160, 200, 257, 300]
FLOAT32 = np.dtype(np.float32)


def bytes_case(sizes=(60, 40, 10), N=100, pattern="half", biased=True, **settings):
    """A network of smooth activations: the sign of what is nearly zero decides nothing."""
    count = len(sizes) - 1
    activations = ("tanh",) * (count - 1) + ("identity",)
    biases = (biased,) + (True,) * (count - 1)
    settings = {"scaled": True, "shifted": True} | settings
    return Case(tuple(sizes), (pattern,) * count, activations, biases, N, source="uint8", **settings)


def assert_right(network, **changed):
    """Loss, gradients and outputs are within the bounds of rounding."""
    for name, value in changed.items():
        setattr(network, name, value)
    wanted = Oracle(network.dtype).step(network)
    loss, correct, gradients = gradients_of(network)
    assert abs(loss - wanted.loss) <= wanted.loss_error
    assert wanted.correct[0] <= correct <= wanted.correct[1]
    for i, (pair, rights) in enumerate(zip(gradients, wanted.gradients, strict=True)):
        for name, gradient, (value, bound) in zip(("weights", "bias"), pair, rights, strict=True):
            if gradient is not None:
                assert_within(gradient, value, bound, f"{name} of layer {i}")
    if network.moves is None:
        out = np.full((network.case.sizes[-1], network.case.N), np.nan, network.dtype)
        network.plan().forward(network.source, network.rows, out, scale=network.scale, shift=network.shift)
        assert_within(out, wanted.outputs.value, wanted.outputs.error, "outputs")


def train(network, rule, threads=2, steps=3, plan=None, **changed):
    """The losses of some steps, and all vectors that they leave."""
    mkl.set_num_threads(threads)
    plan, velocity, second = plan or network.plan(), network.moments(), network.moments()
    rules = [updates(rule.at(0.02, t), velocity, second) for t in range(1, steps + 1)]
    losses = [plan.step(now, **network.batch | changed)[0] for now in rules]
    return losses, [v for pair in (*network.vectors(), *velocity, *second) for v in pair if v is not None]


@given(
    features=st.one_of(st.integers(1, 90), st.sampled_from([16, 32, 64, 128])),
    pattern=st.sampled_from(["half", "thin", "full", "one heavy row", "last row only", "empty", ARRAY]),
    N=st.sampled_from(BATCHES),
    biased=st.booleans(),
    scaled=st.booleans(),
    shifted=st.booleans(),
    threads=st.integers(1, 3),
    offset=st.integers(0, 5),
    seed=st.integers(0, 2**32),
)
def test_loss_gradients_and_outputs(
    instruction_set, dtype, features, pattern, N, biased, scaled, shifted, threads, offset, seed
):
    mkl.set_num_threads(threads)
    settings = {"scaled": scaled, "shifted": shifted, "offset": offset, "seed": seed}
    assert_right(bytes_case((features, 30, 7), N, pattern, biased, **settings).network(dtype))


@pytest.mark.parametrize("N", BATCHES)
def test_every_remainder_of_a_slice(instruction_set, N):
    assert_right(bytes_case(N=N).network(FLOAT32))


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_every_activation_of_the_first_layer(instruction_set, activation):
    assert_right(plain_case((60, 40, 10), activation=activation, source="uint8", scaled=True).network(FLOAT32))


def test_one_layer_alone(instruction_set):
    assert_right(bytes_case((200, 10)).network(FLOAT32))
    assert_right(bytes_case((200, 10), pattern="empty", biased=False).network(FLOAT32))


@pytest.mark.parametrize("biased", [False, True])
def test_features_without_a_scale_and_with_large_shifts(instruction_set, biased, rng):
    network = bytes_case(biased=biased).network(FLOAT32)
    none, large = np.zeros(60, np.float32), (1000 * rng.standard_normal(60)).astype(np.float32)
    some = np.where(np.arange(60) % 2, network.scale, none)
    assert_right(network, scale=none)
    assert_right(network, scale=some, shift=large)
    assert_right(network, scale=-1000 * some, shift=None)
    assert_right(network, scale=None, shift=large)


def test_moved_images(instruction_set):
    for shape in ((3, 8, 8), (1, 5, 40), (2, 20, 16), (1, 1, 70)):
        assert_right(bytes_case((int(np.prod(shape)), 40, 10), 120, image_shape=shape).network(FLOAT32))


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_every_rule_steps_by_that_gradient(instruction_set, rule, biased):
    network = bytes_case(N=130, biased=biased).network(FLOAT32)
    (_, _, gradients), before = gradients_of(network), [[*pair] for pair in network.vectors()]
    wanted = [
        rule.apply(0.02, 1, g, w, np.zeros_like(w), np.zeros_like(w))
        for pair in zip(gradients, before, strict=True)
        for g, w in zip(*pair, strict=True)
        if w is not None
    ]
    _, vectors = train(network, rule, steps=1)
    for vector, ((value, bound), *_) in zip(vectors, wanted, strict=False):
        assert_within(vector, value, bound)


def test_weights_that_are_changed_between_steps(instruction_set, rng):
    network = bytes_case().network(FLOAT32)
    plan = network.plan()
    for _ in range(3):
        first = gradients_of(network, plan)
        values, bias = network.vectors()[0]
        values[:] = rng.standard_normal(len(values)) / 10
        bias[:] = rng.standard_normal(len(bias))
        changed, fresh = gradients_of(network, plan), gradients_of(network)
        assert first[0] != changed[0] == fresh[0]
        for mine, other in zip(changed[2], fresh[2], strict=True):
            assert_same_bits(mine[0], other[0])
        assert_right(network)


def test_scale_and_shift_of_each_call(instruction_set):
    """A plan keeps neither those of the call before nor the ones and zeros where there were none."""
    network = bytes_case().network(FLOAT32)
    plan = network.plan()
    for scale in (None, network.scale, 2 * network.scale, None):
        for shift in (None, network.shift):
            one, other = (gradients_of(network, of, scale=scale, shift=shift) for of in (plan, network.plan()))
            assert one[:2] == other[:2]
            assert_same_bits(one[2][0][0], other[2][0][0])


@pytest.mark.parametrize("N", [65, 100, 300])
def test_the_bits_do_not_depend_on_threads(instruction_set, N):
    first = train(bytes_case((200, 100, 10), N).network(FLOAT32), RULES[2], threads=1)
    for threads in (2, 3):
        losses, vectors = train(bytes_case((200, 100, 10), N).network(FLOAT32), RULES[2], threads)
        assert losses == first[0]
        for mine, other in zip(vectors, first[1], strict=True):
            assert_same_bits(mine, other, f"{threads} threads")


@pytest.mark.parametrize("rule", [RULES[0], RULES[3], RULES[6]], ids=str)
def test_training_agrees_with_that_on_standardized_rows(instruction_set, rule):
    case = bytes_case((192, 100, 10), 100, samples=150, scaled=False, shifted=False)
    network, other = case.network(FLOAT32), case.network(FLOAT32)
    samples = Standardized(network.source, 0.5, np.linspace(0.2, 0.3, 192))
    losses, vectors = train(network, rule, steps=20, scale=samples.scale, shift=samples.shift)
    rights, wanted = train(other, rule, steps=20, source=np.asarray(samples))
    np.testing.assert_allclose(losses, rights, rtol=1e-5)
    for mine, right in zip(vectors, wanted, strict=True):
        np.testing.assert_allclose(mine, right, rtol=1e-3, atol=2e-5)


def test_a_first_operation_that_is_no_product_reads_numbers(instruction_set):
    network = bytes_case((50, 40, 10)).network(FLOAT32)
    tanh = (ACTIVATIONS["tanh"], 0.0)
    products = [Product(w, b, tanh) for w, b in zip(network.weights, network.biases, strict=True)]
    rows = np.tanh(network.source * network.scale.astype(np.float64) + network.shift).astype(np.float32)
    plans = Plan([Elementwise(tanh), *products], FLOAT32), Plan(products, FLOAT32)
    one = gradients_of(network, plans[0])
    other = gradients_of(network, plans[1], source=rows, scale=None, shift=None)
    assert one[0] == pytest.approx(other[0], rel=1e-5)
    for mine, right in zip(one[2], other[2], strict=True):
        np.testing.assert_allclose(mine[0], right[0], rtol=1e-3, atol=1e-5)
