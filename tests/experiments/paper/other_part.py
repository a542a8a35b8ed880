"""A second part, which has a unit in common with the first one."""

from fake_part import work

from nerva.experiments.paper.sections import Section
from nerva.experiments.paper.units import Unit

TITLE = "Accuracy"


def units(protocol):
    """The unit of the first seed, and one of its own."""
    return [
        Unit(f"fake-{seed}", work, {"seed": seed, "epochs": protocol.epochs}, alone=seed < 10, cost=60.0)
        for seed in (protocol.seeds[0], 50)
    ]


def section(protocol, folder):
    """A title and an answer."""
    return Section(TITLE, "nerva reproduce paper --part accuracy", answer="The same.")
