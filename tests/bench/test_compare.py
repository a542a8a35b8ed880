"""The options of compare.py."""

import argparse

import pytest


@pytest.mark.parametrize(("text", "numbers"), [("1,2", (1, 2)), ("2", (2,))])
def test_threads_are_a_list(bench, text, numbers):
    from compare import numbers_of_threads

    assert numbers_of_threads(text) == numbers


@pytest.mark.parametrize("text", ["0,2", "a", "", "1,"])
def test_threads_are_positive_numbers(bench, text):
    from compare import numbers_of_threads

    with pytest.raises(argparse.ArgumentTypeError, match="such as 1,2"):
        numbers_of_threads(text)
