"""Formulas of costs: texts, their orders and what they say of a layer.

A formula is a text such as "2C + c^3 (2k-1)^2": sums and products of b images, their side s, c channels, the kernel's
side k and iterations t, and of C = b s^2 c^2 k^2, M = b s^2 c and P = c^2 k^2 (Table 1 of "1-Lipschitz Layers
Compared", Prach et al., CVPR 2024, arXiv 2311.16833).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache

import sympy
from sympy.parsing.sympy_parser import (
    convert_xor,
    implicit_multiplication,
    parse_expr,
    standard_transformations,
)

from onelip.cost import ConvShape

SYMBOLS: Mapping[str, sympy.Symbol] = {
    name: sympy.Symbol(name, positive=True) for name in ("b", "s", "c", "k", "t", "t1", "t2")
}
_b, _s, _c, _k = (SYMBOLS[name] for name in "bsck")
ABBREVIATIONS: Mapping[str, sympy.Expr] = {
    "C": _b * _s**2 * _c**2 * _k**2,
    "M": _b * _s**2 * _c,
    "P": _c**2 * _k**2,
}
NONE = "-"
"""The published table's sign for nothing."""


@cache
def formula(text: str) -> sympy.Expr:
    """The formula of a text; abbreviations are written out.

    >>> formula("2C + c^2")
    2*b*c**2*k**2*s**2 + c**2
    """
    if text == NONE:
        return sympy.Integer(0)
    rules = (*standard_transformations, implicit_multiplication, convert_xor)
    # Texts are those of this package and of modules that the user has imported.
    found = parse_expr(text, local_dict={**SYMBOLS, **ABBREVIATIONS}, transformations=rules)
    return sympy.expand(found)


def order(text: str) -> str:
    """The terms that no other dominates, without their constants.

    >>> order("3 c^3 k^2 + 9 c^3 + 2M")
    'O(b s^2 c + c^3 k^2)'
    """
    terms = [_powers(term) for term in formula(text).as_ordered_terms() if term != 0]
    alone = [one for one in dict.fromkeys(terms) if not any(_dominates(other, one) for other in terms if other != one)]
    return f"O({' + '.join(map(_written, alone)) or '0'})"


def exponents(text: str) -> dict[str, int]:
    """The highest power of every symbol."""
    terms = [dict(_powers(term)) for term in formula(text).as_ordered_terms()]
    return {name: max(term.get(name, 0) for term in terms) for name in SYMBOLS}


def value(text: str, shape: ConvShape, iterations: Mapping[str, int] | None = None) -> float:
    """What a formula says of a layer; of an image that is no square, with the side of a square of as many pixels.

    The channels are those of the larger side.
    """
    numbers = {
        "b": shape.batch,
        "s": math.sqrt(shape.height * shape.width),
        "c": shape.channels,
        "k": shape.kernel_size,
        **(iterations or {}),
    }
    return float(formula(text).subs({SYMBOLS[name]: number for name, number in numbers.items()}))


def _powers(term: sympy.Expr) -> tuple[tuple[str, int], ...]:
    """The symbols of a product with their powers."""
    powers = term.as_powers_dict()
    return tuple((name, int(powers[symbol])) for name, symbol in SYMBOLS.items() if symbol in powers)


def _dominates(one: tuple[tuple[str, int], ...], other: tuple[tuple[str, int], ...]) -> bool:
    """Whether a term has every symbol of another at least as often."""
    mine = dict(one)
    return all(mine.get(name, 0) >= power for name, power in other)


def _written(powers: tuple[tuple[str, int], ...]) -> str:
    return " ".join(name if power == 1 else f"{name}^{power}" for name, power in powers) or "1"
