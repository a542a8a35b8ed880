"""A report as Markdown with figures beside it, and as one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from nerva.experiments.paper.sections import Table

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2, h3 { line-height: 1.2; margin: 2em 0 0.6em; }
h1 { margin-top: 0; }
nav { border-left: 4px solid #0072b2; padding-left: 1rem; }
nav ul { list-style: none; padding: 0; margin: 0; columns: 2; }
a { color: #0072b2; }
code, pre { font: 0.9em/1.4 ui-monospace, monospace; background: #f2f2f2; border-radius: 3px; }
code { padding: 0.1em 0.3em; }
pre { padding: 0.6em 0.8em; overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; }
figure { margin: 1.5rem 0; overflow-x: auto; }
figure img { max-width: 100%; height: auto; }
figcaption, caption { font-size: 0.9em; text-align: left; padding: 0.3rem 0; }
figcaption b, caption b { color: #0072b2; }
table { border-collapse: collapse; font-size: 0.9em; }
th { text-align: left; vertical-align: bottom; border-bottom: 2px solid #1a1a1a; }
td { border-bottom: 1px solid #ccc; vertical-align: top; }
th, td { padding: 0.25rem 0.9rem 0.25rem 0; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
@media print {
  body { font-size: 10pt; max-width: none; margin: 0; }
  h1, h2, h3 { break-after: avoid; }
  figure, tr, caption { break-inside: avoid; }
  a { color: inherit; text-decoration: none; }
  thead { display: table-header-group; }
}
"""
NUMBER = re.compile(r"(?!.*[^\W\d_]{4})[-+−±<>≈]? ?\d.{0,30}|[-–]?")  # or with its interval; or none


@dataclass(frozen=True)
class Heading:
    """A heading of a level from 1, which is the title."""

    level: int
    text: str

    @property
    def anchor(self) -> str:
        """What links name it by."""
        return re.sub(r"[^\w]+", "-", self.text.lower()).strip("-")


@dataclass(frozen=True)
class Paragraph:
    """Text, with `code`, **bold** and [links](address)."""

    text: str


@dataclass(frozen=True)
class Bullets:
    """A list of paragraphs."""

    items: Sequence[str]


@dataclass(frozen=True)
class Commands:
    """Lines for a shell."""

    lines: Sequence[str]


@dataclass(frozen=True)
class Drawing:
    """A figure with its number and file: the caption is also what it shows in words."""

    number: int
    name: str
    caption: str
    svg: bytes


@dataclass(frozen=True)
class Numbered:
    """A table with its number."""

    number: int
    table: Table


Block = Heading | Paragraph | Bullets | Commands | Drawing | Numbered


def markdown(blocks: Iterable[Block]) -> str:
    """Return blocks as Markdown; figures are the files figures/NAME.svg.

    >>> print(markdown([Heading(1, "A title"), Paragraph("A text.")]), end="")
    # A title
    <BLANKLINE>
    A text.
    """
    return "\n\n".join(_markdown(block) for block in blocks) + "\n"


def _markdown(block: Block) -> str:
    match block:
        case Heading(level, text):
            return f"{'#' * level} {text}"
        case Paragraph(text):
            return text
        case Bullets(items):
            return "\n".join(f"- {item}" for item in items)
        case Commands(lines):
            return "\n".join(["```text", *lines, "```"])
        case Drawing(number, name, caption, _):
            shown = re.sub(r"[\[\]`*]", "", caption)
            return f"![{shown}](figures/{name}.svg)\n\n**Figure {number}.** {caption}"
        case Numbered(number, table):
            marks = ["---:" if right else "---" for right in _right(table)]
            rows = [table.header, marks, *table.rows]
            lines = ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows]
            return f"**Table {number}.** {table.caption}\n\n" + "\n".join(lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def html(blocks: Sequence[Block]) -> str:
    """Return blocks as a page that needs no other file: the figures are in it; with a list of the sections."""
    headings = [block for block in blocks if isinstance(block, Heading)]
    title = next(heading.text for heading in headings if heading.level == 1)
    links = "\n".join(
        f'<li><a href="#{escape(heading.anchor)}">{inline(heading.text)}</a></li>'
        for heading in headings
        if heading.level == 2
    )
    contents = f'<nav aria-label="Contents">\n<ul>\n{links}\n</ul>\n</nav>'
    body = [_html(block) for block in blocks]
    first = next(i for i, block in enumerate(blocks) if isinstance(block, Heading) and block.level == 2)
    body.insert(first, contents)
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title>",
            f"<style>{STYLE}</style>",
            "</head>",
            "<body>",
            *body,
            "</body>",
            "</html>\n",
        ]
    )


def _html(block: Block) -> str:
    match block:
        case Heading(level, text):
            return f'<h{level} id="{escape(block.anchor)}">{inline(text)}</h{level}>'
        case Paragraph(text):
            return f"<p>{inline(text)}</p>"
        case Bullets(items):
            return "<ul>\n" + "\n".join(f"<li>{inline(item)}</li>" for item in items) + "\n</ul>"
        case Commands(lines):
            return f"<pre><code>{escape(chr(10).join(lines))}</code></pre>"
        case Drawing(number, name, caption, svg):
            source = f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
            shown = escape(re.sub(r"[`*]", "", caption))
            image = f'<img src="{source}" alt="{shown}">'
            return (
                f'<figure id="figure-{escape(name)}">\n{image}\n'
                f"<figcaption><b>Figure {number}.</b> {inline(caption)}</figcaption>\n</figure>"
            )
        case Numbered(number, table):
            return _html_table(number, table)


def _html_table(number: int, table: Table) -> str:
    right = _right(table)

    def row(cells: Sequence[str], tag: str) -> str:
        made = (
            f"<{tag}{' class=' + chr(34) + 'number' + chr(34) if on_right else ''}>{inline(cell)}</{tag}>"
            for cell, on_right in zip(cells, right, strict=True)
        )
        return f"<tr>{''.join(made)}</tr>"

    head = (
        f"<caption><b>Table {number}.</b> {inline(table.caption)}</caption>\n<thead>{row(table.header, 'th')}</thead>"
    )
    body = "\n".join(row(cells, "td") for cells in table.rows)
    return f"<figure>\n<table>\n{head}\n<tbody>\n{body}\n</tbody>\n</table>\n</figure>"


def _right(table: Table) -> list[bool]:
    """Tell which columns hold numbers: these stand on the right."""
    columns = zip(*table.rows, strict=True) if table.rows else [() for _ in table.header]
    return [bool(cells) and all(NUMBER.fullmatch(cell) for cell in cells) for cells in columns]


def inline(text: str) -> str:
    """Return a line of text as HTML: `code`, **bold** and [links](address) are marked up, all else is text.

    >>> inline("`a < b` is **so**")
    '<code>a &lt; b</code> is <b>so</b>'
    """
    text = escape(text)
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", text)
    text = re.sub(r"\*\*([^*]+)\*\*", r"<b>\1</b>", text)
    return re.sub(r"\[([^\]]+)\]\(([^)\s]+)\)", r'<a href="\2">\1</a>', text)
