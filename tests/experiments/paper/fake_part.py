"""A part whose units are quick, and fail, kill their process or wait where their seed says so."""

import os
import signal
import time

from nerva.experiments.paper.figures import line, new, over_sparsity
from nerva.experiments.paper.sections import Claim, Picture, Section, Table
from nerva.experiments.paper.units import Unit, record

TITLE = "Time | of a part"
FAILS, DIES, WAITS = 101, 102, 103  # seeds


def work(settings, folder):
    """Leave what the tests ask about."""
    seed, mended = settings["seed"], (folder.parent / "mended").exists()
    with (folder.parent / "calls.txt").open("a") as stream:
        stream.write(f"{seed} {os.getpid()} {os.environ['OMP_NUM_THREADS']}\n")
    print(f"unit {seed} prints this")
    if seed == FAILS and not mended:
        raise ValueError("the unit\nfails")
    if seed == DIES and not mended:
        os.kill(os.getpid(), signal.SIGKILL)
    while seed == WAITS and not (folder.parent / "mended").exists():
        (folder.parent / "begun").touch()
        time.sleep(0.01)
    return {"accuracy": seed / 1000}


def units(protocol):
    """A unit for each seed: those below 10 are alone."""
    return [
        Unit(f"fake-{seed}", work, {"seed": seed, "epochs": protocol.epochs}, alone=seed < 10, cost=60.0)
        for seed in protocol.seeds
    ]


def section(protocol, folder):
    """All that a section may have."""
    found = {unit.name: record(folder, unit) for unit in units(protocol)}
    done = {name: made["result"]["accuracy"] for name, made in found.items() if made}
    figure, axes = new("accuracy")
    over_sparsity(axes, [0.5, 0.9, 0.99])
    line(axes, [0.5, 0.9, 0.99], [3, 2, 1], "nerva", low=[2, 1, 0], high=[4, 3, 2])
    return Section(
        TITLE,
        "nerva reproduce paper --part timing",
        text=["With `a < b` & **bold** <text>."],
        pictures=[Picture("time", figure, 'What "it" shows.')],
        tables=[Table(f"Accuracies. {protocol.label}.", ("unit", "found"), [(n, f"{a:.2%}") for n, a in done.items()])],
        claims=[Claim("four times", "5x (4.5 to 5.5)", "holds")],
        answer=f"{len(done)} units are done.",
        missing=[name for name, made in found.items() if not made],
    )
