"""The committed results."""


def test_the_tables_are_those_of_the_measurements(bench):
    from harness.records import load
    from results import COMMANDS, readme

    contents = {name: load(bench / "results" / f"{name}.json") for name in COMMANDS}
    assert (bench / "results" / "README.md").read_text() == readme(contents)
