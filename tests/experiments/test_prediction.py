"""The arithmetic of predictions, and what is measured for them."""

import pytest

import nerva
from nerva.cli.measuring import Clock, measure
from nerva.experiments.prediction import Costs, estimate, makespan, mean, spread

from ..cli.running import SMALL


def test_a_run_takes_its_start_and_its_epochs():
    costs = Costs(start=1.0, setup=2.0, epoch=10.0)
    assert costs.seconds(3) == 33.0
    assert costs.seconds(3, done=2) == 13.0
    assert costs.seconds(3, done=4) == 3.0
    assert mean([costs, Costs(3.0, 4.0, 20.0)]) == Costs(2.0, 3.0, 15.0)


@pytest.mark.parametrize(
    ("seconds", "jobs", "wanted"),
    [([], 2, 0.0), ([5.0], 3, 5.0), ([1.0] * 5, 2, 3.0), ([4.0, 1.0, 1.0, 1.0], 2, 4.0), ([1.0, 1.0, 4.0], 2, 5.0)],
)
def test_runs_begin_as_soon_as_there_is_a_place(seconds, jobs, wanted):
    assert makespan(seconds, jobs) == wanted


def settings(density, seed=1, **others):
    return {"density": density, "seed": seed, "hidden": [10], **others}


def test_one_run_of_each_kind_is_measured():
    runs = [settings(density, seed) for density in (0.3, 0.1) for seed in (1, 2)] + [settings(0.1, learning_rate=3.0)]
    assert spread(runs, most=9) == [0, 2]
    runs = [settings(n / 100) for n in range(1, 101)]
    chosen = spread(runs, most=5)
    assert len(chosen) == 5
    assert {0, 99} <= {*chosen}


def test_other_kinds_are_between_the_nearest_densities():
    known = [(settings(0.1), Costs(1.0, 1.0, 10.0)), (settings(0.3), Costs(1.0, 3.0, 30.0))]
    known.append((settings(0.2, hidden=[500]), Costs(9.0, 9.0, 9.0)))
    assert estimate(settings(0.3, seed=7), known) == known[1][1]
    assert estimate(settings(0.2), known).epoch == pytest.approx(20.0)
    assert estimate(settings(0.2), known).setup == pytest.approx(2.0)
    assert estimate(settings(0.9), known) == known[1][1]
    assert estimate(settings(0.9, hidden=[500]), known) == known[2][1]
    assert estimate({"densities": [0.1, 0.5], "hidden": [10]}, known) == known[1][1]


@pytest.mark.parametrize("options", [[], ["--topology", "rigl", "--update-every", "3"]])
def test_what_is_measured_is_above_nothing(blobs, options):
    costs = measure(["--data", blobs, *SMALL, "--epochs", "2", *options], threads=1)
    assert 0 < costs.epoch < 30
    assert 0 < costs.setup < 30
    assert 0.02 < costs.start < 60  # an interpreter and NumPy


def test_sources_in_the_present_folder_do_not_hide_nerva(blobs, tmp_path, monkeypatch, capfd):
    """As in a clone of which nerva was installed, but which is not built."""
    (tmp_path / "nerva").mkdir()
    (tmp_path / "nerva" / "__init__.py").write_text("raise ImportError('not built')")
    monkeypatch.chdir(tmp_path)
    measure(["--data", blobs, *SMALL, "--epochs", "2"], threads=1)
    assert capfd.readouterr().err == ""


def test_thinning_out_counts_what_is_left(blobs, monkeypatch):
    """The mean of a cubic schedule from 0 to 3/4 of the steps: 3/16 of the weights that go."""
    import nerva.cli.measuring as measuring

    asked = []

    def fake(options, data):
        asked.append((options.density, options.topology))
        return Costs(0.0, 0.0, 16.0 if options.topology else 0.0)

    monkeypatch.setattr(measuring, "_measure", fake)
    argv = ["--density", "1", "--topology", "gmp", "--final-density", "0.1", "--epochs", "20"]
    assert measure(["--data", blobs, "--hidden", "16", *argv]).epoch == pytest.approx(3.0)
    assert asked == [(1.0, "gmp"), (0.1, None)]


def test_steps_with_an_update_are_counted_apart(monkeypatch):
    """1 s a step, 6 s the first, 4 s every fifth."""
    import nerva.cli.measuring as measuring

    now = [0.0]
    monkeypatch.setattr(measuring, "perf_counter", lambda: now[0])
    run = type("Run", (), {"epochs": 2, "batches": range(20)})
    clock = Clock()
    clock.on_epoch_begin(run)

    def train():
        for batch in range(1, 100):
            now[0] += 6.0 if batch == 1 else 4.0 if batch % 5 == 0 else 1.0
            if batch % 5 == 0:
                clock.on_topology_update(run, [])
            clock.on_batch(batch, 20)

    with pytest.raises(nerva.StopTraining):
        train()
    assert (clock.first, clock.step, clock.update) == (5.0, 1.0, 3.0)
