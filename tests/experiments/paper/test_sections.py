"""Sections of the parts that train, from records that are made up: numbers, verdicts, and units that are missing."""

import pytest

from nerva.experiments.paper import accuracy, cause, distributions, seeds, twice
from nerva.experiments.paper.training import run

from .runs import tiny, write

PARTS = (accuracy, cause, seeds, distributions)
PROTOCOL = tiny()
STEPS = {"nerva": [2.0, 1.0], "masked": [2.0, 1.0 + 1e-15], "apart": [0.0, 1e-15], "moved": [0.1, 0.2]}


def of(unit, found, apart=1e-15):
    """The result of a unit: steps, or a run that ends with an accuracy of `found`, in percent."""
    if unit.name.startswith("steps"):
        return STEPS | {"apart": [0.0, apart]}
    counts = {"weights": 1000, "nonzeros": [30, 20, 4] if "twice" in unit.name else [600, 300, 100]}
    epochs = unit.settings["epochs"]
    return counts | {
        "loss": [1.0] * epochs,
        "accuracy": [0.1] * (epochs - 1) + [found / 100],
        "seconds": [1.0] * epochs,
    }


def records(folder, part, found=lambda unit: 50.0, units=None):
    """Write records of a part's units, of accuracies that `found` says."""
    for unit in part.units(PROTOCOL) if units is None else units:
        write(folder, unit, **of(unit, found(unit)))


def by_side(unit):
    """Accuracies whose differences are 0.1, 0.0 and 0.2 points at seeds 1 to 3; a mask drawn twice costs 20 points."""
    seed = unit.settings["seeds"][0]
    shift = (0.1, 0.0, 0.2)[seed - 1] if unit.settings["side"] == "nerva" else 0.0
    return 50.0 + seed + shift - (20.0 if unit.settings["way"] == "twice" else 0.0)


@pytest.mark.parametrize("part", PARTS)
def test_without_any_record_all_is_missing(part, tmp_path):
    section = part.section(PROTOCOL, tmp_path)
    assert list(section.missing) == [unit.name for unit in part.units(PROTOCOL)]
    assert (section.title, section.answer, list(section.claims)) == (part.TITLE, "", [])


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("left", [1, 4])
def test_what_is_missing_is_named_and_the_rest_is_shown(part, left, tmp_path):
    units = part.units(PROTOCOL)
    done = units[::left] if left > 1 else units[:-1]
    records(tmp_path, part, units=done)
    section = part.section(PROTOCOL, tmp_path)
    assert list(section.missing) == [unit.name for unit in units if unit not in done]
    assert any("50.00" in cell for table in section.tables for row in table.rows for cell in row)
    assert all(len(row) == len(table.header) for table in section.tables for row in table.rows)


@pytest.mark.parametrize("part", PARTS)
def test_tables_and_figures_name_the_data(part, tmp_path):
    records(tmp_path, part)
    section = part.section(PROTOCOL, tmp_path)
    assert section.command == f"nerva reproduce paper --part {part.__name__.rpartition('.')[2]}"
    assert all("Shapes" in shown.caption for shown in [*section.tables, *section.pictures])
    assert not section.missing
    assert section.answer.endswith(".")


def test_accuracies_stand_beside_each_other(tmp_path):
    records(tmp_path, accuracy, by_side)
    section = accuracy.section(PROTOCOL, tmp_path)
    row = section.tables[0].rows[1]
    # Differences of 0.1 and 0.0: t of one degree of freedom is 12.706, the standard error 0.05.
    assert row[:5] == ["99 %", "51.55 (51.10 to 52.00)", "51.50 (51.00 to 52.00)", "+0.05 (-0.59 to +0.69)", row[1]]
    assert row[5:] == ["56.2", "53.9"]
    assert section.claims[0].verdict == "holds"


@pytest.mark.parametrize(
    ("ours", "verdict"),
    [((50.0, 50.0), "holds"), ((54.0, 54.1), "does not hold"), ((50.0, 53.0), "open")],
)
def test_the_verdict_on_equivalent_accuracies(ours, verdict, tmp_path):
    records(tmp_path, accuracy, lambda unit: ours[unit.settings["seeds"][0] - 1] if "nerva" in unit.name else 50.0)
    assert accuracy.section(PROTOCOL, tmp_path).claims[0].verdict == verdict


def test_one_seed_gives_a_difference_without_an_interval(tmp_path):
    protocol = tiny(seeds=(1,), sparsities=(0.9,))
    for unit in accuracy.units(protocol):
        write(tmp_path, unit, **of(unit, by_side(unit)))
    section = accuracy.section(protocol, tmp_path)
    assert section.tables[0].rows[0][3] == "+0.10"
    assert not section.claims


def test_dense_networks_are_shown_where_they_are_asked_for(tmp_path):
    protocol = tiny(dense=True)
    for unit in accuracy.units(protocol):
        write(tmp_path, unit, **of(unit, 50.0))
    assert [row[0] for row in accuracy.section(protocol, tmp_path).tables[0].rows] == ["dense", "90 %", "99 %"]


