"""Words that the terminal, Markdown and HTML share."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from onelip.bench.records import CostEntry, PaddingChoice, TrainRecord

PADDINGS: dict[PaddingChoice, str] = {
    "paper": "each method's own padding",
    "circular": "circular padding",
    "zeros": "zero padding",
}

_FAILURES = {"diverged": "diverged", "oom": "out of memory", "timeout": "timed out", "error": "stopped by an error"}


def plain(text: str) -> str:
    r"""A foreign text on one line, without control and direction characters (they would act on a terminal).

    >>> plain("a\x1b[31mb\nc")
    'a\ufffd[31mb c'
    """
    spaced = " ".join(text.split())
    return "".join(
        "\ufffd" if unicodedata.category(character) in {"Cc", "Cf", "Cs"} else character for character in spaced
    )


def shortened(text: str, length: int = 300) -> str:
    """A foreign text, plain and not longer than `length`."""
    clean = plain(text)
    return clean if len(clean) <= length else clean[: length - 1] + "\u2026"


def moment(started: str) -> str:
    """A time of a record, which is UTC.

    >>> moment("2025-06-01T10:05:00+00:00")
    '2025-06-01 10:05:00 UTC'
    """
    return plain(started).replace("T", " ").replace("+00:00", " UTC")


def joined(parts: Iterable[str], word: str = "and") -> str:
    """A list as in a sentence.

    >>> joined(["a", "b", "c"])
    'a, b and c'
    """
    *head, last = list(parts) or [""]
    return f"{', '.join(head)} {word} {last}" if head else last


def counted(number: int, noun: str) -> str:
    """A number with its noun.

    >>> counted(1, "seed"), counted(3, "seed")
    ('1 seed', '3 seeds')
    """
    return f"{number} {noun}" + ("" if number == 1 else "s")


def failure(result: TrainRecord | CostEntry) -> str:
    """What became of a run or a measurement that failed; empty where it did not."""
    if result.status == "ok":
        return ""
    words = _FAILURES[result.status]
    if result.status == "diverged" and isinstance(result, TrainRecord):
        return f"{words} at step {result.steps}"
    return words
