"""What users run: epochs of fit, training steps on rows, prediction and evaluation."""

from typing import Any

import pytest

from parts import PARTS, Row

ROWS = [(name, row) for name, part in PARTS.items() for row in part.rows]


@pytest.mark.parametrize(("part", "row"), ROWS, ids=[f"{name} {row.name}" for name, row in ROWS])
def test_use(compared: Any, part: str, row: Row) -> None:
    compared(PARTS[part].label, row.name, PARTS[part].peers, row.work(), PARTS[part].unit)