def test_the_cause_of_the_difference(tmp_path):
    records(tmp_path, cause, by_side)
    section = cause.section(PROTOCOL, tmp_path)
    steps, tests, masks = section.tables
    assert [row[:2] for row in steps.rows] == [
        [t, s] for t in ("float32", "float64") for s in ("90 %", "99 %", "99.9 %")
    ]
    assert steps.rows[0][2:] == ["3 x 2", "1.1e-15", "0.0e+00", "1.0e-15", "0.2"]
    # Three differences of 0.1, 0.0 and 0.2: t of two degrees of freedom is 2.920 and 4.303, the standard error 0.0577.
    assert tests.rows[0][:5] == ["90 %", "3", "+0.10", "-0.07 to +0.27", "-0.15 to +0.35"]
    assert [(row[0], row[1], row[6]) for row in tests.rows[3:]] == [
        ("99 % and above, all runs", "6", "yes"),
        ("90 % and above, all runs", "9", "yes"),
    ]
    assert masks.rows[0][:5] == ["99 %", "1,000", "54", "51.55 (51.10 to 52.00)", "51.50 (51.00 to 52.00)"]
    assert masks.rows[0][5:7] == ["31.55 (31.10 to 32.00)", "31.50 (31.00 to 32.00)"]
    assert masks.rows[1][-2:] == ["32.9", "10.0"]
    assert [claim.verdict for claim in section.claims] == ["does not hold", "does not hold"]
    assert "costs 20.0 and 20.0 points at 99 % and 99.9 %" in section.claims[1].found
    assert "by 2.3 and 22.9 points" in section.claims[1].says
    assert section.answer.startswith(
        "Truly sparse training is as accurate as masked training at 99 % sparsity and more: "
    )
    assert "+0.10 (+0.01 to +0.19) points" in section.answer
    assert any("the same but for rounding" in text for text in section.text)


@pytest.mark.parametrize(
    ("better", "verdict", "answer"),
    [
        ((3.0, 3.1, 3.2), "holds", "Truly sparse training is more accurate"),
        ((-3.0, -3.1, -3.2), "does not hold", "Truly sparse training is less accurate"),
        ((3.0, -3.0, 0.0), "open", "Whether truly sparse training is as accurate as masked training is not decided"),
    ],
)
def test_verdicts_on_the_open_question(better, verdict, answer, tmp_path):
    def found(unit):
        return 50.0 + (better[unit.settings["seeds"][0] - 1] if unit.settings["side"] == "nerva" else 0.0)

    records(tmp_path, cause, found)
    section = cause.section(PROTOCOL, tmp_path)
    assert section.claims[0].verdict == verdict
    assert section.claims[1].verdict == "open"
    assert section.answer.startswith(answer)


def test_steps_in_float64_that_differ_are_told(tmp_path):
    records(tmp_path, cause)
    unit = next(unit for unit in cause.units(PROTOCOL) if unit.name.startswith("steps-float64"))
    write(tmp_path, unit, **of(unit, 0.0, apart=1e-3))
    assert any("1e-03 of their norm apart at most" in text and "not the same" in text
               for text in cause.section(PROTOCOL, tmp_path).text)  # fmt: skip


def test_sparsities_without_a_mask_drawn_twice(tmp_path):
    protocol = tiny(cause_sparsities=(0.9,))
    assert not twice.units(protocol)
    for unit in cause.units(protocol):
        write(tmp_path, unit, **of(unit, by_side(unit)))
    section = cause.section(protocol, tmp_path)
    assert [picture.name for picture in section.pictures] == ["steps"]
    assert len(section.tables) == 2


def test_the_spread_of_seeds(tmp_path):
    records(tmp_path, seeds, lambda unit: 50.0 + unit.settings["seeds"][0] + 3.0 * (unit.settings["seeds"][1] - 1))
    section = seeds.section(PROTOCOL, tmp_path)
    rows = section.tables[0].rows
    # Accuracies of 51, 52, 53, and of 51, 54, 57: chi-squared of two degrees of freedom is 7.378 and 0.0506.
    assert [row[1:3] for row in rows] == [["3", "52.00 (51.00 to 53.00)"], ["3", "54.00 (51.00 to 57.00)"]]
    assert [row[3] for row in rows] == ["1.00 (0.52 to 6.28)", "3.00 (1.56 to 18.85)"]
    assert "their ratio is 0.33 (0.05 to 2.08)" in section.answer


def test_seeds_that_change_nothing(tmp_path):
    records(tmp_path, seeds)
    assert "the latter do not vary" in seeds.section(PROTOCOL, tmp_path).answer


def test_the_best_distribution_is_named(tmp_path):
    best = {(0.9, "uniform"): 60.0, (0.99, "fan-in"): 55.0, (0.99, "balanced"): 40.0, (0.9, "balanced"): 45.0}
    records(tmp_path, distributions, lambda unit: best.get((unit.settings["sparsity"], unit.settings["way"]), 50.0))
    section = distributions.section(PROTOCOL, tmp_path)
    assert section.tables[0].rows[1] == ["90 %", "uniform", "60.00 (60.00 to 60.00)", "+10.00 (+10.00 to +10.00)"]
    assert section.answer == (
        "The highest mean accuracy has uniform at 90 % (60.0 %; the last, balanced, 45.0 %) and Erdos-Renyi, constant "
        "fan-in at 99 % (55.0 %; the last, balanced, 40.0 %)."
    )


def test_a_record_of_other_settings_does_not_count(tmp_path):
    records(tmp_path, accuracy)
    unit = run(tiny(momentum=0.5), "nerva", 0.9, 1, PROTOCOL.masked_epochs)
    write(tmp_path, unit, **of(unit, 50.0))
    assert list(accuracy.section(PROTOCOL, tmp_path).missing) == [unit.name]
