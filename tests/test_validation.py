"""Every check of an argument: what it returns, and both kinds of error, which name the argument and the value."""

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from nerva import validation as v

BIG = 10**400  # an integer that no float holds
NOT_INTEGERS = [2.0, "2", None, True, np.True_, np.float64(2), [2], Fraction(2)]
NOT_NUMBERS = ["0.5", b"0.5", None, True, np.False_, [0.5], np.ones(1), np.ones((2, 2)), 1j, object(), BIG]
NUMBERS = [0.5, np.float32(0.5), np.float64(0.5), np.array(0.5), Decimal("0.5"), Fraction(1, 2)]


def refused(kind, message, check, *arguments, **settings):
    with pytest.raises(kind, match=message):
        check(*arguments, **settings)


# ---- integers


@pytest.mark.parametrize("value", [3, np.int8(3), np.uint64(3)])
def test_integers(value):
    for settings in ({}, {"least": 3}, {"most": 3}, {"least": 1, "most": 5}):
        found = v.check_integer(value, "n", **settings)
        assert (found, type(found)) == (3, int)


@pytest.mark.parametrize("value", NOT_INTEGERS, ids=repr)
def test_what_is_not_an_integer(value):
    refused(TypeError, "^n is .*; it must be an integer$", v.check_integer, value, "n")


def test_integers_out_of_range():
    refused(ValueError, "^n is 0; it must be at least 1$", v.check_integer, 0, "n", least=1)
    refused(ValueError, "^n is 9; it must be within 1 to 8$", v.check_integer, 9, "n", least=1, most=8)
    refused(ValueError, "^n is -1; it must be within 1 to 8$", v.check_integer, np.int64(-1), "n", least=1, most=8)


def test_features():
    assert v.check_features(2**31 - 1, "D") == 2**31 - 1
    refused(TypeError, "^D is 1.5; it must be an integer$", v.check_features, 1.5, "D")
    for value in (0, 2**31):
        refused(ValueError, f"^D is {value}; it must be within 1 to 2147483647$", v.check_features, value, "D")


def test_sizes():
    for sizes in ([4, 3], (4, 3), np.array([4, 3]), iter([4, 3])):
        found = v.check_sizes(sizes)
        assert found == [4, 3]
        assert {type(n) for n in found} == {int}
    for sizes in (4, None, "43", b"43"):
        refused(TypeError, "^sizes is .*; it must be at least two positive integers$", v.check_sizes, sizes)
    for sizes in ([4], [], [4, 0], [4, 3.0], [4, True], [4, "3"]):
        refused(ValueError, r"^sizes is \[.*; it must be at least two positive integers$", v.check_sizes, sizes)


# ---- numbers

# The check, numbers that pass, numbers out of range, and what the message demands.
RANGES = [
    (v.check_number, [-1e300, 0, 7], [], "finite"),
    (v.check_not_negative, [0, 0.0, 1e300], [-1e-300, -1], "finite and not negative"),
    (v.check_positive, [1e-300, 7], [0, 0.0, -1], "finite and above 0"),
    (v.check_fraction, [0, 1, 1.0], [-1e-9, 1.0000001], "within 0 to 1"),
    (v.check_below_one, [0, 0.999], [-1e-9, 1, 1.0], "from 0 to below 1"),
    (v.check_proper_fraction, [1e-300, 0.999], [0, 0.0, 1, 2], "above 0 and below 1"),
]
CHECKS = [(check, wanted) for check, _, _, wanted in RANGES]


@pytest.mark.parametrize(("check", "within", "outside", "wanted"), RANGES)
def test_ranges(check, within, outside, wanted):
    for value in [*within, *NUMBERS]:
        found = check(value, "rate")
        assert (found, type(found)) == (float(value), float)
    for value in outside:
        refused(ValueError, f"^rate is {value}; it must be {wanted}$", check, value, "rate")


@pytest.mark.parametrize(("check", "wanted"), CHECKS)
def test_what_is_not_finite(check, wanted):
    for value in (math.nan, math.inf, -math.inf, np.float32(np.nan), Decimal("inf")):
        refused(ValueError, f"^rate is .*; it must be {wanted}$", check, value, "rate")


