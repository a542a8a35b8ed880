"""Times of layers: lines through them, and what is measured, on small layers."""

import numpy as np
import pytest

from nerva.experiments.paper.layer_times import (
    PRODUCTS,
    Products,
    equal_at,
    fit,
    measure_products,
    measure_steps,
    phases,
)

SHAPE = {"shape": [20, 8], "densities": [0.1, 1.0], "batch_size": 10, "threads": [1, 2], "rounds": 2}
STEPS = {"sizes": [30, 16, 4], "sparsities": [0.5, 0.9], "batch_size": 10, "samples": 100, "threads": [1], "rounds": 2}


def test_a_line_with_a_floor_bends_where_the_floor_is_half():
    densities = [0.001, 0.002, 0.005, 0.01, 0.1, 0.5, 1.0]
    line = fit(densities, [3.0 + 300.0 * d for d in densities])
    assert (line.floor, line.rate, line.bend) == pytest.approx((3.0, 300.0, 0.01))
    assert line.worst == pytest.approx(0.0, abs=1e-9)
    assert line.below < 0.4
    assert 0.8 < line.above < 1.0


def test_a_line_has_no_floor_below_zero():
    line = fit([0.1, 0.2, 0.5, 1.0], [0.05, 0.15, 0.45, 0.95])
    assert (line.floor, line.bend, line.below) == (0.0, 0.0, None)
    assert line.rate == pytest.approx(0.677, abs=0.001)
    assert line.worst > 0.2


def test_times_that_do_not_depend_on_density_have_no_slope():
    line = fit([0.01, 0.1, 1.0], [2.0, 2.0, 2.0])
    assert line.floor == pytest.approx(2.0)
    assert line.below == pytest.approx(0.0, abs=1e-6)
    assert line.above is None


@pytest.mark.parametrize(
    ("limit", "found"), [(0.5, 0.01), (1.0, 0.01), (10.0, 0.1), (30.0, 0.3), (100.0, 1.0), (101.0, None)]
)
def test_the_density_at_which_times_reach_a_limit(limit, found):
    assert equal_at([0.01, 0.1, 1.0], [1.0, 10.0, 100.0], limit) == (found and pytest.approx(found))


def test_phases_are_medians_over_the_rounds():
    def made(forward, loss):
        rows = [
            {"layer": "0 a", "phase": "forward", "seconds": forward},
            {"layer": "", "phase": "loss", "seconds": loss},
        ]
        return {"rows": rows, "steps": {"": 3}}

    found = phases([made(1.0, 5.0), made(3.0, 6.0), made(2.0, 7.0)])
    assert found == {("0 a", "forward"): 2.0, ("", "loss"): 6.0}


def test_the_products_of_a_layer_are_measured_at_each_density():
    found = Products(SHAPE)
    for work in [f"{name}@{density}" for name in PRODUCTS for density in ("0", "0.1", "1")] + ["write Y", "read"]:
        found.prepare(work, 1, 0)
        found.run()
    with pytest.raises(KeyError):
        found.prepare("forward@0.2", 1, 0)


def test_dense_and_sparse_products_are_of_the_same_size():
    found = Products(SHAPE | {"densities": [1.0]})
    works = {name: work.__closure__ for name, work in found._works.items()}
    sparse = {cell.cell_contents.shape for cell in works["forward@1"] if hasattr(cell.cell_contents, "shape")}
    dense = {cell.cell_contents.shape for cell in works["dense forward"] if isinstance(cell.cell_contents, np.ndarray)}
    assert sparse == dense == {(8, 20), (20, 10), (8, 10)}


def test_the_record_of_products_has_a_turn_of_each(tmp_path):
    rounds = measure_products(SHAPE, tmp_path)["rounds"]
    assert len(rounds) == 2
    works = [f"{name}@{density}" for name in PRODUCTS for density in ("0", "0.1", "1")]
    works += [*(f"dense {name}" for name in PRODUCTS), "write Y", "write DX"]
    assert set(rounds[0]) == {f"{work}/{threads}" for work in works for threads in (1, 2)} | {"read/1"}
    assert all(turn["seconds"] > 0 for turn in rounds[1].values())


def test_the_record_of_steps_has_a_profile_of_each_round(tmp_path):
    found = measure_steps(STEPS, tmp_path)
    assert set(found["rounds"][0]) == set(found["profiles"]) == {"0.5/1", "0.9/1"}
    assert [each["steps"] for each in found["profiles"]["0.9/1"]] == [{"": 10}] * 2
    assert set(phases(found["profiles"]["0.9/1"])) >= {
        ("", "data"),
        ("0 SparseLinear 30-16", "forward"),
        ("0 SparseLinear 30-16", "backward"),
    }
    assert found["densities"]["0.9"][0] < found["densities"]["0.9"][1]
