"""The ranking of methods: its networks, what is trained for equal time, and the page that is made of its results."""

import json
import subprocess
import sys
from argparse import Namespace

import numpy as np
import pytest

import nerva

RUN = {"data": "shapes", "optimizer": "adam", "seed": 0, "density": 0.01, "batch_norm": False, "epochs": 8}


def run(method, accuracy=0.5, cpu=4.0, budget="epochs", **settings):
    rest = {"accuracy": [accuracy], "seconds": [cpu], "weights": 100, "fans": None}
    return {**RUN, "method": method, "cpu": cpu, "budget": budget, **rest, **settings}


def test_networks_have_the_density_their_method_starts_at():
    from studies.ranking import METHODS, network

    fans = [[30] * 1024, [20] * 512, [100] * 10]
    for name, method in METHODS.items():
        model = network(RUN | {"method": name}, [run("RigL", fans=fans)])
        assert model.nnz == pytest.approx(method.start * 0.01 * model.dense_size, abs=2)
        assert all(isinstance(layer, nerva.SparseLinear) for layer in model.layers)
        topology = method.make(0.01)
        assert topology is None or isinstance(topology, nerva.Topology)


def test_a_run_takes_the_fan_in_of_the_same_seed():
    from studies.ranking import network

    rows = np.arange(1024) % 53
    found = [run("RigL", seed=1), run("RigL", fans=[rows.tolist(), [20] * 512, [100] * 10])]
    model = network(RUN | {"method": "RigL from its own"}, found)
    fan_in = np.diff(model.layers[0].weight.indptr)
    np.testing.assert_allclose(fan_in, rows * model.layers[0].nnz / rows.sum(), atol=1)
    with pytest.raises(ValueError, match="needs the run of RigL of the same seed, 2"):
        network(RUN | {"method": "RigL from its own", "seed": 2}, found)


def test_methods_that_take_another_time_train_once_more():
    from studies.ranking import at_equal_time, left, wanted

    options = Namespace(data=["shapes"], optimizers=["adam"], methods=["static", "SET", "GMP", "CHT"], seeds=2)
    options.density, options.batch_norm, options.epochs = 0.01, False, 8
    tasks = list(wanted(options))
    assert [(task["seed"], task["method"]) for task in tasks[:5]] == [
        *((0, name) for name in options.methods),
        (1, "static"),
    ]
    cpu = {"static": 4.0, "SET": 4.3, "GMP": 8.0, "CHT": 100.0}
    runs = [run(task["method"], seed=task["seed"], cpu=cpu[task["method"]] + task["seed"]) for task in tasks]
    assert not left(runs, tasks)
    assert left(runs[1:], tasks) == tasks[:1]
    again = [(task["method"], task["seed"], task["epochs"]) for task in at_equal_time(runs, tasks)]
    assert again == [("GMP", 0, 4), ("CHT", 0, 1), ("GMP", 1, 4), ("CHT", 1, 1)]


def test_the_page_has_means_intervals_and_the_front(tmp_path, bench):
    runs = [run("static", a, seed=i) for i, a in enumerate((0.50, 0.51, 0.52))]
    runs += [run("SET", a, cpu=4.1, seed=i) for i, a in enumerate((0.60, 0.61, 0.62))]
    runs += [run("GMP", a, cpu=9.0, seed=i) for i, a in enumerate((0.30, 0.31, 0.32))]
    runs += [run("GMP", a, seed=i, epochs=4, budget="time", cpu=4.0) for i, a in enumerate((0.7, 0.7, 0.7))]
    (tmp_path / "runs.jsonl").write_text("".join(json.dumps(each) + "\n" for each in runs))
    command = [sys.executable, str(bench / "studies" / "ranking_page.py"), "runs.jsonl", "--page", "page.md"]
    subprocess.run([*command, "--picture", "picture.svg"], cwd=tmp_path, check=True, timeout=120)
    lines = (tmp_path / "page.md").read_text().splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("|")][2:]
    assert cells == [  # 4.303 x 1 / sqrt(3) = 2.48
        ["SET", "61.00 ± 2.48", "100", "1.02", "8", "61.00 ± 2.48"],
        ["static", "51.00 ± 2.48", "100", "1.00", "8", "51.00 ± 2.48"],
        ["GMP", "31.00 ± 2.48", "100", "2.25", "4", "70.00 ± 0.00"],
    ]
    text = " ".join(lines)
    assert "both intervals: above: SET; below: GMP." in text
    assert "both intervals: above: SET, GMP; below: none." in text
    assert max(map(len, lines)) <= 120
    assert (tmp_path / "picture.svg").read_text().count("<svg") == 1


def test_a_study_that_goes_on_has_the_seeds_of_all_methods():
    from studies.ranking_page import complete

    whole = [run(method, seed=seed) for method in ("static", "GMP") for seed in (0, 1)]
    timed = [run("GMP", seed=seed, budget="time") for seed in (0, 1)]
    assert complete([*whole, *timed]) == [*whole, *timed]
    assert complete([*whole, timed[0]]) == whole
    begun = [run("static", seed=2), run("static", optimizer="nesterov")]
    assert complete([*whole, *begun, *timed]) == [*whole, begun[1], *timed]
    assert complete([*whole, run("SET", seed=1)]) == [whole[1], whole[3], run("SET", seed=1)]


def test_no_point_of_the_front_is_beaten():
    from studies.ranking_page import front

    points = [(1.0, 50.0), (2.0, 49.0), (2.0, 52.0), (3.0, 51.0), (0.5, 40.0), (4.0, 53.0)]
    assert front(points) == [(0.5, 40.0), (1.0, 50.0), (2.0, 52.0), (4.0, 53.0)]
