"""The parts of what users run."""

import numpy as np
import pytest


def test_every_row_has_a_name_of_its_own_in_its_part(bench):
    from parts import PARTS

    for part in PARTS.values():
        names = [row.name for row in part.rows]
        assert len(set(names)) == len(names)


def test_rows_are_selected_by_name(bench):
    from parts import PARTS, selected

    assert [row.name for row in selected(PARTS["fit"], ["0.99", "16"])] == ["0.99"]
    assert [row.batch for row in selected(PARTS["batches"], ["16"])] == [16]
    assert len(list(selected(PARTS["fit"], None))) == 10  # five in bfloat16


@pytest.mark.parametrize("name", ["fit", "features"])
def test_rows_in_bfloat16_are_beside_those_in_float32(bench, name):
    from parts import PARTS

    rows = list(PARTS[name].rows)
    for exact, rounded in zip(rows[::2], rows[1::2], strict=True):
        assert rounded == exact._replace(name=f"{exact.name}, bfloat16", precision="bfloat16")
        assert (exact.work().precision, rounded.work().precision) == ("float32", "bfloat16")


def test_a_row_is_a_workload_on_data_of_its_size(bench):
    from parts import Row

    work = Row("small", 0.5, (40, 30, 10), 16, 60).work("samples.npz")
    assert work.sizes == (40, 30, 10)
    assert (work.data.features, work.data.classes, work.data.samples, work.batch) == (40, 10, 60, 16)
    assert work.data.file == ""  # its features are not those of the file


def test_cifar10_is_written_for_all_processes(bench, tmp_path, monkeypatch):
    import nerva
    from harness.use import Data
    from parts import cifar10

    pixels = np.arange(12, dtype=np.uint8).reshape(4, 3)
    X = nerva.datasets.Standardized(pixels, [0.1, 0.2, 0.3], [0.5, 0.25, 0.2])
    split = nerva.datasets.dataset.Split(X, np.array([1, 0, 1, 0]))
    made = nerva.datasets.Dataset("cifar10", split, split, ("a", "b"))
    monkeypatch.setattr(nerva.datasets, "cifar10", lambda folder, download: made)
    data = Data(3, 2, 4, cifar10(tmp_path, tmp_path))
    assert data.floats()[0] == pytest.approx(np.asarray(X), abs=1e-6)
    found = data.bytes()
    assert nerva.datasets.Standardized(found.pixels, found.mean, found.std).scale == pytest.approx(X.scale)
