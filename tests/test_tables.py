"""Tables: columns aligned left or right, rules, and no trailing spaces."""

import pytest

from nerva.tables import table

ROWS = [("layer", "phase", "calls", ""), ("0 Linear", "", "1", "ok"), ("1", "forward", "1,000", "WRONG")]


def test_columns_are_aligned():
    assert table(ROWS).splitlines() == [
        "layer       phase  calls",
        "0 Linear               1     ok",
        "1         forward  1,000  WRONG",
    ]
    assert table(ROWS, left=(0, 1)).splitlines() == [
        "layer     phase    calls",
        "0 Linear               1     ok",
        "1         forward  1,000  WRONG",
    ]
    assert table(ROWS, left=(3,)).splitlines()[1] == "0 Linear               1  ok"


def test_rules_are_as_wide_as_the_table():
    lines = table(ROWS, rules=(0, 1)).splitlines()
    assert [i for i, line in enumerate(lines) if set(line) == {"-"}] == [1, 3]
    assert len(lines[1]) == len(lines[-1]) == 31


def test_small_tables():
    assert table([]) == ""
    assert table([("", "")]) == ""
    assert table([("a",)], rules=[0]) == "a\n-"


def test_rows_must_have_the_same_length():
    with pytest.raises(ValueError, match="zip"):
        table([("a", "b"), ("c",)])
