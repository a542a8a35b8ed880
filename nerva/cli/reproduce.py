"""The command `nerva reproduce`."""

from __future__ import annotations

import contextlib
import shlex
import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from nerva.cli.build import Failure, printing
from nerva.datasets.cifar10 import located
from nerva.experiments.paper import parts
from nerva.experiments.paper.display import Display
from nerva.experiments.paper.folder import Folder, OtherSettingsError
from nerva.experiments.paper.protocol import Protocol, full, quick
from nerva.experiments.paper.report import write_report
from nerva.experiments.paper.run import Plan, cores, minutes, run
from nerva.experiments.paper.versions import versions

SETTINGS = ("epochs", "masked_epochs", "seeds", "sparsities", "threads")  # options that are of the protocol
PATHS = ("--data", "--out")  # options whose values the report does not tell


def reproduce(options: Namespace, argv: Sequence[str]) -> None:
    """Repeat the experiments, and write the report; raise Failure or OSError if that fails."""
    try:
        parts.check_packages()
    except ImportError as error:
        raise Failure(error) from error
    folder = Folder(options.out)
    try:
        if options.report_only:
            _report(folder, options)
            return
        protocol = _protocol(options)
        folder.check(protocol)
        plan = Plan(folder, protocol, options.part or list(parts.PARTS), options.jobs or cores())
        if options.dry_run:
            with printing():
                print(*plan.lines(), sep="\n")
            return
        failed = _run(plan, options, argv)
        _report(folder, options)
    except OtherSettingsError as error:
        raise Failure(f"{error}: give the same options, or another --out", 2) from error
    except ValueError as error:
        raise Failure(error) from error
    if failed:
        raise Failure(f"{failed} units of work failed; {folder.log} tells why, and the same command does them again")


def _protocol(options: Namespace) -> Protocol:
    """Return the protocol that the options ask for; raise FileNotFoundError where there are no data."""
    protocol = quick() if options.quick else full()
    given = {name: value for name in SETTINGS if (value := getattr(options, name)) is not None}
    if "epochs" in given and "masked_epochs" not in given:
        given["masked_epochs"] = given["epochs"] if not options.quick else min(protocol.masked_epochs, given["epochs"])
    return replace(protocol, data=options.data, label=options.data_name or _label(options.data), **given)


def _label(data: str | None) -> str:
    """Return what the data are called: whether they are the official archive."""
    if data == "shapes":
        return "Shapes (images that nerva draws, not CIFAR-10)"
    found = located(data)
    if found is None or found[1]:  # what would be downloaded is compared with its checksum
        return "CIFAR-10 (official archive)"
    path, _ = found
    return f"CIFAR-10 ({'folder' if path.is_dir() else 'archive'} {path.resolve().name}, not verified)"


def _run(plan: Plan, options: Namespace, argv: Sequence[str]) -> int:
    """Do what is to do, and return how many units failed."""
    failed = 0
    with plan.folder.locked():
        todo = plan.todo()
        with Display(todo, plan.seconds(), quiet=options.quiet) as display:
            display.say("\n".join(plan.lines()))
            if todo:
                display.say(f"Data: {plan.protocol.label}")
                plan.protocol.load()  # what is wrong with them shows before anything starts
            shown = run(plan, command=_command(argv), machine=versions(), started=display.started)
            try:
                with contextlib.closing(shown):
                    for done in shown:
                        failed += done.error is not None
                        display.done(done)
            except KeyboardInterrupt:
                left = plan.todo()
                print(
                    f"nerva: {len(left)} of {len(plan.units)} units are left, about {minutes(plan.seconds())}; "
                    "the same command goes on from there",
                    file=sys.stderr,
                )
                raise
    return failed


def _report(folder: Folder, options: Namespace) -> None:
    written = write_report(folder)
    with printing():
        print(f"{folder.path / written[0]} and {folder.path / written[1]} hold the report")


def _command(argv: Sequence[str]) -> str:
    """Return the command as the report shows it: without the folders of this machine."""
    words = list(argv)
    for i, word in enumerate(words):
        name, _, value = word.partition("=")
        if name in PATHS and value:
            words[i] = f"{name}={Path(value).name}"
        elif word in PATHS and i + 1 < len(words):
            words[i + 1] = Path(words[i + 1]).name or "."
    return shlex.join(["nerva", *words])
