"""What a compiled step refuses, before anything is changed; and what NaN and infinities do in it."""

import copy

import numpy as np
import pytest

from nerva._kernels import mkl
from nerva._kernels.activations import ACTIVATIONS
from nerva._kernels.csr import CSR
from nerva._kernels.operations import Product
from nerva._kernels.plan import Plan
from nerva._kernels.updates import Update

from ..plan_reference import ARRAY, Case, Oracle, gradients_of, plain_case, updates
from ..reference import Call, assert_refuses_wrong_arrays, assert_same_bits

SOURCES = (np.uint8, np.float32, np.float64)


MOMENTS = {"momentum": "velocity", "rmsprop": "second"}  # the one that a rule keeps


def step(weight, bias, rule, image_shape, dtype, velocity=None, second=None, **batch):
    """A step of a plan of one dense layer, with a moment of the weights."""
    own = Update(rule, 0.1, 0.9 if rule == "momentum" else 0.0, second=0.9, epsilon=1e-3)
    plan, others = Plan([Product(weight, bias, (ACTIVATIONS["relu"], 0.0))], dtype), np.zeros(3, dtype)
    of_bias = (others, None) if own.has_velocity else (None, others)
    rules = [(own, velocity, second, None), (own, *of_bias, None)][: 1 + (bias is not None)]
    return plan.step(rules, image_shape=image_shape, **batch)


def right_step(dtype, source_type=np.uint8, rule="momentum"):
    arguments = {
        "weight": np.ones((3, 24), dtype),
        "bias": np.ones(3, dtype),
        MOMENTS[rule]: np.zeros(72, dtype),
        "rule": rule,
        "image_shape": (2, 3, 4),
        "dtype": dtype,
        "source": np.ones((6, 24), source_type),
        "rows": np.array([0, 5, 2, 2, 1]),
        "labels": np.array([0, 1, 2, 0, 1, 2]),
        "scale": np.ones(24, np.float32),
        "shift": np.ones(24, np.float32),
        "moves": np.array([[0, 0, 0], [2, 3, 1], [-2, -3, 0], [1, 1, 1], [0, 0, 1]], np.int32),
        "nanoseconds": np.zeros(5, np.int64),
    }
    return Call(step, arguments, ("weight", "bias", MOMENTS[rule], "nanoseconds"))


@pytest.mark.parametrize("source_type", SOURCES)
@pytest.mark.parametrize("rule", ["momentum", "rmsprop"])
def test_wrong_arrays_are_refused(dtype, source_type, rule):
    call = right_step(dtype, source_type, rule)
    call()
    optional = ("bias", "scale", "shift", "nanoseconds")
    assert_refuses_wrong_arrays(right_step(dtype, source_type, rule), optional, any_type=("source",))


def outputs(weight, bias, out, dtype, **batch):
    return Plan([Product(weight, bias, (ACTIVATIONS["relu"], 0.0))], dtype).forward(out=out, **batch)


@pytest.mark.parametrize("source_type", SOURCES)
def test_wrong_arrays_are_refused_by_forward(dtype, source_type):
    arguments = {
        name: value
        for name, value in right_step(dtype, source_type).arguments.items()
        if name in ("weight", "bias", "dtype", "source", "rows", "scale", "shift")
    }
    call = Call(outputs, {**arguments, "out": np.zeros((3, 5), dtype)}, ("out",))
    call()
    any_shape = {"source": ("longer along axis 0",)}
    assert_refuses_wrong_arrays(call, ("bias", "scale", "shift"), any_type=("source",), any_shape=any_shape)


def assert_refused(call, error, message, **changed):
    """The call raises, and weights and moments stay."""
    before = {name: call.arguments[name].copy() for name in call.outputs}
    with pytest.raises(error, match=message):
        call(**changed)
    for name, array in before.items():
        assert_same_bits(call.arguments[name], array, name)


