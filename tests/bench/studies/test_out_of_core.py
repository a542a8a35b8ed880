"""The study of an epoch out of core, on a small file."""

import numpy as np


def test_an_epoch_is_measured_on_disk_and_in_memory(tmp_path):
    from studies.out_of_core import SIZES, Epoch, row, write

    path = tmp_path / "random.npy"
    write(path, 0.002)
    pixels = np.load(path)
    assert (pixels.shape, pixels.dtype) == ((2_000_000 // SIZES[0], SIZES[0]), np.uint8)
    assert pixels.max() == 255
    before = path.read_bytes()
    write(path, 0.002)
    assert path.read_bytes() == before
    found = Epoch().on_disk(str(path), 1, True), Epoch().in_memory(str(path), 1, 1.0)
    assert [each["samples"] for each in found] == [len(pixels), 1_000_000 // SIZES[0]]
    cells = row("on disk", {"samples": 1000, "seconds": 2.0, "peak": 5e8}, 1000.0)
    assert cells == ["on disk", "0.00", "2.00", "500", "0.00", "0.50", "50.0%"]