@pytest.mark.parametrize(("check", "wanted"), CHECKS)
@pytest.mark.parametrize("value", NOT_NUMBERS, ids=lambda value: repr(value)[:20])
def test_what_is_not_a_number(check, wanted, value):
    refused(TypeError, f"(?s)^rate is .*; it must be a number, {wanted}$", check, value, "rate")


def test_ascending():
    for values in ([], [0], (1, 1, 2.5), np.array([0, 3])):
        v.check_ascending(values, "milestones")
    for values in ([2, 1], [-1, 2], [1, math.nan], [math.inf]):
        refused(ValueError, "^milestones is .*; they must ascend from 0$", v.check_ascending, values, "milestones")
    for values in (5, None, ["1"], [None]):
        refused(
            TypeError, "^milestones is .*; it must be a sequence of numbers$", v.check_ascending, values, "milestones"
        )


# ---- flags and words


def test_flags():
    for value in (True, False, np.True_, np.False_):
        assert v.check_flag(value, "shuffle") is bool(value)
    for value in (0, 1, None, "yes", np.ones(1, bool)):
        refused(TypeError, "^shuffle is .*; it must be True or False$", v.check_flag, value, "shuffle")


def test_choices():
    assert v.check_choice("live", "fan", ("dense", "live")) == "live"
    assert v.check_choice("live", "fan", {"live": 1}) == "live"
    for value in ("Live", "", None, 3, ["live"], ("live",)):
        refused(
            ValueError, "^fan is .*; it must be one of dense, live$", v.check_choice, value, "fan", ["dense", "live"]
        )


# ---- arrays, types and generators


def test_shapes():
    wanted = np.zeros(2, np.float32)
    for array in ([1, 2], np.ones(2, np.float64), np.ones(2, np.int8)):
        np.testing.assert_array_equal(v.check_shape(array, "bias", wanted), array)
    refused(ValueError, r"^bias has shape \(3,\); it must be \(2,\)$", v.check_shape, [1, 2, 3], "bias", wanted)
    for array in ([1j, 2], ["1", "2"], [None, None]):
        refused(TypeError, "^bias has dtype .*; it must be real numbers$", v.check_shape, array, "bias", wanted)


def test_weights():
    found = v.check_weights([0, 1, 2], "class_weights")
    assert (found.tolist(), found.dtype) == ([0.0, 1.0, 2.0], np.float64)
    assert v.check_weights(np.empty(0), "class_weights").size == 0
    for values, message in [
        ([[1.0]], r"has shape \(1, 1\) and dtype float64; it must be a vector of numbers"),
        (["a"], r"has shape \(1,\) and dtype <U1; it must be a vector of numbers"),
        ([True], r"has shape \(1,\) and dtype bool; it must be a vector of numbers"),
        ([1, -1], "holds a number that is negative or not finite"),
        ([1, np.nan], "holds a number that is negative or not finite"),
        ([0.0, 0.0], r"has the sum 0\.0; it must be above 0, and within float32"),
        ([1e39], r"has the sum 1e\+39; it must be above 0, and within float32"),
    ]:
        refused(ValueError, f"^class_weights {message}$", v.check_weights, values, "class_weights")


@pytest.mark.parametrize("dtype", ["float32", np.float64, np.dtype("f4"), float])
def test_real_dtypes(dtype):
    assert v.real_dtype(dtype) == np.dtype(dtype)


@pytest.mark.parametrize(
    ("dtype", "error"),
    [
        *((dtype, ValueError) for dtype in (None, "float16", int, np.complex64, object, "f4,f4")),
        *((dtype, TypeError) for dtype in ("nonsense", 3, np.zeros)),
    ],
)
def test_a_dtype_that_is_not_real_is_named(dtype, error):
    refused(error, "^dtype is .*; it must be float32 or float64$", v.real_dtype, dtype)


def test_generators():
    rng = np.random.default_rng(3)
    assert v.as_generator(rng) is rng
    for seed in (3, np.int64(3)):
        assert v.as_generator(seed).bit_generator.state == np.random.default_rng(3).bit_generator.state
    assert v.as_generator(None).random() != v.as_generator(None).random()
    for value in ("3", 0.5, np.random.PCG64(3), [3]):
        refused(
            TypeError,
            "^seed is .*; it must be a numpy.random.Generator, a seed or None$",
            v.as_generator,
            value,
            "seed",
        )
    refused(ValueError, "^seed is -1; a seed must not be negative$", v.as_generator, -1, "seed")
