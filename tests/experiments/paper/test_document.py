"""Reports as Markdown and as HTML."""

import base64
import re
from html.parser import HTMLParser

import pytest

from nerva.experiments.paper.document import (
    Bullets,
    Commands,
    Drawing,
    Heading,
    Numbered,
    Paragraph,
    html,
    inline,
    markdown,
)
from nerva.experiments.paper.sections import Table

TABLE = Table("Of `data`.", ("name", "s", "ratio"), [("a|b <c>", "1.5", "4.1x (3.9 to 4.3)"), ("d", "-", "1 x")])
BLOCKS = [
    Heading(1, "Of <all>"),
    Paragraph("Text & `code < 1`, [a link](https://example.org/?a=1&b=2)."),
    Heading(2, "One & two"),
    Bullets(["first", "**second**"]),
    Drawing(1, "time", 'Shows "it" [all] of `x`.', b"<svg/>"),
    Heading(2, "Three"),
    Numbered(1, TABLE),
    Commands(["nerva reproduce paper", "echo 'a < b'"]),
]
VOID = {"meta", "img", "link", "br"}


class Page(HTMLParser):
    """What a page consists of; fails on an element that is closed wrongly."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.texts = [], [], {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def test_markdown_has_tables_figures_and_commands():
    text = markdown(BLOCKS)
    assert "# Of <all>\n\nText & `code < 1`, [a link]" in text
    assert "\n- first\n- **second**\n" in text
    assert '![Shows "it" all of x.](figures/time.svg)\n\n**Figure 1.** Shows "it" [all] of `x`.' in text
    assert "**Table 1.** Of `data`.\n\n| name | s | ratio |\n| --- | ---: | ---: |\n| a\\|b &lt;c> | 1.5 |" in text
    assert "```text\nnerva reproduce paper\necho 'a < b'\n```" in text


def test_html_is_well_formed_and_needs_nothing_else():
    text = html(BLOCKS)
    page = Page(text)
    assert not [tag for tag, _ in page.elements if tag in ("script", "link", "iframe")]
    assert not re.search(r"url\(|@import", text)
    (image,) = page.all("img")
    assert image["alt"] == 'Shows "it" [all] of x.'
    kind, _, content = image["src"].partition(";base64,")
    assert (kind, base64.b64decode(content)) == ("data:image/svg+xml", b"<svg/>")
    assert page.all("html") == [{"lang": "en"}]
    assert "@media print" in text


def test_html_has_a_list_of_its_sections():
    page = Page(html(BLOCKS))
    names = [element["id"] for _, element in page.elements if "id" in element]
    assert len(names) == len({*names})
    links = [link["href"] for link in page.all("a") if link["href"].startswith("#")]
    assert links == ["#one-two", "#three"]
    assert {link[1:] for link in links} <= {*names}
    assert page.texts["title"] == ["Of <all>"]


def test_html_escapes_what_is_text():
    page = Page(html(BLOCKS))
    assert "a|b <c>" in page.texts["td"]
    assert page.texts["pre" if "pre" in page.texts else "code"]
    assert "nerva reproduce paper\necho 'a < b'" in page.texts["code"]
    assert {"href": "https://example.org/?a=1&b=2"} in page.all("a")


def test_columns_of_numbers_stand_on_the_right():
    page = Page(html(BLOCKS))
    assert [cell.get("class") for cell in page.all("td")] == [None, "number", "number"] * 2


@pytest.mark.parametrize(
    ("cell", "right"),
    [
        ("12.5", True),
        ("-3", True),
        ("98.1 % ± 0.2", True),
        ("−0.1 [−0.2, 0.1]", True),
        ("3 of the seeds", False),
        ("x", False),
    ],
)
def test_what_a_number_is(cell, right):
    assert ("---:" in markdown([Numbered(1, Table("", ("a",), [(cell,)]))])) is right


def test_a_table_without_rows():
    assert markdown([Numbered(1, Table("None.", ("a", "b"), []))]).endswith("| a | b |\n| --- | --- |\n")


def test_inline_leaves_other_signs_alone():
    assert inline("2 * 3 * 4 <= 5_000_000") == "2 * 3 * 4 &lt;= 5_000_000"
