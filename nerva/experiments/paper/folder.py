"""The folder of a reproduction: its settings, its sessions, and the records of its units."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from nerva.experiments.paper.protocol import Protocol
from nerva.experiments.paper.units import LOCAL
from nerva.system.files import replacing


class OtherSettingsError(ValueError):
    """The folder holds a run with other settings."""


class Folder:
    """A folder `path` with run.json, log.txt, the report, and a record for each unit in `records`.

    run.json says what the settings are, which parts were asked for, what failed, and which sessions there were: when,
    for how long, by which command, on which machine with which versions.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.records = self.path / "records"
        self.log = self.path / "log.txt"
        self._file = self.path / "run.json"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs out; make the folder. Raise BlockingIOError where another run is at work in it."""
        self.records.mkdir(parents=True, exist_ok=True)
        lock = os.open(self.path, os.O_RDONLY)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BlockingIOError(f"{self.path}: another reproduction is at work there") from None
            except OSError:  # of some network file systems, which have no locks
                pass
            yield
        finally:
            os.close(lock)

    def state(self) -> dict[str, Any]:
        """Return what run.json holds; an empty dict where there is none.

        Raises ValueError where it is damaged.
        """
        if not self._file.exists():
            return {}
        try:
            found = json.loads(self._file.read_text())
            return {"settings": found["settings"], **found}
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{self._file}: not the file of a reproduction, or a damaged one ({error})") from None

    def protocol(self) -> Protocol:
        """Return the protocol of the run in this folder.

        Raises FileNotFoundError where there is none, ValueError where it has settings that this version does not know.
        """
        if not (state := self.state()):
            raise FileNotFoundError(f"{self.path}: no reproduction is there, for it has no run.json")
        known = {field.name for field in fields(Protocol)}
        if unknown := set(state["settings"]) - known:
            raise ValueError(f"{self._file}: made by another version of nerva: {', '.join(sorted(unknown))} is unknown")
        given: dict[str, Any] = {}
        for name, value in state["settings"].items():
            given[name] = tuple(value) if isinstance(value, list) else value
        return Protocol(**given)

    def check(self, protocol: Protocol) -> None:
        """Raise OtherSettingsError, which names the settings, where the folder holds a run with others."""
        if not self.state():
            return
        before, now = _settings(self.protocol()), _settings(protocol)
        other = [f"{name} {_word(before[name])}, not {_word(now[name])}" for name in now if before[name] != now[name]]
        if other:
            raise OtherSettingsError(f"{self.path} holds a run with {'; '.join(other)}")

    def write(self, protocol: Protocol, **changes: Any) -> None:
        """Write run.json: these settings, and the changes to what it held."""
        state = {**self.state(), "settings": _settings(protocol), **changes}
        with replacing(self._file) as stream:
            stream.write(json.dumps(state, indent=1).encode() + b"\n")


def _settings(protocol: Protocol) -> dict[str, Any]:
    """Return the settings without the place of the data, for which their label stands."""
    return {name: value for name, value in protocol.settings().items() if name not in LOCAL}


def _word(value: Any) -> str:
    return ",".join(str(item) for item in value) if isinstance(value, (tuple, list)) else str(value)
