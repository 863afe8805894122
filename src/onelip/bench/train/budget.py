"""How long a network may train: a wall-clock time or a number of epochs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from onelip.errors import OnelipError

ALLOWED = 'a time such as "20s", "1.5m" or "2h", or a number of epochs such as "1epoch" or "12epochs"'

LARGEST = 1_000_000_000
"""In seconds or epochs."""

_SECONDS = {"h": 3600, "m": 60, "s": 1}
_PATTERN = re.compile(r"(?P<count>[0-9]{1,10}(?:\.[0-9]{1,20})?)(?P<unit>[hms])|(?P<epochs>[0-9]{1,10})epochs?")


@dataclass(frozen=True, kw_only=True)
class Budget:
    """A positive wall-clock time in seconds, or a positive number of epochs: exactly one of the two.

    `str` gives the canonical text, the same for equal budgets: the largest unit that makes a whole number, else
    seconds. A budget that was parsed is equal to `Budget.parse(str(budget))`.

    >>> [str(Budget.parse(text)) for text in ("1.5m", "90s", "60m", "2.5s", "1epoch")]
    ['90s', '90s', '1h', '2.5s', '1epoch']
    """

    seconds: float | None = None
    epochs: int | None = None

    def __post_init__(self) -> None:
        values = [value for value in (self.seconds, self.epochs) if value is not None]
        if len(values) != 1 or not 0 < values[0] <= LARGEST:
            raise OnelipError(f"a budget is either seconds or epochs, more than 0 and at most {LARGEST}, got {self!r}")

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Reads a number directly followed by its unit: s, m, h, epoch or epochs.

        Raises:
            OnelipError: If the text is anything else, or the number is zero or beyond all use.
        """
        match = _PATTERN.fullmatch(text)
        if match is None or not Fraction(match["count"] or match["epochs"]):
            raise OnelipError(f"budget {text!r} is not allowed; give {ALLOWED}, more than zero")
        if match["epochs"]:
            return cls(epochs=int(match["epochs"]))
        return cls(seconds=float(Fraction(match["count"]) * _SECONDS[match["unit"]]))

    def __str__(self) -> str:
        if self.epochs is not None:
            return f"{self.epochs}epoch{'s' if self.epochs > 1 else ''}"
        assert self.seconds is not None
        for unit, seconds in _SECONDS.items():
            if self.seconds % seconds == 0:
                return f"{self.seconds / seconds:.0f}{unit}"
        return f"{Decimal(repr(self.seconds)):f}s"