@pytest.mark.parametrize("bad", [-1, 6, 2**62, -(2**63)])
@pytest.mark.parametrize("at", [0, 4])
def test_rows_out_of_range_are_refused(dtype, bad, at):
    call = right_step(dtype)
    rows = call.arguments["rows"].copy()
    rows[at] = bad
    assert_refused(call, ValueError, rf"^rows\[{at}\] is {bad}; it must be within 0 to 5", rows=rows)


@pytest.mark.parametrize("bad", [-1, 3, 2**62, -(2**63)])
@pytest.mark.parametrize("at", [0, 5])
def test_labels_out_of_range_are_refused(dtype, bad, at):
    call = right_step(dtype)
    labels = call.arguments["labels"].copy()
    labels[at] = bad
    assert_refused(call, ValueError, rf"^labels\[{at}\] is {bad}; it must be within 0 to 2", labels=labels)


@pytest.mark.parametrize(
    ("at", "move"), [(0, (3, 0, 0)), (4, (-3, 0, 0)), (1, (0, 4, 0)), (2, (0, -4, 1)), (3, (0, 0, 2)), (0, (0, 0, -1))]
)
def test_moves_out_of_range_are_refused(dtype, at, move):
    call = right_step(dtype)
    moves = call.arguments["moves"].copy()
    moves[at] = move
    assert_refused(call, ValueError, rf"^moves\[{at}\] is", moves=moves)


@pytest.mark.parametrize("shape", [None, (2, 3, 5), (24,), (2, 3, 4, 1), (-2, -3, 4), (0, 3, 4), 24, "234"])
def test_an_image_shape_that_does_not_fit_is_refused(dtype, shape):
    assert_refused(right_step(dtype), ValueError, "^image_shape is", image_shape=shape)


def test_no_samples_are_refused(dtype):
    nothing = {"rows": np.zeros(0, np.int64), "moves": np.zeros((0, 3), np.int32)}
    assert_refused(right_step(dtype), ValueError, "^rows is empty", **nothing)


def test_dense_weights_whose_rows_lie_apart_are_refused(dtype):
    call, wide = right_step(dtype), np.full((3, 30), 7, dtype)
    with pytest.raises(ValueError, match=r"^weight has strides .*contiguous"):
        call(weight=wide[:, :24])
    assert (wide == 7).all()


@pytest.mark.parametrize("at", [0, 1])
def test_sparse_weights_of_another_dtype_are_refused(dtype, at):
    other = np.dtype(np.float64 if dtype == np.float32 else np.float32)
    weights = [CSR.from_dense(np.ones((4, 4), other if i == at else dtype)) for i in range(2)]
    with pytest.raises(TypeError, match=rf"has dtype {other}; it must be {dtype}"):
        Plan([Product(weight, None) for weight in weights], dtype)


def test_layers_that_do_not_fit_are_refused(dtype):
    weights = CSR.from_dense(np.ones((5, 4), dtype)), np.ones((3, 4), dtype)
    with pytest.raises(ValueError, match=r"operations\[1\] has shape \(3, 4\); it must take 5 features"):
        Plan([Product(weight, None) for weight in weights], dtype)
    for weight in weights:
        for activation in (-1, 5, 2**31 - 1):
            with pytest.raises(ValueError, match="activation"):
                Plan([Product(weight, None, (activation, 0.0))], dtype)


def test_a_plan_without_layers_is_refused(dtype):
    with pytest.raises(ValueError, match="operations has no product"):
        Plan([], dtype)


@pytest.mark.parametrize("count", [0, 1, 3, 5])
def test_updates_of_another_number_of_parameters_are_refused(dtype, count):
    network = plain_case((4, 5, 3), 7).network(dtype)
    before = [vector.copy() for pair in network.vectors() for vector in pair]
    nothing = network.moments()
    rule = updates(Update("sgd", 0.1), nothing, nothing)
    with pytest.raises(ValueError, match=f"updates has {count} entries; there are 4 parameters"):
        network.plan().step((rule * 2)[:count], **network.batch)
    for vector, was in zip([vector for pair in network.vectors() for vector in pair], before, strict=True):
        assert_same_bits(vector, was)


