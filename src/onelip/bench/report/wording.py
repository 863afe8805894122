"""Words that the terminal, Markdown and HTML share."""

from __future__ import annotations

from collections.abc import Iterable

from onelip.bench.origin import Machine
from onelip.bench.records import Costs, PaddingChoice, TrainRecord
from onelip.errors import plain

PADDINGS: dict[PaddingChoice, str] = {
    "paper": "each method's own padding",
    "circular": "circular padding",
    "zeros": "zero padding",
}

FAILURES = {
    "diverged": "diverged",
    "oom": "out of memory",
    "timeout": "timed out",
    "error": "stopped by an error",
    "pruned": "stopped by the search",
}
"""Words for the statuses of what failed."""


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


def kernels(size: int) -> str:
    """What tells a network from that of 3x3 kernels, after a comma; empty where nothing does.

    >>> kernels(1), kernels(3)
    (', 1x1 kernels', '')
    """
    return "" if size == 3 else f", {size}x{size} kernels"


def counted(number: int, noun: str) -> str:
    """A number with its noun.

    >>> counted(1, "seed"), counted(3, "seed")
    ('1 seed', '3 seeds')
    """
    return f"{number} {noun}" + ("" if number == 1 else "s")


def device(machine: Machine) -> str:
    """The name of the device, and its kind where the name does not say it."""
    kind = "" if machine.device in machine.device_name else f" ({machine.device})"
    return plain(machine.device_name + kind)


def software(machine: Machine) -> str:
    """The version of onelip, and the commit where it is known."""
    return machine.onelip + (f" ({machine.commit[:10]})" if machine.commit else "")


def failure(result: TrainRecord | Costs) -> str:
    """What became of a run or a measurement that failed; empty where it did not."""
    if result.status == "ok":
        return ""
    words = FAILURES[result.status]
    if result.status == "diverged" and isinstance(result, TrainRecord):
        return f"{words} at step {result.steps}"
    return words
