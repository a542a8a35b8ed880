"""The report of a reproduction: what was found first, then the parts, then how it was made."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from nerva.experiments.paper import figures, parts
from nerva.experiments.paper.document import (
    Block,
    Bullets,
    Commands,
    Drawing,
    Heading,
    Numbered,
    Paragraph,
    html,
    markdown,
)
from nerva.experiments.paper.folder import Folder
from nerva.experiments.paper.parts import Part
from nerva.experiments.paper.protocol import Protocol
from nerva.experiments.paper.sections import Picture, Section, Table
from nerva.experiments.paper.units import Record, records
from nerva.system.files import replacing
from nerva.training.progress import duration

TITLE = "The experiments of the Nerva paper, repeated"
PAPER = "[Nerva: a Truly Sparse Implementation of Neural Networks](https://arxiv.org/abs/2407.17437)"
FRONT = ("timing", "accuracy")  # whose first figures are those of the report


def write_report(folder: Folder) -> list[str]:
    """Write report.md, report.html and figures/*.svg from the records in a folder; return the names of these files.

    Raises FileNotFoundError where no reproduction is in the folder, ValueError where it is damaged.
    """
    protocol, state = folder.protocol(), folder.state()
    blocks = _blocks(folder, protocol, state)
    made = {"report.md": markdown(blocks).encode(), "report.html": html(blocks).encode()}
    made |= {f"figures/{block.name}.svg": block.svg for block in blocks if isinstance(block, Drawing)}
    (folder.path / "figures").mkdir(exist_ok=True)
    for old in (folder.path / "figures").glob("*.svg"):
        if f"figures/{old.name}" not in made:
            old.unlink()
    for name, content in made.items():
        with replacing(folder.path / name) as stream:
            stream.write(content)
    return list(made)


def _blocks(folder: Folder, protocol: Protocol, state: dict[str, Any]) -> list[Block]:
    loaded = parts.load(state.get("parts", parts.PARTS))
    done = {name: list(records(folder.records, part.units(protocol))) for name, part in loaded.items()}
    sections = {name: part.section(protocol, folder.records) for name, part in loaded.items() if done[name]}
    missing = [
        *(f"{part.TITLE}: nothing is done yet" for name, part in loaded.items() if not done[name]),
        *(f"{section.title}: {_some(section.missing)}" for section in sections.values() if section.missing),
        *(f"{unit} failed: {error}" for unit, error in state.get("failures", {}).items()),
    ]
    writer = _Writer()
    writer.add(Heading(1, TITLE), Paragraph(_opening(protocol, state)))
    if missing:
        writer.add(Paragraph("**This report is not complete.** What is missing:"), Bullets(missing))
    if answers := [f"**{section.title}**: {section.answer}" for section in sections.values() if section.answer]:
        writer.add(Heading(2, "Answers"), Bullets(answers))
    claims = [(c.says, c.found, c.verdict) for section in sections.values() for c in section.claims]
    if claims:
        writer.add(Heading(2, "What the paper says, and what was found"))
        caption = f"Claims of the paper, or of the logs and questions it left, beside what was found. {protocol.label}."
        writer.table(Table(caption, ("the paper", "found here", "verdict"), claims))
    front = [sections[name].pictures[0] for name in FRONT if name in sections and sections[name].pictures]
    for picture in front:
        writer.picture(picture)
    for name, section in sections.items():
        writer.section(section, _alone(section, name, state))
    writer.add(Heading(2, "How this was made"))
    _made(writer, protocol, state, loaded, done)
    return writer.blocks


class _Writer:
    """Blocks, whose figures and tables are numbered."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self._figures: dict[str, int] = {}
        self._tables = 0

    def add(self, *blocks: Block) -> None:
        self.blocks += blocks

    def table(self, table: Table) -> None:
        self._tables += 1
        self.add(Numbered(self._tables, table))

    def picture(self, picture: Picture) -> None:
        number = self._figures[picture.name] = len(self._figures) + 1
        self.add(Drawing(number, picture.name, picture.caption, figures.svg(picture.figure)))

    def section(self, section: Section, command: str) -> None:
        """Add a section, with the command that repeats it; to figures that stand in front it refers."""
        self.add(Heading(2, section.title))
        self.add(*(Paragraph(text) for text in section.text))
        for picture in section.pictures:
            if picture.name in self._figures:
                self.add(Paragraph(f"See figure {self._figures[picture.name]} above."))
            else:
                self.picture(picture)
        for table in section.tables:
            self.table(table)
        self.add(Paragraph("This part alone:"), Commands([command]))


def _some(units: Sequence[str]) -> str:
    """Return the first names, and how many more there are.

    >>> _some(["a", "b"]), _some(list("abcdefg"))
    ('a, b', 'a, b, c, d and 3 more')
    """
    return ", ".join(units) if len(units) <= 5 else f"{', '.join(units[:4])} and {len(units) - 4} more"


def _alone(section: Section, name: str, state: dict[str, Any]) -> str:
    """Return the command that repeats a part: the last one there was, with its settings, for this part alone."""
    if not state.get("sessions"):
        return section.command
    words = shlex.split(state["sessions"][-1]["command"])
    kept = [
        word
        for before, word in zip(["", *words], words, strict=False)
        if "--part" not in (before, word) and not word.startswith("--part=")
    ]
    return shlex.join([*kept, "--part", name])


def _opening(protocol: Protocol, state: dict[str, Any]) -> str:
    sessions = state.get("sessions", [])
    date = f", {sessions[-1]['began'][:10]}" if sessions else ""
    kind = "" if protocol.samples is None else f" A short protocol, of the first {protocol.samples:,} training images."
    return (
        f"The experiments of {PAPER}, run again by nerva beside PyTorch on one machine{date}. Data: {protocol.label}; "
        f"a perceptron {'-'.join(str(size) for size in protocol.sizes)}, {protocol.epochs} epochs.{kind} All numbers "
        "are from this run; what is the paper's, or of the original's logs, is named so."
    )


def _made(
    writer: _Writer, protocol: Protocol, state: dict[str, Any], loaded: dict[str, Part], done: dict[str, list[Record]]
) -> None:
    """Add the settings, the sessions with their commands, machines and versions, and the durations."""
    sessions = state.get("sessions", [])
    if sessions:
        writer.add(Paragraph("The commands, one after another:"))
        writer.add(Commands(list(dict.fromkeys(session["command"] for session in sessions))))
    writer.table(Table(f"Settings. {protocol.label}.", ("setting", "value"), _settings(protocol)))
    machines = list({str(session["machine"]): session["machine"] for session in sessions}.values())
    for i, machine in enumerate(machines):
        which = "The machine and the versions" + (f", {i + 1} of {len(machines)}" if len(machines) > 1 else "")
        writer.table(Table(f"{which}.", ("", "found"), [(str(name), str(v)) for name, v in machine.items()]))
    rows = [
        (part.TITLE, str(len(done[name])), duration(sum(record["seconds"] for record in done[name])))
        for name, part in loaded.items()
    ]
    total = duration(sum(session["seconds"] for session in sessions))
    count = f"{len(sessions)} session{'s' * (len(sessions) != 1)}"
    caption = f"Durations: of the units of work added up; {total} from start to end, in {count}."
    writer.table(Table(caption, ("part", "units of work", "duration"), rows))


def _settings(protocol: Protocol) -> list[tuple[str, str]]:
    shown = replace(protocol, data=None).settings()
    rows = []
    for name, value in shown.items():
        if name not in ("data", "label"):
            rows.append((name.replace("_", " "), _words(value)))
    return rows


def _words(value: Any) -> str:
    if value is None:
        return "all"
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ", ".join(str(item) for item in value)
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
