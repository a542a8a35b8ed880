"""nerva's docstrings as Markdown, for the reference: an extension of griffe, which reads the source for mkdocstrings.

Docstrings name parameters in lines `name : description` under an underlined heading, and have examples that begin with
`>>>`. Compiled modules have theirs at run time only, since what griffe reads of them is their stubs.
"""

import importlib
import inspect
import re

import griffe

HEADING = re.compile(r"^(Parameters|Attributes|Raises)\n-+$", re.MULTILINE)
HEADINGS = ("**Parameters**", "**Attributes**", "**Raises**")
ENTRY = re.compile(r"^(\*{0,2}\w+(?:, \*{0,2}\w+)*) : (.*)")
COMPILED = ("nerva._kernels.csr", "nerva._kernels.sparse_batch")
SIGNATURE = re.compile(r"\A[\w.]+\(.*\)(?: -> .*)?\n+")  # Cython's first line
LOCKED = re.compile(r"_locked\((\w+)\.(\w+)\)")  # how a function of a network becomes its method


class Docstrings(griffe.Extension):
    """Makes Markdown of all docstrings of nerva, and gives compiled classes and the methods of networks theirs."""

    def on_package(self, *, pkg, **kwargs):
        if pkg.name != "nerva":
            return
        for module in COMPILED:
            _document(pkg[module.removeprefix("nerva.")], importlib.import_module(module))
        _add_methods(pkg["models.sequential"], pkg)
        _convert(pkg)


def _document(known, found):
    """Give what griffe knows of a module or a class the docstrings that it has at run time."""
    for name, member in known.members.items():
        value = getattr(found, name, None)
        if member.is_alias or name.startswith("_") or value is None:
            continue
        text = SIGNATURE.sub("", inspect.getdoc(value) or "")
        if text and not isinstance(value, (int, float, str)):
            member.docstring = griffe.Docstring(text, parent=member)
        member.labels.discard("method descriptor")
        if member.is_class:
            _document(member, value)


def _add_methods(module, pkg):
    """Make methods of the functions that the class Sequential is given: `fit = _locked(training.fit)`."""
    network = module["Sequential"]
    for name, member in list(network.members.items()):
        found = LOCKED.fullmatch(str(getattr(member, "value", "")))
        if not found:
            continue
        source, function = module.members[found[1]].target_path, found[2]
        original = pkg[f"{source.removeprefix('nerva.')}.{function}"]
        first, *others = original.parameters
        own = griffe.Parameter("self", kind=first.kind)
        method = griffe.Function(name, parameters=griffe.Parameters(own, *others), returns=original.returns)
        method.docstring = griffe.Docstring(original.docstring.value, parent=method)
        network.set_member(name, method)


def _convert(thing):
    """Make Markdown of the docstrings of a module or a class, and of all in it."""
    if thing.docstring:
        thing.docstring.value = markdown(thing.docstring.value)
    for member in thing.members.values():
        if not member.is_alias:
            _convert(member)


def markdown(text):
    """Return a docstring as Markdown.

    >>> markdown("Do it.\\n\\nParameters\\n----------\\na, b : the *two*\\n    of them\\n\\n>>> 1 + 1\\n2")
    'Do it.\\n\\n**Parameters**\\n\\n- `a`, `b`: the \\\\*two\\\\* of them\\n\\n```pycon\\n>>> 1 + 1\\n2\\n```'
    """
    blocks = re.split(r"\n{2,}", HEADING.sub(r"**\1**\n", inspect.cleandoc(text)))
    merged = []
    for block in blocks:
        # An example may have blank lines, and goes on after them with a prompt.
        if block.startswith(">>>") and merged and merged[-1].startswith(">>>"):
            merged[-1] += "\n\n" + block
        else:
            merged.append(block)
    return "\n\n".join(map(_block, merged))


def _block(text):
    """Return a block of a docstring, of lines without a blank one, as Markdown."""
    if text.startswith(">>>"):
        return "```pycon\n" + re.sub(r" *# doctest: .*", "", text) + "\n```"
    if text in HEADINGS or text.startswith("    "):  # indented: code
        return text
    if ENTRY.match(text):
        return "\n".join(map(_entry, re.split(r"\n(?=\S)", text)))
    return _escaped(text)


def _entry(text):
    """Return an entry of a section as an item of a list."""
    found = ENTRY.match(text)
    if not found:
        return _escaped(text)
    names = ", ".join(f"`{name}`" for name in found[1].split(", "))
    rest = " ".join(line.strip() for line in [found[2], *text.split("\n")[1:]])
    return f"- {names}: {_escaped(rest)}"


def _escaped(text):
    """Return text in which Markdown takes nothing outside of `code` for its own."""
    parts = text.split("`")
    parts[::2] = [re.sub(r"([*_\[\]])", r"\\\1", part).replace("<", "&lt;") for part in parts[::2]]
    return "`".join(parts)
