"""What constraints speak of: the quantities of a trained network, their units and how they are read and printed."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from onelip.bench.report.formats import percent, three_digits, two_decimals
from onelip.errors import OnelipError, UnknownNameError

Kind = Literal["share", "time", "size", "ratio"]

_READ: Mapping[Kind, Mapping[str, float]] = {
    "share": {"": 1.0, "%": 0.01},
    "time": {
        "us": 1e-6,
        "ms": 1e-3,
        **dict.fromkeys(("s", "sec", "second", "seconds"), 1.0),
        **dict.fromkeys(("m", "min", "minute", "minutes"), 60.0),
        **dict.fromkeys(("h", "hour", "hours"), 3600.0),
        **dict.fromkeys(("d", "day", "days"), 86400.0),
    },
    "size": {
        "b": 1.0,
        **{f"{prefix}{b}": 1000.0**power for power, prefix in enumerate("kmgt", 1) for b in ("", "b")},
        **{f"{prefix}ib": 1024.0**power for power, prefix in enumerate("kmgt", 1)},
    },
    "ratio": {"": 1.0, "x": 1.0},
}
_PART = r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([a-zA-Z%]*)\s*"
_EXAMPLES: Mapping[Kind, str] = {
    "share": "a share such as 0.7 or 70%",
    "time": "a time such as 5ms, 90s, 10m, 2h or 2h30m",
    "size": "a size such as 200MB, 8GB or 8GiB",
    "ratio": "a multiple of the unconstrained network's such as 1.05",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """One number of a trained network.

    Attributes:
        key: In scripts, and with dashes in options.
        title: In sentences.
        kind: What its unit measures.
        higher_is_better: Otherwise less of it is better.
    """

    key: str
    title: str
    kind: Kind
    higher_is_better: bool = False

    @property
    def option(self) -> str:
        """The option that limits it."""
        return f"--{'min' if self.higher_is_better else 'max'}-{self.key.replace('_', '-')}"

    def read(self, text: str) -> float:
        """The number of a text, in base units: shares, seconds, bytes.

        Raises:
            OnelipError: It is no such number, or has a unit that is not known.

        >>> QUANTITIES["latency"].read("5ms"), QUANTITIES["train_memory"].read("8 GB")
        (0.005, 8000000000.0)
        >>> QUANTITIES["train_time"].read("2h30m"), QUANTITIES["train_time"].read("2 hours")
        (9000.0, 7200.0)
        """
        parts = re.findall(_PART, text) if re.fullmatch(rf"\s*(?:{_PART})+", text) else []
        scales = [_READ[self.kind].get(unit.lower()) for _, unit in parts]
        if not parts or None in scales or (len(parts) > 1 and self.kind != "time"):
            raise OnelipError(f"{self.option} {text!r} is not allowed; give {_EXAMPLES[self.kind]}")
        number, unit = parts[0]
        value = sum(float(number) * (scale or 0.0) for (number, _), scale in zip(parts, scales, strict=True))
        if unit == "%":
            value = float(number) / 100  # 59.1 % is the number nearest to 0.591
        if not math.isfinite(value) or (self.kind == "share" and value > 1):
            hint = f"; did you mean {number}%?" if self.kind == "share" and not unit and value <= 100 else ""
            raise OnelipError(f"{self.option} {text!r} is not allowed; give {_EXAMPLES[self.kind]}{hint}")
        if value == 0 and not self.higher_is_better:
            raise OnelipError(f"{self.option} {text!r} rules out everything: nothing takes none")
        return value

    def shows(self, value: float) -> bool:
        """Whether what is printed of a number is the number itself.

        >>> QUANTITIES["train_time"].shows(7200), QUANTITIES["train_time"].shows(7199)
        (True, False)
        """
        printed = self.format(value).removeprefix("\u00d7").replace("\u00b5", "u")
        try:
            return math.isclose(self.read(printed), value, rel_tol=1e-9)
        except OnelipError:  # it is printed as nothing
            return False

    def format(self, value: float) -> str:
        """A number with its unit."""
        if self.kind == "share":
            return f"{percent(value)} %"
        if self.kind == "ratio":
            return f"\u00d7{two_decimals(value)}"
        return _scaled(value, UNITS[self.kind])


UNITS: Mapping[str, tuple[tuple[float, str], ...]] = {
    "time": ((3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "\u00b5s")),
    "size": ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B")),
}
"""What numbers of a kind are printed in: base units in each, the largest first."""


def _scaled(value: float, units: tuple[tuple[float, str], ...]) -> str:
    scale, unit = next((one for one in units if value >= one[0]), units[-1])
    return f"{three_digits(value / scale)} {unit}"


def _table(*quantities: Quantity) -> Mapping[str, Quantity]:
    return MappingProxyType({one.key: one for one in quantities})


RADII = (36, 72, 108, 255)
QUANTITIES = _table(
    Quantity(key="accuracy", title="accuracy", kind="share", higher_is_better=True),
    *(Quantity(key=f"cra{radius}", title=f"CRA {radius}", kind="share", higher_is_better=True) for radius in RADII),
    Quantity(key="train_time", title="training time", kind="time"),
    Quantity(key="train_step_ratio", title="relative training step", kind="ratio"),
    Quantity(key="train_memory", title="training memory", kind="size"),
    Quantity(key="latency", title="inference time", kind="time"),
    Quantity(key="latency_ratio", title="relative inference time", kind="ratio"),
    Quantity(key="inference_memory", title="inference memory", kind="size"),
    Quantity(key="frozen_memory", title="memory when frozen", kind="size"),
)
"""All quantities, by their keys."""


def quantity_named(name: str) -> Quantity:
    """The quantity of a key, also as it is written in options.

    Raises:
        UnknownNameError: There is none.
    """
    key = name.strip().lower().replace("-", "_").replace(" ", "")
    key = re.sub(r"^cra_(\d+)$", r"cra\1", key)
    if key not in QUANTITIES:
        near = difflib.get_close_matches(key, QUANTITIES, n=1)
        hint = f"; did you mean {near[0].replace('_', '-')}?" if near else ""
        names = ", ".join(one.replace("_", "-") for one in QUANTITIES)
        raise UnknownNameError(f"{name!r} is not one of {names}{hint}")
    return QUANTITIES[key]
