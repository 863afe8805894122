"""Proved upper bounds of Lipschitz constants: a number that may certify, and what it rests on."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from .errors import UnsoundError


def _up(value: float) -> float:
    return math.nextafter(value, math.inf)


def rounded_up(exact: Fraction) -> float:
    """The smallest float64 that is at least this number; infinite above the largest.

    >>> rounded_up(Fraction(1, 2)), rounded_up(Fraction(1, 3)) > 1 / 3
    (0.5, True)
    """
    try:
        nearest = float(exact)
    except OverflowError:
        return math.inf
    return nearest if Fraction(nearest) >= exact else _up(nearest)


@dataclass(frozen=True, slots=True)
class Bound:
    """An upper bound of a Lipschitz constant in the L2 norm, and why it holds.

    An estimate is never a `Bound`: only what was proved, with every rounding taken upwards, may become one.

    Attributes:
        value: The bound; `float(bound)` gives it.
        why: What the bound rests on, in words.
        parts: The bounds that this one was composed of, in the order of the forward pass.

    Raises:
        UnsoundError: If the value is negative, infinite or NaN.

    >>> float(Bound.product([Bound(2.0, "first"), Bound(1.0, "second")]))
    2.0
    """

    value: float
    why: str
    parts: tuple[Bound, ...] = ()

    def __post_init__(self) -> None:
        if not (math.isfinite(self.value) and self.value >= 0):
            raise UnsoundError(f"a Lipschitz bound must be a finite number >= 0, not {self.value!r} ({self.why})")

    def __float__(self) -> float:
        return self.value

    @classmethod
    def product(cls, parts: Iterable[Bound]) -> Bound:
        """Bound of a composition: the product of the parts, each multiplication rounded up."""
        parts = tuple(parts)
        value = 1.0
        for part in parts:
            exact = 1.0 in (value, part.value) or 0.0 in (value, part.value)
            value = value * part.value if exact else _up(value * part.value)
        return cls(value, f"product of {len(parts)} parts", parts)

    @classmethod
    def sum(cls, parts: Iterable[Bound]) -> Bound:
        """Bound of a sum of branches, such as a residual connection: the sum of the parts, rounded up."""
        parts = tuple(parts)
        value = rounded_up(sum((Fraction(part.value) for part in parts), start=Fraction(0)))
        return cls(value, f"sum of {len(parts)} branches", parts)
