"""Records as units leave them, of numbers that tests make up, and a protocol that is soon done."""

import json

from nerva.experiments.paper.protocol import quick
from nerva.experiments.paper.units import lasting

SMALL = {"samples": 300, "sizes": (40, 16, 10), "sparsities": (0.5, 0.99), "rounds": 2, "threads": 2}


def protocol(**changes):
    """The quick protocol, of a small network on generated data."""
    settings = SMALL | {"depths": (1, 2), "width": 16, "widths": (16, 32), "depth": 2, "data": "shapes"}
    return quick(**settings | {"label": "made-up images"} | changes)


def write(folder, unit, result):
    """Leave the record of a unit."""
    made = {"unit": unit.name, "settings": lasting(unit), "result": result, "seconds": 1.0}
    (folder / f"{unit.name}.json").write_text(json.dumps(made))


def turn(seconds, others=0.0, cores="near"):
    """A turn that took so long."""
    return {"seconds": seconds, "others": others, "cores": cores}


def rounds(**taken):
    """Rounds of turns, from the seconds of each by name, a list each; a name ends in _threads for "/threads"."""
    names = {name.replace("_", "/"): seconds for name, seconds in taken.items()}
    return [dict(zip(names, map(turn, each), strict=True)) for each in zip(*names.values(), strict=True)]