def test_a_rule_that_is_none_is_refused(dtype):
    network = plain_case((4, 5, 3), 7).network(dtype)
    right = updates(Update("sgd", 0.1), *[network.moments()] * 2)
    for wrong in (None, "sgd", 0.1):
        for at in range(4):
            with pytest.raises((TypeError, ValueError, AttributeError)):
                network.plan().step([*right[:at], (wrong, *right[at][1:]), *right[at + 1 :]], **network.batch)


# ---- NaN and infinities


def poison(network, where, value):
    if where == "weight":
        network.vectors()[0][0][3] = value
    elif where == "last weight":
        network.vectors()[-1][0][3] = value
    elif where == "bias":
        network.biases[0][1] = value
    elif where == "sample":
        network.source[network.rows[-1], 0] = value
    else:
        getattr(network, where)[2] = value


@pytest.mark.parametrize("where", ["weight", "last weight", "bias", "sample", "scale", "shift"])
@pytest.mark.parametrize("pattern", ["full", ARRAY])
def test_a_nan_reaches_the_loss(instruction_set, dtype, pattern, where):
    for activation in ACTIVATIONS:
        for threads in (1, 2):
            mkl.set_num_threads(threads)
            network = plain_case((30, 40, 5), 129, pattern, activation, scaled=True, shifted=True).network(dtype)
            poison(network, where, np.nan)
            loss, correct, gradients = gradients_of(network)
            assert np.isnan(loss)
            assert 0 <= correct <= 129
            assert np.isnan(gradients[1][1]).any()


@pytest.mark.parametrize("where", ["weight", "last weight", "bias", "sample"])
@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_an_infinity_does_what_it_does_in_numpy(instruction_set, dtype, value, where):
    for activation in ACTIVATIONS:
        for threads in (1, 2):
            mkl.set_num_threads(threads)
            network = plain_case((30, 40, 5), 129, "full", activation).network(dtype)
            poison(network, where, value)
            with np.errstate(all="ignore"):
                wanted = Oracle(dtype).step(network)
            loss, correct, _ = gradients_of(network)
            assert 0 <= correct <= 129
            if np.isfinite(wanted.loss):
                assert loss == pytest.approx(wanted.loss, rel=1e-4 if dtype == np.float32 else 1e-10)
            else:
                assert not np.isfinite(loss)


def test_a_nan_in_one_sample_leaves_the_outputs_of_others(instruction_set, dtype):
    network = plain_case((30, 40, 5), 200, "full", samples=200).network(dtype)
    network.rows[:] = np.arange(200)
    outs = []
    for _ in range(2):
        outs.append(np.zeros((5, 200), dtype))
        network.plan().forward(network.source, network.rows, outs[-1])
        network.source[70] = np.nan
    assert np.isnan(outs[1][:, 70]).all()
    assert_same_bits(np.delete(outs[1], 70, 1), np.delete(outs[0], 70, 1))


def test_what_was_not_finite_is_forgotten_with_the_weights(instruction_set, dtype):
    """Neither slices nor mailboxes keep a NaN of an earlier step."""
    case = Case((30, 40, 5), ("half", "full"), ("relu", "identity"), (True, True), 130)
    network = case.network(dtype)
    plan, kept = network.plan(), copy.deepcopy(network.vectors())
    for threads in (1, 2):
        mkl.set_num_threads(threads)
        before = gradients_of(network, plan)
        network.biases[0][:] = np.nan
        assert np.isnan(gradients_of(network, plan)[0])
        for now, was in zip(network.vectors(), kept, strict=True):
            for vector, right in zip(now, was, strict=True):
                vector[:] = right
        after = gradients_of(network, plan)
        assert after[:2] == before[:2]
        for mine, right in zip(after[2], before[2], strict=True):
            for gradient, other in zip(mine, right, strict=True):
                assert_same_bits(gradient, other)
