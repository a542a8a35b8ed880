"""Energy from the counters of the system, here files in a folder."""

import os
import time

import pytest

from nerva.experiments.energy import measure_energy

LARGEST = 262_143_328_850


@pytest.fixture
def system(tmp_path):
    """Two packages, one with cores and memory; the platform; and what has the first package again."""
    for folder, name in (
        ("intel-rapl:0", "package-0"), ("intel-rapl:0:0", "core"), ("intel-rapl:0:1", "dram"),
        ("intel-rapl:1", "package-1"),
        ("intel-rapl:2", "psys"), ("intel-rapl-mmio:0", "package-0"), ("intel-rapl", ""), ("dtpm", ""),
    ):  # fmt: skip
        (tmp_path / folder).mkdir()
        if name:
            (tmp_path / folder / "name").write_text(f"{name}\n")
            (tmp_path / folder / "max_energy_range_uj").write_text(f"{LARGEST}\n")
            (tmp_path / folder / "energy_uj").write_text("1000000\n")

    def write(folder, microjoules):
        path = tmp_path / folder / "energy_uj"
        (tmp_path / "new").write_text(f"{microjoules}\n")
        os.replace(tmp_path / "new", path)

    write.root = tmp_path
    return write


def test_packages_and_their_memory_are_added(system):
    with measure_energy(system.root) as energy:
        assert energy.joules is None
        for i, folder in enumerate(
            ("intel-rapl:0", "intel-rapl:0:0", "intel-rapl:0:1", "intel-rapl:1", "intel-rapl:2")
        ):
            system(folder, 1_000_000 + 10**i * 1_000_000)
        system("intel-rapl-mmio:0", 9_000_000)
    zones = {"package-0": 1, "package-0 core": 10, "package-0 dram": 100, "package-1": 1000, "psys": 10_000}
    assert energy.zones == zones
    assert energy.joules == 1101
    assert energy.reason == ""


def test_a_counter_that_wraps_around_goes_on(system):
    system("intel-rapl:0", LARGEST - 5_000_000)
    with measure_energy(system.root) as energy:
        system("intel-rapl:0", 2_000_000)
    assert energy.zones["package-0"] == 7


def test_and_one_that_does_so_again_and_again_is_watched(system):
    with measure_energy(system.root, every=0.01) as energy:
        for _ in range(3):
            for value in (LARGEST, 1_000_000):
                system("intel-rapl:1", value)
                time.sleep(0.2)
    assert energy.zones["package-1"] == pytest.approx(3 * LARGEST / 1e6)


def test_without_counters_there_is_a_reason(tmp_path):
    for root in (tmp_path, tmp_path / "nowhere"):
        with measure_energy(root) as energy:
            pass
        assert (energy.joules, energy.zones) == (None, {})
        assert energy.reason == f"there are no energy counters in {root}"


def test_counters_that_may_not_be_read(system, monkeypatch):
    path = system.root / "intel-rapl:0" / "energy_uj"
    read = type(path).read_text

    def refuse(self, *args, **settings):
        if self.name == "energy_uj":
            raise PermissionError(13, "Permission denied", str(self))
        return read(self, *args, **settings)

    monkeypatch.setattr(type(path), "read_text", refuse)
    with measure_energy(system.root) as energy:
        pass
    assert (energy.joules, energy.reason) == (None, f"{path} may not be read, but by root")


def test_a_counter_that_vanishes_or_is_broken_is_no_error(system):
    with measure_energy(system.root) as energy:
        (system.root / "intel-rapl:1" / "energy_uj").unlink()
    assert energy.joules is None
    assert "cannot be read" in energy.reason
    system("intel-rapl:0", "much")
    with measure_energy(system.root) as energy:
        pass
    assert energy.joules is None
    assert "much" in energy.reason


def test_what_is_measured_is_kept_where_the_context_ends_by_an_error(system):
    with pytest.raises(RuntimeError, match="out of luck"), measure_energy(system.root) as energy:
        end(system)
    assert energy.joules == 2


def end(system):
    system("intel-rapl:0", 3_000_000)
    raise RuntimeError("out of luck")
