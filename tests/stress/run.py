"""Run a case, and say what came of it."""

import os
import re
import tempfile
import traceback
import warnings
from typing import NamedTuple

from .calls import CALLS, Refused
from .drawing import draw


class Result(NamedTuple):
    """kind is "right", "refused" or "defect"; words are of a refusal or a defect; warned are the warnings' words."""

    kind: str
    number: int
    call: str
    words: str
    warned: list[str]
    drawn: str
    trace: str


def run_case(seed, number, call=None):
    """Draw the case of a seed, and run it: any exception but Refused is a defect."""
    with tempfile.TemporaryDirectory() as cache, warnings.catch_warnings(record=True) as caught:
        os.environ.setdefault("NERVA_CACHE", cache)
        warnings.simplefilter("always")
        case = draw(seed, number, (call,) if call else tuple(CALLS))
        kind, words, trace = "right", "", ""
        try:
            CALLS[case.call](case)
        except Refused as error:
            kind, words = "refused", without_numbers(error)
        except Exception as error:
            kind, words, trace = "defect", f"{type(error).__name__}: {error}", traceback.format_exc()
    warned = sorted({f"{each.category.__name__}: {without_numbers(each.message)}" for each in caught})
    return Result(kind, number, case.call, words[:500], warned, str(case), trace)


def without_numbers(text):
    """The first words of a message, the same for all numbers in it."""
    return re.sub(r"-?\d[\d.,e+-]*", "#", str(text))[:110]


def told(result):
    """A result as text."""
    lines = [f"case {result.number}: {result.kind} {result.words}", result.drawn, *result.warned, result.trace]
    return "\n".join(filter(None, lines))
