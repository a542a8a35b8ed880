"""What tests of compiled networks share."""

import pytest

from nerva._kernels import slices


@pytest.fixture(params=["slices", "rows"])
def way(request, monkeypatch):
    """Whether threads take slices of the batch, or share the rows of all, as in a network of many weights."""
    if request.param == "rows":
        monkeypatch.setattr(slices, "MOST_WEIGHTS", 0)
