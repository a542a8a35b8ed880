"""A cache of costs of its own for a test."""

import pytest

from nerva.backends import calibration


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty place for the cache; nothing is known, and measuring, which is counted, gives made-up costs."""
    monkeypatch.setenv("NERVA_CACHE", str(tmp_path / "a" / "cache"))
    monkeypatch.setattr(calibration, "_known", {})
    return tmp_path / "a" / "cache"
