"""The memory of the machine and of this process."""

import numpy as np
import pytest

from nerva.experiments import ram


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine with 3000 kB available, and files for the limit of a container and what it uses."""
    (tmp_path / "meminfo").write_text("MemTotal:  9000 kB\nMemAvailable:    3000 kB\n")
    monkeypatch.setattr(ram, "MEMORY", tmp_path / "meminfo")
    limits = tmp_path / "max", tmp_path / "current"
    monkeypatch.setattr(ram, "LIMITS", (limits,))
    return limits


def test_what_is_available_is_free(machine):
    assert ram.free() == 3000 * 1024
    machine[0].write_text("max\n")
    assert ram.free() == 3000 * 1024


@pytest.mark.parametrize(("limit", "used", "free"), [(5000, 1000, 4000), (5000, 6000, 0), (10**9, 0, 3000 * 1024)])
def test_the_limit_of_a_container_counts(machine, limit, used, free):
    for path, size in zip(machine, (limit, used), strict=True):
        path.write_text(f"{size}\n")
    assert ram.free() == free


def test_a_field_that_is_missing_is_named(monkeypatch, tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal: 9000 kB\n")
    monkeypatch.setattr(ram, "MEMORY", tmp_path / "meminfo")
    with pytest.raises(OSError, match="has no MemAvailable"):
        ram.free()


def test_memory_that_is_written_to_is_resident():
    before, size = ram.resident(), 64 << 20
    array = np.ones(size, np.uint8)
    assert ram.resident() - before > size // 2
    assert ram.peak() >= ram.resident() - size // 4
    assert array[-1] == 1
