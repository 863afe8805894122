"""How numbers are printed."""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, Context, Decimal

_UNITS = ("", "k", "M", "G", "T", "P")


def percent(share: float) -> str:
    """A share in percent, one decimal.

    >>> percent(0.4417)
    '44.2'
    """
    return f"{100 * share:.1f}"


def whole_percent(share: float) -> str:
    """A share in whole percent, rounded down: what is not all of it is not 100.

    >>> whole_percent(0.999), whole_percent(1.0)
    ('99', '100')
    """
    return f"{math.floor(100 * share)}"


def three_digits(number: float) -> str:
    """Three significant digits, whole numbers above 100, no exponent.

    >>> three_digits(0.01234), three_digits(9.996), three_digits(1234.4)
    ('0.0123', '10.0', '1234')
    """
    rounded = float(f"{number:.2e}")
    if rounded == 0:
        return "0"
    return f"{number:.{max(0, 2 - math.floor(math.log10(abs(rounded))))}f}"


def milliseconds(seconds: float) -> str:
    """Seconds as milliseconds."""
    return three_digits(1e3 * seconds)


def megabytes(size: float) -> str:
    """Bytes as megabytes of 10^6 bytes."""
    return three_digits(size / 1e6)


def short(number: float) -> str:
    """A count with three digits and a unit of thousands.

    >>> short(604_000_000), short(12), short(0), short(9_999), short(999_999)
    ('604 M', '12', '0', '10.0 k', '1.00 M')
    """
    rounded = float(f"{number:.2e}")
    power = max(0, min(len(_UNITS) - 1, math.floor(math.log10(rounded) / 3) if rounded else 0))
    if power == 0:
        return f"{rounded:g}"
    return f"{three_digits(rounded / 1000**power)} {_UNITS[power]}"


def two_decimals(number: float) -> str:
    """A ratio."""
    return f"{number:.2f}"


def bound_digits(bound: float) -> str:
    """An upper bound, rounded up: what is printed is still a bound.

    >>> bound_digits(1.0000002), bound_digits(12345678.0)
    ('1.000001', '1.24e7')
    """
    digits = 7 if bound < 10 else 3
    rounded = Context(prec=digits, rounding=ROUND_CEILING).create_decimal(Decimal(bound))
    if bound < 10:
        return f"{rounded.quantize(Decimal('0.000001'), rounding=ROUND_CEILING)}"
    return f"{float(rounded):.2e}".replace("e+0", "e").replace("e+", "e") if bound >= 1000 else f"{rounded:f}"
