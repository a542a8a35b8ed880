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


def test_a_row_that_nerva_cannot_do_is_left_out(bench, capsys):
    from compare import Comparison
    from harness.peer import Peer
    from harness.records import Table

    class Lacking(Peer):
        @classmethod
        def unsupported(cls, work):
            return "it needs another machine"

    table = Table("epoch")
    run = Comparison.__new__(Comparison)  # which measures nothing
    run.add(table, "0.99, bfloat16", [Lacking], None)
    assert not table.rows
    assert "epoch 0.99, bfloat16: left out, it needs another machine" in capsys.readouterr().err
